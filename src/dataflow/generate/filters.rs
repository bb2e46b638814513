//! Which questions are held back before they are answered.

use anyhow::Result;
use serde::{Deserialize, Serialize};
use synthllm_operators::decontaminate::{Benchmarks, Settings};
use synthllm_operators::text_checks::{TextLimits, TextProblem, measure};

use crate::benchmarks::read;
use crate::config::{Config, FiltersConfig, fingerprint};
use crate::events::Counter;

/// The filters of a run. What they say of a question depends on its text and the settings alone.
pub struct Filters {
    limits: TextLimits,
    benchmarks: Benchmarks,
    digest: u64,
}

/// Why a question is dropped.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Rejection {
    /// As what it is counted.
    pub reason: Reason,
    /// What is wrong with it, in words.
    pub details: String,
}

/// What rejections are counted by.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Reason {
    /// Too few or too many words.
    Length,
    /// It repeats itself.
    Repetition,
    /// It is in another language.
    Language,
    /// It repeats a benchmark.
    Benchmark,
    /// A similar one has a sample.
    NearDuplicate,
    /// The model calls its answer wrong.
    Judge,
    /// It would pass again, but meanwhile another sample asks the same.
    Duplicate,
}

impl Reason {
    /// Its counter.
    pub fn counter(self) -> Counter {
        match self {
            Reason::Length => Counter::RejectedLength,
            Reason::Repetition => Counter::RejectedRepetition,
            Reason::Language => Counter::RejectedLanguage,
            Reason::Benchmark => Counter::RejectedBenchmark,
            Reason::NearDuplicate => Counter::NearDuplicates,
            Reason::Judge => Counter::RejectedJudge,
            Reason::Duplicate => Counter::Duplicates,
        }
    }

    /// Its name in `held`.
    pub fn name(self) -> &'static str {
        match self {
            Reason::Length => "length",
            Reason::Repetition => "repetition",
            Reason::Language => "language",
            Reason::Benchmark => "benchmark",
            Reason::NearDuplicate => "near-duplicate",
            Reason::Judge => "judge",
            Reason::Duplicate => "duplicate",
        }
    }
}

impl Filters {
    /// Reads the benchmarks.
    pub fn load(config: &Config) -> Result<Self> {
        let FiltersConfig { limits, benchmarks, benchmark_words, near_duplicates } = &config.filters;
        let mut entries = Vec::new();
        for benchmark in benchmarks {
            entries.extend(read(&benchmark.file, benchmark.field.as_deref())?);
        }
        let targets = [1, 2, 3].map(|level| config.generate.target.of(level));
        let judges = config.generate.judges();
        let digest = fingerprint(&(limits, benchmark_words, near_duplicates, &entries, judges, targets));
        let settings = Settings { run: *benchmark_words, ..Settings::default() };
        Ok(Filters { limits: limits.clone(), benchmarks: Benchmarks::new(settings, entries), digest })
    }

    /// Differs when the settings or the contents of a benchmark differ, or the targets.
    pub fn digest(&self) -> u64 {
        self.digest
    }

    /// The first thing that is wrong with a question.
    pub fn rejection(&self, question: &str) -> Option<Rejection> {
        let problem = measure(question).problems(&self.limits).into_iter().next().map(of_problem);
        problem.or_else(|| {
            let hits = self.benchmarks.hits(question);
            let hit = hits.first()?;
            let details = format!("{} words of {} in {}: {:?}", hit.length, hit.id, hit.benchmark, hit.words);
            Some(Rejection { reason: Reason::Benchmark, details })
        })
    }
}

fn of_problem(problem: TextProblem) -> Rejection {
    let reason = match problem {
        TextProblem::TooShort { .. } | TextProblem::TooLong { .. } => Reason::Length,
        TextProblem::Repetitive { .. } => Reason::Repetition,
        TextProblem::OtherLanguage { .. } => Reason::Language,
    };
    Rejection { reason, details: problem.to_string() }
}
