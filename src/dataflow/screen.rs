//! By what documents are screened before they are extracted: the limits of texts, whether similar ones are looked for, the screening
//! model, and its threshold.
//!
//! Law: what is said here of a document depends on its text and the settings alone.

use std::fmt::Debug;

use anyhow::Context as _;
use synthllm_llm::TaskSettings;
use synthllm_operators::id;
use synthllm_operators::near;
use synthllm_operators::record::ScoredBy;
use synthllm_operators::screen::{Reason, Scorer, judge};
use synthllm_operators::text_checks::{TextLimits, TextScores, measure};
use synthllm_screening::Model;

use crate::config::{Config, ScreenConfig};
use crate::hint::Usage;

/// The settings of a run, with the model's file read.
pub struct Screen {
    limits: Option<TextLimits>,
    near: Option<near::Settings>,
    judge: Option<Judge>,
    by: ScoredBy,
}

/// A model with its threshold.
struct Judge {
    model: Model,
    threshold: f64,
}

impl Scorer for Judge {
    fn version(&self) -> u128 {
        id::digest(format!("{} {}", self.model.version(), self.threshold).as_bytes())
    }

    fn score(&self, embedding: &[f32]) -> f64 {
        let scores = self.model.scores(&[embedding]).expect("embeddings of another length are no answer");
        scores.first().copied().unwrap_or_default()
    }

    fn threshold(&self) -> f64 {
        self.threshold
    }
}

impl Screen {
    /// Reads the model, if one is configured, and refuses one for which the configured embeddings are no use.
    pub fn load(config: &Config) -> anyhow::Result<Self> {
        let ScreenConfig { model, threshold, limits, near_duplicates, .. } = &config.screen;
        let model = model.as_deref().map(|path| {
            let failed = || format!("can't read the screening model {}", path.display());
            let model = Model::from_bytes(&std::fs::read(path).with_context(failed)?).with_context(failed)?;
            check_embedder(config, &model)?;
            anyhow::Ok(model)
        });
        let judge = model.transpose()?.map(|model| Judge { threshold: threshold.unwrap_or(model.threshold()), model });
        let limits = Some(limits.clone()).filter(|limits| !lets_all_pass(limits));
        let near = near_duplicates.map(|threshold| near::Settings { threshold, ..near::Settings::default() });
        let embed = &config.llm.embed.settings;
        let looks = limits.is_some() || judge.is_some() || near.is_some();
        let by = ScoredBy {
            checks: if looks { digest(&(&limits, judge.is_some(), "twins", &near)) | 1 } else { 0 },
            embedder: judge.as_ref().map_or(0, |judge| digest(&(judge.model.embedder(), asked(embed)))),
            judge: judge.as_ref().map_or(0, |judge| judge.version() as u64 | 1),
        };
        Ok(Screen { limits, near, judge, by })
    }

    /// Digests of the settings; all 0 where every document passes.
    pub fn by(&self) -> ScoredBy {
        self.by
    }

    /// Whether every document passes, unlooked at.
    pub fn is_off(&self) -> bool {
        self.by == ScoredBy::default()
    }

    /// A digest of all settings; 0 where every document passes.
    pub fn digest(&self) -> u64 {
        if self.is_off() { 0 } else { digest(&self.by) | 1 }
    }

    /// How similar texts are looked for, if they are. Equal ones are wherever documents are screened at all.
    pub fn near(&self) -> Option<near::Settings> {
        self.near
    }

    /// Whether documents are embedded.
    pub fn embeds(&self) -> bool {
        self.judge.is_some()
    }

    /// How many numbers an embedding has.
    pub fn dimensions(&self) -> Option<usize> {
        Some(self.judge.as_ref()?.model.embedder().dimensions)
    }

    /// The model's version, and the threshold.
    pub fn model(&self) -> Option<(&str, f64)> {
        self.judge.as_ref().map(|judge| (judge.model.version(), judge.threshold))
    }

    /// Why a text is rejected before it is embedded, if it is. A document without text passes where no model reads it and no limit
    /// forbids it.
    pub fn check(&self, text: Option<&str>) -> Option<Reason> {
        let text = text.unwrap_or_default();
        if self.embeds() && text.trim().is_empty() {
            return Some(Reason::Empty);
        }
        let limits = self.limits.as_ref()?;
        measure(text).problems(limits).first().map(Reason::from)
    }

    /// As much of a text as is embedded; nothing without a model.
    pub fn cut<'text>(&self, text: &'text str) -> Option<&'text str> {
        Some(self.judge.as_ref()?.model.embedder().cut(text))
    }

    /// The most characters of a text that are embedded; nothing without a model.
    pub fn longest(&self) -> Option<usize> {
        Some(self.judge.as_ref()?.model.embedder().cut)
    }

    /// The score of an embedding, and whether its document is let in; nothing without a model, and for an embedding of another
    /// length than the model's.
    pub fn judge(&self, embedding: &[f32]) -> Option<(f64, bool)> {
        let scorer = self.judge.as_ref().filter(|judge| judge.model.embedder().dimensions == embedding.len())?;
        Some(judge(embedding, scorer))
    }
}

/// Refuses a model for which the configured embeddings are no use.
pub fn check_embedder(config: &Config, model: &Model) -> Result<(), Usage> {
    let (needed, configured) = (&model.embedder().model, &config.llm.embed.settings.model);
    if configured == needed {
        return Ok(());
    }
    Err(Usage(format!("the model needs embeddings of {needed:?}, `llm.embed.model` is {configured:?}")))
}

/// What of the settings an embedding depends on.
fn asked(embed: &TaskSettings) -> (&str, &impl Debug) {
    (&embed.model, &embed.extra)
}

fn digest(value: &impl Debug) -> u64 {
    id::digest(format!("{value:?}").as_bytes()) as u64
}

/// Whether no text can break the limits.
fn lets_all_pass(limits: &TextLimits) -> bool {
    let worst = TextScores { words: 0, characters: usize::MAX, repeated_runs: 1.0, repeated_lines: 1.0, language: None };
    // The reference configuration's limit of words is one that no text reaches: texts are bounded in bytes.
    let longest = TextScores { words: 10_000_000, ..worst.clone() };
    limits.languages.is_empty() && worst.problems(limits).is_empty() && longest.problems(limits).is_empty()
}
