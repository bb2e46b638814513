//! Which questions say nearly the same as another one.
//!
//! Input: questions, in the order of their samples' ids. Output: how many of each level are held back by an earlier similar one.
//! Law: that of [`synthllm_operators::near`]: in this order, a question is held back if and only if an earlier one that is not is similar to it,
//! that is, the Jaccard similarity of their word 5-shingles is at least 0.8. A pair at 0.8 is found with 99 %, closer ones more surely.
//! Cost: 8 bytes a shingle (about as many as words), 150 bytes a question, and about 200 more for one that is not held back.

use synthllm_operators::near::{Near, Settings};
use synthllm_operators::shingle::shingles;

use crate::level_index;

/// The questions so far.
#[derive(Debug)]
pub(crate) struct NearDuplicates {
    settings: Settings,
    near: Near<u32>,
    held: [u64; 3],
}

impl Default for NearDuplicates {
    fn default() -> Self {
        let settings = Settings::default();
        NearDuplicates { settings, near: Near::new(settings), held: [0; 3] }
    }
}

impl NearDuplicates {
    pub(crate) fn add(&mut self, level: u8, question: &str) {
        let key = self.near.len() as u32;
        let changes = self.near.insert(key, shingles(question, self.settings.shingle));
        self.held[level_index(level)] += u64::from(changes.kept.is_empty());
    }

    /// How many questions of each level are held back.
    pub(crate) fn held(&self) -> [u64; 3] {
        self.held
    }
}
