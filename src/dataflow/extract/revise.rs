//! The stage that decides about documents, one record of a document after the other, and asks the model where it must.
//!
//! Input: decoded records of `documents`. Output: one [`Decision`] each, after the outcome of the record before it of the same
//! document (protocol.md, "extract").

use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use synthllm_llm::{CallError, Prompt, Prompts, Schema, Task, TaskSettings};
use synthllm_operators::answers;
use synthllm_operators::ask::{Case, Stage, Turn};
use synthllm_operators::decode::{Limits, content_hash, decode};
use synthllm_operators::id::DocumentId;
use synthllm_operators::journal::Hit;
use synthllm_operators::record::{Answer, Document, Extraction, Origin, Topic, Version};
use synthllm_operators::revise::{Known, Memory, Queues, Ruling};

use super::super::Context;
use super::super::dead_letter::Burial;
use super::super::inquiry::{Call, Inquiry, Replied, Spent, Step};
use super::super::shard::{Made, What};
use crate::config::Source;

/// A record of `documents` as it was read.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Incoming {
    pub(super) origin: Origin,
    pub(super) key: Vec<u8>,
    pub(super) value: Option<Vec<u8>>,
    pub(super) hits: Vec<Hit>,
}

/// A record of `documents`, decoded.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Revision {
    origin: Origin,
    pub(super) id: DocumentId,
    key: Vec<u8>,
    content: Content,
    /// The bytes as they came, for a dead letter.
    payload: Vec<u8>,
    hits: Vec<Hit>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
enum Content {
    Deleted,
    Document(Box<Document>),
    Undecodable { reason: String },
}

/// A document found live at the start, or found to be gone.
pub(super) type Note = (DocumentId, Option<Known>);

/// The outcome of a record.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Decision {
    Skipped,
    Deleted { key: Vec<u8> },
    Written { key: Vec<u8>, text: Option<String>, extraction: Box<Extraction> },
    Buried { burial: Burial, gone: Option<Vec<u8>> },
}

pub(super) fn decoded(record: Incoming, limits: &Limits) -> Revision {
    let id = DocumentId::of(&String::from_utf8_lossy(&record.key));
    let content = match &record.value {
        None => Content::Deleted,
        Some(value) => match decode(&record.key, value, limits) {
            Ok(document) => Content::Document(Box::new(document)),
            Err(rejection) => Content::Undecodable { reason: rejection.to_string() },
        },
    };
    let payload = record.value.unwrap_or_default();
    Revision { origin: record.origin, id, key: record.key, content, payload, hits: record.hits }
}

/// The stage that decides about documents, one record of a document after the other, and asks the model where it must.
pub(super) struct Revise {
    memory: Memory,
    queues: Queues<(Case, Revision)>,
    asked: HashMap<Case, Asked>,
    prompts: Arc<Prompts>,
    settings: Arc<TaskSettings>,
    source: Source,
    attempts: u32,
    schema: Schema,
    limits: answers::Limits,
}

/// A document for whose concepts the model is asked.
struct Asked {
    revision: Revision,
    known: Known,
    inquiry: Inquiry,
}

impl Stage for Revise {
    type Item = Revision;
    type Note = Note;
    type Call = Call;
    type Reply = Replied;
    type Output = Made<Decision>;

    fn open(&mut self, case: Case, revision: Revision, turn: &mut Turn<Call, Made<Decision>>) {
        if let Some((case, revision)) = self.queues.enter(revision.id, (case, revision)) {
            self.begin(case, revision, turn);
        }
    }

    fn reply(&mut self, case: Case, reply: Replied, turn: &mut Turn<Call, Made<Decision>>) {
        let Some(asked) = self.asked.remove(&case) else { return };
        match reply.outcome {
            Ok(answer) => {
                let what = What::Answered(reply.key, answer.clone());
                turn.give(case, Made { origin: asked.revision.origin, what });
                self.answered(case, asked, &answer, turn);
            }
            // The run stops: the record stays open, and is read again after the next start.
            Err(CallError::Cancelled) => {
                self.asked.insert(case, asked);
            }
            Err(error) => self.bury(case, asked.revision, "extract", &error.to_string(), None, turn),
        }
    }

    fn note(&mut self, (id, known): Note) {
        self.memory.outcome(id, known);
    }
}

impl Revise {
    pub(super) fn new(context: &Context) -> Self {
        let config = &context.config;
        let limits = config.extraction_limits();
        Revise {
            memory: Memory::default(),
            queues: Queues::default(),
            asked: HashMap::new(),
            prompts: Arc::clone(&context.extract_prompts),
            settings: context.settings(Task::Extract),
            source: config.extract.source,
            attempts: 1 + config.llm.extract.repairs,
            schema: Schema::new("extraction", answers::extraction_schema(&limits)),
            limits,
        }
    }

    /// It is this record's turn among those of its document.
    fn begin(&mut self, case: Case, revision: Revision, turn: &mut Turn<Call, Made<Decision>>) {
        let version = Version { partition: revision.origin.shard, offset: revision.origin.offset };
        let content = match &revision.content {
            Content::Document(document) => Some((content_hash(document), document.redo)),
            Content::Deleted => None,
            Content::Undecodable { reason } => {
                let reason = reason.clone();
                return self.bury(case, revision, "decode", &reason, None, turn);
            }
        };
        match self.memory.rule(revision.id, version, content) {
            Ruling::Unchanged | Ruling::Absent => self.finish(case, &revision, Decision::Skipped, turn),
            Ruling::Delete => {
                self.memory.outcome(revision.id, None);
                self.finish(case, &revision, Decision::Deleted { key: revision.key.clone() }, turn);
            }
            Ruling::Foreign { lives_in } => {
                let reason = format!(
                    "this id lives in partition {lives_in} of documents; a document must stay in one partition, \
                     delete it there first"
                );
                self.bury(case, revision, "decode", &reason, None, turn);
            }
            Ruling::Revise(known) => self.revise(case, revision, known, turn),
        }
    }

    /// The content is new, or asked about anew: the concepts are the document's own, or the model's.
    fn revise(&mut self, case: Case, mut revision: Revision, known: Known, turn: &mut Turn<Call, Made<Decision>>) {
        let Content::Document(document) = &revision.content else { return };
        let own = !document.topics.is_empty() || !document.concepts.is_empty();
        match (self.source, own, &document.text) {
            (Source::Document | Source::DocumentOrModel, true, _) | (Source::Document, false, _) => {
                let (topics, concepts) = (document.topics.clone(), document.concepts.clone());
                let concepts = Concepts { topics, key_concepts: concepts, ..Concepts::default() };
                self.write(case, revision, known, concepts, &Spent::default(), turn);
            }
            (_, _, None) => {
                let reason = "there is no text to extract concepts from; \
                              give a text, or topics and concepts with extract.source = \"document-or-model\"";
                self.bury(case, revision, "extract", reason, None, turn);
            }
            (_, _, Some(text)) => {
                let request = self.prompts.extract(text, self.schema.clone());
                let hits = std::mem::take(&mut revision.hits);
                let subject = String::from_utf8_lossy(&revision.key).into_owned();
                let settings = Arc::clone(&self.settings);
                let inquiry = Inquiry::new(revision.origin, &subject, request, settings, self.attempts, hits);
                self.ask(case, Asked { revision, known, inquiry: inquiry.of_redo(known.redo) }, turn);
            }
        }
    }

    fn ask(&mut self, case: Case, asked: Asked, turn: &mut Turn<Call, Made<Decision>>) {
        match asked.inquiry.step() {
            Step::Known(answer) => self.answered(case, asked, &answer, turn),
            Step::Ask(call) => {
                turn.ask(case, call);
                self.asked.insert(case, asked);
            }
        }
    }

    fn answered(&mut self, case: Case, mut asked: Asked, answer: &Answer, turn: &mut Turn<Call, Made<Decision>>) {
        asked.inquiry.spent.add(answer);
        match extraction(answer, &self.limits) {
            Ok(concepts) => {
                let spent = asked.inquiry.spent.clone();
                self.write(case, asked.revision, asked.known, concepts, &spent, turn);
            }
            Err(problem) => {
                if asked.inquiry.repair(&self.prompts, &answer.text, &problem) {
                    self.ask(case, asked, turn);
                } else {
                    self.bury(case, asked.revision, "extract", &problem, Some(&answer.text), turn);
                }
            }
        }
    }

    fn write(
        &mut self,
        case: Case,
        mut revision: Revision,
        known: Known,
        concepts: Concepts,
        spent: &Spent,
        turn: &mut Turn<Call, Made<Decision>>,
    ) {
        let Content::Document(document) = &mut revision.content else { return };
        let asked = spent.usage.calls > 0;
        let extraction = Extraction {
            text: None,
            version: known.version,
            since: known.since,
            redo: known.redo,
            redone: known.redone,
            content_hash: known.content_hash,
            level: concepts.level,
            subject: concepts.subject,
            topics: concepts.topics,
            key_concepts: concepts.key_concepts,
            source: document.source.take(),
            url: document.url.take(),
            license: document.license.take(),
            model: asked.then(|| spent.model.clone()),
            prompt: asked.then(|| self.prompts.version(Prompt::Extract).to_owned()),
            usage: spent.usage,
            cost: spent.cost,
        };
        self.memory.outcome(revision.id, Some(known));
        let decision =
            Decision::Written { key: revision.key.clone(), text: document.text.take(), extraction: Box::new(extraction) };
        self.finish(case, &revision, decision, turn);
    }

    /// A dead letter; of a document that lives in this partition it also writes the tombstones.
    fn bury(
        &mut self,
        case: Case,
        revision: Revision,
        stage: &str,
        reason: &str,
        answer: Option<&str>,
        turn: &mut Turn<Call, Made<Decision>>,
    ) {
        let gone = self.memory.bury(revision.id, revision.origin.shard).then(|| revision.key.clone());
        let burial = Burial {
            stage: stage.to_owned(),
            key: String::from_utf8(revision.key.clone()).ok(),
            reason: reason.to_owned(),
            payload: revision.payload.clone(),
            answer: answer.map(str::to_owned),
        };
        self.finish(case, &revision, Decision::Buried { burial, gone }, turn);
    }

    /// Gives the outcome, and lets the document's next record begin.
    fn finish(&mut self, case: Case, revision: &Revision, decision: Decision, turn: &mut Turn<Call, Made<Decision>>) {
        turn.give(case, Made { origin: revision.origin, what: What::Output(decision) });
        turn.close(case);
        if let Some((case, next)) = self.queues.leave(revision.id) {
            self.begin(case, next, turn);
        }
    }
}

/// What a document is about, from itself or from the model.
#[derive(Default)]
struct Concepts {
    level: Option<String>,
    subject: Option<String>,
    topics: Vec<Topic>,
    key_concepts: Vec<String>,
}

fn extraction(answer: &Answer, limits: &answers::Limits) -> Result<Concepts, String> {
    if answer.truncated {
        return Err("the answer was cut off at the limit of tokens; answer more briefly".to_owned());
    }
    let found = answers::extraction(&answer.text, limits).map_err(|problem| problem.to_string())?;
    Ok(Concepts { level: found.level, subject: found.subject, topics: found.topics, key_concepts: Vec::new() })
}
