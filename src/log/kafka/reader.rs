//! Reads committed records; the position counts gaps and control records.
//!
//! librdkafka's own position moves past control records as they leave its queue, but not past offsets that compaction has
//! emptied, nor past a tail of aborted records whose marker is gone. So a partition that has answered "end of partition"
//! and stands below the last stable offset, asked for after that, is read again from where it stands: the end that this
//! new read reports lies at or above the asked offset, and everything below it has been delivered.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::Offset;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::topic_partition_list::TopicPartitionList;

use super::KafkaLog;
use super::client::{ANSWER, Quiet};
use crate::{Batch, LogError, LogName, Reader, Record, Result};

/// A batch ends after so many bytes.
const BYTES_PER_BATCH: usize = 16 << 20;
/// After so long without a record, a reported end is compared with the last stable offset.
const QUIET: Duration = Duration::from_millis(100);

pub(super) struct KafkaReader {
    log: Arc<KafkaLog>,
    name: LogName,
    topic: String,
    consumer: BaseConsumer<Quiet>,
    partitions: Vec<PartitionState>,
}

struct PartitionState {
    partition: u32,
    position: u64,
    end: End,
}

/// What is known of the end of a partition.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// Records are still to come, or the position has been compared with the last stable offset.
    Settled,
    /// The end was reported, and the position may lie below it.
    Reported,
    /// The partition is read again; the next report means that this offset is reached.
    Expected(u64),
}

impl KafkaReader {
    pub(super) fn new(log: Arc<KafkaLog>, name: LogName, from: &[(u32, u64)]) -> Result<Self> {
        let consumer = log.settings.make_consumer(&log.settings.consumer("read_committed"))?;
        let topic = log.settings.topic(name);
        let mut list = TopicPartitionList::with_capacity(from.len());
        for &(partition, offset) in from {
            list.add_partition_offset(&topic, partition as i32, Offset::Offset(offset as i64))
                .map_err(log.settings.failed("read from"))?;
        }
        consumer.assign(&list).map_err(log.settings.failed("read from"))?;
        let state = |&(partition, position)| PartitionState { partition, position, end: End::Settled };
        let partitions = from.iter().map(state).collect();
        Ok(KafkaReader { log, name, topic, consumer, partitions })
    }

    /// Takes what there is, waiting for the first until the deadline.
    fn gather(&mut self, max_records: usize, deadline: Instant) -> Result<Vec<Record>> {
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
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    end_reported(&mut self.partitions, partition as u32);
                }
                Some(Err(error)) => self.judge(error)?,
            }
            wait = Duration::ZERO;
        }
        Ok(records)
    }

    /// An error that librdkafka recovers from by itself is no news; the others end the read.
    fn judge(&self, error: KafkaError) -> Result<()> {
        use RDKafkaErrorCode::{AllBrokersDown, AutoOffsetReset, BrokerTransportFailure, OffsetOutOfRange};
        use RDKafkaErrorCode::{OperationTimedOut, Resolve};
        match error.rdkafka_error_code() {
            Some(AllBrokersDown | BrokerTransportFailure | OperationTimedOut | Resolve) => {
                tracing::debug!(%error, log = self.name.name(), "the read is tried again");
                Ok(())
            }
            Some(AutoOffsetReset | OffsetOutOfRange) => Err(self.out_of_range(error)),
            _ => Err(self.log.settings.failed(&format!("read {} from", self.topic))(error)),
        }
    }

    /// Finds the partition whose position does not exist; librdkafka does not name it.
    fn out_of_range(&self, error: KafkaError) -> LogError {
        for state in &self.partitions {
            let Ok((low, high)) = self.log.watermarks(self.name, state.partition) else { continue };
            if state.position < low || state.position > high {
                return LogError::OutOfRange {
                    log: self.name.name(),
                    partition: state.partition,
                    offset: state.position,
                    reason: format!("the broker has {low} to {high}"),
                };
            }
        }
        self.log.settings.failed(&format!("read {} from", self.topic))(error)
    }

    /// Moves the positions to those of the consumer, and returns the ones that moved.
    fn moved(&mut self, before: &[u64]) -> Result<Vec<(u32, u64)>> {
        let positions = self.consumer.position().map_err(self.log.settings.failed("read from"))?;
        for state in &mut self.partitions {
            let element = positions.find_partition(&self.topic, state.partition as i32);
            if let Some(Offset::Offset(offset)) = element.map(|element| element.offset()) {
                state.position = state.position.max(offset as u64);
            }
        }
        let pairs = self.partitions.iter().zip(before);
        Ok(pairs
            .filter(|(state, before)| state.position > **before)
            .map(|(state, _)| (state.partition, state.position))
            .collect())
    }

    /// Compares the positions of partitions that reported their end with the last stable offsets (see the module's head).
    fn compare_ends(&mut self) -> Result<()> {
        for state in self.partitions.iter_mut().filter(|state| state.end == End::Reported) {
            let stable = self.log.last_stable_offset(self.name, state.partition)?;
            state.end = End::Settled;
            if state.position < stable {
                state.end = End::Expected(stable);
                self.consumer
                    .seek(&self.topic, state.partition as i32, Offset::Offset(state.position as i64), ANSWER)
                    .map_err(self.log.settings.failed("read from"))?;
            }
        }
        Ok(())
    }
}

impl Reader for KafkaReader {
    fn poll(&mut self, max_records: usize, timeout: Duration) -> Result<Batch> {
        let deadline = Instant::now() + timeout;
        loop {
            let reported = self.partitions.iter().any(|state| state.end == End::Reported);
            let quiet = Instant::now() + QUIET;
            let before: Vec<u64> = self.partitions.iter().map(|state| state.position).collect();
            let records = self.gather(max_records, if reported { deadline.min(quiet) } else { deadline })?;
            let positions = self.moved(&before)?;
            if !records.is_empty() || !positions.is_empty() {
                return Ok(Batch { records, positions });
            }
            if reported {
                self.compare_ends()?;
            }
            if Instant::now() >= deadline {
                return Ok(Batch::default());
            }
        }
    }
}

/// A report of the end settles a partition that was read again, and makes another one worth a comparison.
fn end_reported(partitions: &mut [PartitionState], partition: u32) {
    let Some(state) = partitions.iter_mut().find(|state| state.partition == partition) else { return };
    state.end = match state.end {
        End::Expected(offset) => {
            state.position = state.position.max(offset);
            End::Settled
        }
        End::Settled | End::Reported => End::Reported,
    };
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
