//! The scaling law of synthetic data: what error a model has after training on so many tokens.

mod bootstrap;
mod curve;
mod fit;
mod fix;
mod interval;
mod law;
mod measure;
mod model;
mod objective;
mod points;
mod problem;
mod quantity;
mod search;
mod starts;
mod step;

pub use fit::{Fit, fit};
pub use fix::{Fix, FixError, Given};
pub use interval::{Bootstrap, Interval};
pub use law::{Law, Parameters};
pub use model::{Model, ModelError};
pub use objective::Objective;
pub use points::{Point, Series, Unit};
pub use quantity::Quantity;
