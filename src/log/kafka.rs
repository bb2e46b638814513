//! The logs as topics of Apache Kafka.
//!
//! - **Writers** are transactional producers (KIP-98), `acks=all`, one per owner. An append returns after the broker's
//!   delivery reports, so offsets are known before the commit.
//! - **Readers** are assigned statically, without consumer group, `read_committed`, and never reset their offset: a position
//!   that does not exist is an error.
//! - **Ends** are asked for with a `read_uncommitted` client; records of open transactions count.
//! - Partitions are chosen by this program, with [`crate::partition`], never by the client library.
//!
//! Fencing does what a claim of the `run` does on SQLite, so that is always granted.

mod client;
mod fetch;
mod reader;
mod topics;
mod writer;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use rdkafka::Offset;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::metadata::Metadata;
use rdkafka::topic_partition_list::{TopicPartitionList, TopicPartitionListElem};

use crate::{
    Append, Appender, DocumentsRetention, Fetched, Log, LogName, Pointer, Reader, Result, Retention, RunClaim, Writer,
    partition,
};
use client::{ANSWER, Quiet, REACH, wait_for};

/// How to reach the broker, and what the topics are called there.
#[derive(Clone)]
pub struct KafkaSettings {
    /// `host:port`, several separated by commas.
    pub brokers: String,
    /// Stands before each topic's name.
    pub prefix: String,
    /// An existing topic of the user to read documents from, in place of our own.
    pub documents: Option<String>,
    /// N of a `documents` that we create, and of its `journal-extract`; that of a topic of the user has as many as the topic.
    pub documents_partitions: u32,
    /// P: partitions of all other topics.
    pub partitions: u32,
    /// Replicas of topics that we create; `None`: as the broker's default is.
    pub replication: Option<u32>,
    /// The user's properties for every client (security, addresses); never shown.
    pub properties: BTreeMap<String, String>,
    /// After so long without commit the broker aborts a transaction and fences its producer.
    pub transaction_timeout: Duration,
    /// Topic settings in place of ours, for tests of compaction and for special clusters.
    pub topic_overrides: BTreeMap<String, String>,
}

impl KafkaSettings {
    /// The defaults: 8 partitions each, the broker's replication, one minute for a transaction.
    pub fn new(brokers: &str, prefix: &str) -> Self {
        KafkaSettings {
            brokers: brokers.to_owned(),
            prefix: prefix.to_owned(),
            documents: None,
            documents_partitions: 8,
            partitions: 8,
            replication: None,
            properties: BTreeMap::new(),
            transaction_timeout: Duration::from_secs(60),
            topic_overrides: BTreeMap::new(),
        }
    }
}

impl fmt::Debug for KafkaSettings {
    /// The user's properties may hold passwords: only their names are shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaSettings")
            .field("brokers", &self.brokers)
            .field("prefix", &self.prefix)
            .field("documents", &self.documents)
            .field("documents_partitions", &self.documents_partitions)
            .field("partitions", &self.partitions)
            .field("replication", &self.replication)
            .field("properties", &self.properties.keys().collect::<Vec<_>>())
            .field("transaction_timeout", &self.transaction_timeout)
            .field("topic_overrides", &self.topic_overrides)
            .finish()
    }
}

/// The logs as topics of a Kafka cluster.
pub struct KafkaLog {
    settings: KafkaSettings,
    admin: AdminClient<Quiet>,
    committed: BaseConsumer<Quiet>,
    uncommitted: BaseConsumer<Quiet>,
    /// Idle consumers of [`Log::fetch`].
    fetchers: Mutex<Vec<BaseConsumer<Quiet>>>,
    /// Last stable offsets as last seen; they only grow.
    stable: Mutex<HashMap<(LogName, u32), u64>>,
    documents_partitions: OnceLock<u32>,
    this: Weak<KafkaLog>,
}

impl KafkaLog {
    /// Connects; the error, after about ten seconds, names the brokers that could not be reached.
    pub fn new(settings: KafkaSettings) -> Result<Arc<Self>> {
        let admin =
            AdminClient::from_config_and_context(&settings.client(), Quiet).map_err(settings.failed("make a client for"))?;
        let committed = settings.observer("read_committed")?;
        let uncommitted = settings.observer("read_uncommitted")?;
        let log = Arc::new_cyclic(|this| KafkaLog {
            settings,
            admin,
            committed,
            uncommitted,
            fetchers: Mutex::default(),
            stable: Mutex::default(),
            documents_partitions: OnceLock::new(),
            this: this.clone(),
        });
        log.metadata()?;
        Ok(log)
    }

    fn shared(&self) -> Arc<KafkaLog> {
        self.this.upgrade().expect("self is borrowed from an Arc")
    }

    /// What the cluster consists of; a cluster that is just starting is asked again.
    fn metadata(&self) -> Result<Metadata> {
        let deadline = Instant::now() + REACH;
        loop {
            match self.uncommitted.fetch_metadata(None, Duration::from_secs(3)) {
                Ok(metadata) if !metadata.brokers().is_empty() => return Ok(metadata),
                Ok(_) if Instant::now() >= deadline => {
                    return Err(self.settings.refused("reach", "the cluster names no broker".to_owned()));
                }
                Err(error) if Instant::now() >= deadline => {
                    let reason = format!("{error}; is it running there, and does log.brokers name its listener?");
                    return Err(self.settings.refused("reach", reason));
                }
                _ => std::thread::sleep(Duration::from_millis(100)),
            }
        }
    }

    /// N of a topic of the user, as it was when it was first looked at.
    fn partitions_of_foreign(&self, topic: &str) -> Result<u32> {
        if let Some(count) = self.documents_partitions.get() {
            return Ok(*count);
        }
        let metadata = self.metadata()?;
        let found = metadata.topics().iter().find(|found| found.name() == topic);
        let Some(count) = found.map(|found| found.partitions().len() as u32).filter(|count| *count > 0) else {
            return Err(self.settings.refused("use", format!("topic {topic} does not exist")));
        };
        Ok(*self.documents_partitions.get_or_init(|| count))
    }

    fn partitions_of(&self, records: &[Append]) -> Result<Vec<u32>> {
        records.iter().map(|record| partition::of_record(record, self.partitions(record.log)?)).collect()
    }

    /// The low and the high watermark.
    fn watermarks(&self, log: LogName, partition: u32) -> Result<(u64, u64)> {
        self.ask_watermarks(&self.uncommitted, log, partition)
    }

    /// Below this offset every transaction has ended.
    fn last_stable_offset(&self, log: LogName, partition: u32) -> Result<u64> {
        let offset = self.ask_watermarks(&self.committed, log, partition)?.1;
        self.stable.lock().unwrap_or_else(PoisonError::into_inner).insert((log, partition), offset);
        Ok(offset)
    }

    /// Whether an offset lies below the last stable offset; asks only when the last answer doesn't say so.
    fn is_stable(&self, log: LogName, partition: u32, offset: u64) -> Result<bool> {
        let known = self.stable.lock().unwrap_or_else(PoisonError::into_inner).get(&(log, partition)).copied();
        if known.is_some_and(|known| offset < known) {
            return Ok(true);
        }
        Ok(offset < self.last_stable_offset(log, partition)?)
    }

    /// A leader may be moving, which takes longer than one answer, or the topic was just made: asks again for a while.
    fn ask_watermarks(&self, consumer: &BaseConsumer<Quiet>, log: LogName, partition: u32) -> Result<(u64, u64)> {
        let topic = self.settings.topic(log);
        let deadline = Instant::now() + 2 * ANSWER;
        loop {
            match consumer.fetch_watermarks(&topic, partition as i32, Duration::from_secs(3)) {
                Ok((low, high)) => return Ok((low as u64, high as u64)),
                Err(error) if Instant::now() >= deadline => {
                    return Err(self.settings.failed(&format!("ask the end of {topic}/{partition} in"))(error));
                }
                Err(_) => std::thread::sleep(Duration::from_millis(50)),
            }
        }
    }

    fn with_fetcher<T>(&self, body: impl FnOnce(&BaseConsumer<Quiet>) -> Result<T>) -> Result<T> {
        let idle = self.fetchers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let fetcher = idle.map_or_else(|| self.settings.fetcher(), Ok)?;
        let value = body(&fetcher)?;
        fetcher.unassign().map_err(self.settings.failed("fetch from"))?;
        self.fetchers.lock().unwrap_or_else(PoisonError::into_inner).push(fetcher);
        Ok(value)
    }
}

impl Log for KafkaLog {
    fn create(&self) -> Result<Vec<String>> {
        topics::create(self)
    }

    fn verify(&self) -> Result<()> {
        topics::verify(self)
    }

    fn partitions(&self, log: LogName) -> Result<u32> {
        match (log, &self.settings.documents) {
            (LogName::Documents | LogName::JournalExtract, Some(topic)) => self.partitions_of_foreign(topic),
            (LogName::Documents | LogName::JournalExtract, None) => Ok(self.settings.documents_partitions),
            _ => Ok(self.settings.partitions),
        }
    }

    fn retention_of_documents(&self) -> Result<DocumentsRetention> {
        topics::retention_of_documents(self)
    }

    fn writer(&self, owner: &str) -> Result<Box<dyn Writer>> {
        Ok(Box::new(writer::KafkaWriter::new(self.shared(), owner)?))
    }

    fn appender(&self) -> Result<Box<dyn Appender>> {
        Ok(Box::new(writer::KafkaAppender::new(self.shared())?))
    }

    fn reader(&self, log: LogName, from: &[(u32, u64)]) -> Result<Box<dyn Reader>> {
        Ok(Box::new(reader::KafkaReader::new(self.shared(), log, from)?))
    }

    fn start(&self, log: LogName, partition: u32) -> Result<u64> {
        self.watermarks(log, partition).map(|(low, _)| low)
    }

    fn end(&self, log: LogName, partition: u32) -> Result<u64> {
        self.watermarks(log, partition).map(|(_, high)| high)
    }

    fn fetch(&self, log: LogName, partition: u32, offset: u64, key: &[u8]) -> Result<Fetched> {
        let pointer = Pointer { partition, offset, key: key.to_vec() };
        let mut fetched = fetch::fetch_many(self, log, &[pointer])?;
        Ok(fetched.pop().expect("one answer for one pointer"))
    }

    fn fetch_many(&self, log: LogName, pointers: &[Pointer]) -> Result<Vec<Fetched>> {
        fetch::fetch_many(self, log, pointers)
    }

    fn trim(&self, log: LogName, partition: u32, below: u64) -> Result<()> {
        let topic = self.settings.topic(log);
        let action = format!("trim {topic} in");
        if log.retention() != Retention::Trimmed {
            return Err(self.settings.refused(&action, "it is not a log that is trimmed".to_owned()));
        }
        let (low, high) = self.watermarks(log, partition)?;
        if below.min(high) <= low {
            return Ok(());
        }
        let mut offsets = TopicPartitionList::new();
        offsets
            .add_partition_offset(&topic, partition as i32, Offset::Offset(below.min(high) as i64))
            .map_err(self.settings.failed(&action))?;
        let options = AdminOptions::new().request_timeout(Some(ANSWER)).operation_timeout(Some(ANSWER));
        let trimmed = wait_for(self.admin.delete_records(&offsets, &options)).map_err(self.settings.failed(&action))?;
        trimmed.elements().iter().try_for_each(TopicPartitionListElem::error).map_err(self.settings.failed(&action))
    }

    fn claim_run(&self, _take_over: bool) -> Result<Box<dyn RunClaim>> {
        struct Granted;
        impl RunClaim for Granted {}
        Ok(Box::new(Granted))
    }
}
