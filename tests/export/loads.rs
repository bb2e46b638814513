//! What is exported loads unchanged in Hugging Face `datasets`, pandas and DuckDB: the real packages.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use synthllm_operators::record::Sample;
use synthllm_testkit::corpus::{any_document, id as document_id};
use synthllm_testkit::packages::opened;

use crate::{export, filled, id, live};

const PACKAGES: [&str; 3] = ["datasets", "pandas", "duckdb"];

/// A sample as a row of this shape.
fn row(shape: &str, sample: &Sample) -> Value {
    let (id, question, answer) = (&sample.id, &sample.question, sample.answer.as_deref());
    match shape {
        "raw" => serde_json::to_value(sample).unwrap(),
        "chat" => {
            json!({"id": id, "messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]})
        }
        _ => json!({"id": id, "instruction": question, "input": "", "output": answer}),
    }
}

/// A raw row with what is a map in JSON in one form: Parquet has lists of names and values, and the packages give null for a name
/// that another row has, or the text where no row has a name.
fn with_maps(mut row: Value) -> Value {
    for path in ["/scores", "/provenance/models", "/provenance/prompts"] {
        let Some(field) = row.pointer_mut(path) else { continue };
        *field = as_map(field.take());
    }
    row
}

fn as_map(value: Value) -> Value {
    match value {
        Value::Array(pairs) => {
            pairs.into_iter().map(|pair| (pair["name"].as_str().unwrap().to_owned(), pair["value"].clone())).collect()
        }
        Value::Object(fields) => fields.into_iter().filter(|(_, value)| !value.is_null()).collect(),
        Value::String(text) => serde_json::from_str(&text).unwrap(),
        Value::Null => json!({}),
        other => panic!("{other} is no map"),
    }
}

#[test]
fn an_increment_loads_too() {
    let (_server, project) = filled();
    let before = live(&project);
    for format in ["jsonl", "parquet"] {
        export(&project, &[&format!("base-{format}/"), "--format", format, "--shard-size", "7"]);
    }
    project.delete(&[&document_id(0), &document_id(21)]);
    project.ingest(&[any_document(9, 0), any_document(10, 0)]);
    project.drain();
    let folders = ["jsonl", "parquet"].map(|format| {
        let (folder, since) = (format!("new-{format}"), format!("base-{format}"));
        export(&project, &[&format!("{folder}/"), "--format", format, "--shard-size", "7", "--since", &since]);
        folder
    });
    let Some(opened) = opened(&project, &folders) else { return };
    let new: Vec<Value> =
        live(&project).values().filter(|sample| !before.contains_key(&sample.id)).map(|sample| row("raw", sample)).collect();
    assert!(!new.is_empty());
    for folder in folders {
        for package in PACKAGES {
            assert_eq!(rows(&opened[&folder][package]), new, "{folder} in {package}");
        }
    }
}

/// The rows of all splits, sorted by id.
fn rows(splits: &Value) -> Vec<Value> {
    let splits = splits.as_object().unwrap().values();
    let mut rows: Vec<Value> = splits.flat_map(|rows| rows.as_array().unwrap().clone()).map(with_maps).collect();
    rows.sort_by(|one, other| id(one).cmp(id(other)));
    rows
}

#[test]
fn every_shape_and_format_loads_unchanged() {
    let (_server, project) = filled();
    let samples = live(&project);
    let mut folders = BTreeMap::new();
    for shape in ["raw", "chat", "alpaca"] {
        for format in ["jsonl", "parquet"] {
            let folder = format!("{shape}-{format}");
            let target = format!("{folder}/");
            export(&project, &[&target, "--as", shape, "--format", format, "--held-out", "0.3", "--shard-size", "7"]);
            folders.insert(folder, shape);
        }
    }
    let Some(opened) = opened(&project, &folders.keys().cloned().collect::<Vec<_>>()) else { return };
    for (folder, shape) in &folders {
        let expected: Vec<Value> = samples
            .values()
            .filter(|sample| *shape == "raw" || sample.answer.is_some())
            .map(|sample| row(shape, sample))
            .collect();
        for package in PACKAGES {
            let splits = opened[folder][package].as_object().unwrap();
            assert_eq!(splits.keys().collect::<Vec<_>>(), ["test", "train"], "{folder} in {package}");
            assert_eq!(rows(&opened[folder][package]), expected, "{folder} in {package}");
        }
        let card = &opened[folder]["card"];
        assert_eq!((card["license"].as_str(), &card["size_categories"]), (Some("other"), &json!(["n<1K"])), "{card}");
    }
}
