//! Questions as vectors of their words, where there are no embeddings.
//!
//! A question's vector has for each of its words (see [`synthllm_operators::shingle`]) how often it has it, times
//! `ln((1 + n) / (1 + m)) + 1`, where m of the n questions that are looked at have the word (the smoothed form of scikit-learn's
//! `TfidfTransformer`). Cosines of such vectors lie in 0 to 1, see shared words and no meaning, and are not to be compared with those of embeddings.
//! Cost: the vocabulary, about 60 bytes a word.

use std::collections::{BTreeMap, HashMap};

use synthllm_operators::shingle::Words;

use crate::cosine::of_pairs;

/// The weight of each word.
pub(crate) struct Weights(HashMap<String, (u32, f64)>);

/// A vector: the words' numbers with their weights, in the order of the numbers. Of length 1, or empty.
type Sparse = Vec<(u32, f64)>;

impl Weights {
    /// The weights by these questions.
    pub(crate) fn of<'a>(questions: impl Iterator<Item = &'a str>) -> Self {
        let (mut with, mut all) = (BTreeMap::<String, u32>::new(), 0_u32);
        for question in questions {
            all += 1;
            counts(question).into_keys().for_each(|word| *with.entry(word).or_default() += 1);
        }
        let weight = |with: u32| (f64::from(1 + all) / f64::from(1 + with)).ln() + 1.0;
        // Numbers in the order of the alphabet, so that sums are made in one order always.
        Weights((0..).zip(with).map(|(number, (word, with))| (word, (number, weight(with)))).collect())
    }

    /// The cosine of every pair of these questions.
    pub(crate) fn cosines(&self, questions: &[&str]) -> Vec<f64> {
        let vectors: Vec<Sparse> = questions.iter().map(|question| self.vector(question)).collect();
        of_pairs(&vectors, |one, other| dot(one, other))
    }

    fn vector(&self, question: &str) -> Sparse {
        let weighted =
            |(word, count): (String, u32)| self.0.get(&word).map(|(number, weight)| (*number, f64::from(count) * weight));
        let mut vector: Sparse = counts(question).into_iter().filter_map(weighted).collect();
        let length = dot(&vector, &vector).sqrt();
        vector.iter_mut().for_each(|(_, weight)| *weight /= length);
        vector
    }
}

/// How often a text has each of its words, by the alphabet.
fn counts(text: &str) -> BTreeMap<String, u32> {
    let mut counts = BTreeMap::new();
    Words::of(text).iter().for_each(|word| *counts.entry(word.to_owned()).or_default() += 1);
    counts
}

fn dot(one: &[(u32, f64)], other: &[(u32, f64)]) -> f64 {
    let (mut here, mut there, mut sum) = (0, 0, 0.0);
    while let (Some((left, a)), Some((right, b))) = (one.get(here), other.get(there)) {
        if left == right {
            sum += a * b;
        }
        here += usize::from(left <= right);
        there += usize::from(right <= left);
    }
    sum
}
