//! Which settlement draws are made in: the open one is resumed, or it is given up and another one begins (protocol.md, "Settled
//! draws").
//!
//! Input: the last settlement on record, and what the index at the cut looks like. Output: the settlement to be recorded.
//! Law: draws under one number are made on one live set, with one group of settings. Cost: O(P).

use crate::record::Settlement;

/// The settlement that a start must resume, whose cut the index is loaded up to: the last one, unless it is closed.
pub fn open(last: Option<&Settlement>) -> Option<Settlement> {
    last.filter(|settlement| !settlement.closed).cloned()
}

/// What an index at a cut looks like.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sight {
    /// A digest of the live documents below the cut.
    pub digest: u128,
    /// A digest of the settings that draws depend on.
    pub settings: u128,
}

impl Sight {
    /// Whether the draws of a settlement can go on. Not when compaction took an old version, or the settings changed.
    pub fn resumes(&self, settlement: &Settlement) -> bool {
        settlement.digest == self.digest && settlement.settings == self.settings
    }

    /// The settlement that begins at a cut, after `last`. At the same cut, live set and settings it is the last one again, with
    /// nothing left to draw.
    pub fn begin(&self, last: Option<&Settlement>, cut: Vec<u64>, issued: [u64; 3]) -> Settlement {
        let number = match last {
            Some(last) if last.cut == cut && self.resumes(last) => last.number,
            Some(last) => last.number + 1,
            None => 0,
        };
        Settlement { number, cut, digest: self.digest, settings: self.settings, issued, closed: false }
    }
}
