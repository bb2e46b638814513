//! What error the fitted law has after other amounts of tokens.

use serde::Serialize;

use crate::fit::fit;
use crate::interval::{Bootstrap, Interval};
use crate::model::{Model, ModelError};
use crate::quantity::Quantity;
use crate::read::Table;
use crate::report::{Basis, intervals, range};

/// The predictions for all series.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Predictions {
    /// What all series have in common.
    #[serde(flatten)]
    pub basis: Basis,
    /// The series.
    pub series: Vec<Predicted>,
}

/// The predictions for one series.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Predicted {
    /// The series.
    pub series: String,
    /// One for each amount of tokens.
    pub predictions: Vec<Prediction>,
}

/// One prediction.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct Prediction {
    /// The tokens.
    pub tokens: f64,
    /// The error on the curve.
    pub error: f64,
    /// Where the curve may lie; a single measurement also has its own noise.
    pub interval: Option<Interval>,
    /// How far from the measured points it is; none among them.
    pub outside: Option<Outside>,
}

/// How far outside the measured points an amount of tokens is.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outside {
    /// So many times the most that were measured.
    TimesMost(f64),
    /// The least that were measured are so many times it.
    TimesBelowLeast(f64),
}

impl Outside {
    fn of(tokens: f64, (least, most): (f64, f64)) -> Option<Self> {
        if tokens > most {
            return Some(Outside::TimesMost(tokens / most));
        }
        (tokens < least).then(|| Outside::TimesBelowLeast(least / tokens))
    }
}

/// Fits a table and predicts.
pub fn predict(
    table: &Table,
    model: &Model,
    tokens: &[f64],
    bootstrap: Option<&Bootstrap>,
) -> Result<Predictions, ModelError> {
    let fit = fit(&table.series, model)?;
    let quantities: Vec<Quantity> = tokens.iter().map(|tokens| Quantity::Error { tokens: *tokens }).collect();
    let intervals = intervals(&fit, table.series.len(), &quantities, bootstrap);
    let of = |(i, intervals): (usize, Vec<Option<Interval>>)| {
        let (series, parameters) = (&table.series[i], fit.parameters(i));
        let one = |(tokens, interval): (&f64, Option<Interval>)| Prediction {
            tokens: *tokens,
            error: parameters.error(*tokens),
            interval,
            outside: Outside::of(*tokens, range(series)),
        };
        Predicted { series: series.name.clone(), predictions: tokens.iter().zip(intervals).map(one).collect() }
    };
    let series = intervals.into_iter().enumerate().map(of).collect();
    Ok(Predictions { basis: Basis::of(table, model, bootstrap), series })
}
