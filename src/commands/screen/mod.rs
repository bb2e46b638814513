//! `screen`: which documents belong to the domain, learnt from the model's ratings of a few.

pub(super) mod caller;
mod checks;
mod cold;
mod corpus;
mod eval;
mod journal;
mod list;
mod rate;
mod select;
pub(super) mod text;
mod train;
mod verdict;

use std::path::{Path, PathBuf};

use anyhow::Context;
use synthllm_screening::Model;

use crate::cli::{ScreenArgs, ScreenCommand};
use crate::config::Config;
use crate::dataflow::screen::check_embedder;

/// Runs a command under `screen`.
pub fn execute(config: &Config, args: &ScreenArgs) -> anyhow::Result<()> {
    match &args.command {
        ScreenCommand::Train(args) => train::execute(config, args),
        ScreenCommand::Eval(args) => eval::execute(config, args),
        ScreenCommand::Select(args) => select::execute(config, args),
        ScreenCommand::List(args) => list::execute(config, args),
    }
}

/// Reads a model.
fn read_model(path: &Path) -> anyhow::Result<Model> {
    let failed = || format!("can't read {}", path.display());
    let bytes = std::fs::read(path).with_context(failed)?;
    Model::from_bytes(&bytes).with_context(failed)
}

/// The folder that keeps the answers: the one that was named, or beside what comes of them.
pub(super) fn work_folder(output: &Path, named: Option<&Path>) -> PathBuf {
    named.map_or_else(
        || {
            let mut name = output.as_os_str().to_owned();
            name.push(".work");
            PathBuf::from(name)
        },
        Path::to_owned,
    )
}
