//! Concepts that are one by the embeddings of their names: proposed by `graph merge`, applied by the next start.

use std::collections::BTreeMap;
use std::fs::{read_to_string, remove_file, write};

use serde_json::{Value, json};
use synthllm_log::LogName;
use synthllm_testkit::project::{Project, stderr};
use synthllm_testkit::scripted::{Fault, Options, Rule, ScriptedServer};

use crate::{project, server, sound_samples};

const MERGE: [&str; 4] = ["graph", "merge", "-o", "merges.toml"];

/// How documents may spell one concept, and how all of them should.
const SPELLINGS: [&str; 3] = ["Least squares", "least-squares", "squares,  least"];
const RIGHT: [&str; 3] = ["least squares"; 3];

/// A document for each spelling, beside concepts of its own.
fn documents(spellings: [&str; 3]) -> Vec<Value> {
    let own = ["orthogonal basis", "convex cone", "spectral radius"];
    let document = |(number, name): (usize, &&str)| {
        json!({"id": format!("d{number}"), "text": format!("Text {number} on margins."), "topics": ["margins", name],
               "concepts": [name, own[number], "kernel"]})
    };
    spellings.iter().enumerate().map(document).collect()
}

/// A project in which names have embeddings.
fn embedding(server: &ScriptedServer) -> Project {
    let mut project = project(server);
    project.set("extract.source", "\"document\"").set("graph.updates", true).set("sampling.levels", "[2, 3]");
    project.set("llm.embed.model", "\"small\"");
    project
}

/// What the graph is, as all who look at it see it.
fn graph(project: &Project) -> (String, Vec<String>, BTreeMap<String, Vec<u8>>) {
    let neighbors = ["margins", "kernel", "least squares"];
    let neighbors = neighbors.map(|name| project.succeed(&["graph", "neighbors", name, "--json"]));
    (project.succeed(&["graph", "stats", "--json"]), neighbors.into(), project.logs().live(LogName::GraphUpdates))
}

/// How many texts the server has given embeddings of.
fn embedded(server: &ScriptedServer) -> usize {
    let counts = server.counts();
    let texts = counts.values().filter(|count| count.task == "embedding").map(|count| {
        let body: Value = serde_json::from_str(&count.body).expect("a request is JSON");
        count.answered as usize * body["input"].as_array().map_or(1, Vec::len)
    });
    texts.sum()
}

/// The lines of the file that say something.
fn merges(project: &Project) -> Vec<String> {
    let text = read_to_string(project.file("merges.toml")).expect("the file is there");
    text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned).collect()
}

#[test]
fn spellings_become_one_node_at_the_next_start_as_if_documents_had_never_said_otherwise() {
    let server = server();
    let mut project = embedding(&server);
    project.ingest(&documents(SPELLINGS));
    project.drain();
    let (apart, before) = (graph(&project), sound_samples(&project));

    let said = project.succeed(&MERGE);
    assert!(said.contains("8 names of 3 documents, 2 merges"), "{said}");
    assert!(said.contains("\"squares, least\" counts as \"least squares\" (both in 0 documents)"), "{said}");
    assert_eq!(
        merges(&project),
        [
            "least-squares = \"least squares\"  # 1.0000; 1, 1, 0",
            "\"squares, least\" = \"least squares\"  # 1.0000; 1, 1, 0",
        ]
    );
    assert_eq!(graph(&project), apart, "a proposal changes nothing");

    project.set("graph.merges", "\"merges.toml\"");
    project.drain();
    let mut anew = embedding(&server);
    anew.set("graph.merges", "\"none.toml\"");
    write(anew.file("none.toml"), "").expect("the folder is writable");
    anew.ingest(&documents(RIGHT));
    anew.drain();
    assert_eq!(graph(&project), graph(&anew));
    let after = sound_samples(&project);
    assert!(before.iter().all(|(id, sample)| after.get(id) == Some(sample)), "what was drawn before stays");

    write(project.file("merges.toml"), "").expect("the folder is writable");
    project.drain();
    assert_eq!(graph(&project), apart, "without the lines all is as before");
}

#[test]
fn names_are_embedded_once_and_a_repeated_proposal_is_the_same() {
    let server = server();
    let mut project = embedding(&server);
    project.ingest(&documents(SPELLINGS));
    project.drain();
    project.succeed(&MERGE);
    let (first, asked) = (read_to_string(project.file("merges.toml")).expect("it is there"), embedded(&server));
    assert_eq!(asked, 8 + 1, "each name, and one text to see how long embeddings are");
    // That the merges are applied makes no difference to what is proposed, and neither do subsets with a graph of their own.
    project.set("graph.merges", "\"merges.toml\"");
    for (subsets, parts) in [("\"none\"", 1), ("\"parts\"", 3)] {
        project.set("graph.subsets", subsets).set("graph.parts", parts);
        let said = project.succeed(&MERGE);
        assert!(said.contains("spent now: 0 calls"), "{said}");
        assert_eq!(read_to_string(project.file("merges.toml")).expect("it is there"), first);
    }
    assert_eq!(embedded(&server), asked);

    project.set("graph.aliases.kernel", "\"kernel function\"");
    project.succeed(&MERGE);
    assert_eq!(embedded(&server), asked + 1, "only the new name, which the table gives");
    let listed: Value = serde_json::from_str(&project.succeed(&[&MERGE[..], &["--threshold", "0.7", "--json"]].concat()))
        .expect("the proposal is JSON");
    assert_eq!((listed["names"].as_u64(), listed["documents"].as_u64()), (Some(8), Some(3)));
    assert_eq!(listed["merges"][0]["documents"], json!({"alias": 1, "name": 1, "both": 0}), "{listed}");
}

#[test]
fn a_proposal_that_a_budget_ends_goes_on_with_the_names_that_are_left() {
    let server = server();
    let mut project = embedding(&server);
    project.ingest(&documents(SPELLINGS));
    project.drain();
    project.set("screen.train.batch", 1).set("budget.tokens", 60);
    let mut ends = 0;
    loop {
        let output = project.execute(&MERGE);
        if output.status.success() {
            break;
        }
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains("budget.tokens = 60 leaves no room"), "{}", stderr(&output));
        assert!(!project.file("merges.toml").exists());
        ends += 1;
        assert!(ends < 9, "it comes to no end");
    }
    assert!(ends > 0, "the budget was enough");
    assert_eq!((embedded(&server), merges(&project).len()), (8 + 1, 2));
}

#[test]
fn an_endpoint_that_gives_no_embeddings_leaves_the_file_as_it_was() {
    let refused = || Rule::always("squares, least", Fault::Status(400, "not this one".into()));
    let key = || Rule::always("\"input\"", Fault::Status(401, "no such key".into()));
    for (rule, words) in [(refused(), "1 of 8 names have no embedding"), (key(), "no such key")] {
        let server = ScriptedServer::start(Options { rules: vec![rule], ..Options::default() });
        let project = embedding(&server);
        project.ingest(&documents(SPELLINGS));
        project.drain();
        write(project.file("merges.toml"), "a = \"b\"\n").expect("the folder is writable");
        let failed = project.execute(&MERGE);
        assert_eq!(failed.status.code(), Some(1));
        assert!(stderr(&failed).contains(words), "{}", stderr(&failed));
        assert_eq!(read_to_string(project.file("merges.toml")).expect("it is there"), "a = \"b\"\n");
    }
}

#[test]
fn a_graph_without_names_has_no_merges_and_asks_nobody() {
    let server = server();
    let project = embedding(&server);
    project.succeed(&["topics", "create"]);
    assert!(project.succeed(&MERGE).contains("0 names of 0 documents, 0 merges"));
    assert_eq!((merges(&project).len(), embedded(&server)), (0, 0));
}

#[test]
fn a_file_of_merges_that_is_not_there_stops_every_command() {
    let server = server();
    let mut project = embedding(&server);
    project.set("graph.merges", "\"merges.toml\"");
    for command in [&["check"][..], &["graph", "stats"], &["run", "--drain"]] {
        let refused = project.execute(command);
        assert_eq!(refused.status.code(), Some(2));
        assert!(stderr(&refused).contains("`graph.merges`: found \"merges.toml\", expected a file of merges"));
    }
    write(project.file("merges.toml"), "a = \"b\"\n").expect("the folder is writable");
    project.succeed(&["check"]);
    remove_file(project.file("merges.toml")).expect("it is there");
    assert_eq!(project.execute(&["check"]).status.code(), Some(2));
}
