//! Subsets of the corpus with concept graphs of their own.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use synthllm_log::LogName;
use synthllm_operators::record::Sample;
use synthllm_testkit::project::Project;

use crate::{of_level, project, server, sound_samples};

/// Documents of two sources that share their concepts.
fn documents() -> Vec<Value> {
    let document = |number: usize| {
        let source = ["one", "two"][number % 2];
        json!({"id": format!("d{number}"), "text": format!("Text {number} on margins."), "topics": ["margins", "kernels"],
               "concepts": ["ridge", "lasso", "svm", format!("own {number}")], "source": source})
    };
    (0..8).map(document).collect()
}

fn mixes_sources(sample: &Sample) -> bool {
    let sources: BTreeSet<_> = sample.provenance.documents.iter().map(|document| &document.source).collect();
    sources.len() > 1
}

fn with_own_concepts(project: &mut Project) {
    project
        .set("extract.source", "\"document\"")
        .set("graph.updates", true)
        .set("sampling.levels", "[2, 3]")
        .set("sampling.epochs", 6);
    project.ingest(&documents());
}

#[test]
fn no_sample_joins_documents_of_two_subsets() {
    let server = server();
    let mut project = project(&server);
    with_own_concepts(&mut project);
    project.drain();
    let before = sound_samples(&project);
    let mixed = of_level(&before, 3).into_iter().filter(|sample| mixes_sources(sample)).count();
    assert!(mixed > 0, "in one graph some do");

    project.set("graph.subsets", "\"source\"");
    project.drain();
    let after = sound_samples(&project);
    assert!(before.keys().all(|id| after.contains_key(id)), "what was drawn before stays");
    let new: Vec<&Sample> = of_level(&after, 3).into_iter().filter(|sample| !before.contains_key(&sample.id)).collect();
    assert!(!new.is_empty(), "the nodes of subsets have starts of their own");
    assert_eq!(new.into_iter().filter(|sample| mixes_sources(sample)).count(), 0);
    let names = after.values().flat_map(|sample| &sample.provenance.walk).map(|node| node.name.as_str());
    assert!(names.clone().any(|name| name == "ridge") && names.clone().all(|name| !name.contains('\u{1f}')));

    let stats: Value = serde_json::from_str(&project.succeed(&["graph", "stats", "--json"])).expect("it is JSON");
    assert_eq!((&stats["documents"], &stats["topics"]), (&json!(8), &json!(4)));
    assert_eq!(stats["subsets"]["one"]["documents"], json!(4));
    let found: Value = serde_json::from_str(&project.succeed(&["graph", "neighbors", "Ridge", "--json"])).expect("JSON");
    let of = |place: usize| (found[place]["subset"].as_str(), found[place]["concept"]["name"].as_str());
    assert_eq!([of(0), of(1)], [(Some("one"), Some("ridge")), (Some("two"), Some("ridge"))]);
    assert_eq!(found[0]["documents"], json!(4));
}

#[test]
fn the_counts_of_a_graph_in_subsets_are_those_of_a_run_from_scratch() {
    let server = server();
    let mut project = project(&server);
    with_own_concepts(&mut project);
    project.drain();
    let whole = project.logs().live(LogName::GraphUpdates);
    project.set("graph.subsets", "\"parts\"").set("graph.parts", 2);
    project.drain();
    let parts = project.logs().live(LogName::GraphUpdates);
    assert!(parts.keys().all(|key| !whole.contains_key(key)), "each node is another");

    let mut anew = crate::project(&server);
    anew.set("graph.subsets", "\"parts\"").set("graph.parts", 2);
    with_own_concepts(&mut anew);
    anew.drain();
    assert_eq!(anew.logs().live(LogName::GraphUpdates), parts);

    project.set("graph.subsets", "\"none\"");
    project.drain();
    assert_eq!(project.logs().live(LogName::GraphUpdates), whole);
}
