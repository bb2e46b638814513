//! How the logs of a configuration are opened and read.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Context;
use synthllm_log::{Log, LogError, LogName, Record, factory, read_to_end};

use crate::config::{Config, LogKind};

/// Opens logs that exist. A SQLite file is not made by looking at it.
pub fn open(config: &Config) -> anyhow::Result<Arc<dyn Log>> {
    if is_new_file(config) {
        return Err(LogError::Missing { missing: format!("the file {} is", config.log.path.display()) }.into());
    }
    let log = connect(config)?;
    if config.log.kind == LogKind::Sqlite {
        log.verify()?;
    }
    Ok(log)
}

/// Whether the logs are to be in a SQLite file that is not there yet.
pub fn is_new_file(config: &Config) -> bool {
    config.log.kind == LogKind::Sqlite && !config.log.path.exists()
}

/// Opens the logs for a first write: a SQLite file is made on the way, topics of a broker are not.
pub fn open_or_create(config: &Config) -> anyhow::Result<Arc<dyn Log>> {
    let log = connect(config)?;
    if config.log.kind == LogKind::Sqlite {
        log.create().with_context(|| format!("can't create the logs in {}", place(config)))?;
    }
    log.verify()?;
    Ok(log)
}

/// Creates the logs that are missing, and returns their names.
pub fn create(config: &Config) -> anyhow::Result<Vec<String>> {
    connect(config)?.create().with_context(|| format!("can't create the logs in {}", place(config)))
}

/// Where the logs are, for messages.
pub fn place(config: &Config) -> String {
    match config.log.kind {
        LogKind::Sqlite => config.log.path.display().to_string(),
        LogKind::Kafka => format!("Kafka at {}", config.log.brokers),
    }
}

fn connect(config: &Config) -> anyhow::Result<Arc<dyn Log>> {
    factory::open(&config.log_settings()).with_context(|| format!("can't open the logs in {}", place(config)))
}

/// Every partition of a log with its first offset.
pub fn starts(log: &Arc<dyn Log>, name: LogName) -> anyhow::Result<Vec<(u32, u64)>> {
    (0..log.partitions(name)?).map(|partition| Ok((partition, log.start(name, partition)?))).collect()
}

/// Reads all that is committed in a log now, and stops at the first error of `each`.
pub fn read_all(log: &Arc<dyn Log>, name: LogName, each: impl FnMut(Record) -> anyhow::Result<()>) -> anyhow::Result<()> {
    read_from(log, name, &starts(log, name)?, each).map(drop)
}

/// Reads all that is committed at and behind these offsets now, and returns the offsets at which it ended.
pub fn read_from(
    log: &Arc<dyn Log>,
    name: LogName,
    from: &[(u32, u64)],
    mut each: impl FnMut(Record) -> anyhow::Result<()>,
) -> anyhow::Result<Vec<(u32, u64)>> {
    let mut first_error = None;
    let each = |record: Record| {
        if first_error.is_none() {
            let place = format!("can't read {}/{} at offset {}", name.name(), record.partition, record.offset);
            first_error = each(record).context(place).err();
        }
    };
    let ends = read_to_end(log, name, from, each, |_, _| {})?;
    first_error.map_or(Ok(ends), Err)
}

/// The last record of each key, tombstones removed, in the order of the keys.
pub fn live(log: &Arc<dyn Log>, name: LogName) -> anyhow::Result<BTreeMap<Vec<u8>, Record>> {
    let mut live = BTreeMap::new();
    read_all(log, name, |record| {
        let key = record.key.clone().unwrap_or_default();
        match record.value {
            Some(_) => _ = live.insert(key, record),
            None => _ = live.remove(&key),
        }
        Ok(())
    })?;
    Ok(live)
}
