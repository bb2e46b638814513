//! A random forest on embeddings.
//!
//! Input: embeddings of one length, a target each. Output: a score for any embedding of that length. Law: a function of the
//! examples, their order, the settings and the seed. Cost: about trees x sqrt(dimensions) x n log n to fit.
//!
//! Both kinds are forests of regression trees. On targets of 0 and 1 the variance that such a tree reduces is half of the Gini
//! impurity, so its splits are those of a classification tree, and the mean over the trees is the share of votes for yes with the
//! leaves' doubts kept, which the library's own classifier does not tell.

use serde::{Deserialize, Serialize};
use smartcore::ensemble::random_forest_regressor::{RandomForestRegressor, RandomForestRegressorParameters};
use smartcore::linalg::basic::matrix::DenseMatrix;

use crate::error::FitError;

/// The fewest examples to learn from: with fewer, what is held out says nothing.
const LEAST_EXAMPLES: usize = 8;

/// So many embeddings are scored at a time.
const BATCH: usize = 1024;

/// What the targets are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// 0 or 1; both classes weigh the same, however many examples each has, so that 0.5 is the border between them.
    Classifier,
    /// Any numbers; every example weighs the same.
    Regressor,
}

/// How a forest is grown.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ForestSettings {
    /// How many trees.
    pub trees: usize,
    /// The fewest examples in a leaf.
    pub least_in_leaf: usize,
    /// The seed of the bootstrap and of the choice of dimensions.
    pub seed: u64,
}

impl Default for ForestSettings {
    fn default() -> Self {
        ForestSettings { trees: 200, least_in_leaf: 2, seed: 1 }
    }
}

type Trees = RandomForestRegressor<f32, f64, DenseMatrix<f32>, Vec<f64>>;

/// A fitted forest.
#[derive(Debug, Serialize, Deserialize)]
pub struct Forest {
    dimensions: usize,
    trees: Trees,
}

impl Forest {
    /// Learns from embeddings with a target each.
    ///
    /// # Errors
    /// When there are fewer than eight examples, all have one target, or they are not all of one length and finite.
    pub fn fit(kind: Kind, embeddings: &[&[f32]], targets: &[f64], settings: &ForestSettings) -> Result<Self, FitError> {
        check(embeddings, targets)?;
        let rows: Vec<Vec<f32>> = embeddings.iter().map(|row| row.to_vec()).collect();
        let rows = DenseMatrix::from_2d_vec(&rows).map_err(refused)?;
        let parameters = RandomForestRegressorParameters::default()
            .with_n_trees(settings.trees.max(1))
            .with_min_samples_leaf(settings.least_in_leaf.max(1))
            .with_seed(settings.seed);
        let targets = targets.to_vec();
        let trees = match kind {
            Kind::Classifier => Trees::fit_with_weights(&rows, &targets, &balanced(&targets), parameters),
            Kind::Regressor => Trees::fit(&rows, &targets, parameters),
        };
        Ok(Forest { dimensions: embeddings[0].len(), trees: trees.map_err(refused)? })
    }

    /// The numbers of an embedding.
    pub fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// The score of each embedding, on the scale of the targets.
    ///
    /// # Panics
    /// When an embedding has another length than those that the forest was fitted to; [`crate::Model::scores`] checks that.
    pub fn scores(&self, embeddings: &[&[f32]]) -> Vec<f64> {
        let mut scores = Vec::with_capacity(embeddings.len());
        for batch in embeddings.chunks(BATCH) {
            let rows: Vec<Vec<f32>> = batch.iter().map(|row| row.to_vec()).collect();
            assert!(rows.iter().all(|row| row.len() == self.dimensions), "embeddings are of the forest's length");
            let rows = DenseMatrix::from_2d_vec(&rows).expect("all rows have the same length");
            scores.extend(self.trees.predict(&rows).expect("the forest is fitted"));
        }
        scores
    }
}

fn check(embeddings: &[&[f32]], targets: &[f64]) -> Result<(), FitError> {
    let found = embeddings.len().min(targets.len());
    if found < LEAST_EXAMPLES {
        return Err(FitError::TooFew { found, least: LEAST_EXAMPLES });
    }
    let expected = embeddings[0].len();
    for (example, (row, target)) in embeddings.iter().zip(targets).enumerate() {
        if row.len() != expected || row.is_empty() {
            return Err(FitError::Dimensions { example, found: row.len(), expected: expected.max(1) });
        }
        if !target.is_finite() || row.iter().any(|number| !number.is_finite()) {
            return Err(FitError::NotFinite { example });
        }
    }
    // Targets are compared as they were given, not computed.
    #[allow(clippy::float_cmp)]
    if targets.iter().all(|target| *target == targets[0]) {
        return Err(FitError::OneTarget { examples: found, target: targets[0] });
    }
    Ok(())
}

/// Weights with which both classes weigh the same.
fn balanced(targets: &[f64]) -> Vec<f64> {
    let yes = targets.iter().filter(|target| **target > 0.5).count() as f64;
    let no = targets.len() as f64 - yes;
    targets.iter().map(|target| if *target > 0.5 { 1.0 / yes } else { 1.0 / no }).collect()
}

fn refused(error: smartcore::error::Failed) -> FitError {
    FitError::Refused(error.to_string())
}
