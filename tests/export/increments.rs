//! Increments: what has changed since an export, and what is withdrawn, lead to the full export.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Value, json};
use synthllm_log::LogName;
use synthllm_testkit::corpus::{any_document, id as document_id};
use synthllm_testkit::project::{Project, stderr};

use crate::{export, filled, id, json_lines, lines};

const OPTIONS: [&str; 4] = ["--held-out", "0.3", "--shard-size", "5"];

/// The rows of each split by id, as one who keeps a dataset has them.
type Held = BTreeMap<(&'static str, String), Value>;

fn held(folder: &Path) -> Held {
    let of_split = |split| lines(folder, split).into_iter().map(move |row| ((split, id(&row).to_owned()), row));
    ["train", "test"].into_iter().flat_map(of_split).collect()
}

fn apply(base: &mut Held, folder: &Path) {
    let withdrawn: BTreeSet<String> =
        json_lines(&folder.join("withdrawn.jsonl")).iter().map(|row| id(row).to_owned()).collect();
    let comes = held(folder);
    let comes_again: BTreeSet<String> = comes.keys().map(|(_, id)| id.clone()).collect();
    assert!(withdrawn.is_disjoint(&comes_again));
    base.retain(|(_, id), _| !withdrawn.contains(id) && !comes_again.contains(id));
    base.extend(comes);
}

fn export_with(project: &Project, folder: &str, more: &[&str]) -> String {
    export(project, &[&[folder], &OPTIONS[..], more].concat())
}

#[test]
fn increments_applied_to_the_first_export_are_the_full_export() {
    let (_server, mut project) = filled();
    export_with(&project, "first/", &[]);
    let mut dataset = held(&project.file("first"));

    project.delete(&[&document_id(0), &document_id(21)]);
    project.set("sampling.levels", "[1, 2, 3]").ingest(&[any_document(9, 0), any_document(10, 0)]);
    project.drain();
    let printed = export_with(&project, "second/", &["--since", "first"]);
    let second = held(&project.file("second"));
    let withdrawn = json_lines(&project.file("second/withdrawn.jsonl"));
    assert!(!second.is_empty() && second.len() < dataset.len(), "only what has changed");
    assert!(!withdrawn.is_empty());
    assert!(printed.contains(&format!("withdrawn since then: {} samples", withdrawn.len())), "{printed}");
    apply(&mut dataset, &project.file("second"));
    export_with(&project, "full/", &[]);
    assert_eq!(dataset, held(&project.file("full")));

    project.delete(&[&document_id(9)]);
    project.drain();
    project.forget_tombstones(LogName::Samples);
    export_with(&project, "third/", &["--since", "second/synthllm-export.json"]);
    apply(&mut dataset, &project.file("third"));
    export_with(&project, "full/", &[]);
    assert_eq!(dataset, held(&project.file("full")));
}

#[test]
fn nothing_has_changed_since_a_moment_ago() {
    let (_server, project) = filled();
    export_with(&project, "first/", &[]);
    let printed = export_with(&project, "second/", &["--since", "first/"]);
    assert!(printed.starts_with("exported 0 samples to 2 files") && printed.contains("since then: 0 samples"), "{printed}");
    assert_eq!(held(&project.file("second")), Held::new());
    assert_eq!(json_lines(&project.file("second/withdrawn.jsonl")), Vec::<Value>::new());
}

#[test]
fn what_can_not_be_built_on_is_refused() {
    let (_server, project) = filled();
    export(&project, &["first/"]);
    let refused = |arguments: &[&str], code: i32, reason: &str| {
        let output = project.execute(&[&["export"], arguments].concat());
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(reason), "{arguments:?}: {}", stderr(&output));
    };
    refused(&["first/", "--since", "first"], 2, "would be replaced");
    refused(&["second/", "--since", "first", "--as", "chat"], 1, "have the shape raw, and chat is asked for");
    refused(&["second/", "--since", "missing"], 1, "can't build on missing");
    refused(&["second/", "--since", "synthllm.toml"], 1, "no manifest of an export");
    let manifest = project.file("first/synthllm-export.json");
    let mut ahead: Value = serde_json::from_str(&std::fs::read_to_string(&manifest).unwrap()).unwrap();
    ahead["positions"]["1"] = json!(1_000_000);
    std::fs::write(project.file("ahead.json"), ahead.to_string()).unwrap();
    refused(&["second/", "--since", "ahead.json"], 1, "offset 1000000 of samples/1, where this log has never been");
    assert!(!project.file("second").exists());
}
