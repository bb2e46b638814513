//! What only the file can show: kills at any moment, a full disk, the claim of the run.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::backends::{Backend, N, P, Place, append};
use crate::child::{Running, say, wait_for_the_parent};
use synthllm_log::LogName::{Extractions, Progress, Texts};
use synthllm_log::sqlite::{SqliteLog, SqliteSettings};
use synthllm_log::{Append, Log, LogError, LogName, Record, Result, Writer, read_to_end};

/// The child of the kill loop: each transaction writes its number to three logs.
pub fn commit_for_ever(log: &Arc<dyn Log>, owner: &str) {
    let mut writer = log.writer(owner).unwrap();
    for number in numbers(log, Progress).len().. {
        write_number(&mut *writer, number, "").unwrap();
        say(&format!("committed {number}"));
    }
}

fn write_number(writer: &mut dyn Writer, number: usize, padding: &str) -> Result<()> {
    let text = format!("{number}{padding}");
    writer.append(vec![append(Texts, 0, "a", Some(&text)), append(Extractions, 0, &text, Some(&text))])?;
    writer.append(vec![append(Progress, 0, "extract/0", Some(&text))])?;
    writer.commit()
}

/// The numbers in partition 0 of a log, in order.
fn numbers(log: &Arc<dyn Log>, name: LogName) -> Vec<usize> {
    let mut numbers = Vec::new();
    let number = |record: Record| String::from_utf8(record.value.unwrap()).unwrap().trim_end().parse().unwrap();
    read_to_end(log, name, &[(0, 0)], |record| numbers.push(number(record)), |_, _| {}).unwrap();
    numbers
}

/// Every transaction is there whole, in order, up to the last confirmed one at least; the file is sound.
fn check_whole(place: &Place, confirmed: usize) {
    let log = place.open();
    let progress = numbers(&log, Progress);
    assert!(progress.len() >= confirmed, "{} of {confirmed} confirmed transactions are left", progress.len());
    assert_eq!(progress, (0..progress.len()).collect::<Vec<_>>());
    assert_eq!(numbers(&log, Texts), progress);
    assert_eq!(numbers(&log, Extractions), progress);
    let Place::Sqlite(settings) = place else { unreachable!("the file is checked") };
    assert_eq!(integrity(&settings.path), "ok");
}

fn integrity(path: &Path) -> String {
    let connection = rusqlite::Connection::open(path).unwrap();
    connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap()
}

/// The settings under which no record goes, so that all transactions can be counted.
fn keeping_all(backend: &Backend) -> Place {
    let Place::Sqlite(settings) = &backend.place else { unreachable!("the backend is SQLite") };
    Place::Sqlite(SqliteSettings::new(&settings.path, N, P))
}

#[test]
fn whatever_was_committed_survives_kills_at_any_moment() {
    let backend = Backend::sqlite();
    let place = keeping_all(&backend);
    let mut confirmed = 0;
    for kill in 0..24_u64 {
        let mut child = Running::start("commit for ever", &place, "extract.0");
        for _ in 0..=kill % 5 {
            confirmed = child.expect("committed").parse::<usize>().unwrap() + 1;
        }
        // The moment inside a transaction: microseconds after a commit, other ones each time.
        let moment = Instant::now() + Duration::from_micros(kill * 137 % 3000);
        while Instant::now() < moment {
            std::hint::spin_loop();
        }
        let said = child.kill();
        let last = said.iter().filter_map(|line| line.strip_prefix("child: committed ")?.parse::<usize>().ok()).max();
        confirmed = last.map_or(confirmed, |last| last + 1);
        check_whole(&place, confirmed);
    }
    assert!(confirmed >= 24, "{confirmed} transactions in 24 lives");
}

/// The child under a limit of file size: writes until the system refuses, says how far it came, and what it was told.
pub fn fill_the_disk(log: &Arc<dyn Log>, owner: &str) {
    let mut writer = log.writer(owner).unwrap();
    let padding = " ".repeat(20_000);
    for number in 0..10_000 {
        if let Err(error) = write_number(&mut *writer, number, &padding) {
            assert!(matches!(error, LogError::Disk { .. }), "{error:?}");
            say(&format!("refused after {number}"));
            return;
        }
    }
    say("was never refused");
}

#[test]
fn a_full_disk_is_an_error_and_takes_nothing_back() {
    let backend = Backend::sqlite();
    let place = keeping_all(&backend);
    // The system refuses to let a file of this process grow beyond 8 MB, as a full disk would.
    let mut child = Running::start_limited("fill the disk", &place, "extract.0", 8 * 1024);
    let confirmed: usize = child.expect("refused after").parse().unwrap();
    child.kill();
    assert!(confirmed > 10, "{confirmed} transactions of 60 kB fitted");
    check_whole(&place, confirmed);
    // With room again the next owner goes on.
    let log = place.open();
    let next = numbers(&log, Progress).len();
    write_number(&mut *log.writer("extract.0").unwrap(), next, "").unwrap();
    check_whole(&place, next + 1);
}

#[test]
fn a_full_disk_can_be_written_to_again_by_the_same_process() {
    let folder = tempfile::tempdir().unwrap();
    let Some(_mounted) = Mounted::new(folder.path()) else {
        println!("a small file system can't be mounted here; the limited child shows the rest");
        return;
    };
    let place = Place::Sqlite(SqliteSettings::new(&folder.path().join("synthllm.db"), N, P));
    let ballast = folder.path().join("ballast");
    std::fs::write(&ballast, vec![1_u8; 2 << 20]).unwrap();
    let log = place.open();
    log.create().unwrap();
    let mut writer = log.writer("extract.0").unwrap();
    let padding = " ".repeat(20_000);
    let refused = (0..1000).find_map(|number| Some((number, write_number(&mut *writer, number, &padding).err()?)));
    let (confirmed, error) = refused.expect("8 MB are not enough for 1000 transactions of 60 kB");
    assert!(matches!(&error, LogError::Disk { .. }), "{error:?}");
    assert_eq!(numbers(&log, Progress).len(), confirmed);
    std::fs::remove_file(ballast).unwrap();
    let mut writer = log.writer("extract.0").unwrap();
    write_number(&mut *writer, confirmed, "").unwrap();
    drop((writer, log));
    check_whole(&place, confirmed + 1);
}

/// A file system of 8 MB, unmounted when dropped.
struct Mounted<'a>(&'a Path);

impl Mounted<'_> {
    fn new(folder: &Path) -> Option<Mounted<'_>> {
        let mut mount = std::process::Command::new("mount");
        let mount = mount.args(["-t", "tmpfs", "-o", "size=8m", "none"]).arg(folder).stderr(std::process::Stdio::null());
        mount.status().is_ok_and(|status| status.success()).then_some(Mounted(folder))
    }
}

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        let unmounted = std::process::Command::new("umount").arg("--lazy").arg(self.0).status();
        assert!(unmounted.is_ok_and(|status| status.success()), "{} is still mounted", self.0.display());
    }
}

/// The child that runs until it is told that another has taken over.
pub fn hold_the_run(log: &Arc<dyn Log>, owner: &str) {
    let _claim = log.claim_run(false).unwrap();
    let mut writer = log.writer(owner).unwrap();
    write_number(&mut *writer, 0, "").unwrap();
    say("committed");
    wait_for_the_parent();
    let refused = write_number(&mut *writer, 1, "");
    say(if matches!(refused, Err(LogError::Fenced { .. })) { "was fenced" } else { "was not fenced" });
}

#[test]
fn one_run_at_a_time_unless_it_is_taken_over() {
    let backend = Backend::sqlite();
    let place = keeping_all(&backend);
    let mut child = Running::start("hold the run", &place, "extract.0");
    child.expect("committed");
    let log = place.open();
    let Err(LogError::Held { holder }) = log.claim_run(false) else { panic!("two run on one file") };
    assert!(holder.contains(&child.child.id().to_string()), "{holder}");
    // What is no run works beside it.
    let mut appender = log.appender().unwrap();
    appender.append(Append { partition: None, ..append(LogName::Documents, 0, "a", Some("{}")) }).unwrap();
    appender.flush().unwrap();
    let claim = log.claim_run(true).unwrap();
    drop(child.child.stdin.take());
    child.expect("was fenced");
    assert_eq!(numbers(&log, Progress), [0]);
    drop(claim);
    log.claim_run(false).unwrap();
}

#[test]
fn a_dead_process_holds_no_run() {
    let backend = Backend::sqlite();
    let place = keeping_all(&backend);
    let mut child = Running::start("hold the run", &place, "extract.0");
    child.expect("committed");
    child.kill();
    drop(place.open().claim_run(false).unwrap());
}

#[test]
fn a_reader_is_told_of_a_commit_of_another_process() {
    let backend = Backend::sqlite();
    let place = keeping_all(&backend);
    let log = place.open();
    let mut reader = log.reader(Progress, &[(0, 0)]).unwrap();
    let _child = Running::start("commit for ever", &place, "extract.0");
    let batch = reader.poll(10, Duration::from_secs(60)).unwrap();
    assert_eq!(batch.records[0].value.as_deref(), Some(&b"0"[..]));
}

#[test]
fn writers_that_commit_at_once_share_commits_and_lose_nothing() {
    let backend = Backend::sqlite();
    let place = keeping_all(&backend);
    let log = place.open();
    std::thread::scope(|scope| {
        for shard in 0..8_u32 {
            let log = &log;
            scope.spawn(move || {
                let mut writer = log.writer(&format!("generate.{shard}")).unwrap();
                for number in 0..50 {
                    writer.append(vec![append(Texts, shard % P, &shard.to_string(), Some(&number.to_string()))]).unwrap();
                    if number % 7 == 3 { writer.abort().unwrap() } else { writer.commit().unwrap() }
                }
            });
        }
    });
    let mut counts = [0; 8];
    for partition in 0..P {
        let (records, end) = backend.read(Texts, partition);
        assert!(records.is_sorted_by(|a, b| a.offset < b.offset));
        assert_eq!(end, records.len() as u64, "what was aborted left no gap");
        for record in records {
            counts[String::from_utf8(record.key.unwrap()).unwrap().parse::<usize>().unwrap()] += 1;
        }
    }
    assert_eq!(counts, [43; 8]);
}

#[test]
fn views_show_live_records_by_speaking_names() {
    let backend = Backend::sqlite();
    backend.commit("x", vec![append(LogName::Samples, 0, "kept", Some("{\"id\":1}"))]);
    backend.commit("x", vec![append(LogName::Samples, 0, "withdrawn", Some("{}"))]);
    backend.commit("x", vec![append(LogName::Samples, 0, "withdrawn", None)]);
    let Place::Sqlite(settings) = &backend.place else { unreachable!("the backend is SQLite") };
    let connection = rusqlite::Connection::open(&settings.path).unwrap();
    let samples: Vec<(String, String)> = connection
        .prepare("SELECT id, sample FROM samples")
        .unwrap()
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap()
        .map(std::result::Result::unwrap)
        .collect();
    assert_eq!(samples, [("kept".to_owned(), "{\"id\":1}".to_owned())]);
    for view in ["documents", "graph_updates", "texts", "extractions", "progress", "dead_letters", "positions"] {
        connection.prepare(&format!("SELECT * FROM {view}")).unwrap().query([]).unwrap().next().unwrap();
    }
}

#[test]
fn a_file_that_is_none_of_ours_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("letter.txt");
    std::fs::write(&path, "Dear all, this is not a database, although it is long enough to be looked at twice. ".repeat(20))
        .unwrap();
    let Err(error) = SqliteLog::open(&path, N, P) else { panic!("a letter is no database") };
    assert!(error.to_string().contains("letter.txt"), "{error}");
    let empty = SqliteLog::open(&folder.path().join("new.db"), N, P).unwrap();
    assert!(matches!(empty.verify(), Err(LogError::Missing { .. })));
}
