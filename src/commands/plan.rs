//! `plan`: what a run would ask of the models, before it is made. Reads logs and files, asks no model, changes nothing.

mod backlog;
mod forecast;
mod known;
mod range;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use serde::Serialize;
use synthllm_llm::{Prompts, Schema};
use synthllm_log::{Log, LogError};
use synthllm_operators::answers;
use synthllm_operators::budget::Kind;

use self::backlog::{Backlog, Counts};
use self::forecast::{Combinations, Forecast, Forecaster, Row, estimated};
use self::known::Known;
use self::range::Range;
use super::{print, print_json};
use crate::cli::PlanArgs;
use crate::config::Config;
use crate::dataflow::{purse, screen::Screen};
use crate::{logs, run};

/// Everything that `plan --json` prints.
#[derive(Serialize)]
struct Plan {
    app: String,
    documents: Counts,
    #[serde(flatten)]
    forecast: Forecast,
    assumed: Vec<String>,
    /// Budgets that are less than the most that the run may need, by key.
    budgets_below: BTreeMap<&'static str, f64>,
}

/// Prints the plan for a `run --drain` as it would be made now.
pub fn execute(config: &Config, args: &PlanArgs) -> anyhow::Result<()> {
    let log = open(config, args)?;
    let extract_prompts = run::prompts(config, config.extract.max_prompt_tokens)?;
    let generate_prompts = run::prompts(config, config.generate.max_prompt_tokens)?;
    let screen = Screen::load(config)?;
    let known = match &log {
        Some(log) => known::read(config, &extract_prompts, &screen, log)?,
        None => Known::default(),
    };
    let reader = backlog::Reader { config, prompts: &extract_prompts, screen: &screen, known: &known };
    let backlog = reader.read(log.as_ref(), &args.files, args.sample)?;
    let plan = plan(config, &generate_prompts, &screen, &known, backlog);
    if args.json { print_json(&plan) } else { print(&table(config, &plan)?) }
}

/// Files can be planned for before there is any log.
fn open(config: &Config, args: &PlanArgs) -> anyhow::Result<Option<Arc<dyn Log>>> {
    match logs::open(config) {
        Ok(log) => Ok(Some(log)),
        Err(error) if !args.files.is_empty() && matches!(error.downcast_ref(), Some(LogError::Missing { .. })) => Ok(None),
        Err(error) => Err(error),
    }
}

fn plan(config: &Config, prompts: &Prompts, screen: &Screen, known: &Known, backlog: Backlog) -> Plan {
    let (embeds, compares) = (screen.embeds(), !screen.is_off());
    let (forecast, assumed) = Forecaster { config, prompts, embeds, compares, known, backlog: &backlog }.forecast();
    let total = forecast.total;
    let limits = config.budget.limits();
    let below = |kind: Kind| {
        let (most, unit) = if kind.counts_tokens() {
            (total.prompt_tokens.high + total.completion_tokens.high, 1.0)
        } else {
            (total.cost.high, 1e9)
        };
        let limit = limits.of(kind)? as f64 / unit;
        (limit < most).then_some((purse::name(kind), limit))
    };
    let budgets_below = Kind::ALL.into_iter().filter_map(below).collect();
    Plan { app: config.app.clone(), documents: backlog.counts, forecast, assumed, budgets_below }
}

/// The estimated tokens of the prompt that asks for the concepts of a text.
fn plain_extract(prompts: &Prompts, text: &str) -> f64 {
    let schema = Schema::new("extraction", answers::extraction_schema(&answers::Limits::default()));
    estimated(&prompts.extract(text, schema))
}

fn table(config: &Config, plan: &Plan) -> Result<String, std::fmt::Error> {
    let Plan { documents, forecast, .. } = plan;
    let mut text = format!("what `run --drain` of {} would ask of the models now\n\n", plan.app);
    writeln!(
        text,
        "documents     {} waiting: {} to extract, {} with concepts of their own, {} unchanged, {} deletions, {} unusable",
        documents.waiting,
        documents.extract,
        documents.own_concepts,
        documents.unchanged,
        documents.deleted,
        documents.unusable
    )?;
    if documents.rejected > 0 {
        writeln!(text, "rejected      {} by the limits of texts", documents.rejected)?;
    }
    let Combinations { level1, level2, level3 } = &forecast.combinations;
    writeln!(text, "combinations  level 1: {}, level 2: {}, level 3: {}\n", level1.text(), level2.text(), level3.text())?;
    writeln!(text, "{:<10}{:>20}{:>26}{:>26}{:>22}", "task", "calls", "prompt tokens", "completion tokens", "cost")?;
    let embed = forecast.embed.map(|row| ("embed", row));
    let rows = [("extract", forecast.extract), ("question", forecast.question), ("answer", forecast.answer)];
    let judge = config.generate.judges().then_some(("judge", forecast.judge));
    for (name, row) in embed.into_iter().chain(rows).chain(judge).chain([("total", forecast.total)]) {
        let Row { calls, prompt_tokens, completion_tokens, cost } = row;
        let (calls, prompt, completion) = (calls.text(), prompt_tokens.text(), completion_tokens.text());
        writeln!(text, "{name:<10}{calls:>20}{prompt:>26}{completion:>26}{:>22}", money(cost))?;
    }
    writeln!(text, "\nassumed:")?;
    plan.assumed.iter().try_for_each(|assumption| writeln!(text, "- {assumption}"))?;
    let free = |price: synthllm_llm::Price| price.prompt <= 0.0 && price.completion <= 0.0;
    if config.tasks().into_iter().all(|task| free(config.llm.of(task).settings.price)) {
        writeln!(text, "- no price is configured (`llm.price`)")?;
    }
    for (key, limit) in &plan.budgets_below {
        writeln!(text, "\n{key} = {limit} may end the run before that")?;
    }
    Ok(text)
}

fn money(cost: Range) -> String {
    format!("{:.4} to {:.4}", cost.low, cost.high)
}
