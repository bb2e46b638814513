//! Reads entries into the index, ahead of the records that are read for their outputs.

use std::collections::{BTreeMap, HashMap};

use anyhow::{Context as _, Result};
use synthllm_log::{Reader, Record};
use synthllm_operators::codec;
use synthllm_operators::id::Id;
use synthllm_operators::record::{Extraction, Pointer};
use synthllm_operators::upsert::Entry;

use super::super::Context;
use super::levels;
use super::watch::Watch;

/// Reading entries into the index, ahead of the records that are read for their outputs.
pub(super) struct Loader {
    pub(super) reader: Option<Box<dyn Reader>>,
    pub(super) positions: BTreeMap<u32, u64>,
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

    /// The smallest ids of each limited level, as many as the limit leaves.
    pub(super) fn smallest(&self, context: &Context, watch: &Watch) -> Vec<(u8, Vec<Id>)> {
        let of_level = |level: u8| {
            let all = self.last.values().flatten().filter(|(of, _)| *of == level);
            let mut ids: Vec<Id> = all.map(|(_, id)| *id).collect();
            ids.sort_unstable();
            let limit = context.config.sampling.limit.of(level).unwrap_or(u64::MAX);
            ids.truncate(usize::try_from(limit.saturating_sub(watch.issued(level))).unwrap_or(usize::MAX));
            (level, ids)
        };
        levels::limited_levels(context).into_iter().map(of_level).collect()
    }
}

/// A record of `extractions`, as the index takes it.
pub(super) fn entry(record: &Record, max_concepts: usize) -> Result<Entry> {
    let place = || format!("can't read extractions/{} at offset {}", record.partition, record.offset);
    let extraction: Option<Extraction> = record.value.as_deref().map(codec::decode).transpose().with_context(place)?;
    let document = String::from_utf8_lossy(record.key.as_deref().unwrap_or_default());
    let pointer = Pointer { partition: record.partition, offset: record.offset };
    Ok(Entry::of(&document, pointer, extraction.as_ref(), max_concepts))
}
