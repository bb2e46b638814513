//! The commands: one file each. They read and write logs and know nothing of each other.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use clap::CommandFactory;
use serde::Serialize;

use crate::cli::{Cli, Command, DeadLettersCommand, GraphCommand, HeldCommand, TopicsCommand};
use crate::config::{self, Config, Problems};
use crate::terminal::{self, count};

pub use crate::logs::open_or_create as open_log;

mod check;
mod dead_letters;
mod delete;
mod export;
mod graph;
mod held;
pub mod ingest;
mod merge;
mod plan;
mod redo;
mod report;
mod scaling;
mod screen;
mod status;
mod topics;

/// The file that is read when the user names none.
const DEFAULT_FILE: &str = "synthllm.toml";

/// Runs the command of a command line.
pub fn execute(cli: &Cli) -> anyhow::Result<ExitCode> {
    terminal::init(cli.verbose, cli.quiet, cli.log_format);
    if let Command::Completions(args) = &cli.command {
        clap_complete::generate(args.shell, &mut Cli::command(), "synthllm", &mut std::io::stdout());
        return Ok(ExitCode::SUCCESS);
    }
    // The scaling law is about a file of points; no pipeline need be configured.
    if let Command::Scaling(args) = &cli.command {
        return scaling::execute(args).map(success);
    }
    let config = configuration(cli)?;
    match &cli.command {
        Command::Ingest(args) => ingest::execute(&config, args),
        Command::Run(args) => crate::run::run(&config, &args.options()?),
        Command::Export(args) => export::execute(&config, args).map(success),
        Command::Delete(args) => delete::execute(&config, args).map(success),
        Command::Redo(args) => redo::execute(&config, args).map(success),
        Command::Graph(args) => match &args.command {
            GraphCommand::Stats(args) => graph::stats(&config, args).map(success),
            GraphCommand::Neighbors(args) => graph::neighbors(&config, args).map(success),
            GraphCommand::Draw(args) => graph::draw(&config, args).map(success),
            GraphCommand::Merge(args) => merge::execute(&config, args).map(success),
        },
        Command::Plan(args) => plan::execute(&config, args).map(success),
        Command::Screen(args) => screen::execute(&config, args).map(success),
        Command::Report(args) => report::execute(&config, args).map(success),
        Command::Status(args) => status::execute(&config, args).map(success),
        Command::Check(args) => check::execute(&config, args, &shown_file(cli)).map(success),
        Command::Held(args) => match &args.command {
            HeldCommand::List(args) => held::list(&config, args).map(success),
        },
        Command::DeadLetters(args) => match &args.command {
            DeadLettersCommand::List(args) => dead_letters::list(&config, args).map(success),
        },
        Command::Topics(args) => match args.command {
            TopicsCommand::Create => topics::create(&config).map(success),
        },
        Command::Completions(_) | Command::Scaling(_) => Ok(ExitCode::SUCCESS),
    }
}

fn success((): ()) -> ExitCode {
    ExitCode::SUCCESS
}

fn configuration(cli: &Cli) -> Result<Config, Problems> {
    match &cli.config {
        Some(path) => config::load(path, true),
        None => config::load(DEFAULT_FILE.as_ref(), false),
    }
}

/// What the configuration was read from, for messages.
fn shown_file(cli: &Cli) -> String {
    match &cli.config {
        Some(path) => path.display().to_string(),
        None if Path::new(DEFAULT_FILE).exists() => DEFAULT_FILE.to_owned(),
        None => format!("the defaults (there is no {DEFAULT_FILE})"),
    }
}

/// Prints text on standard output. A reader that has gone away (`| head`) is no error.
fn print(text: &str) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// Prints a value as indented JSON on standard output.
fn print_json<T: Serialize>(value: &T) -> anyhow::Result<()> {
    print(&(serde_json::to_string_pretty(value)? + "\n"))
}
