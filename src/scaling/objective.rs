//! What a fit makes small: a loss of the differences of logarithms.

use serde::Serialize;

/// The loss of one difference.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Objective {
    /// Square up to 0.001, beyond it linear: single bad points hardly move the curve.
    Huber,
    /// The square: the fit has the least root mean square of logarithms.
    Square,
}

/// Where Huber's loss turns linear.
const DELTA: f64 = 1e-3;

impl Objective {
    /// The name as users write it.
    pub fn name(self) -> &'static str {
        match self {
            Objective::Huber => "huber",
            Objective::Square => "square",
        }
    }

    /// What is made small, in words.
    pub fn phrase(self) -> &'static str {
        match self {
            Objective::Huber => "the Huber loss of logarithms",
            Objective::Square => "least squares of logarithms",
        }
    }

    /// The loss of a difference.
    pub fn loss(self, difference: f64) -> f64 {
        let size = difference.abs();
        if self == Objective::Square || size <= DELTA { 0.5 * size * size } else { DELTA * (size - 0.5 * DELTA) }
    }

    /// The weight under which the square has the same slope.
    pub fn weight(self, difference: f64) -> f64 {
        let size = difference.abs();
        if self == Objective::Square || size <= DELTA { 1.0 } else { DELTA / size }
    }
}
