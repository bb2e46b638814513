//! Reads committed records page by page; each page is one short read transaction, so the WAL can be checkpointed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::{Connection, Transaction, params};

use super::SqliteLog;
use super::records::bounds;
use super::schema::number;
use crate::{Batch, LogError, LogName, Reader, Record, Result};

/// How long an idle reader waits before it looks whether another process has committed. Commits of its own process wake it.
const LOOK: Duration = Duration::from_millis(40);
/// A page ends after so many bytes of values.
const BYTES_PER_PAGE: usize = 16 << 20;

pub(super) struct SqliteReader {
    log: Arc<SqliteLog>,
    connection: Connection,
    name: LogName,
    positions: Vec<(u32, u64)>,
    /// The partition that the next page begins with, so that none starves.
    turn: usize,
    /// `PRAGMA data_version` before the last page: another value means that somebody has committed.
    version: u64,
}

impl SqliteReader {
    pub(super) fn new(log: Arc<SqliteLog>, name: LogName, from: &[(u32, u64)]) -> Result<Self> {
        let connection = log.connect_to_read()?;
        Ok(SqliteReader { log, connection, name, positions: from.to_vec(), turn: 0, version: 0 })
    }

    fn page(&mut self, max_records: usize) -> Result<Batch> {
        let failed = self.log.errors.of_action("read");
        self.version = data_version(&self.connection).map_err(&failed)?;
        let snapshot = self.connection.unchecked_transaction().map_err(&failed)?;
        let mut batch = Batch::default();
        let mut bytes = 0;
        for step in 0..self.positions.len() {
            let index = (self.turn + step) % self.positions.len();
            let (partition, position) = self.positions[index];
            let (start, next) = bounds(&snapshot, self.name, partition).map_err(&failed)?;
            check_range(self.name, partition, position, start, next)?;
            let room = Room { records: max_records - batch.records.len(), bytes: BYTES_PER_PAGE.saturating_sub(bytes) };
            let (records, reached) = read(&snapshot, self.name, partition, position..next, room).map_err(&failed)?;
            if reached > position {
                batch.positions.push((partition, reached));
                self.positions[index].1 = reached;
            }
            bytes += records.iter().map(size).sum::<usize>();
            batch.records.extend(records);
        }
        self.turn = (self.turn + 1) % self.positions.len().max(1);
        Ok(batch)
    }
}

impl Reader for SqliteReader {
    fn poll(&mut self, max_records: usize, timeout: Duration) -> Result<Batch> {
        let deadline = Instant::now() + timeout;
        loop {
            let seen = self.log.turns.commits().count();
            let batch = self.page(max_records)?;
            if !batch.positions.is_empty() {
                return Ok(batch);
            }
            loop {
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return Ok(batch);
                }
                self.log.turns.commits().wait_beyond(seen, left.min(LOOK));
                if data_version(&self.connection).map_err(self.log.errors.of_action("read"))? != self.version {
                    break;
                }
            }
        }
    }
}

/// What still fits into a page.
struct Room {
    records: usize,
    bytes: usize,
}

/// The records of a range, and the position after them: the range's end when all fitted.
fn read(
    snapshot: &Transaction<'_>,
    log: LogName,
    partition: u32,
    range: std::ops::Range<u64>,
    room: Room,
) -> rusqlite::Result<(Vec<Record>, u64)> {
    let mut records = Vec::new();
    if range.is_empty() {
        return Ok((records, range.start));
    }
    let mut statement = snapshot.prepare_cached(
        "SELECT offset, key, value FROM records WHERE log = ?1 AND partition = ?2 AND offset >= ?3 ORDER BY offset",
    )?;
    let mut rows = statement.query(params![number(log), partition, range.start])?;
    let (mut bytes, mut position) = (0, range.start);
    loop {
        if records.len() >= room.records || bytes >= room.bytes {
            return Ok((records, position));
        }
        let Some(row) = rows.next()? else { return Ok((records, range.end)) };
        let record = Record { partition, offset: row.get(0)?, key: row.get(1)?, value: row.get(2)? };
        bytes += size(&record);
        position = record.offset + 1;
        records.push(record);
    }
}

fn size(record: &Record) -> usize {
    record.key.as_ref().map_or(0, Vec::len) + record.value.as_ref().map_or(0, Vec::len)
}

fn check_range(log: LogName, partition: u32, offset: u64, start: u64, next: u64) -> Result<()> {
    let reason = match offset {
        _ if offset < start => format!("everything below {start} was trimmed"),
        _ if offset > next => format!("the partition ends at {next}"),
        _ => return Ok(()),
    };
    Err(LogError::OutOfRange { log: log.name(), partition, offset, reason })
}

fn data_version(connection: &Connection) -> rusqlite::Result<u64> {
    connection.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))
}
