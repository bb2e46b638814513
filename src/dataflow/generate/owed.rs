//! The samples that are owed a withdrawal, by the shard that writes it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use synthllm_operators::id::{DocumentId, Id};
use synthllm_operators::provenance::Citation;

/// A citation with its document.
pub(super) type Cited = (DocumentId, Citation);

/// Of each sample the dead citations that are known, and whether it was withdrawn for them. An entry goes once its citations are gone.
#[derive(Default)]
pub(super) struct Owed {
    samples: HashMap<Id, Sample>,
    /// What is to be withdrawn, in order.
    due: BTreeMap<u32, BTreeSet<Id>>,
}

struct Sample {
    shard: u32,
    question: Id,
    citations: Vec<Cited>,
    dead: isize,
    withdrawn: bool,
}

/// A sample that is withdrawn now.
pub(super) struct Withdrawn {
    pub(super) sample: Id,
    pub(super) question: Id,
    /// All that it cites.
    pub(super) citations: Vec<Cited>,
}

impl Owed {
    /// A dead citation comes (1) or goes (-1), in any order.
    pub(super) fn change(&mut self, (document, citation): Cited, difference: isize) {
        let id = citation.sample;
        let sample = self.samples.entry(id).or_insert_with(|| Sample {
            shard: citation.shard,
            question: citation.question,
            citations: citation.siblings(document),
            dead: 0,
            withdrawn: false,
        });
        sample.dead += difference;
        let due = self.due.entry(sample.shard).or_default();
        if sample.dead > 0 && !sample.withdrawn {
            due.insert(id);
        } else {
            due.remove(&id);
        }
        if due.is_empty() {
            self.due.remove(&sample.shard);
        }
        if sample.dead == 0 {
            self.samples.remove(&id);
        }
    }

    /// The shards that owe a withdrawal.
    pub(super) fn shards(&self) -> BTreeSet<u32> {
        self.due.keys().copied().collect()
    }

    /// Whether nothing is owed.
    pub(super) fn is_empty(&self) -> bool {
        self.due.is_empty()
    }

    /// So many samples at most that a shard withdraws now, in order.
    pub(super) fn take(&mut self, shard: u32, at_most: usize) -> Vec<Withdrawn> {
        let Some(due) = self.due.get_mut(&shard) else { return Vec::new() };
        let taken: Vec<Id> = std::iter::from_fn(|| due.pop_first()).take(at_most).collect();
        if due.is_empty() {
            self.due.remove(&shard);
        }
        taken.into_iter().filter_map(|id| self.withdraw(id)).collect()
    }

    fn withdraw(&mut self, id: Id) -> Option<Withdrawn> {
        let sample = self.samples.get_mut(&id)?;
        sample.withdrawn = true;
        Some(Withdrawn { sample: id, question: sample.question, citations: std::mem::take(&mut sample.citations) })
    }
}

#[cfg(test)]
mod tests {
    use synthllm_operators::record::Pointer;

    use super::*;

    fn cited(sample: u128, shard: u32) -> Cited {
        let version = Pointer { partition: 0, offset: 7 };
        (
            DocumentId(1),
            Citation { sample: Id(sample), shard, question: Id(9), version, other: Some((DocumentId(2), version)) },
        )
    }

    fn ids(withdrawn: &[Withdrawn]) -> Vec<u128> {
        withdrawn.iter().map(|it| it.sample.0).collect()
    }

    #[test]
    fn a_sample_is_withdrawn_once_in_the_order_of_ids_and_by_its_shard() {
        let mut owed = Owed::default();
        for sample in [3, 1, 2] {
            owed.change(cited(sample, 0), 1);
        }
        owed.change(cited(4, 1), 1);
        assert_eq!(owed.shards(), BTreeSet::from([0, 1]));
        let first = owed.take(0, 2);
        assert_eq!((ids(&first), first[0].citations.len()), (vec![1, 2], 2));
        assert_eq!(ids(&owed.take(0, 2)), [3]);
        // The other citation of a withdrawn sample dies, too: nothing more is owed.
        owed.change(cited(1, 0), 1);
        assert_eq!(owed.shards(), BTreeSet::from([1]));
        assert_eq!(ids(&owed.take(1, 2)), [4]);
        assert!(owed.is_empty());
    }

    #[test]
    fn a_citation_that_lives_again_is_not_owed() {
        let mut owed = Owed::default();
        owed.change(cited(1, 0), -1);
        owed.change(cited(1, 0), 1);
        owed.change(cited(2, 0), 1);
        owed.change(cited(2, 0), -1);
        assert!(owed.is_empty() && owed.samples.is_empty());
    }
}
