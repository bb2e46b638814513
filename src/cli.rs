//! The command line. Every word that a user reads here is under snapshot test (`tests/cli.rs`).

mod export;
mod merge;
mod report;
mod scaling;
mod screen;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use synthllm_operators::record::Role;

pub use self::export::ExportArgs;
pub use self::merge::MergeArgs;
pub use self::report::ReportArgs;
pub use self::scaling::{LawArgs, ScalingArgs, ScalingCommand, ScalingFitArgs, ScalingPlotArgs, ScalingPredictArgs};
pub use self::screen::{ScreenArgs, ScreenCommand, ScreenEvalArgs, ScreenListArgs, ScreenSelectArgs, ScreenTrainArgs};
use crate::hint::Usage;
use crate::run::RunOptions;

/// Turns a stream of documents into a stream of grounded question-answer samples.
#[derive(Parser, Debug)]
#[command(name = "synthllm", version, max_term_width = 100, disable_help_subcommand = true)]
#[command(
    after_help = "Begin with `synthllm ingest FILE`, then `synthllm run --drain`, then `synthllm export samples.jsonl`.\n\
                        Exit codes: 0 done, 1 failed while running, 2 wrong usage or configuration."
)]
pub struct Cli {
    /// The configuration file; without it, synthllm.toml where there is one
    #[arg(long, short, global = true, value_name = "FILE", env = "SYNTHLLM_CONFIG")]
    pub config: Option<PathBuf>,

    /// Say more: every epoch and retry with -v, every record with -vv
    #[arg(long, short, global = true, action = clap::ArgAction::Count, conflicts_with = "quiet")]
    pub verbose: u8,

    /// Say only what is wrong, and show no progress
    #[arg(long, short, global = true)]
    pub quiet: bool,

    /// The form of log lines on standard error
    #[arg(long, global = true, value_name = "FORMAT", default_value = "text")]
    pub log_format: LogFormat,

    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// The form of log lines.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

/// The commands.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Put documents into the log
    Ingest(IngestArgs),
    /// Turn documents into samples, until stopped or drained
    Run(RunArgs),
    /// Write the live samples to a file or folder, or what has changed since
    Export(ExportArgs),
    /// Delete documents; `run` then withdraws the samples grounded on them
    Delete(DeleteArgs),
    /// Pay again on purpose: extract documents anew, and replace the samples grounded on each alone
    Redo(RedoArgs),
    /// Look at the concept graph, and propose which concepts are one
    Graph(GraphArgs),
    /// Estimate calls, tokens and cost of a run before it is made
    Plan(PlanArgs),
    /// Fit the scaling law of error against training tokens, and predict by it
    Scaling(ScalingArgs),
    /// Learn which documents belong to the domain, and say how well
    Screen(ScreenArgs),
    /// Say how diverse samples are, what they cover, and what they cost, as a page or JSON
    Report(ReportArgs),
    /// Show how far every shard is, and what it cost
    Status(JsonArgs),
    /// Check the configuration, and with --connect what it points to
    Check(CheckArgs),
    /// Look at the records that could not be used
    DeadLetters(DeadLettersArgs),
    /// Look at the questions that filters hold back
    Held(HeldArgs),
    /// Create the logs
    Topics(TopicsArgs),
    /// Print a completion script for a shell
    Completions(CompletionsArgs),
}

/// `ingest`
#[derive(Args, Debug)]
#[command(
    after_help = "A line is a JSON object: {\"id\"?, \"text\"?, \"topics\"?, \"concepts\"?, \"source\"?, \"url\"?, \"license\"?, ...}.\n\
                        Without an id, the hash of the text is the id. A line that is no document is reported with its\n\
                        number and the rest goes in."
)]
pub struct IngestArgs {
    /// JSON Lines (also .gz and .zst), folders of .txt and .md files, or - for standard input
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,

    /// Exit with 1 when a line was no document
    #[arg(long)]
    pub strict: bool,
}

/// `run`
#[derive(Args, Debug)]
pub struct RunArgs {
    /// Only these roles, separated by commas
    #[arg(long, value_name = "ROLE", value_delimiter = ',', default_value = "all")]
    pub role: Vec<RoleArg>,

    /// Stop when all documents that are there now have become samples
    #[arg(long)]
    pub drain: bool,

    /// Worker threads of this process
    #[arg(long, short, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub workers: u16,

    /// How many processes share the work
    #[arg(long, short = 'n', value_name = "N", default_value_t = 1, requires = "hosts",
          value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub processes: u16,

    /// Which of them this is, from 0
    #[arg(long, short, value_name = "I", default_value_t = 0, requires = "processes")]
    pub process: u16,

    /// A file with the HOST:PORT of every process, one a line
    #[arg(long, value_name = "FILE", requires = "processes")]
    pub hosts: Option<PathBuf>,

    /// Take over from another `run` on the same SQLite file, which then ends
    #[arg(long)]
    pub take_over: bool,
}

/// A role, or all of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum RoleArg {
    /// Every role
    All,
    /// Documents to concepts
    Extract,
    /// Concepts to combinations
    Graph,
    /// Combinations to samples
    Generate,
}

impl RunArgs {
    /// The options of the run, each role once and in the order of the pipeline.
    pub fn options(&self) -> Result<RunOptions, Usage> {
        if self.process >= self.processes {
            let message = format!("--process {} is too great: {} processes count from 0", self.process, self.processes);
            return Err(Usage(message));
        }
        let wanted = |role, arg| (self.role.contains(&RoleArg::All) || self.role.contains(&arg)).then_some(role);
        let roles = [
            wanted(Role::Extract, RoleArg::Extract),
            wanted(Role::Graph, RoleArg::Graph),
            wanted(Role::Generate, RoleArg::Generate),
        ];
        Ok(RunOptions {
            roles: roles.into_iter().flatten().collect(),
            drain: self.drain,
            workers: usize::from(self.workers),
            processes: usize::from(self.processes),
            process: usize::from(self.process),
            hosts: self.hosts.clone(),
            take_over: self.take_over,
        })
    }
}

/// `delete`
#[derive(Args, Debug)]
pub struct DeleteArgs {
    /// The ids of the documents
    #[arg(value_name = "ID", required_unless_present_any = ["from_file", "source"])]
    pub ids: Vec<String>,

    /// A file of ids, one a line, or of JSON objects with an "id"; - for standard input
    #[arg(long, value_name = "FILE")]
    pub from_file: Option<PathBuf>,

    /// All live documents whose source is exactly this
    #[arg(long, value_name = "SOURCE")]
    pub source: Option<String>,

    /// Print the ids, one a line, and delete nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// `redo`
#[derive(Args, Debug)]
#[command(
    after_help = "The next `run` asks the present models with the present prompts. Samples of levels 1 and 2 on these\n\
                        documents are replaced, and count against `sampling.limit` again. Samples of level 3 stay, unless\n\
                        `generate.withdraw` is \"deleted-or-changed\"."
)]
pub struct RedoArgs {
    /// The ids of the documents
    #[arg(value_name = "ID", required_unless_present = "from_file")]
    pub ids: Vec<String>,

    /// A file of ids, one a line; - for standard input
    #[arg(long, value_name = "FILE")]
    pub from_file: Option<PathBuf>,
}

/// `graph`
#[derive(Args, Debug)]
pub struct GraphArgs {
    /// What to do
    #[command(subcommand)]
    pub command: GraphCommand,
}

/// The commands under `graph`.
#[derive(Subcommand, Debug)]
pub enum GraphCommand {
    /// Count documents, concepts and distinct edges
    Stats(JsonArgs),
    /// List the concepts that occur together with a concept, most frequent first
    Neighbors(NeighborsArgs),
    /// Draw combinations over all documents without asking any model, one JSON object a line
    Draw(DrawArgs),
    /// Propose which concepts are one under several names, by the embeddings of their names
    Merge(MergeArgs),
}

/// `graph neighbors`
#[derive(Args, Debug)]
pub struct NeighborsArgs {
    /// The concept; case, width and spaces don't matter
    pub concept: String,

    /// At most so many of each kind
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub limit: usize,

    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `graph draw`
#[derive(Args, Debug)]
pub struct DrawArgs {
    /// How many combinations
    #[arg(value_name = "N")]
    pub count: u64,
}

/// `plan`
#[derive(Args, Debug)]
#[command(
    after_help = "The range is wide until some documents have become samples: a small run first, with `sampling.limit`\n\
                        or `budget.tokens`, teaches it how your models answer. No model is asked, nothing is changed."
)]
pub struct PlanArgs {
    /// Files as for `ingest`, which are planned for beside the documents that wait in the log
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,

    /// Read at most so many of the documents that wait in the log; they stand for the rest
    #[arg(long, value_name = "N", default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub sample: u64,

    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// The switch of commands that print for people or for programs.
#[derive(Args, Debug)]
pub struct JsonArgs {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `check`
#[derive(Args, Debug)]
pub struct CheckArgs {
    /// Also look at the logs and ask the endpoints for their models
    #[arg(long)]
    pub connect: bool,
}

/// `dead-letters`
#[derive(Args, Debug)]
pub struct DeadLettersArgs {
    /// What to do with them
    #[command(subcommand)]
    pub command: DeadLettersCommand,
}

/// The commands under `dead-letters`.
#[derive(Subcommand, Debug)]
pub enum DeadLettersCommand {
    /// List where each comes from and why it could not be used
    List(JsonArgs),
}

/// `held`
#[derive(Args, Debug)]
pub struct HeldArgs {
    /// What to do with them
    #[command(subcommand)]
    pub command: HeldCommand,
}

/// The commands under `held`.
#[derive(Subcommand, Debug)]
pub enum HeldCommand {
    /// List each with the filter that holds it back and why
    List(HeldListArgs),
}

/// `held list`
#[derive(Args, Debug)]
pub struct HeldListArgs {
    /// Only those of this filter: length, repetition, language, benchmark, near-duplicate, judge, duplicate or target
    #[arg(long, value_name = "FILTER", value_parser = ["length", "repetition", "language", "benchmark", "near-duplicate", "judge", "duplicate", "target"])]
    pub reason: Option<String>,

    /// One JSON object a line, the whole sample included
    #[arg(long)]
    pub json: bool,
}

/// `topics`
#[derive(Args, Debug)]
pub struct TopicsArgs {
    /// What to do with them
    #[command(subcommand)]
    pub command: TopicsCommand,
}

/// The commands under `topics`.
#[derive(Subcommand, Debug)]
pub enum TopicsCommand {
    /// Create those that are missing, with the settings that are needed
    Create,
}

/// `completions`
#[derive(Args, Debug)]
pub struct CompletionsArgs {
    /// The shell
    pub shell: clap_complete::Shell,
}
