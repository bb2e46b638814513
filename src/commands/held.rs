//! `held list`: the questions that filters hold back, each with its filter and what is wrong with it.

use std::collections::BTreeMap;
use std::fmt::Write;

use anyhow::Context;
use synthllm_log::LogName;
use synthllm_operators::codec;
use synthllm_operators::record::Held;

use super::{count, print};
use crate::cli::HeldListArgs;
use crate::config::Config;
use crate::logs;

/// Lists what is held back, in the order of the samples' ids, and counts it by filter; with `--json` one object a line.
pub fn list(config: &Config, args: &HeldListArgs) -> anyhow::Result<()> {
    let log = logs::open(config)?;
    let mut text = String::new();
    let mut by_reason: BTreeMap<String, u64> = BTreeMap::new();
    for (key, record) in logs::live(&log, LogName::Held)? {
        let place = || format!("can't read held/{} at offset {}", record.partition, record.offset);
        let held: Held = codec::decode(record.value.as_deref().unwrap_or_default()).with_context(place)?;
        if args.reason.as_ref().is_some_and(|reason| *reason != held.reason) {
            continue;
        }
        if args.json {
            writeln!(text, "{}", serde_json::to_string(&held)?)?;
        } else {
            let Held { reason, details, sample, .. } = &held;
            let answered = if sample.answer.is_some() { ", answered" } else { "" };
            writeln!(text, "{}, level {}{answered}", String::from_utf8_lossy(&key), sample.level)?;
            writeln!(text, "  {reason}: {details}\n  {}", sample.question.split_whitespace().collect::<Vec<_>>().join(" "))?;
        }
        *by_reason.entry(held.reason).or_default() += 1;
    }
    if !args.json {
        let each: Vec<String> = by_reason.iter().map(|(reason, number)| format!("{reason} {number}")).collect();
        let all = count(by_reason.values().sum(), "question");
        writeln!(text, "{all} held back{}", if each.is_empty() { String::new() } else { format!(": {}", each.join(", ")) })?;
    }
    print(&text)
}
