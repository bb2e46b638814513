//! What the model is told: templates with named places, one system prompt for all tasks, documents first and the task last.
//!
//! A template is plain text. `{name}` is a place to fill, where the name is of lower-case letters and underscores; any other brace
//! is text. What is filled in is never looked at again. A template with an unknown place, or without one that it needs, is an
//! error when it is loaded, not when it is used.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

use crate::request::{Request, Schema, approximate_tokens, cut};
use crate::settings::Task;

/// The prompts that have a version of their own.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Prompt {
    /// Topics and key concepts of a document.
    Extract,
    /// Questions on one document.
    Level1,
    /// Questions on one document and its concepts.
    Level2,
    /// Questions on two documents and a walk's concepts.
    Level3,
    /// The answer to a question.
    Answer,
    /// The complaint about an answer that did not fit.
    Repair,
    /// What is added when there shall be more questions than one call gives.
    More,
    /// The judgement of an answer.
    Judge,
    /// The rating of a document for screening.
    Rate,
    /// The syllabus of the domain, for the cold start of screening.
    Syllabus,
    /// A document on a unit of the syllabus.
    SyntheticDocument,
    /// Instead of [`Prompt::More`]: a question in other words.
    Rephrase,
    /// Instead of [`Prompt::More`]: what other people would ask.
    Persona,
}

/// What the calls after the first ask for: others, or as the paper's baselines what comes of the questions of the first call.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum More {
    /// Other questions.
    #[default]
    Other,
    /// The same questions in other words.
    Rephrase,
    /// What other people would ask.
    Persona,
}

impl More {
    /// The prompt that is added to the first one.
    pub fn prompt(self) -> Prompt {
        match self {
            More::Other => Prompt::More,
            More::Rephrase => Prompt::Rephrase,
            More::Persona => Prompt::Persona,
        }
    }
}

impl Prompt {
    /// All prompts.
    pub const ALL: [Prompt; 13] = [
        Prompt::Extract,
        Prompt::Level1,
        Prompt::Level2,
        Prompt::Level3,
        Prompt::Answer,
        Prompt::Repair,
        Prompt::More,
        Prompt::Judge,
        Prompt::Rate,
        Prompt::Syllabus,
        Prompt::SyntheticDocument,
        Prompt::Rephrase,
        Prompt::Persona,
    ];

    /// The name of its file, without the ending.
    pub fn name(self) -> &'static str {
        FORMS[self as usize].name
    }
}

/// Name, built-in text, and places that must and that may occur.
struct Form {
    name: &'static str,
    text: &'static str,
    needs: &'static [&'static str],
    knows: &'static [&'static str],
}

macro_rules! form {
    ($name:literal, $needs:expr, $knows:expr) => {
        Form {
            name: $name,
            text: include_str!(concat!("../../configs/prompts/", $name, ".txt")),
            needs: $needs,
            knows: $knows,
        }
    };
}

/// What the number before a question and the end of its line take.
const TOKENS_OF_A_NUMBER: usize = 3;

const SYSTEM: Form = form!("system", &["domain"], &[]);

const FORMS: [Form; 13] = [
    form!("extract", &["document"], &["domain", "topics_max", "key_concepts_max"]),
    form!("level1", &["document"], &["domain", "questions_max"]),
    form!("level2", &["document", "concepts"], &["domain", "questions_max"]),
    form!("level3", &["document", "second_document", "concepts"], &["domain", "questions_max"]),
    form!("answer", &["question"], &["domain"]),
    form!("repair", &["problem"], &["domain"]),
    form!("more", &["questions"], &["domain", "questions_max"]),
    form!("judge", &["question", "answer"], &["domain"]),
    form!("rate", &["document"], &["domain"]),
    form!("syllabus", &["domain"], &["units_max"]),
    form!("synthetic-document", &["unit", "topic"], &["domain", "kind"]),
    form!("rephrase", &["question"], &["domain", "questions", "questions_max"]),
    form!("persona", &["question"], &["domain", "questions", "questions_max"]),
];

/// Why a template can't be used. The user must change the file that is named.
#[derive(Debug, thiserror::Error)]
pub enum PromptError {
    /// The file is there but can't be read as UTF-8.
    #[error("the prompt {} can't be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The template has a place that nothing fills.
    #[error("the prompt {name:?} has the unknown place {{{place}}}, expected one of {expected}")]
    Unknown {
        /// The template.
        name: &'static str,
        /// The place.
        place: String,
        /// The places that it may have.
        expected: String,
    },
    /// The template lacks a place without which it makes no sense.
    #[error("the prompt {name:?} lacks the place {{{place}}}")]
    Missing {
        /// The template.
        name: &'static str,
        /// The place.
        place: &'static str,
    },
}

/// What all prompts share.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PromptSettings {
    /// The field of knowledge, e.g. `mathematics`.
    pub domain: String,
    /// The longest document of a prompt, in tokens as [`crate::request::approximate_tokens`] counts them; two documents share it.
    pub document_tokens: usize,
    /// The most topics of a document.
    pub topics_max: usize,
    /// The most key concepts under a topic.
    pub key_concepts_max: usize,
    /// The most questions of a call at levels 1, 2 and 3.
    pub questions_max: [usize; 3],
}

impl Default for PromptSettings {
    fn default() -> Self {
        PromptSettings {
            domain: "mathematics".into(),
            document_tokens: 3000,
            topics_max: 5,
            key_concepts_max: 20,
            questions_max: [5, 5, 3],
        }
    }
}

/// The loaded templates.
#[derive(Clone, Debug)]
pub struct Prompts {
    settings: PromptSettings,
    system: Arc<str>,
    templates: Vec<Template>,
    versions: Vec<String>,
}

/// Text and places in turn.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Template(Vec<Part>);

#[derive(Clone, PartialEq, Eq, Debug)]
enum Part {
    Text(String),
    Place(String),
}

impl Prompts {
    /// The templates that are built in.
    ///
    /// # Panics
    /// Never: a test loads them.
    pub fn built_in(settings: PromptSettings) -> Self {
        Self::load(None, settings).expect("the templates built in are checked by a test")
    }

    /// The templates of a directory; a file that is not there leaves the one built in.
    pub fn load(directory: Option<&Path>, settings: PromptSettings) -> Result<Self, PromptError> {
        let system_text = read(&SYSTEM, directory)?;
        let system = Template::checked(&SYSTEM, &system_text)?.fill(&[("domain", &settings.domain)]);
        let texts = FORMS.iter().map(|form| read(form, directory)).collect::<Result<Vec<_>, _>>()?;
        let templates =
            FORMS.iter().zip(&texts).map(|(form, text)| Template::checked(form, text)).collect::<Result<_, _>>()?;
        let versions = texts.iter().map(|text| version(&system_text, text)).collect();
        Ok(Prompts { settings, system: system.into(), templates, versions })
    }

    /// The version of a prompt: 16 hexadecimal digits, a hash of its template and of the system prompt's.
    pub fn version(&self, prompt: Prompt) -> &str {
        &self.versions[prompt as usize]
    }

    /// Asks for the topics and key concepts of a document.
    pub fn extract(&self, document: &str, schema: Schema) -> Request {
        let (topics, concepts) = (self.settings.topics_max.to_string(), self.settings.key_concepts_max.to_string());
        let document = self.framed(document, 1);
        let values = [("document", document.as_str()), ("topics_max", &topics), ("key_concepts_max", &concepts)];
        self.request(Task::Extract, Prompt::Extract, &values, Some(schema))
    }

    /// Asks for questions on one document.
    pub fn level1(&self, document: &str, schema: Schema) -> Request {
        self.questions(1, Prompt::Level1, &[("document", &self.framed(document, 1))], schema)
    }

    /// Asks for questions on one document, each of which joins some of its concepts.
    pub fn level2(&self, document: &str, concepts: &[String], schema: Schema) -> Request {
        let values = [("document", self.framed(document, 1)), ("concepts", listed(concepts))];
        self.questions(2, Prompt::Level2, &values.each_ref().map(|(name, value)| (*name, value.as_str())), schema)
    }

    /// Asks for questions on two documents, each of which joins some of a walk's concepts.
    pub fn level3(&self, documents: [&str; 2], concepts: &[String], schema: Schema) -> Request {
        let [first, second] = documents.map(|document| self.framed(document, 2));
        let values = [("document", first), ("second_document", second), ("concepts", listed(concepts))];
        self.questions(3, Prompt::Level3, &values.each_ref().map(|(name, value)| (*name, value.as_str())), schema)
    }

    /// Asks for further questions of a level, unlike those that earlier calls have brought: others, or such that come of the question
    /// `seed`. The last of those that are there are told, as many as [`PromptSettings::document_tokens`] has room for.
    #[must_use]
    pub fn more(&self, how: More, level: u8, request: Request, (seed, questions): (&str, &[&str])) -> Request {
        let most = self.settings.questions_max[usize::from(level.clamp(1, 3)) - 1].to_string();
        let questions = numbered(questions, self.settings.document_tokens);
        let seed = on_one_line(seed);
        let values = [("question", seed.as_str()), ("questions", &questions), ("questions_max", &most)];
        let more = self.filled(how.prompt(), &values);
        Request { user: format!("{}\n\n{more}", request.user), ..request }
    }

    /// Asks for the answer to a question.
    pub fn answer(&self, question: &str) -> Request {
        self.request(Task::Answer, Prompt::Answer, &[("question", question)], None)
    }

    /// Asks whether an answer is correct.
    pub fn judge(&self, question: &str, answer: &str, schema: Schema) -> Request {
        self.request(Task::Judge, Prompt::Judge, &[("question", question), ("answer", answer)], Some(schema))
    }

    /// Asks for the rating of a document, from 1 to 10.
    pub fn rate(&self, document: &str, schema: Schema) -> Request {
        self.request(Task::Rate, Prompt::Rate, &[("document", &self.framed(document, 1))], Some(schema))
    }

    /// Asks for a syllabus of the domain, of at most so many units.
    pub fn syllabus(&self, units: usize, schema: Schema) -> Request {
        self.request(Task::Rate, Prompt::Syllabus, &[("units_max", &units.to_string())], Some(schema))
    }

    /// Asks for a document of a kind (e.g. `blog post`) on a topic of a unit of the syllabus.
    pub fn synthetic_document(&self, kind: &str, unit: &str, topic: &str) -> Request {
        let values = [("kind", kind), ("unit", &on_one_line(unit)), ("topic", &on_one_line(topic))];
        self.request(Task::Rate, Prompt::SyntheticDocument, &values, None)
    }

    /// Asks again, after an answer that did not fit. `problem` is quoted to the model, without a full stop.
    pub fn repair(&self, request: &Request, answer: &str, problem: &str) -> Request {
        request.corrected(answer, &self.filled(Prompt::Repair, &[("problem", problem)]))
    }

    fn questions(&self, level: usize, prompt: Prompt, values: &[(&str, &str)], schema: Schema) -> Request {
        let most = self.settings.questions_max[level - 1].to_string();
        let values = [values, &[("questions_max", &most)]].concat();
        self.request(Task::Question, prompt, &values, Some(schema))
    }

    fn request(&self, task: Task, prompt: Prompt, values: &[(&str, &str)], schema: Option<Schema>) -> Request {
        Request::new(task, self.system.clone(), self.filled(prompt, values), schema)
    }

    fn filled(&self, prompt: Prompt, values: &[(&str, &str)]) -> String {
        let values = [values, &[("domain", &self.settings.domain)]].concat();
        self.templates[prompt as usize].fill(&values)
    }

    /// A document in its frame, the same in every prompt, so that servers find the prefix again.
    fn framed(&self, document: &str, sharing: usize) -> String {
        format!("<document>\n{}\n</document>", cut(document.trim(), self.settings.document_tokens / sharing))
    }
}

impl Template {
    fn checked(form: &Form, text: &str) -> Result<Self, PromptError> {
        let template = Template::parse(text.trim_end());
        let known = || form.needs.iter().chain(form.knows);
        if let Some(place) = template.places().find(|place| !known().any(|name| name == place)) {
            let expected = known().map(|name| format!("{{{name}}}")).collect::<Vec<_>>().join(", ");
            return Err(PromptError::Unknown { name: form.name, place: place.to_owned(), expected });
        }
        match form.needs.iter().find(|name| !template.places().any(|place| place == **name)) {
            Some(place) => Err(PromptError::Missing { name: form.name, place }),
            None => Ok(template),
        }
    }

    fn parse(mut text: &str) -> Self {
        let mut parts = Vec::new();
        let mut plain = String::new();
        while let Some(open) = text.find('{') {
            let (before, behind) = (&text[..open], &text[open + 1..]);
            plain.push_str(before);
            if let Some((name, rest)) = behind.split_once('}').filter(|(name, _)| is_name(name)) {
                parts.extend([Part::Text(std::mem::take(&mut plain)), Part::Place(name.to_owned())]);
                text = rest;
            } else {
                plain.push('{');
                text = behind;
            }
        }
        plain.push_str(text);
        parts.push(Part::Text(plain));
        Template(parts)
    }

    fn places(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|part| match part {
            Part::Place(name) => Some(name.as_str()),
            Part::Text(_) => None,
        })
    }

    fn fill(&self, values: &[(&str, &str)]) -> String {
        let value = |name: &str| values.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| *value);
        let pieces = self.0.iter().map(|part| match part {
            Part::Text(text) => text.as_str(),
            Part::Place(name) => value(name),
        });
        pieces.collect()
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

fn read(form: &Form, directory: Option<&Path>) -> Result<String, PromptError> {
    let Some(directory) = directory else { return Ok(form.text.to_owned()) };
    let path = directory.join(form.name).with_extension("txt");
    match std::fs::read_to_string(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(form.text.to_owned()),
        outcome => outcome.map_err(|source| PromptError::Read { path, source }),
    }
}

fn version(system: &str, template: &str) -> String {
    let mut hash = Xxh3::new();
    hash.update(&(system.len() as u64).to_le_bytes());
    hash.update(system.as_bytes());
    hash.update(template.as_bytes());
    format!("{:016x}", hash.digest())
}

/// One concept a line; a line break inside a name would make two of it.
fn listed(concepts: &[String]) -> String {
    let lines = concepts.iter().map(|concept| format!("- {}", on_one_line(concept)));
    lines.collect::<Vec<_>>().join("\n")
}

/// The last of the questions that take at most so many tokens, one a line.
fn numbered(questions: &[&str], most_tokens: usize) -> String {
    let mut room = most_tokens;
    let fits = |question: &&&str| {
        let left = room.checked_sub(approximate_tokens(question) + TOKENS_OF_A_NUMBER);
        room = left.unwrap_or(0);
        left.is_some()
    };
    let told = questions.iter().rev().take_while(fits).count();
    let told = questions[questions.len() - told..].iter().zip(1..);
    told.map(|(question, number)| format!("{number}. {}", on_one_line(question))).collect::<Vec<_>>().join("\n")
}

fn on_one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
