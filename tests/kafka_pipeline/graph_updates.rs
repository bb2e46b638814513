//! The counts of nodes and edges on Kafka, as `kcat` reads them.

use std::collections::BTreeMap;

use synthllm_log::partition;
use synthllm_operators::codec;
use synthllm_operators::record::Extraction;
use synthllm_testkit::counts::recount;

use crate::project::{PARTITIONS, Project, document, id};

fn published(project: &Project) -> BTreeMap<String, u64> {
    let live = project.kcat.live("graph-updates").into_iter();
    live.map(|(key, value)| (key, serde_json::from_slice(&value).unwrap())).collect()
}

fn expected(project: &Project) -> BTreeMap<String, u64> {
    let extractions: Vec<Extraction> =
        project.kcat.live("extractions").values().map(|value| codec::decode(value).unwrap()).collect();
    recount(&extractions)
}

#[test]
fn the_counts_of_nodes_and_edges_follow_the_documents_and_are_written_once() {
    let Some(project) = Project::new("graph-updates").map(|project| project.set("graph.updates", "true").created()) else {
        return;
    };
    project.ingest(0..8);
    project.drain();
    let counts = expected(&project);
    assert!(counts.values().any(|count| *count > 1), "{counts:?}");
    assert_eq!(published(&project), counts);
    let written = project.kcat.read("graph-updates");
    for record in &written {
        assert_eq!(record.partition, partition::of_key(record.key.as_deref(), PARTITIONS), "{}", record.key_text());
    }
    project.start(&["--drain", "-w", "2"]).succeeds();
    assert_eq!(project.kcat.read("graph-updates"), written, "what stood already was written again");
    // A run that follows, and is killed.
    let mut run = project.start(&["-w", "2"]);
    project.kcat.produce("documents", &id(3), None);
    project.kcat.produce("documents", &id(9), Some(document(9).to_string().as_bytes()));
    run.until("the counts begin to follow", || (project.kcat.read("graph-updates").len() > written.len()).then_some(()));
    run.kill();
    project.drain();
    let counts = expected(&project);
    assert_eq!(project.kcat.live("extractions").len(), 8);
    assert_eq!(published(&project), counts);
}
