//! The numbers in the versions of documents (see `synthllm_operators::record::Version`): how they stay in order where documents come back.
//!
//! Law: of the versions that a document has had, a later one is never smaller, and one with which it comes back is greater. While a
//! document is known, its next number follows from its last one. When it goes, the shard's number rises to its last one, so that it
//! holds for what comes after. Nothing else changes the numbers of others, since ids and draws depend on them. Whether a document is
//! read before or after the shard's number rises is a matter of timing.

use synthllm_operators::record::{MOST_SCREENINGS, Origin, ShardProgress, Version, screenings_of};

use super::decision::{Decision, Gone};

/// In a shard's `progress`: how often it was screened again because the settings have changed, or more; the least number of
/// what is read.
pub(super) const SCREENINGS: &str = "screenings";
/// The greatest number that any of its documents has had.
const LIVES: &str = "lives";

/// The least number of what a shard reads.
pub(super) fn screenings(progress: &ShardProgress) -> u64 {
    said(progress, SCREENINGS)
}

fn said(progress: &ShardProgress, name: &str) -> u64 {
    progress.counters.get(name).copied().unwrap_or(0)
}

/// A document goes.
pub(super) fn gone(key: Vec<u8>, last: Option<Version>) -> Gone {
    Gone { key, number: last.map_or(0, screenings_of) }
}

/// A shard's next transaction, with these outputs; `missing`: documents go of which no more is known here.
pub(super) fn count(progress: &mut ShardProgress, outputs: &[(Origin, Decision)], missing: bool) -> anyhow::Result<()> {
    for (_, decision) in outputs {
        let (is_back, decision) = match decision {
            Decision::Again { decision, .. } => (true, &**decision),
            decision => (false, decision),
        };
        match decision {
            Decision::Written { extraction, .. } if is_back => raise(progress, LIVES, screenings_of(extraction.version)),
            Decision::Deleted(gone) | Decision::Buried { gone: Some(gone), .. } => raise(progress, SCREENINGS, gone.number),
            _ => (),
        }
    }
    let most = said(progress, LIVES);
    anyhow::ensure!(most < MOST_SCREENINGS, "a document has come back {most} times, more than a version can tell");
    if missing {
        raise(progress, SCREENINGS, most);
    }
    Ok(())
}

fn raise(progress: &mut ShardProgress, name: &str, number: u64) {
    if number > said(progress, name) {
        progress.counters.insert(name.to_owned(), number);
    }
}
