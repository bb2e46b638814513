//! What the scripted model says: a function of the documents, the concepts and the task, nothing else.
//!
//! A request is understood by its schema's name (or the schema's text, where the endpoint is asked without one), the text between
//! `<document>` and `</document>`, the lines that begin with `- `, which are concepts, and those that begin with a number, which are
//! questions that are there already.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use xxhash_rust::xxh3::xxh3_64;

use super::{Fault, Options, embeddings};

/// The answer of a server that is there for measuring its clients.
pub const FIXED: &str = r#"{"id":"scripted","object":"chat.completion","created":0,"model":"scripted","choices":[{"index":0,"finish_reason":"stop","message":{"role":"assistant","content":"The answer is 42."}}],"usage":{"prompt_tokens":100,"completion_tokens":5,"total_tokens":105}}"#;

/// The names of the schemas that the server understands, with a word that only their text contains.
const SCHEMAS: [(&str, &str); 6] = [
    ("extraction", "key_concepts"),
    ("level1", "suitable"),
    ("rating", "score"),
    ("syllabus", "units"),
    ("judge", "correct"),
    ("combined", "concepts"),
];

/// The words of the domain that ratings and documents of the cold start are about.
pub const DOMAIN_WORDS: [&str; 16] = [
    "regression",
    "estimator",
    "classifier",
    "kernel",
    "cluster",
    "training",
    "sample",
    "variance",
    "likelihood",
    "regularization",
    "gradient",
    "feature",
    "prediction",
    "covariance",
    "bias",
    "hyperparameter",
];

/// Words that any text has.
const PLAIN_WORDS: [&str; 12] =
    ["the", "with", "value", "where", "given", "each", "result", "therefore", "example", "which", "because", "follows"];

/// A request, understood.
#[derive(Debug)]
pub struct Question {
    /// The schema's name, or `answer`.
    pub task: String,
    /// The beginning of the last message.
    pub extract: String,
    documents: Vec<String>,
    concepts: Vec<String>,
    already: usize,
    most_questions: usize,
    last_message: String,
    prompt_bytes: usize,
    model: String,
    /// The texts to be embedded, where it is no chat.
    inputs: Option<Vec<String>>,
}

impl Question {
    /// Understands a body; of a senseless one it makes a question for a plain answer.
    pub fn read(body: &str) -> Self {
        let request: Value = serde_json::from_str(body).unwrap_or(Value::Null);
        let messages = request["messages"].as_array().map_or(&[][..], Vec::as_slice);
        let of_role = |role: &'static str| messages.iter().filter(move |message| message["role"] == role).map(text);
        let first = of_role("user").next().unwrap_or_default();
        let schema = &request["response_format"]["json_schema"];
        let last_message = messages.last().map(text).unwrap_or_default();
        let inputs = embeddings::inputs(&request);
        let first_input = inputs.as_ref().and_then(|inputs| inputs.first()).map_or("", String::as_str);
        let beginning = if inputs.is_some() { first_input } else { last_message };
        Question {
            task: if inputs.is_some() { "embedding".into() } else { task(schema, first) },
            extract: beginning.chars().take(120).collect(),
            documents: documents(first),
            concepts: concepts(first),
            already: already(first),
            most_questions: schema["schema"]["properties"]["questions"]["maxItems"].as_u64().unwrap_or(2) as usize,
            last_message: last_message.to_owned(),
            prompt_bytes: messages.iter().map(|message| text(message).len()).sum(),
            model: request["model"].as_str().unwrap_or("scripted").to_owned(),
            inputs,
        }
    }

    /// The body of the response, bent by the fault.
    pub fn completion(&self, options: &Options, fault: Option<&Fault>) -> String {
        if let Some(inputs) = &self.inputs {
            return embeddings::response(inputs, &self.model, fault);
        }
        let answer = self.answer(options);
        let (content, finish) = match fault {
            Some(Fault::WrongJson) => return "<html>not what you asked for</html>".into(),
            Some(Fault::WrongAnswer) => ("I would rather talk about the weather.".to_owned(), "stop"),
            Some(Fault::Fenced) => (format!("Here it is:\n```json\n{answer}\n```\nI hope that helps."), "stop"),
            Some(Fault::Truncated) => (first_half(&answer), "length"),
            Some(Fault::SchemaViolation) => (json!({"unexpected": [1, 2, 3]}).to_string(), "stop"),
            Some(Fault::Reasoning) => (format!("<think>\nLet me see. {{\"level\"?\n</think>\n\n{answer}"), "stop"),
            Some(Fault::Says(words)) => (words.clone(), "stop"),
            Some(Fault::Huge) => ("huge ".repeat(8 << 18), "stop"),
            _ => (answer, "stop"),
        };
        self.response(&content, finish)
    }

    fn response(&self, content: &str, finish: &str) -> String {
        let (prompt, completion) = (self.prompt_bytes / 4, content.len() / 4 + 1);
        json!({
            "id": "scripted", "object": "chat.completion", "created": 0, "model": self.model,
            "choices": [{"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": content}}],
            "usage": {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion},
        })
        .to_string()
    }

    fn answer(&self, options: &Options) -> String {
        match self.task.as_str() {
            "extraction" => self.extraction().to_string(),
            "level1" => self.level1(options).to_string(),
            "combined" => self.combined(options).to_string(),
            "rating" => json!({"reason": "scripted", "score": rating(&self.documents.concat())}).to_string(),
            "syllabus" => syllabus().to_string(),
            "answer" if self.last_message.contains("\nUnit: ") => synthetic_document(&self.last_message),
            "judge" => json!({"correct": true, "reason": "scripted"}).to_string(),
            _ => format!("It follows that the value is {}.", xxh3_64(self.last_message.as_bytes()) % 1000),
        }
    }

    /// The words with the smallest hashes become the concepts, so that documents with common words have common concepts.
    fn extraction(&self) -> Value {
        let mut words = words(&self.documents.concat());
        words.sort_by_key(|word| (xxh3_64(word.as_bytes()), word.clone()));
        words.truncate(12);
        if words.is_empty() {
            words.push("emptiness".into());
        }
        let names = words.len().min(2);
        let (names, key_concepts) = if words.len() > 2 { words.split_at(names) } else { (&words[..1], &words[..]) };
        let per_topic = key_concepts.len().div_ceil(names.len()).max(1);
        let topics: Vec<Value> = names
            .iter()
            .zip(key_concepts.chunks(per_topic))
            .map(|(name, under)| json!({"name": name, "key_concepts": under}))
            .collect();
        json!({"level": "college", "subject": "scripted subject", "topics": topics})
    }

    fn level1(&self, options: &Options) -> Value {
        if chance(self.hash(u64::MAX), options.unsuitable_rate) {
            return json!({"suitable": false, "questions": []});
        }
        let questions: Vec<Value> = (0..self.questions())
            .map(|index| json!({"question": self.question(index, "this article", options), "origin": origin(index), "level": "college"}))
            .collect();
        json!({"suitable": true, "questions": questions})
    }

    fn combined(&self, options: &Options) -> Value {
        let questions: Vec<Value> = (0..self.questions())
            .map(|index| {
                let picked: Vec<&String> =
                    self.concepts.iter().cycle().skip(index as usize * 2).take(self.concepts.len().min(2)).collect();
                let about = picked.iter().map(|concept| concept.as_str()).collect::<Vec<_>>().join(" and ");
                json!({"concepts": picked, "question": self.question(index, &about, options)})
            })
            .collect();
        json!({"questions": questions})
    }

    fn questions(&self) -> u64 {
        self.most_questions.clamp(1, 2) as u64
    }

    fn question(&self, index: u64, about: &str, options: &Options) -> String {
        let hash = self.hash(index);
        if chance(hash, options.duplicate_rate) {
            return format!("What is the value in shared question {}?", hash % 4);
        }
        format!("Given {about}, what is the value in case {hash:016x}?")
    }

    /// A hash of what the answer may depend on, without the wording of the prompt.
    fn hash(&self, index: u64) -> u64 {
        let index = index.wrapping_add(self.already as u64);
        xxh3_64(format!("{}\0{}\0{}\0{index}", self.task, self.documents.join("\0"), self.concepts.join("\0")).as_bytes())
    }
}

/// The list of models.
pub fn models() -> String {
    json!({"object": "list", "data": [{"id": "scripted", "object": "model", "created": 0, "owned_by": "tests"}]}).to_string()
}

/// An error as `OpenAI` words it.
pub fn error(message: &str) -> String {
    json!({"error": {"message": message, "type": "scripted", "code": null}}).to_string()
}

fn text(message: &Value) -> &str {
    message["content"].as_str().unwrap_or("")
}

fn task(schema: &Value, prompt: &str) -> String {
    let by_text = || SCHEMAS.iter().find(|(_, word)| prompt.contains(&format!("\"{word}\""))).map(|(name, _)| *name);
    schema["name"].as_str().or_else(by_text).unwrap_or("answer").to_owned()
}

fn documents(prompt: &str) -> Vec<String> {
    let bodies = prompt.split("<document>").skip(1);
    bodies.map(|rest| rest.split("</document>").next().unwrap_or(rest).trim().to_owned()).collect()
}

fn concepts(prompt: &str) -> Vec<String> {
    let behind = prompt.rsplit("</document>").next().unwrap_or(prompt);
    behind.lines().filter_map(|line| line.strip_prefix("- ")).map(|concept| concept.trim().to_owned()).collect()
}

fn already(prompt: &str) -> usize {
    let behind = prompt.rsplit("</document>").next().unwrap_or(prompt);
    behind.lines().filter(|line| line.split_once(". ").is_some_and(|(number, _)| number.parse::<u32>().is_ok())).count()
}

fn words(text: &str) -> Vec<String> {
    let words = text.split(|c: char| !c.is_alphabetic()).filter(|word| word.len() > 3).map(str::to_lowercase);
    words.collect::<BTreeSet<_>>().into_iter().collect()
}

/// From 1 to 10: the more of the words belong to the domain, up to a fifth of them, the better.
fn rating(text: &str) -> u64 {
    let (mut all, mut of_domain) = (0_u64, 0);
    for word in text.split(|c: char| !c.is_alphabetic()).filter(|word| !word.is_empty()) {
        let word = word.to_lowercase();
        all += 1;
        of_domain += u64::from(DOMAIN_WORDS.iter().any(|known| word == *known || word.strip_suffix('s') == Some(known)));
    }
    1 + (9 * 5 * of_domain / all.max(1)).min(9)
}

/// Four words of the domain a unit.
fn syllabus() -> Value {
    let unit = |words: &[&str]| json!({"title": format!("On {}", words[0]), "topics": words});
    json!({"units": DOMAIN_WORDS.chunks(4).map(unit).collect::<Vec<_>>()})
}

/// A text in which every fourth word is one of the domain, another one for each prompt.
fn synthetic_document(prompt: &str) -> String {
    let seed = xxh3_64(prompt.as_bytes());
    let word = |place: u64| {
        let draw = xxh3_64(&[seed.to_le_bytes(), place.to_le_bytes()].concat()) as usize;
        if place.is_multiple_of(4) { DOMAIN_WORDS[draw % DOMAIN_WORDS.len()] } else { PLAIN_WORDS[draw % PLAIN_WORDS.len()] }
    };
    (0..80).map(word).collect::<Vec<_>>().join(" ")
}

fn first_half(text: &str) -> String {
    text.chars().take(text.chars().count() / 2).collect()
}

fn origin(index: u64) -> &'static str {
    if index == 0 { "original" } else { "new" }
}

fn chance(hash: u64, rate: f64) -> bool {
    ((hash >> 32) as f64) < rate * f64::from(u32::MAX)
}
