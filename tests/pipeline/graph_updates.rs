//! The counts of nodes and edges in `graph-updates`, where they are asked for.

use std::collections::BTreeMap;

use synthllm_log::{LogName, partition};
use synthllm_testkit::corpus::{any_document, corpus, document, id};
use synthllm_testkit::counts;
use synthllm_testkit::project::{PARTITIONS, Project, wait_until};
use synthllm_testkit::scripted::ScriptedServer;

use crate::{project, server, sound_samples};

type Counts = BTreeMap<String, u64>;

fn counting(server: &ScriptedServer) -> Project {
    let mut project = project(server);
    project.set("graph.updates", true).set("sampling.levels", "[1]").set("sampling.limit.level1", 1);
    project
}

/// What the log says.
fn published(project: &Project) -> Counts {
    let number = |value: Vec<u8>| serde_json::from_slice(&value).expect("a count is a JSON number");
    project.logs().live(LogName::GraphUpdates).into_iter().map(|(key, value)| (key, number(value))).collect()
}

/// The counts by their definition, of the documents as they were extracted.
fn recount(project: &Project) -> Counts {
    counts::recount(project.logs().extractions().values())
}

/// How many records the log has; each of them changed it, and lies where its key belongs.
fn written(project: &Project) -> usize {
    let records = project.logs().records(LogName::GraphUpdates);
    let mut log = BTreeMap::new();
    for record in &records {
        assert_eq!(record.partition, partition::of_key(record.key.as_deref(), PARTITIONS));
        let before = log.insert(record.key.clone(), record.value.clone()).flatten();
        assert_ne!(before, record.value, "{:?} was right already", record.key);
    }
    records.len()
}

fn assert_counted(project: &Project) {
    let counts = recount(project);
    assert!(counts.values().any(|count| *count > 1), "nothing occurs twice");
    assert_eq!(published(project), counts);
    written(project);
}

#[test]
fn the_counts_equal_a_recount_after_inserts_changes_and_deletions() {
    for workers in ["1", "2", "3"] {
        let server = server();
        let project = counting(&server);
        let drain = || project.succeed(&["run", "--drain", "--workers", workers]);
        project.ingest(&corpus(9));
        drain();
        assert_counted(&project);
        project.ingest(&[document(3, 1), any_document(5, 1), any_document(20, 0)]);
        project.delete(&[&id(4), &id(2)]);
        drain();
        assert_counted(&project);
        project.delete(&(0..21).map(id).collect::<Vec<_>>().iter().map(String::as_str).collect::<Vec<_>>());
        drain();
        assert_eq!(published(&project), Counts::new(), "on {workers} workers");
        sound_samples(&project);
    }
}

#[test]
fn the_counts_follow_documents_while_they_arrive() {
    let server = server();
    let project = counting(&server);
    let mut run = project.start(&["run", "--workers", "2"]);
    let follows = |documents: usize| {
        wait_until("the counts follow", || {
            project.logs().extractions().len() == documents && published(&project) == recount(&project)
        });
    };
    project.ingest(&corpus(6));
    follows(6);
    project.ingest(&[any_document(0, 1), any_document(7, 0)]);
    project.delete(&[&id(3), &id(5)]);
    follows(5);
    run.signal("TERM");
    assert_eq!(run.wait(), Some(0), "{}", project.errors());
    assert_counted(&project);
}

#[test]
fn a_drain_in_continuous_mode_ends_with_the_counts_of_everything_it_read() {
    for workers in ["1", "3"] {
        let server = server();
        let mut project = counting(&server);
        project.set("sampling.when", "\"continuous\"");
        for numbers in [0..6, 6..12] {
            project.ingest(&numbers.map(|number| any_document(number, 0)).collect::<Vec<_>>());
            project.succeed(&["run", "--drain", "--workers", workers]);
            assert_counted(&project);
        }
    }
}

#[test]
fn a_restart_writes_nothing_that_stands_already() {
    let server = server();
    let project = counting(&server);
    project.ingest(&corpus(9));
    project.drain();
    let before = written(&project);
    assert!(before > 0);
    project.succeed(&["run", "--drain", "--workers", "2"]);
    assert_eq!(written(&project), before);
    assert_counted(&project);
}

#[test]
fn whenever_it_is_killed_the_next_run_completes_the_counts() {
    let server = server();
    let project = counting(&server);
    let mut count = 0;
    for fault in ["before commit:7", "outputs produced:9", "commit confirmed:8", "before commit:12"] {
        project.ingest(&(count..count + 4).map(|number| any_document(number, 0)).collect::<Vec<_>>());
        project.ingest(&(0..count).map(|number| any_document(number, count)).collect::<Vec<_>>());
        count += 4;
        let mut command = project.command();
        command.args(["run", "--workers", "2"]).env("SYNTHLLM_FAULT", fault);
        assert_eq!(project.spawn(command).wait(), None, "the run was not killed {fault}");
        written(&project);
    }
    let mut run = project.start(&["run", "--workers", "3"]);
    let stood = written(&project);
    wait_until("some counts are written", || written(&project) > stood || published(&project) == recount(&project));
    run.kill();
    project.drain();
    assert_eq!(project.logs().extractions().len(), 16);
    assert_counted(&project);
}

#[test]
fn turned_on_later_the_log_is_brought_to_date() {
    let server = server();
    let mut project = counting(&server);
    project.set("graph.updates", false);
    project.ingest(&corpus(8));
    project.drain();
    assert_eq!(written(&project), 0);
    project.set("graph.updates", true).drain();
    assert_counted(&project);
    // What changes while it is off is owed afterwards, and stale keys go.
    let before = written(&project);
    project.set("graph.updates", false);
    project.delete(&[&id(0), &id(1)]);
    project.ingest(&[document(3, 1)]);
    project.drain();
    assert_eq!(written(&project), before);
    assert_ne!(published(&project), recount(&project));
    project.set("graph.updates", true).drain();
    assert_counted(&project);
}
