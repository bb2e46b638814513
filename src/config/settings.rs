//! The checked configuration. `configs/reference.toml` says what each setting means in full.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use synthllm_llm::key::SecretError;
use synthllm_llm::{More, Task, TaskSettings};
use synthllm_log::factory::LogSettings;
use synthllm_log::kafka::KafkaSettings;
use synthllm_log::sqlite::SqliteSettings;
use synthllm_operators::aliases::Aliases;
use synthllm_operators::record::Role;
use synthllm_operators::subsets::Subsets;
use synthllm_operators::text_checks::TextLimits;
use synthllm_operators::upsert::Naming;
use synthllm_operators::{answers, budget, decode, provenance};

use super::secret::ApiKey;

/// A configuration in which every value is possible.
#[derive(Clone, PartialEq, Debug)]
pub struct Config {
    /// The name of this pipeline; its transactional producers and counts carry it.
    pub app: String,
    /// The field of knowledge that prompts name.
    pub domain: String,
    /// A folder of prompts that stand in for the built-in ones; a relative path is relative to the working directory.
    pub prompts: Option<PathBuf>,
    /// `[log]`
    pub log: LogConfig,
    /// `[llm]`
    pub llm: LlmConfig,
    /// `[extract]`
    pub extract: ExtractConfig,
    /// `[sampling]`
    pub sampling: SamplingConfig,
    /// `[generate]`
    pub generate: GenerateConfig,
    /// `[filters]`
    pub filters: FiltersConfig,
    /// `[graph]`
    pub graph: GraphConfig,
    /// `[screen]`
    pub screen: ScreenConfig,
    /// `[budget]`
    pub budget: BudgetConfig,
    /// `[run]`
    pub run: RunConfig,
}

impl Config {
    /// How a task asks the model, with the key, which is read now.
    pub fn task(&self, task: Task) -> Result<TaskSettings, SecretError> {
        self.llm.of(task).with_key()
    }

    /// How long the parts of a document may be.
    pub fn document_limits(&self) -> decode::Limits {
        decode::Limits { text_bytes: self.extract.max_text_bytes, ..decode::Limits::default() }
    }

    /// Digests of the parts that all processes of a cluster must have in common, by name. Where the logs and models are to be
    /// reached may differ.
    pub fn fingerprints(&self) -> BTreeMap<String, u64> {
        let log = (self.log.kind, &self.log.prefix, self.log.partitions, &self.log.documents);
        let models = [Task::Extract, Task::Question, Task::Answer, Task::Judge].map(|task| {
            let task = self.llm.of(task);
            (TaskSettings { endpoint: String::new(), ..task.settings.clone() }, task.repairs)
        });
        let parts = [
            ("app", fingerprint(&self.app)),
            ("domain", fingerprint(&self.domain)),
            ("[log]", fingerprint(&log)),
            ("[llm]", fingerprint(&models)),
            ("[extract]", fingerprint(&self.extract)),
            ("[sampling]", fingerprint(&self.sampling)),
            ("[generate]", fingerprint(&self.generate)),
            ("[filters]", fingerprint(&self.filters)),
            ("[graph]", fingerprint(&self.graph)),
            ("[budget]", fingerprint(&self.budget)),
        ];
        parts.map(|(name, digest)| (name.to_owned(), digest)).into()
    }

    /// How much of an extraction counts.
    pub fn extraction_limits(&self) -> answers::Limits {
        let ExtractConfig { max_topics: topics, max_key_concepts: key_concepts, .. } = self.extract;
        answers::Limits { topics, key_concepts, ..answers::Limits::default() }
    }

    /// The tasks that a run asks the model for.
    pub fn tasks(&self) -> Vec<Task> {
        let always = [Task::Extract, Task::Question, Task::Answer];
        always.into_iter().chain(self.generate.judges().then_some(Task::Judge)).collect()
    }

    /// Where the logs are, in the words of the log's crate.
    pub fn log_settings(&self) -> LogSettings {
        let log = &self.log;
        match log.kind {
            LogKind::Sqlite => LogSettings::Sqlite(SqliteSettings::new(&log.path, log.partitions, log.partitions)),
            LogKind::Kafka => LogSettings::Kafka(KafkaSettings {
                documents: log.documents.clone(),
                documents_partitions: log.partitions,
                partitions: log.partitions,
                replication: log.replication.map(u32::from),
                properties: log.properties.0.clone(),
                transaction_timeout: log.transaction_timeout,
                ..KafkaSettings::new(&log.brokers, &log.prefix)
            }),
        }
    }
}

/// A digest of what `Debug` shows of a value.
pub fn fingerprint(value: &impl std::fmt::Debug) -> u64 {
    synthllm_operators::id::digest(format!("{value:?}").as_bytes()) as u64
}

/// Where the logs are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogConfig {
    /// SQLite or Kafka.
    pub kind: LogKind,
    /// The SQLite file; a relative path is relative to the working directory.
    pub path: PathBuf,
    /// Kafka's bootstrap servers, separated by commas.
    pub brokers: String,
    /// What stands before the name of each log.
    pub prefix: String,
    /// P, and N where we create `documents`.
    pub partitions: u32,
    /// An existing topic to be read as `documents`.
    pub documents: Option<String>,
    /// The replication factor of topics that we create; the broker's default where absent.
    pub replication: Option<u16>,
    /// After so long without commit Kafka gives up a transaction; readers wait for one that a killed process left for so long.
    pub transaction_timeout: Duration,
    /// Further properties of the Kafka clients. May hold secrets, so `Debug` shows names only.
    pub properties: Properties,
}

/// Properties of the Kafka clients, which may be secret.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Properties(pub BTreeMap<String, String>);

impl std::fmt::Debug for Properties {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// The kinds of log.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogKind {
    /// One file on this machine.
    Sqlite,
    /// Apache Kafka.
    Kafka,
}

/// The language model, per task.
#[derive(Clone, PartialEq, Debug)]
pub struct LlmConfig {
    /// Concepts of a document.
    pub extract: TaskConfig,
    /// Questions of a combination.
    pub question: TaskConfig,
    /// The answer to a question.
    pub answer: TaskConfig,
    /// Judgements of answers.
    pub judge: TaskConfig,
    /// Ratings of documents, and what a training of screening has written.
    pub rate: TaskConfig,
    /// Embeddings.
    pub embed: TaskConfig,
}

impl LlmConfig {
    /// The configuration of a task.
    pub fn of(&self, task: Task) -> &TaskConfig {
        match task {
            Task::Extract => &self.extract,
            Task::Question => &self.question,
            Task::Rate => &self.rate,
            Task::Embed => &self.embed,
            Task::Answer => &self.answer,
            Task::Judge => &self.judge,
        }
    }
}

/// How a task asks the model.
#[derive(Clone, PartialEq, Debug)]
pub struct TaskConfig {
    /// Everything but the key.
    pub settings: TaskSettings,
    /// How often an answer that doesn't fit is asked for again.
    pub repairs: u32,
    /// Where the key is to be found.
    pub api_key: ApiKey,
}

impl TaskConfig {
    /// The settings with the key, which is read now.
    pub fn with_key(&self) -> Result<TaskSettings, SecretError> {
        Ok(TaskSettings { api_key: self.api_key.read()?, ..self.settings.clone() })
    }
}

/// `[extract]`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ExtractConfig {
    /// Whose topics and concepts count.
    pub source: Source,
    /// A longer text is a dead letter.
    pub max_text_bytes: usize,
    /// A text is cut to so many tokens for the prompt.
    pub max_prompt_tokens: usize,
    /// The model names at most so many topics of a document.
    pub max_topics: usize,
    /// And at most so many key concepts under each.
    pub max_key_concepts: usize,
}

/// Whose topics and concepts count.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// The model's.
    Model,
    /// The document's own.
    Document,
    /// The document's own, or the model's where it has none.
    DocumentOrModel,
}

/// `[sampling]`
#[derive(Clone, PartialEq, Debug)]
pub struct SamplingConfig {
    /// Which levels are drawn, in order, each once.
    pub levels: Vec<u8>,
    /// How often every topic is a start at least.
    pub epochs: u32,
    /// How often a topic is a start per document that it occurs in.
    pub starts_per_document: f64,
    /// The seed of all draws.
    pub seed: u64,
    /// When draws are made; where absent, settled with `--drain` and continuous without.
    pub when: Option<When>,
    /// Where walks start.
    pub start: Start,
    /// How many combinations this app ever issues.
    pub limit: Limits,
}

impl SamplingConfig {
    /// When draws are made in a run with or without `--drain`.
    pub fn when(&self, drain: bool) -> When {
        self.when.unwrap_or(if drain { When::Settled } else { When::Continuous })
    }
}

/// When draws are made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum When {
    /// At a cut, when the backlog is extracted: draws depend on documents, settings and seed alone.
    Settled,
    /// While documents arrive.
    Continuous,
}

/// Where walks start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Start {
    /// At topics.
    Topic,
    /// At key concepts.
    KeyConcept,
    /// At topics, or at key concepts where the corpus has no topics.
    Auto,
}

/// A number for each level, of combinations ever issued or of samples that stand; none where absent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Limits {
    /// Of level 1.
    pub level1: Option<u64>,
    /// Of level 2.
    pub level2: Option<u64>,
    /// Of level 3.
    pub level3: Option<u64>,
}

impl Limits {
    /// Whether there is none for any level.
    pub fn is_empty(&self) -> bool {
        [1, 2, 3].into_iter().all(|level| self.of(level).is_none())
    }

    /// The limit of a level.
    pub fn of(&self, level: u8) -> Option<u64> {
        match level {
            1 => self.level1,
            2 => self.level2,
            _ => self.level3,
        }
    }
}

/// `[generate]`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GenerateConfig {
    /// Candidate answers per question; 0: questions only.
    pub answers: u32,
    /// Whether the model judges each answer.
    pub judge: bool,
    /// When a sample is withdrawn.
    pub withdraw: Withdraw,
    /// At most so many questions a call, for levels 1, 2, 3.
    pub questions: [u32; 3],
    /// So many calls for questions on a combination of levels 1, 2, 3; see `more`.
    pub calls: [u32; 3],
    /// What the calls after the first ask for.
    pub more: More,
    /// So many samples of each level stand in the end; no target where absent.
    pub target: Limits,
    /// The reference texts of a call are cut to so many tokens together.
    pub max_prompt_tokens: usize,
}

impl GenerateConfig {
    /// Whether there are judgements: only answers are judged.
    pub fn judges(&self) -> bool {
        self.judge && self.answers > 0
    }

    /// The most samples that a combination of a level may bring.
    pub fn most_samples(&self, level: u8) -> u32 {
        let index = usize::from(level.clamp(1, 3)) - 1;
        self.questions[index] * self.calls[index]
    }
}

/// When a sample is withdrawn.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Withdraw {
    /// When a document it is grounded on is deleted.
    Deleted,
    /// Also when such a document changes.
    DeletedOrChanged,
}

impl From<Withdraw> for provenance::Withdraw {
    fn from(withdraw: Withdraw) -> Self {
        match withdraw {
            Withdraw::Deleted => provenance::Withdraw::Deleted,
            Withdraw::DeletedOrChanged => provenance::Withdraw::DeletedOrChanged,
        }
    }
}

/// `[filters]`
#[derive(Clone, PartialEq, Debug)]
pub struct FiltersConfig {
    /// What a question may be like.
    pub limits: TextLimits,
    /// What it must not repeat.
    pub benchmarks: Vec<Benchmark>,
    /// So many words in a row are a repetition.
    pub benchmark_words: usize,
    /// Questions of at least this Jaccard similarity are near-duplicates, of which one has a sample; `None`: not looked for.
    pub near_duplicates: Option<f64>,
}

/// A file of questions that samples must not repeat.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Benchmark {
    /// JSON Lines; a relative path is relative to the working directory.
    pub file: PathBuf,
    /// The field that holds the question; absent: the first of [`crate::benchmarks::FIELDS`] that a line has.
    pub field: Option<String>,
}

/// `[graph]`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GraphConfig {
    /// Concepts of a document beyond this number don't count.
    pub max_concepts: usize,
    /// A walk with fewer key concepts makes no combination.
    pub min_key_concepts: usize,
    /// Draws are made only while fewer combinations wait for `generate`.
    pub max_waiting: u64,
    /// Whether the counts of nodes and edges are kept in `graph-updates`.
    pub updates: bool,
    /// Names that stand for others: those of the table, and those of the file of merges where it is named.
    pub aliases: Aliases,
    /// Those of the table alone, over which merges are proposed.
    pub table: Aliases,
    /// Which documents have a graph of their own.
    pub subsets: Subsets,
}

impl GraphConfig {
    /// How the concepts of a document become nodes.
    pub fn naming(&self) -> Naming<'_> {
        Naming { max_concepts: self.max_concepts, aliases: &self.aliases, subsets: self.subsets }
    }
}

/// `[screen]`
#[derive(Clone, PartialEq, Debug)]
pub struct ScreenConfig {
    /// The model that screens the stream; a relative path is relative to the working directory.
    pub model: Option<PathBuf>,
    /// Documents with a greater score are let in; where absent, the model's own threshold.
    pub threshold: Option<f64>,
    /// What a text may be like that is embedded.
    pub limits: TextLimits,
    /// Of texts of at least this Jaccard similarity only the first is embedded; `None`: not looked for.
    pub near_duplicates: Option<f64>,
    /// `[screen.train]`
    pub train: ScreenTrainConfig,
}

/// `[screen.train]`
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct ScreenTrainConfig {
    /// At most so many documents of the corpus take part.
    pub documents: usize,
    /// Documents that the model writes for the cold start.
    pub positives: usize,
    /// The user's own examples instead: files as for `ingest`.
    pub examples: Option<PathBuf>,
    /// Random documents of the corpus that stand for what is not of the domain.
    pub negatives: usize,
    /// The most units of the syllabus.
    pub units: usize,
    /// Rounds of ratings after the cold start.
    pub rounds: u32,
    /// Random documents of the corpus that are rated in a round.
    pub sample: usize,
    /// At most so many of those that the round before selected are rated.
    pub selected: usize,
    /// Documents with a greater score are kept.
    pub keep: f64,
    /// Trees of a forest.
    pub trees: usize,
    /// The fewest examples in a leaf of a tree.
    pub least_in_leaf: usize,
    /// The seed of samples and forests.
    pub seed: u64,
    /// The share of examples that is held out.
    pub held_out: f64,
    /// A text is cut to so many characters for ratings and embeddings.
    pub cut: usize,
    /// Texts that one call embeds.
    pub batch: usize,
}

/// `[budget]`: what may be spent; no limit where absent.
#[derive(Clone, PartialEq, Debug)]
pub struct BudgetConfig {
    /// Tokens of prompts and answers in a run.
    pub tokens: Option<u64>,
    /// Cost of a run, in the currency of the prices.
    pub cost: Option<f64>,
    /// Tokens of a day in UTC, over all runs.
    pub tokens_per_day: Option<u64>,
    /// Cost of a day in UTC, over all runs.
    pub cost_per_day: Option<f64>,
    /// Which share of each budget `extract` has where it runs apart from `generate`, which has the rest.
    pub extract_share: f64,
}

impl BudgetConfig {
    /// The part of a run with these roles.
    pub fn part(&self, roles: &[Role]) -> budget::Part {
        match (roles.contains(&Role::Extract), roles.contains(&Role::Generate)) {
            (true, false) => budget::Part::Extract(self.extract_share),
            (false, true) => budget::Part::Generate(self.extract_share),
            _ => budget::Part::Whole,
        }
    }

    /// As the ledger counts; a fraction of a billionth is not there to be spent.
    pub fn limits(&self) -> budget::Limits {
        let billionths = |cost: Option<f64>| cost.map(|cost| (cost * 1e9) as u64);
        budget::Limits {
            tokens: self.tokens,
            cost: billionths(self.cost),
            tokens_per_day: self.tokens_per_day,
            cost_per_day: billionths(self.cost_per_day),
        }
    }
}

/// `[run]`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RunConfig {
    /// A shard commits at most so often.
    pub commit_interval: Duration,
    /// At most so many records of a shard in flight or not yet committed.
    pub window_records: usize,
    /// At most so many bytes of them.
    pub window_bytes: usize,
    /// How long a stop waits for the answers under way before the process ends.
    pub stop_timeout: Duration,
    /// Another process of the cluster that says nothing for so long is taken for lost.
    pub peer_timeout: Duration,
}
