//! More questions on a combination than one call brings.

use std::collections::BTreeMap;

use serde_json::json;
use synthllm_operators::record::{Role, Sample};
use synthllm_testkit::corpus::corpus;
use synthllm_testkit::project::{Project, stderr};
use synthllm_testkit::scripted::{Fault, Options, Rule, ScriptedServer};

use crate::{Samples, project, requests, server, sound_samples};

/// What every call after the first says.
const ASKS_FOR_MORE: &str = "These questions were written already";

/// A drained project of `documents` documents, levels 1 and 2, with so many calls.
fn drained(server: &ScriptedServer, documents: u64, calls: [u32; 2]) -> Project {
    let mut project = project(server);
    project.set("sampling.levels", "[1, 2]");
    project.set("generate.calls", format!("{{ level1 = {}, level2 = {} }}", calls[0], calls[1]));
    project.ingest(&corpus(documents));
    project.drain();
    project
}

/// The samples of each combination.
fn by_combination(samples: &Samples) -> BTreeMap<&str, Vec<&Sample>> {
    let mut combinations = BTreeMap::<&str, Vec<&Sample>>::new();
    for sample in samples.values() {
        combinations.entry(&sample.provenance.combination).or_default().push(sample);
    }
    combinations
}

/// A server that answers calls for more with this fault.
fn server_that_says(fault: Fault) -> ScriptedServer {
    ScriptedServer::start(Options { rules: vec![Rule::always(ASKS_FOR_MORE, fault)], ..Options::default() })
}

#[test]
fn every_call_brings_questions_that_were_not_asked_before() {
    let (once, often) = (server(), server());
    let plain = sound_samples(&drained(&once, 4, [1, 1]));
    let project = drained(&often, 4, [4, 3]);
    let samples = sound_samples(&project);
    for (combination, before) in by_combination(&plain) {
        let now = &by_combination(&samples)[combination];
        let calls = if before[0].level == 1 { 4 } else { 3 };
        assert_eq!(now.len(), calls * before.len(), "level {}", before[0].level);
        for sample in &before {
            let same = &samples[&sample.id];
            assert_eq!((&same.question, &same.answer), (&sample.question, &sample.answer));
        }
        let of_later_calls = now.iter().filter(|sample| sample.provenance.prompts.contains_key("more")).count();
        assert_eq!(of_later_calls, (calls - 1) * before.len());
    }
    assert_eq!(requests(&often, "level1"), 4 * requests(&once, "level1"));
    assert_eq!(requests(&often, "combined"), 3 * requests(&once, "combined"));
    let calls: u64 = samples.values().map(|sample| u64::from(sample.usage.calls)).sum();
    assert_eq!(calls, (requests(&often, "level1") + requests(&often, "combined") + requests(&often, "answer")) as u64);
}

#[test]
fn a_call_that_brings_nothing_new_is_the_last() {
    let repeated =
        json!({"suitable": true, "questions": [{"question": "What is it worth?", "origin": "new", "level": "college"}]});
    let server = server_that_says(Fault::Says(repeated.to_string()));
    let project = drained(&server, 3, [9, 1]);
    let samples = sound_samples(&project);
    assert_eq!(requests(&server, "level1"), 3 * 3, "the second call brought something new, the third did not");
    let standing = samples.values().filter(|sample| sample.question == "What is it worth?").count();
    assert_eq!(standing, 1, "it is one question, however often it came");
    assert_eq!(project.logs().counted(Role::Generate, "duplicates"), 5);
}

#[test]
fn a_call_that_fails_costs_none_of_the_questions_before_it() {
    let (well, ill) = (server(), server_that_says(Fault::SchemaViolation));
    let plain = sound_samples(&drained(&well, 3, [1, 1]));
    let project = drained(&ill, 3, [5, 1]);
    let questions = |samples: &Samples| -> Vec<String> { samples.values().map(|sample| sample.question.clone()).collect() };
    assert_eq!(questions(&sound_samples(&project)), questions(&plain));
    assert_eq!(project.logs().dead_letters().len(), requests(&well, "level1"));
    let seen = ill.seen().len();
    project.drain();
    assert_eq!(ill.seen().len(), seen, "nothing is asked again");
}

/// The questions of the first call on one document, and the project after `run` with these rules and settings.
fn baseline(rules: Vec<Rule>, calls: usize, how: Option<&str>) -> (Vec<String>, Samples) {
    let server = ScriptedServer::start(Options { rules, ..Options::default() });
    let mut project = project(&server);
    project.set("sampling.levels", "[1]").set("generate.calls", format!("{{ level1 = {calls} }}"));
    how.iter().for_each(|how| _ = project.set("generate.more", format!("{how:?}")));
    project.ingest(&corpus(1));
    project.drain();
    let samples = sound_samples(&project);
    let first = samples.values().filter(|it| how.is_none_or(|how| !it.provenance.prompts.contains_key(how)));
    (first.map(|sample| sample.question.clone()).collect(), samples)
}

#[test]
fn a_baseline_starts_from_each_question_of_the_first_call_in_turn() {
    let (seeds, _) = baseline(Vec::new(), 1, None);
    assert!(seeds.len() > 1);
    let of = |seed: &str| format!("After this one: {seed}");
    for how in ["rephrase", "persona"] {
        let says = |seed: &String| {
            let question = json!({"question": of(seed), "origin": "new", "level": "college"});
            let answer = json!({"suitable": true, "questions": [question]});
            Rule::always(&format!("written:\\n{seed}\\n"), Fault::Says(answer.to_string()))
        };
        let (first, samples) = baseline(seeds.iter().map(says).collect(), 1 + seeds.len(), Some(how));
        assert_eq!(first, seeds, "{how}");
        let mut later: Vec<&str> = samples.values().map(|sample| sample.question.as_str()).collect();
        later.retain(|question| !seeds.iter().any(|seed| seed == question));
        later.sort_unstable();
        let mut expected: Vec<String> = seeds.iter().map(|seed| of(seed)).collect();
        expected.sort_unstable();
        assert_eq!(later, expected, "{how}");
    }
}

#[test]
fn a_baseline_without_later_calls_is_refused() {
    let server = server();
    let mut project = project(&server);
    project.set("generate.more", "\"persona\"");
    let refused = project.execute(&["check"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(stderr(&refused).contains("generate.more"), "{}", stderr(&refused));
}
