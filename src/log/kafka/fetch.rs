//! Reads records by pointer: the wanted offsets of a partition in one sweep, checked by offset and key.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::Offset;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::TopicPartitionList;

use super::client::{ANSWER, Quiet, is_transient};
use super::reader::to_record;
use super::{KafkaLog, KafkaSettings};
use crate::{Fetched, LogName, Pointer, Record, Result};

/// Up to so many offsets further a sweep reads on; beyond, it jumps.
const JUMP: u64 = 200;

/// Fetches all pointers, in the order asked.
pub(super) fn fetch_many(log: &KafkaLog, name: LogName, pointers: &[Pointer]) -> Result<Vec<Fetched>> {
    let mut wanted: BTreeMap<u32, BTreeMap<u64, Option<Record>>> = BTreeMap::new();
    let mut fetched = vec![Fetched::Gone; pointers.len()];
    for (pointer, fetched) in pointers.iter().zip(&mut fetched) {
        if log.is_stable(name, pointer.partition, pointer.offset)? {
            wanted.entry(pointer.partition).or_default().insert(pointer.offset, None);
        } else {
            *fetched = Fetched::NotYet;
        }
    }
    for (partition, offsets) in &mut wanted {
        // Below the first offset of the partition the broker has nothing, and would refuse the read.
        let first = log.watermarks(name, *partition)?.0;
        if let Some((&last, _)) = offsets.last_key_value().filter(|(last, _)| **last >= first) {
            log.with_fetcher(|fetcher| {
                sweep(&log.settings, fetcher, &log.settings.topic(name), *partition, first, last, offsets)
            })?;
        }
    }
    for (pointer, fetched) in pointers.iter().zip(&mut fetched).filter(|(_, fetched)| **fetched != Fetched::NotYet) {
        let record = wanted.get(&pointer.partition).and_then(|offsets| offsets.get(&pointer.offset)?.as_ref());
        if let Some(record) = record.filter(|record| record.key.as_deref() == Some(&pointer.key[..])) {
            *fetched = Fetched::Found(record.value.clone());
        }
    }
    Ok(fetched)
}

/// Reads one partition over the wanted offsets, and fills in the records that stand at exactly these.
fn sweep(
    settings: &KafkaSettings,
    consumer: &BaseConsumer<Quiet>,
    topic: &str,
    partition: u32,
    first: u64,
    last: u64,
    wanted: &mut BTreeMap<u64, Option<Record>>,
) -> Result<()> {
    let failed = settings.failed(&format!("fetch from {topic} in"));
    let mut next = wanted.range(first..).next().map_or(last, |(offset, _)| *offset);
    assign(consumer, topic, partition, next).map_err(&failed)?;
    let deadline = Instant::now() + 2 * ANSWER;
    while Instant::now() < deadline {
        let record = match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => to_record(&message),
            // The read began below the last stable offset of all wanted records, so none stands beyond the end.
            Some(Err(KafkaError::PartitionEOF(_))) => return Ok(()),
            Some(Err(error)) if !is_transient(&error) => return Err(failed(error)),
            Some(Err(_)) | None => continue,
        };
        let reached = record.offset;
        if let Some(place) = wanted.get_mut(&reached) {
            *place = Some(record);
        }
        let Some((&following, _)) = wanted.range(reached + 1..).next() else { return Ok(()) };
        if following > reached + JUMP && following != next {
            next = following;
            assign(consumer, topic, partition, next).map_err(&failed)?;
        }
    }
    Err(settings.refused(&format!("fetch from {topic} in"), format!("no answer for partition {partition}")))
}

fn assign(consumer: &BaseConsumer<Quiet>, topic: &str, partition: u32, offset: u64) -> rdkafka::error::KafkaResult<()> {
    let mut list = TopicPartitionList::with_capacity(1);
    list.add_partition_offset(topic, partition as i32, Offset::Offset(offset as i64))?;
    consumer.assign(&list)
}

impl KafkaSettings {
    /// A consumer for pointers: small answers, and no long poll of the broker in the way of the next read.
    pub(super) fn fetcher(&self) -> Result<BaseConsumer<Quiet>> {
        let mut config = self.consumer();
        config.set("fetch.wait.max.ms", "10").set("fetch.message.max.bytes", "262144").set("queued.min.messages", "500");
        self.make_consumer(&config)
    }
}
