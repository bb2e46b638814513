//! The scaling law of synthetic data: what error a model has after training on so many tokens.
//!
//! `read` gives series of points; `fit` finds their curves (`curve`, `problem`, `step`, `search`, `starts`); `interval` and
//! `bootstrap` say how sure they are; `compare`, `predict`, `report` and `plot` are what users see. Nothing here touches a file.

mod bootstrap;
mod compare;
mod curve;
mod fit;
mod fix;
mod interval;
mod law;
mod measure;
mod model;
mod objective;
mod plot;
mod points;
mod predict;
mod problem;
mod quantity;
mod read;
mod report;
mod search;
mod starts;
mod step;

pub use compare::{Choice, Criterion, HeldOut, Score, choose, held_out, held_out_rms_log};
pub use fit::{Fit, fit};
pub use fix::{Fix, FixError, Given};
pub use interval::{Bootstrap, Interval};
pub use law::{Law, Parameters};
pub use model::{Model, ModelError};
pub use objective::Objective;
pub use plot::plot;
pub use points::{Point, Series, Unit};
pub use predict::{Outside, Predicted, Prediction, Predictions, predict};
pub use quantity::Quantity;
pub use read::{Columns, Place, ReadError, Reading, Table, read};
pub use report::{Asked, Basis, Doubling, Fitted, HeldOutPoints, Intervals, Report, report};
