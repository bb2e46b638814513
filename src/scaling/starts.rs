//! Where searches begin: a fixed grid of `beta`, with the best `l` of a grid for each series. For fixed `beta` and `l` the curve is
//! linear in `a` and `e`, so these are solved for. No chance is involved, and no unit.

use crate::curve::{Coordinates, Frame};
use crate::law::Law;
use crate::problem::{Position, Problem};

/// The starts of a problem.
pub fn starts(problem: &Problem) -> Vec<Position> {
    let betas = match problem.beta {
        Some(beta) => vec![beta],
        None => (0..24).map(|i| (0.01_f64).ln() + f64::from(i) * 0.27).collect(),
    };
    let start = |beta: f64| problem.frames.iter().map(|frame| best(problem, frame, beta)).collect();
    betas.into_iter().map(start).collect()
}

/// The best of the grid of `l` for one series.
fn best(problem: &Problem, frame: &Frame, beta: f64) -> Coordinates {
    let loss = |at: &Coordinates| {
        let differences = frame.xs.iter().zip(&frame.logs).map(|(x, log)| crate::curve::error(at, *x).log - log);
        differences.map(|difference| problem.objective.loss(difference)).sum::<f64>()
    };
    let candidates = shifts(frame, beta).into_iter().map(|shift| linear(frame, beta, shift));
    candidates.min_by(|one, other| loss(one).total_cmp(&loss(other))).expect("the grid is never empty")
}

/// `ln l` from where no point sees it to where only the last does.
fn shifts(frame: &Frame, beta: f64) -> Vec<f64> {
    if frame.law == Law::Power {
        return vec![f64::NEG_INFINITY];
    }
    let (least, most) = frame.xs.iter().fold((0.0, 0.0), |(least, most): (f64, f64), x| (least.min(*x), most.max(*x)));
    let (low, high) = (beta.exp() * least - 4.0, beta.exp() * most + 2.0);
    (0..20).map(|i| low + (high - low) * f64::from(i) / 19.0).collect()
}

/// The coordinates whose relative differences have the least squares, with `a` and `e` positive.
fn linear(frame: &Frame, beta: f64, shift: f64) -> Coordinates {
    let unit = [0.0, shift, f64::NEG_INFINITY, beta];
    let rows = frame.xs.iter().zip(&frame.logs).map(|(x, log)| {
        let removable = crate::curve::reducible(&unit, *x).log;
        ((removable - log).exp(), (-log).exp())
    });
    let sums = rows.fold([0.0; 5], |[aa, ae, ee, a, e], (p, q)| [aa + p * p, ae + p * q, ee + q * q, a + p, e + q]);
    let given = frame.settle([0.0, shift, 0.0, beta]);
    let [amplitude, _, floor, _] = given.map(f64::exp);
    let (a, e) = match (frame.ratio, frame.floor) {
        (Some(_), Some(_)) => (amplitude, floor),
        (Some(_), None) => (amplitude, (sums[4] - sums[1] * amplitude) / sums[2]),
        (None, Some(_)) => ((sums[3] - sums[1] * floor) / sums[0], floor),
        (None, None) => both(sums),
    };
    // Something very small stands for nothing: the search can come back from there.
    [a.max(1e-3).ln(), shift, e.max(1e-3).ln(), beta]
}

/// The least squares of `a p + e q = 1`, not below 0.
fn both([aa, ae, ee, a, e]: [f64; 5]) -> (f64, f64) {
    let determinant = aa * ee - ae * ae;
    let (amplitude, floor) = ((a * ee - e * ae) / determinant, (e * aa - a * ae) / determinant);
    if floor >= 0.0 && amplitude >= 0.0 {
        (amplitude, floor)
    } else if floor < 0.0 {
        (a / aa, 0.0)
    } else {
        (0.0, e / ee)
    }
}
