//! `check`: the configuration, which has been read without a problem by then; with `--connect` also what it points to.
use crate::cli::CheckArgs;
use crate::config::Config;

pub fn execute(_config: &Config, _args: &CheckArgs, _file: &str) -> anyhow::Result<()> {
    Ok(())
}
