//! Screening: which documents of a corpus belong to a domain, by random forests on embeddings.
//!
//! A [`Forest`] learns from examples: yes or no for the cold start, ratings from 1 to 10 for the rounds after it. [`held_out`]
//! says which documents it must not learn from, and [`Figures`] what it makes of those. A [`Model`] is a forest with everything
//! that is needed to use it and to know how far to trust it; its file is checked when it is read. [`plot()`] draws the receiver
//! operating characteristic.
//!
//! Nothing here reads a file, asks a model or looks at a clock.

mod error;
mod figures;
mod forest;
mod model;
mod plot;
mod split;

pub use error::{FitError, ModelError};
pub use figures::{AtThreshold, Figures, Ratings, Roc, RocPoint};
pub use forest::{Forest, ForestSettings, Kind};
pub use model::{Embedder, Model, Round, Training, cut};
pub use plot::plot;
pub use split::{held_out, rank};
