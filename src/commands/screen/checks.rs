//! What is said of a text before anything is paid for it.
//!
//! Law: what is said depends on the texts before it and the configuration, never on a model; of equal or similar texts the first stays.

use std::collections::HashSet;

use synthllm_operators::id;
use synthllm_operators::near::{Near, Settings};
use synthllm_operators::normal::fold;
use synthllm_operators::shingle::shingles;
use synthllm_operators::text_checks::{TextLimits, measure};

use super::verdict::Reason;
use crate::config::ScreenConfig;

/// The checks, with what they remember of the texts that have passed.
pub struct Checks<'a> {
    limits: &'a TextLimits,
    /// Hashes of folded texts.
    seen: HashSet<u128>,
    near: Option<(Near<u64>, usize)>,
}

impl<'a> Checks<'a> {
    /// No text has passed yet.
    pub fn new(config: &'a ScreenConfig) -> Self {
        let near = config.near_duplicates.map(|threshold| {
            let settings = Settings { threshold, ..Settings::default() };
            (Near::new(settings), settings.shingle)
        });
        Checks { limits: &config.limits, seen: HashSet::new(), near }
    }

    /// Why a text is rejected, if it is.
    pub fn reject(&mut self, text: &str) -> Option<Reason> {
        if text.trim().is_empty() {
            return Some(Reason::Empty);
        }
        if let Some(problem) = measure(text).problems(self.limits).first() {
            return Some(problem.into());
        }
        let number = self.seen.len() as u64;
        if !self.seen.insert(id::digest(fold(text).as_bytes())) {
            return Some(Reason::Duplicate);
        }
        let (near, shingle) = self.near.as_mut()?;
        let is_kept = near.insert(number, shingles(text, *shingle)).held.is_empty();
        if !is_kept {
            // No earlier text is ever removed, so that it holds nothing back and is of no use.
            near.remove(number);
        }
        (!is_kept).then_some(Reason::NearDuplicate)
    }
}
