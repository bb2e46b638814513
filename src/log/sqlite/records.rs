//! Records in the tables: appending, and what may be removed when.
//!
//! Every record that is not to stay for ever has a row in `expiries`: a superseded record of a compacted log is due after
//! the compaction lag, a tombstone after 30 days, a record of a log with a retention time after that time. Whoever commits
//! removes a few that are due. The last record of a key has no such row, unless it is a tombstone.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, OptionalExtension, params};

use super::schema::number;
use crate::{Append, LogName, Place, Retention};

const DAY: u64 = 24 * 60 * 60;

/// How long records that nobody needs stay.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lags {
    /// A superseded record of a compacted log.
    pub(super) superseded: Duration,
    /// A tombstone.
    pub(super) tombstone: Duration,
}

/// Appends one record at the partition's next offset.
pub(super) fn append(connection: &Connection, record: &Append, partition: u32, lags: Lags) -> rusqlite::Result<Place> {
    let log = number(record.log);
    let offset: u64 = connection
        .prepare_cached("UPDATE partitions SET next = next + 1 WHERE log = ?1 AND partition = ?2 RETURNING next - 1")?
        .query_row(params![log, partition], |row| row.get(0))?;
    let place = Place { partition, offset };
    let now = seconds_since_1970();
    connection.prepare_cached("INSERT INTO records VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?.execute(params![
        log,
        partition,
        offset,
        record.key,
        record.value,
        now
    ])?;
    match (record.log.retention(), &record.key) {
        (Retention::Compacted, Some(key)) => supersede(connection, record, place, key, now, lags)?,
        (Retention::Days(days), _) => expire(connection, log, place, now + u64::from(days) * DAY)?,
        _ => {}
    }
    Ok(place)
}

/// Makes the record the last of its key, and the former last one due.
fn supersede(
    connection: &Connection,
    record: &Append,
    place: Place,
    key: &[u8],
    now: u64,
    lags: Lags,
) -> rusqlite::Result<()> {
    let log = number(record.log);
    let former: Option<u64> = connection
        .prepare_cached("SELECT offset FROM latest WHERE log = ?1 AND partition = ?2 AND key = ?3")?
        .query_row(params![log, place.partition, key], |row| row.get(0))
        .optional()?;
    if let Some(offset) = former {
        expire(connection, log, Place { offset, ..place }, now + lags.superseded.as_secs())?;
    }
    if record.value.is_none() {
        expire(connection, log, place, now + lags.tombstone.as_secs())?;
    }
    connection.prepare_cached("INSERT OR REPLACE INTO latest VALUES (?1, ?2, ?3, ?4)")?.execute(params![
        log,
        place.partition,
        key,
        place.offset
    ])?;
    Ok(())
}

fn expire(connection: &Connection, log: u32, place: Place, due: u64) -> rusqlite::Result<()> {
    connection.prepare_cached("INSERT OR IGNORE INTO expiries VALUES (?1, ?2, ?3, ?4)")?.execute(params![
        due,
        log,
        place.partition,
        place.offset
    ])?;
    Ok(())
}

/// Removes up to `limit` records that are due, and returns how many it did.
pub(super) fn remove_due(connection: &Connection, limit: u32) -> rusqlite::Result<usize> {
    let due: Vec<(u64, u32, u32, u64)> = connection
        .prepare_cached("SELECT due, log, partition, offset FROM expiries WHERE due <= ?1 ORDER BY due LIMIT ?2")?
        .query_map(params![seconds_since_1970(), limit], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?
        .collect::<rusqlite::Result<_>>()?;
    for &(due, log, partition, offset) in &due {
        forget_key(connection, log, partition, offset)?;
        connection
            .prepare_cached("DELETE FROM records WHERE log = ?1 AND partition = ?2 AND offset = ?3")?
            .execute(params![log, partition, offset])?;
        connection
            .prepare_cached("DELETE FROM expiries WHERE due = ?1 AND log = ?2 AND partition = ?3 AND offset = ?4")?
            .execute(params![due, log, partition, offset])?;
    }
    Ok(due.len())
}

/// A tombstone that is still the last record of its key takes the key with it.
fn forget_key(connection: &Connection, log: u32, partition: u32, offset: u64) -> rusqlite::Result<usize> {
    connection
        .prepare_cached(
            "DELETE FROM latest WHERE log = ?1 AND partition = ?2 AND offset = ?3
             AND key = (SELECT key FROM records WHERE log = ?1 AND partition = ?2 AND offset = ?3)",
        )?
        .execute(params![log, partition, offset])
}

/// Removes the records of `from..below`, and moves the start; `below` is at most the next offset.
pub(super) fn trim(connection: &Connection, log: LogName, partition: u32, below: u64) -> rusqlite::Result<()> {
    connection.execute(
        "DELETE FROM records WHERE log = ?1 AND partition = ?2 AND offset < ?3",
        params![number(log), partition, below],
    )?;
    connection.execute(
        "UPDATE partitions SET start = max(start, ?3) WHERE log = ?1 AND partition = ?2",
        params![number(log), partition, below],
    )?;
    Ok(())
}

/// The start and the next offset of a partition.
pub(super) fn bounds(connection: &Connection, log: LogName, partition: u32) -> rusqlite::Result<(u64, u64)> {
    connection
        .prepare_cached("SELECT start, next FROM partitions WHERE log = ?1 AND partition = ?2")?
        .query_row(params![number(log), partition], |row| Ok((row.get(0)?, row.get(1)?)))
}

fn seconds_since_1970() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs())
}
