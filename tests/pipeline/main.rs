//! The whole pipeline as its users meet it: the real program, a real SQLite file, a scripted model.

mod aliases;
mod bad_input;
mod bounds;
mod budget;
mod changes;
mod faults;
mod filters;
mod graph_updates;
mod held;
mod judgements;
mod merges;
mod more;
mod near_duplicates;
mod plan;
mod reconcile;
mod redo;
mod report;
mod running;
mod samples;
mod screening;
mod settled;
mod subsets;
mod target;
mod twins;

use std::collections::BTreeMap;

use synthllm_operators::provenance::Withdraw;
use synthllm_operators::record::Sample;
use synthllm_testkit::judge;
use synthllm_testkit::project::Project;
use synthllm_testkit::scripted::{Options, ScriptedServer};

type Samples = BTreeMap<String, Sample>;

/// A server without faults.
fn server() -> ScriptedServer {
    ScriptedServer::start(Options::default())
}

/// A project whose model is this server.
fn project(server: &ScriptedServer) -> Project {
    Project::new(env!("CARGO_BIN_EXE_synthllm"), &server.endpoint())
}

/// The samples of a drained project, which keeps the invariants.
fn sound_samples(project: &Project) -> Samples {
    assert_eq!(judge::violations(&project.logs(), Withdraw::Deleted), Vec::<String>::new());
    project.logs().samples()
}

/// The samples of one level.
fn of_level(samples: &Samples, level: u8) -> Vec<&Sample> {
    samples.values().filter(|sample| sample.level == level).collect()
}

/// How often the server was asked for a task.
fn requests(server: &ScriptedServer, task: &str) -> usize {
    server.seen().iter().filter(|seen| seen.task == task).count()
}

/// Whether a sample stands on a document.
fn stands_on(sample: &Sample, document: &str) -> bool {
    sample.provenance.documents.iter().any(|cited| cited.id == document)
}
