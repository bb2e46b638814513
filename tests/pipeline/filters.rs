//! Questions that are dropped before they are answered.

use std::collections::BTreeSet;

use serde_json::json;
use synthllm_operators::record::Role;
use synthllm_testkit::corpus::corpus;
use synthllm_testkit::project::{Project, stderr, write_lines};

use crate::{project, requests, server, sound_samples};

/// The questions of all samples.
fn questions(project: &Project) -> BTreeSet<String> {
    sound_samples(project).into_values().map(|sample| sample.question).collect()
}

/// What a run without filters asks.
fn unfiltered() -> BTreeSet<String> {
    let server = server();
    let mut project = project(&server);
    project.set("sampling.levels", "[1, 2]");
    project.ingest(&corpus(4));
    project.drain();
    questions(&project)
}

#[test]
fn questions_that_repeat_a_benchmark_are_dropped_counted_and_never_answered() {
    let all = unfiltered();
    let known: Vec<&String> = all.iter().step_by(3).collect();
    let server = server();
    let mut project = project(&server);
    project.set("sampling.levels", "[1, 2]").set("filters.benchmarks", "[{ file = \"known.jsonl\" }]");
    write_lines(&project.file("known.jsonl"), known.iter().map(|question| json!({"question": question}).to_string()));
    project.ingest(&corpus(4));
    project.drain();
    let left = questions(&project);
    assert!(!left.is_empty() && left.is_subset(&all));
    assert!(known.iter().all(|question| !left.contains(*question)));
    assert_eq!(requests(&server, "answer"), left.len());
    let dropped = project.logs().counted(Role::Generate, "rejected_benchmark");
    assert!(dropped >= known.len() as u64, "{dropped} of {}", known.len());
    assert_eq!(project.logs().counted(Role::Generate, "samples") + dropped, all.len() as u64);
}

#[test]
fn questions_of_the_wrong_length_or_language_are_counted_by_reason() {
    for (key, value, counter) in
        [("filters.least_words", "500", "rejected_length"), ("filters.languages", "[\"jpn\"]", "rejected_language")]
    {
        let server = server();
        let mut project = project(&server);
        project.set("sampling.levels", "[1]").set(key, value);
        project.ingest(&corpus(3));
        project.drain();
        assert!(project.logs().counted(Role::Generate, counter) > 0, "{key}");
        assert_eq!(requests(&server, "answer") as u64, project.logs().counted(Role::Generate, "samples"), "{key}");
    }
}

#[test]
fn a_benchmark_that_can_not_be_read_ends_the_run_with_its_line() {
    let server = server();
    let mut project = project(&server);
    project.set("filters.benchmarks", "[{ file = \"known.jsonl\", field = \"riddle\" }]");
    write_lines(&project.file("known.jsonl"), ["{\"riddle\": \"What is it?\"}", "{\"question\": \"What is it?\"}"]);
    project.ingest(&corpus(1));
    let refused = project.execute(&["run", "--drain"]);
    assert!(!refused.status.success());
    assert!(stderr(&refused).contains("can't use line 2 of the benchmark known.jsonl"), "{}", stderr(&refused));
}
