//! Of similar questions only one is answered: all of them pass one worker, the first, which knows what is asked and what has a sample.

use std::collections::HashMap;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use synthllm_log::{LogName, Record};
use synthllm_operators::ask::{Case, Mailbox, Stage, Turn};
use synthllm_operators::id::{self, Id};
use synthllm_operators::near::Settings;
use synthllm_operators::near::claims::{Claim, Claims};
use synthllm_operators::shingle::shingles;
use timely::dataflow::InputHandleVec;
use timely::worker::Worker;

use super::super::Context;
use super::super::flow::Inbox;
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

/// The near-duplicates of a run, as the role sees them.
pub(super) struct NearDuplicates {
    settings: Settings,
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
        Some(NearDuplicates { settings, samples, ended, mailbox })
    }

    /// The stage.
    pub fn stage(&self) -> Questions {
        Questions { claims: Claims::new(self.settings), length: self.settings.shingle, open: HashMap::new() }
    }

    /// Reads this worker's partitions of `samples`.
    pub fn load(&mut self, worker: &mut Worker, context: &Context, mine: &[u32]) -> Result<()> {
        let (samples, length) = (&mut self.samples, self.settings.shingle);
        withdrawals::read_live(worker, context, LogName::Samples, mine, |_, record| {
            let question = question(record).with_context(|| withdrawals::place(LogName::Samples, record))?;
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
    claims: Claims,
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
        match self.claims.claim(candidate.question, shingles, case) {
            Claim::Go => self.let_go(case, candidate, turn),
            Claim::Waits => _ = self.open.insert(case, Open::Waits(candidate)),
            Claim::NearDuplicate { of, similarity } => drop_one(case, candidate, (of, similarity), turn),
        }
    }

    fn reply(&mut self, case: Case, sampled: bool, turn: Output<'_>) {
        let Some(Open::Asked(question)) = self.open.remove(&case) else { return };
        turn.close(case);
        let follows = self.claims.outcome(question, sampled);
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
            Some(shingles) => self.claims.committed(question, shingles),
            None => self.claims.released(question),
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
    let details = format!("{similarity:.2} like the question {of}");
    let rejection = Rejection { reason: Reason::NearDuplicate, details };
    turn.give(case, Posted::Made(candidate.rejected(rejection)));
    turn.close(case);
}
