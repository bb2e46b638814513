//! The logs that a review reads through to where they ended.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context as _, Result};
use synthllm_log::{LogName, Reader, Record};
use synthllm_operators::codec;
use synthllm_operators::id::Id;
use synthllm_operators::record::Held;

use super::super::super::Context;
use super::super::filters::Reason;
use super::super::withdrawals::{Tombstones, Withdrawals, place, sample_id, starts};

/// Records are read in batches of at most so many.
const READ_AT_ONCE: usize = 1_000;

/// Of a log: which of its records live, and where it ended when that was read.
#[derive(Default)]
pub(super) struct Book {
    pub(super) tombstones: Tombstones,
    pub(super) ends: BTreeMap<u32, u64>,
}

/// A log that is read to where it ended.
pub(super) struct Scan {
    reader: Option<Box<dyn Reader>>,
    positions: BTreeMap<u32, u64>,
}

/// A search for some questions that are held back.
pub(super) struct Freed {
    book: Book,
    scan: Scan,
    wanted: BTreeSet<Id>,
    /// The last record of each.
    found: BTreeMap<Id, (u32, Box<Held>)>,
}

impl Book {
    pub(super) fn scan(&self, context: &Context, log: LogName) -> Result<Scan> {
        let from = starts(context, log, &self.ends.keys().copied().collect::<Vec<_>>())?;
        let reader = if from.is_empty() { None } else { Some(context.log.reader(log, &from)?) };
        Ok(Scan { reader, positions: from.into_iter().collect() })
    }

    /// The id of a record that lives, and lay there when the review began.
    pub(super) fn live(&self, log: LogName, record: &Record) -> Result<Option<Id>> {
        let known = self.ends.get(&record.partition).is_some_and(|end| record.offset < *end);
        if known { self.tombstones.live(log, record) } else { Ok(None) }
    }
}

impl Freed {
    /// A search for these, in what these shards hold back.
    pub(super) fn start(context: &Context, shards: &[u32], wanted: BTreeSet<Id>) -> Result<Self> {
        let book = Book { tombstones: Tombstones::default(), ends: context.ends_now(LogName::Held, shards)? };
        let scan = book.scan(context, LogName::Held)?;
        Ok(Freed { book, scan, wanted, found: BTreeMap::new() })
    }

    pub(super) fn read(&mut self) -> Result<usize> {
        let records = self.scan.read(LogName::Held)?;
        for record in &records {
            let id = sample_id(LogName::Held, record)?;
            match &record.value {
                _ if !self.wanted.contains(&id) => (),
                None => _ = self.found.remove(&id),
                Some(value) => {
                    let held = codec::decode(value).with_context(|| place(LogName::Held, record))?;
                    self.found.insert(id, (record.partition, held));
                }
            }
        }
        Ok(records.len())
    }

    pub(super) fn has_all(&self) -> bool {
        self.scan.has_reached(&self.book.ends)
    }

    /// What is still held as a near-duplicate, and not meanwhile by another filter; but of levels that have a target: for these others
    /// are drawn.
    pub(super) fn take(self, context: &Context, withdrawals: &Withdrawals) -> impl Iterator<Item = (u32, Id, Box<Held>)> {
        let target = &context.config.generate.target;
        let is_near = |held: &Held| held.reason == Reason::NearDuplicate.name();
        let has_target = |held: &Held| target.of(held.sample.level).is_some();
        let is_free = move |id: Id, held: &Held| withdrawals.holds(id) && is_near(held) && !has_target(held);
        self.found.into_iter().filter(move |(id, (_, held))| is_free(*id, held)).map(|(id, (shard, held))| (shard, id, held))
    }
}

impl Scan {
    pub(super) fn read(&mut self, log: LogName) -> Result<Vec<Record>> {
        let Some(reader) = &mut self.reader else { return Ok(Vec::new()) };
        let batch = reader.poll(READ_AT_ONCE, Duration::ZERO).with_context(|| format!("can't review {}", log.name()))?;
        self.positions.extend(batch.positions);
        Ok(batch.records)
    }

    pub(super) fn has_reached(&self, ends: &BTreeMap<u32, u64>) -> bool {
        ends.iter().all(|(shard, end)| self.positions.get(shard).is_some_and(|position| position >= end))
    }
}
