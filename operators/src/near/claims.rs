//! Which questions may be asked when of similar ones only one shall have a sample.
//!
//! Input: claims of questions, each with its shingles and an asker; the outcome of each claim that may be asked (a sample, or none);
//! samples that were committed before, and samples that are withdrawn. Output: for each claim, that it may be asked, that it waits, or that it is a near-duplicate.
//! Law: the questions that are asked or have a sample are pairwise not similar (but for samples that were committed before as they are), and
//! the earlier stays: a claim waits only for one that is being asked, and is dropped only when a similar one has a sample. When
//! the question for which it waits gets none, it claims anew, after those that waited longer. Equal questions are one: any number may be asked
//! at a time (see [`crate::holders`], which answers one of them). See [`super`] for what is similar. What was dropped is freed, to
//! claim anew, when the question for which it was has no sample any more; so that every dropped one is similar to a question with a sample.
//! Cost: O(log questions) and a comparison with each candidate that shares a key; memory as in [`super`], about 100 bytes a question,
//! and about 60 for each one that was dropped.

use std::collections::{BTreeMap, BTreeSet};

use super::{Near, Settings};
use crate::id::Id;

/// The places of questions that were asked in this run come after those of samples that were committed before.
const ASKED: u64 = 1 << 62;

/// Who asks: any number that names the asker on this worker.
pub type Asker = u64;

/// The answer to a claim.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Claim {
    /// Nothing similar is asked or has a sample: go on, and tell the outcome.
    Go,
    /// Something similar is being asked: wait for its outcome.
    Waits,
    /// A similar question has a sample.
    NearDuplicate {
        /// That question.
        of: Id,
        /// The similarity of the two, at least the threshold.
        similarity: f64,
    },
}

/// A question that has a sample, and is similar to another that has one.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Crowded {
    /// It.
    pub question: Id,
    /// The other, which is the one to stay.
    pub of: Id,
    /// The similarity of the two, at least the threshold.
    pub similarity: f64,
}

/// A question that was dropped: the sample that it would have become, and the shard that holds it back.
pub type Dropped = (Id, u32);

/// What an outcome leads to.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Follows {
    /// Askers that waited and may ask now; their outcome is due.
    pub go: Vec<Asker>,
    /// Askers that waited and are near-duplicates now: of which question, and how similar.
    pub dropped: Vec<(Asker, Id, f64)>,
}

/// The claimed questions of all workers.
#[derive(Debug)]
pub struct Claims {
    near: Near<u64>,
    next: u64,
    texts: BTreeMap<Id, Text>,
    /// The question of each text of `near`.
    questions: BTreeMap<u64, Id>,
    /// What was dropped, by the question for which it was.
    dropped: BTreeMap<Id, BTreeSet<Dropped>>,
    freed: Vec<Dropped>,
}

#[derive(Debug)]
struct Text {
    place: u64,
    asking: u32,
    samples: u32,
    waiting: Vec<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    asker: Asker,
    question: Id,
    shingles: Box<[u64]>,
}

impl Claims {
    /// No questions.
    ///
    /// # Panics
    /// If the threshold is not in `(0, 1]`.
    pub fn new(settings: Settings) -> Self {
        Claims {
            near: Near::new(settings),
            next: ASKED,
            texts: BTreeMap::new(),
            questions: BTreeMap::new(),
            dropped: BTreeMap::new(),
            freed: Vec::new(),
        }
    }

    /// An asker has a question.
    pub fn claim(&mut self, question: Id, shingles: Box<[u64]>, asker: Asker) -> Claim {
        if let Some(text) = self.texts.get_mut(&question) {
            text.asking += 1;
            return Claim::Go;
        }
        let similar = self.similar(&shingles);
        let has_sample = |of: &Id| self.texts.get(of).is_some_and(|text| text.samples > 0);
        if let Some(&(of, similarity)) = similar.iter().find(|(of, _)| has_sample(of)) {
            return Claim::NearDuplicate { of, similarity };
        }
        let first = similar.first().and_then(|(of, _)| self.texts.get_mut(of));
        if let Some(text) = first {
            text.waiting.push(Waiting { asker, question, shingles });
            return Claim::Waits;
        }
        let place = self.next;
        self.next += 1;
        self.insert(place, question, shingles).asking = 1;
        Claim::Go
    }

    /// A claim that was allowed has come to its end.
    pub fn outcome(&mut self, question: Id, sampled: bool) -> Follows {
        let mut follows = Follows::default();
        let Some(text) = self.texts.get_mut(&question) else { return follows };
        text.asking = text.asking.saturating_sub(1);
        text.samples += u32::from(sampled);
        let waiting = if text.samples > 0 || text.asking == 0 { std::mem::take(&mut text.waiting) } else { Vec::new() };
        self.forget_unused(question);
        for Waiting { asker, question, shingles } in waiting {
            match self.claim(question, shingles, asker) {
                Claim::Go => follows.go.push(asker),
                Claim::Waits => (),
                Claim::NearDuplicate { of, similarity } => follows.dropped.push((asker, of, similarity)),
            }
        }
        follows
    }

    /// A sample was committed before (at the start, in any order).
    pub fn committed(&mut self, question: Id, shingles: Box<[u64]>) {
        if let Some(text) = self.texts.get_mut(&question) {
            text.samples += 1;
            return;
        }
        // An order that all histories agree on.
        let mut place = (question.0 >> 66) as u64;
        while self.questions.contains_key(&place) {
            place += 1;
        }
        self.insert(place, question, shingles).samples = 1;
    }

    /// The questions that had a sample from the start, and would not have had with this threshold: those that are similar to one that
    /// comes before them in the order of their ids and stays. Without them the questions with a sample are pairwise not similar.
    pub fn crowded(&self) -> Vec<Crowded> {
        let of = |place: &u64| self.questions.get(place).copied();
        let crowded = |(held, by, similarity)| Some(Crowded { question: of(&held)?, of: of(&by)?, similarity });
        self.near.held().into_iter().filter_map(crowded).collect()
    }

    /// A sample was withdrawn, or not written after all.
    pub fn released(&mut self, question: Id) {
        if let Some(text) = self.texts.get_mut(&question) {
            text.samples = text.samples.saturating_sub(1);
            self.forget_unused(question);
        }
        self.free_unless_sampled(question);
    }

    /// A question was dropped since this one has a sample (or had one, when it is told at the start).
    pub fn dropped(&mut self, of: Id, dropped: Dropped) {
        self.dropped.entry(of).or_default().insert(dropped);
    }

    /// At the start, when all is told: frees what was dropped for questions that have no sample any more.
    pub fn settle(&mut self) {
        let all: Vec<Id> = self.dropped.keys().copied().collect();
        all.into_iter().for_each(|of| self.free_unless_sampled(of));
    }

    /// What may claim anew.
    pub fn take_freed(&mut self) -> Vec<Dropped> {
        std::mem::take(&mut self.freed)
    }

    /// Questions that are asked or have a sample.
    pub fn len(&self) -> usize {
        self.texts.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    fn similar(&self, shingles: &[u64]) -> Vec<(Id, f64)> {
        let similar = self.near.similar(shingles).into_iter();
        similar.filter_map(|(place, similarity)| Some((*self.questions.get(&place)?, similarity))).collect()
    }

    fn insert(&mut self, place: u64, question: Id, shingles: Box<[u64]>) -> &mut Text {
        self.near.insert(place, shingles);
        self.questions.insert(place, question);
        self.texts.entry(question).or_insert(Text { place, asking: 0, samples: 0, waiting: Vec::new() })
    }

    fn free_unless_sampled(&mut self, question: Id) {
        if self.texts.get(&question).is_none_or(|text| text.samples == 0) {
            self.freed.extend(self.dropped.remove(&question).unwrap_or_default());
        }
    }

    fn forget_unused(&mut self, question: Id) {
        let unused = |text: &Text| text.asking == 0 && text.samples == 0;
        if let Some(text) = self.texts.get(&question).filter(|text| unused(text)) {
            self.near.remove(text.place);
            self.questions.remove(&text.place);
            self.texts.remove(&question);
        }
    }
}
