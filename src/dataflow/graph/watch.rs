//! Follows `progress`: what the other roles have committed.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use anyhow::{Context as _, Result};
use synthllm_log::{LogName, Reader};
use synthllm_operators::record::{Progress, ProgressKey, Role, ShardProgress};

use super::super::Context;
use super::super::shard::{Standing, progress_record};
use crate::events::Counter;

/// The progress of all shards of all roles, as far as it has been read.
pub(super) struct Watch {
    reader: Box<dyn Reader>,
    shards: HashMap<(Role, u32), ShardProgress>,
}

impl Watch {
    /// Goes on from what was read at the start.
    pub(super) fn start(context: &Context, standing: &Standing) -> Result<Self> {
        let reader = context.log.reader(LogName::Progress, &standing.positions)?;
        let mut watch = Watch { reader, shards: HashMap::new() };
        standing.progress.iter().for_each(|(key, progress)| watch.note(key, progress));
        Ok(watch)
    }

    /// Reads on, and returns how many records were there. Never waits.
    pub(super) fn read(&mut self) -> Result<usize> {
        let batch = self.reader.poll(1_000, Duration::ZERO).context("can't read on in progress")?;
        let read = batch.records.len();
        for record in batch.records {
            if let (Some(key), Some(value)) = (record.key, record.value) {
                let (key, progress) = progress_record(&key, &value)?;
                self.note(&key, &progress);
            }
        }
        Ok(read)
    }

    fn note(&mut self, key: &ProgressKey, progress: &Progress) {
        if let (ProgressKey::Shard(role, shard), Progress::Shard(progress)) = (key, progress) {
            self.shards.insert((*role, *shard), progress.clone());
        }
    }

    /// The position that a shard has committed.
    pub(super) fn position(&self, role: Role, shard: u32) -> u64 {
        self.shards.get(&(role, shard)).map_or(0, |progress| progress.position)
    }

    /// Whether a role has committed up to these positions.
    pub(super) fn has_reached(&self, role: Role, ends: &BTreeMap<u32, u64>) -> bool {
        ends.iter().all(|(&shard, &end)| self.position(role, shard) >= end)
    }

    /// Combinations of a level that this app has ever issued.
    pub(super) fn issued(&self, level: u8) -> u64 {
        let name = Counter::combinations(level).name();
        let graph = self.shards.iter().filter(|((role, _), _)| *role == Role::Graph);
        graph.map(|(_, progress)| progress.counters.get(name).copied().unwrap_or(0)).sum()
    }

    /// Combinations that are committed and have no outcome yet.
    pub(super) fn waiting(&self) -> u64 {
        let issued: u64 = (1..=3).map(|level| self.issued(level)).sum();
        let generate = self.shards.iter().filter(|((role, _), _)| *role == Role::Generate);
        issued.saturating_sub(generate.map(|(_, progress)| progress.outcomes.iter().sum::<u64>()).sum())
    }
}
