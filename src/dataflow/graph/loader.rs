//! Reads entries into the index, ahead of the records that are read for their outputs.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use anyhow::{Context as _, Result};
use synthllm_log::{LogName, Reader, Record};
use synthllm_operators::codec;
use synthllm_operators::id::Id;
use synthllm_operators::record::{ExtractionConcepts, Pointer, Role};
use synthllm_operators::upsert::Entry;

use super::super::Context;
use super::super::status::Loading;
use super::Graph;
use super::coordinator::Report;
use super::letters::Letter;
use super::levels;
use super::watch::Watch;
use crate::config::GraphConfig;

/// Entries are loaded in batches of at most so many.
const LOAD_AT_ONCE: usize = 5_000;

/// Reading entries into the index, ahead of the records that are read for their outputs.
pub(super) struct Loader {
    pub(super) reader: Option<Box<dyn Reader>>,
    pub(super) positions: BTreeMap<u32, u64>,
    /// Where it began.
    pub(super) from: BTreeMap<u32, u64>,
    pub(super) loading: Loading,
    pub(super) cut: BTreeMap<u32, u64>,
    /// The last record of each document that was read, while a limit needs the smallest ids.
    pub(super) last: HashMap<String, Vec<(u8, Id)>>,
    /// The epoch at which all entries were sent.
    pub(super) sent: Option<u64>,
}

impl Loader {
    /// Keeps the ids that the last record of each document could be issued under, unless it has had its outcome.
    pub(super) fn note(&mut self, entry: &Entry, limited: &[u8], seed: u64, position: u64) {
        if entry.offset < position || entry.content.is_none() {
            self.last.remove(&entry.document);
            return;
        }
        let candidates = levels::candidates(entry, limited, seed);
        self.last.insert(entry.document.clone(), candidates.iter().map(|it| (it.level, it.id)).collect());
    }

    /// Tells how far it is.
    fn tell(&self) {
        let below = |positions: &BTreeMap<u32, u64>| {
            let lengths = self.from.iter().map(|(shard, from)| positions[shard].min(self.cut[shard]).saturating_sub(*from));
            lengths.sum()
        };
        self.loading.is_at(below(&self.positions), below(&self.cut));
    }

    /// The smallest ids of each limited level, as many as the limit leaves.
    pub(super) fn smallest(&self, context: &Context, watch: &Watch, limited: &[u8]) -> Vec<(u8, Vec<Id>)> {
        let of_level = |level: u8| {
            let all = self.last.values().flatten().filter(|(of, _)| *of == level);
            let mut ids: Vec<Id> = all.map(|(_, id)| *id).collect();
            ids.sort_unstable();
            let limit = context.config.sampling.limit.of(level).unwrap_or(u64::MAX);
            ids.truncate(usize::try_from(limit.saturating_sub(watch.issued(level))).unwrap_or(usize::MAX));
            (level, ids)
        };
        limited.iter().copied().map(of_level).collect()
    }
}

impl Graph {
    /// Begins to load the index up to a cut, or to where `extractions` ends now.
    pub(super) fn load_to(&mut self, context: &Context, cut: Option<Vec<u64>>) -> Result<()> {
        let mine: Vec<u32> = self.flow.shards.keys().copied().collect();
        let cut = match cut {
            Some(cut) => mine.iter().map(|&shard| (shard, cut[shard as usize])).collect(),
            None => context.ends_now(LogName::Extractions, &mine)?,
        };
        let loaded = self.shared.borrow().loaded.clone();
        let mut from = Vec::new();
        for &shard in &mine {
            let start = context.log.start(LogName::Extractions, shard)?;
            from.push((shard, loaded.get(&shard).copied().unwrap_or(0).max(start)));
        }
        let reader = if from.is_empty() { None } else { Some(context.log.reader(LogName::Extractions, &from)?) };
        self.reading = false;
        self.told_drained = false;
        let from: BTreeMap<u32, u64> = from.into_iter().collect();
        let (positions, loading) = (from.clone(), context.status.loading(Role::Graph));
        self.loader = Some(Loader { reader, positions, from, loading, cut, last: HashMap::new(), sent: None });
        Ok(())
    }

    /// Loads on. Once the index stands at the cut, worker 0 is told, or, in continuous mode, reading begins.
    pub(super) fn load(&mut self, context: &Context, now: u64) -> Result<usize> {
        let limited = if self.settled { self.limited(context) } else { Vec::new() };
        let Some(loader) = &mut self.loader else { return Ok(0) };
        if let Some(sent) = loader.sent {
            if self.draws.less_equal(&sent) {
                return Ok(0);
            }
            self.tell_counters(Letter::Loaded { from: self.number, epoch: sent });
            self.stand_at_cut(context);
            return Ok(1);
        }
        let batch = match &mut loader.reader {
            Some(reader) => reader.poll(LOAD_AT_ONCE, Duration::ZERO).context("can't load extractions")?,
            None => synthllm_log::Batch::default(),
        };
        loader.positions.extend(batch.positions.iter().copied());
        loader.tell();
        let read = batch.records.len();
        for record in batch.records {
            if record.offset >= loader.cut[&record.partition] {
                continue;
            }
            let entry = entry(&record, &context.config.graph)?;
            if !limited.is_empty() {
                let position = self.flow.shards.get(&record.partition).map_or(0, |shard| shard.progress.position);
                loader.note(&entry, &limited, self.seed, position);
            }
            self.entries.send(entry);
        }
        if loader.positions.iter().all(|(shard, position)| *position >= loader.cut[shard]) {
            loader.sent = Some(now);
            crate::fault::point("state loaded");
        }
        Ok(read + usize::from(loader.sent.is_some()))
    }

    fn limited(&self, context: &Context) -> Vec<u8> {
        levels::limited_levels(context, &self.shared.borrow().drawn)
    }

    fn stand_at_cut(&mut self, context: &Context) {
        let Some(loader) = self.loader.take() else { return };
        self.shared.borrow_mut().loaded.clone_from(&loader.cut);
        self.followed.stand_at(&loader.cut);
        if context.drain {
            self.flow.end_at(loader.cut.clone());
        }
        if !self.settled {
            self.reading = true;
            return;
        }
        self.flow.hold_at(loader.cut.clone());
        let smallest = loader.smallest(context, &self.watch, &self.limited(context));
        let digest = self.index.borrow().digest();
        let cut = loader.cut.into_iter().collect();
        self.send(0, Letter::AtCut(Report { digest, cut, smallest }));
    }
}

/// A record of `extractions`, as the index takes it.
pub(super) fn entry(record: &Record, graph: &GraphConfig) -> Result<Entry> {
    let place = || format!("can't read extractions/{} at offset {}", record.partition, record.offset);
    let concepts: Option<ExtractionConcepts<'_>> =
        record.value.as_deref().map(codec::decode_beginning).transpose().with_context(place)?;
    let document = String::from_utf8_lossy(record.key.as_deref().unwrap_or_default());
    let pointer = Pointer { partition: record.partition, offset: record.offset };
    Ok(Entry::of(&document, pointer, concepts, &graph.naming()))
}
