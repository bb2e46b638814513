//! `redo`: puts documents into the log again with a greater redo number; `run` then pays for them again, on purpose.
//!
//! The number is a field of the document, so that only the owner of a shard decides and writes, as for any other document.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context;
use serde_json::{Map, Value};
use synthllm_log::{Append, LogName};
use synthllm_operators::codec;
use synthllm_operators::record::Extraction;

use super::{count, delete, print};
use crate::cli::RedoArgs;
use crate::config::Config;
use crate::{events, logs};

/// Asks for each id once more than it was done so far; again and again before the next `run`, it is asked for once.
pub fn execute(config: &Config, args: &RedoArgs) -> anyhow::Result<()> {
    let ids = delete::ids(&args.ids, args.from_file.as_deref())?;
    let log = logs::open(config)?;
    let mut redone = BTreeMap::new();
    for (key, record) in logs::live(&log, LogName::Extractions)?.into_iter().filter(|(key, _)| is_among(&ids, key)) {
        let extraction: Extraction = codec::decode(&record.value.unwrap_or_default())
            .with_context(|| format!("can't read extractions/{} at offset {}", record.partition, record.offset))?;
        redone.insert(key, extraction.redo);
    }
    let mut documents = BTreeMap::new();
    logs::read_all(&log, LogName::Documents, |record| {
        match (record.key, record.value) {
            (Some(key), value) if is_among(&ids, &key) => _ = documents.insert(key, (record.partition, value)),
            _ => {}
        }
        Ok(())
    })?;
    let mut appender = log.appender()?;
    let mut asked = 0;
    for id in &ids {
        let key = id.as_bytes();
        match (redone.get(key), documents.get(key)) {
            (Some(redo), Some((partition, Some(value)))) => {
                let value = with_number(value, redo + 1).with_context(|| format!("can't ask for {id:?} again"))?;
                let key = Some(key.to_vec());
                appender.append(Append { log: LogName::Documents, partition: Some(*partition), key, value: Some(value) })?;
                asked += 1;
            }
            (Some(_), Some((_, None))) => events::redo::deleted(id),
            (Some(redo), None) => events::redo::no_document(id, redo + 1),
            (None, _) => events::redo::no_extraction(id),
        }
    }
    appender.flush()?;
    let left_out = ids.len() as u64 - asked;
    let asked = count(asked, "document");
    match left_out {
        0 => print(&format!("asked for {asked} again; `run` pays for them\n")),
        _ => print(&format!("asked for {asked} again, {left_out} left out; `run` pays for them\n")),
    }
}

fn is_among(ids: &BTreeSet<String>, key: &[u8]) -> bool {
    std::str::from_utf8(key).is_ok_and(|key| ids.contains(key))
}

/// The document as it stands, with this redo number.
fn with_number(value: &[u8], redo: u32) -> anyhow::Result<Vec<u8>> {
    let mut fields: Map<String, Value> = serde_json::from_slice(value).context("its last record is no JSON object")?;
    fields.insert("redo".to_owned(), redo.into());
    Ok(serde_json::to_vec(&fields)?)
}
