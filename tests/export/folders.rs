//! Exports as folders: shards, the split, the card; the same samples make the same bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde_json::Value;
use synthllm_testkit::project::stderr;

use crate::{export, filled, json_lines, lines, live};

fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap().map(Result::unwrap);
    entries.map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())).collect()
}

fn documents(rows: &[Value]) -> BTreeSet<String> {
    let documents = rows.iter().flat_map(|row| row["provenance"]["documents"].as_array().unwrap());
    documents.map(|document| document["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn shards_together_are_the_one_file_and_have_the_names_that_hugging_face_knows() {
    let (_server, project) = filled();
    export(&project, &["whole.jsonl"]);
    let whole = fs::read_to_string(project.file("whole.jsonl")).unwrap();
    let shards = whole.lines().count().div_ceil(4);
    export(&project, &["shards/", "--shard-size", "4"]);
    let named = |shard: usize| project.file("shards").join(format!("train-{shard:05}-of-{shards:05}.jsonl"));
    let parts: String = (0..shards).map(|shard| fs::read_to_string(named(shard)).unwrap()).collect();
    assert_eq!(parts, whole);
    assert!((0..shards - 1).all(|shard| json_lines(&named(shard)).len() == 4));
    assert_eq!(files(&project.file("shards")).len(), shards + 2, "shards, card and manifest are all there is");
}

#[test]
fn the_same_samples_make_the_same_bytes() {
    let (_server, project) = filled();
    for format in ["jsonl", "parquet"] {
        let options = ["--format", format, "--held-out", "0.3", "--seed", "5", "--shard-size", "3"];
        let printed =
            ["one/", "two/"].map(|folder| export(&project, &[&[folder], &options[..]].concat()).replace(folder, ""));
        assert_eq!(printed[0], printed[1]);
        assert_eq!(files(&project.file("one")), files(&project.file("two")));
    }
}

#[test]
fn a_split_never_separates_samples_of_one_document_and_says_what_it_reached() {
    let (_server, project) = filled();
    let all = live(&project).len();
    let mut held_out_at_all = 0;
    for seed in ["0", "1", "2"] {
        let printed = export(&project, &["split/", "--held-out", "0.3", "--seed", seed]);
        let [train, test] = ["train", "test"].map(|split| lines(&project.file("split"), split));
        assert_eq!(train.len() + test.len(), all);
        assert!(documents(&train).is_disjoint(&documents(&test)), "seed {seed}");
        assert!(printed.contains(&format!("held out {} of {all} samples (0.3 asked for)", test.len())), "{printed}");
        held_out_at_all += test.len();
    }
    assert!(held_out_at_all > 0);
}

#[test]
fn a_folder_is_replaced_only_where_it_is_an_export_and_nothing_else() {
    let (_server, project) = filled();
    export(&project, &["out/", "--shard-size", "3"]);
    export(&project, &["out", "--as", "chat"]);
    let out = project.file("out");
    assert_eq!(
        files(&out).into_keys().collect::<Vec<_>>(),
        ["README.md", "synthllm-export.json", "train-00000-of-00001.jsonl"]
    );
    fs::write(out.join("notes.txt"), "mine").unwrap();
    let before = files(&out);
    let output = project.execute(&["export", "out/"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("\"notes.txt\" is not part of it"), "{}", stderr(&output));
    assert_eq!(files(&out), before);
    let beside = fs::read_dir(out.parent().unwrap()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(beside.filter(|name| name.starts_with(".out")).count(), 0);
}

#[test]
fn the_card_says_what_the_samples_stand_on() {
    let (_server, project) = filled();
    export(&project, &["out/", "--level", "1,2", "--held-out", "0.3"]);
    let card = fs::read_to_string(project.file("out/README.md")).unwrap();
    let cited = documents(&[lines(&project.file("out"), "train"), lines(&project.file("out"), "test")].concat());
    assert!(card.contains(&format!("| tests | {} |", cited.len())), "{card}");
    for part in
        ["| CC0-1.0 |", "| not said |", "| answer | scripted |", "level 1 or 2", "held out: 0.3, seed 0", "license: other"]
    {
        assert!(card.contains(part), "{part} is missing in {card}");
    }
}
