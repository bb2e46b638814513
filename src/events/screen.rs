//! The lines of `screen`.

use synthllm_screening::Round;
use tracing::{info, warn};

/// A training begins.
pub fn begins(documents: usize) {
    info!(documents, "the corpus is read");
}

/// The cold start or a round is done.
pub fn round(round: &Round, documents: usize, calls: u64, tokens: u64, cost: f64) {
    let area = round.held_out.roc.as_ref().map(|roc| (roc.area * 1e4).round() / 1e4);
    let (number, learnt_from, selected, failed) = (round.round, round.learnt_from, round.selected, round.failed);
    let name = if number == 0 { "the cold start is done" } else { "a round is done" };
    info!(round = number, learnt_from, selected, documents, failed, held_out_area = area, calls, tokens, cost, "{name}");
}

/// No reply has come for a while.
pub fn waits(calls: usize, failing: Option<(&str, &str)>) {
    if let Some((endpoint, error)) = failing {
        info!("waiting for {endpoint} ({calls} calls): {error}");
    } else {
        info!("waiting for {calls} calls, which take long");
    }
}

/// A document whose rating can't be had.
pub fn not_rated(id: &str, reason: &str) {
    warn!("the document {id:?} is left out, it can't be rated: {reason}");
}

/// Documents whose embedding can't be had.
pub fn not_embedded(count: usize, reason: &str) {
    warn!("documents that can't be embedded are left out: {count}; the last reason: {reason}");
}

/// A document of the cold start that the model has not written.
pub fn not_written(number: usize, reason: &str) {
    warn!("document {number} of the cold start is left out: {reason}");
}
