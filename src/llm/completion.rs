//! What the model answered.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use crate::usage::{Price, Usage};

/// An answer of the model.
#[derive(Clone, PartialEq, Debug)]
pub struct Completion {
    /// The text, without reasoning.
    pub text: String,
    /// Whether the model stopped for length: such a text is never a whole answer.
    pub truncated: bool,
    /// The model, as the endpoint names it.
    pub model: String,
    /// The tokens.
    pub usage: Usage,
    /// What they cost.
    pub cost: f64,
    /// From sending to the last byte, of the try that was answered.
    pub latency: Duration,
}

#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    model: String,
    choices: Vec<Choice>,
    #[serde(default)]
    usage: Option<Counts>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    finish_reason: Option<String>,
    message: Message,
}

#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    content: Value,
}

#[derive(Deserialize)]
struct Counts {
    #[serde(default)]
    prompt_tokens: Option<u64>,
    #[serde(default)]
    completion_tokens: Option<u64>,
}

/// Reads the body of a response; the error says what is wrong with it.
pub(crate) fn read(body: &[u8], request_bytes: usize, price: Price, latency: Duration) -> Result<Completion, String> {
    let body: Body = serde_json::from_slice(body).map_err(|error| format!("the response is no chat completion: {error}"))?;
    let choice = body.choices.into_iter().next().ok_or("the response has no choices")?;
    let content = content(choice.message.content);
    let usage = usage(body.usage.as_ref(), request_bytes, content.len());
    Ok(Completion {
        text: without_reasoning(&content).to_owned(),
        truncated: choice.finish_reason.as_deref() == Some("length"),
        model: body.model,
        usage,
        cost: price.cost(usage),
        latency,
    })
}

/// A string, null, or a list of parts of which those of type text count.
fn content(value: Value) -> String {
    match value {
        Value::String(text) => text,
        Value::Array(parts) => parts.iter().filter_map(|part| part["text"].as_str()).collect(),
        _ => String::new(),
    }
}

fn usage(counts: Option<&Counts>, request_bytes: usize, answer_bytes: usize) -> Usage {
    let estimate = |bytes: usize| bytes.div_ceil(4) as u64;
    Usage {
        prompt_tokens: counts.and_then(|counts| counts.prompt_tokens).unwrap_or_else(|| estimate(request_bytes)),
        completion_tokens: counts.and_then(|counts| counts.completion_tokens).unwrap_or_else(|| estimate(answer_bytes)),
    }
}

/// The text behind the model's reasoning. Reasoning is what stands in leading `<think>` blocks, or before a lone `</think>`
/// (servers that put the opening tag into the prompt); a block that never ends leaves nothing.
///
/// A later mention of the tag is part of the answer.
pub(crate) fn without_reasoning(text: &str) -> &str {
    let mut rest = text.trim();
    while let Some(block) = rest.strip_prefix("<think>") {
        rest = block.split_once("</think>").map_or("", |(_, behind)| behind.trim_start());
    }
    match rest.split_once("</think>") {
        Some((before, behind)) if !before.contains("<think>") => behind.trim_start(),
        _ => rest,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read_text(body: &str) -> Result<Completion, String> {
        read(body.as_bytes(), 400, Price { prompt: 1.0, completion: 10.0 }, Duration::ZERO)
    }

    #[test]
    fn reasoning_is_stripped_wherever_servers_put_it() {
        assert_eq!(without_reasoning("<think>a\nb</think>\n\nanswer "), "answer");
        assert_eq!(without_reasoning("<think>a</think><think>b</think>answer"), "answer");
        assert_eq!(without_reasoning("reasoning without its opening tag</think> answer"), "answer");
        assert_eq!(without_reasoning("<think>never ends"), "");
        assert_eq!(
            without_reasoning("the tag <think> begins and </think> ends it"),
            "the tag <think> begins and </think> ends it"
        );
    }

    #[test]
    fn reasoning_content_beside_the_answer_is_ignored() {
        let body = r#"{"choices":[{"message":{"reasoning_content":"hm","content":"yes"},"finish_reason":"length"}]}"#;
        let completion = read_text(body).unwrap();
        assert_eq!((completion.text.as_str(), completion.truncated), ("yes", true));
    }

    #[test]
    fn tokens_and_cost_are_the_endpoint_s_or_estimated() {
        let counted = r#"{"model":"m","choices":[{"message":{"content":"yes"}}],"usage":{"prompt_tokens":2000000,"completion_tokens":500000}}"#;
        assert!((read_text(counted).unwrap().cost - 7.0).abs() < 1e-12);
        let uncounted = r#"{"choices":[{"message":{"content":[{"type":"text","text":"yes or no"}]}}]}"#;
        assert_eq!(read_text(uncounted).unwrap().usage, Usage { prompt_tokens: 100, completion_tokens: 3 });
    }

    #[test]
    fn a_body_without_a_choice_is_an_error_that_says_so() {
        assert!(
            read_text("<html>").unwrap_err().starts_with("the response is no chat completion: expected value at line 1")
        );
        assert_eq!(read_text(r#"{"choices":[]}"#).unwrap_err(), "the response has no choices");
    }

    proptest! {
        #[test]
        fn no_body_makes_it_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&body, 0, Price::default(), Duration::ZERO);
        }

        #[test]
        fn no_text_makes_it_panic(text in "(<think>|</think>|[a-z ]|\\PC){0,12}") {
            prop_assert!(text.contains(without_reasoning(&text)));
        }
    }
}
