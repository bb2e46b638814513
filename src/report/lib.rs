//! What samples are like: how long and how diverse questions are, which concepts they cover, what was dropped, what it cost.
//!
//! A [`Survey`] takes the samples one at a time and holds no text but the names of concepts; `near` finds near-duplicates. [`Diversity`]
//! holds the questions of some documents, chosen by hash, and compares those of one document by [`Cosines`]. A [`Graph`] is what
//! there is to be covered, [`Counted`] what the roles have counted. Together they make a [`Report`], which is JSON as it stands,
//! and one page by [`html`] with the plots of `chart`. Nothing here reads a log, a clock or a network: equal samples make equal bytes.
//!
//! Cost of a [`Survey`]: about 700 bytes (estimated) a sample with a question of 45 words, most of it its shingles; of a [`Graph`]: 24 bytes a
//! live document and 8 more for each of its concepts; about 100 bytes a concept that is named. Measured with all that the command adds
//! (300,000 samples on 150,000 documents of ten concepts): 296 MiB, which is 1,036 bytes a sample.

mod buckets;
mod chart;
mod cosine;
mod counted;
mod coverage;
mod diversity;
mod funnel;
mod graph;
mod html;
mod near;
mod page;
mod report;
mod survey;
mod tally;
mod tfidf;

pub use buckets::{Bucket, Buckets};
pub use cosine::{Cosines, LevelCosines, Vectors};
pub use counted::{Counted, Outcomes};
pub use coverage::{Coverage, MostUsed};
pub use diversity::{Diversity, EmbedError, Sampling};
pub use funnel::{Funnel, Step};
pub use graph::Graph;
pub use page::html;
pub use report::{Costs, Duplicates, LevelReport, Report, Score, Totals};
pub use survey::Survey;
pub use tally::{Distribution, Histogram, Lengths};

/// The levels of samples.
pub const LEVELS: [u8; 3] = [1, 2, 3];

/// The place of a level in arrays by level.
fn level_index(level: u8) -> usize {
    usize::from(level.clamp(1, 3)) - 1
}

/// `part / whole`, unless there is no whole.
fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}
