//! Follows `progress`: what the other roles have committed.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use anyhow::{Context as _, Result};
use synthllm_log::{LogName, Reader};
use synthllm_operators::record::{Progress, ProgressKey, Role, ShardProgress};
use synthllm_operators::target::Seen;

use super::super::shard::{Standing, progress_record};
use super::super::{Context, target};

/// The progress of all shards of all roles, as far as it has been read.
pub(super) struct Watch {
    reader: Box<dyn Reader>,
    positions: BTreeMap<u32, u64>,
    shards: HashMap<(Role, u32), ShardProgress>,
    /// Where there are targets, what generate tells of each level.
    seen: Option<[Option<Seen>; 3]>,
    /// The digest of the filters, and of those by which each shard of generate has judged its questions.
    filters: u64,
    judged_by: HashMap<u32, u64>,
    partitions: u32,
}

impl Watch {
    /// Goes on from what was read at the start.
    pub(super) fn start(context: &Context, standing: &Standing) -> Result<Self> {
        let reader = context.log.reader(LogName::Progress, &standing.positions)?;
        let positions = standing.positions.iter().copied().collect();
        let seen = (!context.config.generate.target.is_empty()).then(Default::default);
        let (shards, judged_by, filters) = (HashMap::new(), HashMap::new(), context.filters.digest());
        let mut watch = Watch { reader, positions, shards, seen, filters, judged_by, partitions: context.partitions.1 };
        standing.progress.iter().for_each(|(key, progress)| watch.note(key, progress));
        watch.look();
        Ok(watch)
    }

    /// Reads on, and returns how many records were there. Never waits.
    pub(super) fn read(&mut self) -> Result<usize> {
        let batch = self.reader.poll(1_000, Duration::ZERO).context("can't read on in progress")?;
        let read = batch.records.len();
        self.positions.extend(batch.positions);
        for record in batch.records {
            if let (Some(key), Some(value)) = (record.key, record.value) {
                let (key, progress) = progress_record(&key, &value)?;
                self.note(&key, &progress);
            }
        }
        if read > 0 {
            self.look();
        }
        Ok(read)
    }

    fn note(&mut self, key: &ProgressKey, progress: &Progress) {
        match (key, progress) {
            (ProgressKey::Shard(role, shard), Progress::Shard(progress)) => {
                self.shards.insert((*role, *shard), progress.clone());
            }
            (ProgressKey::Filters(shard), Progress::Filters(digest)) => _ = self.judged_by.insert(*shard, *digest),
            _ => (),
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

    /// Whether `progress` has been read up to these positions.
    pub(super) fn has_read(&self, ends: &BTreeMap<u32, u64>) -> bool {
        ends.iter().all(|(partition, end)| self.positions.get(partition).is_some_and(|position| position >= end))
    }

    /// What graph has ever granted of a level, as far as it has been read.
    pub(super) fn granted(&self, level: u8) -> u64 {
        self.of_role(Role::Graph).map(|progress| target::granted(&progress.counters, level)).sum()
    }

    /// What generate tells of a level; nothing before all of its shards have, by the filters of now, or where there are no targets.
    pub(super) fn seen(&self, level: u8) -> Option<Seen> {
        self.seen?[usize::from(level.clamp(1, 3)) - 1]
    }

    fn look(&mut self) {
        if self.seen.is_some() {
            self.seen = Some([1, 2, 3].map(|level| self.told(level)));
        }
    }

    fn told(&self, level: u8) -> Option<Seen> {
        // While filters that have changed are applied, samples come and go that nobody has granted.
        let is_judged = |shard| self.judged_by.get(&shard) == Some(&self.filters);
        let told = |shard| match self.shards.get(&(Role::Generate, shard)) {
            Some(progress) => target::seen(&progress.counters, level).filter(|_| is_judged(shard)),
            None => Some(Seen::default()),
        };
        (0..self.partitions).try_fold(Seen::default(), |sum, shard| {
            let seen = told(shard)?;
            Some(Seen { standing: sum.standing + seen.standing, settled: sum.settled + seen.settled })
        })
    }

    /// Combinations of a level that this app has ever issued.
    pub(super) fn issued(&self, level: u8) -> u64 {
        target::issued(self.of_role(Role::Graph), level)
    }

    /// Combinations that are committed and have no outcome yet.
    pub(super) fn waiting(&self) -> u64 {
        target::waiting((1..=3).map(|level| self.issued(level)).sum(), self.of_role(Role::Generate))
    }

    fn of_role(&self, role: Role) -> impl Iterator<Item = &ShardProgress> {
        self.shards.iter().filter(move |((of, _), _)| *of == role).map(|(_, progress)| progress)
    }
}
