//! What is configured per task.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::key::Secret;
use crate::retry::Backoff;
use crate::usage::Price;

/// What a model is asked for. Each task has its own endpoint, model and limits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Task {
    /// Topics and key concepts of a document.
    Extract,
    /// Questions on documents.
    Question,
    /// The answer to a question.
    Answer,
    /// A rating of a document.
    Rate,
    /// A judgement of an answer.
    Judge,
    /// Embeddings of texts.
    Embed,
}

impl Task {
    /// The name in configuration, journal keys and messages.
    pub fn name(self) -> &'static str {
        match self {
            Task::Extract => "extract",
            Task::Question => "question",
            Task::Answer => "answer",
            Task::Rate => "rate",
            Task::Judge => "judge",
            Task::Embed => "embed",
        }
    }
}

/// How an endpoint is told the shape of an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Structured {
    /// `response_format` carries the schema, the server enforces it.
    #[default]
    JsonSchema,
    /// `response_format` asks for JSON, the schema stands in the prompt.
    JsonObject,
    /// The schema stands in the prompt, nothing else.
    Prompt,
}

/// The settings of one task. [`TaskSettings::new`] fills in the defaults.
#[derive(Clone, PartialEq, Debug)]
pub struct TaskSettings {
    /// The base of the endpoint, up to and with `/v1`.
    pub endpoint: String,
    /// The model's name, as the endpoint knows it.
    pub model: String,
    /// The endpoint's key, if it wants one.
    pub api_key: Option<Secret>,
    /// Left to the endpoint when absent.
    pub temperature: Option<f64>,
    /// The longest answer, in tokens.
    pub max_tokens: u32,
    /// The model's seed; left to the endpoint when absent.
    pub seed: Option<u64>,
    /// More fields of the request, e.g. `top_p`. They replace ours of the same name; null takes ours out.
    pub extra: BTreeMap<String, serde_json::Value>,
    /// The longest that one try may take, from sending to the last byte.
    pub timeout: Duration,
    /// The longest silence inside the body of a response.
    pub stall: Duration,
    /// How the shape of an answer is asked for.
    pub structured: Structured,
    /// What the model costs.
    pub price: Price,
    /// The most calls in flight. Tasks that share an endpoint share the largest of their limits.
    pub max_in_flight: usize,
    /// The most tries of one call, as far as their failure is the call's own.
    pub attempts: u32,
    /// The waits between tries.
    pub backoff: Backoff,
    /// The largest body of a response that is read.
    pub max_response_bytes: usize,
}

impl TaskSettings {
    /// The defaults for a model at an endpoint.
    pub fn new(endpoint: &str, model: &str) -> Self {
        TaskSettings {
            endpoint: endpoint.into(),
            model: model.into(),
            api_key: None,
            temperature: None,
            max_tokens: 2048,
            seed: None,
            extra: BTreeMap::new(),
            timeout: Duration::from_secs(300),
            stall: Duration::from_secs(60),
            structured: Structured::default(),
            price: Price::default(),
            max_in_flight: 16,
            attempts: 5,
            backoff: Backoff::default(),
            max_response_bytes: 4 << 20,
        }
    }
}
