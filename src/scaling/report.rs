//! Everything that is said of a fit, in one value that can be printed.

use serde::Serialize;

use crate::compare::{Choice, HeldOut, choose, held_out, held_out_rms_log};
use crate::fit::{Fit, fit};
use crate::interval::{Bootstrap, Interval};
use crate::law::{Law, Parameters};
use crate::model::{Model, ModelError};
use crate::objective::Objective;
use crate::points::{Series, Unit};
use crate::quantity::Quantity;
use crate::read::Table;

/// What is asked beside the fit itself.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Asked {
    /// How intervals are found; none when they are not wanted.
    pub bootstrap: Option<Bootstrap>,
    /// How many of the largest amounts of tokens are held out.
    pub hold_out: usize,
    /// How many percentage points a doubling must bring.
    pub points: f64,
}

/// A fit of all series.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Report {
    /// What all series have in common.
    #[serde(flatten)]
    pub basis: Basis,
    /// The series.
    pub series: Vec<Fitted>,
}

/// What a report stands on.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Basis {
    /// What errors are measured in.
    pub unit: Unit,
    /// Whether nobody said so.
    pub unit_assumed: bool,
    /// The law.
    pub law: Law,
    /// What was made small.
    pub objective: Objective,
    /// Whether all series have one `beta`.
    pub shared_beta: bool,
    /// What was given.
    pub given: Vec<String>,
    /// How often an interval holds the truth; none without intervals.
    pub level: Option<f64>,
}

impl Basis {
    /// The basis of a table under a model.
    pub fn of(table: &Table, model: &Model, bootstrap: Option<&Bootstrap>) -> Self {
        Basis {
            unit: table.unit,
            unit_assumed: table.unit_assumed,
            law: model.law,
            objective: model.objective,
            shared_beta: model.share_beta,
            given: model.fixes.iter().map(ToString::to_string).collect(),
            level: bootstrap.map(|bootstrap| bootstrap.level),
        }
    }
}

/// The fit of one series.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Fitted {
    /// The series.
    pub series: String,
    /// How many points it has.
    pub points: usize,
    /// The least and the most tokens.
    pub tokens: (f64, f64),
    /// `B`, `D_l`, `beta` and `E`.
    #[serde(flatten)]
    pub parameters: Parameters,
    /// Their intervals.
    pub intervals: Intervals,
    /// The root mean square of the differences of logarithms.
    pub rms_log: f64,
    /// The largest amounts of tokens, predicted without them.
    pub held_out: HeldOutPoints,
    /// The tokens from which on a doubling brings too little.
    pub doubling: Doubling,
    /// Which law the points speak for.
    pub choice: Choice,
}

/// The intervals of the parameters; none for what is given, and where none were wanted.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
#[allow(missing_docs, reason = "they are the parameters")]
pub struct Intervals {
    #[serde(rename = "B")]
    pub b: Option<Interval>,
    #[serde(rename = "D_l")]
    pub d_l: Option<Interval>,
    pub beta: Option<Interval>,
    #[serde(rename = "E")]
    pub e: Option<Interval>,
}

/// Points held out, and how well they were predicted.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct HeldOutPoints {
    /// The root mean square of the differences of logarithms; none where no point could be spared.
    pub rms_log: Option<f64>,
    /// The points.
    pub points: Vec<HeldOut>,
}

/// The last doubling that is worth it.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct Doubling {
    /// What it must bring, in percentage points (of a loss: in its own unit).
    pub points: f64,
    /// The tokens from which on every doubling brings less; none when no doubling brings so much.
    pub tokens: Option<f64>,
    /// Its interval.
    pub interval: Option<Interval>,
}

/// Fits a table and says all about it.
pub fn report(table: &Table, model: &Model, asked: &Asked) -> Result<Report, ModelError> {
    let fit = fit(&table.series, model)?;
    let gain = asked.points * table.unit.point();
    let quantities = [Quantity::B, Quantity::PriorTokens, Quantity::Beta, Quantity::E, Quantity::LastDoubling { gain }];
    let intervals = intervals(&fit, table.series.len(), &quantities, asked.bootstrap.as_ref());
    let held_out = held_out(&table.series, model, asked.hold_out);
    let choices = choose(&table.series, model, asked.hold_out);
    let rows = table.series.iter().zip(intervals).zip(held_out).zip(choices).enumerate();
    let fitted = rows.map(|(i, (((series, intervals), held_out), choice))| {
        let parameters = fit.parameters(i);
        let tokens = parameters.last_doubling(gain);
        Fitted {
            series: series.name.clone(),
            points: series.points.len(),
            tokens: range(series),
            parameters,
            intervals: Intervals { b: intervals[0], d_l: intervals[1], beta: intervals[2], e: intervals[3] },
            rms_log: fit.rms_log(i),
            held_out: HeldOutPoints { rms_log: held_out_rms_log(&held_out), points: held_out },
            doubling: Doubling { points: asked.points, tokens, interval: intervals[4] },
            choice,
        }
    });
    let series = fitted.collect();
    Ok(Report { basis: Basis::of(table, model, asked.bootstrap.as_ref()), series })
}

/// The same quantities of every series.
pub(crate) fn intervals(
    fit: &Fit,
    series: usize,
    quantities: &[Quantity],
    bootstrap: Option<&Bootstrap>,
) -> Vec<Vec<Option<Interval>>> {
    let Some(bootstrap) = bootstrap else { return vec![vec![None; quantities.len()]; series] };
    let wanted: Vec<_> = (0..series).flat_map(|i| quantities.iter().map(move |quantity| (i, *quantity))).collect();
    fit.intervals(&wanted, bootstrap).chunks(quantities.len()).map(<[_]>::to_vec).collect()
}

/// The least and the most tokens of a series.
pub(crate) fn range(series: &Series) -> (f64, f64) {
    let amounts = series.amounts();
    (amounts[0], amounts[amounts.len() - 1])
}
