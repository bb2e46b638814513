//! Questions that filters hold back, and what becomes of them and of samples when the filters change.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use synthllm_operators::record::{Held, Role};
use synthllm_testkit::corpus::{corpus, id};
use synthllm_testkit::project::{Project, stderr, wait_until, write_lines};
use synthllm_testkit::scripted::{Fault, Rule, ScriptedServer};

use crate::{project, requests, server, sound_samples};

/// Level 1 and 2 on a small corpus, held against benchmarks.
fn filtered(server: &ScriptedServer, benchmark: &[&String]) -> Project {
    let mut project = project(server);
    project.set("sampling.levels", "[1, 2]").set("filters.benchmarks", "[{ file = \"known.jsonl\" }]");
    knows(&project, benchmark);
    project.ingest(&corpus(4));
    project
}

/// Changes the benchmark's contents. It is never empty.
fn knows(project: &Project, questions: &[&String]) {
    let other = "these are sixteen words of a question that nobody of the tests will ever ask again".to_owned();
    let lines = questions.iter().copied().chain([&other]).map(|question| json!({"question": question}).to_string());
    write_lines(&project.file("known.jsonl"), lines);
}

fn questions(project: &Project) -> BTreeSet<String> {
    sound_samples(project).into_values().map(|sample| sample.question).collect()
}

/// What is held back, by question.
fn held(project: &Project) -> BTreeMap<String, Held> {
    project.logs().held().into_values().map(|held| (held.sample.question.clone(), held)).collect()
}

/// The questions that are asked of the corpus.
fn unfiltered() -> Vec<String> {
    let server = server();
    let project = filtered(&server, &[]);
    project.drain();
    assert!(held(&project).is_empty());
    questions(&project).into_iter().collect()
}

fn set<'q>(questions: impl IntoIterator<Item = &'q String>) -> BTreeSet<String> {
    questions.into_iter().cloned().collect()
}

#[test]
fn what_a_filter_drops_is_held_and_listed_and_released_when_it_passes_without_asking_its_question_again() {
    let all = unfiltered();
    let (server, known) = (server(), all.iter().step_by(3).collect::<Vec<_>>());
    let project = filtered(&server, &known);
    project.drain();
    assert_eq!(questions(&project), &set(&all) - &set(known.clone()));
    assert_eq!(held(&project).into_keys().collect::<BTreeSet<_>>(), set(known.clone()));
    assert!(held(&project).values().all(|held| held.reason == "benchmark" && held.sample.answer.is_none()));
    let listed = project.succeed(&["held", "list", "--reason", "benchmark", "--json"]);
    let listed: Vec<Value> = listed.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(listed.len(), known.len());
    assert!(project.succeed(&["held", "list"]).contains(&format!("{} questions held back: benchmark", known.len())));
    assert!(project.succeed(&["held", "list", "--reason", "length"]).contains("0 questions held back"));

    let asked = (requests(&server, "level1") + requests(&server, "combined"), requests(&server, "answer"));
    knows(&project, &known[1..]);
    project.succeed(&["run", "--drain", "--workers", "2"]);
    assert_eq!(questions(&project), &set(&all) - &set(known[1..].iter().copied()));
    assert_eq!(held(&project).len(), known.len() - 1);
    assert_eq!(requests(&server, "level1") + requests(&server, "combined"), asked.0, "no question is asked for again");
    assert_eq!(requests(&server, "answer"), asked.1 + 1, "the one that was released is answered");
    assert_eq!(project.logs().counted(Role::Generate, "released"), 1);

    project.drain();
    assert_eq!(requests(&server, "answer"), asked.1 + 1, "the same filters cost nothing");
}

#[test]
fn a_sample_that_a_stricter_filter_drops_comes_back_with_its_answer() {
    let (server, all) = (server(), unfiltered());
    let project = filtered(&server, &[]);
    project.drain();
    let (before, asked) = (sound_samples(&project), server.seen().len());
    let known: Vec<&String> = all.iter().step_by(2).collect();
    knows(&project, &known);
    project.drain();
    assert_eq!(questions(&project), &set(&all) - &set(known.clone()));
    assert_eq!(held(&project).into_keys().collect::<BTreeSet<_>>(), set(known.clone()));
    assert!(held(&project).values().all(|held| held.sample.answer.is_some()));
    assert_eq!(project.logs().counted(Role::Generate, "withdrawn"), known.len() as u64);
    knows(&project, &[]);
    project.succeed(&["run", "--drain", "--workers", "3"]);
    assert_eq!(sound_samples(&project), before, "all are what they were");
    assert!(held(&project).is_empty());
    assert_eq!(server.seen().len(), asked, "nothing is asked again");
}

#[test]
fn another_filter_can_hold_the_same_question_back() {
    let (server, all) = (server(), unfiltered());
    let mut project = filtered(&server, &[&all[0]]);
    project.drain();
    knows(&project, &[]);
    project.set("filters.least_words", "500");
    project.drain();
    assert!(questions(&project).is_empty());
    let reasons: BTreeSet<String> = held(&project).into_values().map(|held| held.reason).collect();
    assert_eq!((held(&project).len(), reasons), (all.len(), BTreeSet::from(["length".to_owned()])));
    project.set("filters.least_words", "3");
    project.drain();
    assert_eq!(questions(&project), set(&all));
    assert_eq!(requests(&server, "answer"), all.len());
}

#[test]
fn what_is_held_goes_with_its_document_and_never_comes_back() {
    let (server, all) = (server(), unfiltered());
    let project = filtered(&server, &all.iter().collect::<Vec<_>>());
    project.drain();
    assert_eq!(held(&project).len(), all.len());
    project.delete(&[&id(0), &id(1)]);
    project.drain();
    let left = held(&project);
    assert!(!left.is_empty() && left.len() < all.len());
    let stands_on = |held: &Held, gone: &str| held.provenance.documents.iter().any(|(document, _)| document == gone);
    assert!(left.values().all(|held| !stands_on(held, &id(0)) && !stands_on(held, &id(1))));
    // The deletion of one more document and the change of the filters are seen by the same start.
    project.delete(&[&id(2)]);
    knows(&project, &[]);
    project.drain();
    let samples = sound_samples(&project);
    assert!(!samples.is_empty() && held(&project).is_empty());
    let documents: BTreeSet<&str> =
        samples.values().flat_map(|sample| &sample.provenance.documents).map(|document| document.id.as_str()).collect();
    assert_eq!(documents, BTreeSet::from([id(3).as_str()]));
}

#[test]
fn filters_that_change_back_after_a_kill_leave_nothing_of_those_between() {
    let (server, all) = (server(), unfiltered());
    let project = filtered(&server, &[]);
    project.drain();
    let (before, asked) = (sound_samples(&project), server.seen().len());
    for number in 1..4 {
        knows(&project, &all.iter().collect::<Vec<_>>());
        let mut command = project.command();
        let fault = format!("commit confirmed:{number}");
        command.args(["run", "--drain", "--role", "generate"]).env("SYNTHLLM_FAULT", &fault);
        assert!(!command.output().expect("it starts").status.success(), "{fault} is not reached");
        assert!(!held(&project).is_empty(), "{fault}");
        knows(&project, &[]);
        project.drain();
        assert!(sound_samples(&project) == before && held(&project).is_empty(), "{fault}");
    }
    assert_eq!(server.seen().len(), asked);
}

#[test]
fn what_was_answered_before_a_kill_and_is_held_back_after_it_is_not_asked_again() {
    let (server, all) = (server(), unfiltered());
    let project = filtered(&server, &[]);
    server.add_rule(Rule { containing: all[0].clone(), times: u32::MAX, fault: Fault::Stall });
    let mut run = project.start(&["run", "--drain"]);
    let answered = || project.logs().journal().iter().filter(|(key, _)| key.task == "answer").count();
    wait_until("the answers but one are in the journal", || answered() >= all.len() / 2);
    assert!(run.kill(), "{}", project.errors());
    server.forget_rules();
    let answered = answered();
    knows(&project, &all.iter().collect::<Vec<_>>());
    project.drain();
    assert!(questions(&project).is_empty() && held(&project).len() == all.len());
    // Some may have become samples before the kill.
    let is_known = |held: &&Held| !held.answers.is_empty() || held.sample.answer.is_some();
    let known = held(&project).values().filter(is_known).count();
    assert!(known >= answered && known < all.len(), "{known} of {}, {answered} in the journal", all.len());
    let asked = requests(&server, "answer");
    knows(&project, &[]);
    project.drain();
    assert_eq!((questions(&project), held(&project).len()), (set(&all), 0));
    assert_eq!(requests(&server, "answer"), asked + all.len() - known);
}

#[test]
fn what_the_budget_does_not_allow_stays_held_until_another_run_can_pay() {
    let (server, all) = (server(), unfiltered());
    let mut project = filtered(&server, &all.iter().collect::<Vec<_>>());
    project.drain();
    knows(&project, &[]);
    project.set("budget.tokens", 1);
    let ended = project.execute(&["run", "--drain"]);
    assert!(ended.status.success() && stderr(&ended).contains("budget.tokens"), "{}", stderr(&ended));
    assert_eq!((held(&project).len(), requests(&server, "answer")), (all.len(), 0));
    // Enough for a few at a time.
    project.set("budget.tokens", 20_000);
    project.drain();
    assert_eq!((questions(&project), requests(&server, "answer")), (set(&all), all.len()));
    assert!(held(&project).is_empty());
}
