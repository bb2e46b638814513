//! The command line of `screen`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// `screen`
#[derive(Args, Debug)]
pub struct ScreenArgs {
    /// What to do
    #[command(subcommand)]
    pub command: ScreenCommand,
}

/// The commands under `screen`.
#[derive(Subcommand, Debug)]
pub enum ScreenCommand {
    /// Train a model that says which documents belong to the domain
    Train(ScreenTrainArgs),
    /// Say how good a model is, on examples it has not learnt from
    Eval(ScreenEvalArgs),
    /// Write the documents that a model keeps
    Select(ScreenSelectArgs),
    /// List the documents that `run` does not let in, and why
    List(ScreenListArgs),
}

/// `screen list`
#[derive(Args, Debug)]
#[command(
    after_help = "Each line has the id, the score where there is one, and the reason. They stay in the log: with another model,\n\
                        threshold or limit in the section [screen] the next `run` lets those in that pass then."
)]
pub struct ScreenListArgs {
    /// Print a JSON object a line
    #[arg(long)]
    pub json: bool,
}

/// `screen train`
#[derive(Args, Debug)]
#[command(
    after_help = "First the model writes documents of the domain, and a forest learns to tell them from random documents of the\n\
                        corpus. Then, in rounds, the model rates what was selected and a random sample from 1 to 10, and a forest\n\
                        learns the ratings. The section [screen.train] of the configuration says how many of each. Every answer is\n\
                        kept in the work folder: a training that was stopped goes on there, and one that is repeated asks nothing."
)]
pub struct ScreenTrainArgs {
    /// The corpus: files as for `ingest`; without any, the documents in the log
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,

    /// Where the model goes
    #[arg(long, short, value_name = "MODEL")]
    pub output: PathBuf,

    /// The folder that keeps the answers; without it, MODEL.work
    #[arg(long, value_name = "FOLDER")]
    pub work: Option<PathBuf>,
}

/// `screen eval`
#[derive(Args, Debug)]
#[command(
    after_help = "Without files it shows what was measured when the model was trained. With files, their documents are scored and\n\
                        compared with their field \"label\" (true or false) or \"rating\" (1 to 10), or with ratings asked for now."
)]
pub struct ScreenEvalArgs {
    /// The model
    #[arg(value_name = "MODEL")]
    pub model: PathBuf,

    /// Documents to measure by: files as for `ingest`; with --rate and no file, the documents in the log
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,

    /// Have so many random ones of the documents rated now, and measure by these ratings
    #[arg(long, value_name = "N")]
    pub rate: Option<usize>,

    /// Draw the receiver operating characteristic as an SVG
    #[arg(long, value_name = "FILE.svg")]
    pub plot: Option<PathBuf>,

    /// The folder that keeps the answers; without it, MODEL.work
    #[arg(long, value_name = "FOLDER")]
    pub work: Option<PathBuf>,

    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `screen select`
#[derive(Args, Debug)]
#[command(after_help = "Writes each document that scores above the model's threshold as it came, a line that `ingest`\n\
                        takes. What the section [screen] of the configuration does not let pass, and what repeats an earlier\n\
                        text, is rejected before it is embedded. Embeddings are kept in the work folder: with that folder\n\
                        another model asks nothing, if it is one of the same embeddings.")]
pub struct ScreenSelectArgs {
    /// The model
    #[arg(value_name = "MODEL")]
    pub model: PathBuf,

    /// The documents: files as for `ingest`, but for standard input: they are read three times
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,

    /// Where the documents go that are kept
    #[arg(long, short, value_name = "ACCEPTED.jsonl")]
    pub output: PathBuf,

    /// Where the others go: the id, the score where there is one, and the reason of each
    #[arg(long, value_name = "REJECTED.jsonl")]
    pub rejected: Option<PathBuf>,

    /// The folder that keeps the embeddings; without it, MODEL.work
    #[arg(long, value_name = "FOLDER")]
    pub work: Option<PathBuf>,

    /// Print JSON
    #[arg(long)]
    pub json: bool,
}
