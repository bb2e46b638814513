//! Which of the two laws the points speak for.
//!
//! By `AICc` of least squares of logarithms, which needs two points more than a fit; with fewer by the error at the largest tokens,
//! held out. Parameters that series share are counted once, so the series of one problem are judged together.

use serde::Serialize;

use crate::fit::{Fit, Solved, fit};
use crate::fix::Given;
use crate::law::Law;
use crate::model::Model;
use crate::objective::Objective;
use crate::points::Series;

/// A point that was predicted without it.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct HeldOut {
    /// Its tokens.
    pub tokens: f64,
    /// Its error as measured.
    pub measured: f64,
    /// The error that the law of the other points has there.
    pub predicted: f64,
}

/// How well one law fits one series.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct Score {
    /// The least root mean square of logarithms that the law can have on the points.
    pub rms_log: Option<f64>,
    /// `AICc`, of all series that share a parameter with this one.
    pub aicc: Option<f64>,
    /// The root mean square of logarithms of the points held out.
    pub held_out_rms_log: Option<f64>,
}

/// What a law is chosen by.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Criterion {
    /// `AICc`
    Aicc,
    /// The error at the largest tokens, held out.
    HeldOut,
}

/// The choice for one series.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Choice {
    /// The better law; none when there are too few points to say.
    pub law: Option<Law>,
    /// What it is chosen by.
    pub by: Option<Criterion>,
    /// The rectified law.
    pub rectified: Score,
    /// The power law.
    pub power: Score,
}

/// Fits each series without its `count` largest amounts of tokens, or as many as can be spared, and predicts these. Empty where none
/// can.
pub fn held_out(series: &[Series], model: &Model, count: usize) -> Vec<Vec<HeldOut>> {
    let rest = |count: usize| {
        let (kept, held_out): (Vec<_>, Vec<_>) = series.iter().map(|series| series.hold_out(count)).unzip();
        Some((fit(&kept, model).ok()?, held_out))
    };
    let Some((fit, points)) = (1..=count).rev().find_map(rest) else { return vec![Vec::new(); series.len()] };
    let predicted = |(i, points): (usize, Vec<crate::points::Point>)| {
        let parameters = fit.parameters(i);
        let one = |point: crate::points::Point| HeldOut {
            tokens: point.tokens,
            measured: point.error,
            predicted: parameters.error(point.tokens),
        };
        points.into_iter().map(one).collect()
    };
    points.into_iter().enumerate().map(predicted).collect()
}

/// The root mean square of logarithms of points held out.
pub fn held_out_rms_log(points: &[HeldOut]) -> Option<f64> {
    let squares = points.iter().map(|point| (point.predicted / point.measured).ln().powi(2));
    (!points.is_empty()).then(|| (squares.sum::<f64>() / points.len() as f64).sqrt())
}

/// The choice for each series.
pub fn choose(series: &[Series], model: &Model, hold_out: usize) -> Vec<Choice> {
    let [rectified, power] = [Law::Rectified, Law::Power].map(|law| scores(series, model, law, hold_out));
    rectified.into_iter().zip(power).map(|(rectified, power)| choice(rectified, power)).collect()
}

fn choice(rectified: Score, power: Score) -> Choice {
    let better = |one: Option<f64>, other: Option<f64>| Some(if one? < other? { Law::Rectified } else { Law::Power });
    let by_aicc = better(rectified.aicc, power.aicc).map(|law| (law, Criterion::Aicc));
    let by_held_out = || Some((better(rectified.held_out_rms_log, power.held_out_rms_log)?, Criterion::HeldOut));
    let (law, by) = by_aicc.or_else(by_held_out).unzip();
    Choice { law, by, rectified, power }
}

/// Scores of a law that can't be fitted are missing. A given `B/D_l` says nothing to the power law, which then goes without.
fn scores(series: &[Series], model: &Model, law: Law, hold_out: usize) -> Vec<Score> {
    let mut model = Model { law, ..model.clone() };
    model.fixes.retain(|fix| law == Law::Rectified || fix.given != Given::Ratio);
    let squares = Model { objective: Objective::Square, ..model.clone() };
    let Ok(fitted) = fit(series, &squares) else { return vec![Score::default(); series.len()] };
    let held_out = held_out(series, &model, hold_out);
    let score = |(i, points): (usize, Vec<HeldOut>)| Score {
        rms_log: Some(fitted.rms_log(i)),
        aicc: aicc(&fitted, i),
        held_out_rms_log: held_out_rms_log(&points),
    };
    held_out.into_iter().enumerate().map(score).collect()
}

/// The size of the noise counts as a parameter. None where the correction for few points has no value.
fn aicc(fit: &Fit, series: usize) -> Option<f64> {
    let (Solved { problem, members, .. }, _) = fit.of(series);
    let (points, parameters) = (problem.point_count() as f64, problem.free_count() as f64 + 1.0);
    let squares: f64 = members.iter().map(|member| fit.rms_log(*member).powi(2) * fit.series_len(*member) as f64).sum();
    let left = points - parameters - 1.0;
    // Points exactly on a curve have no noise whose logarithm could be taken; so little is as good as none.
    let noise = (squares / points).max(1e-24);
    (left > 0.0).then(|| points * noise.ln() + 2.0 * parameters * points / left)
}
