//! How alike the questions of one document are: the cosine of every pair, as the paper measures diversity (there with `MiniLM` embeddings).
//!
//! Law: of each level, the pairs are all pairs of the chosen questions of a document; quantiles are nearest-rank. Cost: 4 bytes a
//! pair, of which there are 2.45 million a level at most.

use serde::Serialize;

use crate::LEVELS;
use crate::tally::Histogram;

/// The width of a bin.
const WIDTH: f64 = 0.05;

/// Of what vectors the cosines are.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Vectors {
    /// Of the words of a question, weighted by how rare they are: what is measured where no model for embeddings is configured.
    WordsTfIdf,
    /// Of a model's embeddings.
    Embeddings {
        /// The model.
        model: String,
    },
}

/// The cosines within documents, by level.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Cosines {
    /// Of what vectors.
    pub vectors: Vectors,
    /// At each level at which some document has two questions.
    pub levels: Vec<LevelCosines>,
}

/// The cosines of one level.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct LevelCosines {
    /// The level.
    pub level: u8,
    /// Documents whose questions were compared.
    pub documents: u64,
    /// Questions, each counted in each of its documents.
    pub questions: u64,
    /// Pairs of questions of one document.
    pub pairs: u64,
    /// The mean cosine. A low one means that a document's questions are diverse.
    pub mean: f64,
    /// A tenth of the pairs has no greater cosine.
    pub p10: f64,
    /// Half of them.
    pub median: f64,
    /// Nine tenths.
    pub p90: f64,
    /// All of them.
    pub histogram: Histogram,
}

impl Vectors {
    /// The least cosine of such vectors.
    fn least(&self) -> f64 {
        match self {
            Vectors::WordsTfIdf => 0.0,
            Vectors::Embeddings { .. } => -1.0,
        }
    }
}

/// What `of` says of every pair, the first of which comes earlier.
pub(crate) fn of_pairs<V>(vectors: &[V], of: impl Fn(&V, &V) -> f64) -> Vec<f64> {
    let pairs = vectors.iter().enumerate().flat_map(|(i, one)| vectors[i + 1..].iter().map(move |other| (one, other)));
    pairs.map(|(one, other)| of(one, other)).collect()
}

/// The cosines of documents by level, where `pairs` gives those of one document's questions.
pub(crate) fn cosines<E>(
    vectors: Vectors,
    documents: [Vec<Vec<&str>>; 3],
    mut pairs: impl FnMut(&[&str]) -> Result<Vec<f64>, E>,
) -> Result<Cosines, E> {
    let mut levels = Vec::new();
    for (level, documents) in LEVELS.into_iter().zip(documents) {
        let documents: Vec<_> = documents.into_iter().filter(|questions| questions.len() >= 2).collect();
        let mut all: Vec<f32> = Vec::new();
        for questions in &documents {
            all.extend(pairs(questions)?.into_iter().map(|cosine| cosine.clamp(vectors.least(), 1.0) as f32));
        }
        let questions = documents.iter().map(|questions| questions.len() as u64).sum();
        levels.extend(of_level(level, documents.len() as u64, questions, all, vectors.least()));
    }
    Ok(Cosines { vectors, levels })
}

fn of_level(level: u8, documents: u64, questions: u64, mut all: Vec<f32>, least: f64) -> Option<LevelCosines> {
    all.sort_unstable_by(f32::total_cmp);
    let ranked = |share: f64| {
        let rank = ((share * all.len() as f64).ceil() as usize).max(1);
        all.get(rank - 1).copied().map(f64::from)
    };
    let mean = all.iter().copied().map(f64::from).sum::<f64>() / all.len() as f64;
    Some(LevelCosines {
        level,
        documents,
        questions,
        pairs: all.len() as u64,
        mean,
        p10: ranked(0.1)?,
        median: ranked(0.5)?,
        p90: ranked(0.9)?,
        histogram: histogram(&all, least),
    })
}

/// Bins from the least cosine to 1, which belongs to the last.
fn histogram(all: &[f32], least: f64) -> Histogram {
    let bins = ((1.0 - least) / WIDTH).round() as usize;
    let mut counts = vec![0; bins];
    for cosine in all {
        let bin = ((f64::from(*cosine) - least) / WIDTH) as usize;
        counts[bin.min(bins - 1)] += 1;
    }
    Histogram { from: least, width: WIDTH, counts, above: 0 }
}
