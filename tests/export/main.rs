//! `export` as its users meet it: the real program on a SQLite file that a scripted model has filled, and the packages that read
//! what it writes.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod chosen;
mod folders;
mod increments;
mod loads;

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;
use synthllm_operators::record::Sample;
use synthllm_testkit::corpus::{any_document, document};
use synthllm_testkit::project::Project;
use synthllm_testkit::scripted::{Options, ScriptedServer};

/// A project with samples of all levels: some without an answer, some with a score.
fn filled() -> (ScriptedServer, Project) {
    let server = ScriptedServer::start(Options::default());
    let mut project = Project::new(env!("CARGO_BIN_EXE_synthllm"), &server.endpoint());
    // A cost of nothing but zeros would be whole numbers to pandas.
    project.set("llm.price", "{ prompt = 0.5, completion = 1.5 }");
    for (answers, numbers) in [(1, 0..5), (0, 5..7), (2, 7..9)] {
        project.set("generate.answers", answers);
        project.ingest(&numbers.map(|number| any_document(number, 0)).collect::<Vec<_>>());
        project.drain();
    }
    // Documents of levels 1 and 2 alone are groups of their own, some of which are held out.
    project.set("generate.answers", 1).set("sampling.levels", "[1, 2]");
    project.ingest(&(20..40).map(|number| document(number, 0)).collect::<Vec<_>>());
    project.drain();
    (server, project)
}

/// Exports, and returns what was printed.
fn export(project: &Project, arguments: &[&str]) -> String {
    project.succeed(&[&["export"], arguments].concat())
}

fn live(project: &Project) -> BTreeMap<String, Sample> {
    project.logs().samples()
}

/// The lines of all files of a split, in order of their names.
fn lines(folder: &Path, split: &str) -> Vec<Value> {
    let mut names: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.retain(|path| path.file_name().unwrap().to_str().unwrap().starts_with(&format!("{split}-")));
    names.sort();
    names.iter().flat_map(|path| json_lines(path)).collect()
}

fn json_lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn id(row: &Value) -> &str {
    row["id"].as_str().unwrap()
}
