//! The demo's corpus is what the demo promises, and is still what its script chooses.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

const CORPUS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/configs/demo/corpus.jsonl");

fn documents() -> Vec<Value> {
    let lines = std::fs::read_to_string(CORPUS).expect("the corpus is part of the project");
    lines.lines().map(|line| serde_json::from_str(line).expect("each line is a document")).collect()
}

fn names(document: &Value, field: &str) -> Vec<String> {
    let list = document[field].as_array().cloned().unwrap_or_default();
    list.iter().map(|name| name.as_str().expect("names are strings").to_owned()).collect()
}

#[test]
fn topics_meet_so_that_a_walk_can_go_from_topic_to_topic() {
    let pairs: BTreeSet<Vec<String>> =
        documents().iter().map(|document| names(document, "topics")).filter(|topics| topics.len() == 2).collect();
    assert!(pairs.iter().all(|pair| pair[0] != pair[1]), "a document names a topic twice");
    let libraries: BTreeSet<&String> = pairs.iter().map(|pair| &pair[1]).collect();
    assert!(pairs.len() > 10 * libraries.len(), "{} topic-topic edges over {} libraries", pairs.len(), libraries.len());
}

#[test]
fn concepts_are_shared_so_that_a_walk_can_leave_its_document() {
    let mut seen = BTreeSet::new();
    let all: Vec<String> = documents().iter().flat_map(|document| names(document, "concepts")).collect();
    let shared: BTreeSet<&String> = all.iter().filter(|concept| !seen.insert(*concept)).collect();
    assert!(shared.len() > 200, "{} concepts stand in two documents or more", shared.len());
}

#[test]
fn four_documents_leave_their_concepts_to_the_model() {
    let documents = documents();
    let bare = documents.iter().filter(|document| document.get("topics").is_none() && document.get("concepts").is_none());
    assert_eq!(bare.count(), 4);
    assert!(documents.iter().filter(|document| names(document, "concepts").len() >= 3).count() >= 200);
}

#[test]
fn every_document_can_be_quoted() {
    let mut ids = BTreeSet::new();
    for document in documents() {
        let field = |name: &str| document[name].as_str().map(str::to_owned).unwrap_or_default();
        assert!(ids.insert(field("id")), "{} stands twice", field("id"));
        assert_eq!(field("license"), "BSD-3-Clause", "{}", field("id"));
        assert!(field("text").len() > 1000, "{} is too short to ask about", field("id"));
        let source = field("source");
        let (_, package) = source.split_once("(Debian ").expect("the source names a package");
        let package = package.split(' ').next().expect("and its version");
        let license = Path::new(CORPUS).with_file_name(format!("LICENSES/{package}.txt"));
        assert!(license.is_file(), "{} is missing", license.display());
    }
}

#[test]
fn the_corpus_is_small_enough_to_lie_in_the_repository() {
    assert!(std::fs::metadata(CORPUS).expect("the corpus is there").len() < 1_000_000);
}

#[test]
fn the_script_chooses_the_same_documents_again() {
    let Some(data) = synthllm_testkit::data_dir() else {
        return synthllm_testkit::skip("../shared/data is not there to choose from");
    };
    let chosen = tempfile::NamedTempFile::new().expect("a temporary file can be made");
    let status = Command::new("python3")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/corpus/choose.py"))
        .arg(data.join("corpus-docs-bsd.jsonl.zst"))
        .arg(chosen.path())
        .status()
        .expect("python3 runs");
    assert!(status.success());
    let read = |path: &Path| std::fs::read(path).expect("the file is there");
    assert!(read(chosen.path()) == read(Path::new(CORPUS)), "choose.py makes another corpus than the one in the repository");
}
