//! A model that fails in every way.

use std::collections::BTreeSet;

use synthllm_testkit::corpus::corpus;
use synthllm_testkit::project::Project;
use synthllm_testkit::scripted::{Fault, Options, RetryAfter, Rule, ScriptedServer};

use crate::{Samples, project, server, sound_samples};

/// A server at which each fault strikes the first request of its kind that contains a text.
fn server_with(rules: Vec<Rule>) -> ScriptedServer {
    ScriptedServer::start(Options { rules, ..Options::default() })
}

fn samples_with(server: &ScriptedServer) -> (Project, Samples) {
    let mut project = project(server);
    project.set("llm.timeout", "\"2s\"").set("sampling.levels", "[1, 2]").set("llm.attempts", 20);
    project.ingest(&corpus(4));
    project.drain();
    let samples = sound_samples(&project);
    (project, samples)
}

#[test]
fn faults_of_the_endpoint_change_no_sample() {
    let faults = [
        Fault::TooManyRequests(None),
        Fault::TooManyRequests(Some(RetryAfter::Seconds(1))),
        Fault::TooManyRequests(Some(RetryAfter::Date(1))),
        Fault::Status(500, "scripted".into()),
        Fault::Stall,
        Fault::StallInBody,
        Fault::Cut,
        Fault::WrongJson,
        Fault::Huge,
        Fault::Fenced,
        Fault::Reasoning,
    ];
    let (_, undisturbed) = samples_with(&server());
    let server = server_with(faults.into_iter().map(|fault| Rule::first(1, fault)).collect());
    let (project, samples) = samples_with(&server);
    assert_eq!(project.logs().dead_letters().len(), 0);
    assert_eq!(texts(&samples), texts(&undisturbed));
}

/// Questions with their answers: what a fault may change is the usage.
fn texts(samples: &Samples) -> BTreeSet<(&str, Option<&str>)> {
    samples.values().map(|sample| (sample.question.as_str(), sample.answer.as_deref())).collect()
}

#[test]
fn with_a_fault_in_every_fifth_request_the_invariants_hold() {
    let server =
        ScriptedServer::start(Options { fault_rate: 0.2, fault_seed: 7, duplicate_rate: 0.2, ..Options::default() });
    let mut project = project(&server);
    project.set("llm.timeout", "\"2s\"");
    project.ingest(&corpus(9));
    project.drain();
    assert!(!sound_samples(&project).is_empty());
    let struck = server.seen().iter().filter(|seen| seen.fault.is_some()).count();
    assert!(struck > 5, "only {struck} requests met a fault");
}

#[test]
fn a_truncated_answer_is_never_a_sample() {
    let server = server_with(vec![Rule::always("Task: answer the question", Fault::Truncated)]);
    let (project, samples) = samples_with(&server);
    assert!(samples.is_empty());
    let letters = project.logs().dead_letters();
    assert!(!letters.is_empty());
    assert!(letters.iter().all(|letter| letter.stage == "answer" && letter.answer.is_some()), "{letters:?}");
}

#[test]
fn a_model_that_never_keeps_the_schema_costs_dead_letters_and_nothing_else() {
    let server = server_with(vec![Rule::always("\"extraction\"", Fault::SchemaViolation)]);
    let (project, samples) = samples_with(&server);
    let plain = 1;
    assert_eq!(project.logs().dead_letters().len(), plain);
    assert_eq!(project.logs().extractions().len(), 4 - plain);
    assert!(!samples.is_empty());
}
