//! Writers of the SQLite file: the transactional one of an owner, and the plain one.

use std::sync::Arc;

use rusqlite::OptionalExtension;

use super::SqliteLog;
use super::records;
use super::turns::Ticket;
use crate::{Append, Appender, LogError, Place, Result, Writer};

/// So many records that are due are removed with a commit, at most.
const REMOVED_PER_COMMIT: u32 = 200;
/// A plain writer commits when it has gathered so many records, or so many bytes.
const RECORDS_PER_COMMIT: usize = 1000;
const BYTES_PER_COMMIT: usize = 4 << 20;

/// The one writer of an owner.
pub(super) struct SqliteWriter {
    log: Arc<SqliteLog>,
    owner: String,
    generation: u64,
    ticket: Option<Ticket>,
}

impl SqliteWriter {
    /// Ends the open transaction of the former writer of this process, and raises the owner's generation.
    pub(super) fn new(log: Arc<SqliteLog>, owner: &str) -> Result<Self> {
        log.turns.expel(owner)?;
        let generation = log.write(owner, "fence the former owner in", |connection| {
            connection.query_row(
                "INSERT INTO owners VALUES (?1, 1) ON CONFLICT DO UPDATE SET generation = generation + 1 RETURNING generation",
                [owner],
                |row| row.get(0),
            )
        })?;
        Ok(SqliteWriter { log, owner: owner.to_owned(), generation, ticket: None })
    }

    /// The open turn, begun when there is none. SQLite's write lock is held from here on, so one look at the fence is enough.
    fn turn(&mut self) -> Result<Ticket> {
        if let Some(ticket) = self.ticket {
            return Ok(ticket);
        }
        let ticket = self.log.turns.begin(&self.owner)?;
        self.ticket = Some(ticket);
        let generation = self.run(ticket, |connection| {
            connection
                .prepare_cached("SELECT generation FROM owners WHERE owner = ?1")?
                .query_row([&self.owner], |row| row.get::<_, u64>(0))
                .optional()
        })?;
        if generation != Some(self.generation) || !self.log.holds_run(ticket)? {
            self.abort()?;
            return Err(self.fenced());
        }
        Ok(ticket)
    }

    fn run<T>(&self, ticket: Ticket, body: impl FnOnce(&rusqlite::Connection) -> rusqlite::Result<T>) -> Result<T> {
        self.log.turns.run(ticket, "append to", body)?.ok_or_else(|| self.fenced())
    }

    fn fenced(&self) -> LogError {
        LogError::Fenced { owner: self.owner.clone() }
    }
}

impl Writer for SqliteWriter {
    fn append(&mut self, records: Vec<Append>) -> Result<Vec<Place>> {
        let partitions = self.log.partitions_of(&records)?;
        let ticket = self.turn()?;
        let lags = self.log.lags;
        self.run(ticket, |connection| {
            let pairs = records.iter().zip(partitions);
            pairs.map(|(record, partition)| records::append(connection, record, partition, lags)).collect()
        })
    }

    fn commit(&mut self) -> Result<()> {
        let Some(ticket) = self.ticket.take() else { return Ok(()) };
        self.run(ticket, |connection| records::remove_due(connection, REMOVED_PER_COMMIT))?;
        if self.log.turns.commit(ticket)? { Ok(()) } else { Err(self.fenced()) }
    }

    fn abort(&mut self) -> Result<()> {
        self.ticket.take().map_or(Ok(()), |ticket| self.log.turns.abort(ticket))
    }
}

impl Drop for SqliteWriter {
    fn drop(&mut self) {
        if let Err(error) = self.abort() {
            tracing::debug!(%error, owner = self.owner, "a dropped writer's transaction ended with an error");
        }
    }
}

/// A writer without owner: gathers records, and commits them together.
pub(super) struct SqliteAppender {
    log: Arc<SqliteLog>,
    gathered: Vec<Append>,
    bytes: usize,
}

impl SqliteAppender {
    pub(super) fn new(log: Arc<SqliteLog>) -> Self {
        SqliteAppender { log, gathered: Vec::new(), bytes: 0 }
    }
}

impl Appender for SqliteAppender {
    fn append(&mut self, record: Append) -> Result<()> {
        self.bytes += record.key.as_ref().map_or(0, Vec::len) + record.value.as_ref().map_or(0, Vec::len);
        self.gathered.push(record);
        if self.gathered.len() >= RECORDS_PER_COMMIT || self.bytes >= BYTES_PER_COMMIT { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        let records = std::mem::take(&mut self.gathered);
        self.bytes = 0;
        if records.is_empty() {
            return Ok(());
        }
        let partitions = self.log.partitions_of(&records)?;
        let lags = self.log.lags;
        self.log.write("a plain writer", "append to", |connection| {
            for (record, partition) in records.iter().zip(partitions) {
                records::append(connection, record, partition, lags)?;
            }
            records::remove_due(connection, REMOVED_PER_COMMIT)
        })?;
        Ok(())
    }
}
