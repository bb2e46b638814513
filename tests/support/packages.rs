//! The packages that people open exports with: Hugging Face `datasets`, pandas and `DuckDB`, fetched into the cache.
#![allow(clippy::missing_panics_doc)]

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::project::{Project, stderr};
use crate::skip;

/// What the packages read in the folders of a project: by folder its card, and by package and split the rows. `None`, with a message, where they
/// can't be installed.
pub fn opened(project: &Project, folders: &[String]) -> Option<Value> {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("export");
    let fetched = Command::new("bash").arg(scripts.join("fetch.sh")).output().expect("there is bash");
    if !fetched.status.success() {
        skip(&format!("no datasets, pandas and duckdb: {}", stderr(&fetched)));
        return None;
    }
    let python = String::from_utf8(fetched.stdout).expect("a path of ours is UTF-8");
    let mut check = Command::new(python.trim());
    check.arg(scripts.join("check.py")).args(folders).current_dir(project.file("."));
    let output = check.output().expect("the installed python starts");
    assert!(output.status.success(), "{}", stderr(&output));
    Some(serde_json::from_slice(&output.stdout).expect("the script prints JSON"))
}
