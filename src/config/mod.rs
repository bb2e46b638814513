//! The configuration: `RawConfig` mirrors the file, `check` reports everything that is wrong with it at once, and only a
//! [`Config`] leaves this module.
//!
//! Three layers, the later ones win: the defaults of `configs/reference.toml` (compiled in), the file, and environment
//! variables such as `SYNTHLLM_LOG__PATH` for `log.path`. What describes the pipeline is here; what describes this process
//! (roles, workers, hosts) is a flag of the command line.

mod check;
mod layers;
mod load;
mod merges;
mod problem;
mod raw;
mod secret;
mod settings;

pub use layers::{Place, key_of_variable};
pub use load::{REFERENCE, from_text, load};
pub use problem::{Problem, Problems};
pub use secret::ApiKey;
pub use settings::{
    Benchmark, BudgetConfig, Config, ExtractConfig, FiltersConfig, GenerateConfig, GraphConfig, Limits, LlmConfig,
    LogConfig, LogKind, Properties, RunConfig, SamplingConfig, ScreenConfig, ScreenTrainConfig, Source, Start, TaskConfig,
    When, Withdraw, fingerprint,
};
