//! What `report` says of the samples, against a recount of what `export` and `status` say.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use synthllm_operators::id::Kind;
use synthllm_operators::normal::concept_name;
use synthllm_operators::record::{Role, Sample};
use synthllm_testkit::corpus::{corpus, document};
use synthllm_testkit::counts::nodes;
use synthllm_testkit::project::{Project, stderr, wait_until};
use synthllm_testkit::scripted::{Fault, Options, Rule, ScriptedServer};

use crate::{project, server};

/// The report as JSON, and the page of the same samples.
fn report(project: &Project) -> (Value, String) {
    let json = project.succeed(&["report", "-o", "report.html", "--json", "-"]);
    let page = std::fs::read_to_string(project.file("report.html")).expect("the page is written");
    (serde_json::from_str(&json).expect("the report is JSON"), page)
}

/// The exported samples.
fn exported(project: &Project) -> Vec<Sample> {
    project.export().into_iter().map(|line| serde_json::from_value(line).expect("a line is a sample")).collect()
}

/// The page as XML, which it must be, with nothing that is fetched or run.
fn assert_stands_alone(page: &str) {
    let options = roxmltree::ParsingOptions { allow_dtd: true, ..roxmltree::ParsingOptions::default() };
    let parsed = roxmltree::Document::parse_with_options(page, options).expect("the page is well-formed");
    for node in parsed.descendants().filter(roxmltree::Node::is_element) {
        assert_ne!(node.tag_name().name(), "script");
        assert!(node.attributes().all(|attribute| !["src", "href"].contains(&attribute.name())), "{node:?}");
    }
    assert!(!page.replace("xmlns=\"http://www.w3.org/2000/svg\"", "").contains("://"));
}

/// A project in which everything happened: duplicates, unsuitable documents, dropped questions, withdrawn samples.
fn eventful(server: &ScriptedServer) -> Project {
    let mut project = project(server);
    project.set("llm.price", "{ prompt = 0.5, completion = 1.5 }").set("filters.most_words", 11);
    project.ingest(&corpus(14));
    project.drain();
    project.delete(&["document-1", "document-5"]);
    project.drain();
    project
}

#[test]
fn a_report_is_a_recount_of_the_samples_that_stand() {
    let server = ScriptedServer::start(Options { duplicate_rate: 0.4, unsuitable_rate: 0.3, ..Options::default() });
    let project = eventful(&server);
    let (samples, (report, page)) = (exported(&project), report(&project));
    assert_stands_alone(&page);
    assert_eq!(report["totals"]["samples"], samples.len());
    for (place, level) in [1_u8, 2, 3].into_iter().enumerate() {
        let found = &report["levels"][place];
        let of_level: Vec<&Sample> = samples.iter().filter(|sample| sample.level == level).collect();
        assert_eq!(found["samples"], of_level.len(), "level {level}");
        let mut lengths: Vec<usize> = of_level.iter().map(|sample| sample.question.chars().count()).collect();
        lengths.sort_unstable();
        let median = lengths.get(lengths.len().div_ceil(2).saturating_sub(1));
        assert_eq!(found["question"]["characters"]["median"].as_u64(), median.map(|median| *median as u64));
        let prompts: u64 = of_level.iter().map(|sample| sample.usage.prompt_tokens).sum();
        let expected = (!of_level.is_empty()).then(|| prompts as f64 / of_level.len() as f64);
        assert_eq!(found["prompt_tokens_per_sample"].as_f64(), expected);
        assert_coverage(found, &of_level, &project);
    }
    let cited: BTreeSet<&str> =
        samples.iter().flat_map(|sample| &sample.provenance.documents).map(|it| it.id.as_str()).collect();
    assert_eq!(report["totals"]["cited"], cited.len());
    assert_eq!(report["totals"]["documents"], 12);
}

/// The share of the live documents' nodes that these samples name.
fn assert_coverage(found: &Value, samples: &[&Sample], project: &Project) {
    let live: BTreeSet<(Kind, String)> = project.logs().extractions().values().flat_map(nodes).collect();
    let names = |names: &[String]| -> Vec<String> { names.iter().map(|name| concept_name(name)).collect() };
    let topics: BTreeSet<(Kind, String)> =
        samples.iter().flat_map(|it| names(&it.topics)).map(|name| (Kind::Topic, name)).collect();
    let concepts: BTreeSet<(Kind, String)> =
        samples.iter().flat_map(|it| names(&it.concepts)).map(|name| (Kind::KeyConcept, name)).collect();
    for (key, kind, named) in [("topics", Kind::Topic, topics), ("key_concepts", Kind::KeyConcept, concepts)] {
        let nodes: BTreeSet<_> = live.iter().filter(|(of, _)| *of == kind).cloned().collect();
        assert_eq!(found[key]["nodes"], nodes.len());
        assert_eq!(found[key]["named"], nodes.intersection(&named).count(), "{key}");
    }
}

#[test]
fn what_was_dropped_and_paid_is_what_status_says() {
    let server = ScriptedServer::start(Options { duplicate_rate: 0.4, unsuitable_rate: 0.3, ..Options::default() });
    let project = eventful(&server);
    let (status, (report, _)) = (project.status(), report(&project));
    let counted = |name: &str| project.logs().counted(Role::Generate, name);
    let steps: BTreeMap<&str, &Value> = report["funnel"]["questions"]
        .as_array()
        .expect("steps are a list")
        .iter()
        .map(|step| (step["name"].as_str().expect("a step has a name"), step))
        .collect();
    let by_level = |name: &str| -> u64 { (1..=3).map(|level| counted(&format!("{name}_level{level}"))).sum() };
    let (written, duplicates) = (by_level("questions"), by_level("duplicates"));
    assert_eq!(duplicates, counted("duplicates"), "a duplicate is of one level");
    assert!(duplicates > 0 && counted("unsuitable") > 0 && counted("withdrawn") > 0 && counted("rejected_length") > 0);
    // No call has failed and no document went while it was asked about, so each question has one of these outcomes.
    assert_eq!(written, counted("samples") + duplicates + counted("rejected_length"));
    assert_eq!(steps["written by the model"]["left"], written);
    assert_eq!(steps["after duplicates"]["dropped"], duplicates);
    assert_eq!(steps["after the filter length"]["dropped"], counted("rejected_length"));
    assert_eq!(steps["after withdrawals"]["dropped"], counted("withdrawn"));
    assert_eq!(steps["after withdrawals"]["left"], report["totals"]["samples"]);
    assert_eq!(report["totals"]["samples"], status["totals"]["samples"]);
    assert_eq!(report["counted"]["calls"], status["totals"]["calls"]);
    let samples = status["totals"]["samples"].as_f64().expect("a number");
    let cost = status["totals"]["cost"].as_f64().expect("a number");
    assert!(cost > 0.0);
    assert_eq!(report["costs"]["cost_per_sample"].as_f64(), Some(cost / samples));
}

#[test]
fn the_same_samples_make_the_same_bytes() {
    let server = server();
    let project = project(&server);
    project.ingest(&corpus(9));
    project.drain();
    let (first, second) = (report(&project), report(&project));
    assert_eq!(first, second);
    assert!(first.1.contains("not of MiniLM embeddings"));
    let written = std::fs::read_to_string(project.file("report.html")).expect("it is there");
    assert_eq!(project.succeed(&["report", "-o", "-"]), written);
}

#[test]
fn an_empty_log_has_a_report_that_says_so() {
    let server = server();
    let project = project(&server);
    let missing = project.execute(&["report", "-o", "report.html"]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("hint: "));
    project.succeed(&["topics", "create"]);
    let (report, page) = report(&project);
    assert_stands_alone(&page);
    assert!(page.contains("There are no samples yet"));
    assert!(report["costs"]["cost_per_sample"].is_null() && report["funnel"]["accepted"].is_null());
}

#[test]
fn a_report_may_be_asked_for_while_a_run_goes_on() {
    let server = server();
    let project = project(&server);
    project.ingest(&corpus(4));
    let mut run = project.start(&["run"]);
    wait_until("samples", || !project.logs().samples().is_empty());
    let (first, page) = report(&project);
    assert_stands_alone(&page);
    project.ingest(&(10..14).map(|number| document(number, 0)).collect::<Vec<_>>());
    wait_until("a sample of a document that came later", || {
        project.logs().samples().values().any(|sample| crate::stands_on(sample, "document-12"))
    });
    let samples = |report: &Value| report["totals"]["samples"].as_u64().expect("a number");
    assert!(samples(&report(&project).0) > samples(&first));
    run.signal("TERM");
    assert_eq!(run.wait(), Some(0), "{}", project.errors());
}

#[test]
fn standard_output_takes_one_of_page_and_json() {
    let server = server();
    let project = project(&server);
    for wrong in [&["report"][..], &["report", "-o", "-", "--json", "-"]] {
        assert_eq!(project.execute(wrong).status.code(), Some(2), "{wrong:?}");
    }
}

#[test]
fn questions_are_compared_by_embeddings_that_are_asked_for_once() {
    let server = server();
    let mut project = project(&server);
    project.set("llm.embed.model", "\"small\"");
    project.ingest(&corpus(6));
    project.drain();
    let before = server.seen().len();
    let json = project.succeed(&["report", "--json", "-", "--embed", "embeddings"]);
    let report: Value = serde_json::from_str(&json).expect("the report is JSON");
    assert_eq!(report["cosines"]["vectors"]["model"], "small", "{}", report["cosines"]);
    let mean = report["cosines"]["levels"][0]["mean"].as_f64().expect("level 1 has several questions a document");
    assert!(mean > -1.0 && mean < 1.0, "{mean}");
    let asked = server.seen().len();
    assert!(asked > before);
    assert_eq!(project.succeed(&["report", "--json", "-", "--embed", "embeddings"]), json);
    assert_eq!(server.seen().len(), asked, "what the folder has is not asked for again");
}

#[test]
fn an_endpoint_without_embeddings_is_said_to_have_none() {
    let server = ScriptedServer::start(Options {
        rules: vec![Rule::always("\"input\"", Fault::Status(404, "no such thing".into()))],
        ..Options::default()
    });
    let mut project = project(&server);
    project.set("llm.embed.model", "\"small\"");
    project.ingest(&corpus(3));
    project.drain();
    let refused = project.execute(&["report", "-o", "page.html", "--embed", "embeddings"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains("no such thing"), "{}", stderr(&refused));
    assert!(!project.file("page.html").exists());
}
