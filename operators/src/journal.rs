//! Which answers of a shard's journal are still needed (protocol.md, "Journal"): the hits after a start, and the low mark.

use std::collections::BTreeMap;

use crate::record::{Answer, JournalKey};

/// An answer that was paid for in an earlier run, with its offset in the journal.
#[derive(Clone, PartialEq, Debug, serde::Serialize, serde::Deserialize)]
pub struct Hit {
    /// The request that it answers.
    pub key: JournalKey,
    /// Where it lies in the shard's journal.
    pub offset: u64,
    /// The answer.
    pub answer: Answer,
}

/// The answers found in a shard's journal at its start, by subject.
#[derive(Clone, Default, PartialEq, Debug)]
pub struct Hits(BTreeMap<String, Vec<Hit>>);

impl Hits {
    /// Adds an answer found at the start.
    pub fn insert(&mut self, hit: Hit) {
        self.0.entry(hit.key.subject.clone()).or_default().push(hit);
    }

    /// The answers about a subject (a document id, or a combination id).
    pub fn about(&self, subject: &str) -> Vec<Hit> {
        self.0.get(subject).cloned().unwrap_or_default()
    }

    /// The subjects of the answers that were asked for at this input offset.
    pub fn subjects_at(&self, origin: u64) -> Vec<String> {
        let is_at = |hits: &Vec<Hit>| hits.iter().any(|hit| hit.answer.origin.offset == origin);
        self.0.iter().filter(|(_, hits)| is_at(hits)).map(|(subject, _)| subject.clone()).collect()
    }

    /// Forgets the answers below a low mark: they may be trimmed.
    pub fn forget_below(&mut self, low_mark: u64) {
        self.0.retain(|_, hits| {
            hits.retain(|hit| hit.offset >= low_mark);
            !hits.is_empty()
        });
    }

    /// How many answers there are.
    pub fn len(&self) -> usize {
        self.0.values().map(Vec::len).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The answers of a shard that no output has used yet, by the input offset they were asked for.
///
/// Law: [`LowMark::at`] is the lowest journal offset of an answer whose origin is not below the given progress, hits
/// included; with none open, the end of the journal.
/// Cost: O(log open answers) per answer; amortised O(1) per commit.
#[derive(Default, Debug, Clone, PartialEq)]
pub struct LowMark {
    open: BTreeMap<u64, Vec<u64>>,
    end: u64,
}

impl LowMark {
    /// For a journal that ends at `end`.
    pub fn new(end: u64) -> Self {
        LowMark { open: BTreeMap::new(), end }
    }

    /// An answer at `journal_offset` is needed by the record at `origin`: it was received, or hit.
    pub fn needs(&mut self, origin: u64, journal_offset: u64) {
        self.open.entry(origin).or_default().push(journal_offset);
        self.end = self.end.max(journal_offset + 1);
    }

    /// The low mark once all origins below `progress` have their outcome. `first_new` is the offset of the first answer
    /// appended in the same transaction, if any: it is open by definition.
    pub fn at(&self, progress: u64, first_new: Option<u64>) -> u64 {
        low_mark(self.lowest_open(progress), first_new, self.end)
    }

    /// The lowest offset of an answer whose origin is not below `progress`.
    pub fn lowest_open(&self, progress: u64) -> Option<u64> {
        self.open.range(progress..).flat_map(|(_, offsets)| offsets).copied().min()
    }

    /// The end of the journal, as far as this shard knows.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// The transaction with this progress is confirmed: origins below it need nothing any more.
    pub fn confirmed(&mut self, progress: u64) {
        self.open = self.open.split_off(&progress);
    }
}

/// The low mark, from the lowest open answer before a transaction, the first answer appended in it, and the end.
pub fn low_mark(lowest_open: Option<u64>, first_new: Option<u64>, end: u64) -> u64 {
    lowest_open.into_iter().chain(first_new).min().unwrap_or(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_low_mark_is_the_lowest_offset_of_an_open_answer_hits_included() {
        let mut mark = LowMark::new(4);
        assert_eq!(mark.at(0, None), 4, "nothing open: the end");
        mark.needs(7, 2);
        mark.needs(5, 4);
        mark.needs(9, 5);
        assert_eq!(mark.at(0, None), 2);
        assert_eq!(mark.at(8, None), 5, "origins below the progress are done");
        assert_eq!(mark.at(10, Some(6)), 6, "an answer of this very transaction is open");
        mark.confirmed(10);
        assert_eq!(mark.at(10, None), 6);
    }

    #[test]
    fn an_answer_hit_by_another_record_stays_while_that_record_is_open() {
        let mut mark = LowMark::new(1);
        mark.needs(0, 0);
        mark.needs(3, 0);
        mark.confirmed(1);
        assert_eq!(mark.at(1, None), 0);
        assert_eq!(mark.at(4, None), 1);
    }
}
