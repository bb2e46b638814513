//! The questions that are compared with the others of their document.
//!
//! Input: how many samples each document has; then the samples, in any order. Output: of each level, some documents with some of their questions.
//! Law: of the documents with at least two questions of a level, the first [`Sampling::documents`] by a hash of the seed and the document; of the
//! questions of such a document the first [`Sampling::questions`] by a hash of the seed and the sample. So the choice is uniform, and the same each time.
//! A question of level 3 is one of each of its documents. Cost: the texts that are chosen, 2,000 times 50 a level at most.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use synthllm_operators::id::DocumentId;
use synthllm_operators::record::Sample;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::cosine::{Cosines, Vectors, cosines};
use crate::survey::cited;
use crate::{level_index, tfidf};

/// How many documents and questions are compared. The default is what the paper compares.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sampling {
    /// Documents of each level.
    pub documents: usize,
    /// Questions of a document and level.
    pub questions: usize,
    /// The seed of the choice.
    pub seed: u64,
}

impl Default for Sampling {
    fn default() -> Self {
        Sampling { documents: 2000, questions: 50, seed: 0 }
    }
}

/// Why questions have no embeddings.
#[derive(Debug, thiserror::Error)]
pub enum EmbedError<E> {
    /// They could not be had.
    #[error(transparent)]
    Failed(#[from] E),
    /// There are more or fewer of them than questions.
    #[error("expected {asked} embeddings, found {found}")]
    Count {
        /// The questions.
        asked: usize,
        /// The embeddings.
        found: usize,
    },
    /// They are not of one length.
    #[error("the embeddings of one document have {one} and {other} dimensions")]
    Dimensions {
        /// Of the first.
        one: usize,
        /// Of another.
        other: usize,
    },
}

/// The documents that were chosen, with their questions.
#[derive(Debug)]
pub struct Diversity {
    sampling: Sampling,
    /// By level and document: the questions by their hash and their sample's id.
    chosen: [BTreeMap<DocumentId, BTreeMap<(u64, String), String>>; 3],
}

impl Diversity {
    pub(crate) fn new(documents: &HashMap<DocumentId, [u32; 3]>, sampling: Sampling) -> Self {
        let chosen = [0, 1, 2].map(|level| {
            let mut first = BTreeSet::new();
            for (document, _) in documents.iter().filter(|(_, samples)| samples[level] >= 2) {
                first.insert((hash(&document.0.to_le_bytes(), sampling.seed), *document));
                if first.len() > sampling.documents {
                    first.pop_last();
                }
            }
            first.into_iter().map(|(_, document)| (document, BTreeMap::new())).collect()
        });
        Diversity { sampling, chosen }
    }

    /// Whether a sample on these documents may be one of the chosen. The others need not be read again.
    pub fn wants(&self, documents: &[DocumentId]) -> bool {
        documents.iter().any(|document| self.chosen.iter().any(|chosen| chosen.contains_key(document)))
    }

    /// Takes a sample, if its question is one of the chosen.
    pub fn add(&mut self, sample: &Sample) {
        let chosen = &mut self.chosen[level_index(sample.level)];
        for document in cited(sample) {
            let Some(questions) = chosen.get_mut(&document) else { continue };
            let key = (hash(sample.id.as_bytes(), self.sampling.seed), sample.id.clone());
            questions.insert(key, sample.question.clone());
            if questions.len() > self.sampling.questions {
                questions.pop_last();
            }
        }
    }

    /// The cosines of word vectors, which need no model; see `tfidf`.
    pub fn by_words(self) -> Cosines {
        let words = tfidf::Weights::of(self.questions().flatten());
        let pairs = |questions: &[&str]| Ok::<_, std::convert::Infallible>(words.cosines(questions));
        match cosines(Vectors::WordsTfIdf, self.by_document(), pairs) {
            Ok(cosines) => cosines,
        }
    }

    /// The cosines of embeddings. `embed` is given the questions of one document at a time, and gives one vector each.
    pub fn by_embeddings<E>(
        self,
        model: &str,
        mut embed: impl FnMut(&[&str]) -> Result<Vec<Vec<f32>>, E>,
    ) -> Result<Cosines, EmbedError<E>> {
        let pairs = |questions: &[&str]| {
            let vectors = embed(questions)?;
            check(questions.len(), &vectors)?;
            Ok(crate::cosine::of_pairs(&vectors, |one, other| dense(one, other)))
        };
        cosines(Vectors::Embeddings { model: model.to_owned() }, self.by_document(), pairs)
    }

    /// All questions that are compared, each once.
    pub fn distinct(&self) -> BTreeSet<&str> {
        self.questions().flatten().collect()
    }

    /// The questions of each document of each level.
    fn questions(&self) -> impl Iterator<Item = Vec<&str>> {
        self.by_document().into_iter().flatten()
    }

    fn by_document(&self) -> [Vec<Vec<&str>>; 3] {
        self.chosen
            .each_ref()
            .map(|documents| documents.values().map(|questions| questions.values().map(String::as_str).collect()).collect())
    }
}

fn check<E>(asked: usize, vectors: &[Vec<f32>]) -> Result<(), EmbedError<E>> {
    if vectors.len() != asked {
        return Err(EmbedError::Count { asked, found: vectors.len() });
    }
    let one = vectors.first().map_or(0, Vec::len);
    match vectors.iter().map(Vec::len).find(|other| *other != one) {
        Some(other) => Err(EmbedError::Dimensions { one, other }),
        None => Ok(()),
    }
}

/// The cosine of two vectors of one length; 0 if one of them is 0.
fn dense(one: &[f32], other: &[f32]) -> f64 {
    let dot = |one: &[f32], other: &[f32]| one.iter().zip(other).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    let lengths = (dot(one, one) * dot(other, other)).sqrt();
    if lengths > 0.0 { dot(one, other) / lengths } else { 0.0 }
}

fn hash(bytes: &[u8], seed: u64) -> u64 {
    xxh3_64_with_seed(bytes, seed)
}
