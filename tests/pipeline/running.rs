//! How a run behaves: beside other commands, on a signal, and what the commands say of it.

use std::collections::BTreeSet;

use synthllm_log::LogName;
use synthllm_operators::codec;
use synthllm_operators::id::Kind;
use synthllm_operators::record::{Extraction, Progress, ProgressKey, Role, ShardProgress};
use synthllm_testkit::corpus::{corpus, document};
use synthllm_testkit::counts::{Node, nodes};
use synthllm_testkit::project::{API_KEY, stderr, wait_until};
use synthllm_testkit::scripted::{Options, ScriptedServer};

use crate::{project, server, sound_samples};

#[test]
fn samples_appear_while_documents_arrive_and_a_drain_completes_what_a_signal_has_stopped() {
    let server = server();
    let project = project(&server);
    project.ingest(&corpus(4));
    let mut run = project.start(&["run"]);
    wait_until("samples of the first documents", || !project.logs().samples().is_empty());
    let more: Vec<_> = (10..16).map(|number| document(number, 0)).collect();
    project.ingest(&more);
    wait_until("a sample of a document that came later", || {
        let samples = project.logs().samples();
        samples.values().any(|sample| crate::stands_on(sample, "document-12"))
    });
    run.signal("TERM");
    assert_eq!(run.wait(), Some(0), "{}", project.errors());
    project.drain();
    let samples = sound_samples(&project);
    assert_eq!(project.logs().extractions().len(), 10);
    assert!((1..=3).all(|level| !crate::of_level(&samples, level).is_empty()));
}

#[test]
fn a_run_on_several_workers_begins_whichever_of_them_is_ready_first() {
    for workers in ["2", "3", "2", "3"] {
        let server = server();
        let project = project(&server);
        let mut run = project.start(&["run", "--workers", workers]);
        project.ingest(&corpus(4));
        wait_until("samples", || !project.logs().samples().is_empty());
        run.signal("TERM");
        assert_eq!(run.wait(), Some(0), "{}", project.errors());
    }
}

#[test]
fn every_record_has_exactly_one_counted_outcome() {
    let server = ScriptedServer::start(Options { unsuitable_rate: 0.5, duplicate_rate: 0.3, ..Options::default() });
    let project = project(&server);
    project.ingest(&corpus(8));
    project.ingest(&corpus(4));
    project.append(b"bad", Some(b"bad"));
    project.delete(&["document-1", "nobody"]);
    project.drain();
    sound_samples(&project);
    let status = project.status();
    let shards = status["shards"].as_array().expect("shards are a list");
    assert_eq!(shards.len(), 9);
    for shard in shards {
        let outcomes = shard["outcomes"].as_object().expect("outcomes by name");
        let sum: u64 = outcomes.values().filter_map(serde_json::Value::as_u64).sum();
        assert_eq!(Some(sum), shard["position"].as_u64(), "{shard}");
        assert_eq!(shard["lag"], 0, "{shard}");
    }
    let records: u64 =
        shards.iter().filter(|shard| shard["role"] == "extract").filter_map(|shard| shard["position"].as_u64()).sum();
    assert_eq!(records, 8 + 4 + 1 + 2);
    assert_eq!(status["totals"]["documents"], 7);
}

#[test]
fn graph_stats_equal_a_plain_recount() {
    let server = server();
    let mut project = project(&server);
    project.set("sampling.levels", "[1]");
    project.ingest(&corpus(12));
    project.ingest(&[document(3, 1)]);
    project.delete(&["document-6"]);
    project.drain();
    let stats: serde_json::Value =
        serde_json::from_str(&project.succeed(&["graph", "stats", "--json"])).expect("the statistics are JSON");
    assert_eq!(stats, recount(project.logs().extractions().values()));
}

/// The counts by their definition.
fn recount<'a>(documents: impl Iterator<Item = &'a Extraction>) -> serde_json::Value {
    let documents: Vec<BTreeSet<Node>> = documents.map(nodes).collect();
    let all: BTreeSet<&Node> = documents.iter().flatten().collect();
    let of_kind = |kind| all.iter().filter(|node| node.0 == kind).count();
    let pairs: BTreeSet<(&Node, &Node)> = documents
        .iter()
        .flat_map(|nodes| {
            nodes.iter().flat_map(|low| nodes.iter().filter(move |high| low < *high).map(move |high| (low, high)))
        })
        .collect();
    let edges = |of: [Kind; 2]| {
        let same = |pair: &&(&Node, &Node)| {
            BTreeSet::from([format!("{:?}", pair.0.0), format!("{:?}", pair.1.0)])
                == BTreeSet::from(of.map(|kind| format!("{kind:?}")))
        };
        pairs.iter().filter(same).count()
    };
    serde_json::json!({
        "documents": documents.len(),
        "topics": of_kind(Kind::Topic),
        "key_concepts": of_kind(Kind::KeyConcept),
        "incidences": documents.iter().map(BTreeSet::len).sum::<usize>(),
        "topic_topic_edges": edges([Kind::Topic, Kind::Topic]),
        "topic_concept_edges": edges([Kind::Topic, Kind::KeyConcept]),
        "concept_concept_edges": edges([Kind::KeyConcept, Kind::KeyConcept]),
    })
}

#[test]
fn a_start_that_other_numbers_of_partitions_refuse_writes_nothing() {
    let project = project(&server());
    project.succeed(&["topics", "create"]);
    let other = ShardProgress { partitions: (9, 9), ..ShardProgress::default() };
    let key = ProgressKey::Shard(Role::Generate, 1).to_string();
    project.append_to(LogName::Progress, key.as_bytes(), Some(&codec::encode(&Progress::Shard(other))));
    let refused = project.execute(&["run", "--drain"]);
    assert!(!refused.status.success());
    assert!(stderr(&refused).contains("generate/1 was written with N = 9 and P = 9"), "{}", stderr(&refused));
    assert_eq!(project.logs().progress().into_keys().collect::<Vec<_>>(), [key]);
}

#[test]
fn a_refused_key_ends_the_run_with_its_name_and_the_right_one_completes_it() {
    let key = Some(API_KEY.1.to_owned());
    let server = ScriptedServer::start(Options { api_key: key, ..Options::default() });
    let project = project(&server);
    project.ingest(&corpus(5));
    let output = project.command().args(["run", "--drain"]).env(API_KEY.0, "sk-wrong").output().expect("the program starts");
    assert_eq!(output.status.code(), Some(1));
    let errors = stderr(&output);
    assert!(errors.contains(API_KEY.0), "the message doesn't name the variable: {errors}");
    assert!(!errors.contains("sk-wrong"), "the message quotes the key: {errors}");
    project.drain();
    assert!(!sound_samples(&project).is_empty());
    assert_eq!(project.logs().dead_letters().len(), 0);
    assert_eq!(project.logs().extractions().len(), 5);
}
