//! How many of the questions that are held back may be released, where levels have targets: no more than samples are missing.
//!
//! Law: what is missing at the start is given to the shards in order, as far as they have questions to release; on all workers alike,
//! since it is found before anything is written on any. Cost: two passes over `held` of all shards, where something is missing.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};
use synthllm_log::LogName;
use synthllm_operators::codec;
use synthllm_operators::record::{Held, Progress, ProgressKey};
use timely::worker::Worker;

use super::super::super::{Context, target};
use super::super::withdrawals::{place, read_live};
use crate::config::Limits;

/// See the module.
#[derive(Default)]
pub(super) struct Room {
    target: Limits,
    /// By level.
    missing: BTreeMap<u8, u64>,
    /// By shard and level.
    left: BTreeMap<(u32, u8), u64>,
}

impl Room {
    /// Nothing for levels with a target, until it is found.
    pub(super) fn new(context: &Context, standing: &[(ProgressKey, Progress)]) -> Self {
        let missing = target::missing(&context.config, standing);
        Room { target: context.config.generate.target, missing, left: BTreeMap::new() }
    }

    pub(super) fn has_target(&self, level: u8) -> bool {
        self.target.of(level).is_some()
    }

    /// Finds out how many of those that `may_pass`, by shard, each of these shards may release. Returns those that may release some.
    pub(super) fn find(
        &mut self,
        worker: &mut Worker,
        context: &Context,
        mine: &[u32],
        may_pass: impl Fn(u32, &Held) -> bool,
    ) -> Result<BTreeSet<u32>> {
        if self.missing.values().all(|missing| *missing == 0) {
            return Ok(BTreeSet::new());
        }
        let all: Vec<u32> = (0..context.partitions.1).collect();
        let mut found: BTreeMap<(u32, u8), u64> = BTreeMap::new();
        read_live(worker, context, LogName::Held, &all, |_, record| {
            let value = record.value.as_deref().unwrap_or_default();
            let held: Held = codec::decode(value).with_context(|| place(LogName::Held, record))?;
            if may_pass(record.partition, &held) {
                *found.entry((record.partition, held.sample.level)).or_default() += 1;
            }
            Ok(())
        })?;
        for ((shard, level), found) in found {
            let Some(missing) = self.missing.get_mut(&level) else { continue };
            let share = found.min(*missing);
            *missing -= share;
            if share > 0 && mine.contains(&shard) {
                self.left.insert((shard, level), share);
            }
        }
        Ok(self.left.keys().map(|(shard, _)| *shard).collect())
    }

    /// Whether a shard may release one more question of this level; then it is counted.
    pub(super) fn take(&mut self, shard: u32, level: u8) -> bool {
        if !self.has_target(level) {
            return true;
        }
        let left = self.left.get_mut(&(shard, level)).filter(|left| **left > 0);
        left.is_some_and(|left| {
            *left -= 1;
            true
        })
    }
}
