//! The logs of synthllm: partitioned, transactional, some of them compacted; on Apache Kafka or in one SQLite file.
//!
//! One contract, [`Log`], and two backends, [`kafka`] and [`sqlite`]; `tests/contract.rs` runs the same suite against both.
//! The words are Kafka's. What is promised, and relied upon by the commit protocol:
//!
//! - A [`Writer`] is the one transactional producer of an owner. Creating it fences the former one and aborts its open
//!   transaction (KIP-98, `init_transactions`); from then on no former owner commits.
//! - A transaction spans any logs and partitions, is all or nothing, and tells the offset of each record before the commit.
//! - A [`Reader`] sees committed records only, in offset order, and its position counts gaps and control records.
//! - [`Log::end`] is the high watermark, open transactions included; a reader whose position has reached an end asked
//!   earlier has seen everything committed below it.

pub mod factory;
pub mod kafka;
pub mod partition;
pub mod sqlite;

use std::sync::Arc;
use std::time::Duration;

/// The logs of one `app`. Names on the broker carry the configured prefix.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum LogName {
    /// Documents of the user; N partitions; compact.
    Documents,
    /// Compressed texts; compact.
    Texts,
    /// Concepts of each live document; compact.
    Extractions,
    /// Requests for questions; trimmed by graph.
    Combinations,
    /// Samples; compact.
    Samples,
    /// Documents of each sample; compact.
    Provenance,
    /// Node and edge counts, when asked for; compact.
    GraphUpdates,
    /// Answers that extract has received; N partitions; trimmed by extract.
    JournalExtract,
    /// Answers that generate has received; trimmed by generate.
    JournalGenerate,
    /// Where every shard stands; compact.
    Progress,
    /// Records that could not be used; kept for 30 days.
    DeadLetters,
    /// Questions that filters hold back; compact.
    Held,
    /// What screening says of each document; compact.
    Scores,
}

impl LogName {
    /// All logs, in the order in which they are created.
    pub const ALL: [LogName; 13] = [
        LogName::Documents,
        LogName::Texts,
        LogName::Extractions,
        LogName::Combinations,
        LogName::Samples,
        LogName::Provenance,
        LogName::GraphUpdates,
        LogName::JournalExtract,
        LogName::JournalGenerate,
        LogName::Progress,
        LogName::DeadLetters,
        LogName::Held,
        LogName::Scores,
    ];

    /// The name without prefix.
    pub fn name(self) -> &'static str {
        match self {
            LogName::Documents => "documents",
            LogName::Texts => "texts",
            LogName::Extractions => "extractions",
            LogName::Combinations => "combinations",
            LogName::Samples => "samples",
            LogName::Provenance => "provenance",
            LogName::GraphUpdates => "graph-updates",
            LogName::JournalExtract => "journal-extract",
            LogName::JournalGenerate => "journal-generate",
            LogName::Progress => "progress",
            LogName::DeadLetters => "dead-letters",
            LogName::Held => "held",
            LogName::Scores => "scores",
        }
    }

    /// What becomes of old records.
    pub fn retention(self) -> Retention {
        match self {
            LogName::Combinations | LogName::JournalExtract | LogName::JournalGenerate => Retention::Trimmed,
            LogName::DeadLetters => Retention::Days(30),
            _ => Retention::Compacted,
        }
    }
}

/// What becomes of old records of a log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Retention {
    /// The last record of each key stays; tombstones go after 30 days.
    Compacted,
    /// Records stay until the owner trims them.
    Trimmed,
    /// Records go after so many days.
    Days(u32),
}

/// What becomes of old records of `documents` as it is, which may be a topic of the user. It decides what a deletion means that
/// was not read in time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DocumentsRetention {
    /// Whether a record may go once a later one of its key has come.
    pub compacted: bool,
    /// How long a tombstone stays at least, once it is written; `None`: for ever.
    pub tombstones_for: Option<Duration>,
    /// Whether records go that no later one has superseded.
    pub expiry: Option<Expiry>,
}

/// When records of a log go whatever their key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Expiry {
    /// After so long.
    After(Duration),
    /// When their partition has more bytes than this.
    Beyond(u64),
}

impl DocumentsRetention {
    /// How long one may be away before a deletion can have gone without a trace but this: the document is not there any more.
    /// `None` where tombstones stay, and where documents expire: there, absence means nothing.
    pub fn absence_means_deleted_after(&self) -> Option<Duration> {
        self.tombstones_for.filter(|_| self.expiry.is_none())
    }
}

/// A committed record as a reader sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// The partition.
    pub partition: u32,
    /// The offset in it.
    pub offset: u64,
    /// The key, if the record has one.
    pub key: Option<Vec<u8>>,
    /// The value; `None` is a tombstone.
    pub value: Option<Vec<u8>>,
}

/// A record to be appended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Append {
    /// The log.
    pub log: LogName,
    /// The partition; `None`: by key, as Java producers do (murmur2; a record without key goes to partition 0).
    pub partition: Option<u32>,
    /// The key.
    pub key: Option<Vec<u8>>,
    /// The value; `None` is a tombstone.
    pub value: Option<Vec<u8>>,
}

/// Where an appended record lies.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Place {
    /// The partition.
    pub partition: u32,
    /// The offset in it.
    pub offset: u64,
}

/// A record to be fetched: its place, and the key that must stand there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pointer {
    /// The partition.
    pub partition: u32,
    /// The offset in it.
    pub offset: u64,
    /// The key.
    pub key: Vec<u8>,
}

/// What a read by pointer found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fetched {
    /// The record at exactly this offset with this key.
    Found(Option<Vec<u8>>),
    /// Another offset or another key stands there: the record was compacted or trimmed away.
    Gone,
    /// The pointer lies at or beyond the last stable offset: wait and ask again. On Kafka this may also be said of a record
    /// whose commit returned a moment ago.
    NotYet,
}

/// What a reader returns: records in offset order per partition, and how far it has read.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Batch {
    /// The records.
    pub records: Vec<Record>,
    /// `(partition, position)` of every partition whose position moved: the next offset to be read after the records of
    /// this batch, gaps and control records counted.
    pub positions: Vec<(u32, u64)>,
}

/// What a log can't do, by what the caller can do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// Another process owns the shard now. The only answer is to end.
    #[error("another process has taken over {owner}")]
    Fenced {
        /// The owner id that was taken over.
        owner: String,
    },
    /// The offset to be read does not exist any more (or not yet).
    #[error("offset {offset} of {log}/{partition} is out of range: {reason}")]
    OutOfRange {
        /// The log.
        log: &'static str,
        /// The partition.
        partition: u32,
        /// The offset asked for.
        offset: u64,
        /// What lies there instead.
        reason: String,
    },
    /// The logs don't exist; `topics create` makes them.
    #[error("{missing} missing; create with `synthllm topics create`")]
    Missing {
        /// The names that are missing.
        missing: String,
    },
    /// The logs exist, but not as this program needs them. Every problem stands in the list.
    #[error("the logs don't fit: {}", problems.join("; "))]
    Unfit {
        /// One sentence each: log, setting, found, needed.
        problems: Vec<String>,
    },
    /// Another `run` holds the SQLite file.
    #[error("{holder} is running on this file; stop it, or take over with --take-over")]
    Held {
        /// Process and host.
        holder: String,
    },
    /// The disk is full or not writable; what was committed stays.
    #[error("can't write {path}: {reason}")]
    Disk {
        /// The file.
        path: String,
        /// What the system said.
        reason: String,
    },
    /// Anything else that the broker or the file system said.
    #[error("{action}")]
    Backend {
        /// What was tried.
        action: String,
        /// What was said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// The result of a log's operation.
pub type Result<T> = std::result::Result<T, LogError>;

/// The logs of one `app`. Cheap to clone behind [`Arc`]; every method may be called from any thread.
pub trait Log: Send + Sync {
    /// Creates what is missing with the settings of design.md §2, and returns the names it created.
    fn create(&self) -> Result<Vec<String>>;

    /// Verifies that all logs exist, with the numbers of partitions and the retention that are needed.
    fn verify(&self) -> Result<()>;

    /// How many partitions the log has: N for `documents` and `journal-extract`, else P.
    fn partitions(&self, log: LogName) -> Result<u32>;

    /// What becomes of old records of `documents`, as the broker (or the file) says now.
    fn retention_of_documents(&self) -> Result<DocumentsRetention>;

    /// Becomes the one writer of `owner`: fences the former one and aborts its open transaction.
    fn writer(&self, owner: &str) -> Result<Box<dyn Writer>>;

    /// A writer without transactions and without owner, for `ingest`, `delete` and the like. Records appended are durable
    /// after [`Appender::flush`].
    fn appender(&self) -> Result<Box<dyn Appender>>;

    /// Reads committed records of `(partition, from)` of a log.
    fn reader(&self, log: LogName, from: &[(u32, u64)]) -> Result<Box<dyn Reader>>;

    /// The first offset that was not trimmed away.
    fn start(&self, log: LogName, partition: u32) -> Result<u64>;

    /// The high watermark, records of open transactions included.
    fn end(&self, log: LogName, partition: u32) -> Result<u64>;

    /// Reads the one record at a pointer, checked by offset and key.
    fn fetch(&self, log: LogName, partition: u32, offset: u64, key: &[u8]) -> Result<Fetched>;

    /// As [`Log::fetch`] for many pointers, in their order; records of one partition are read in one sweep.
    fn fetch_many(&self, log: LogName, pointers: &[Pointer]) -> Result<Vec<Fetched>> {
        pointers.iter().map(|each| self.fetch(log, each.partition, each.offset, &each.key)).collect()
    }

    /// Removes the records below an offset. Only the writer of the partition may call it.
    fn trim(&self, log: LogName, partition: u32, below: u64) -> Result<()>;

    /// Claims the right to `run`, where only one process may (SQLite). Dropping the claim, or dying, gives it back.
    fn claim_run(&self, take_over: bool) -> Result<Box<dyn RunClaim>>;
}

/// The right to `run`, given back when dropped.
pub trait RunClaim: Send {}

/// The one transactional producer of an owner.
pub trait Writer: Send {
    /// Appends the records in one open transaction (begun when there is none), and returns their places, in order.
    fn append(&mut self, records: Vec<Append>) -> Result<Vec<Place>>;

    /// Commits the open transaction; does nothing when there is none. After it returned the records are committed for
    /// good; on Kafka readers may see them some milliseconds later. After an error the process must end.
    fn commit(&mut self) -> Result<()>;

    /// Aborts the open transaction, if any.
    fn abort(&mut self) -> Result<()>;
}

/// A producer without transactions.
pub trait Appender: Send {
    /// Appends a record; may return before it is durable, and blocks while too many are under way.
    fn append(&mut self, record: Append) -> Result<()>;

    /// Waits until all records are durable; the error names the first that is not.
    fn flush(&mut self) -> Result<()>;
}

/// A consumer of some partitions of one log.
pub trait Reader: Send {
    /// Up to `max_records` committed records; waits at most `timeout` for the first one.
    fn poll(&mut self, max_records: usize, timeout: Duration) -> Result<Batch>;
}

/// Reads everything that is committed below the ends of the partitions as they stand now: asks the high watermarks, then
/// reads until the positions have reached them, which waits for other writers' open transactions (protocol.md, "Start").
/// `progress` is called with (records read, records between the starts and the ends) about once a batch.
pub fn read_to_end(
    log: &Arc<dyn Log>,
    name: LogName,
    from: &[(u32, u64)],
    mut each: impl FnMut(Record),
    mut progress: impl FnMut(u64, u64),
) -> Result<Vec<(u32, u64)>> {
    let mut ends = Vec::new();
    for &(partition, _) in from {
        ends.push((partition, log.end(name, partition)?));
    }
    let total: u64 = from.iter().zip(&ends).map(|(from, end)| end.1.saturating_sub(from.1)).sum();
    let mut positions: Vec<(u32, u64)> = from.to_vec();
    let mut reader = log.reader(name, from)?;
    while positions.iter().zip(&ends).any(|(position, end)| position.1 < end.1) {
        let batch = reader.poll(10_000, Duration::from_millis(100))?;
        batch.records.into_iter().for_each(&mut each);
        for (partition, position) in batch.positions {
            if let Some(entry) = positions.iter_mut().find(|entry| entry.0 == partition) {
                entry.1 = position;
            }
        }
        let open: u64 = positions.iter().zip(&ends).map(|(position, end)| end.1.saturating_sub(position.1)).sum();
        progress(total - open.min(total), total);
    }
    Ok(positions)
}
