//! The command line of `export`.

use std::num::NonZeroU64;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use synthllm_export::{Filter, Format, MinScore, Settings, Shape, Split};

use crate::hint::Usage;

/// `export`
#[derive(Args, Debug)]
#[command(after_help = "A file is written whole or not at all. A folder also has a dataset card and a manifest; it is\n\
                  replaced only where it is an export to which nothing was added.\n\n\
                  With --held-out, samples that share a document, directly or over others, are on the same\n\
                  side. Such groups are held out by hash; one that is larger than the whole fraction is trained\n\
                  on. So less may be held out than was asked for: what was reached is printed.\n\n\
                  With --since, what is new, changed or on another side is written, and withdrawn.jsonl lists\n\
                  the ids that are gone. Any older export will do, whatever was compacted meanwhile, since its\n\
                  manifest has the ids; so the whole log is read.")]
pub struct ExportArgs {
    /// A file, sorted by id; a folder, if it is one or the path ends in /; - for standard output
    #[arg(value_name = "FILE|FOLDER/")]
    pub target: PathBuf,

    /// The format; without it by the file's ending, else jsonl
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<FormatArg>,

    /// The shape of samples; chat and alpaca leave out those without an answer
    #[arg(long = "as", value_name = "SHAPE", default_value = "raw")]
    pub shape: ShapeArg,

    /// Only these levels, separated by commas
    #[arg(long, value_name = "LEVEL", value_delimiter = ',', value_parser = clap::value_parser!(u8).range(1..=3))]
    pub level: Vec<u8>,

    /// Only samples with at least so much of a score, as in agreement=0.5
    #[arg(long, value_name = "NAME=VALUE")]
    pub min_score: Vec<MinScore>,

    /// Only samples with this concept or topic; given more than once, with any of them
    #[arg(long, value_name = "CONCEPT")]
    pub concept: Vec<String>,

    /// Hold out so much as the split `test`, as in 0.1 (folders only)
    #[arg(long, value_name = "FRACTION")]
    pub held_out: Option<f64>,

    /// The seed of that draw
    #[arg(long, value_name = "N", default_value_t = 0, requires = "held_out")]
    pub seed: u64,

    /// At most so many samples a file (folders only)
    #[arg(long, value_name = "N")]
    pub shard_size: Option<NonZeroU64>,

    /// Only what has changed since this export, a folder or its manifest (folders only)
    #[arg(long, value_name = "EXPORT")]
    pub since: Option<PathBuf>,
}

/// The formats of files.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum FormatArg {
    /// One JSON object a line
    Jsonl,
    /// Apache Parquet
    Parquet,
}

/// The shapes of samples.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum ShapeArg {
    /// All that is known of a sample
    Raw,
    /// Messages of a user and an assistant
    Chat,
    /// Instruction, input and output
    Alpaca,
}

impl ExportArgs {
    /// Whether the target is a folder.
    pub fn is_folder(&self) -> bool {
        self.target.is_dir() || self.target.as_os_str().as_encoded_bytes().ends_with(b"/")
    }

    /// What is asked for, if it makes sense.
    pub fn settings(&self) -> Result<Settings, Usage> {
        let for_folders = [
            ("--held-out", self.held_out.is_some()),
            ("--shard-size", self.shard_size.is_some()),
            ("--since", self.since.is_some()),
        ];
        let misplaced = for_folders.iter().find(|(_, given)| *given && !self.is_folder());
        if let Some((option, _)) = misplaced {
            let target = self.target.display();
            return Err(Usage(format!("{option} needs a folder, and {target} is none; end a new folder's path with /")));
        }
        if let Some(held_out) = self.held_out.filter(|held_out| !(*held_out > 0.0 && *held_out < 1.0)) {
            return Err(Usage(format!("--held-out {held_out} must be greater than 0 and less than 1")));
        }
        Ok(Settings {
            shape: self.shape.shape(),
            format: self.format(),
            filter: Filter::new(&self.level, &self.min_score, &self.concept),
            split: self.held_out.map(|held_out| Split { held_out, seed: self.seed }),
            shard_size: self.shard_size,
        })
    }

    fn format(&self) -> Format {
        let by_ending = || self.target.extension().is_some_and(|ending| ending == "parquet") && !self.is_folder();
        match self.format {
            Some(FormatArg::Parquet) => Format::Parquet,
            None if by_ending() => Format::Parquet,
            Some(FormatArg::Jsonl) | None => Format::Jsonl,
        }
    }
}

impl ShapeArg {
    fn shape(self) -> Shape {
        match self {
            ShapeArg::Raw => Shape::Raw,
            ShapeArg::Chat => Shape::Chat,
            ShapeArg::Alpaca => Shape::Alpaca,
        }
    }
}
