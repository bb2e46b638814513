//! What comes out: samples of all levels, within limits, no question twice.

use std::collections::BTreeSet;

use serde_json::json;
use synthllm_operators::id::Kind;
use synthllm_operators::record::{Role, Sample};
use synthllm_testkit::corpus::{any_document, corpus, id};
use synthllm_testkit::project::Project;
use synthllm_testkit::scripted::{Fault, Options, Rule, ScriptedServer};

use crate::{Samples, of_level, project, requests, server, sound_samples};

#[test]
fn documents_become_samples_of_all_three_levels_with_their_provenance() {
    let server = server();
    let project = project(&server);
    project.ingest(&corpus(9));
    project.drain();
    let samples = sound_samples(&project);
    for level in 1..=3 {
        let of_level = of_level(&samples, level);
        assert!(!of_level.is_empty(), "there is no sample of level {level}");
        of_level.iter().for_each(|sample| assert_is_grounded(sample));
    }
    assert_eq!(requests(&server, "extraction"), 3, "documents that bring concepts are not asked about");
    let cited: BTreeSet<&str> =
        samples.values().flat_map(|sample| &sample.provenance.documents).map(|document| document.id.as_str()).collect();
    assert!(cited.contains(id(0).as_str()), "nothing stands on a document that brings its concepts");
    assert!(cited.contains(id(2).as_str()), "nothing stands on a document whose concepts the model found");
}

fn assert_is_grounded(sample: &Sample) {
    let provenance = &sample.provenance;
    assert_eq!(provenance.documents.len(), if sample.level == 3 { 2 } else { 1 });
    assert!(sample.answer.as_ref().is_some_and(|answer| !answer.is_empty()));
    assert!(provenance.documents.iter().all(|document| document.source.as_deref() == Some("tests")));
    assert!(provenance.models.values().all(|model| model == "scripted"));
    assert!(["question", "answer"].iter().all(|task| provenance.models.contains_key(*task)));
    assert!(sample.level == 1 || !sample.concepts.is_empty(), "levels 2 and 3 name the concepts they join");
    assert!(sample.level < 3 || provenance.walk.len() >= 3);
    assert!(sample.usage.calls > 0);
}

#[test]
fn exported_lines_are_the_live_samples() {
    let server = server();
    let project = project(&server);
    project.ingest(&corpus(6));
    project.drain();
    let exported: Vec<Sample> =
        project.export().into_iter().map(|line| serde_json::from_value(line).expect("a line is a sample")).collect();
    let live: Vec<Sample> = sound_samples(&project).into_values().collect();
    assert_eq!(exported, live);
}

#[test]
fn a_second_run_asks_for_nothing_again() {
    let server = server();
    let project = project(&server);
    project.ingest(&corpus(8));
    project.drain();
    let (samples, seen) = (sound_samples(&project), server.seen().len());
    project.drain();
    assert_eq!(sound_samples(&project), samples);
    assert_eq!(server.seen().len(), seen);
}

#[test]
fn limits_are_kept_exactly_over_restarts() {
    let server = server();
    let mut project = project(&server);
    project.set("sampling.limit", "{ level1 = 2, level2 = 3, level3 = 4 }");
    project.ingest(&corpus(9));
    project.drain();
    assert_issued(&project, [2, 3, 4]);
    project.ingest(&[any_document(20, 0), any_document(21, 0), any_document(22, 0)]);
    project.drain();
    assert_issued(&project, [2, 3, 4]);
    project.set("sampling.limit", "{ level1 = 2, level2 = 3, level3 = 6 }").set("sampling.epochs", 3);
    project.drain();
    assert_issued(&project, [2, 3, 6]);
}

fn assert_issued(project: &Project, limits: [u64; 3]) {
    let samples = sound_samples(project);
    for (level, limit) in (1..).zip(limits) {
        let counted = project.logs().counted(Role::Graph, &format!("combinations_level{level}"));
        assert_eq!(counted, limit, "the count of level {level}");
        assert_eq!(combinations(&samples, level), limit as usize, "combinations of level {level}");
    }
}

fn combinations(samples: &Samples, level: u8) -> usize {
    let ids: BTreeSet<&str> =
        of_level(samples, level).into_iter().map(|sample| sample.provenance.combination.as_str()).collect();
    ids.len()
}

#[test]
fn without_candidates_samples_are_questions_only() {
    let server = server();
    let mut project = project(&server);
    project.set("generate.answers", 0);
    project.ingest(&corpus(5));
    project.drain();
    let samples = sound_samples(&project);
    assert!(!samples.is_empty());
    assert!(samples.values().all(|sample| sample.answer.is_none()));
    assert_eq!(requests(&server, "answer"), 0);
}

#[test]
fn two_candidates_are_asked_for_and_their_agreement_is_a_score() {
    let server = server();
    let mut project = project(&server);
    project.set("generate.answers", 2);
    project.ingest(&corpus(5));
    project.drain();
    let samples = sound_samples(&project);
    assert!(!samples.is_empty());
    assert!(samples.values().all(|sample| sample.answer.is_some()));
    assert!(samples.values().all(|sample| (sample.scores["agreement"] - 1.0).abs() < f64::EPSILON));
    assert_eq!(requests(&server, "answer"), 2 * samples.len());
}

#[test]
fn of_three_candidates_the_two_that_come_to_the_same_win() {
    let answer = "Task: answer the question";
    let says = |seed: &str, words: &str| Rule::always(seed, Fault::Says(words.to_owned()));
    // Candidates beyond the first are told apart by their seeds; the last rule is for the first one.
    let second = says("\"seed\":1", "Half of them: \\(\\boxed{\\frac{1}{2}}\\)");
    let rules = vec![second, says("\"seed\":2", "The answer is 0.5"), says(answer, "It is 2.")];
    let server = ScriptedServer::start(Options { rules, ..Options::default() });
    let mut project = project(&server);
    project.set("generate.answers", 3).set("sampling.levels", "[2]");
    project.ingest(&corpus(2));
    project.drain();
    let samples = sound_samples(&project);
    assert!(!samples.is_empty());
    for sample in samples.values() {
        assert!(sample.answer.as_ref().is_some_and(|answer| answer.starts_with("Half of them")), "{:?}", sample.answer);
        assert!((sample.scores["agreement"] - 2.0 / 3.0).abs() < 1e-9);
    }
}

#[test]
fn walks_start_at_key_concepts_where_no_document_has_a_topic() {
    let server = server();
    let mut project = project(&server);
    project.set("sampling.start", "\"key-concept\"").set("sampling.levels", "[3]");
    let concepts = ["limit", "series", "integral", "matrix", "vector", "tensor"];
    let documents: Vec<_> = (0..5)
        .map(|number| json!({"id": id(number), "text": format!("Text {number}."), "concepts": concepts[number as usize % 2..]}))
        .collect();
    project.ingest(&documents);
    project.drain();
    let samples = sound_samples(&project);
    assert!(!samples.is_empty());
    let mut nodes = samples.values().flat_map(|sample| &sample.provenance.walk);
    assert!(nodes.all(|node| node.kind == Kind::KeyConcept));
}

#[test]
fn no_two_live_samples_share_a_question() {
    let server = ScriptedServer::start(Options { duplicate_rate: 0.6, ..Options::default() });
    let project = project(&server);
    project.ingest(&corpus(10));
    project.drain();
    let samples = sound_samples(&project);
    let shared = samples.values().filter(|sample| sample.question.contains("shared question")).count();
    assert!((1..=4).contains(&shared), "{shared} of the four shared questions have a holder");
    assert!(project.logs().counted(Role::Generate, "duplicates") > 0, "the server has asked nothing twice");
}
