//! The commands: one file each. They read and write logs and know nothing of each other.

use std::process::ExitCode;

use crate::cli::{Cli, Command};
use crate::config::{self, Config};

/// Runs the command of a command line.
pub fn execute(cli: &Cli) -> anyhow::Result<ExitCode> {
    let config = configuration(cli)?;
    match &cli.command {
        Command::Run(args) => crate::run::run(&config, &args.options()),
        _ => anyhow::bail!("not wired"),
    }
}

fn configuration(cli: &Cli) -> Result<Config, config::Problems> {
    match &cli.config {
        Some(path) => config::load(path, true),
        None => config::load("synthllm.toml".as_ref(), false),
    }
}
