//! Producers: the transactional one of an owner, and the plain idempotent one.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{BaseProducer, BaseRecord, NoCustomPartitioner, Producer, ProducerContext};

use super::client::say;
use super::{KafkaLog, KafkaSettings};
use crate::{Append, Appender, LogError, Place, Result, Writer, partition};

/// How long to look for events at a time: the client library uses all of it, whatever comes.
const POLL: Duration = Duration::from_millis(1);

/// Collects what became of each record, by its number.
#[derive(Default)]
struct Deliveries {
    delivered: Mutex<Vec<(usize, std::result::Result<Place, KafkaError>)>>,
}

impl Deliveries {
    fn take(&self) -> Vec<(usize, std::result::Result<Place, KafkaError>)> {
        std::mem::take(&mut *self.delivered.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, _facility: &str, message: &str) {
        say(level, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "librdkafka reports an error");
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, number: usize) {
        let place = match result {
            Ok(message) => Ok(Place { partition: message.partition() as u32, offset: message.offset() as u64 }),
            Err((error, _)) => Err(error.clone()),
        };
        self.delivered.lock().unwrap_or_else(PoisonError::into_inner).push((number, place));
    }
}

type Client = BaseProducer<Deliveries, NoCustomPartitioner>;

/// Hands a record to the client; waits for room when its queue is full.
fn send(producer: &Client, topic: &str, partition: u32, record: &Append, number: usize) -> rdkafka::error::KafkaResult<()> {
    loop {
        let mut message = BaseRecord::<[u8], [u8], usize>::with_opaque_to(topic, number).partition(partition as i32);
        message.key = record.key.as_deref();
        message.payload = record.value.as_deref();
        match producer.send(message) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => producer.poll(POLL),
            Err((error, _)) => return Err(error),
        }
    }
}

/// Waits for all delivery reports. The client library's own `flush` does so in steps of 100 ms, each waited for in full.
fn settle(producer: &Client, timeout: Duration) -> rdkafka::error::KafkaResult<()> {
    let deadline = Instant::now() + timeout;
    while producer.in_flight_count() > 0 {
        if Instant::now() >= deadline {
            return Err(KafkaError::Flush(RDKafkaErrorCode::OperationTimedOut));
        }
        producer.poll(POLL);
    }
    Ok(())
}

/// The transactional producer of an owner.
pub(super) struct KafkaWriter {
    log: Arc<KafkaLog>,
    owner: String,
    producer: Client,
    begun: bool,
}

impl KafkaWriter {
    /// `init_transactions`: the broker aborts the open transaction of the former producer, and fences it.
    pub(super) fn new(log: Arc<KafkaLog>, owner: &str) -> Result<Self> {
        let settings = &log.settings;
        let timeout = settings.transaction_timeout;
        let mut config = settings.client();
        config
            .set("transactional.id", owner)
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("transaction.timeout.ms", timeout.as_millis().to_string())
            .set("message.timeout.ms", (timeout * 3 / 4).as_millis().to_string())
            .set("socket.timeout.ms", (timeout / 2).min(super::client::REACH).as_millis().to_string())
            .set("linger.ms", "0")
            .set("compression.type", "zstd");
        let producer = Client::from_config_and_context(&config, Deliveries::default())
            .map_err(settings.failed("make a producer for"))?;
        producer.init_transactions(settings.start_timeout()).map_err(settings.failed("become the writer in"))?;
        Ok(KafkaWriter { log, owner: owner.to_owned(), producer, begun: false })
    }

    fn append_all(&mut self, records: &[Append], partitions: &[u32]) -> rdkafka::error::KafkaResult<Vec<Place>> {
        if !self.begun {
            self.producer.begin_transaction()?;
            self.begun = true;
        }
        for (number, (record, partition)) in records.iter().zip(partitions).enumerate() {
            send(&self.producer, &self.log.settings.topic(record.log), *partition, record, number)?;
        }
        settle(&self.producer, self.log.settings.transaction_timeout)?;
        let mut delivered = self.producer.context().take();
        delivered.sort_unstable_by_key(|(number, _)| *number);
        delivered.into_iter().map(|(_, place)| place).collect()
    }

    /// Whatever goes wrong in a transaction ends the process; only fencing has a name of its own.
    fn classify(&self, action: &str, error: KafkaError) -> LogError {
        let code = match &error {
            KafkaError::Transaction(error) => Some(error.code()),
            other => other.rdkafka_error_code(),
        };
        let fatal = self.producer.client().fatal_error().map(|(code, _)| code);
        if [code, fatal].into_iter().flatten().any(super::client::says_fenced) {
            return LogError::Fenced { owner: self.owner.clone() };
        }
        self.log.settings.failed(&format!("{action} as {} in", self.owner))(error)
    }
}

impl Writer for KafkaWriter {
    fn append(&mut self, records: Vec<Append>) -> Result<Vec<Place>> {
        let partitions = self.log.partitions_of(&records)?;
        self.append_all(&records, &partitions).map_err(|error| self.classify("append", error))
    }

    fn commit(&mut self) -> Result<()> {
        if !std::mem::take(&mut self.begun) {
            return Ok(());
        }
        let timeout = self.log.settings.transaction_timeout;
        self.producer.commit_transaction(timeout).map_err(|error| self.classify("commit", error))
    }

    fn abort(&mut self) -> Result<()> {
        if !std::mem::take(&mut self.begun) {
            return Ok(());
        }
        let timeout = self.log.settings.transaction_timeout;
        let aborted = self.producer.abort_transaction(timeout).map_err(|error| self.classify("abort", error));
        drop(self.producer.context().take());
        aborted
    }
}

/// The plain producer of `ingest` and the like.
pub(super) struct KafkaAppender {
    log: Arc<KafkaLog>,
    producer: Client,
    sent: usize,
}

impl KafkaAppender {
    pub(super) fn new(log: Arc<KafkaLog>) -> Result<Self> {
        let mut config = log.settings.client();
        config
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("linger.ms", "5")
            .set("compression.type", "zstd")
            .set("queue.buffering.max.kbytes", "65536");
        let producer = Client::from_config_and_context(&config, Deliveries::default())
            .map_err(log.settings.failed("make a producer for"))?;
        Ok(KafkaAppender { log, producer, sent: 0 })
    }

    /// The first failure among what has been delivered so far.
    fn check(&self) -> Result<()> {
        for (number, place) in self.producer.context().take() {
            place.map_err(self.log.settings.failed(&format!("append record {number} to")))?;
        }
        Ok(())
    }
}

impl Appender for KafkaAppender {
    fn append(&mut self, record: Append) -> Result<()> {
        let count = crate::Log::partitions(&*self.log, record.log)?;
        let partition = partition::of_record(&record, count)?;
        let topic = self.log.settings.topic(record.log);
        send(&self.producer, &topic, partition, &record, self.sent).map_err(self.log.settings.failed("append to"))?;
        self.sent += 1;
        self.producer.poll(Duration::ZERO);
        self.check()
    }

    fn flush(&mut self) -> Result<()> {
        let settled = settle(&self.producer, self.log.settings.transaction_timeout);
        self.check()?;
        settled.map_err(self.log.settings.failed("flush to"))
    }
}

impl KafkaSettings {
    /// How long becoming a writer may take: the broker first ends the former one's transaction.
    fn start_timeout(&self) -> Duration {
        self.transaction_timeout.max(Duration::from_secs(30))
    }
}
