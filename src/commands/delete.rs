//! `delete`: writes tombstones into `documents`; `run` then withdraws what is grounded on them.
//!
//! The logs are read in one pass, and only the ids of the documents to be deleted are kept.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use serde_json::{Map, Value};
use synthllm_log::{Append, Log, LogName, Record};
use synthllm_operators::codec;
use synthllm_operators::decode::{Limits, decode};
use synthllm_operators::record::{Extraction, Progress, ProgressKey, Role, Scored};

use super::{count, print};
use crate::cli::DeleteArgs;
use crate::config::Config;
use crate::{events, logs};

/// So many unknown ids are named, the rest is only counted.
const NAMED: usize = 20;

/// Writes one tombstone for each id, unknown ones too: `documents` may hold what no one has read yet.
pub fn execute(config: &Config, args: &DeleteArgs) -> anyhow::Result<()> {
    let mut wanted = Wanted {
        ids: ids(&args.ids, args.from_file.as_deref())?,
        source: args.source.clone(),
        limits: config.document_limits(),
    };
    let log = logs::open(config)?;
    let known = wanted.find(&log)?;
    // Those found by their source are deleted with those that were named.
    wanted.ids.extend(known.keys().filter_map(|key| String::from_utf8(key.clone()).ok()));
    if args.dry_run {
        return print(&wanted.ids.iter().fold(String::new(), |text, id| text + id + "\n"));
    }
    let unknown = report_unknown(&wanted.ids, &known);
    append_tombstones(&log, &wanted.ids, &known)?;
    let deleted = count(wanted.ids.len() as u64, "document");
    match unknown {
        0 => print(&format!("deleted {deleted}\n")),
        unknown => print(&format!("deleted {deleted} ({unknown} of them unknown)\n")),
    }
}

/// The ids that a command names, and those in a file.
pub fn ids(named: &[String], file: Option<&Path>) -> anyhow::Result<BTreeSet<String>> {
    let mut ids: BTreeSet<String> = named.iter().cloned().collect();
    if let Some(file) = file {
        read_ids(file, &mut ids).with_context(|| format!("can't read the ids in {}", file.display()))?;
    }
    Ok(ids)
}

fn read_ids(file: &Path, ids: &mut BTreeSet<String>) -> std::io::Result<()> {
    let input: Box<dyn BufRead> =
        if file == Path::new("-") { Box::new(std::io::stdin().lock()) } else { Box::new(BufReader::new(File::open(file)?)) };
    for line in input.lines() {
        let line = line?;
        if !line.trim().is_empty() {
            ids.insert(id_of_object(&line).unwrap_or_else(|| line.trim().to_owned()));
        }
    }
    Ok(())
}

/// The `id` of a JSON object, such as `screen select` writes.
fn id_of_object(line: &str) -> Option<String> {
    let object: Map<String, Value> = serde_json::from_str(line).ok()?;
    match object.get("id")? {
        Value::String(id) => Some(id.clone()),
        Value::Number(id) => Some(id.to_string()),
        _ => None,
    }
}

/// The documents to be found that are live, with the partition in which each is.
type Known = BTreeMap<Vec<u8>, u32>;

/// What the user wants deleted.
struct Wanted {
    ids: BTreeSet<String>,
    source: Option<String>,
    limits: Limits,
}

impl Wanted {
    /// Finds them among the live documents: those extracted, those rejected, and those that extract has not read yet.
    fn find(&self, log: &Arc<dyn Log>) -> anyhow::Result<Known> {
        let mut known = Known::new();
        logs::read_all(log, LogName::Extractions, |record| {
            let partition = self.partition_of_extracted(&record)?;
            note(&mut known, record.key, partition);
            Ok(())
        })?;
        let mut rejected = Known::new();
        logs::read_all(log, LogName::Scores, |record| {
            let partition = self.partition_of_rejected(&record)?;
            note(&mut rejected, record.key, partition);
            Ok(())
        })?;
        known.append(&mut rejected);
        logs::read_from(log, LogName::Documents, &positions_of_extract(log)?, |record| {
            let partition = self.is_wanted_document(&record).then_some(record.partition);
            note(&mut known, record.key, partition);
            Ok(())
        })?;
        Ok(known)
    }

    /// The partition of `documents` in which a wanted document is, as its extraction says.
    fn partition_of_extracted(&self, record: &Record) -> anyhow::Result<Option<u32>> {
        let Some(value) = &record.value else { return Ok(None) };
        let is_named = self.names(record);
        if !is_named && self.source.is_none() {
            return Ok(None);
        }
        let extraction: Extraction = codec::decode(value)?;
        let is_wanted = is_named || (self.source.is_some() && extraction.source == self.source);
        Ok(is_wanted.then_some(extraction.version.partition))
    }

    /// The same of a wanted document that screening rejects.
    fn partition_of_rejected(&self, record: &Record) -> anyhow::Result<Option<u32>> {
        let Some(value) = &record.value else { return Ok(None) };
        if !self.names(record) && self.source.is_none() {
            return Ok(None);
        }
        let scored: Scored = codec::decode(value)?;
        let is_wanted = self.names(record) || scored.document.source == self.source;
        Ok((is_wanted && scored.rejected.is_some()).then_some(scored.head.version.partition))
    }

    /// Whether a record that extract has not read yet is a wanted document. One that can't be used has no source.
    fn is_wanted_document(&self, record: &Record) -> bool {
        let Some(value) = &record.value else { return false };
        let source = || decode(record.key.as_deref().unwrap_or_default(), value, &self.limits).ok()?.source;
        self.names(record) || (self.source.is_some() && source() == self.source)
    }

    fn names(&self, record: &Record) -> bool {
        let key = record.key.as_deref().and_then(|key| std::str::from_utf8(key).ok());
        key.is_some_and(|key| self.ids.contains(key))
    }
}

/// The last record of a key says whether its document is wanted, and where it is.
fn note(known: &mut Known, key: Option<Vec<u8>>, partition: Option<u32>) {
    match (key, partition) {
        (Some(key), Some(partition)) => _ = known.insert(key, partition),
        (Some(key), None) => _ = known.remove(&key),
        (None, _) => {}
    }
}

/// Names those that no live document has, and returns how many they are.
fn report_unknown(ids: &BTreeSet<String>, known: &Known) -> usize {
    let mut unknown = 0;
    for id in ids.iter().filter(|id| !known.contains_key(id.as_bytes())) {
        unknown += 1;
        if unknown <= NAMED {
            events::delete::unknown_document(id);
        }
    }
    if unknown > NAMED {
        events::delete::more_unknown_documents(unknown - NAMED);
    }
    unknown
}

fn append_tombstones(log: &Arc<dyn Log>, ids: &BTreeSet<String>, known: &Known) -> anyhow::Result<()> {
    let mut appender = log.appender()?;
    for id in ids {
        // A document stays in the partition where it is, whoever chose it.
        let partition = known.get(id.as_bytes()).copied();
        appender.append(Append { log: LogName::Documents, partition, key: Some(id.clone().into_bytes()), value: None })?;
    }
    Ok(appender.flush()?)
}

/// Where each shard of extract reads next.
fn positions_of_extract(log: &Arc<dyn Log>) -> anyhow::Result<Vec<(u32, u64)>> {
    let progress = logs::live(log, LogName::Progress)?;
    let mut positions = logs::starts(log, LogName::Documents)?;
    for (partition, start) in &mut positions {
        let key = ProgressKey::Shard(Role::Extract, *partition).to_string();
        let value = progress.get(key.as_bytes()).and_then(|record| record.value.as_deref());
        if let Some(Progress::Shard(shard)) = value.map(codec::decode).transpose()? {
            *start = shard.position.max(*start);
        }
    }
    Ok(positions)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_line_or_that_of_an_object() {
        let file = tempfile::NamedTempFile::new().expect("the system gives a file");
        let lines = "plain id\n\n{\"id\": \"a \\u00e9\", \"reason\": \"score\"}\n{\"id\": 7}\n{\"no\": \"id\"}\n{cut\n";
        std::fs::write(file.path(), lines).expect("the file is writable");
        let ids = ids(&["named".to_owned()], Some(file.path())).expect("the file is there");
        assert_eq!(ids, ["plain id", "a é", "7", "{\"no\": \"id\"}", "{cut", "named"].map(str::to_owned).into());
    }
}
