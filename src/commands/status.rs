//! `status`: how far every shard is, what became of what it read, and what it cost, as `progress` says.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use anyhow::Context;
use serde::Serialize;
use synthllm_log::{Log, LogName};
use synthllm_operators::budget::{Amount, Kind};
use synthllm_operators::codec;
use synthllm_operators::record::{Progress, ProgressKey, Role, ShardProgress};

use super::{count, print, print_json};
use crate::cli::JsonArgs;
use crate::config::Config;
use crate::dataflow::clock::today;
use crate::dataflow::target::{self, Standing};
use crate::dataflow::{bill, purse};
use crate::events::{Counter, Outcome};
use crate::logs;

/// Everything that `status --json` prints.
#[derive(Serialize)]
struct Status {
    app: String,
    logs: String,
    shards: Vec<ShardStatus>,
    totals: Totals,
}

#[derive(Serialize)]
struct ShardStatus {
    role: Role,
    shard: u32,
    position: u64,
    end: u64,
    lag: u64,
    outcomes: BTreeMap<&'static str, u64>,
    counters: BTreeMap<String, u64>,
}

#[derive(Serialize)]
struct Totals {
    documents: u64,
    samples: u64,
    /// Questions that filters hold back.
    held: u64,
    combinations: BTreeMap<String, u64>,
    /// The levels that have a target.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    targets: BTreeMap<String, TargetStatus>,
    dead_letters: u64,
    /// Documents that screening did not let in when they came, or does no longer, by reason.
    screened: BTreeMap<&'static str, u64>,
    waiting: BTreeMap<&'static str, u64>,
    calls: u64,
    prompt_tokens: u64,
    completion_tokens: u64,
    cost: f64,
    /// What was spent today (UTC), in tokens and in the currency of the prices.
    today: Spent,
    /// What was spent in the last run that asked a model.
    run: Spent,
    /// The budgets that are set, by key.
    budgets: BTreeMap<&'static str, f64>,
}

/// A target, and how much of it stands.
#[derive(Serialize)]
struct TargetStatus {
    target: u64,
    standing: u64,
    /// Why the last settlement drew no more, where it does not stand.
    #[serde(skip_serializing_if = "Option::is_none")]
    short: Option<String>,
}

/// Money and tokens.
#[derive(Serialize)]
struct Spent {
    tokens: u64,
    cost: f64,
}

impl From<Amount> for Spent {
    fn from(amount: Amount) -> Self {
        Spent { tokens: amount.tokens, cost: amount.cost as f64 / 1e9 }
    }
}

/// Prints the status as a table, or as JSON.
pub fn execute(config: &Config, args: &JsonArgs) -> anyhow::Result<()> {
    let log = logs::open(config)?;
    let status = status(config, &log)?;
    if args.json { print_json(&status) } else { print(&table(&status)?) }
}

fn status(config: &Config, log: &Arc<dyn Log>) -> anyhow::Result<Status> {
    let progress = progress(log)?;
    let mut shards = Vec::new();
    for role in [Role::Extract, Role::Graph, Role::Generate] {
        let input = input_of(role);
        for shard in 0..log.partitions(input)? {
            let start = log.start(input, shard)?;
            let known = progress.get(&(role, shard)).cloned().unwrap_or_default();
            shards.push(shard_status(role, shard, log.end(input, shard)?, start, known));
        }
    }
    Ok(Status { app: config.app.clone(), logs: logs::place(config), totals: totals(config, log, &shards)?, shards })
}

/// The progress of every shard of every role.
pub type Shards = BTreeMap<(Role, u32), ShardProgress>;

/// What each shard committed last.
pub fn progress(log: &Arc<dyn Log>) -> anyhow::Result<Shards> {
    let mut shards = Shards::new();
    for (key, record) in logs::live(log, LogName::Progress)? {
        let name = || format!("can't read progress/{} at offset {}", record.partition, record.offset);
        let key: ProgressKey = String::from_utf8(key).with_context(name)?.parse().with_context(name)?;
        let value = record.value.as_deref().unwrap_or_default();
        if let (ProgressKey::Shard(role, shard), Progress::Shard(progress)) = (key, codec::decode(value).with_context(name)?)
        {
            shards.insert((role, shard), progress);
        }
    }
    Ok(shards)
}

/// The log that a role reads and whose offsets its progress counts.
fn input_of(role: Role) -> LogName {
    match role {
        Role::Extract => LogName::Documents,
        Role::Graph => LogName::Extractions,
        Role::Generate => LogName::Combinations,
    }
}

fn shard_status(role: Role, shard: u32, end: u64, start: u64, progress: ShardProgress) -> ShardStatus {
    let position = progress.position.max(start);
    let outcomes = Outcome::ALL.map(|outcome| (outcome.name(), progress.outcomes[outcome as usize]));
    let (outcomes, counters) = (BTreeMap::from(outcomes), progress.counters);
    ShardStatus { role, shard, position, end, lag: end.saturating_sub(position), outcomes, counters }
}

fn totals(config: &Config, log: &Arc<dyn Log>, shards: &[ShardStatus]) -> anyhow::Result<Totals> {
    let counted = |counter: Counter| shards.iter().filter_map(|shard| shard.counters.get(counter.name())).sum::<u64>();
    let issued = |level: u8| (format!("level{level}"), counted(Counter::combinations(level)));
    let combinations = (1..=3).map(issued).filter(|(_, count)| *count > 0).collect();
    let mut waiting = BTreeMap::new();
    for shard in shards {
        *waiting.entry(input_of(shard.role).name()).or_default() += shard.lag;
    }
    let mut dead_letters = 0;
    logs::read_all(log, LogName::DeadLetters, |record| {
        dead_letters += u64::from(record.value.is_some());
        Ok(())
    })?;
    let screened = Counter::SCREENED.map(|counter| (counter.name(), counted(counter)));
    Ok(Totals {
        screened: screened.into_iter().filter(|(_, count)| *count > 0).collect(),
        documents: logs::live(log, LogName::Extractions)?.len() as u64,
        samples: logs::live(log, LogName::Samples)?.len() as u64,
        held: logs::live(log, LogName::Held)?.len() as u64,
        combinations,
        targets: targets(config, shards),
        dead_letters,
        waiting,
        calls: counted(Counter::Calls),
        prompt_tokens: counted(Counter::PromptTokens),
        completion_tokens: counted(Counter::CompletionTokens),
        cost: counted(Counter::CostMicros) as f64 / 1e6,
        today: shards
            .iter()
            .map(|shard| bill::spent_on(&shard.counters, today()))
            .fold(Amount::default(), Amount::plus)
            .into(),
        run: spent_in_last_run(shards).into(),
        budgets: budgets(config),
    })
}

fn targets(config: &Config, shards: &[ShardStatus]) -> BTreeMap<String, TargetStatus> {
    let of_role = |role: Role| shards.iter().filter(move |shard| shard.role == role).map(|shard| &shard.counters);
    let levels = Standing::of(config, of_role(Role::Generate));
    let status = levels.into_iter().map(|Standing { level, standing, target }| {
        let short = of_role(Role::Graph).find_map(|counters| target::shortage(counters, level));
        let short = short.filter(|_| standing < target).map(|short| short.reason(level));
        (format!("level{level}"), TargetStatus { target, standing, short })
    });
    status.collect()
}

/// A shard that spent nothing in the last run still tells of an earlier one.
fn spent_in_last_run(shards: &[ShardStatus]) -> Amount {
    let runs: Vec<(u64, Amount)> = shards.iter().filter_map(|shard| bill::spent_in_run(&shard.counters)).collect();
    let last = runs.iter().map(|(run, _)| *run).max();
    runs.iter().filter(|(run, _)| Some(*run) == last).fold(Amount::default(), |sum, (_, spent)| sum.plus(*spent))
}

fn budgets(config: &Config) -> BTreeMap<&'static str, f64> {
    let limits = config.budget.limits();
    let unit = |kind: Kind| if kind.counts_tokens() { 1.0 } else { 1e9 };
    let limit = |kind: Kind| Some((purse::name(kind), limits.of(kind)? as f64 / unit(kind)));
    Kind::ALL.into_iter().filter_map(limit).collect()
}

/// For people: a line per role and shard that has or had something to do, then the totals.
fn table(status: &Status) -> Result<String, std::fmt::Error> {
    let mut text = format!("{} in {}\n\n", status.app, status.logs);
    writeln!(
        text,
        "{:<10}{:>6}{:>12}{:>12}{:>10}{:>10}{:>12}{:>14}",
        "role", "shard", "position", "waiting", "written", "skipped", "superseded", "dead letters"
    )?;
    for shard in status.shards.iter().filter(|shard| shard.end > 0) {
        let outcome = |outcome: Outcome| shard.outcomes[outcome.name()];
        writeln!(
            text,
            "{:<10}{:>6}{:>12}{:>12}{:>10}{:>10}{:>12}{:>14}",
            shard.role.name(),
            shard.shard,
            shard.position,
            shard.lag,
            outcome(Outcome::Written),
            outcome(Outcome::Skipped),
            outcome(Outcome::Superseded),
            outcome(Outcome::DeadLettered)
        )?;
    }
    let Totals {
        documents,
        samples,
        held,
        combinations,
        targets,
        dead_letters,
        screened,
        calls,
        prompt_tokens,
        completion_tokens,
        cost,
        today,
        run,
        budgets,
        ..
    } = &status.totals;
    writeln!(
        text,
        "\n{} extracted, {}, {} held back, {}",
        count(*documents, "document"),
        count(*samples, "sample"),
        count(*held, "question"),
        count(*dead_letters, "dead letter")
    )?;
    if !screened.is_empty() {
        let reasons: Vec<String> = screened.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
        writeln!(
            text,
            "not let in so far: {} (`screen list` has those of now)",
            reasons.join(", ").replace("screened_", "")
        )?;
    }
    for (level, number) in combinations {
        writeln!(text, "{} of {} issued", count(*number, "combination"), level.replace("level", "level "))?;
    }
    for (level, TargetStatus { target, standing, short }) in targets {
        let short = short.as_ref().map(|short| format!(": {short}")).unwrap_or_default();
        writeln!(text, "{standing} of {target} samples of {} stand{short}", level.replace("level", "level "))?;
    }
    writeln!(text, "{}, {prompt_tokens} + {completion_tokens} tokens, cost {cost:.4}", count(*calls, "call"))?;
    for (when, spent, per_day) in [("in the last run", run, ""), ("today (UTC)", today, "_per_day")] {
        let of = |unit: &str| of_budget(budgets, &format!("budget.{unit}{per_day}"));
        let Spent { tokens, cost } = spent;
        writeln!(text, "spent {when}: {tokens}{} tokens, cost {cost:.4}{}", of("tokens"), of("cost"))?;
    }
    Ok(text)
}

/// ` of 1000`, where there is such a budget.
fn of_budget(budgets: &BTreeMap<&'static str, f64>, key: &str) -> String {
    budgets.get(key).map(|limit| format!(" of {limit}")).unwrap_or_default()
}
