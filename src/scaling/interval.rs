//! Honest intervals: the values of a quantity under which the points fit hardly worse than at best.
//!
//! For a value of the quantity the rest of the curve is fitted again; the statistic is how much the loss grows by that, relative to the
//! least loss. How much is too much is found by bootstrap: points are drawn many times from the fitted curve with normal noise of the
//! size seen, and fitted in the same way. So few points as these have intervals that are far from symmetric and often open at one end;
//! percentiles of refitted parameters are too narrow then, while this statistic hardly depends on the true curve. For squares it
//! is the likelihood ratio, and the threshold comes close to the quantile of the F distribution.
//! Assumed are independent errors of logarithms of one size in each series. Noise is drawn normal, since a handful of residuals can't
//! say another form.

use serde::Serialize;

use crate::bootstrap::{Held, calibrate};
use crate::curve::{BETA, Frame, Slope};
use crate::fit::{Fit, Solved};
use crate::problem::{Pin, Position};
use crate::quantity::Quantity;
use crate::search::{Care, descend};
use crate::step::solve;

/// How intervals are found.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Bootstrap {
    /// How many times points are drawn.
    pub draws: u32,
    /// In how many of all cases an interval shall hold the truth, between 0 and 1.
    pub level: f64,
    /// Equal seeds give equal intervals.
    pub seed: u64,
}

impl Default for Bootstrap {
    fn default() -> Self {
        Bootstrap { draws: 200, level: 0.9, seed: 0 }
    }
}

/// From `low` to `high`; without bound where `high` is missing.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
#[serde(into = "(f64, Option<f64>)")]
pub struct Interval {
    /// The least value.
    pub low: f64,
    /// The greatest.
    pub high: Option<f64>,
}

impl From<Interval> for (f64, Option<f64>) {
    fn from(interval: Interval) -> Self {
        (interval.low, interval.high)
    }
}

impl Interval {
    /// Whether a value lies in it.
    pub fn holds(&self, value: f64) -> bool {
        self.low <= value && self.high.is_none_or(|high| value <= high)
    }
}

/// Below this root mean square the points are taken to lie exactly on the curve.
const EXACT: f64 = 1e-8;

impl Fit {
    /// The intervals of quantities of series; none for what has no value or is given.
    pub fn intervals(&self, wanted: &[(usize, Quantity)], bootstrap: &Bootstrap) -> Vec<Option<Interval>> {
        let mut intervals = vec![None; wanted.len()];
        for solved in &self.problems {
            let held: Vec<(usize, Held)> =
                wanted.iter().enumerate().filter_map(|(i, one)| Some((i, solved.held(one)?))).collect();
            let all: Vec<Held> = held.iter().map(|(_, held)| *held).collect();
            let thresholds = if solved.is_exact() { vec![0.0; all.len()] } else { calibrate(solved, &all, bootstrap) };
            for ((i, held), threshold) in held.iter().zip(thresholds) {
                intervals[*i] = Some(Profile { solved, held: *held, threshold }.interval());
            }
        }
        intervals
    }
}

impl Solved {
    fn is_exact(&self) -> bool {
        let squares: f64 = (0..self.members.len()).map(|place| self.squares(place)).sum();
        (squares / self.problem.point_count() as f64).sqrt() < EXACT
    }

    /// A quantity of one of these series, at its estimate.
    fn held(&self, (series, quantity): &(usize, Quantity)) -> Option<Held> {
        let place = self.members.iter().position(|member| member == series)?;
        if *quantity == Quantity::Beta && self.problem.beta.is_some() {
            return None;
        }
        let frame = &self.problem.frames[place];
        let log = quantity.log(frame, &self.at[place])?;
        let spread = self.spread(place, &quantity.held(frame, log).0.slope(frame, &self.at[place]));
        Some(Held { place, quantity: *quantity, log, spread })
    }

    /// How far a quantity moves until the loss has grown by a half, were the loss a parabola.
    fn spread(&self, place: usize, slope: &Slope) -> f64 {
        let free: Vec<_> = self.problem.frames.iter().map(Frame::free).collect();
        let mut right = vec![[0.0; 4]; free.len()];
        right[place] = slope.gradient;
        let normals = self.problem.normals(&self.at, None);
        let moved = solve(&normals, &right, &free, self.problem.beta.is_none(), 0.0)[place];
        let square: f64 = moved.iter().zip(slope.gradient).map(|(step, slope)| step * slope).sum();
        if square.is_finite() { square.max(1e-12).sqrt() } else { 1.0 }
    }
}

/// The loss as a function of one quantity.
struct Profile<'a> {
    solved: &'a Solved,
    held: Held,
    threshold: f64,
}

/// A value on the way outwards, with the excess of the statistic over the threshold, in roots, so that it is nearly straight.
#[derive(Clone)]
struct Tried {
    log: f64,
    excess: f64,
    at: Position,
}

impl Profile<'_> {
    fn interval(&self) -> Interval {
        let estimate = self.held.log.exp();
        if self.threshold <= 0.0 {
            return Interval { low: estimate, high: Some(estimate) };
        }
        let low = self.end(-1.0).map_or(0.0, f64::exp);
        Interval { low, high: self.end(1.0).map(f64::exp) }
    }

    /// About half the way to an end.
    fn stride(&self) -> f64 {
        let least = self.solved.problem.loss(&self.solved.at);
        0.7 * self.held.spread * (2.0 * least * self.threshold).sqrt()
    }

    /// The logarithm of an end; none where every value within reach fits.
    fn end(&self, direction: f64) -> Option<f64> {
        let reach = self.held.quantity.reach(&self.solved.at[self.held.place]);
        let mut stride = self.stride().clamp(1e-6, 1.0);
        let mut inside = Tried { log: self.held.log, excess: -self.threshold.sqrt(), at: self.solved.at.clone() };
        loop {
            let outside = self.tried(inside.log + direction * stride, &inside.at);
            if outside.excess > 0.0 {
                return Some(self.between(inside, outside));
            }
            if (outside.log - self.held.log).abs() > reach {
                return None;
            }
            inside = outside;
            stride *= 1.6;
        }
    }

    /// Where the excess is 0: false position, with halving of the end that stays.
    fn between(&self, mut inside: Tried, mut outside: Tried) -> f64 {
        for _ in 0..25 {
            let share = inside.excess / (inside.excess - outside.excess);
            let middle = self.tried(inside.log + share * (outside.log - inside.log), &inside.at);
            if middle.excess > 0.0 {
                outside = middle;
                inside.excess *= 0.5;
            } else {
                inside = middle;
                outside.excess *= 0.5;
            }
            if (outside.log - inside.log).abs() < 1e-5 {
                break;
            }
        }
        // The outer side: rounding must not make the interval narrower.
        outside.log
    }

    fn tried(&self, log: f64, from: &Position) -> Tried {
        let Solved { problem, .. } = self.solved;
        let pin = self.held.pin(self.solved, log);
        let starts = [from.clone(), inner(self.solved, from)];
        let ends = starts.map(|start| descend(problem, start, Some(&pin), Care::Coarse));
        let at = ends.into_iter().min_by(|one, other| one.loss.total_cmp(&other.loss)).expect("there are two").at;
        let least = problem.loss(&self.solved.at);
        let statistic = statistic(problem.loss_on_target(&at, &pin), least);
        Tried { log, excess: statistic.sqrt() - self.threshold.sqrt(), at }
    }
}

/// How much worse a fit is, relative to the best. A sum that can't be computed counts as infinitely worse.
pub(crate) fn statistic(loss: f64, least: f64) -> f64 {
    let growth = (loss / least - 1.0).max(0.0);
    if growth.is_nan() { f64::INFINITY } else { growth }
}

/// A position from which `l` and `e` can be seen: where they are next to nothing the objective is flat and no search would leave.
pub(crate) fn inner(solved: &Solved, at: &Position) -> Position {
    let mut inner = at.clone();
    for (frame, at) in solved.problem.frames.iter().zip(&mut inner) {
        let smallest = |values: &[f64]| values.iter().copied().fold(f64::INFINITY, f64::min);
        at[crate::curve::SHIFT] = at[crate::curve::SHIFT].max(at[BETA].exp() * smallest(&frame.xs) - 2.0);
        at[crate::curve::FLOOR] = at[crate::curve::FLOOR].max(smallest(&frame.logs) - 3.0);
    }
    inner
}

impl Held {
    /// Holds the quantity at a value: hard against what the points say of it, and no harder, since steps along a hard pin are short.
    pub(crate) fn pin(&self, solved: &Solved, log: f64) -> Pin {
        let (measure, target) = self.quantity.held(&solved.problem.frames[self.place], log);
        Pin { frame: self.place, measure, target, weight: 10.0 / self.spread }
    }
}
