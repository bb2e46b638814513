//! `delete`: writes tombstones into `documents`; `run` then withdraws what is grounded on them.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use synthllm_log::{Append, Log, LogName};
use synthllm_operators::codec;
use synthllm_operators::record::{Extraction, Progress, ProgressKey, Role};

use super::{count, print};
use crate::cli::DeleteArgs;
use crate::config::Config;
use crate::{events, logs};

/// Writes one tombstone for each id, unknown ones too: `documents` may hold what no one has read yet.
pub fn execute(config: &Config, args: &DeleteArgs) -> anyhow::Result<()> {
    let ids = ids(&args.ids, args.from_file.as_deref())?;
    let log = logs::open(config)?;
    let known = partitions_of_known_documents(&log)?;
    let mut appender = log.appender()?;
    for id in &ids {
        // A document stays in the partition where it is, whoever chose it.
        let partition = known.get(id.as_bytes()).copied();
        if partition.is_none() {
            events::delete::unknown_document(id);
        }
        appender.append(Append { log: LogName::Documents, partition, key: Some(id.clone().into_bytes()), value: None })?;
    }
    appender.flush()?;
    let deleted = count(ids.len() as u64, "document");
    match ids.iter().filter(|id| !known.contains_key(id.as_bytes())).count() {
        0 => print(&format!("deleted {deleted}\n")),
        unknown => print(&format!("deleted {deleted} ({unknown} of them unknown)\n")),
    }
}

/// The ids that a command names, and those in a file.
pub fn ids(named: &[String], file: Option<&Path>) -> anyhow::Result<BTreeSet<String>> {
    let mut ids: BTreeSet<String> = named.iter().cloned().collect();
    if let Some(file) = file {
        let text = read_text(file).with_context(|| format!("can't read the ids in {}", file.display()))?;
        ids.extend(text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned));
    }
    Ok(ids)
}

fn read_text(file: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    if file == Path::new("-") {
        std::io::stdin().read_to_string(&mut text)?;
    } else {
        std::fs::File::open(file)?.read_to_string(&mut text)?;
    }
    Ok(text)
}

/// The live documents: those extracted, and those that extract has not read yet.
fn partitions_of_known_documents(log: &Arc<dyn Log>) -> anyhow::Result<BTreeMap<Vec<u8>, u32>> {
    let mut known = BTreeMap::new();
    for (key, record) in logs::live(log, LogName::Extractions)? {
        let extraction: Extraction = codec::decode(&record.value.unwrap_or_default())
            .with_context(|| format!("can't read extractions/{} at offset {}", record.partition, record.offset))?;
        known.insert(key, extraction.version.partition);
    }
    logs::read_from(log, LogName::Documents, &positions_of_extract(log)?, |record| {
        match (record.key, record.value) {
            (Some(key), Some(_)) => _ = known.insert(key, record.partition),
            (Some(key), None) => _ = known.remove(&key),
            (None, _) => {}
        }
        Ok(())
    })?;
    Ok(known)
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
