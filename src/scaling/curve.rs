//! A curve in coordinates that suit the search: all logarithms, taken at the middle of the data.
//!
//! With `x = ln(tokens / middle)` and `u = e^(beta x)` the law is `a (1 + l) / (l + u) + e`. In the middle `u = 1`, so `a` is the
//! error there that training can remove, however `l` and `beta` are: the coordinates hardly depend on each other, and not at
//! all on the units.

use crate::law::{Law, Parameters};
use crate::points::Series;

/// `ln a`, `ln l`, `ln e` and `ln beta`.
pub type Coordinates = [f64; 4];

/// The place of `ln a`.
pub const AMPLITUDE: usize = 0;
/// The place of `ln l`; it is minus infinity in the power law.
pub const SHIFT: usize = 1;
/// The place of `ln e`.
pub const FLOOR: usize = 2;
/// The place of `ln beta`.
pub const BETA: usize = 3;

/// A logarithm and how it changes with each coordinate.
#[derive(Clone, Copy, Debug)]
pub struct Slope {
    /// The logarithm.
    pub log: f64,
    /// Its derivatives.
    pub gradient: Coordinates,
}

/// The part of the error that training can still remove at `x`.
pub fn reducible(at: &Coordinates, x: f64) -> Slope {
    let (shift, beta) = (at[SHIFT].exp(), at[BETA].exp());
    let u = (beta * x).exp();
    let sum = shift + u;
    Slope {
        log: at[AMPLITUDE] + shift.ln_1p() - sum.ln(),
        gradient: [1.0, shift / (1.0 + shift) - shift / sum, 0.0, -beta * x * u / sum],
    }
}

/// The whole error at `x`.
pub fn error(at: &Coordinates, x: f64) -> Slope {
    let removable = reducible(at, x);
    let (part, floor) = (removable.log.exp(), at[FLOOR].exp());
    let whole = part + floor;
    let mut gradient = removable.gradient.map(|slope| slope * part / whole);
    gradient[FLOOR] = floor / whole;
    Slope { log: whole.ln(), gradient }
}

/// What one series measures, in the units of the search, and what of its curve is given.
#[derive(Clone, Debug)]
pub struct Frame {
    /// `ln(tokens / middle)` of each point.
    pub xs: Vec<f64>,
    /// `ln(error / level)` of each point.
    pub logs: Vec<f64>,
    /// `ln middle`: the mean of the logarithms of the tokens.
    pub middle: f64,
    /// `ln level`: the mean of the logarithms of the errors.
    pub level: f64,
    /// The form of the curve.
    pub law: Law,
    /// `ln(B / D_l / level)`, where it is given.
    pub ratio: Option<f64>,
    /// `ln(E / level)`, where it is given.
    pub floor: Option<f64>,
}

impl Frame {
    /// The frame of a series of which nothing is given.
    pub fn of(series: &Series, law: Law) -> Self {
        let mean = |logs: &[f64]| logs.iter().sum::<f64>() / logs.len() as f64;
        let tokens: Vec<f64> = series.points.iter().map(|point| point.tokens.ln()).collect();
        let errors: Vec<f64> = series.points.iter().map(|point| point.error.ln()).collect();
        let (middle, level) = (mean(&tokens), mean(&errors));
        Frame {
            xs: tokens.iter().map(|log| log - middle).collect(),
            logs: errors.iter().map(|log| log - level).collect(),
            middle,
            level,
            law,
            ratio: None,
            floor: None,
        }
    }

    /// Which of `ln a`, `ln l` and `ln e` are to be found.
    pub fn free(&self) -> [bool; 3] {
        [self.ratio.is_none(), self.law == Law::Rectified, self.floor.is_none()]
    }

    /// How many of them there are.
    pub fn free_count(&self) -> usize {
        self.free().into_iter().filter(|free| *free).count()
    }

    /// Puts what is given in its place: `B / D_l = a (1 + l) / l`.
    pub fn settle(&self, mut at: Coordinates) -> Coordinates {
        if self.law == Law::Power {
            at[SHIFT] = f64::NEG_INFINITY;
        }
        if let Some(ratio) = self.ratio {
            at[AMPLITUDE] = ratio + at[SHIFT] - at[SHIFT].exp().ln_1p();
        }
        if let Some(floor) = self.floor {
            at[FLOOR] = floor;
        }
        at
    }

    /// The derivatives by what is free alone: what is given moves with the rest, or not at all.
    pub fn chain(&self, at: &Coordinates, mut slope: Slope) -> Slope {
        if self.ratio.is_some() {
            slope.gradient[SHIFT] += slope.gradient[AMPLITUDE] / (1.0 + at[SHIFT].exp());
        }
        for (place, free) in self.free().into_iter().enumerate() {
            if !free {
                slope.gradient[place] = 0.0;
            }
        }
        slope
    }

    /// The parameters in the user's units. What is too small to be seen in any point is 0.
    pub fn parameters(&self, at: &Coordinates) -> Parameters {
        let beta = at[BETA].exp();
        let unseen = |log: f64, smallest: f64| log < smallest - 18.0;
        let least = |values: &[f64]| values.iter().copied().fold(f64::INFINITY, f64::min);
        let no_shift = unseen(at[SHIFT], beta * least(&self.xs));
        let no_floor = self.floor.is_none() && unseen(at[FLOOR], least(&self.logs));
        let per_beta = beta * self.middle;
        Parameters {
            b: (at[AMPLITUDE] + at[SHIFT].exp().ln_1p() + per_beta + self.level).exp(),
            d_l: if no_shift { 0.0 } else { (at[SHIFT] + per_beta).exp() },
            beta,
            e: if no_floor { 0.0 } else { (at[FLOOR] + self.level).exp() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::points::Point;

    fn frame() -> Frame {
        let points = [1e9, 4e9, 3e10].map(|tokens| Point { tokens, error: 30.0 });
        Frame::of(&Series { name: "a".into(), points: points.into() }, Law::Rectified)
    }

    #[test]
    fn coordinates_and_parameters_are_the_same_curve() {
        let (frame, at) = (frame(), [-1.0, 0.3, -0.7, -0.6]);
        let parameters = frame.parameters(&at);
        for x in [-2.0, 0.0, 1.5] {
            let (tokens, log) = ((x + frame.middle).exp(), error(&at, x).log + frame.level);
            assert!((parameters.error(tokens).ln() - log).abs() < 1e-12);
        }
    }

    #[test]
    fn gradients_are_those_of_small_steps() {
        let frame = Frame { ratio: Some(0.4), ..frame() };
        let at = frame.settle([-1.0, 0.3, -0.7, -0.6]);
        let slope = frame.chain(&at, error(&at, 1.2));
        for place in 0..4 {
            let moved = |by: f64| {
                let mut near = at;
                near[place] += by;
                error(&frame.settle(near), 1.2).log
            };
            let measured = (moved(1e-6) - moved(-1e-6)) / 2e-6;
            assert!((slope.gradient[place] - measured).abs() < 1e-8, "{place}: {measured}");
        }
    }
}
