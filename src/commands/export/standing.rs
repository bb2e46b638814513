//! The samples that stand in the log now and are to be exported.
//!
//! Cost: one pass over `samples`; about 200 bytes of memory a sample that passes; a temporary file of the bytes of all records that
//! passed when they were read, those replaced later included.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::sync::Arc;

use anyhow::Context;
use synthllm_export::{Entry, Settings};
use synthllm_log::{Log, LogName, Record};
use synthllm_operators::id::DocumentId;
use synthllm_operators::record::Sample;

use crate::hint::Usage;
use crate::logs;

/// Where a record is in the temporary file.
#[derive(Clone, Copy)]
pub struct Place {
    start: u64,
    length: u32,
}

/// The samples that stand.
pub struct Standing {
    /// Those to be exported, by id.
    pub entries: BTreeMap<String, Entry<Place>>,
    /// The ids of those that pass, but lack the answer that the shape needs.
    pub unanswered: BTreeSet<String>,
    /// The next offset of each partition of `samples`.
    pub positions: BTreeMap<u32, u64>,
    /// Their records.
    pub records: Records,
}

/// The records in the temporary file.
pub struct Records(File);

impl Records {
    /// The record at a place.
    pub fn read(&mut self, place: Place) -> anyhow::Result<Vec<u8>> {
        let mut record = vec![0; place.length as usize];
        self.0.seek(SeekFrom::Start(place.start))?;
        self.0.read_exact(&mut record)?;
        Ok(record)
    }
}

impl Standing {
    /// Reads all that is committed now.
    pub fn read(log: &Arc<dyn Log>, settings: &Settings) -> anyhow::Result<Self> {
        let file = tempfile::tempfile().context("can't make a temporary file")?;
        let mut reading = Reading {
            settings,
            file: BufWriter::new(file),
            length: 0,
            entries: BTreeMap::new(),
            unanswered: BTreeSet::new(),
            scores: BTreeSet::new(),
        };
        let starts = logs::starts(log, LogName::Samples)?;
        let positions = logs::read_from(log, LogName::Samples, &starts, |record| reading.add(record))?;
        let Reading { file, entries, unanswered, scores, .. } = reading;
        if let Some(name) = settings.filter.scores().find(|name| !scores.contains(*name)) {
            let known = if scores.is_empty() { "none has any".to_owned() } else { format!("there are {scores:?}") };
            return Err(Usage(format!("no sample has the score {name:?} of --min-score; {known}")).into());
        }
        let file = file.into_inner().map_err(std::io::IntoInnerError::into_error).context(FULL)?;
        Ok(Standing { entries, unanswered, positions: positions.into_iter().collect(), records: Records(file) })
    }
}

const FULL: &str = "can't write the temporary file";

struct Reading<'a> {
    settings: &'a Settings,
    file: BufWriter<File>,
    length: u64,
    entries: BTreeMap<String, Entry<Place>>,
    unanswered: BTreeSet<String>,
    /// The names of all scores.
    scores: BTreeSet<String>,
}

impl Reading<'_> {
    /// The last record of a key says what stands.
    fn add(&mut self, record: Record) -> anyhow::Result<()> {
        let id = String::from_utf8(record.key.unwrap_or_default()).context("its key is no id")?;
        self.entries.remove(&id);
        self.unanswered.remove(&id);
        let Some(value) = record.value else { return Ok(()) };
        let sample: Sample = serde_json::from_slice(&value).context("it is no sample")?;
        self.scores.extend(sample.scores.keys().cloned());
        if !self.settings.filter.keeps(&sample) {
            return Ok(());
        }
        if !self.settings.shape.takes(&sample) {
            self.unanswered.insert(id);
            return Ok(());
        }
        let documents = sample.provenance.documents.iter().map(|document| DocumentId::of(&document.id)).collect();
        let place = self.keep(&value).context(FULL)?;
        self.entries.insert(id, Entry { partition: record.partition, offset: record.offset, documents, place });
        Ok(())
    }

    fn keep(&mut self, value: &[u8]) -> std::io::Result<Place> {
        self.file.write_all(value)?;
        let place = Place { start: self.length, length: value.len() as u32 };
        self.length += value.len() as u64;
        Ok(place)
    }
}
