//! The shape of an exported sample: as it is, or as trainers of language models read it.

use serde::{Deserialize, Serialize};
use synthllm_operators::record::Sample;

/// The shapes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Shape {
    /// The whole sample, as `configs/sample.schema.json` describes it.
    Raw,
    /// `{"id", "messages": [{"role": "user", "content"}, {"role": "assistant", "content"}]}`.
    Chat,
    /// `{"id", "instruction", "input", "output"}`; the input is always empty.
    Alpaca,
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    content: &'a str,
}

#[derive(Serialize)]
struct Chat<'a> {
    id: &'a str,
    messages: [Message<'a>; 2],
}

#[derive(Serialize)]
struct Alpaca<'a> {
    id: &'a str,
    instruction: &'a str,
    input: &'static str,
    output: &'a str,
}

impl std::fmt::Display for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Shape::Raw => "raw",
            Shape::Chat => "chat",
            Shape::Alpaca => "alpaca",
        })
    }
}

impl Shape {
    /// Whether a sample has what the shape needs. One without answer is nothing to train a conversation on.
    pub fn takes(self, sample: &Sample) -> bool {
        self == Shape::Raw || sample.answer.is_some()
    }

    /// A sample that this shape takes as JSON. A raw sample is the record as it stands in the log.
    pub(crate) fn json(self, record: &[u8], sample: &Sample) -> serde_json::Result<Vec<u8>> {
        let (id, question) = (sample.id.as_str(), sample.question.as_str());
        let answer = sample.answer.as_deref().unwrap_or_default();
        match self {
            Shape::Raw => Ok(record.to_vec()),
            Shape::Chat => {
                let message = |role, content| Message { role, content };
                serde_json::to_vec(&Chat { id, messages: [message("user", question), message("assistant", answer)] })
            }
            Shape::Alpaca => serde_json::to_vec(&Alpaca { id, instruction: question, input: "", output: answer }),
        }
    }
}
