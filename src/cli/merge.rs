//! The command line of `graph merge`.

use std::path::PathBuf;

use clap::Args;

/// `graph merge`
#[derive(Args, Debug)]
#[command(
    after_help = "Nothing is changed by it: the file is a table as [graph.aliases], to be looked at. Each line tells\n\
                        how similar the two names are, and in how many documents they occur. With\n\
                        `graph.merges = \"MERGES.toml\"` in the configuration the next `run` builds the graph by it.\n\
                        Embeddings of `llm.embed` are kept in the work folder: a command that is repeated asks for those\n\
                        of new names only."
)]
pub struct MergeArgs {
    /// Where the merges go
    #[arg(long, short, value_name = "MERGES.toml")]
    pub output: PathBuf,

    /// The least cosine of the embeddings of two names that are one
    #[arg(long, value_name = "COSINE", default_value_t = 0.92, value_parser = cosine)]
    pub threshold: f64,

    /// The folder that keeps the embeddings; without it, MERGES.toml.work
    #[arg(long, value_name = "FOLDER")]
    pub work: Option<PathBuf>,

    /// Print JSON, with all merges
    #[arg(long)]
    pub json: bool,
}

fn cosine(text: &str) -> Result<f64, String> {
    let fine = |cosine: &f64| *cosine > 0.0 && *cosine <= 1.0;
    text.parse().ok().filter(fine).ok_or_else(|| "expected more than 0 and at most 1".to_owned())
}
