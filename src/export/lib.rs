//! Exports of samples: what is chosen, in which shape and files, and what has changed since another export.
//!
//! `filter` chooses, `split` holds out, `plan` says what is written, `shape` and `parquet` (by `columns`) write it, `shards` names the
//! files, `manifest` remembers an export so that the next one need only say what changed, and `card` describes it. Nothing here reads a log or names a folder.

mod card;
mod columns;
mod features;
mod filter;
mod manifest;
mod output;
mod parquet;
mod plan;
mod shape;
mod shards;
mod split;

pub use card::{Facts, card};
pub use filter::{Filter, MinScore, MinScoreError};
pub use manifest::{Base, CARD, Manifest, ManifestError, NAME as MANIFEST, Settings, WITHDRAWN};
pub use output::{Format, Output, OutputError};
pub use plan::{Entry, Plan, plan};
pub use shape::Shape;
pub use shards::{file_name, number_of_shards};
pub use split::{Groups, Reached, Side, Split};
