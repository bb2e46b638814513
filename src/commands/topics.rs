//! `topics create`: makes the logs that are missing.

use synthllm_log::LogName;

use super::print;
use crate::config::Config;
use crate::logs;

/// Creates what is missing and says what that was. A second call creates nothing.
pub fn create(config: &Config) -> anyhow::Result<()> {
    let created = logs::create(config)?;
    let text = match created.as_slice() {
        [] => format!("nothing to do: all {} logs exist in {}\n", LogName::ALL.len(), logs::place(config)),
        names => format!("created in {}:\n  {}\n", logs::place(config), names.join("\n  ")),
    };
    print(&text)
}
