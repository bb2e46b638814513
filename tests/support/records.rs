//! The logs of a project as records of their types, read without the program under test.
#![allow(clippy::missing_panics_doc)]

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use synthllm_log::{Log, LogName, Record, read_to_end};
use synthllm_operators::codec;
use synthllm_operators::record::{
    Answer, DeadLetter, Extraction, Held, JournalKey, Progress, ProgressKey, Provenance, Role, Sample, ShardProgress,
};

/// The logs of a project.
pub struct Logs(Arc<dyn Log>);

impl Logs {
    /// Of this log, on whatever backend.
    pub fn new(log: Arc<dyn Log>) -> Self {
        Logs(log)
    }

    /// All committed records of a log, partition by partition in order of offsets.
    pub fn records(&self, name: LogName) -> Vec<Record> {
        let partitions = self.0.partitions(name).expect("the log has partitions");
        let from: Vec<(u32, u64)> =
            (0..partitions).map(|partition| (partition, self.0.start(name, partition).expect("a start"))).collect();
        let mut records = Vec::new();
        read_to_end(&self.0, name, &from, |record| records.push(record), |_, _| ()).expect("the log can be read");
        records.sort_by_key(|record| (record.partition, record.offset));
        records
    }

    /// The offset behind the last record of each partition.
    pub fn ends(&self, name: LogName) -> Vec<u64> {
        let partitions = self.0.partitions(name).expect("the log has partitions");
        (0..partitions).map(|partition| self.0.end(name, partition).expect("an end")).collect()
    }

    /// The last value of each key that has one.
    pub fn live(&self, name: LogName) -> BTreeMap<String, Vec<u8>> {
        let mut live = BTreeMap::new();
        for record in self.records(name) {
            let key = String::from_utf8(record.key.unwrap_or_default()).expect("our keys are text");
            match record.value {
                Some(value) => _ = live.insert(key, value),
                None => _ = live.remove(&key),
            }
        }
        live
    }

    /// The live documents as they were extracted, by id.
    pub fn extractions(&self) -> BTreeMap<String, Extraction> {
        decoded(self.live(LogName::Extractions))
    }

    /// The live samples, by id.
    pub fn samples(&self) -> BTreeMap<String, Sample> {
        let json = |value: Vec<u8>| serde_json::from_slice(&value).expect("a sample is JSON");
        self.live(LogName::Samples).into_iter().map(|(key, value)| (key, json(value))).collect()
    }

    /// What the live samples stand on, by sample id.
    pub fn provenance(&self) -> BTreeMap<String, Provenance> {
        decoded(self.live(LogName::Provenance))
    }

    /// What filters hold back, by sample id.
    pub fn held(&self) -> BTreeMap<String, Held> {
        decoded(self.live(LogName::Held))
    }

    /// All dead letters.
    pub fn dead_letters(&self) -> Vec<DeadLetter> {
        let values = self.records(LogName::DeadLetters).into_iter().filter_map(|record| record.value);
        values.map(|value| serde_json::from_slice(&value).expect("a dead letter is JSON")).collect()
    }

    /// Everything in `progress`, by key.
    pub fn progress(&self) -> BTreeMap<String, Progress> {
        decoded(self.live(LogName::Progress))
    }

    /// Where a shard stands; at its beginning when it has never committed.
    pub fn shard(&self, role: Role, shard: u32) -> ShardProgress {
        match self.progress().remove(&ProgressKey::Shard(role, shard).to_string()) {
            Some(Progress::Shard(progress)) => progress,
            _ => ShardProgress::default(),
        }
    }

    /// What all shards of a role have counted under a name since the first start.
    pub fn counted(&self, role: Role, name: &str) -> u64 {
        let progress = self.progress();
        let of_role = |key: &str| matches!(key.parse(), Ok(ProgressKey::Shard(found, _)) if found == role);
        let shards = progress.iter().filter(|(key, _)| of_role(key)).map(|(_, progress)| progress);
        let counts = shards.filter_map(|progress| match progress {
            Progress::Shard(shard) => shard.counters.get(name).copied(),
            _ => None,
        });
        counts.sum()
    }

    /// The answers that stand in the journals now.
    pub fn journal(&self) -> Vec<(JournalKey, Answer)> {
        let records = [LogName::JournalExtract, LogName::JournalGenerate].into_iter().flat_map(|name| self.records(name));
        records.map(|record| journal_record(&record.key.unwrap_or_default(), &record.value.unwrap_or_default())).collect()
    }
}

/// An answer in a journal.
pub fn journal_record(key: &[u8], value: &[u8]) -> (JournalKey, Answer) {
    (codec::decode(key).expect("a journal's key"), codec::decode(value).expect("a journal's answer"))
}

fn decoded<T: DeserializeOwned>(live: BTreeMap<String, Vec<u8>>) -> BTreeMap<String, T> {
    live.into_iter().map(|(key, value)| (key, codec::decode(&value).expect("our records decode"))).collect()
}
