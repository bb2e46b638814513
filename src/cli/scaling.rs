//! The command line of `scaling`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use synthllm_scaling::{Bootstrap, Columns, Fix, Law, Model, Objective, Reading, Unit};

use crate::hint::Usage;

/// `scaling`
#[derive(Args, Debug)]
pub struct ScalingArgs {
    /// What to do
    #[command(subcommand)]
    pub command: ScalingCommand,
}

/// The commands under `scaling`.
#[derive(Subcommand, Debug)]
pub enum ScalingCommand {
    /// Fit the law to measured errors: parameters with intervals, and how far to trust them
    Fit(ScalingFitArgs),
    /// Predict the error after other amounts of tokens
    Predict(ScalingPredictArgs),
    /// Draw points, curves and intervals as an SVG
    Plot(ScalingPlotArgs),
}

/// The file and the law, as all commands under `scaling` take them.
#[derive(Args, Debug)]
pub struct LawArgs {
    /// CSV with the columns tokens, error and perhaps series, or a JSON list of such objects; - for standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// What errors are measured in; without it the narrowest that fits, which is then said
    #[arg(long, value_name = "UNIT")]
    pub unit: Option<UnitArg>,

    /// The form: rectified is `B / (D_l + tokens^beta) + E`, power has no `D_l`
    #[arg(long, value_name = "LAW", default_value = "rectified")]
    pub law: LawArg,

    /// What is made small: the Huber loss (0.001) or the square of differences of logarithms
    #[arg(long, value_name = "OBJECTIVE", default_value = "huber")]
    pub objective: ObjectiveArg,

    /// A parameter that all series have in common
    #[arg(long, value_name = "PARAMETER")]
    pub share: Option<ShareArg>,

    /// Give a value instead of fitting it: `B/D_l`, `beta` or `E` of a series, as in `8B:B/D_l=56.3`
    #[arg(long, value_name = "SERIES:NAME=VALUE")]
    pub fix: Vec<Fix>,

    /// The columns that together name the series, separated by commas
    #[arg(long, value_name = "COLUMN", value_delimiter = ',')]
    pub series_columns: Vec<String>,

    /// The column of tokens
    #[arg(long, value_name = "COLUMN", default_value = "tokens")]
    pub tokens_column: String,

    /// The column of errors
    #[arg(long, value_name = "COLUMN", default_value = "error")]
    pub error_column: String,

    /// Leave out points with 0 tokens
    #[arg(long)]
    pub skip_zero: bool,

    /// How many times points are drawn for intervals; 0 for no intervals
    #[arg(long, value_name = "N", default_value_t = 200)]
    pub bootstrap: u32,

    /// How often an interval holds the truth
    #[arg(long, value_name = "SHARE", default_value_t = 0.9)]
    pub level: f64,

    /// The seed of these draws
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
}

impl LawArgs {
    /// How the file is read.
    pub fn reading(&self) -> Reading {
        let columns = Columns {
            series: self.series_columns.clone(),
            tokens: self.tokens_column.clone(),
            error: self.error_column.clone(),
        };
        Reading { columns, unit: self.unit.map(UnitArg::unit), skip_zero: self.skip_zero }
    }

    /// What is fitted.
    pub fn model(&self) -> Model {
        let law = if self.law == LawArg::Rectified { Law::Rectified } else { Law::Power };
        let objective = if self.objective == ObjectiveArg::Huber { Objective::Huber } else { Objective::Square };
        Model { law, objective, share_beta: self.share.is_some(), fixes: self.fix.clone() }
    }

    /// How intervals are found, if they are wanted.
    pub fn intervals(&self) -> Result<Option<Bootstrap>, Usage> {
        if !(0.5..1.0).contains(&self.level) {
            return Err(Usage(format!("--level {} must be at least 0.5 and less than 1", self.level)));
        }
        // Rounding must not make 9.000000000000002 a 10.
        let least = (self.level / (1.0 - self.level) - 1e-9).ceil();
        if self.bootstrap > 0 && f64::from(self.bootstrap) < least {
            let message =
                format!("--bootstrap {} is too few for --level {}: it needs at least {least}", self.bootstrap, self.level);
            return Err(Usage(message));
        }
        let bootstrap = Bootstrap { draws: self.bootstrap, level: self.level, seed: self.seed };
        Ok((self.bootstrap > 0).then_some(bootstrap))
    }
}

/// What errors are measured in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum UnitArg {
    /// From 0 to 1
    Fraction,
    /// From 0 to 100
    Percent,
    /// Any positive number
    Loss,
}

impl UnitArg {
    fn unit(self) -> Unit {
        match self {
            UnitArg::Fraction => Unit::Fraction,
            UnitArg::Percent => Unit::Percent,
            UnitArg::Loss => Unit::Loss,
        }
    }
}

/// The form of the law.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
#[allow(missing_docs, reason = "the option says what they are")]
pub enum LawArg {
    Rectified,
    Power,
}

/// What is made small.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
#[allow(missing_docs, reason = "the option says what they are")]
pub enum ObjectiveArg {
    Huber,
    Square,
}

/// What series can have in common.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
#[allow(missing_docs, reason = "the option says what it is")]
pub enum ShareArg {
    Beta,
}

/// `scaling fit`
#[derive(Args, Debug)]
#[command(
    after_help = "Intervals say where the parameters may lie if the errors of different points are independent. Where\n\
                        one is open upwards any greater value fits as well. Both laws are compared by AICc, or with fewer\n\
                        than seven points by the largest tokens, held out."
)]
pub struct ScalingFitArgs {
    /// The file and the law
    #[command(flatten)]
    pub law: LawArgs,

    /// Hold out so many of the largest amounts of tokens, predict them, and say how well; fewer where points are few
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub hold_out: usize,

    /// From how many tokens on does a doubling bring less than so many percentage points (of a loss: less than so much)
    #[arg(long, value_name = "X", default_value_t = 1.0)]
    pub points: f64,

    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `scaling predict`
#[derive(Args, Debug)]
#[command(
    after_help = "An interval says where the curve may lie. Between measured points that is safe, one doubling beyond\n\
                        them fair, far beyond them it says little."
)]
pub struct ScalingPredictArgs {
    /// The file and the law
    #[command(flatten)]
    pub law: LawArgs,

    /// The amounts of tokens, separated by commas
    #[arg(long, value_name = "N", value_delimiter = ',', required = true)]
    pub tokens: Vec<f64>,

    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `scaling plot`
#[derive(Args, Debug)]
pub struct ScalingPlotArgs {
    /// The file and the law
    #[command(flatten)]
    pub law: LawArgs,

    /// Where the SVG goes; - for standard output
    #[arg(long, short, value_name = "FILE.svg")]
    pub output: PathBuf,

    /// Draw curves up to so many tokens, not to twice the most that were measured
    #[arg(long, value_name = "TOKENS")]
    pub until: Option<f64>,
}
