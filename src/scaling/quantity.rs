//! What intervals are given of, and how a value of it is held while the rest is fitted.

use crate::curve::{BETA, Coordinates, FLOOR, Frame, SHIFT};
use crate::measure::Measure;

/// A quantity of a fitted curve.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Quantity {
    /// `B`
    B,
    /// `D_l`
    PriorTokens,
    /// `beta`
    Beta,
    /// `E`
    E,
    /// The error after so many tokens.
    Error {
        /// The tokens.
        tokens: f64,
    },
    /// The tokens from which on a doubling takes less than so much off the error.
    LastDoubling {
        /// What it takes off.
        gain: f64,
    },
}

impl Quantity {
    /// The logarithm of its value on a curve, in the user's units; none where it has no value or is given.
    pub(crate) fn log(self, frame: &Frame, at: &Coordinates) -> Option<f64> {
        let parameters = frame.parameters(at);
        let value = match self {
            Quantity::LastDoubling { gain } => parameters.last_doubling(gain)?.ln(),
            _ => self.held(frame, 0.0).0.slope(frame, at).log + self.unit(frame),
        };
        let is_given = match self {
            Quantity::PriorTokens => !frame.free()[SHIFT],
            Quantity::E => !frame.free()[FLOOR],
            _ => false,
        };
        (value.is_finite() && !is_given).then_some(value)
    }

    /// What is held, at which logarithm, when the quantity is to have the value `e^log`.
    ///
    /// The last doubling has no value on some curves, so it is asked the other way round: whether a doubling of so many tokens can
    /// take just `gain` off.
    pub(crate) fn held(self, frame: &Frame, log: f64) -> (Measure, f64) {
        let measure = match self {
            Quantity::B => Measure::B,
            Quantity::PriorTokens => Measure::PriorTokens,
            Quantity::Beta => Measure::Beta,
            Quantity::E => Measure::Floor,
            Quantity::Error { tokens } => Measure::Error(tokens.ln() - frame.middle),
            Quantity::LastDoubling { gain } => return (Measure::Gain(log - frame.middle), gain.ln() - frame.level),
        };
        (measure, log - self.unit(frame))
    }

    /// The logarithm of the unit of the search, where the user's is another.
    fn unit(self, frame: &Frame) -> f64 {
        match self {
            Quantity::B | Quantity::E | Quantity::Error { .. } => frame.level,
            _ => 0.0,
        }
    }

    /// How far from its estimate, in logarithms, a value may lie before it counts as 0 or as without bound.
    pub(crate) fn reach(self, at: &Coordinates) -> f64 {
        match self {
            Quantity::B | Quantity::PriorTokens => 40.0,
            Quantity::LastDoubling { .. } => 30.0 / at[BETA].exp().min(1.0),
            _ => 9.0,
        }
    }
}
