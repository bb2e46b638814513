//! How many samples of each level stand, where there is a target; and what combinations under way may still bring.
//!
//! Cost: a record of `samples` read at the start, and about 40 bytes, for each live sample.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use anyhow::{Context as _, Result};
use serde::Deserialize;
use synthllm_log::{LogName, Record};
use synthllm_operators::id::Id;
use timely::worker::Worker;

use super::super::{Context, target};
use super::withdrawals;

type Counters = BTreeMap<String, u64>;

/// The live samples of this worker's shards.
pub(super) struct Standing {
    level_of: HashMap<Id, u8>,
    counts: BTreeMap<u32, [u64; 3]>,
    /// The shards that have not told theirs yet.
    untold: BTreeSet<u32>,
}

impl Standing {
    /// Nothing, unless a level has a target.
    pub fn new(context: &Context) -> Option<Self> {
        let wanted = !context.config.generate.target.is_empty();
        wanted.then(|| Standing { level_of: HashMap::new(), counts: BTreeMap::new(), untold: BTreeSet::new() })
    }

    /// Reads this worker's partitions of `samples`.
    pub fn load(&mut self, worker: &mut Worker, context: &Context, mine: &[u32]) -> Result<()> {
        self.untold = mine.iter().copied().collect();
        withdrawals::read_live(worker, context, LogName::Samples, mine, |sample, record| {
            let level = level(record).with_context(|| withdrawals::place(LogName::Samples, record))?;
            self.written(record.partition, sample, level);
            Ok(())
        })
    }

    /// Whether a shard has something to tell.
    pub fn owes(&self, shard: u32) -> bool {
        self.untold.contains(&shard)
    }

    /// A sample is written by a shard.
    pub fn written(&mut self, shard: u32, sample: Id, level: u8) {
        if self.level_of.insert(sample, level).is_none() {
            *self.count(shard, level) += 1;
        }
    }

    /// A sample is withdrawn by its shard.
    pub fn withdrawn(&mut self, shard: u32, sample: Id) {
        if let Some(level) = self.level_of.remove(&sample) {
            *self.count(shard, level) -= 1;
        }
    }

    /// Tells what stands in a shard, in the transaction that makes it so.
    pub fn tell(&mut self, shard: u32, counters: &mut Counters) {
        self.untold.remove(&shard);
        let counts = self.counts.get(&shard).copied().unwrap_or_default();
        (1..=3).zip(counts).for_each(|(level, count)| target::stand(counters, level, count));
    }

    fn count(&mut self, shard: u32, level: u8) -> &mut u64 {
        &mut self.counts.entry(shard).or_default()[usize::from(level.clamp(1, 3)) - 1]
    }
}

/// What combinations under way may bring at most, by shard and offset.
#[derive(Default)]
pub(super) struct Granted(BTreeMap<(u32, u64), (u8, u32)>);

impl Granted {
    /// A combination was read.
    pub fn read(&mut self, place: (u32, u64), level: u8, most: u32) {
        self.0.insert(place, (level, most));
    }

    /// A shard has the outcomes of all combinations below this position.
    pub fn settle(&mut self, shard: u32, position: u64, counters: &mut Counters) {
        let later = self.0.split_off(&(shard, position));
        let settled = self.0.split_off(&(shard, 0));
        self.0.extend(later);
        settled.into_values().for_each(|(level, most)| target::settle(counters, level, most));
    }
}

fn level(record: &Record) -> Result<u8> {
    #[derive(Deserialize)]
    struct OfSample {
        level: u8,
    }
    let of_sample: OfSample = serde_json::from_slice(record.value.as_deref().unwrap_or_default())?;
    Ok(of_sample.level)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_shard_has_passed_is_settled_once_and_only_there() {
        let (mut granted, mut counters) = (Granted::default(), Counters::new());
        for (shard, offset) in [(0, 3), (1, 2), (1, 5), (1, 7), (2, 0)] {
            granted.read((shard, offset), 1, 1 + offset as u32);
        }
        granted.settle(1, 6, &mut counters);
        granted.settle(1, 6, &mut counters);
        assert_eq!(counters.get("settled_level1"), Some(&9));
        assert_eq!(granted.0.keys().copied().collect::<Vec<_>>(), [(0, 3), (1, 7), (2, 0)]);
    }
}
