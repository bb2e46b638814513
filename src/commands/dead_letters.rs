//! `dead-letters list`: where each record comes from that could not be used, and why.

use std::fmt::Write;

use anyhow::Context;
use synthllm_log::LogName;
use synthllm_operators::record::DeadLetter;

use super::{count, print};
use crate::cli::JsonArgs;
use crate::config::Config;
use crate::logs;

/// Lists all dead letters, oldest first per partition; with `--json` one object a line, original bytes included.
pub fn list(config: &Config, args: &JsonArgs) -> anyhow::Result<()> {
    let log = logs::open(config)?;
    let mut text = String::new();
    let mut letters = 0;
    logs::read_all(&log, LogName::DeadLetters, |record| {
        let Some(value) = record.value else { return Ok(()) };
        let letter: DeadLetter = serde_json::from_slice(&value).context("the record is no dead letter")?;
        letters += 1;
        if args.json {
            writeln!(text, "{}", serde_json::to_string(&letter)?)?;
        } else {
            describe(&letter, &mut text)?;
        }
        Ok(())
    })?;
    if !args.json {
        _ = writeln!(text, "{}", count(letters, "dead letter"));
    }
    print(&text)
}

fn describe(letter: &DeadLetter, text: &mut String) -> std::fmt::Result {
    write!(text, "{}/{} at offset {}", letter.log, letter.partition, letter.offset)?;
    if let Some(key) = &letter.key {
        write!(text, ", key {key:?}")?;
    }
    writeln!(text, "\n  {} of {}: {}", letter.stage, letter.role, letter.reason)?;
    match &letter.answer {
        Some(answer) => writeln!(text, "  the model's answer: {}", shortened(answer)),
        None => Ok(()),
    }
}

/// One line of at most 200 characters.
fn shortened(answer: &str) -> String {
    let line = answer.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(200) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line,
    }
}
