//! Which combination holds a question, so that no two live samples ask the same (protocol.md, "Duplicate questions").
//!
//! Law: one holder per question hash; a duplicate waits until the holder is answered, and is dropped then; when the holder
//! fails, the first that waits takes over. A committed sample holds its question until it is withdrawn. After a crash there may be
//! two: the question of a sample that is about to be withdrawn is free for the next one, which may be committed first.
//! Cost: O(log questions) each; about 90 bytes per held question.

use std::collections::{BTreeMap, VecDeque};

use crate::id::Id;

/// Who asks: any number that names the asker on this worker.
pub type Asker = u64;

/// The answer to a claim.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Claim {
    /// The question is the asker's: go on.
    Held,
    /// Another one holds it and is not answered yet: wait for [`Holders::answered`] or [`Holders::failed`].
    Waits,
    /// Another one holds it for good.
    Duplicate,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum Holder {
    Asking { asker: Asker, waiting: VecDeque<Asker> },
    Sample { sample: Id, others: Vec<Id> },
}

impl Holder {
    fn sample(sample: Id) -> Self {
        Holder::Sample { sample, others: Vec::new() }
    }
}

/// The holders of all questions of this worker's share of hashes.
#[derive(Clone, PartialEq, Eq, Hash, Default, Debug)]
pub struct Holders(BTreeMap<Id, Holder>);

impl Holders {
    /// An asker has a question.
    pub fn claim(&mut self, question: Id, asker: Asker) -> Claim {
        match self.0.get_mut(&question) {
            Some(Holder::Sample { .. }) => Claim::Duplicate,
            Some(Holder::Asking { waiting, .. }) => {
                waiting.push_back(asker);
                Claim::Waits
            }
            None => {
                self.0.insert(question, Holder::Asking { asker, waiting: VecDeque::new() });
                Claim::Held
            }
        }
    }

    /// The holder is answered: `sample` holds the question now. Returns those that waited; they are duplicates.
    pub fn answered(&mut self, question: Id, sample: Id) -> Vec<Asker> {
        match self.0.insert(question, Holder::sample(sample)) {
            Some(Holder::Asking { waiting, .. }) => waiting.into(),
            _ => Vec::new(),
        }
    }

    /// The holder has failed. Returns the asker that takes over, if one waits.
    pub fn failed(&mut self, question: Id) -> Option<Asker> {
        let Some(Holder::Asking { asker, waiting }) = self.0.get_mut(&question) else { return None };
        if let Some(next) = waiting.pop_front() {
            *asker = next;
            return Some(next);
        }
        self.0.remove(&question);
        None
    }

    /// A committed sample holds its question (at the start, from `provenance`, in any order).
    pub fn committed(&mut self, question: Id, sample: Id) {
        match self.0.get_mut(&question) {
            Some(Holder::Sample { others, .. }) => others.push(sample),
            _ => _ = self.0.insert(question, Holder::sample(sample)),
        }
    }

    /// A sample was withdrawn, or not written after all: the question is free again, if no other sample holds it.
    pub fn released(&mut self, question: Id, sample: Id) {
        let Some(Holder::Sample { sample: holder, others }) = self.0.get_mut(&question) else { return };
        if *holder != sample {
            others.retain(|other| *other != sample);
        } else if let Some(other) = others.pop() {
            *holder = other;
        } else {
            self.0.remove(&question);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUESTION: Id = Id(9);

    #[test]
    fn a_duplicate_waits_for_the_outcome_of_the_holder() {
        let mut holders = Holders::default();
        assert_eq!(holders.claim(QUESTION, 1), Claim::Held);
        assert_eq!(holders.claim(QUESTION, 2), Claim::Waits);
        assert_eq!(holders.claim(QUESTION, 3), Claim::Waits);
        assert_eq!(holders.failed(QUESTION), Some(2), "the first that waits takes over");
        assert_eq!(holders.answered(QUESTION, Id(20)), vec![3]);
        assert_eq!(holders.claim(QUESTION, 4), Claim::Duplicate);
    }

    #[test]
    fn a_withdrawn_sample_frees_its_question_and_only_its_own() {
        let mut holders = Holders::default();
        holders.committed(QUESTION, Id(20));
        holders.released(QUESTION, Id(21));
        assert_eq!(holders.claim(QUESTION, 1), Claim::Duplicate);
        holders.released(QUESTION, Id(20));
        assert_eq!(holders.claim(QUESTION, 1), Claim::Held);
        assert_eq!(holders.failed(QUESTION), None);
        assert_eq!(holders.claim(QUESTION, 5), Claim::Held);
    }

    #[test]
    fn of_two_committed_samples_the_other_one_holds_on_whichever_is_withdrawn() {
        for withdrawn in [Id(20), Id(21)] {
            let mut holders = Holders::default();
            holders.committed(QUESTION, Id(20));
            holders.committed(QUESTION, Id(21));
            holders.released(QUESTION, withdrawn);
            assert_eq!(holders.claim(QUESTION, 1), Claim::Duplicate);
            holders.released(QUESTION, Id(41 - withdrawn.0));
            assert_eq!(holders.claim(QUESTION, 1), Claim::Held);
        }
    }
}
