//! The configuration as it is written: one field per key, no meaning yet. `configs/reference.toml` explains each key.
//!
//! A field that is no `Option` has its default in `configs/reference.toml`; an `Option` means something by its absence.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use synthllm_llm::{More, Price, Structured};

use super::{Benchmark, LogKind, Source, Start, When, Withdraw};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawConfig {
    pub app: String,
    pub domain: String,
    pub prompts: Option<String>,
    pub log: RawLog,
    pub llm: RawLlm,
    pub extract: RawExtract,
    pub sampling: RawSampling,
    pub generate: RawGenerate,
    pub filters: RawFilters,
    pub graph: RawGraph,
    pub screen: RawScreen,
    pub budget: RawBudget,
    pub run: RawRun,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLog {
    pub kind: LogKind,
    pub path: String,
    pub brokers: String,
    pub prefix: String,
    pub partitions: u32,
    pub documents: Option<String>,
    pub replication: Option<u16>,
    pub properties: BTreeMap<String, toml::Value>,
    pub properties_file: Option<String>,
    #[serde(with = "humantime_serde")]
    pub transaction_timeout: Duration,
}

/// `[llm]`: what all tasks share, and what single tasks say otherwise.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLlm {
    pub endpoint: String,
    pub model: String,
    pub api_key_env: String,
    pub api_key_file: Option<String>,
    pub max_in_flight: usize,
    #[serde(with = "humantime_serde")]
    pub timeout: Duration,
    pub structured: Structured,
    pub temperature: Option<f64>,
    pub seed: Option<u64>,
    pub max_tokens: u32,
    pub attempts: u32,
    pub repairs: u32,
    pub price: Price,
    pub extra: toml::Table,
    pub extract: RawTask,
    pub question: RawTask,
    pub answer: RawTask,
    pub judge: RawTask,
    pub rate: RawTask,
    pub embed: RawTask,
}

/// `[llm.extract]` and its like: every key may override the one of `[llm]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTask {
    pub endpoint: Option<String>,
    pub model: Option<String>,
    pub api_key_env: Option<String>,
    pub api_key_file: Option<String>,
    pub max_in_flight: Option<usize>,
    #[serde(default, with = "humantime_serde::option")]
    pub timeout: Option<Duration>,
    pub structured: Option<Structured>,
    pub temperature: Option<f64>,
    pub seed: Option<u64>,
    pub max_tokens: Option<u32>,
    pub attempts: Option<u32>,
    pub repairs: Option<u32>,
    pub price: Option<Price>,
    pub extra: Option<toml::Table>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawExtract {
    pub source: Source,
    pub max_text_bytes: usize,
    pub max_prompt_tokens: usize,
    pub max_topics: usize,
    pub max_key_concepts: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSampling {
    pub levels: Vec<u8>,
    pub epochs: u32,
    pub starts_per_document: f64,
    pub seed: u64,
    pub when: Option<When>,
    pub start: Start,
    pub limit: RawLimit,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLimit {
    pub level1: Option<u64>,
    pub level2: Option<u64>,
    pub level3: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawGenerate {
    pub answers: u32,
    pub judge: bool,
    pub withdraw: Withdraw,
    pub questions: RawByLevel,
    pub calls: RawByLevel,
    pub more: More,
    pub target: RawLimit,
    pub max_prompt_tokens: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawByLevel {
    pub level1: u32,
    pub level2: u32,
    pub level3: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawFilters {
    pub least_words: usize,
    pub most_words: usize,
    pub most_repetition: f64,
    pub languages: Vec<String>,
    pub benchmarks: Vec<Benchmark>,
    pub benchmark_words: usize,
    pub near_duplicates: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawGraph {
    pub max_concepts: usize,
    pub min_key_concepts: usize,
    pub max_waiting: u64,
    pub updates: bool,
    pub merges: Option<String>,
    pub aliases: BTreeMap<String, String>,
    pub subsets: RawSubsets,
    pub parts: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum RawSubsets {
    None,
    Source,
    License,
    Parts,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawScreen {
    pub model: Option<String>,
    pub threshold: Option<f64>,
    pub least_words: usize,
    pub most_words: usize,
    pub most_repetition: f64,
    pub languages: Vec<String>,
    pub near_duplicates: f64,
    pub train: RawScreenTrain,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawScreenTrain {
    pub documents: usize,
    pub positives: usize,
    pub examples: Option<String>,
    pub negatives: usize,
    pub units: usize,
    pub rounds: u32,
    pub sample: usize,
    pub selected: usize,
    pub keep: f64,
    pub trees: usize,
    pub least_in_leaf: usize,
    pub seed: u64,
    pub held_out: f64,
    pub cut: usize,
    pub batch: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawBudget {
    pub tokens: Option<u64>,
    pub cost: Option<f64>,
    pub tokens_per_day: Option<u64>,
    pub cost_per_day: Option<f64>,
    pub extract_share: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRun {
    #[serde(with = "humantime_serde")]
    pub commit_interval: Duration,
    pub window_records: usize,
    pub window_bytes: usize,
    #[serde(with = "humantime_serde")]
    pub stop_timeout: Duration,
    #[serde(with = "humantime_serde")]
    pub peer_timeout: Duration,
}
