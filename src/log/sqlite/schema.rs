//! The tables and views of the file, and what makes a file fit.

use rusqlite::{Connection, OptionalExtension, params};

use crate::LogName;

/// The version of the tables. A file with another one is refused.
pub(super) const FORMAT: u32 = 1;

const TABLES: &str = "
CREATE TABLE IF NOT EXISTS settings (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS logs (log INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, partitions INTEGER NOT NULL);
-- start: everything below was trimmed; next: the offset of the next record, which never goes back.
CREATE TABLE IF NOT EXISTS partitions (
    log INTEGER, partition INTEGER, start INTEGER NOT NULL DEFAULT 0, next INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (log, partition)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS records (
    log INTEGER, partition INTEGER, offset INTEGER, key BLOB, value BLOB, appended_at INTEGER NOT NULL,
    PRIMARY KEY (log, partition, offset)) WITHOUT ROWID;
-- The last record of each key of a compacted log.
CREATE TABLE IF NOT EXISTS latest (
    log INTEGER, partition INTEGER, key BLOB, offset INTEGER NOT NULL,
    PRIMARY KEY (log, partition, key)) WITHOUT ROWID;
-- Records that may be removed, each from a time on (seconds since 1970).
CREATE TABLE IF NOT EXISTS expiries (
    due INTEGER, log INTEGER, partition INTEGER, offset INTEGER,
    PRIMARY KEY (due, log, partition, offset)) WITHOUT ROWID;
-- The fence: a transaction of an owner with an older generation fails.
CREATE TABLE IF NOT EXISTS owners (owner TEXT PRIMARY KEY, generation INTEGER NOT NULL) WITHOUT ROWID;
";

const LIVE: &str = "records JOIN latest USING (log, partition, offset) WHERE value IS NOT NULL AND log =";

/// For people with the `sqlite3` shell: live records by speaking names, JSON as text.
fn views() -> String {
    use LogName::{DeadLetters, Documents, Extractions, GraphUpdates, Held, Progress, Samples, Scores, Texts};
    let json = |view: &str, column: &str, log: LogName| {
        format!(
            "CREATE VIEW IF NOT EXISTS {view} AS SELECT CAST(records.key AS TEXT) AS id, CAST(value AS TEXT) AS {column}, \
             partition, offset FROM {LIVE} {};\n",
            number(log)
        )
    };
    let sizes = |view: &str, log: LogName| {
        format!(
            "CREATE VIEW IF NOT EXISTS {view} AS SELECT CAST(records.key AS TEXT) AS id, length(value) AS bytes, \
             partition, offset FROM {LIVE} {};\n",
            number(log)
        )
    };
    let dead_letters = format!(
        "CREATE VIEW IF NOT EXISTS dead_letters AS SELECT CAST(value AS TEXT) AS dead_letter, partition, offset, \
         datetime(appended_at, 'unixepoch') AS appended_at FROM records WHERE log = {};\n",
        number(DeadLetters)
    );
    let state =
        "CREATE VIEW IF NOT EXISTS positions AS SELECT name, partition, start, next FROM partitions JOIN logs USING (log);";
    [
        json("documents", "document", Documents),
        json("samples", "sample", Samples),
        json("graph_updates", "count", GraphUpdates),
        sizes("texts", Texts),
        sizes("extractions", Extractions),
        sizes("progress", Progress),
        sizes("held", Held),
        sizes("scores", Scores),
        dead_letters,
        state.to_owned(),
    ]
    .concat()
}

/// The number of a log in the file; durable, so new logs are added at the end of [`LogName::ALL`] only.
pub(super) fn number(log: LogName) -> u32 {
    LogName::ALL.iter().position(|each| *each == log).expect("every log is in ALL") as u32
}

/// Makes what is missing; returns the names of the logs that were made.
pub(super) fn create(connection: &Connection, partitions: impl Fn(LogName) -> u32) -> rusqlite::Result<Vec<String>> {
    connection.execute_batch(TABLES)?;
    connection.execute_batch(&views())?;
    connection.execute("INSERT OR IGNORE INTO settings VALUES ('format', ?1)", [FORMAT])?;
    let mut created = Vec::new();
    for log in LogName::ALL {
        let count = partitions(log);
        let new =
            connection.execute("INSERT OR IGNORE INTO logs VALUES (?1, ?2, ?3)", params![number(log), log.name(), count])?;
        if new == 1 {
            created.push(log.name().to_owned());
            for partition in 0..count {
                connection
                    .execute("INSERT INTO partitions (log, partition) VALUES (?1, ?2)", params![number(log), partition])?;
            }
        }
    }
    Ok(created)
}

/// Whether the file holds logs at all.
pub(super) fn exists(connection: &Connection) -> rusqlite::Result<bool> {
    connection
        .query_row("SELECT count(*) FROM sqlite_schema WHERE name = 'settings'", [], |row| Ok(row.get::<_, u32>(0)? == 1))
}

/// One sentence for everything in the file that does not fit.
pub(super) fn problems(connection: &Connection, partitions: impl Fn(LogName) -> u32) -> rusqlite::Result<Vec<String>> {
    let mut problems = Vec::new();
    let format: Option<u32> =
        connection.query_row("SELECT value FROM settings WHERE name = 'format'", [], |row| row.get(0)).optional()?;
    if format != Some(FORMAT) {
        let found = format.map_or("none".to_owned(), |format| format.to_string());
        problems.push(format!("the file has format {found}, this program needs {FORMAT}"));
    }
    for log in LogName::ALL {
        let found: Option<u32> = connection
            .query_row("SELECT partitions FROM logs WHERE log = ?1", [number(log)], |row| row.get(0))
            .optional()?;
        let needed = partitions(log);
        match found {
            None => problems.push(format!("{} is missing", log.name())),
            Some(found) if found != needed => {
                problems.push(format!("{} has {found} partitions, the configuration says {needed}", log.name()));
            }
            Some(_) => {}
        }
    }
    Ok(problems)
}
