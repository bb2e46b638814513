//! Reads committed records; the position counts gaps and control records.
//!
//! librdkafka's own position is used: it moves past records as they are handed out, and past control records as they leave
//! its queue. That reaches every high watermark, because the last offset of a partition always holds a record or a
//! transaction's marker: both lie in the active segment, which compaction leaves alone, and a segment that becomes
//! inactive does so by an append behind it. A partition that was trimmed to its end is read from there, which is its end.
//! "End of partition" is asked for only so that a wait ends when control records alone have moved the position.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::Offset;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::topic_partition_list::TopicPartitionList;

use super::KafkaLog;
use super::client::{Quiet, is_transient};
use crate::{Batch, LogError, LogName, Reader, Record, Result};

/// A batch ends after so many bytes.
const BYTES_PER_BATCH: usize = 16 << 20;

pub(super) struct KafkaReader {
    log: Arc<KafkaLog>,
    name: LogName,
    topic: String,
    consumer: BaseConsumer<Quiet>,
    positions: Vec<(u32, u64)>,
}

impl KafkaReader {
    pub(super) fn new(log: Arc<KafkaLog>, name: LogName, from: &[(u32, u64)]) -> Result<Self> {
        let consumer = log.settings.make_consumer(&log.settings.consumer())?;
        let topic = log.settings.topic(name);
        let failed = log.settings.failed("read from");
        let mut list = TopicPartitionList::with_capacity(from.len());
        for &(partition, offset) in from {
            list.add_partition_offset(&topic, partition as i32, Offset::Offset(offset as i64)).map_err(&failed)?;
        }
        consumer.assign(&list).map_err(&failed)?;
        Ok(KafkaReader { log, name, topic, consumer, positions: from.to_vec() })
    }

    /// Takes what there is, waiting for the first record, or the first end of a partition, until the deadline.
    fn gather(&self, max_records: usize, deadline: Instant) -> Result<Vec<Record>> {
        let (mut records, mut bytes) = (Vec::new(), 0);
        let mut wait = deadline.saturating_duration_since(Instant::now());
        while records.len() < max_records && bytes < BYTES_PER_BATCH {
            match self.consumer.poll(wait) {
                None => break,
                Some(Ok(message)) => {
                    let record = to_record(&message);
                    bytes += record.value.as_ref().map_or(0, Vec::len);
                    records.push(record);
                }
                Some(Err(KafkaError::PartitionEOF(_))) => {}
                Some(Err(error)) => self.judge(error)?,
            }
            wait = Duration::ZERO;
        }
        Ok(records)
    }

    /// An error that librdkafka recovers from by itself is no news; the others end the read.
    fn judge(&self, error: KafkaError) -> Result<()> {
        use RDKafkaErrorCode::{AutoOffsetReset, OffsetOutOfRange};
        match error.rdkafka_error_code() {
            _ if is_transient(&error) => {
                tracing::debug!(%error, log = self.name.name(), "the read is tried again");
                Ok(())
            }
            Some(AutoOffsetReset | OffsetOutOfRange) => Err(self.out_of_range(error)),
            _ => Err(self.log.settings.failed(&format!("read {} from", self.topic))(error)),
        }
    }

    /// Finds the partition whose position does not exist; librdkafka does not name it.
    fn out_of_range(&self, error: KafkaError) -> LogError {
        for &(partition, offset) in &self.positions {
            let Ok((low, high)) = self.log.watermarks(self.name, partition) else { continue };
            if !(low..=high).contains(&offset) {
                let reason = format!("the broker has {low} to {high}");
                return LogError::OutOfRange { log: self.name.name(), partition, offset, reason };
            }
        }
        self.log.settings.failed(&format!("read {} from", self.topic))(error)
    }

    /// Moves the positions to those of the consumer, and returns the ones that moved.
    fn moved(&mut self) -> Result<Vec<(u32, u64)>> {
        let read = self.consumer.position().map_err(self.log.settings.failed("read from"))?;
        let mut moved = Vec::new();
        for (partition, position) in &mut self.positions {
            // Before the first record librdkafka has no position of its own.
            let element = read.find_partition(&self.topic, *partition as i32);
            if let Some(Offset::Offset(offset)) = element.map(|element| element.offset())
                && offset as u64 > *position
            {
                *position = offset as u64;
                moved.push((*partition, *position));
            }
        }
        Ok(moved)
    }
}

impl Reader for KafkaReader {
    fn poll(&mut self, max_records: usize, timeout: Duration) -> Result<Batch> {
        let deadline = Instant::now() + timeout;
        loop {
            let records = self.gather(max_records, deadline)?;
            let positions = self.moved()?;
            if !records.is_empty() || !positions.is_empty() || Instant::now() >= deadline {
                return Ok(Batch { records, positions });
            }
        }
    }
}

/// A message as a record of the contract.
pub(super) fn to_record(message: &BorrowedMessage<'_>) -> Record {
    Record {
        partition: message.partition() as u32,
        offset: message.offset() as u64,
        key: message.key().map(<[u8]>::to_vec),
        value: message.payload().map(<[u8]>::to_vec),
    }
}
