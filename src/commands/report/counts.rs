//! What `progress` and `dead-letters` say, summed over the shards.

use std::collections::BTreeMap;
use std::sync::Arc;

use synthllm_log::{Log, LogName};
use synthllm_operators::record::{DeadLetter, Role};
use synthllm_report::{Counted, LEVELS, Outcomes};

use super::super::status::{Shards, progress};
use crate::events::{Counter, Outcome};
use crate::logs;

/// Everything that the roles have counted.
pub fn counted(log: &Arc<dyn Log>) -> anyhow::Result<Counted> {
    let shards = progress(log)?;
    let counted = |counter: Counter| shards.values().filter_map(|shard| shard.counters.get(counter.name())).sum::<u64>();
    let mut rejected = Counter::REJECTED.map(|counter| (reason(counter).to_owned(), counted(counter))).to_vec();
    rejected.extend(Some(("target".to_owned(), counted(Counter::OverTarget))).filter(|(_, dropped)| *dropped > 0));
    Ok(Counted {
        extract: outcomes(&shards, Role::Extract),
        graph: outcomes(&shards, Role::Graph),
        generate: outcomes(&shards, Role::Generate),
        combinations: LEVELS.map(|level| counted(Counter::combinations(level))),
        stuck: counted(Counter::Stuck),
        without_references: counted(Counter::WithoutReferences),
        unsuitable: counted(Counter::Unsuitable),
        questions: LEVELS.map(|level| counted(Counter::questions(level))),
        rejected,
        duplicates: LEVELS.map(|level| counted(Counter::duplicates(level))),
        not_live: counted(Counter::NotLive),
        samples: counted(Counter::Samples),
        withdrawn: counted(Counter::Withdrawn),
        calls: counted(Counter::Calls),
        prompt_tokens: counted(Counter::PromptTokens),
        completion_tokens: counted(Counter::CompletionTokens),
        cost: counted(Counter::CostMicros) as f64 / 1e6,
        dead_letters: dead_letters(log)?,
    })
}

/// `length` of `rejected_length`.
fn reason(counter: Counter) -> &'static str {
    counter.name().trim_start_matches("rejected_")
}

fn outcomes(shards: &Shards, role: Role) -> Outcomes {
    let of_role = || shards.iter().filter(|((of, _), _)| *of == role).map(|(_, progress)| progress);
    let sum = |outcome: Outcome| of_role().map(|progress| progress.outcomes[outcome as usize]).sum();
    Outcomes {
        written: sum(Outcome::Written),
        skipped: sum(Outcome::Skipped),
        superseded: sum(Outcome::Superseded),
        dead_lettered: sum(Outcome::DeadLettered),
    }
}

/// Those that the log still has, by stage.
fn dead_letters(log: &Arc<dyn Log>) -> anyhow::Result<BTreeMap<String, u64>> {
    let mut stages = BTreeMap::new();
    logs::read_all(log, LogName::DeadLetters, |record| {
        if let Some(value) = record.value {
            let letter: DeadLetter = serde_json::from_slice(&value)?;
            *stages.entry(letter.stage).or_default() += 1;
        }
        Ok(())
    })?;
    Ok(stages)
}
