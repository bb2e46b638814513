//! `screen list`: the documents of the log that screening does not let in.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use serde::Serialize;
use synthllm_log::{Log, LogName};
use synthllm_operators::codec;
use synthllm_operators::record::ScoredHead;
use synthllm_operators::screen::Reason;

use super::super::{count, print};
use crate::cli::ScreenListArgs;
use crate::config::Config;
use crate::logs;

/// A line of the list, in the form of `screen select --rejected`.
#[derive(Serialize)]
struct Line<'a> {
    id: &'a str,
    score: Option<f64>,
    reason: &'static str,
}

/// Prints the list.
pub fn execute(config: &Config, args: &ScreenListArgs) -> anyhow::Result<()> {
    let rejected = rejected(&logs::open(config)?)?;
    let mut text = String::new();
    for (id, (reason, score)) in &rejected {
        let line = Line { id, score: *score, reason: reason.name() };
        if args.json {
            writeln!(text, "{}", serde_json::to_string(&line)?)?;
        } else {
            let score = score.map_or("-".to_owned(), |score| format!("{score:.2}"));
            writeln!(text, "{score:>6}  {:<14} {id}", line.reason)?;
        }
    }
    if !args.json {
        text += &summary(&rejected)?;
    }
    print(&text)
}

/// By id, why each document is rejected, and its score. The embeddings are not held.
fn rejected(log: &Arc<dyn Log>) -> anyhow::Result<BTreeMap<String, (Reason, Option<f64>)>> {
    let mut rejected = BTreeMap::new();
    logs::read_all(log, LogName::Scores, |record| {
        let id = String::from_utf8_lossy(record.key.as_deref().unwrap_or_default()).into_owned();
        let head = record.value.as_deref().map(codec::decode_beginning::<ScoredHead>).transpose()?;
        match head.and_then(|head| Some((head.rejected?, head.score))) {
            Some(said) => _ = rejected.insert(id, said),
            None => _ = rejected.remove(&id),
        }
        Ok(())
    })?;
    Ok(rejected)
}

fn summary(rejected: &BTreeMap<String, (Reason, Option<f64>)>) -> Result<String, std::fmt::Error> {
    let mut counts: BTreeMap<Reason, usize> = BTreeMap::new();
    rejected.values().for_each(|(reason, _)| *counts.entry(*reason).or_default() += 1);
    let mut text = format!("rejected: {}\n", count(rejected.len() as u64, "document"));
    for (reason, count) in counts {
        writeln!(text, "  {}: {count}", reason.name())?;
    }
    Ok(text)
}
