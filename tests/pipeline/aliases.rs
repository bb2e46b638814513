//! Concepts that are one under several names.

use serde_json::{Value, json};
use synthllm_testkit::project::{Project, stderr};

use crate::{project, server, sound_samples};

/// Documents that call one concept by three names, each beside a concept of its own.
fn documents() -> Vec<Value> {
    let names = ["SVM", "support vector machine", "Support  Vector Machines"];
    let document = |(number, name): (usize, &&str)| {
        json!({"id": format!("d{number}"), "text": format!("Text {number} on margins."), "topics": ["margins"],
               "concepts": [name, format!("own {number}"), "kernel"]})
    };
    names.iter().enumerate().map(document).collect()
}

/// In how many documents a key concept is, by name.
fn frequency(project: &Project, name: &str) -> u64 {
    let found = project.execute(&["graph", "neighbors", name, "--json"]);
    let found: Value = serde_json::from_slice(&found.stdout).unwrap_or_default();
    found[0]["documents"].as_u64().unwrap_or(0)
}

const TABLE: [(&str, &str); 2] = [
    ("graph.aliases.SVM", "\"support vector machine\""),
    ("graph.aliases.\"support vector machines\"", "\"Support Vector Machine\""),
];

#[test]
fn names_of_one_concept_are_one_node_from_the_start_at_which_the_table_says_so() {
    let server = server();
    let mut project = project(&server);
    project.set("extract.source", "\"document\"").set("graph.updates", true).set("sampling.levels", "[2, 3]");
    project.ingest(&documents());
    project.drain();
    let count = |project: &Project, name: &str| {
        project
            .logs()
            .live(synthllm_log::LogName::GraphUpdates)
            .iter()
            .find(|(key, _)| key.contains(name))
            .map(|(_, value)| value.clone())
    };
    assert_eq!(
        ["svm", "support vector machine", "support vector machines"].map(|name| frequency(&project, name)),
        [1, 1, 1]
    );
    assert!(count(&project, "svm").is_some());
    let before = sound_samples(&project);

    for (key, value) in TABLE {
        project.set(key, value);
    }
    assert_eq!(
        ["svm", "support vector machine", "SUPPORT vector machines"].map(|name| frequency(&project, name)),
        [3, 3, 3]
    );
    project.drain();
    assert!(count(&project, "svm").is_none(), "the log of counts follows");
    let after = sound_samples(&project);
    assert!(before.keys().all(|id| after.contains_key(id)), "what was drawn before stays");

    let mut anew = crate::project(&server);
    anew.set("extract.source", "\"document\"").set("sampling.levels", "[2, 3]");
    TABLE.iter().for_each(|(key, value)| _ = anew.set(key, value));
    anew.ingest(&documents());
    anew.drain();
    let samples = sound_samples(&anew);
    let named =
        |name: &str| samples.values().filter(|sample| sample.provenance.walk.iter().any(|node| node.name == name)).count();
    assert!(named("support vector machine") > 0);
    assert_eq!(["svm", "support vector machines"].map(named), [0, 0]);
}

#[test]
fn a_table_that_makes_no_sense_is_refused() {
    let server = server();
    let mut project = project(&server);
    project.set("graph.aliases.a", "\"b\"").set("graph.aliases.b", "\"c\"");
    let refused = project.execute(&["check"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(
        stderr(&refused).contains("graph.aliases") && stderr(&refused).contains("\"a\" stands for \"b\""),
        "{}",
        stderr(&refused)
    );
}
