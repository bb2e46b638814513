//! What a shard has read, made and received, and what of it one transaction commits (protocol.md, "A shard's commit").
//!
//! Input: what was read and made, by epoch; the output frontier; confirmations. Output: [`Snapshot`]s, and how far the journal may
//! be trimmed.
//! Law: a snapshot is a function of one frontier. It holds the outputs of all epochs before it, the position bound to the last of
//! them, and the answers of all epochs from it on; those before it are covered by outputs of the same transaction. The journal is
//! trimmed only below marks whose commit was confirmed.
//! Cost: O(log open records) per output and answer; nothing while nothing moves.

use std::collections::{BTreeMap, VecDeque};

use crate::journal::{Hit, Hits, LowMark, low_mark};
use crate::record::{Answer, JournalKey, Origin};

/// How far a shard had read when it closed an epoch.
#[derive(Clone, PartialEq, Debug)]
struct Binding {
    epoch: u64,
    position: u64,
    records: usize,
    bytes: usize,
}

/// The books of a shard whose outputs are `O`.
#[derive(Clone, PartialEq, Debug)]
pub struct Ledger<O> {
    position: u64,
    /// The low mark of the last confirmed transaction.
    mark: u64,
    hits: Hits,
    low_mark: LowMark,
    bindings: VecDeque<Binding>,
    staged: BTreeMap<u64, Vec<(Origin, O)>>,
    answers: Vec<(u64, JournalKey, Answer)>,
}

/// What one transaction commits.
#[derive(Clone, PartialEq, Debug)]
pub struct Snapshot<O> {
    /// The outputs of all epochs that the frontier has passed.
    pub outputs: Vec<(Origin, O)>,
    /// The answers received for epochs beyond it.
    pub answers: Vec<(JournalKey, Answer)>,
    /// The input position that the outputs reach.
    pub position: u64,
    /// What the low mark depends on.
    pub needs: Needs,
}

/// What of the journal is still needed after a transaction, its own answers aside.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Needs {
    /// The lowest journal offset that outputs still to come need.
    pub lowest_open: Option<u64>,
    /// The end of the journal before the transaction.
    pub journal_end: u64,
    /// The low mark before it.
    pub mark: u64,
}

impl Needs {
    /// The low mark of the transaction, whose first answer, if it has one, lies at `first_new`.
    pub fn low_mark(self, first_new: Option<u64>) -> u64 {
        low_mark(self.lowest_open, first_new, self.journal_end).max(self.mark)
    }
}

impl<O> Ledger<O> {
    /// The books at a start: the committed position and low mark, the answers that lie in the journal from the low mark on, and
    /// where the journal ends.
    pub fn open(position: u64, mark: u64, found: Vec<Hit>, journal_end: u64) -> Self {
        let mut low_mark = LowMark::new(journal_end);
        let mut hits = Hits::default();
        for hit in found {
            if hit.answer.origin.offset >= position {
                low_mark.needs(hit.answer.origin.offset, hit.offset);
            }
            hits.insert(hit);
        }
        let (bindings, staged, answers) = (VecDeque::new(), BTreeMap::new(), Vec::new());
        Ledger { position, mark, hits, low_mark, bindings, staged, answers }
    }

    /// Where the shard stands, as of the last snapshot.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The low mark of the last confirmed transaction.
    pub fn mark(&self) -> u64 {
        self.mark
    }

    /// Everything up to `position` has been read in `epoch`. A position that was known already is no news: there would be nothing to
    /// commit.
    pub fn has_read(&mut self, epoch: u64, position: u64, records: usize, bytes: usize) {
        let reached = self.bindings.back().map_or(self.position, |last| last.position);
        if records == 0 && position <= reached {
            return;
        }
        match self.bindings.back_mut() {
            Some(last) if last.epoch == epoch => {
                last.position = position;
                last.records += records;
                last.bytes += bytes;
            }
            _ => self.bindings.push_back(Binding { epoch, position, records, bytes }),
        }
    }

    /// The answers of earlier runs about a subject; from now on they are kept for the record at `origin`.
    pub fn hits_for(&mut self, origin: u64, subject: &str) -> Vec<Hit> {
        let hits = self.hits.about(subject);
        for hit in &hits {
            self.low_mark.needs(origin, hit.offset);
        }
        hits
    }

    /// The subjects about which earlier runs have answers that were asked for where reading goes on: for the record there, or without
    /// one.
    pub fn subjects_here(&self) -> Vec<String> {
        self.hits.subjects_at(self.position)
    }

    /// An answer was received for a record that was read in `epoch`.
    pub fn answered(&mut self, epoch: u64, key: JournalKey, answer: Answer) {
        self.answers.push((epoch, key, answer));
    }

    /// An output was made of a record that was read in `epoch`.
    pub fn made(&mut self, epoch: u64, origin: Origin, output: O) {
        self.staged.entry(epoch).or_default().push((origin, output));
    }

    /// Records and bytes that were read and are in no snapshot.
    pub fn in_flight(&self) -> (usize, usize) {
        self.bindings.iter().fold((0, 0), |sum, binding| (sum.0 + binding.records, sum.1 + binding.bytes))
    }

    /// Whether everything that was read is in a snapshot.
    pub fn is_empty(&self) -> bool {
        self.bindings.is_empty() && self.is_quiet(u64::MAX)
    }

    /// Whether nothing waits to be committed at this frontier.
    pub fn is_quiet(&self, frontier: u64) -> bool {
        self.answers.is_empty() && !self.has_outputs(frontier)
    }

    /// Whether outputs wait to be committed at this frontier.
    pub fn has_outputs(&self, frontier: u64) -> bool {
        self.staged.range(..frontier).next().is_some()
    }

    /// Whether a snapshot at this frontier has something to commit: what is made of stored records moves no position.
    pub fn is_due(&self, frontier: u64) -> bool {
        self.position_before(frontier) > self.position || !self.is_quiet(frontier)
    }

    /// Takes what a transaction commits at this frontier.
    pub fn snapshot(&mut self, frontier: u64) -> Snapshot<O> {
        self.position = self.position_before(frontier);
        self.bindings.retain(|binding| binding.epoch >= frontier);
        let later = self.staged.split_off(&frontier);
        let outputs = std::mem::replace(&mut self.staged, later).into_values().flatten().collect();
        let open = std::mem::take(&mut self.answers).into_iter().filter(|(epoch, ..)| *epoch >= frontier);
        let answers = open.map(|(_, key, answer)| (key, answer)).collect();
        let (lowest_open, journal_end) = (self.low_mark.lowest_open(self.position), self.low_mark.end());
        self.hits.forget_below(lowest_open.unwrap_or(journal_end));
        let needs = Needs { lowest_open, journal_end, mark: self.mark };
        Snapshot { outputs, answers, position: self.position, needs }
    }

    /// The transaction with this position and low mark is confirmed, and its answers lie in the journal: origin and journal
    /// offset of each. Returns below which offset the journal may be trimmed.
    pub fn confirmed(&mut self, position: u64, mark: u64, answers: impl IntoIterator<Item = (u64, u64)>) -> u64 {
        for (origin, offset) in answers {
            self.low_mark.needs(origin, offset);
        }
        self.low_mark.confirmed(position);
        self.mark = mark;
        self.hits.forget_below(mark);
        mark
    }

    fn position_before(&self, frontier: u64) -> u64 {
        let closed = self.bindings.iter().take_while(|binding| binding.epoch < frontier);
        closed.last().map_or(self.position, |binding| binding.position.max(self.position))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger() -> Ledger<&'static str> {
        Ledger::open(0, 0, Vec::new(), 0)
    }

    fn origin(offset: u64) -> Origin {
        Origin { shard: 0, offset }
    }

    #[test]
    fn outputs_and_position_are_those_before_the_frontier() {
        let mut ledger = ledger();
        ledger.has_read(1, 1, 1, 10);
        ledger.has_read(2, 2, 1, 10);
        ledger.made(2, origin(1), "second");
        assert!(!ledger.is_due(1), "the first record is still open");
        ledger.made(1, origin(0), "first");
        let snapshot = ledger.snapshot(2);
        assert_eq!((snapshot.position, snapshot.outputs), (1, vec![(origin(0), "first")]));
        assert_eq!(ledger.in_flight(), (1, 10));
        let snapshot = ledger.snapshot(3);
        assert_eq!((snapshot.position, snapshot.outputs), (2, vec![(origin(1), "second")]));
    }

    #[test]
    fn a_position_that_does_not_move_takes_no_room() {
        let mut ledger = ledger();
        ledger.has_read(1, 5, 1, 1);
        for epoch in 2..100 {
            ledger.has_read(epoch, 5, 0, 0);
        }
        assert_eq!(ledger.bindings.len(), 1);
        assert_eq!(ledger.snapshot(100).position, 5);
        ledger.has_read(101, 5, 0, 0);
        assert!(ledger.bindings.is_empty());
        ledger.has_read(102, 7, 0, 0);
        assert!(ledger.is_due(103), "a gap at the end moves the position too");
    }
}
