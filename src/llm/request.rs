//! What is asked: the canonical body of a request, which is also its identity.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};
use xxhash_rust::xxh3::xxh3_128;

use crate::settings::{Structured, Task, TaskSettings};

/// The shape of an answer: a JSON Schema under a name that other tools script against. It is kept as text, because the order of
/// its properties is the order in which a constrained model writes them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Schema {
    /// The name, e.g. `extraction`.
    pub name: Cow<'static, str>,
    /// The schema as JSON text.
    pub json: Arc<str>,
}

impl Schema {
    /// A schema from its JSON text.
    pub fn new(name: impl Into<Cow<'static, str>>, json: impl Into<Arc<str>>) -> Self {
        Schema { name: name.into(), json: json.into() }
    }
}

/// An answer that did not fit, and what to say about it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Correction {
    /// The answer.
    pub answer: String,
    /// What was wrong with it, and that the task is to be done again.
    pub complaint: String,
}

/// One request. The user's part holds the documents first and the task last, so that servers reuse the prefix.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Request {
    /// The task, which chooses the settings.
    pub task: Task,
    /// The system prompt, the same for all tasks.
    pub system: Arc<str>,
    /// Documents, then the task.
    pub user: String,
    /// The shape of the answer; plain text without.
    pub schema: Option<Schema>,
    /// Instead of the task's own.
    pub max_tokens: Option<u32>,
    /// Instead of the task's own, e.g. for several candidates of one answer.
    pub seed: Option<u64>,
    /// The attempt before, if it did not fit.
    pub correction: Option<Correction>,
}

/// The longest part of a wrong answer that is sent back with a complaint.
const LONGEST_QUOTED_ANSWER: usize = 4000;

impl Request {
    /// A request with the limits of its task.
    pub fn new(task: Task, system: impl Into<Arc<str>>, user: impl Into<String>, schema: Option<Schema>) -> Self {
        Request { task, system: system.into(), user: user.into(), schema, max_tokens: None, seed: None, correction: None }
    }

    /// The same request again, after an answer that did not fit, with what was wrong (see [`crate::Prompts::repair`]).
    #[must_use]
    pub fn corrected(&self, answer: &str, complaint: &str) -> Self {
        let answer = answer.chars().take(LONGEST_QUOTED_ANSWER).collect();
        Request { correction: Some(Correction { answer, complaint: complaint.into() }), ..self.clone() }
    }

    /// The exact body that is sent. Equal requests under equal settings have equal bytes.
    pub fn body(&self, settings: &TaskSettings) -> String {
        let mut body = String::with_capacity(self.user.len() + self.system.len() + 1024);
        body.push_str("{\"model\":");
        body.push_str(&text(&settings.model));
        body.push_str(",\"messages\":[");
        self.push_messages(settings.structured, &mut body);
        body.push(']');
        for (name, value) in self.parameters(settings) {
            body.extend([",", &text(&name), ":", &value.to_string()]);
        }
        if let Some(schema) = &self.schema {
            push_response_format(schema, settings.structured, &mut body);
        }
        body.push('}');
        body
    }

    /// The identity of the request: xxh3-128 of its body. No key and no endpoint is part of it, so that the same model at
    /// another address gives the same identity.
    pub fn canonical_hash(&self, settings: &TaskSettings) -> u128 {
        xxh3_128(self.body(settings).as_bytes())
    }

    fn push_messages(&self, structured: Structured, body: &mut String) {
        push_message("system", &self.system, body);
        body.push(',');
        push_message("user", &self.prompt(structured), body);
        if let Some(correction) = &self.correction {
            body.push(',');
            push_message("assistant", &correction.answer, body);
            body.push(',');
            push_message("user", &correction.complaint, body);
        }
    }

    fn prompt(&self, structured: Structured) -> Cow<'_, str> {
        match &self.schema {
            Some(schema) if structured != Structured::JsonSchema => Cow::Owned(format!(
                "{}\n\nReply with one JSON value only. It must fit this JSON Schema:\n{}",
                self.user, schema.json
            )),
            _ => Cow::Borrowed(&self.user),
        }
    }

    /// Sorted by name, so that the body is canonical.
    fn parameters(&self, settings: &TaskSettings) -> BTreeMap<String, Value> {
        let mut parameters =
            BTreeMap::from([("max_tokens".to_owned(), json!(self.max_tokens.unwrap_or(settings.max_tokens)))]);
        if let Some(temperature) = settings.temperature {
            parameters.insert("temperature".into(), json!(temperature));
        }
        if let Some(seed) = self.seed.or(settings.seed) {
            parameters.insert("seed".into(), json!(seed));
        }
        parameters.extend(settings.extra.clone());
        parameters.retain(|_, value| !value.is_null());
        parameters
    }
}

fn push_message(role: &str, content: &str, body: &mut String) {
    body.extend(["{\"role\":\"", role, "\",\"content\":", &text(content), "}"]);
}

fn push_response_format(schema: &Schema, structured: Structured, body: &mut String) {
    match structured {
        Structured::JsonSchema => {
            body.push_str(",\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":");
            body.extend([text(&schema.name).as_str(), ",\"strict\":true,\"schema\":", &schema.json, "}}"]);
        }
        Structured::JsonObject => body.push_str(",\"response_format\":{\"type\":\"json_object\"}"),
        Structured::Prompt => {}
    }
}

fn text(value: &str) -> String {
    serde_json::to_string(value).expect("a string is JSON")
}

/// A rough count of tokens that is the same everywhere: a quarter of the ASCII bytes, and one for every other character.
pub fn approximate_tokens(text: &str) -> usize {
    let ascii = text.bytes().filter(u8::is_ascii).count();
    ascii.div_ceil(4) + text.chars().filter(|c| !c.is_ascii()).count()
}

/// The beginning of a text that fits into a budget of tokens, as [`approximate_tokens`] counts them, cut at white space where
/// there is some near the end.
///
/// ```
/// use synthllm_llm::request::cut;
/// assert_eq!(cut("a short text", 100), "a short text");
/// assert_eq!(cut("one two three four", 3), "one two");
/// ```
pub fn cut(text: &str, tokens: usize) -> &str {
    let budget = tokens.saturating_mul(4);
    let mut spent = 0_usize;
    for (at, character) in text.char_indices() {
        spent += if character.is_ascii() { 1 } else { 4 };
        if spent > budget {
            return at_white_space(&text[..at]);
        }
    }
    text
}

fn at_white_space(text: &str) -> &str {
    let near_the_end = text.char_indices().rev().take(64);
    let space = near_the_end.into_iter().find(|(_, c)| c.is_whitespace()).map(|(at, _)| at);
    text[..space.filter(|at| *at > 0).unwrap_or(text.len())].trim_end()
}
