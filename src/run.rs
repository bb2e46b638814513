//! Starts and stops the roles.

use std::path::PathBuf;
use std::process::ExitCode;

use synthllm_operators::record::Role;

use crate::config::Config;

/// What describes this process, as opposed to the pipeline.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RunOptions {
    /// The roles of this process, in the order of the pipeline.
    pub roles: Vec<Role>,
    /// Whether to end when everything that was there at the start is done.
    pub drain: bool,
    /// Worker threads of this process.
    pub workers: usize,
    /// Processes that share the work.
    pub processes: usize,
    /// Which of them this is, from 0.
    pub process: usize,
    /// The file with the address of every process.
    pub hosts: Option<PathBuf>,
    /// Whether to take over from another `run` on the same SQLite file.
    pub take_over: bool,
}

/// Runs the roles until stopped or drained.
pub fn run(_config: &Config, options: &RunOptions) -> anyhow::Result<ExitCode> {
    anyhow::bail!("can't run {:?}: this build has no roles", options.roles)
}
