//! The shape of a model's judgement of an answer, and how it is read.
//!
//! Input, output and law are those of [`crate::answers`]: never a panic; an answer that the schema allows is read in full, and
//! what is wrong with another is said in words that can be put to the model. Cost: linear in the text.

use crate::answers::{AnswerProblem, bounded, object, object_schema, problem, text_schema};

/// The longest reason, in characters.
const LONGEST_REASON: usize = 500;

/// What a model says of an answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Judgement {
    /// Whether it is correct.
    pub correct: bool,
    /// Why.
    pub reason: String,
}

/// The JSON Schema `judge`: the reason stands first, so that a model thinks before it decides.
pub fn schema() -> String {
    object_schema(&[("reason", &text_schema(LONGEST_REASON)), ("correct", r#"{"type":"boolean"}"#)])
}

/// Reads an answer to the schema `judge`.
///
/// ```
/// use synthllm_operators::judgement::judgement;
/// assert!(!judgement(r#"{"reason": "The sign is wrong.", "correct": false}"#).unwrap().correct);
/// assert!(judgement(r#"{"reason": "Fine."}"#).unwrap_err().to_string().contains("correct"));
/// ```
pub fn judgement(text: &str) -> Result<Judgement, AnswerProblem> {
    let answer = object(text)?;
    // Endpoints that don't enforce the schema write the truth as text at times.
    let said = answer["correct"].as_bool().or_else(|| match answer["correct"].as_str()?.trim() {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    });
    let correct = said.ok_or_else(|| problem(r#"the field "correct" is neither true nor false"#))?;
    Ok(Judgement { correct, reason: bounded(&answer["reason"], LONGEST_REASON).unwrap_or_default() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_schema_is_json_and_names_both_fields() {
        let schema: serde_json::Value = serde_json::from_str(&schema()).expect("a schema is JSON");
        assert_eq!(schema["properties"]["correct"]["type"], "boolean");
        assert_eq!(schema["properties"]["reason"]["maxLength"], LONGEST_REASON);
    }

    #[test]
    fn judgements_are_read_fenced_and_as_text() {
        let fenced =
            judgement("So:\n```json\n{\"reason\": \"It holds.\", \"correct\": \"true\"}\n```").expect("a judgement");
        assert_eq!(fenced, Judgement { correct: true, reason: "It holds.".to_owned() });
        assert!(judgement(r#"{"correct": "perhaps", "reason": ""}"#).is_err());
    }

    proptest! {
        #[test]
        fn no_text_makes_a_panic(text in "(\\{|\\}|\"correct\":|true|false|[0-9.\"-]|\\PC){0,12}") {
            _ = judgement(&text);
        }
    }
}
