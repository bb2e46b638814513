//! The role `extract`: documents in, texts and extractions out (protocol.md, "extract").
//!
//! ```text
//! documents ► decode ► revise (skip unchanged, own concepts, or ask the model) ► texts, extractions, dead letters
//! ```

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use synthllm_llm::{CallError, Prompt, Prompts, Schema, Task, TaskSettings};
use synthllm_log::{Append, LogName, Place, Record, Writer, read_to_end};
use synthllm_operators::answers;
use synthllm_operators::ask::{Case, Mailbox, Stage, Turn, ask};
use synthllm_operators::codec;
use synthllm_operators::decode::{Limits, content_hash, decode};
use synthllm_operators::id::DocumentId;
use synthllm_operators::journal::Hit;
use synthllm_operators::record::{Answer, Document, Extraction, Origin, Pointer, Role, Topic, Version};
use synthllm_operators::revise::{Known, Memory, Queues, Ruling};
use timely::dataflow::InputHandleVec;
use timely::dataflow::operators::Input;
use timely::dataflow::operators::vec::Map;
use timely::worker::Worker;

use super::clock::{Barrier, Clock};
use super::dead_letter::Burial;
use super::desk::Desk;
use super::flow::{self, Flow, Inbox};
use super::inquiry::{Call, Inquiry, Replied, Spent, Step};
use super::shard::{self, Made, Prepared, What};
use super::{Context, Phase};
use crate::config::Source;
use crate::events::{Counter, Outcome};

/// A record of `documents` as it was read.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Incoming {
    origin: Origin,
    key: Vec<u8>,
    value: Option<Vec<u8>>,
    hits: Vec<Hit>,
}

/// A record of `documents`, decoded.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Revision {
    origin: Origin,
    id: DocumentId,
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

/// A document found live at the start.
type Note = (DocumentId, Known);

/// The outcome of a record.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum Decision {
    Skipped,
    Deleted { key: Vec<u8> },
    Written { key: Vec<u8>, text: Option<String>, extraction: Box<Extraction> },
    Buried { burial: Burial, gone: Option<Vec<u8>> },
}

/// The role on this worker.
pub struct Extract {
    flow: Flow<Incoming, Decision>,
    notes: InputHandleVec<u64, Note>,
    desk: Desk<Call, Replied>,
    clock: Clock,
    done: Barrier,
}

impl Extract {
    /// Starts the role, whose shards are fenced: reads where it stands, builds the dataflow, loads the memory, opens the gate.
    pub fn start(worker: &mut Worker, context: &Arc<Context>, writers: Vec<(u32, Box<dyn Writer>)>) -> Result<Self> {
        let (shards, _) = shard::open(context, Role::Extract, writers, Some(LogName::JournalExtract))?;
        let numbers: Vec<u32> = shards.iter().map(|shard| shard.number).collect();
        let ends = context.ends(LogName::Documents, &numbers)?;

        let mut input = InputHandleVec::new();
        let mut notes = InputHandleVec::new();
        let mailbox = Mailbox::default();
        let inbox = Inbox::default();
        let probe = timely::dataflow::ProbeHandle::new();
        let revise = Revise::new(context);
        let limits = Limits { text_bytes: context.config.extract.max_text_bytes, ..Limits::default() };
        worker.dataflow_named("extract", |scope| {
            let records = scope.input_from(&mut input);
            let live = scope.input_from(&mut notes);
            let revisions = records.map(move |record| decoded(record, &limits));
            let by_document = |revision: &Revision| revision.id.0;
            let decisions = ask(revisions, live, "Revise", by_document, |note: &Note| note.0.0, revise, &mailbox);
            flow::sink(decisions, &inbox, &probe);
        });

        let mut flow = Flow::open(context, Role::Extract, LogName::Documents, shards, input, ends)?;
        (flow.inbox, flow.probe) = (inbox, probe);
        let mut role =
            Extract { flow, notes, desk: context.model_desk(mailbox), clock: Clock::default(), done: Barrier::new(worker) };
        let loaded = role.load(worker, context)?;
        context.counters.gate_open(Role::Extract, numbers.len(), loaded);
        crate::fault::point("gate open");
        Ok(role)
    }

    /// The memory of live documents, from this worker's share of `extractions`; complete everywhere before the gate opens.
    fn load(&mut self, worker: &mut Worker, context: &Context) -> Result<u64> {
        let from = super::from_start_of_mine(worker, &context.log, LogName::Extractions)?;
        let mut live: HashMap<DocumentId, Known> = HashMap::new();
        let mut unreadable = None;
        read_to_end(
            &context.log,
            LogName::Extractions,
            &from,
            |record| {
                if let Err(error) = remember(&mut live, &record) {
                    unreadable.get_or_insert(error);
                }
            },
            |read, total| context.status.loading(Role::Extract, read, total),
        )?;
        unreadable.map_or(Ok(()), Err)?;
        let loaded = live.len() as u64;
        for note in live {
            self.notes.send(note);
        }
        let gate = self.clock.tick();
        self.flow.advance_to(gate);
        self.notes.advance_to(gate);
        while self.flow.frontier() < gate {
            context.step(worker)?;
        }
        crate::fault::point("state loaded");
        Ok(loaded)
    }

    /// One turn: reads, carries calls and replies, commits. Returns the phase that the role is in.
    pub fn turn(&mut self, context: &Context) -> Result<Phase> {
        let now = self.clock.tick();
        self.notes.advance_to(now);
        self.flow.advance_to(now);
        let read = if context.stopping() {
            0
        } else {
            self.flow.read(&mut self.clock, &context.counters, |shard, origin, record| {
                let key = record.key.unwrap_or_default();
                let hits = shard.hits_for(origin.offset, &String::from_utf8_lossy(&key));
                Ok(Incoming { origin, key, value: record.value, hits })
            })?
        };
        let moved = self.desk.turn();
        // Nothing to read although there is room: the shards are at the end of `documents`.
        let at_end = read == 0 && self.flow.has_room() && !context.stopping();
        self.flow.commit(
            |_| false,
            |number, progress, outputs| {
                if at_end {
                    progress.caught_up_at = super::clock::unix_micros() / 1_000_000;
                }
                Ok(prepare(context, number, outputs))
            },
        )?;
        if self.flow.drained() {
            self.done.arrive();
        }
        context.status.in_flight(Role::Extract, self.flow.in_flight());
        Ok(Phase::of(read + moved, self.flow.quiet()))
    }

    /// Whether the role has drained on all workers.
    pub fn is_done(&self) -> bool {
        self.done.passed()
    }
}

fn remember(live: &mut HashMap<DocumentId, Known>, record: &Record) -> Result<()> {
    let key = String::from_utf8_lossy(record.key.as_deref().unwrap_or_default());
    let id = DocumentId::of(&key);
    match &record.value {
        Some(value) => {
            let place = || format!("can't read extractions/{} at offset {}", record.partition, record.offset);
            live.insert(id, Known::from(&codec::decode::<Extraction>(value).with_context(place)?));
        }
        None => {
            live.remove(&id);
        }
    }
    Ok(())
}

fn decoded(record: Incoming, limits: &Limits) -> Revision {
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
struct Revise {
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
    since: Version,
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
        self.memory.outcome(id, Some(known));
    }
}

impl Revise {
    fn new(context: &Context) -> Self {
        let config = &context.config;
        let limits = answers::Limits::default();
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
        let hash = match &revision.content {
            Content::Document(document) => Some(content_hash(document)),
            Content::Deleted => None,
            Content::Undecodable { reason } => {
                let reason = reason.clone();
                return self.bury(case, revision, "decode", &reason, None, turn);
            }
        };
        match self.memory.rule(revision.id, version, hash) {
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
            Ruling::Revise { since } => self.revise(case, revision, since, turn),
        }
    }

    /// The content is new: the concepts are the document's own, or the model's.
    fn revise(&mut self, case: Case, mut revision: Revision, since: Version, turn: &mut Turn<Call, Made<Decision>>) {
        let Content::Document(document) = &revision.content else { return };
        let own = !document.topics.is_empty() || !document.concepts.is_empty();
        match (self.source, own, &document.text) {
            (Source::Document | Source::DocumentOrModel, true, _) | (Source::Document, false, _) => {
                let (topics, concepts) = (document.topics.clone(), document.concepts.clone());
                let concepts = Concepts { topics, key_concepts: concepts, ..Concepts::default() };
                self.write(case, revision, since, concepts, &Spent::default(), turn);
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
                self.ask(case, Asked { revision, since, inquiry }, turn);
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
                self.write(case, asked.revision, asked.since, concepts, &spent, turn);
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
        since: Version,
        concepts: Concepts,
        spent: &Spent,
        turn: &mut Turn<Call, Made<Decision>>,
    ) {
        let Content::Document(document) = &mut revision.content else { return };
        let version = Version { partition: revision.origin.shard, offset: revision.origin.offset };
        let hash = content_hash(document);
        let asked = spent.usage.calls > 0;
        let extraction = Extraction {
            text: None,
            version,
            since,
            content_hash: hash,
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
        self.memory.outcome(revision.id, Some(Known { content_hash: hash, version, since }));
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
        let gone = self.memory.lives_in(revision.id, revision.origin.shard).then(|| revision.key.clone());
        if gone.is_some() {
            self.memory.outcome(revision.id, None);
        }
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

/// The records of a transaction: of each document only what became of it last.
fn prepare(context: &Context, number: u32, mut outputs: Vec<(Origin, Decision)>) -> Prepared {
    outputs.sort_by_key(|(origin, _)| origin.offset);
    let mut batch = Batch::default();
    for (origin, decision) in outputs {
        batch.add(context, number, origin, decision);
    }
    batch.prepared()
}

/// What became of a document last, and whether that is the outcome of its record (and not a dead letter's tombstones).
struct Last {
    value: Option<(Option<String>, Box<Extraction>)>,
    written: bool,
}

#[derive(Default)]
struct Batch {
    last: BTreeMap<Vec<u8>, Last>,
    dead_letters: Vec<Append>,
    outcomes: [u64; 4],
    counters: BTreeMap<Counter, u64>,
}

impl Batch {
    fn add(&mut self, context: &Context, number: u32, origin: Origin, decision: Decision) {
        let outcome = match decision {
            Decision::Skipped => Outcome::Skipped,
            Decision::Deleted { key } => {
                self.count(Counter::Deletions, 1);
                self.replace(key, None, true);
                Outcome::Written
            }
            Decision::Written { key, text, extraction } => {
                self.spend(&extraction);
                self.replace(key, Some((text, extraction)), true);
                Outcome::Written
            }
            Decision::Buried { burial, gone } => {
                context.counters.dead_letter(Role::Extract, &burial.stage, number, origin.offset, &burial.reason);
                self.dead_letters.push(burial.record(Role::Extract, LogName::Documents, origin));
                if let Some(key) = gone {
                    self.replace(key, None, false);
                }
                Outcome::DeadLettered
            }
        };
        self.outcomes[outcome as usize] += 1;
    }

    /// An earlier record of the same document in this transaction was superseded.
    fn replace(&mut self, key: Vec<u8>, value: Option<(Option<String>, Box<Extraction>)>, written: bool) {
        if self.last.insert(key, Last { value, written }).is_some_and(|earlier| earlier.written) {
            self.outcomes[Outcome::Written as usize] -= 1;
            self.outcomes[Outcome::Superseded as usize] += 1;
        }
    }

    fn spend(&mut self, extraction: &Extraction) {
        self.count(Counter::Extractions, 1);
        self.count(Counter::Calls, u64::from(extraction.usage.calls));
        self.count(Counter::PromptTokens, extraction.usage.prompt_tokens);
        self.count(Counter::CompletionTokens, extraction.usage.completion_tokens);
        self.count(Counter::CostMicros, (extraction.cost * 1e6).round() as u64);
    }

    fn count(&mut self, counter: Counter, more: u64) {
        *self.counters.entry(counter).or_default() += more;
    }

    fn prepared(self) -> Prepared {
        let texts = self.last.iter().map(|(key, last)| {
            let text = last.value.as_ref().and_then(|(text, _)| text.as_deref());
            keyed(LogName::Texts, key, text.map(codec::compress))
        });
        let texts = texts.collect();
        let (last, mut rest) = (self.last, self.dead_letters);
        let outputs = move |places: &[Place]| {
            for ((key, last), place) in last.into_iter().zip(places) {
                let value = last.value.map(|(text, mut extraction)| {
                    extraction.text = text.map(|_| Pointer { partition: place.partition, offset: place.offset });
                    codec::encode(&extraction)
                });
                rest.push(keyed(LogName::Extractions, &key, value));
            }
            rest
        };
        Prepared {
            texts,
            outputs: Box::new(outputs),
            outcomes: self.outcomes,
            counters: self.counters.into_iter().collect(),
        }
    }
}

fn keyed(log: LogName, key: &[u8], value: Option<Vec<u8>>) -> Append {
    Append { log, partition: None, key: Some(key.to_vec()), value }
}
