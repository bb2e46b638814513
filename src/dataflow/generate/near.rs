//! Of similar questions only one is answered: all of them pass one worker, the first, which knows what is asked and what has a sample.
//! It tells the others, at the start, which samples are too many by the present threshold, for the review of samples when that has changed;
//! and at any time, which questions are no longer held back since the sample that they are like is gone.

mod stage;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use synthllm_log::{LogName, Record};
use synthllm_operators::ask::{Case, Mailbox};
use synthllm_operators::codec;
use synthllm_operators::id::{self, Id};
use synthllm_operators::near::Settings;
use synthllm_operators::near::claims::{Claims, Crowded, Dropped};
use synthllm_operators::record::Held;
use synthllm_operators::shingle::shingles;
use timely::dataflow::operators::{Input, Probe};
use timely::dataflow::{InputHandleVec, ProbeHandle, Scope, Stream};
use timely::worker::Worker;

use self::stage::Questions;
use super::super::Context;
use super::super::clock::Clock;
use super::super::flow::{self, Inbox};
use super::filters::{Reason, Rejection};
use super::withdrawals;
use super::withdrawals::Tombstones;

/// The worker that all questions pass.
pub(super) const WORKER: u64 = 0;

/// What [`WORKER`] must know.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Note {
    /// A question has a committed sample.
    Sampled { question: Id, shingles: Box<[u64]> },
    /// It has one no longer, or not after all.
    Released { question: Id },
    /// One is held back since this one has a sample.
    Dropped { of: Id, dropped: Dropped },
    /// A worker has said all that it will say, in a run that drains.
    Rest,
}

/// What became of a question that was allowed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Ended {
    /// The case of its claim, on [`WORKER`].
    pub claim: Case,
    /// Whether it has a sample.
    pub sampled: bool,
}

/// What [`WORKER`] tells a worker.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum Told {
    /// A question whose sample is too many, and why.
    TooMany { question: Id, rejection: Rejection },
    /// A sample that is no longer held back by a similar one.
    Free { sample: Id },
    /// All workers rest, and this one has heard all. They are at rest for good unless something was freed since they rested last.
    Rested { for_good: bool },
}

/// A message, to a worker.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Mail {
    to: u64,
    told: Told,
}

/// What [`WORKER`] knows.
struct Known {
    claims: Claims,
    /// Workers that have said that they rest, and whether anything was freed since all did.
    resting: u64,
    has_freed: bool,
}

/// The near-duplicates of a run, as the role sees them.
pub(super) struct NearDuplicates {
    settings: Settings,
    known: Rc<RefCell<Known>>,
    peers: u64,
    is_first: bool,
    telling: InputHandleVec<u64, Mail>,
    told: Inbox<Mail>,
    heard: ProbeHandle<u64>,
    too_many: HashMap<Id, Rejection>,
    freed: BTreeSet<Id>,
    /// By shard, what its last transaction releases.
    unconfirmed: BTreeMap<u32, Vec<Id>>,
    /// Whether this worker has said that it rests, and has heard that all do.
    rests: (bool, bool),
    notes: InputHandleVec<u64, Note>,
    /// What became of questions, on [`WORKER`].
    pub ended: Inbox<Ended>,
    /// Brings it to the stage.
    pub mailbox: Mailbox<(), bool>,
}

impl NearDuplicates {
    /// Nothing, unless they are to be looked for.
    pub fn new(worker: &Worker, context: &Context) -> Option<Self> {
        let settings = Settings { threshold: context.config.filters.near_duplicates?, ..Settings::default() };
        let (notes, ended, mailbox) = (InputHandleVec::new(), Inbox::default(), Mailbox::default());
        let known = Rc::new(RefCell::new(Known { claims: Claims::new(settings), resting: 0, has_freed: false }));
        let (telling, told, heard) = (InputHandleVec::new(), Inbox::default(), ProbeHandle::new());
        let (peers, is_first) = (worker.peers() as u64, worker.index() as u64 == WORKER);
        let (too_many, freed, rests) = (HashMap::new(), BTreeSet::new(), (false, false));
        Some(NearDuplicates {
            settings,
            known,
            peers,
            is_first,
            telling,
            told,
            heard,
            too_many,
            freed,
            unconfirmed: BTreeMap::new(),
            rests,
            notes,
            ended,
            mailbox,
        })
    }

    /// The dataflow's part: what the workers note, for the stage; and what the first one tells them.
    pub fn build<'scope>(&mut self, scope: Scope<'scope, u64>) -> Stream<'scope, u64, Vec<Note>> {
        flow::collect(scope.input_from(&mut self.telling), |mail| mail.to, &self.told).probe_with(&self.heard);
        scope.input_from(&mut self.notes)
    }

    /// Nothing comes before this epoch any more.
    pub fn advance_to(&mut self, now: u64) {
        if *self.notes.time() < now {
            self.notes.advance_to(now);
        }
        if *self.telling.time() < now {
            self.telling.advance_to(now);
        }
    }

    /// Tells, on [`WORKER`], what follows from all that was loaded, also what is free; at the gate's epoch.
    pub fn begin(&mut self) {
        if !self.is_first {
            return;
        }
        let crowded = {
            let claims = &mut self.known.borrow_mut().claims;
            claims.settle();
            claims.crowded()
        };
        for Crowded { question, of, similarity } in crowded {
            self.tell_all(&Told::TooMany { question, rejection: near_duplicate(of, similarity) });
        }
        self.tell();
        self.telling.flush();
    }

    fn tell_all(&mut self, told: &Told) {
        (0..self.peers).for_each(|to| self.telling.send(Mail { to, told: told.clone() }));
    }

    /// The questions whose samples are too many, as soon as all are known.
    pub fn too_many(&mut self) -> Option<HashMap<Id, Rejection>> {
        if self.heard.less_equal(&Clock::GATE) {
            return None;
        }
        self.hear();
        Some(std::mem::take(&mut self.too_many))
    }

    fn hear(&mut self) {
        for (_, Mail { told, .. }) in self.told.borrow_mut().drain(..) {
            match told {
                Told::TooMany { question, rejection } => _ = self.too_many.insert(question, rejection),
                Told::Free { sample } => _ = self.freed.insert(sample),
                Told::Rested { for_good } => self.rests = (for_good, for_good),
            }
        }
    }

    /// Takes at most so many of the samples that are no longer held back by a similar one, of those that are held now.
    pub fn take_freed(&mut self, is_held: impl Fn(Id) -> bool, most: usize) -> BTreeSet<Id> {
        let freed: BTreeSet<Id> = self.freed.iter().copied().filter(|sample| is_held(*sample)).take(most).collect();
        self.freed.retain(|sample| !freed.contains(sample));
        freed
    }

    /// Everything that was read is committed: what is not held now was forgotten, or goes on.
    pub fn forget_freed(&mut self, is_held: impl Fn(Id) -> bool) {
        self.freed.retain(|sample| is_held(*sample));
    }

    /// This worker has nothing more to say in a run that drains. Returns whether nobody has, and nothing is left that was freed.
    pub fn rest(&mut self, is_held: impl Fn(Id) -> bool) -> bool {
        if self.freed.iter().any(|sample| is_held(*sample)) {
            return false;
        }
        if !std::mem::replace(&mut self.rests.0, true) {
            self.note(Note::Rest);
        }
        self.rests.1
    }

    /// The stage.
    pub fn stage(&self) -> Questions {
        Questions::new(Rc::clone(&self.known), self.settings.shingle)
    }

    /// Reads this worker's partitions of `samples`, and of `held`. What another filter will drop holds nothing back.
    pub fn load(
        &mut self,
        worker: &mut Worker,
        context: &Context,
        (mine, held): (&[u32], &Tombstones),
        is_reviewed: impl Fn(u32) -> bool,
    ) -> Result<()> {
        let (notes, length) = (&mut self.notes, self.settings.shingle);
        withdrawals::read_live(worker, context, LogName::Samples, mine, |_, record| {
            let text = question(record).with_context(|| withdrawals::place(LogName::Samples, record))?;
            if is_reviewed(record.partition) && context.filters.rejection(&text).is_some() {
                return Ok(());
            }
            notes.send(Note::Sampled { question: id::question(&text), shingles: shingles(&text, length) });
            Ok(())
        })?;
        held.read_live(worker, context, LogName::Held, mine, |sample, record| {
            let held: Held = codec::decode(record.value.as_deref().unwrap_or_default())
                .with_context(|| withdrawals::place(LogName::Held, record))?;
            let dropped = (sample, record.partition);
            notes.send_batch(&mut blocker(&held).map(|of| Note::Dropped { of, dropped }).into_iter().collect());
            Ok(())
        })
    }

    fn note(&mut self, note: Note) {
        self.notes.send(note);
        self.notes.flush();
    }

    /// In a shard's next transaction a sample is withdrawn, or not written after all. That frees others when it is committed: if a crash
    /// undid it, nobody would ask for the answers any more that the journal has of what was freed.
    pub fn released(&mut self, shard: u32, question: Id) {
        self.unconfirmed.entry(shard).or_default().push(question);
    }

    /// A shard's last transaction is committed.
    pub fn confirmed(&mut self, shard: u32) {
        for question in self.unconfirmed.remove(&shard).unwrap_or_default() {
            self.note(Note::Released { question });
        }
    }

    /// A sample that stood is held back by a shard.
    pub fn demoted(&mut self, sample: Id, shard: u32, held: &Held) {
        if let Some(of) = blocker(held) {
            self.note(Note::Dropped { of, dropped: (sample, shard) });
        }
    }

    /// Brings the outcomes to the stage, and tells what follows from the notes. Returns how much.
    pub fn turn(&mut self) -> usize {
        self.hear();
        let ended: Vec<(u64, Ended)> = self.ended.borrow_mut().drain(..).collect();
        let count = ended.len();
        ended.into_iter().for_each(|(_, ended)| self.mailbox.deliver(ended.claim, ended.sampled));
        count + if self.is_first { self.tell() } else { 0 }
    }

    fn tell(&mut self) -> usize {
        let (freed, all_rest, for_good) = {
            let mut known = self.known.borrow_mut();
            let (freed, all_rest) = (known.claims.take_freed(), known.resting == self.peers);
            known.has_freed |= !freed.is_empty();
            let for_good = !known.has_freed;
            if all_rest {
                (known.resting, known.has_freed) = (0, false);
            }
            (freed, all_rest, for_good)
        };
        let count = freed.len();
        for (sample, shard) in freed {
            self.telling.send(Mail { to: u64::from(shard) % self.peers, told: Told::Free { sample } });
        }
        if all_rest {
            self.tell_all(&Told::Rested { for_good });
        }
        if count > 0 || all_rest {
            self.telling.flush();
        }
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

fn near_duplicate(of: Id, similarity: f64) -> Rejection {
    Rejection { reason: Reason::NearDuplicate, details: format!("{similarity:.2} like the question {of}") }
}

/// The question that a held one is like, as [`near_duplicate`] says it.
fn blocker(held: &Held) -> Option<Id> {
    let of = held.details.rsplit(' ').next().filter(|_| held.reason == Reason::NearDuplicate.name());
    of?.parse().ok()
}
