//! Deletions that the log has forgotten before they were read.

use std::sync::Arc;
use std::time::Duration;

use synthllm_log::sqlite::{SqliteLog, SqliteSettings};
use synthllm_log::{Append, Log, LogName};
use synthllm_operators::codec;
use synthllm_operators::provenance::Withdraw;
use synthllm_operators::record::{Progress, ProgressKey, Role};
use synthllm_testkit::corpus::{any_document, corpus, id};
use synthllm_testkit::judge;
use synthllm_testkit::project::{PARTITIONS, Project};
use synthllm_testkit::scripted::ScriptedServer;

use crate::{Samples, project, server, sound_samples, stands_on};

/// A project of six documents with samples of levels 1 and 2, and these samples.
fn drained(server: &ScriptedServer) -> (Project, Samples) {
    let mut project = project(server);
    project.set("sampling.levels", "[1, 2]");
    project.ingest(&corpus(6));
    project.drain();
    let samples = sound_samples(&project);
    assert!((0..6).all(|number| samples.values().any(|sample| stands_on(sample, &id(number)))));
    assert_eq!(reconciled(&project), 0);
    (project, samples)
}

/// The project's logs, in which nothing stays that is superseded, and no tombstone.
fn forgetful(project: &Project) -> Arc<SqliteLog> {
    let settings = SqliteSettings::new(&project.file("synthllm.db"), PARTITIONS, PARTITIONS);
    SqliteLog::open_with(SqliteSettings { compaction_lag: Duration::ZERO, tombstone_lag: Duration::ZERO, ..settings })
        .expect("the file opens")
}

/// Writes a document, or deletes it, and lets compaction take the records before it, and the tombstone.
fn write_and_forget(project: &Project, document: &str, value: Option<&serde_json::Value>) {
    let log = forgetful(project);
    let mut appender = log.appender().expect("the file takes an appender");
    let (key, value) = (Some(document.as_bytes().to_vec()), value.map(|value| value.to_string().into_bytes()));
    let left = usize::from(value.is_some());
    appender.append(Append { log: LogName::Documents, partition: None, key, value }).expect("the record fits");
    appender.flush().expect("the record is durable");
    log.compact().expect("the file can be compacted");
    let records = project.logs().records(LogName::Documents);
    let found = records.iter().filter(|record| record.key.as_deref() == Some(document.as_bytes())).count();
    assert_eq!(found, left, "records of {document}");
}

/// Lets all shards have been at the end of `documents` for the last time so many days ago.
fn stay_away(project: &Project, days: u64) {
    let record = |shard| {
        let mut progress = project.logs().shard(Role::Extract, shard);
        assert!(progress.caught_up_at > 0, "extract/{shard} does not say when it was at the end");
        progress.caught_up_at -= days * 24 * 60 * 60;
        let key = Some(ProgressKey::Shard(Role::Extract, shard).to_string().into_bytes());
        let value = Some(codec::encode(&Progress::Shard(progress)));
        Append { log: LogName::Progress, partition: None, key, value }
    };
    // A shard without documents has never committed.
    let read = (0..PARTITIONS).zip(project.logs().ends(LogName::Documents)).filter(|(_, end)| *end > 0);
    let records = read.map(|(shard, _)| record(shard)).collect();
    let mut writer = forgetful(project).writer("tests").expect("the file takes a writer");
    writer.append(records).expect("the records fit");
    writer.commit().expect("the records are durable");
}

/// The samples, which keep the invariants. Records that went before they were read have no outcome.
fn samples_after(project: &Project) -> Samples {
    let logs = project.logs();
    let written_twice = judge::samples_written_twice(&logs.records(LogName::Samples));
    let of_the_dead = judge::samples_of_dead_documents(&logs, Withdraw::Deleted);
    assert_eq!([written_twice, of_the_dead, judge::questions_held_twice(&logs.samples())].concat(), Vec::<String>::new());
    logs.samples()
}

fn reconciled(project: &Project) -> u64 {
    project.logs().counted(Role::Extract, "reconciled")
}

fn without(samples: &Samples, document: &str) -> Samples {
    samples.iter().filter(|(_, sample)| !stands_on(sample, document)).map(|(key, it)| (key.clone(), it.clone())).collect()
}

#[test]
fn a_deletion_that_was_forgotten_while_away_is_noticed_and_its_samples_go() {
    for workers in ["1", "2"] {
        let server = server();
        let (project, samples) = drained(&server);
        let asked = server.seen().len();
        write_and_forget(&project, &id(2), None);
        stay_away(&project, 31);
        project.succeed(&["run", "--drain", "--workers", workers]);
        assert_eq!(samples_after(&project), without(&samples, &id(2)));
        assert!(!project.logs().extractions().contains_key(&id(2)));
        assert!(!project.logs().live(LogName::Texts).contains_key(&id(2)));
        assert_eq!((reconciled(&project), server.seen().len()), (1, asked));
        // Done once; and a document that comes back is a new one.
        let written = project.logs().records(LogName::Extractions).len();
        project.drain();
        assert_eq!(project.logs().records(LogName::Extractions).len(), written);
        project.ingest(&[any_document(2, 0)]);
        project.drain();
        let revived = samples_after(&project);
        assert_eq!(without(&revived, &id(2)), without(&samples, &id(2)));
        assert!(revived.keys().any(|key| !samples.contains_key(key)), "another incarnation has other samples");
    }
}

#[test]
fn a_run_that_was_away_for_less_takes_nothing_for_deleted() {
    let server = server();
    let (project, samples) = drained(&server);
    write_and_forget(&project, &id(2), None);
    stay_away(&project, 29);
    project.drain();
    assert_eq!((samples_after(&project), reconciled(&project)), (samples, 0));
    // It was at the end now: the time counts from here.
    stay_away(&project, 29);
    project.drain();
    assert_eq!(reconciled(&project), 0);
}

#[test]
fn what_lives_is_never_taken_for_deleted() {
    let server = server();
    let (project, samples) = drained(&server);
    // Changed, and written again unchanged, with nothing left of the records that were read.
    write_and_forget(&project, &id(1), Some(&any_document(1, 1)));
    write_and_forget(&project, &id(3), Some(&any_document(3, 0)));
    // Deleted, with a tombstone that stands; and a new one.
    project.delete(&[&id(4)]);
    project.ingest(&[any_document(7, 0)]);
    stay_away(&project, 400);
    project.drain();
    let after = samples_after(&project);
    let kept =
        samples.iter().filter(|(key, sample)| after.get(*key) == Some(sample)).map(|(key, it)| (key.clone(), it.clone()));
    assert_eq!(kept.collect::<Samples>(), without(&samples, &id(4)), "only a deleted document loses its samples");
    assert!(project.logs().extractions().into_keys().eq([0, 1, 2, 3, 5, 7].map(id)));
    let since = |project: &Project, number: u64| project.logs().extractions()[&id(number)].since;
    assert!(since(&project, 1) < project.logs().extractions()[&id(1)].version, "a changed document was inserted anew");
}

#[test]
fn a_rejected_document_whose_deletion_was_forgotten_goes_too() {
    let server = server();
    let mut project = project(&server);
    project.set("sampling.levels", "[1]").set("screen.most_words", 40);
    let long = |document: &str| serde_json::json!({"id": document, "text": "a long text ".repeat(20)});
    project.ingest(&[corpus(4), vec![long("gone"), long("stays")]].concat());
    project.drain();
    assert_eq!((project.logs().extractions().len(), project.logs().live(LogName::Texts).len()), (4, 6));
    write_and_forget(&project, "gone", None);
    stay_away(&project, 31);
    project.drain();
    let texts: Vec<String> = project.logs().live(LogName::Texts).into_keys().collect();
    assert!(!texts.contains(&"gone".to_owned()) && texts.contains(&"stays".to_owned()), "{texts:?}");
    assert!(project.logs().live(LogName::Scores).into_keys().eq(texts));
    assert_eq!((project.logs().extractions().len(), reconciled(&project)), (4, 1));
}

#[test]
fn a_kill_on_the_way_changes_nothing() {
    for (fault, done) in [("state loaded", 0), ("before commit", 0), ("commit confirmed", 1)] {
        let server = server();
        let (project, samples) = drained(&server);
        write_and_forget(&project, &id(2), None);
        stay_away(&project, 31);
        let mut command = project.command();
        command.args(["run", "--drain"]).env("SYNTHLLM_FAULT", fault);
        assert_eq!(project.spawn(command).wait(), None, "the run was not killed at {fault}");
        assert!(reconciled(&project) <= done, "something was committed before {fault}");
        project.drain();
        assert_eq!((samples_after(&project), reconciled(&project)), (without(&samples, &id(2)), 1), "killed at {fault}");
    }
}
