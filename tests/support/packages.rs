//! Python packages for tests, pinned and fetched into the cache; among them those that people open exports with: Hugging Face
//! `datasets`, pandas and `DuckDB`.
#![allow(clippy::missing_panics_doc)]

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::project::{Project, stderr};
use crate::skip;

/// The python of a virtual environment with the packages that `tests/support/NAME/packages.txt` pins; or why there is none.
pub fn python(name: &str, pip_options: &[&str]) -> Result<String, String> {
    let support = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut fetch = Command::new("bash");
    fetch.arg(support.join("venv.sh")).arg(name).arg(support.join(name).join("packages.txt")).args(pip_options);
    let fetched = fetch.output().expect("there is bash");
    if !fetched.status.success() {
        return Err(stderr(&fetched));
    }
    Ok(String::from_utf8(fetched.stdout).expect("a path of ours is UTF-8").trim().to_owned())
}

/// What the packages read in the folders of a project: by folder its card, and by package and split the rows. `None`, with a message, where they
/// can't be installed.
pub fn opened(project: &Project, folders: &[String]) -> Option<Value> {
    let python = python("export", &[]).map_err(|why| skip(&format!("no datasets, pandas and duckdb: {why}"))).ok()?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("export/check.py");
    let output = Command::new(python).arg(script).args(folders).current_dir(project.file(".")).output();
    let output = output.expect("the installed python starts");
    assert!(output.status.success(), "{}", stderr(&output));
    Some(serde_json::from_slice(&output.stdout).expect("the script prints JSON"))
}
