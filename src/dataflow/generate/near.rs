//! Of similar questions only one is answered: all of them pass one worker, the first, which knows what is asked and what has a sample.
//! At the start it also tells which samples are too many by the present threshold, for the review of samples that follows when that has changed.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use synthllm_log::{LogName, Record};
use synthllm_operators::ask::{Case, Mailbox, Stage, Turn};
use synthllm_operators::id::{self, Id};
use synthllm_operators::near::Settings;
use synthllm_operators::near::claims::{Claim, Claims, Crowded};
use synthllm_operators::shingle::shingles;
use timely::dataflow::operators::{Input, Probe};
use timely::dataflow::{InputHandleVec, ProbeHandle, Scope};
use timely::worker::Worker;

use super::super::Context;
use super::super::clock::Clock;
use super::super::flow::{self, Inbox};
use super::filters::{Reason, Rejection};
use super::questions::Posted;
use super::{Candidate, withdrawals};

/// The worker that all questions pass.
pub(super) const WORKER: u64 = 0;

/// A committed sample of a question: its shingles, or nothing when it is withdrawn.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Sampled {
    question: Id,
    shingles: Option<Box<[u64]>>,
}

/// What became of a question that was allowed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Ended {
    /// The case of its claim, on [`WORKER`].
    pub claim: Case,
    /// Whether it has a sample.
    pub sampled: bool,
}

/// A question whose sample is too many, and why; to a worker.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct TooMany {
    to: u64,
    question: Id,
    rejection: Rejection,
}

/// The near-duplicates of a run, as the role sees them.
pub(super) struct NearDuplicates {
    settings: Settings,
    /// On [`WORKER`], all of them.
    claims: Rc<RefCell<Claims>>,
    /// What [`WORKER`] tells at the start, and what has come of it.
    telling: InputHandleVec<u64, TooMany>,
    told: Inbox<TooMany>,
    heard: ProbeHandle<u64>,
    /// Samples that are committed or withdrawn.
    pub samples: InputHandleVec<u64, Sampled>,
    /// What became of questions, on [`WORKER`].
    pub ended: Inbox<Ended>,
    /// Brings it to the stage.
    pub mailbox: Mailbox<(), bool>,
}

impl NearDuplicates {
    /// Nothing, unless they are to be looked for.
    pub fn new(context: &Context) -> Option<Self> {
        let settings = Settings { threshold: context.config.filters.near_duplicates?, ..Settings::default() };
        let (samples, ended, mailbox) = (InputHandleVec::new(), Inbox::default(), Mailbox::default());
        let claims = Rc::new(RefCell::new(Claims::new(settings)));
        let (telling, told, heard) = (InputHandleVec::new(), Inbox::default(), ProbeHandle::new());
        Some(NearDuplicates { settings, claims, telling, told, heard, samples, ended, mailbox })
    }

    /// Carries what is told to the workers.
    pub fn build(&mut self, scope: Scope<'_, u64>) {
        flow::collect(scope.input_from(&mut self.telling), |it| it.to, &self.told).probe_with(&self.heard);
    }

    pub fn advance_to(&mut self, now: u64) {
        if *self.samples.time() < now {
            self.samples.advance_to(now);
        }
        if *self.telling.time() < now {
            self.telling.advance_to(now);
        }
    }

    /// Tells, once all samples are loaded, at the gate's epoch.
    pub fn tell(&mut self, peers: u64) {
        for Crowded { question, of, similarity } in self.claims.borrow().crowded() {
            let rejection = near_duplicate(of, similarity);
            (0..peers).for_each(|to| self.telling.send(TooMany { to, question, rejection: rejection.clone() }));
        }
        self.telling.flush();
    }

    /// The questions whose samples are too many, as soon as all are known.
    pub fn too_many(&self) -> Option<HashMap<Id, Rejection>> {
        if self.heard.less_equal(&Clock::GATE) {
            return None;
        }
        let told = self.told.borrow_mut().drain(..).map(|(_, it)| (it.question, it.rejection)).collect();
        Some(told)
    }

    /// The stage.
    pub fn stage(&self) -> Questions {
        Questions { claims: Rc::clone(&self.claims), length: self.settings.shingle, open: HashMap::new() }
    }

    /// Reads this worker's partitions of `samples`. What another filter will drop holds nothing back.
    pub fn load(
        &mut self,
        worker: &mut Worker,
        context: &Context,
        mine: &[u32],
        is_reviewed: impl Fn(u32) -> bool,
    ) -> Result<()> {
        let (samples, length) = (&mut self.samples, self.settings.shingle);
        withdrawals::read_live(worker, context, LogName::Samples, mine, |_, record| {
            let question = question(record).with_context(|| withdrawals::place(LogName::Samples, record))?;
            if is_reviewed(record.partition) && context.filters.rejection(&question).is_some() {
                return Ok(());
            }
            samples.send(Sampled { question: id::question(&question), shingles: Some(shingles(&question, length)) });
            Ok(())
        })
    }

    /// A sample is withdrawn, or was not written after all.
    pub fn released(&mut self, question: Id) {
        self.samples.send(Sampled { question, shingles: None });
        self.samples.flush();
    }

    /// Brings the outcomes to the stage. Returns how many.
    pub fn turn(&self) -> usize {
        let ended: Vec<(u64, Ended)> = self.ended.borrow_mut().drain(..).collect();
        let count = ended.len();
        ended.into_iter().for_each(|(_, ended)| self.mailbox.deliver(ended.claim, ended.sampled));
        count
    }
}

fn question(record: &Record) -> Result<String> {
    #[derive(Deserialize)]
    struct OfSample {
        question: String,
    }
    let of_sample: OfSample = serde_json::from_slice(record.value.as_deref().unwrap_or_default())?;
    Ok(of_sample.question)
}

/// The stage: a question goes on, waits until a similar one has its outcome, or is dropped. Its case is open until its own outcome is known.
pub(super) struct Questions {
    claims: Rc<RefCell<Claims>>,
    length: usize,
    open: HashMap<Case, Open>,
}

enum Open {
    Waits(Candidate),
    Asked(Id),
}

type Output<'t> = &'t mut Turn<(), Posted>;

impl Stage for Questions {
    type Item = Candidate;
    type Note = Sampled;
    type Call = ();
    type Reply = bool;
    type Output = Posted;

    fn open(&mut self, case: Case, candidate: Candidate, turn: Output<'_>) {
        let shingles = shingles(&candidate.sample.question, self.length);
        let claim = self.claims.borrow_mut().claim(candidate.question, shingles, case);
        match claim {
            Claim::Go => self.let_go(case, candidate, turn),
            Claim::Waits => _ = self.open.insert(case, Open::Waits(candidate)),
            Claim::NearDuplicate { of, similarity } => drop_one(case, candidate, (of, similarity), turn),
        }
    }

    fn reply(&mut self, case: Case, sampled: bool, turn: Output<'_>) {
        let Some(Open::Asked(question)) = self.open.remove(&case) else { return };
        turn.close(case);
        let follows = self.claims.borrow_mut().outcome(question, sampled);
        for case in follows.go {
            if let Some(Open::Waits(candidate)) = self.open.remove(&case) {
                self.let_go(case, candidate, turn);
            }
        }
        for (case, of, similarity) in follows.dropped {
            if let Some(Open::Waits(candidate)) = self.open.remove(&case) {
                drop_one(case, candidate, (of, similarity), turn);
            }
        }
    }

    fn note(&mut self, Sampled { question, shingles }: Sampled) {
        match shingles {
            Some(shingles) => self.claims.borrow_mut().committed(question, shingles),
            None => self.claims.borrow_mut().released(question),
        }
    }
}

impl Questions {
    fn let_go(&mut self, case: Case, mut candidate: Candidate, turn: Output<'_>) {
        self.open.insert(case, Open::Asked(candidate.question));
        candidate.claim = Some(case);
        turn.give(case, Posted::Candidate(Box::new(candidate)));
    }
}

fn drop_one(case: Case, candidate: Candidate, (of, similarity): (Id, f64), turn: Output<'_>) {
    turn.give(case, Posted::Made(candidate.rejected(near_duplicate(of, similarity))));
    turn.close(case);
}

fn near_duplicate(of: Id, similarity: f64) -> Rejection {
    Rejection { reason: Reason::NearDuplicate, details: format!("{similarity:.2} like the question {of}") }
}
