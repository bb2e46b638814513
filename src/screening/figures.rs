//! How good scores are, measured on examples that were not learnt from.
//!
//! The receiver operating characteristic and the area under it (Hanley and `McNeil` 1982: the probability that a yes scores above a
//! no, ties counted half); precision and recall where scores above a threshold are kept; and for ratings the root mean square
//! error and Pearson's correlation.

use serde::{Deserialize, Serialize};

/// What is known of a model's scores.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Figures {
    /// Examples that were looked at.
    pub examples: usize,
    /// Of yes against no; absent where only one of them occurs.
    pub roc: Option<Roc>,
    /// At the model's own threshold.
    pub at_threshold: AtThreshold,
    /// Against the ratings themselves, where there are any.
    pub ratings: Option<Ratings>,
}

/// The receiver operating characteristic.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Roc {
    /// The area under the curve, 0.5 for scores that say nothing.
    pub area: f64,
    /// From (0, 0) to (1, 1), one for each different score.
    pub points: Vec<RocPoint>,
}

/// What keeping the scores from some value on means.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct RocPoint {
    /// The share of no that is kept.
    pub false_positive_rate: f64,
    /// The share of yes that is kept.
    pub true_positive_rate: f64,
}

/// What keeping the scores above a threshold means.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct AtThreshold {
    /// The threshold.
    pub threshold: f64,
    /// Yes that is kept.
    pub true_positives: usize,
    /// No that is kept.
    pub false_positives: usize,
    /// Yes that is not kept.
    pub false_negatives: usize,
    /// No that is not kept.
    pub true_negatives: usize,
}

/// How near scores come to ratings.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Ratings {
    /// The root mean square error.
    pub rmse: f64,
    /// The root mean square error of one guess for all, the mean: what a useful model is below.
    pub rmse_of_mean: f64,
    /// Pearson's correlation; absent where all scores or all ratings are equal.
    pub correlation: Option<f64>,
}

impl Figures {
    /// Of scores with what is true of each.
    pub fn of_labels(scored: &[(f64, bool)], threshold: f64) -> Self {
        Figures {
            examples: scored.len(),
            roc: Roc::of(scored),
            at_threshold: AtThreshold::of(scored, threshold),
            ratings: None,
        }
    }

    /// Of scores with the rating of each; a rating above the threshold is a yes.
    pub fn of_ratings(scored: &[(f64, f64)], threshold: f64) -> Self {
        let labels: Vec<_> = scored.iter().map(|(score, rating)| (*score, *rating > threshold)).collect();
        Figures { ratings: Ratings::of(scored), ..Figures::of_labels(&labels, threshold) }
    }
}

impl Roc {
    /// The curve; nothing where yes or no is missing, or a score is no number.
    pub fn of(scored: &[(f64, bool)]) -> Option<Self> {
        let yes = scored.iter().filter(|(_, label)| *label).count() as f64;
        let no = scored.len() as f64 - yes;
        if yes < 1.0 || no < 1.0 || scored.iter().any(|(score, _)| score.is_nan()) {
            return None;
        }
        let mut falling = scored.to_vec();
        falling.sort_by(|(one, _), (other, _)| other.total_cmp(one));
        let mut points = vec![RocPoint { false_positive_rate: 0.0, true_positive_rate: 0.0 }];
        let (mut kept_yes, mut kept_no, mut area) = (0.0, 0.0, 0.0);
        // Equal scores are kept together: they make one slanted step, under which ties count half.
        for equal in falling.chunk_by(|(one, _), (other, _)| one.total_cmp(other).is_eq()) {
            let new_yes = equal.iter().filter(|(_, label)| *label).count() as f64;
            let new_no = equal.len() as f64 - new_yes;
            area += new_no * (kept_yes + new_yes / 2.0);
            kept_yes += new_yes;
            kept_no += new_no;
            points.push(RocPoint { false_positive_rate: kept_no / no, true_positive_rate: kept_yes / yes });
        }
        Some(Roc { area: area / (yes * no), points })
    }
}

impl AtThreshold {
    fn of(scored: &[(f64, bool)], threshold: f64) -> Self {
        let count = |kept: bool, yes: bool| {
            scored.iter().filter(|(score, label)| (*score > threshold) == kept && *label == yes).count()
        };
        AtThreshold {
            threshold,
            true_positives: count(true, true),
            false_positives: count(true, false),
            false_negatives: count(false, true),
            true_negatives: count(false, false),
        }
    }

    /// The share of yes in what is kept; nothing where nothing is kept.
    pub fn precision(&self) -> Option<f64> {
        share(self.true_positives, self.true_positives + self.false_positives)
    }

    /// The share of yes that is kept; nothing where there is no yes.
    pub fn recall(&self) -> Option<f64> {
        share(self.true_positives, self.true_positives + self.false_negatives)
    }
}

fn share(part: usize, whole: usize) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

impl Ratings {
    fn of(scored: &[(f64, f64)]) -> Option<Self> {
        let count = scored.len() as f64;
        if scored.is_empty() {
            return None;
        }
        let mean = |value: fn(&(f64, f64)) -> f64| scored.iter().map(value).sum::<f64>() / count;
        let (mean_score, mean_rating) = (mean(|pair| pair.0), mean(|pair| pair.1));
        let sum = |term: &dyn Fn(f64, f64) -> f64| scored.iter().map(|(score, rating)| term(*score, *rating)).sum::<f64>();
        let of_scores = sum(&|score, _| (score - mean_score).powi(2));
        let of_ratings = sum(&|_, rating| (rating - mean_rating).powi(2));
        let together = sum(&|score, rating| (score - mean_score) * (rating - mean_rating));
        let spread = (of_scores * of_ratings).sqrt();
        Some(Ratings {
            rmse: (sum(&|score, rating| (score - rating).powi(2)) / count).sqrt(),
            rmse_of_mean: (of_ratings / count).sqrt(),
            correlation: (spread > 0.0).then(|| together / spread),
        })
    }
}
