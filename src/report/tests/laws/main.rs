//! The report against plain recounts, on samples of a small world with planted duplicates.

mod cosines;
mod page;
mod recount;
mod world;
