//! The shapes of the model's answers, and how they are read (design.md §7).
//!
//! Input: the text of a completion, reasoning stripped. Output: a checked answer, or an [`AnswerProblem`] whose words can be put
//! to the model. Law: never a panic; an answer that the schema allows is read in full; more than the limits is cut, a useless
//! item is left out, and only an answer of which nothing is left is a problem. Cost: linear in the text.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::decode::kind;
use crate::normal::{concept_name, fold};
use crate::record::Topic;

/// How much of an answer counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// The most topics of a document.
    pub topics: usize,
    /// The most key concepts under a topic.
    pub key_concepts: usize,
    /// The most questions of a call.
    pub questions: usize,
    /// The most concepts that a question joins.
    pub concepts_per_question: usize,
    /// The longest name of a topic, a key concept, a level or a subject, in characters.
    pub name_length: usize,
    /// The longest question, in characters.
    pub question_length: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            topics: 5,
            key_concepts: 20,
            questions: 5,
            concepts_per_question: 3,
            name_length: 80,
            question_length: 2000,
        }
    }
}

/// What is wrong with an answer, in words that end a sentence to the model.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct AnswerProblem(pub String);

/// A checked answer to the schema `extraction`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ExtractionAnswer {
    /// The level of education.
    pub level: Option<String>,
    /// The subject.
    pub subject: Option<String>,
    /// At least one topic; no name twice.
    pub topics: Vec<Topic>,
}

/// A checked answer to the schema `level1`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Level1Answer {
    /// The document is not suitable for creating questions: an outcome, not an error.
    Unsuitable,
    /// At least one question.
    Questions(Vec<Level1Question>),
}

/// A question of level 1.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Level1Question {
    /// The question.
    pub question: String,
    /// Whether it stands in the document.
    pub original: bool,
    /// The level of education.
    pub level: Option<String>,
}

/// A question of level 2 or 3.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CombinedQuestion {
    /// The concepts that it joins, spelled as they were offered; at least one.
    pub concepts: Vec<String>,
    /// The question.
    pub question: String,
}

/// The levels of education.
pub const LEVELS: [&str; 7] = ["primary", "middle", "high school", "college", "graduate", "competition", "other"];

/// The JSON Schema `extraction`. Its properties stand in the order in which a constrained model writes them.
pub fn extraction_schema(limits: &Limits) -> String {
    let name = text_schema(limits.name_length);
    let key_concepts = array_schema(&name, 1, limits.key_concepts);
    let topic = object_schema(&[("name", &name), ("key_concepts", &key_concepts)]);
    let topics = array_schema(&topic, 1, limits.topics);
    object_schema(&[("level", &level_schema()), ("subject", &name), ("topics", &topics)])
}

/// The JSON Schema `level1`.
pub fn level1_schema(limits: &Limits) -> String {
    let question = text_schema(limits.question_length);
    let origin = r#"{"type":"string","enum":["original","new"],"maxLength":8}"#;
    let item = object_schema(&[("question", &question), ("origin", origin), ("level", &level_schema())]);
    let questions = array_schema(&item, 0, limits.questions);
    object_schema(&[("suitable", r#"{"type":"boolean"}"#), ("questions", &questions)])
}

/// The JSON Schema `combined`.
pub fn combined_schema(limits: &Limits) -> String {
    let concepts = array_schema(&text_schema(limits.name_length), 1, limits.concepts_per_question);
    let item = object_schema(&[("concepts", &concepts), ("question", &text_schema(limits.question_length))]);
    object_schema(&[("questions", &array_schema(&item, 1, limits.questions))])
}

pub(crate) fn object_schema(properties: &[(&str, &str)]) -> String {
    let members = properties.iter().map(|(name, schema)| format!("\"{name}\":{schema}")).collect::<Vec<_>>().join(",");
    let required = properties.iter().map(|(name, _)| format!("\"{name}\"")).collect::<Vec<_>>().join(",");
    format!(r#"{{"type":"object","properties":{{{members}}},"required":[{required}],"additionalProperties":false}}"#)
}

pub(crate) fn array_schema(items: &str, least: usize, most: usize) -> String {
    format!(r#"{{"type":"array","items":{items},"minItems":{least},"maxItems":{most}}}"#)
}

pub(crate) fn text_schema(longest: usize) -> String {
    format!(r#"{{"type":"string","minLength":1,"maxLength":{longest}}}"#)
}

fn level_schema() -> String {
    let levels = LEVELS.map(|level| format!("\"{level}\"")).join(",");
    format!(r#"{{"type":"string","enum":[{levels}],"maxLength":16}}"#)
}

/// Reads an answer to the schema `extraction`.
///
/// ```
/// use synthllm_operators::answers::{Limits, extraction};
/// let text = "Sure!\n```json\n{\"level\": \"college\", \"topics\": [{\"name\": \"Groups\", \"key_concepts\": [\"coset\"]}]}\n```";
/// assert_eq!(extraction(text, &Limits::default())?.topics[0].key_concepts, ["coset"]);
/// # Ok::<(), synthllm_operators::answers::AnswerProblem>(())
/// ```
pub fn extraction(text: &str, limits: &Limits) -> Result<ExtractionAnswer, AnswerProblem> {
    let answer = object(text)?;
    let mut seen = BTreeSet::new();
    let mut topics = Vec::new();
    for item in items(&answer, "topics")? {
        let Some(name) = name(&item["name"], limits).filter(|name| seen.insert(concept_name(name))) else { continue };
        topics.push(Topic { name, key_concepts: names(&item["key_concepts"], limits.key_concepts, limits) });
    }
    topics.truncate(limits.topics);
    if topics.is_empty() {
        return Err(problem(r#"the list "topics" holds no topic with a "name""#));
    }
    if topics.iter().all(|topic| topic.key_concepts.is_empty()) {
        return Err(problem(r#"no topic has "key_concepts""#));
    }
    Ok(ExtractionAnswer { level: name(&answer["level"], limits), subject: name(&answer["subject"], limits), topics })
}

/// Reads an answer to the schema `level1`. Questions count even if the model says that the document is not suitable only when
/// it says nothing about that.
pub fn level1(text: &str, limits: &Limits) -> Result<Level1Answer, AnswerProblem> {
    let answer = object(text)?;
    if answer["suitable"] == Value::Bool(false) {
        return Ok(Level1Answer::Unsuitable);
    }
    let mut questions: Vec<Level1Question> = items(&answer, "questions")?
        .iter()
        .filter_map(|item| {
            let question = question(&item["question"], limits)?;
            let original = item["origin"].as_str().is_some_and(|origin| fold(origin) == "original");
            Some(Level1Question { question, original, level: name(&item["level"], limits) })
        })
        .collect();
    questions.truncate(limits.questions);
    if questions.is_empty() {
        return Err(problem(r#"the list "questions" holds no "question", though "suitable" is not false"#));
    }
    Ok(Level1Answer::Questions(questions))
}

/// Reads an answer to the schema `combined`. Of the concepts that a question names, those count that were offered; a question
/// that names none of them is left out.
pub fn combined(text: &str, offered: &[String], limits: &Limits) -> Result<Vec<CombinedQuestion>, AnswerProblem> {
    let answer = object(text)?;
    let mut questions: Vec<CombinedQuestion> = items(&answer, "questions")?
        .iter()
        .filter_map(|item| {
            let mut concepts = picked(&item["concepts"], offered);
            concepts.truncate(limits.concepts_per_question);
            let question = question(&item["question"], limits)?;
            (!concepts.is_empty()).then_some(CombinedQuestion { concepts, question })
        })
        .collect();
    questions.truncate(limits.questions);
    if questions.is_empty() {
        return Err(problem(r#"the list "questions" holds no "question" with "concepts" copied from the list given"#));
    }
    Ok(questions)
}

/// The offered concepts that a list names, in its order, each once.
fn picked(list: &Value, offered: &[String]) -> Vec<String> {
    let mut concepts: Vec<String> = Vec::new();
    for name in list.as_array().into_iter().flatten().filter_map(Value::as_str).map(concept_name) {
        let found = offered.iter().find(|concept| concept_name(concept) == name);
        concepts.extend(found.filter(|concept| !concepts.contains(concept)).cloned());
    }
    concepts
}

/// The JSON object in a text: the whole of it, or what a fenced block or surrounding prose holds.
pub(crate) fn object(text: &str) -> Result<Value, AnswerProblem> {
    let text = text.trim();
    if text.is_empty() {
        return Err(problem("it is empty"));
    }
    match serde_json::from_str(text) {
        Ok(answer @ Value::Object(_)) => Ok(answer),
        Ok(other) => Err(problem(&format!("it is {}, expected a JSON object", kind(&other)))),
        Err(error) => {
            let embedded = if text.starts_with('{') { None } else { embedded_object(text) };
            embedded.ok_or_else(|| problem(&format!("it is not valid JSON ({error})")))
        }
    }
}

/// How many opening braces are tried before a text is taken to hold no object; bounds the work on hostile texts.
const MOST_BRACES: usize = 32;

/// The first object in a text that is not all JSON.
fn embedded_object(text: &str) -> Option<Value> {
    let braces = text.match_indices('{').take(MOST_BRACES);
    braces.filter_map(|(at, _)| first_value(&text[at..])).find(|fields| !fields.is_empty()).map(Value::Object)
}

fn first_value(text: &str) -> Option<Map<String, Value>> {
    serde_json::Deserializer::from_str(text).into_iter().next()?.ok()
}

pub(crate) fn items<'a>(answer: &'a Value, field: &str) -> Result<&'a [Value], AnswerProblem> {
    match &answer[field] {
        Value::Array(items) => Ok(items),
        Value::Null => Err(problem(&format!("the field \"{field}\" is missing"))),
        other => Err(problem(&format!("the field \"{field}\" is {}, expected a list", kind(other)))),
    }
}

/// The usable names of a list, each once.
fn names(list: &Value, most: usize, limits: &Limits) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let names = list.as_array().into_iter().flatten().filter_map(|value| name(value, limits));
    names.filter(|name| seen.insert(concept_name(name))).take(most).collect()
}

/// A name without the white space around it, unless it is empty or too long to be one.
fn name(value: &Value, limits: &Limits) -> Option<String> {
    bounded(value, limits.name_length).filter(|name| !concept_name(name).is_empty())
}

fn question(value: &Value, limits: &Limits) -> Option<String> {
    bounded(value, limits.question_length).filter(|question| !fold(question).is_empty())
}

pub(crate) fn bounded(value: &Value, longest: usize) -> Option<String> {
    let text = value.as_str()?.trim();
    (text.chars().count() <= longest).then(|| text.to_owned())
}

pub(crate) fn problem(text: &str) -> AnswerProblem {
    AnswerProblem(text.to_owned())
}
