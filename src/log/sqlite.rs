//! The logs in one SQLite file: no server, the same promises.
//!
//! - **Order.** The write lock of the file is held from a transaction's first append to its commit, so offsets become
//!   visible in their order, whatever the number of processes; see `turns.rs`. Append and commit back to back.
//! - **Durability.** WAL with `synchronous=FULL`: a commit that has returned survives `kill -9` and power loss. Commits of
//!   several writers of a process share one `fsync`.
//! - **Fencing.** [`Log::writer`] raises the owner's generation in the table `owners`, which every transaction checks
//!   under the write lock.
//! - **Ends.** Records of open transactions are not in the file yet, so [`Log::end`] is the end of what is committed: it
//!   is a high watermark all the same, since whatever comes later gets a greater offset.
//! - **Removal.** Superseded records, old tombstones and trimmed records are deleted in small numbers with other commits;
//!   their room in the file is used again. Offsets never go back.

mod claim;
mod error;
mod reader;
mod records;
mod schema;
mod turns;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use rusqlite::{Connection, OptionalExtension, params};

use crate::{
    Append, Appender, DocumentsRetention, Fetched, Log, LogError, LogName, Reader, Result, Retention, RunClaim, Writer,
    partition,
};
use error::Errors;
use records::Lags;
use turns::{Ticket, Turns};

/// Records are deleted in steps of so many offsets, so that no other writer waits long.
const TRIM_STEP: u64 = 5000;
/// How long a writer waits for the write lock of another process.
const BUSY_TIMEOUT: Duration = Duration::from_secs(60);

/// Where the file is, and how it keeps its records.
#[derive(Clone, Debug)]
pub struct SqliteSettings {
    /// The file; made when it is missing, its folder too.
    pub path: PathBuf,
    /// N: partitions of `documents` and `journal-extract`.
    pub documents_partitions: u32,
    /// P: partitions of all other logs.
    pub partitions: u32,
    /// How long a superseded record of a compacted log stays, for those who still hold a pointer to it.
    pub compaction_lag: Duration,
    /// How long a tombstone stays.
    pub tombstone_lag: Duration,
}

impl SqliteSettings {
    /// The default lags: ten minutes, and thirty days.
    pub fn new(path: &Path, documents_partitions: u32, partitions: u32) -> Self {
        SqliteSettings {
            path: path.to_owned(),
            documents_partitions,
            partitions,
            compaction_lag: Duration::from_secs(10 * 60),
            tombstone_lag: Duration::from_secs(30 * 24 * 60 * 60),
        }
    }
}

/// The logs in one SQLite file.
pub struct SqliteLog {
    settings: SqliteSettings,
    lags: Lags,
    errors: Errors,
    turns: Turns,
    /// Idle connections of [`Log::fetch`] and the like.
    idle: Mutex<Vec<Connection>>,
    /// The generation of `run` that this process has claimed; its writers fail when there is a newer one.
    run: Mutex<Option<u64>>,
    this: Weak<SqliteLog>,
}

impl SqliteLog {
    /// Opens the file, and makes an empty one when it is missing; [`Log::create`] makes the tables.
    pub fn open(path: &Path, documents_partitions: u32, partitions: u32) -> Result<Arc<Self>> {
        SqliteLog::open_with(SqliteSettings::new(path, documents_partitions, partitions))
    }

    /// As [`SqliteLog::open`], with all settings.
    pub fn open_with(settings: SqliteSettings) -> Result<Arc<Self>> {
        let errors = Errors::of(&settings.path);
        if let Some(folder) = settings.path.parent() {
            std::fs::create_dir_all(folder).map_err(|error| errors.backend("create the folder of", error.into()))?;
        }
        let connection = connect_to_write(&settings.path).map_err(errors.of_action("open"))?;
        let lags = Lags { superseded: settings.compaction_lag, tombstone: settings.tombstone_lag };
        let turns = Turns::new(connection, errors.clone());
        Ok(Arc::new_cyclic(|this| SqliteLog {
            settings,
            lags,
            errors,
            turns,
            idle: Mutex::default(),
            run: Mutex::default(),
            this: this.clone(),
        }))
    }

    fn shared(&self) -> Arc<SqliteLog> {
        self.this.upgrade().expect("self is borrowed from an Arc")
    }

    fn count(&self, log: LogName) -> u32 {
        match log {
            LogName::Documents | LogName::JournalExtract => self.settings.documents_partitions,
            _ => self.settings.partitions,
        }
    }

    /// The partition of each record, checked.
    fn partitions_of(&self, records: &[Append]) -> Result<Vec<u32>> {
        records.iter().map(|record| partition::of_record(record, self.count(record.log))).collect()
    }

    /// One whole write transaction.
    fn write<T>(&self, owner: &str, action: &str, body: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T> {
        let ticket = self.turns.begin(owner)?;
        let ended = || LogError::Fenced { owner: owner.to_owned() };
        let value = self.turns.run(ticket, action, body)?.ok_or_else(ended)?;
        if self.turns.commit(ticket)? { Ok(value) } else { Err(ended()) }
    }

    /// Uses an idle connection for a read outside of any transaction of ours.
    fn read<T>(&self, body: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = idle.map_or_else(|| self.connect_to_read(), Ok)?;
        let value = body(&connection).map_err(self.errors.of_action("read"))?;
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        Ok(value)
    }

    fn connect_to_read(&self) -> Result<Connection> {
        let connect = || {
            let connection = Connection::open(&self.settings.path)?;
            connection.busy_timeout(BUSY_TIMEOUT)?;
            connection.execute_batch("PRAGMA query_only = ON")?;
            Ok(connection)
        };
        connect().map_err(self.errors.of_action("open"))
    }

    /// Whether no other process has taken over the `run` that this process has claimed, if it has.
    fn holds_run(&self, ticket: Ticket) -> Result<bool> {
        let Some(claimed) = *self.run.lock().unwrap_or_else(PoisonError::into_inner) else { return Ok(true) };
        let now = self.turns.run(ticket, "read", run_generation)?;
        Ok(now == Some(claimed))
    }

    /// Removes all records that are due now, and returns how many; commits do so by the way.
    pub fn compact(&self) -> Result<usize> {
        let mut removed = 0;
        loop {
            let step = self.write("compaction", "compact", |connection| records::remove_due(connection, 1000))?;
            removed += step;
            if step == 0 {
                return Ok(removed);
            }
        }
    }
}

impl Log for SqliteLog {
    fn create(&self) -> Result<Vec<String>> {
        self.write("creation", "create the tables of", |connection| schema::create(connection, |log| self.count(log)))
    }

    fn verify(&self) -> Result<()> {
        if !self.read(schema::exists)? {
            return Err(LogError::Missing { missing: format!("the logs in {} are", self.settings.path.display()) });
        }
        let problems = self.read(|connection| schema::problems(connection, |log| self.count(log)))?;
        if problems.is_empty() { Ok(()) } else { Err(LogError::Unfit { problems }) }
    }

    fn partitions(&self, log: LogName) -> Result<u32> {
        Ok(self.count(log))
    }

    fn retention_of_documents(&self) -> Result<DocumentsRetention> {
        Ok(DocumentsRetention { compacted: true, tombstones_for: Some(self.lags.tombstone), expiry: None })
    }

    fn writer(&self, owner: &str) -> Result<Box<dyn Writer>> {
        Ok(Box::new(writer::SqliteWriter::new(self.shared(), owner)?))
    }

    fn appender(&self) -> Result<Box<dyn Appender>> {
        Ok(Box::new(writer::SqliteAppender::new(self.shared())))
    }

    fn reader(&self, log: LogName, from: &[(u32, u64)]) -> Result<Box<dyn Reader>> {
        Ok(Box::new(reader::SqliteReader::new(self.shared(), log, from)?))
    }

    fn start(&self, log: LogName, partition: u32) -> Result<u64> {
        self.read(|connection| records::bounds(connection, log, partition)).map(|(start, _)| start)
    }

    fn end(&self, log: LogName, partition: u32) -> Result<u64> {
        self.read(|connection| records::bounds(connection, log, partition)).map(|(_, next)| next)
    }

    fn fetch(&self, log: LogName, partition: u32, offset: u64, key: &[u8]) -> Result<Fetched> {
        self.read(|connection| {
            let found: Option<(Option<Vec<u8>>, Option<Vec<u8>>)> = connection
                .prepare_cached("SELECT key, value FROM records WHERE log = ?1 AND partition = ?2 AND offset = ?3")?
                .query_row(params![schema::number(log), partition, offset], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()?;
            match found {
                Some((found_key, value)) if found_key.as_deref() == Some(key) => Ok(Fetched::Found(value)),
                None if offset >= records::bounds(connection, log, partition)?.1 => Ok(Fetched::NotYet),
                _ => Ok(Fetched::Gone),
            }
        })
    }

    fn trim(&self, log: LogName, partition: u32, below: u64) -> Result<()> {
        if log.retention() != Retention::Trimmed {
            let refused = format!("{} is not a log that is trimmed", log.name());
            return Err(self.errors.backend("trim", refused.into()));
        }
        let below = below.min(self.end(log, partition)?);
        let mut reached = self.start(log, partition)?;
        while reached < below {
            reached = below.min(reached + TRIM_STEP);
            self.write("trimming", "trim", |connection| records::trim(connection, log, partition, reached))?;
        }
        Ok(())
    }

    fn claim_run(&self, take_over: bool) -> Result<Box<dyn RunClaim>> {
        let claim = match claim::claim(&self.settings.path) {
            Err(LogError::Held { .. }) if take_over => claim::take_over(&self.settings.path)?,
            other => other?,
        };
        let generation = self.write("claim of the run", "claim the run of", |connection| {
            connection.execute("INSERT INTO settings VALUES ('run', 1) ON CONFLICT DO UPDATE SET value = value + 1", [])?;
            run_generation(connection)
        })?;
        *self.run.lock().unwrap_or_else(PoisonError::into_inner) = Some(generation);
        Ok(claim)
    }
}

fn run_generation(connection: &Connection) -> rusqlite::Result<u64> {
    connection.prepare_cached("SELECT value FROM settings WHERE name = 'run'")?.query_row([], |row| row.get(0))
}

fn connect_to_write(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    let deadline = Instant::now() + BUSY_TIMEOUT;
    // Two processes that make a file at the same time: SQLite does not wait for the lock that the change to WAL needs.
    while let Err(error) = prepare(&connection) {
        if error.sqlite_error_code() != Some(rusqlite::ErrorCode::DatabaseBusy) || Instant::now() >= deadline {
            return Err(error);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

/// The size of a page counts before the first table is made only. The WAL is cut back to 64 MiB after a checkpoint.
fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(
        "PRAGMA page_size = 8192; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA journal_size_limit = 67108864;",
    )
}
