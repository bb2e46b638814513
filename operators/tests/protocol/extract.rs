//! The role extract: two shards of documents in one process, journals, and a former process that still runs.
//!
//! What the implementation decides is asked of it: [`Memory`] and [`Queues`], [`Hits`], [`LowMark`] and [`low_mark`]. When
//! shards read, stage and commit lies in `src/dataflow/{flow,shard,commit,trim}.rs`, and what a dead letter does in
//! `src/dataflow/extract/revise.rs`; both are modelled again in `extract_worker.rs`, one epoch for each record.

use std::collections::BTreeMap;

use synthllm_operators::id::DocumentId;
use synthllm_operators::revise::Known;

use crate::explore::{Model, Next};
use crate::extract_worker::Worker;
use crate::log::{Log, Owner};

/// Shards, which are partitions of `documents`.
pub const SHARDS: usize = 2;

/// What a record of `documents` says.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Content {
    /// A document with this content.
    Is(u8),
    /// A tombstone.
    Deleted,
    /// Bytes that are no document.
    Undecodable,
}

/// A record of `documents`: the document's id and what it says.
pub type Record = (&'static str, Content);

/// A rule of protocol.md that can be left out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rule {
    /// Records of one document are decided each after the outcome of the one before it.
    InOrder,
    /// After a start the memory comes from `extractions`.
    MemoryFromExtractions,
    /// A dead letter of a known document also writes its tombstones.
    DeadLettersDelete,
    /// All shards of a role are fenced before any of its state is read.
    AllFencedFirst,
    /// A new owner fences the former one and aborts its transaction.
    Fencing,
    /// The low mark counts hits.
    HitsHoldTheLowMark,
    /// The subject of a journal key is the document id only.
    SubjectIsTheDocument,
    /// Trimming only below marks whose commit was confirmed.
    TrimConfirmed,
    /// Outputs and progress come from one snapshot of the frontier.
    OneSnapshot,
}

/// What is explored.
pub struct Extract {
    /// The records of each partition of `documents`.
    pub documents: [Vec<Record>; SHARDS],
    /// How often a process dies.
    pub crashes: u8,
    /// How many calls fail for good.
    pub failures: u8,
    /// How many superseded documents compaction takes.
    pub compactions: u8,
    /// Whether a process that is replaced may still be running.
    pub zombies: bool,
    /// The rule that is left out.
    pub without: Option<Rule>,
}

/// An answer in the journal.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Journaled {
    /// The document, and with a wrong key its version too.
    pub subject: String,
    /// What was asked about.
    pub content: u8,
    /// The record for which it was asked.
    pub origin: u64,
}

/// The record of a shard in `progress`.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, Debug)]
pub struct Progress {
    /// The next offset to be read.
    pub position: u64,
    /// See [`synthllm_operators::journal`].
    pub low_mark: u64,
}

/// The logs and the processes.
#[derive(Clone, Hash)]
pub struct State {
    /// Documents that compaction took.
    pub compacted: [Vec<u64>; SHARDS],
    /// The log `extractions`.
    pub extractions: Log<(&'static str, Option<Known>)>,
    /// The log `journal-extract`.
    pub journal: [Log<Journaled>; SHARDS],
    /// The log `progress`, each shard's last record.
    pub progress: [Progress; SHARDS],
    /// The epoch of each shard's producer.
    pub epochs: [u8; SHARDS],
    /// The committed outcomes: offset, and whether it was a dead letter.
    pub outcomes: [Vec<(u64, bool)>; SHARDS],
    /// The process that runs, and the one before it.
    pub workers: [Option<Worker>; 2],
    crashes: u8,
    /// Calls that may still fail.
    pub failures: u8,
    compactions: u8,
    /// An invariant that a step has broken.
    pub broken: Option<&'static str>,
}

impl State {
    /// Becomes the owner of a shard.
    pub fn fence(&mut self, shard: usize, aborts: bool) -> Owner {
        self.epochs[shard] += 1;
        if aborts {
            self.extractions.abort_all_of(shard);
            self.journal[shard].abort_all_of(shard);
        }
        (shard, self.epochs[shard])
    }

    /// The live extractions, as `extractions` tells.
    pub fn live(&self) -> BTreeMap<&'static str, Known> {
        let mut live = BTreeMap::new();
        for (_, &(key, known)) in self.extractions.committed() {
            match known {
                Some(known) => live.insert(key, known),
                None => live.remove(key),
            };
        }
        live
    }
}

impl Extract {
    /// Whether a rule is in force.
    pub fn keeps(&self, rule: Rule) -> bool {
        self.without != Some(rule)
    }

    /// The next record of a partition from a position on.
    pub fn record(&self, state: &State, shard: usize, from: u64) -> Option<u64> {
        (from..self.documents[shard].len() as u64).find(|offset| !state.compacted[shard].contains(offset))
    }

    /// What must live at the end: the last content of each document, unless its record is a dead letter.
    fn wanted(&self, state: &State) -> BTreeMap<DocumentId, u128> {
        let mut wanted = BTreeMap::new();
        for (shard, records) in self.documents.iter().enumerate() {
            for (&(key, content), offset) in records.iter().zip(0..) {
                let dead = state.outcomes[shard].contains(&(offset, true));
                match content {
                    Content::Is(content) if !dead => wanted.insert(DocumentId::of(key), u128::from(content)),
                    _ => wanted.remove(&DocumentId::of(key)),
                };
            }
        }
        wanted
    }

    fn judge_final(&self, state: &State) -> Result<(), &'static str> {
        for shard in 0..SHARDS {
            let known = self.documents[shard].len() - state.compacted[shard].len();
            let outcomes = state.outcomes[shard].iter().filter(|(offset, _)| !state.compacted[shard].contains(offset));
            if outcomes.count() != known {
                return Err("1: a record has no outcome");
            }
        }
        let live = state.live().into_iter().map(|(key, known)| (DocumentId::of(key), known.content_hash));
        if live.collect::<BTreeMap<_, _>>() == self.wanted(state) {
            Ok(())
        } else {
            Err("lost: what lives is not what stands in documents")
        }
    }

    fn compact(&self, state: &State, next: &mut Next<State>) {
        for (shard, records) in self.documents.iter().enumerate() {
            for (&(key, _), offset) in records.iter().zip(0_u64..) {
                let superseded = records.iter().skip(offset as usize + 1).any(|later| later.0 == key);
                if superseded && !state.compacted[shard].contains(&offset) {
                    let mut after = state.clone();
                    after.compactions -= 1;
                    after.compacted[shard].push(offset);
                    after.compacted[shard].sort_unstable();
                    next.push((("compaction takes", shard, offset), after));
                }
            }
        }
    }
}

impl Model for Extract {
    type State = State;

    fn first(&self) -> State {
        State {
            compacted: Default::default(),
            extractions: Log::default(),
            journal: Default::default(),
            progress: Default::default(),
            epochs: Default::default(),
            outcomes: Default::default(),
            workers: Default::default(),
            crashes: self.crashes,
            failures: self.failures,
            compactions: self.compactions,
            broken: None,
        }
    }

    fn steps(&self, state: &State, next: &mut Next<State>) {
        if state.workers[0].is_none() {
            let mut after = state.clone();
            after.workers[0] = Some(Worker::default());
            next.push((("start", 0, 0), after));
        }
        for (who, worker) in state.workers.iter().enumerate() {
            if let Some(worker) = worker {
                worker.steps(self, state, who, next);
            }
        }
    }

    fn faults(&self, state: &State, next: &mut Next<State>) {
        if state.compactions > 0 {
            self.compact(state, next);
        }
        if state.crashes == 0 || state.workers[0].is_none() {
            return;
        }
        let mut after = state.clone();
        after.crashes -= 1;
        let stalled = after.workers[0].take();
        if self.zombies && after.workers[1].is_none() {
            let mut stalls = after.clone();
            stalls.workers[1] = stalled;
            next.push((("stall", 0, 0), stalls));
        }
        next.push((("crash", 0, 0), after));
    }

    fn judge(&self, state: &State, is_final: bool) -> Result<(), &'static str> {
        if let Some(broken) = state.broken {
            return Err(broken);
        }
        let twice = |outcomes: &Vec<(u64, bool)>| {
            outcomes.iter().enumerate().any(|(at, it)| outcomes[..at].iter().any(|earlier| earlier.0 == it.0))
        };
        if state.outcomes.iter().any(twice) {
            return Err("1: a record has two outcomes");
        }
        if is_final { self.judge_final(state) } else { Ok(()) }
    }
}
