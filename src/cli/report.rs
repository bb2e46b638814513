//! The command line of `report`.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::hint::Usage;

/// `report`
#[derive(Args, Debug)]
#[command(
    after_help = "The page needs nothing beside itself. Without --embed the diversity within documents is the cosine\n\
                        of word vectors (TF-IDF), and the page says so. May be asked for while a run goes on."
)]
pub struct ReportArgs {
    /// Where the page goes, as HTML; - for standard output
    #[arg(long, short, value_name = "FILE.html", required_unless_present = "json")]
    pub output: Option<PathBuf>,

    /// Where the same goes as JSON; - for standard output
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,

    /// Compare questions by embeddings of `llm.embed`, which are kept in this folder and asked for once
    #[arg(long, value_name = "FOLDER")]
    pub embed: Option<PathBuf>,
}

impl ReportArgs {
    /// Standard output takes one of them.
    pub fn check(&self) -> Result<(), Usage> {
        let is_stdout = |path: &Option<PathBuf>| path.as_deref() == Some(Path::new("-"));
        if is_stdout(&self.output) && is_stdout(&self.json) {
            return Err(Usage("--output - and --json - would both write to standard output".to_owned()));
        }
        Ok(())
    }
}
