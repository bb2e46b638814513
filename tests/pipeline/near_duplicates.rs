//! Of questions that say nearly the same only one has a sample.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use synthllm_log::LogName;
use synthllm_operators::near::similarity;
use synthllm_operators::record::Role;
use synthllm_operators::shingle::shingles;
use synthllm_testkit::corpus::{corpus, id};
use synthllm_testkit::project::{Project, wait_until, write_lines};
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

/// How often the model was asked for questions, and for answers.
fn asked(server: &ScriptedServer) -> (usize, usize) {
    (requests(server, "level1"), requests(server, "answer"))
}

/// The document that the one sample of a group stands on.
fn holder(project: &Project, kind: usize) -> String {
    let samples = sound_samples(project);
    let of_group = samples.values().filter(|sample| near(&sample.question, &question(kind, 0)));
    let ids: Vec<&str> = of_group.map(|sample| sample.provenance.documents[0].id.as_str()).collect();
    assert_eq!(ids.len(), 1, "one of group {kind} has a sample: {ids:?}");
    ids[0].to_owned()
}

#[test]
fn samples_of_earlier_runs_hold_back_what_is_similar_until_they_are_withdrawn() {
    let (server, project) = drained(&[question(0, 0)], "1");
    server.add_rule(says(1, &question(0, 1)));
    project.ingest(&[document(1)]);
    project.drain();
    assert_eq!(texts(&sound_samples(&project)), BTreeSet::from([question(0, 0)]));
    assert_eq!((project.logs().counted(Role::Generate, "near_duplicates"), asked(&server)), (1, (2, 1)));
    project.delete(&[&id(0)]);
    project.drain();
    assert_eq!(texts(&sound_samples(&project)), BTreeSet::from([question(0, 1)]));
    assert_eq!((project.logs().held().len(), asked(&server)), (0, (2, 2)), "its question is not asked for again");
}

#[test]
fn of_many_similar_questions_the_next_takes_over_whenever_a_sample_goes_and_all_come_in_the_end() {
    for workers in ["1", "3"] {
        let questions: Vec<String> = (0..10).map(|number| question(number % 2, number / 2)).collect();
        let (server, project) = drained(&questions, workers);
        for gone in 1..5 {
            project.delete(&[&holder(&project, 0), &holder(&project, 1)]);
            project.succeed(&["run", "--drain", "--workers", workers]);
            assert_eq!(sound_samples(&project).len(), 2, "{workers} workers, {gone} of five are gone");
            assert_eq!(project.logs().held().len(), 2 * (4 - gone));
        }
        project.delete(&[&holder(&project, 0), &holder(&project, 1)]);
        project.succeed(&["run", "--drain", "--workers", workers]);
        assert_eq!((sound_samples(&project).len(), project.logs().held().len()), (0, 0));
        assert_eq!(asked(&server), (10, 10), "each question is asked for once, and answered once in its turn");
    }
}

#[test]
fn what_a_withdrawn_sample_held_back_comes_also_when_the_run_is_killed() {
    for (point, workers) in
        [("snapshot taken:1", "2"), ("commit confirmed:1", "1"), ("commit confirmed:2", "3"), ("before commit:2", "2")]
    {
        let questions: Vec<String> = (0..6).map(|number| question(number % 2, number / 2)).collect();
        let (server, project) = drained(&questions, workers);
        let before = sound_samples(&project);
        project.delete(&[&holder(&project, 0), &holder(&project, 1)]);
        let mut command = project.command();
        command.args(["run", "--drain", "--workers", workers]).env("SYNTHLLM_FAULT", point);
        assert!(!command.output().expect("it starts").status.success(), "{point} is not reached");
        project.succeed(&["run", "--drain", "--workers", workers]);
        let after = sound_samples(&project);
        assert_eq!((after.len(), project.logs().held().len()), (2, 2), "{point}");
        assert!(after.keys().all(|id| !before.contains_key(id)));
        assert_eq!(asked(&server).0, 6, "{point}: no question is asked for again");
    }
}

#[test]
fn an_answer_to_what_a_withdrawn_sample_held_back_is_not_asked_for_again_after_a_kill() {
    for workers in ["1", "2"] {
        let questions: Vec<String> = (0..4).map(|number| question(number % 2, number / 2)).collect();
        let (server, project) = drained(&questions, workers);
        let held: Vec<String> = project.logs().held().into_values().map(|held| held.sample.question).collect();
        let [stalled, answered] = &held[..] else { panic!("one of each group is held: {held:?}") };
        project.delete(&[&holder(&project, 0), &holder(&project, 1)]);
        // Other combinations wait behind them, in all partitions.
        let others: Vec<u64> = (10..22).collect();
        let says_others = || others.iter().for_each(|number| server.add_rule(says(*number, &question(*number as usize, 0))));
        says_others();
        project.ingest(&others.iter().map(|number| document(*number)).collect::<Vec<_>>());
        server.add_rule(Rule { containing: stalled.clone(), times: u32::MAX, fault: Fault::Stall });
        let mut run = project.start(&["run", "--drain", "--workers", workers]);
        let about = || {
            let counts = server.counts().into_values();
            counts.filter(|count| count.task == "answer" && count.body.contains(answered)).collect::<Vec<_>>()
        };
        wait_until("one is answered", || about().iter().any(|count| count.answered == 1));
        wait_until("it is in the journal", || project.logs().journal().iter().any(|(key, _)| key.task == "answer"));
        wait_until("the others wait", || project.logs().ends(LogName::Combinations).iter().sum::<u64>() >= 16);
        assert!(run.kill(), "{}", project.errors());
        server.forget_rules();
        says_others();
        project.succeed(&["run", "--drain", "--workers", workers]);
        let expected: BTreeSet<String> =
            held.iter().cloned().chain(others.iter().map(|number| question(*number as usize, 0))).collect();
        assert_eq!(texts(&sound_samples(&project)), expected);
        assert_eq!(about().iter().map(|count| count.requests).collect::<Vec<_>>(), [1], "{workers} workers");
    }
}

#[test]
fn a_drain_ends_only_when_the_last_one_has_taken_over_from_those_that_the_judge_calls_wrong() {
    for workers in ["1", "3"] {
        let questions: Vec<String> = (0..5).map(|number| question(0, number)).collect();
        let rules = questions.iter().zip(0..).map(|(question, number)| says(number, question)).collect();
        let server = ScriptedServer::start(Options { rules, ..Options::default() });
        let mut project = project(&server);
        project.set("sampling.levels", "[1]").set("filters.near_duplicates", THRESHOLD).set("generate.judge", true);
        project.ingest(&(0..5).map(document).collect::<Vec<_>>());
        project.succeed(&["run", "--drain", "--workers", workers]);
        let held = project.logs().held();
        assert_eq!((sound_samples(&project).len(), held.len()), (1, 4));
        // When the first goes, one after the other is answered and called wrong, but for one that has no one behind it.
        held.values().rev().skip(1).for_each(|held| server.add_rule(calls_wrong(&held.sample.question)));
        project.delete(&[&holder(&project, 0)]);
        project.succeed(&["run", "--drain", "--workers", workers]);
        let good = held.values().next_back().expect("four are held").sample.question.clone();
        assert_eq!(texts(&sound_samples(&project)), BTreeSet::from([good]), "{workers} workers");
        let reasons = project.logs().held().into_values().map(|held| held.reason);
        assert!(reasons.into_iter().all(|reason| ["judge", "near-duplicate"].contains(&reason.as_str())));
        assert_eq!(project.logs().held().len(), 3);
    }
}

/// The judge calls the answers to this question wrong.
fn calls_wrong(question: &str) -> Rule {
    let wrong = json!({"reason": "It is off by one.", "correct": false}).to_string();
    Rule::always(&format!("{question}\\n\\nProposed answer:"), Fault::Says(wrong))
}

#[test]
fn one_whose_answer_is_called_wrong_gives_its_place_to_the_next_in_the_same_drain() {
    for workers in ["1", "2", "3"] {
        let questions: Vec<String> = (0..4).map(|number| question(number % 2, number / 2)).collect();
        let mut rules: Vec<Rule> = vec![calls_wrong(&questions[0]), calls_wrong(&questions[3])];
        rules.extend(questions.iter().zip(0..).map(|(question, number)| says(number, question)));
        let server = ScriptedServer::start(Options { rules, ..Options::default() });
        let mut project = project(&server);
        project.set("sampling.levels", "[1]").set("filters.near_duplicates", THRESHOLD).set("generate.judge", true);
        project.ingest(&(0..4).map(document).collect::<Vec<_>>());
        project.succeed(&["run", "--drain", "--workers", workers]);
        let expected = BTreeSet::from([questions[1].clone(), questions[2].clone()]);
        assert!(texts(&sound_samples(&project)) == expected, "{workers} workers: {:?}", texts(&sound_samples(&project)));
    }
}

#[test]
fn a_judge_that_is_turned_on_later_lets_what_stands_keep_its_place() {
    for workers in ["1", "2"] {
        let (server, mut project) = {
            let questions: Vec<String> = (0..6).map(|number| question(number % 2, number / 2)).collect();
            drained(&questions, workers)
        };
        let (before, answers) = (texts(&sound_samples(&project)), requests(&server, "answer"));
        project.set("generate.judge", true);
        project.succeed(&["run", "--drain", "--workers", workers]);
        assert_eq!(texts(&sound_samples(&project)), before, "{workers} workers");
        assert_eq!((requests(&server, "answer"), requests(&server, "judge")), (answers, before.len()));
    }
}

#[test]
fn a_run_that_goes_on_lets_the_next_one_in_while_others_come() {
    let questions: Vec<String> = (0..4).map(|number| question(0, number)).collect();
    let (server, project) = drained(&questions, "2");
    let gone = holder(&project, 0);
    let mut run = project.start(&["run", "--workers", "2"]);
    server.add_rule(says(7, &question(1, 0)));
    project.delete(&[&gone]);
    project.ingest(&[document(7)]);
    wait_until("both stand", || {
        let texts = texts(&project.logs().samples());
        texts.contains(&question(1, 0)) && texts.len() == 2 && project.logs().held().len() == 2
    });
    run.signal("TERM");
    assert_eq!(run.wait(), Some(0));
    assert_ne!(holder(&project, 0), gone);
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

#[test]
fn a_near_duplicate_of_a_sample_that_another_filter_drops_does_not_go_round_that_filter() {
    let (server, mut project) = drained(&[question(0, 0), question(0, 1)], "2");
    assert_eq!((sound_samples(&project).len(), project.logs().held().len()), (1, 1));
    let words: Vec<String> = (5..25).map(|word| format!("word0x{word}")).collect();
    write_lines(&project.file("known.jsonl"), [json!({"question": words.join(" ")}).to_string()]);
    project.set("filters.benchmarks", "[{ file = \"known.jsonl\" }]");
    for _ in 0..2 {
        project.drain();
        assert_eq!(texts(&sound_samples(&project)), BTreeSet::new());
        let reasons: Vec<String> = project.logs().held().into_values().map(|held| held.reason).collect();
        assert_eq!(reasons, ["benchmark", "benchmark"]);
    }
    project.set("filters.benchmarks", "[]");
    project.drain();
    assert_eq!((sound_samples(&project).len(), project.logs().held().len()), (1, 1));
    assert_eq!(asked(&server).0, 2, "no question is asked for again");
}
