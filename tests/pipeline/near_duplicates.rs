//! Of questions that say nearly the same only one has a sample.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use synthllm_operators::near::similarity;
use synthllm_operators::record::Role;
use synthllm_operators::shingle::shingles;
use synthllm_testkit::corpus::{corpus, id};
use synthllm_testkit::project::Project;
use synthllm_testkit::scripted::{Fault, Options, Rule, ScriptedServer};

use crate::{Samples, project, requests, sound_samples};

const THRESHOLD: f64 = 0.8;

/// A long question; two of them differ in one word at the end, or in many.
fn question(kind: usize, ending: usize) -> String {
    let words: Vec<String> = (0..40).map(|word| format!("word{kind}x{word}")).collect();
    format!("Given {} what is the value of ending{ending}?", words.join(" "))
}

/// A server that says of the document of this number that its one question is this.
fn says(document: u64, question: &str) -> Rule {
    let answer = json!({"suitable": true, "questions": [{"question": question, "origin": "new", "level": "college"}]});
    // The answer's prompt has the question, but no document.
    Rule::always(&marker(document), Fault::Says(answer.to_string()))
}

/// What only the prompt on this document contains.
fn marker(document: u64) -> String {
    format!("marker {document} of the tests")
}

fn document(number: u64) -> Value {
    let mut document = corpus(1).remove(0);
    document["id"] = json!(id(number));
    document["text"] = json!(format!("This document is {}. It is about esters and their boiling points.", marker(number)));
    document
}

/// Level 1 only; the model's question on document `n` is the `n`-th of `questions`.
fn drained(questions: &[String], workers: &str) -> (ScriptedServer, Project) {
    let rules = questions.iter().zip(0..).map(|(question, number)| says(number, question)).collect();
    let server = ScriptedServer::start(Options { rules, ..Options::default() });
    let mut project = project(&server);
    project.set("sampling.levels", "[1]").set("filters.near_duplicates", THRESHOLD);
    project.ingest(&(0..questions.len() as u64).map(document).collect::<Vec<_>>());
    project.succeed(&["run", "--drain", "--workers", workers]);
    (server, project)
}

fn near(one: &str, other: &str) -> bool {
    similarity(&shingles(one, 5), &shingles(other, 5), THRESHOLD).is_some()
}

fn texts(samples: &Samples) -> BTreeSet<String> {
    samples.values().map(|sample| sample.question.clone()).collect()
}

/// Three groups of similar questions and two equal ones in one of them.
fn grouped() -> Vec<String> {
    let mut questions: Vec<String> = (0..12).map(|number| question(number % 3, number / 3)).collect();
    questions.push(question(1, 0));
    questions
}

#[test]
fn one_of_each_group_is_answered_on_any_number_of_workers_and_the_others_are_counted() {
    let questions = grouped();
    for workers in ["1", "3"] {
        let (server, project) = drained(&questions, workers);
        let samples = sound_samples(&project);
        assert_eq!(samples.len(), 3, "{workers} workers: {:?}", texts(&samples));
        assert_eq!(requests(&server, "answer"), 3, "what is dropped is not answered");
        for one in texts(&samples) {
            assert!(texts(&samples).iter().all(|other| one == *other || !near(&one, other)));
        }
        let count = |name: &str| project.logs().counted(Role::Generate, name);
        assert_eq!(count("near_duplicates") + count("duplicates"), 10);
        assert!(count("near_duplicates") >= 9);
    }
}

#[test]
fn samples_of_earlier_runs_hold_back_what_is_similar_until_they_are_withdrawn() {
    let (server, project) = drained(&[question(0, 0)], "1");
    server.add_rule(says(1, &question(0, 1)));
    server.add_rule(says(2, &question(0, 2)));
    project.ingest(&[document(1)]);
    project.drain();
    assert_eq!(texts(&sound_samples(&project)), BTreeSet::from([question(0, 0)]));
    assert_eq!(project.logs().counted(Role::Generate, "near_duplicates"), 1);
    project.delete(&[&id(0)]);
    project.drain();
    project.ingest(&[document(2)]);
    project.drain();
    assert_eq!(texts(&sound_samples(&project)), BTreeSet::from([question(0, 2)]));
}

#[test]
fn the_next_similar_question_takes_over_from_one_that_can_not_be_answered() {
    let mut rules: Vec<Rule> = (0..6).map(|number| says(number, &question(0, number as usize))).collect();
    // Only prompts for answers have a question in them.
    rules.push(Rule { containing: "word0x0".into(), times: 2, fault: Fault::Says(String::new()) });
    let server = ScriptedServer::start(Options { rules, ..Options::default() });
    let mut project = project(&server);
    project.set("sampling.levels", "[1]").set("filters.near_duplicates", THRESHOLD).set("llm.repairs", 0);
    project.ingest(&(0..6).map(document).collect::<Vec<_>>());
    project.drain();
    assert_eq!((sound_samples(&project).len(), requests(&server, "answer")), (1, 3));
    assert_eq!(project.logs().dead_letters().len(), 2);
    assert_eq!(project.logs().counted(Role::Generate, "near_duplicates"), 3);
}

#[test]
fn a_stricter_threshold_holds_back_samples_that_stand_and_a_looser_one_gives_them_back() {
    let questions = grouped();
    let rules = questions.iter().zip(0..).map(|(question, number)| says(number, question)).collect();
    let server = ScriptedServer::start(Options { rules, ..Options::default() });
    let mut project = project(&server);
    project.set("sampling.levels", "[1]");
    project.ingest(&(0..questions.len() as u64).map(document).collect::<Vec<_>>());
    project.drain();
    let (all, asked) = (sound_samples(&project), server.seen().len());
    assert_eq!(all.len(), 12, "one of two equal ones is dropped for good");

    let mut kept = BTreeSet::new();
    for workers in ["3", "1"] {
        project.set("filters.near_duplicates", THRESHOLD);
        project.succeed(&["run", "--drain", "--workers", workers]);
        let samples = sound_samples(&project);
        assert_eq!(samples.len(), 3, "one of each group stays: {:?}", texts(&samples));
        assert!(samples.iter().all(|(id, sample)| all[id] == *sample));
        let held = project.logs().held();
        assert_eq!(held.len(), 9);
        assert!(held.values().all(|held| held.reason == "near-duplicate" && held.sample.answer.is_some()));
        kept.insert(texts(&samples));

        project.set("filters.near_duplicates", 0.0);
        project.succeed(&["run", "--drain", "--workers", workers]);
        assert_eq!(sound_samples(&project), all);
    }
    assert_eq!(kept.len(), 1, "which stay depends on the samples alone");
    assert_eq!(server.seen().len(), asked, "nothing is asked again");
}
