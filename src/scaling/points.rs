//! What is fitted: series of points that can have a law.

use serde::Serialize;

/// An error that was measured after training on so many tokens.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Point {
    /// Training tokens (or examples, or steps: any amount of data).
    pub tokens: f64,
    /// The error, or a loss.
    pub error: f64,
}

/// The points of one curve, for example of one model.
#[derive(Clone, PartialEq, Debug)]
pub struct Series {
    /// Its name in the file.
    pub name: String,
    /// Its points.
    pub points: Vec<Point>,
}

impl Series {
    /// The different amounts of tokens, ascending.
    pub fn amounts(&self) -> Vec<f64> {
        let mut amounts: Vec<f64> = self.points.iter().map(|point| point.tokens).collect();
        amounts.sort_by(f64::total_cmp);
        amounts.dedup();
        amounts
    }

    /// The series without the points of its `count` largest amounts, and those points.
    pub fn hold_out(&self, count: usize) -> (Series, Vec<Point>) {
        let amounts = self.amounts();
        let kept = amounts.len().saturating_sub(count);
        let is_kept = |point: &Point| amounts[..kept].contains(&point.tokens);
        let (points, held_out) = self.points.iter().partition(|point| is_kept(point));
        (Series { name: self.name.clone(), points }, held_out)
    }
}

/// What an error is measured in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// From 0 to 1.
    Fraction,
    /// From 0 to 100.
    Percent,
    /// Any positive number, for example a cross entropy.
    Loss,
}

impl Unit {
    /// The name as users write it.
    pub fn name(self) -> &'static str {
        match self {
            Unit::Fraction => "fraction",
            Unit::Percent => "percent",
            Unit::Loss => "loss",
        }
    }

    /// The largest error in this unit.
    pub fn most(self) -> f64 {
        match self {
            Unit::Fraction => 1.0,
            Unit::Percent => 100.0,
            Unit::Loss => f64::INFINITY,
        }
    }

    /// How much a percentage point is in this unit; a loss has no points and counts in itself.
    pub fn point(self) -> f64 {
        if self == Unit::Fraction { 0.01 } else { 1.0 }
    }

    /// The narrowest unit that all errors fit in.
    pub fn guess(series: &[Series]) -> Unit {
        let largest = series.iter().flat_map(|one| &one.points).fold(0.0, |most: f64, point| most.max(point.error));
        let fits = |unit: &Unit| largest <= unit.most();
        [Unit::Fraction, Unit::Percent].into_iter().find(fits).unwrap_or(Unit::Loss)
    }
}
