//! Quantities of a curve that can be held at a value while the rest is fitted.

use crate::curve::{AMPLITUDE, BETA, Coordinates, FLOOR, Frame, SHIFT, Slope, error, reducible};

/// A positive quantity of a curve, in the units of the search.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Measure {
    /// `B`
    B,
    /// `D_l`
    PriorTokens,
    /// `beta`
    Beta,
    /// `E`
    Floor,
    /// The error at `x`.
    Error(f64),
    /// What a doubling takes off the error at `x`.
    Gain(f64),
}

impl Measure {
    /// Its logarithm, and how it changes with what is free.
    pub fn slope(self, frame: &Frame, at: &Coordinates) -> Slope {
        frame.chain(at, self.plain(frame, at))
    }

    fn plain(self, frame: &Frame, at: &Coordinates) -> Slope {
        let per_beta = at[BETA].exp() * frame.middle;
        let shift = at[SHIFT].exp();
        match self {
            Measure::Beta => Slope { log: at[BETA], gradient: [0.0, 0.0, 0.0, 1.0] },
            Measure::Floor => Slope { log: at[FLOOR], gradient: [0.0, 0.0, 1.0, 0.0] },
            Measure::PriorTokens => Slope { log: at[SHIFT] + per_beta, gradient: [0.0, 1.0, 0.0, per_beta] },
            Measure::B => {
                let log = at[AMPLITUDE] + shift.ln_1p() + per_beta;
                Slope { log, gradient: [1.0, shift / (1.0 + shift), 0.0, per_beta] }
            }
            Measure::Error(x) => error(at, x),
            Measure::Gain(x) => gain(at, x),
        }
    }
}

fn gain(at: &Coordinates, x: f64) -> Slope {
    let (before, after) = (reducible(at, x), reducible(at, x + std::f64::consts::LN_2));
    let (first, second) = (before.log.exp(), after.log.exp());
    let gain = first - second;
    let mut gradient = [0.0; 4];
    for (place, slope) in gradient.iter_mut().enumerate() {
        *slope = (first * before.gradient[place] - second * after.gradient[place]) / gain;
    }
    Slope { log: gain.ln(), gradient }
}
