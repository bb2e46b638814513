//! A number that is known to lie between two others.

use std::ops::{Add, AddAssign, Mul};

use serde::{Serialize, Serializer};

/// From `low` to `high`, never negative.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Range {
    pub low: f64,
    pub high: f64,
}

impl Range {
    pub fn new(low: f64, high: f64) -> Self {
        Range { low: low.min(high).max(0.0), high: high.max(0.0) }
    }

    pub fn exactly(value: f64) -> Self {
        Range::new(value, value)
    }

    /// A mean of earlier runs, give or take this share of it.
    pub fn around(mean: f64, share: f64) -> Self {
        Range::new(mean * (1.0 - share), mean * (1.0 + share))
    }

    pub fn at_most(self, most: f64) -> Self {
        Range::new(self.low.min(most), self.high.min(most))
    }

    /// In whole numbers.
    pub fn whole(self) -> (u64, u64) {
        (self.low.floor() as u64, self.high.ceil() as u64)
    }

    /// `3 to 7`, or `3`.
    pub fn text(self) -> String {
        match self.whole() {
            (low, high) if low == high => low.to_string(),
            (low, high) => format!("{low} to {high}"),
        }
    }
}

impl Add for Range {
    type Output = Range;
    fn add(self, other: Range) -> Range {
        Range { low: self.low + other.low, high: self.high + other.high }
    }
}

impl AddAssign for Range {
    fn add_assign(&mut self, other: Range) {
        *self = *self + other;
    }
}

impl Mul for Range {
    type Output = Range;
    fn mul(self, other: Range) -> Range {
        Range { low: self.low * other.low, high: self.high * other.high }
    }
}

impl Mul<f64> for Range {
    type Output = Range;
    fn mul(self, factor: f64) -> Range {
        Range { low: self.low * factor, high: self.high * factor }
    }
}

/// Counts are whole for programs, too.
pub fn whole<S: Serializer>(range: &Range, serializer: S) -> Result<S::Ok, S::Error> {
    let (low, high) = range.whole();
    Whole { low, high }.serialize(serializer)
}

/// As it is, for money.
pub fn plain<S: Serializer>(range: &Range, serializer: S) -> Result<S::Ok, S::Error> {
    Plain { low: range.low, high: range.high }.serialize(serializer)
}

#[derive(Serialize)]
struct Whole {
    low: u64,
    high: u64,
}

#[derive(Serialize)]
struct Plain {
    low: f64,
    high: f64,
}
