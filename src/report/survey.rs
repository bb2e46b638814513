//! Takes the samples one at a time, and remembers of each what a report needs.
//!
//! Input: the samples that stand, once each, in the order of their ids. Cost: that of `near` and of `coverage`; 40 bytes a document that is cited.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use synthllm_operators::id::DocumentId;
use synthllm_operators::record::{Sample, Usage};
use synthllm_operators::shingle::Words;

use crate::coverage::AllNamed;
use crate::diversity::{Diversity, Sampling};
use crate::level_index;
use crate::near::NearDuplicates;
use crate::tally::Tally;

/// What the samples are like, so far.
#[derive(Debug, Default)]
pub struct Survey {
    pub(crate) levels: [OfLevel; 3],
    pub(crate) named: AllNamed,
    pub(crate) near: NearDuplicates,
    /// The samples of each level on each document.
    pub(crate) documents: HashMap<DocumentId, [u32; 3]>,
    pub(crate) scores: BTreeMap<String, Scored>,
}

/// What is summed over the samples of a level.
#[derive(Debug, Default)]
pub(crate) struct OfLevel {
    pub(crate) samples: u64,
    pub(crate) question: Length,
    pub(crate) answer: Length,
    pub(crate) usage: Usage,
    pub(crate) calls: u64,
    pub(crate) cost: f64,
}

/// The lengths of texts.
#[derive(Debug, Default)]
pub(crate) struct Length {
    pub(crate) words: Tally,
    pub(crate) characters: Tally,
}

/// What is known of a score.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scored {
    pub(crate) samples: u64,
    pub(crate) sum: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

impl Survey {
    /// Takes a sample.
    pub fn add(&mut self, sample: &Sample) {
        self.levels[level_index(sample.level)].add(sample);
        self.named.add(sample);
        self.near.add(sample.level, &sample.question);
        for document in cited(sample) {
            self.documents.entry(document).or_default()[level_index(sample.level)] += 1;
        }
        for (name, score) in &sample.scores {
            let scored = Scored { samples: 0, sum: 0.0, least: f64::INFINITY, most: f64::NEG_INFINITY };
            self.scores.entry(name.clone()).or_insert(scored).add(*score);
        }
    }

    /// Which documents are looked at for their diversity: of those with two questions of a level, the ones that a hash names.
    pub fn diversity(&self, sampling: Sampling) -> Diversity {
        Diversity::new(&self.documents, sampling)
    }
}

impl OfLevel {
    fn add(&mut self, sample: &Sample) {
        self.samples += 1;
        self.question.add(&sample.question);
        if let Some(answer) = &sample.answer {
            self.answer.add(answer);
        }
        self.calls += u64::from(sample.usage.calls);
        self.usage.prompt_tokens += sample.usage.prompt_tokens;
        self.usage.completion_tokens += sample.usage.completion_tokens;
        self.cost += sample.cost;
    }
}

impl Length {
    fn add(&mut self, text: &str) {
        self.words.add(Words::of(text).len() as u64);
        self.characters.add(text.chars().count() as u64);
    }
}

impl Scored {
    fn add(&mut self, score: f64) {
        self.samples += 1;
        self.sum += score;
        self.least = self.least.min(score);
        self.most = self.most.max(score);
    }
}

/// The documents that a sample stands on, each once.
pub(crate) fn cited(sample: &Sample) -> BTreeSet<DocumentId> {
    sample.provenance.documents.iter().map(|document| DocumentId::of(&document.id)).collect()
}
