//! `scaling`: the scaling law of measured errors. Reads a file of points, and needs no configuration and no log.

mod text;

use std::io::Read;
use std::path::Path;

use anyhow::Context;
use synthllm_scaling::{Asked, Table, plot, predict, read, report};

use super::{print, print_json};
use crate::cli::{LawArgs, ScalingArgs, ScalingCommand, ScalingFitArgs, ScalingPlotArgs, ScalingPredictArgs};
use crate::hint::Usage;

/// Runs a command under `scaling`.
pub fn execute(args: &ScalingArgs) -> anyhow::Result<()> {
    match &args.command {
        ScalingCommand::Fit(args) => fitted(args),
        ScalingCommand::Predict(args) => predicted(args),
        ScalingCommand::Plot(args) => drawn(args),
    }
}

fn fitted(args: &ScalingFitArgs) -> anyhow::Result<()> {
    positive("--points", args.points)?;
    let asked = Asked { bootstrap: args.law.intervals()?, hold_out: args.hold_out, points: args.points };
    let table = table(&args.law)?;
    let report = report(&table, &args.law.model(), &asked).with_context(|| format!("can't fit {}", name(&args.law)))?;
    if args.json { print_json(&report) } else { print(&text::of_report(&report)?) }
}

fn predicted(args: &ScalingPredictArgs) -> anyhow::Result<()> {
    args.tokens.iter().try_for_each(|tokens| positive("--tokens", *tokens))?;
    let bootstrap = args.law.intervals()?;
    let table = table(&args.law)?;
    let predictions = predict(&table, &args.law.model(), &args.tokens, bootstrap.as_ref());
    let predictions = predictions.with_context(|| format!("can't fit {}", name(&args.law)))?;
    if args.json { print_json(&predictions) } else { print(&text::of_predictions(&predictions)?) }
}

fn drawn(args: &ScalingPlotArgs) -> anyhow::Result<()> {
    args.until.map_or(Ok(()), |tokens| positive("--until", tokens))?;
    let bootstrap = args.law.intervals()?;
    let table = table(&args.law)?;
    let svg = plot(&table, &args.law.model(), bootstrap.as_ref(), args.until);
    let svg = svg.with_context(|| format!("can't fit {}", name(&args.law)))?;
    if args.output == Path::new("-") {
        return print(&svg);
    }
    std::fs::write(&args.output, svg).with_context(|| format!("can't write {}", args.output.display()))
}

fn positive(option: &str, value: f64) -> Result<(), Usage> {
    let possible = value.is_finite() && value > 0.0;
    possible.then_some(()).ok_or_else(|| Usage(format!("{option} {value} is no positive number")))
}

fn table(args: &LawArgs) -> anyhow::Result<Table> {
    let text = if args.file == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(&args.file)
    };
    let failed = || format!("can't read {}", name(args));
    read(&text.with_context(failed)?, &args.reading()).with_context(failed)
}

/// What is read, for messages.
fn name(args: &LawArgs) -> String {
    if args.file == Path::new("-") { "standard input".into() } else { args.file.display().to_string() }
}
