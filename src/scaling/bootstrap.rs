//! How much the loss of points that do come from a curve grows when a quantity is held at its true value.

use std::f64::consts::TAU;
use std::num::NonZero;
use std::thread;

use fastrand::Rng;

use crate::curve::{Frame, error};
use crate::fit::Solved;
use crate::interval::{Bootstrap, inner, statistic};
use crate::problem::{Pin, Position, Problem};
use crate::quantity::Quantity;
use crate::search::{Care, descend};

/// A quantity with its estimate.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held {
    /// The place of the series in its problem.
    pub place: usize,
    pub quantity: Quantity,
    /// The logarithm of the estimate.
    pub log: f64,
    /// The shape of the loss around the estimate: it grows by `(change / spread)^2 / 2`.
    pub spread: f64,
}

/// The threshold of each quantity: the quantile of its statistic over the draws.
pub(crate) fn calibrate(solved: &Solved, held: &[Held], bootstrap: &Bootstrap) -> Vec<f64> {
    let pins: Vec<Pin> = held.iter().map(|held| held.pin(solved, held.log)).collect();
    let start = inner(solved, &solved.at);
    let noise = noise(solved);
    let of_draw = |draw: u32| {
        let drawn = drawn(solved, &noise, &mut Rng::with_seed(mixed(bootstrap.seed, draw)));
        statistics_of(&drawn, &start, &pins)
    };
    let draws = on_all_cores(bootstrap.draws, of_draw);
    let of_one = |i: usize| draws.iter().map(|statistics| statistics[i]).collect();
    (0..held.len()).map(|i| quantile(of_one(i), bootstrap.level)).collect()
}

/// The results for `0..count`, in order. How many threads share the work makes no difference to them.
fn on_all_cores<T: Send>(count: u32, result: impl Fn(u32) -> T + Sync) -> Vec<T> {
    let threads = thread::available_parallelism().map_or(1, NonZero::get) as u32;
    let share = count.div_ceil(threads).max(1);
    let (result, starts) = (&result, (0..count).step_by(share as usize));
    let of_share = |start: u32| (start..count.min(start + share)).map(result).collect::<Vec<T>>();
    thread::scope(|scope| {
        let running: Vec<_> = starts.map(|start| scope.spawn(move || of_share(start))).collect();
        running.into_iter().flat_map(|share| share.join().expect("fitting does not panic")).collect()
    })
}

/// The statistics of one draw. A held fit that lies lower than the free one shows the free one a better way.
fn statistics_of(drawn: &Problem, start: &Position, pins: &[Pin]) -> Vec<f64> {
    let mut least = descend(drawn, start.clone(), None, Care::Coarse).loss;
    let held = pins.iter().map(|pin| {
        let at = descend(drawn, start.clone(), Some(pin), Care::Coarse).at;
        let loss = drawn.loss_on_target(&at, pin);
        if loss < least {
            least = least.min(descend(drawn, at, None, Care::Coarse).loss);
        }
        loss
    });
    let losses: Vec<f64> = held.collect();
    losses.into_iter().map(|loss| statistic(loss, least)).collect()
}

/// Points on the fitted curves, with noise.
fn drawn(solved: &Solved, noise: &[f64], rng: &mut Rng) -> Problem {
    let frames = solved.problem.frames.iter().zip(&solved.at).zip(noise).map(|((frame, at), noise)| {
        let logs = frame.xs.iter().map(|x| error(at, *x).log + noise * normal(rng)).collect();
        Frame { logs, ..frame.clone() }
    });
    Problem { frames: frames.collect(), ..solved.problem.clone() }
}

/// The standard deviation of the noise of each series. One series has too few points to say it alone: half of the variance is its
/// own, half that of all series that it shares `beta` with. A shared `beta` counts as a part of a parameter in each.
fn noise(solved: &Solved) -> Vec<f64> {
    let Solved { problem, members, .. } = solved;
    let squares: Vec<f64> = (0..members.len()).map(|place| solved.squares(place)).collect();
    let pooled = squares.iter().sum::<f64>() / (problem.point_count() - problem.free_count()) as f64;
    let shared = if problem.beta.is_none() { 1.0 / members.len() as f64 } else { 0.0 };
    let of = |(frame, squares): (&Frame, &f64)| {
        let own = squares / (frame.xs.len() as f64 - frame.free_count() as f64 - shared);
        (0.5 * (own + pooled)).sqrt()
    };
    problem.frames.iter().zip(&squares).map(of).collect()
}

/// A standard normal number, by Box and Muller.
fn normal(rng: &mut Rng) -> f64 {
    (-2.0 * (1.0 - rng.f64()).ln()).sqrt() * (TAU * rng.f64()).cos()
}

/// A seed for each draw, so that a draw doesn't depend on those before it.
fn mixed(seed: u64, draw: u32) -> u64 {
    Rng::with_seed(seed).u64(..) ^ u64::from(draw).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// The value below which `level` of all further statistics lie, were they of the same kind.
fn quantile(mut statistics: Vec<f64>, level: f64) -> f64 {
    statistics.sort_by(f64::total_cmp);
    let rank = (level * (statistics.len() + 1) as f64 - 1e-9).ceil() as usize;
    statistics.get(rank.saturating_sub(1)).copied().unwrap_or(f64::INFINITY)
}
