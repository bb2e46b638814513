//! The stage that decides about documents, one record of a document after the other, and asks the models where it must.
//!
//! Input: decoded records of `documents`, and stored documents to be screened again. Output: one [`Decision`] each, after the
//! outcome of the record before it of the same document (protocol.md, "extract").

mod compare;

use std::collections::HashMap;
use std::sync::Arc;

use synthllm_llm::{CallError, Prompt, Prompts, Schema, Task, TaskSettings};
use synthllm_log::LogName;
use synthllm_operators::answers::{self, ExtractionAnswer};
use synthllm_operators::ask::{Case, Mailbox, Stage, Turn};
use synthllm_operators::decode::content_hash;
use synthllm_operators::id::DocumentId;
use synthllm_operators::journal::Hit;
use synthllm_operators::record::{
    Answer, Document, Extracted, Extraction, JournalKey, Pointer, Scored, Version, screenings_of, version,
};
use synthllm_operators::revise::{Known, Memory, Queues, Ruling};
use synthllm_operators::screen::Reason;

use self::compare::Recalls;
use super::super::Context;
use super::super::dead_letter::Burial;
use super::super::inquiry::{self, EmbedCall, Inquiry, Spent, Step};
use super::super::screen::Screen;
use super::super::shard::{Made, What};
use super::decision::{Content, Decision, Gone, Note, Posted, Revision, ScoredAt, mark};
use super::entry::Entry;
use super::errands::{Brought, Errand, Wanted};
use super::lives;
use super::work::{About, Embedding, Next, Stored, Text, Work};
use crate::config::Source;

/// What the stage may do about a case.
type Out<'turn> = &'turn mut Turn<Errand, Posted>;

/// The last record of a document in `scores`, with a hash of the text whose embedding it has.
enum LastScore {
    /// It is in the log.
    At(Pointer, u128),
    /// It is on its way there; with its [`mark`].
    Written(Box<Scored>, u128),
}

/// The stage that decides about documents, one record of a document after the other, and asks the models where it must.
///
/// Memory: 88 bytes per document, let in or rejected, and 64 for each that has a record in `scores`, before what a hash table leaves
/// empty. Such a record is held until it is in the log.
pub(super) struct Revise {
    memory: Memory,
    queues: Queues<(Case, Revision)>,
    under_way: HashMap<Case, Work>,
    recalls: Recalls,
    /// Where the stage has its replies from.
    mailbox: Mailbox<Errand, Brought>,
    screen: Arc<Screen>,
    /// Of documents that have gone in this run, the number in their last version, where that was not the shard's.
    went: HashMap<DocumentId, u64>,
    /// The documents that have a record in `scores`.
    scored: HashMap<DocumentId, LastScore>,
    prompts: Arc<Prompts>,
    settings: Arc<TaskSettings>,
    embed: Arc<TaskSettings>,
    source: Source,
    attempts: u32,
    schema: Schema,
    limits: answers::Limits,
}

impl Stage for Revise {
    type Item = Revision;
    type Note = Note;
    type Call = Errand;
    type Reply = Brought;
    type Output = Posted;

    fn open(&mut self, case: Case, revision: Revision, turn: Out<'_>) {
        if let Some((case, revision)) = self.queues.enter(revision.about.id, (case, revision)) {
            self.begin(case, revision, turn);
        }
    }

    fn reply(&mut self, case: Case, reply: Brought, turn: Out<'_>) {
        match reply {
            Brought::Placed => return self.placed(case, turn),
            Brought::Scored(scored) if self.recalls.waits(case) => return self.recalled(case, scored, turn),
            _ => (),
        }
        let Some(mut work) = self.under_way.remove(&case) else { return };
        match reply {
            Brought::Placed => (),
            Brought::Verdict(verdict) => self.compared(case, work, verdict, turn),
            Brought::Text(Some(text)) => {
                work.read(text);
                self.advance(case, work, turn);
            }
            Brought::Text(None) => self.bury(case, work, "screen", "its text is gone from the log", None, turn),
            Brought::Scored(scored) => {
                work.take(scored.map(|scored| *scored), &self.screen);
                self.advance(case, work, turn);
            }
            Brought::Replied(replied) => match replied.outcome {
                Ok(answer) => {
                    let what = What::Answered(replied.key, answer.clone());
                    turn.give(case, Posted::Made(Made { origin: work.about.origin, what }));
                    self.answered(case, work, &answer, turn);
                }
                // The run stops: the record stays open, and is read again after the next start.
                Err(CallError::Cancelled) => _ = self.under_way.insert(case, work),
                Err(error) => {
                    let stage = if work.inquiry.is_some() { "extract" } else { "embed" };
                    self.bury(case, work, stage, &error.to_string(), None, turn);
                }
            },
        }
    }

    fn note(&mut self, note: Note) {
        match note {
            Note::Extracted(id, known) => self.memory.load(id, known),
            Note::Scored(id, scored) => {
                self.memory.load_rejected(id, scored.and_then(|scored| scored.rejected));
                match scored {
                    Some(ScoredAt { place, text_hash, .. }) => {
                        self.scored.insert(id, LastScore::At(place, text_hash));
                    }
                    None => _ = self.scored.remove(&id),
                }
            }
            Note::Placed(id, place, of) => {
                if let Some(last) = self.scored.get_mut(&id)
                    && let LastScore::Written(scored, mark) = last
                    && *mark == of
                {
                    *last = LastScore::At(place, scored.text_hash);
                    self.recalls.placed(id).into_iter().for_each(|case| self.mailbox.deliver(case, Brought::Placed));
                }
            }
            Note::Gone(id) => {
                self.memory.outcome(id, None);
                self.scored.remove(&id);
            }
        }
    }
}

impl Revise {
    pub(super) fn new(context: &Context, mailbox: Mailbox<Errand, Brought>) -> Self {
        let config = &context.config;
        let limits = config.extraction_limits();
        Revise {
            memory: Memory::default(),
            queues: Queues::default(),
            under_way: HashMap::new(),
            recalls: Recalls::default(),
            mailbox,
            screen: Arc::clone(&context.screen),
            went: HashMap::new(),
            scored: HashMap::new(),
            prompts: Arc::clone(&context.extract_prompts),
            settings: context.settings(Task::Extract),
            embed: context.settings(Task::Embed),
            source: config.extract.source,
            attempts: 1 + config.llm.extract.repairs,
            schema: Schema::new("extraction", answers::extraction_schema(&limits)),
            limits,
        }
    }

    /// It is this record's turn among those of its document.
    fn begin(&mut self, case: Case, Revision { about, content }: Revision, turn: Out<'_>) {
        let version = self.version_of(&about);
        let hash = match &content {
            Content::Owed { lets_in } => return self.recall(case, about, *lets_in, turn),
            Content::Stored(_) | Content::Deleted => None,
            Content::Document(document) => Some((content_hash(document), document.redo)),
            Content::Undecodable { reason } => {
                let (reason, payload) = (reason.clone(), about.payload.clone());
                return self.bury_record(case, about, payload, ("decode", &reason, None), turn);
            }
        };
        let document = match content {
            Content::Stored(stored) if self.is_present(about.id, &stored) => {
                let work = Work::again(about, stored.scored, &self.screen);
                return self.advance(case, work, turn);
            }
            Content::Stored(_) => return self.finish(case, about, Decision::Skipped, turn),
            Content::Document(document) => *document,
            Content::Owed { .. } | Content::Deleted | Content::Undecodable { .. } => Document::default(),
        };
        match self.memory.rule(about.id, version, hash) {
            Ruling::Unchanged | Ruling::Absent => self.finish(case, about, Decision::Skipped, turn),
            Ruling::Delete => {
                let gone = self.gone(&about);
                self.memory.outcome(about.id, None);
                self.leave(case, about.id, turn);
                self.finish(case, about, Decision::Deleted(gone), turn);
            }
            Ruling::Foreign { lives_in } => {
                let reason = format!(
                    "this id lives in partition {lives_in} of documents; a document must stay in one partition, \
                     delete it there first"
                );
                let payload = about.payload.clone();
                self.bury_record(case, about, payload, ("decode", &reason, None), turn);
            }
            Ruling::Revise(known) => {
                let mut work = Work::new(about, document, known);
                self.look_up(&mut work);
                if !work.has_text() {
                    self.leave(case, work.about.id, turn);
                }
                self.advance(case, work, turn);
            }
        }
    }

    /// The version of a record of `documents`: not smaller than any that the document has had.
    fn version_of(&self, about: &About) -> Version {
        let place = Pointer { partition: about.origin.shard, offset: about.origin.offset };
        let number = match self.memory.known(about.id) {
            Some(known) => screenings_of(known.version),
            None => self.went.get(&about.id).copied().unwrap_or(0),
        };
        version(place, about.screenings.max(number))
    }

    /// A document goes, if it is known.
    fn gone(&mut self, about: &About) -> Gone {
        let gone = lives::gone(about.key.clone(), self.memory.known(about.id).map(|known| known.version));
        if gone.number > about.screenings {
            self.went.insert(about.id, gone.number);
        }
        gone
    }

    /// The embedding of this text of a document, and the answers about it, where `scores` has them.
    fn look_up(&self, work: &mut Work) {
        match self.scored.get(&work.about.id).filter(|last| last.text_hash() == work.text_hash) {
            Some(LastScore::At(place, _)) => work.embedding = Embedding::At(*place),
            Some(LastScore::Written(scored, _)) => work.take(Some((**scored).clone()), &self.screen),
            None => {}
        }
    }

    /// Whether a stored document is as it was read: its last record in `scores`, or where it has none, its last extraction.
    fn is_present(&self, id: DocumentId, stored: &Stored) -> bool {
        match (self.scored.get(&id), stored.place) {
            (Some(LastScore::At(last, _)), Some(place)) => *last == place,
            (None, None) => self.memory.live(id).is_some_and(|known| known.version == stored.scored.head.version),
            _ => false,
        }
    }

    /// Goes on with a document as far as it comes with what is at hand.
    fn advance(&mut self, case: Case, mut work: Work, turn: Out<'_>) {
        let screen = Arc::clone(&self.screen);
        match work.next(&screen) {
            Next::Read(log, place) => self.read(case, work, (log, place), turn),
            Next::Compare => self.compare(case, work, turn),
            Next::Embed(text) => self.embed(case, work, &text, turn),
            Next::Reject(reason) => self.reject(case, work, reason, turn),
            Next::LetIn if work.stands => self.keep(case, work, None, false, turn),
            Next::LetIn => match work.text {
                Text::At(place) if work.extracted.is_none() => self.read(case, work, (LogName::Texts, place), turn),
                _ => self.let_in(case, work, turn),
            },
        }
    }

    fn read(&mut self, case: Case, work: Work, (log, place): (LogName, Pointer), turn: Out<'_>) {
        turn.ask(case, Errand::Read(Wanted { log, place, key: work.about.key.clone() }));
        self.under_way.insert(case, work);
    }

    fn embed(&mut self, case: Case, work: Work, text: &str, turn: Out<'_>) {
        let call = self.embed_call(&work.about, text);
        if let Some(answer) = answer_in(&work.about.hits, &call.key) {
            return self.embedded(case, work, &answer, turn);
        }
        turn.ask(case, Errand::Embed(call));
        self.under_way.insert(case, work);
    }

    fn embed_call(&self, about: &About, text: &str) -> EmbedCall {
        EmbedCall::new(about.origin, &about.subject(), text, self.screen.dimensions(), &self.embed)
    }

    fn embedded(&mut self, case: Case, mut work: Work, answer: &Answer, turn: Out<'_>) {
        if self.take_embedding(&mut work, answer) {
            self.advance(case, work, turn);
        } else {
            self.bury(case, work, "embed", "the answer holds no embedding of the model's length", None, turn);
        }
    }

    fn take_embedding(&self, work: &mut Work, answer: &Answer) -> bool {
        work.charged.embedded.add(answer);
        let numbers = inquiry::embedding(answer).filter(|numbers| self.screen.judge(numbers).is_some());
        let is_one = numbers.is_some();
        work.embedding = numbers.map_or(Embedding::Missing, Embedding::Here);
        work.embedded_by = if is_one { self.screen.by().embedder } else { 0 };
        is_one
    }

    /// A document is not let in: what the journal has for its calls is kept with it, since nobody else would know of it when it
    /// comes back. Returns whether there is any.
    fn keep_answers(&self, work: &mut Work) -> bool {
        let hits = work.take_hits();
        let Text::Here(Some(text)) = &work.text else { return false };
        let (text, before) = (text.clone(), work.answers.len());
        let call = self.embed_call(&work.about, self.screen.cut(&text).unwrap_or_default());
        let embedding = answer_in(&hits, &call.key).filter(|_| matches!(work.embedding, Embedding::Missing));
        let is_embedded = embedding.is_some_and(|answer| self.take_embedding(work, &answer));
        if self.asks_about(&work.document) && work.extracted.is_none() {
            let mut inquiry = self.inquiry(&work.about, work.known, &text, hits);
            while let Step::Known(answer) = inquiry.step() {
                work.take_answer(inquiry.key(), &answer);
                let problem = extraction(&answer, &self.limits).err();
                if !problem.is_some_and(|problem| inquiry.repair(&self.prompts, &answer.text, &problem)) {
                    break;
                }
            }
        }
        is_embedded || work.answers.len() > before
    }

    /// It is not let in: its text and its score are kept, so that it can come back.
    fn reject(&mut self, case: Case, mut work: Work, reason: Reason, turn: Out<'_>) {
        if reason.is_of_limits() {
            self.leave(case, work.about.id, turn);
        }
        let has_more = !work.about.hits.is_empty() && self.keep_answers(&mut work);
        let stood = self.memory.live(work.about.id).is_some();
        if work.about.is_stored() && !stood {
            return self.keep(case, work, Some(reason), has_more, turn);
        }
        self.memory.reject(work.about.id, work.known);
        let scored = Box::new(work.scored(Some(reason), &self.screen));
        let (key, text) = (work.about.key.clone(), new_text(&mut work));
        let decision = Decision::Rejected { key, text, scored, stood, charged: work.charged };
        self.finish(case, work.about, decision, turn);
    }

    /// A stored document stays in, or out: only what is said of it is new, or what is kept with it.
    fn keep(&mut self, case: Case, work: Work, rejected: Option<Reason>, has_more: bool, turn: Out<'_>) {
        if work.was == Some((rejected, self.screen.by())) && !has_more {
            return self.finish(case, work.about, Decision::Skipped, turn);
        }
        let scored = Box::new(work.scored(rejected, &self.screen));
        let decision = Decision::Kept { key: work.about.key.clone(), scored, charged: work.charged };
        self.finish(case, work.about, decision, turn);
    }

    /// It is let in, and new: the concepts are its own, or the model's.
    fn let_in(&mut self, case: Case, mut work: Work, turn: Out<'_>) {
        if work.about.is_stored() {
            work.come_back();
        }
        if !self.asks_about(&work.document) {
            work.extracted = None;
            return self.write(case, work, turn);
        }
        if work.extracted.is_some() && work.about.is_stored() {
            return self.write(case, work, turn);
        }
        let Text::Here(text) = &work.text else { return };
        if let Some(text) = text.clone() {
            let hits = work.take_hits();
            let inquiry = self.inquiry(&work.about, work.known, &text, hits);
            let is_same = |extracted: &Extracted| extracted.request == Some(inquiry.first_request());
            work.extracted = work.extracted.filter(is_same);
            if work.extracted.is_some() { self.write(case, work, turn) } else { self.ask(case, work, inquiry, turn) }
        } else {
            let reason = "there is no text to extract concepts from; \
                          give a text, or topics and concepts with extract.source = \"document-or-model\"";
            self.bury(case, work, "extract", reason, None, turn);
        }
    }

    /// Whether the concepts of a document come from the model.
    fn asks_about(&self, document: &Document) -> bool {
        let has_own = !document.topics.is_empty() || !document.concepts.is_empty();
        match self.source {
            Source::Document => false,
            Source::DocumentOrModel => !has_own,
            Source::Model => true,
        }
    }

    fn inquiry(&self, about: &About, known: Known, text: &str, hits: Vec<Hit>) -> Inquiry {
        let (request, settings) = (self.prompts.extract(text, self.schema.clone()), Arc::clone(&self.settings));
        Inquiry::new(about.origin, &about.subject(), request, settings, self.attempts, hits).of_redo(known.redo)
    }

    fn ask(&mut self, case: Case, mut work: Work, inquiry: Inquiry, turn: Out<'_>) {
        let step = inquiry.step();
        work.inquiry = Some(inquiry);
        match step {
            Step::Known(answer) => self.answered(case, work, &answer, turn),
            Step::Ask(call) => {
                turn.ask(case, Errand::Ask(call));
                self.under_way.insert(case, work);
            }
        }
    }

    fn answered(&mut self, case: Case, mut work: Work, answer: &Answer, turn: Out<'_>) {
        let Some(mut inquiry) = work.inquiry.take() else { return self.embedded(case, work, answer, turn) };
        inquiry.spent.add(answer);
        work.take_answer(inquiry.key(), answer);
        match extraction(answer, &self.limits) {
            Ok(found) => {
                let request = Some(inquiry.first_request());
                let Spent { usage, cost, model } = inquiry.spent;
                let ExtractionAnswer { level, subject, topics } = found;
                let prompt = self.prompts.version(Prompt::Extract).to_owned();
                work.extracted = Some(Extracted { request, level, subject, topics, model, prompt, usage, cost });
                // What they say is known now.
                work.answers.clear();
                self.write(case, work, turn);
            }
            Err(problem) => {
                if inquiry.repair(&self.prompts, &answer.text, &problem) {
                    self.ask(case, work, inquiry, turn);
                } else {
                    self.bury(case, work, "extract", &problem, Some(&answer.text), turn);
                }
            }
        }
    }

    /// It is let in, with what a model said of its concepts, or else with its own.
    fn write(&mut self, case: Case, mut work: Work, turn: Out<'_>) {
        let scored = self.new_score(&work);
        let Work { known, document, extracted, .. } = &work;
        let said = extracted.clone();
        let own = |concepts: &[String]| if said.is_none() { concepts.to_vec() } else { Vec::new() };
        let extraction = Extraction {
            text: work.text_at,
            version: known.version,
            since: known.since,
            redo: known.redo,
            redone: known.redone,
            content_hash: known.content_hash,
            level: said.as_ref().and_then(|said| said.level.clone()),
            subject: said.as_ref().and_then(|said| said.subject.clone()),
            topics: said.as_ref().map_or(&document.topics, |said| &said.topics).clone(),
            key_concepts: own(&document.concepts),
            source: document.source.clone(),
            url: document.url.clone(),
            license: document.license.clone(),
            model: said.as_ref().map(|said| said.model.clone()),
            prompt: said.as_ref().map(|said| said.prompt.clone()),
            usage: said.as_ref().map(|said| said.usage).unwrap_or_default(),
            cost: said.as_ref().map(|said| said.cost).unwrap_or_default(),
        };
        self.memory.outcome(work.about.id, Some(work.known));
        let (key, text, extraction) = (work.about.key.clone(), new_text(&mut work), Box::new(extraction));
        let decision = Decision::Written { key, text, extraction, scored, charged: work.charged };
        self.finish(case, work.about, decision, turn);
    }

    /// Where every document passes unlooked at, what was said of one before is kept with it, unless its text changes.
    fn new_score(&self, work: &Work) -> Entry<Box<Scored>> {
        match self.scored.get(&work.about.id) {
            Some(last) if self.screen.is_off() && last.text_hash() != work.text_hash => Entry::Gone,
            None if self.screen.is_off() => Entry::Unchanged,
            _ => Entry::New(Box::new(work.scored(None, &self.screen))),
        }
    }

    fn bury(&mut self, case: Case, work: Work, stage: &str, reason: &str, answer: Option<&str>, turn: Out<'_>) {
        let payload = work.payload();
        self.leave(case, work.about.id, turn);
        self.bury_record(case, work.about, payload, (stage, reason, answer), turn);
    }

    /// A dead letter; of a document that lives in this partition it also writes the tombstones.
    fn bury_record(
        &mut self,
        case: Case,
        about: About,
        payload: Vec<u8>,
        (stage, reason, answer): (&str, &str, Option<&str>),
        turn: Out<'_>,
    ) {
        let gone = self.gone(&about);
        let gone = self.memory.bury(about.id, about.origin.shard).then_some(gone);
        if gone.is_some() {
            self.leave(case, about.id, turn);
        }
        let burial = Burial {
            stage: stage.to_owned(),
            key: String::from_utf8(about.key.clone()).ok(),
            reason: reason.to_owned(),
            payload,
            answer: answer.map(str::to_owned),
        };
        self.finish(case, about, Decision::Buried { burial, gone }, turn);
    }

    /// What is its last record in `scores` now.
    fn remember(&mut self, id: DocumentId, decision: &Decision) {
        match decision {
            Decision::Written { scored: Entry::New(scored), .. }
            | Decision::Rejected { scored, .. }
            | Decision::Kept { scored, .. } => {
                self.scored.insert(id, LastScore::Written(scored.clone(), mark(scored)));
            }
            Decision::Written { scored: Entry::Gone, .. }
            | Decision::Deleted(_)
            | Decision::Buried { gone: Some(_), .. } => _ = self.scored.remove(&id),
            _ => (),
        }
    }

    /// Gives the outcome, and lets the document's next record begin.
    fn finish(&mut self, case: Case, about: About, decision: Decision, turn: Out<'_>) {
        self.remember(about.id, &decision);
        let decision = match about.stored {
            Some(offset) => Decision::Again { offset, decision: Box::new(decision) },
            None => decision,
        };
        turn.give(case, Posted::Made(Made { origin: about.origin, what: What::Output(decision) }));
        turn.close(case);
        if let Some((case, next)) = self.queues.leave(about.id) {
            self.begin(case, next, turn);
        }
    }
}

impl LastScore {
    fn text_hash(&self) -> u128 {
        match self {
            LastScore::At(_, hash) => *hash,
            LastScore::Written(scored, _) => scored.text_hash,
        }
    }
}

/// The answer to a call that was paid for in an earlier run.
fn answer_in(hits: &[Hit], key: &JournalKey) -> Option<Answer> {
    hits.iter().find(|hit| hit.key == *key).map(|hit| hit.answer.clone())
}

/// The text that is to be written, unless it is in the log.
fn new_text(work: &mut Work) -> Entry<String> {
    match &mut work.text {
        Text::Here(text) if !work.about.is_stored() => Entry::of(text.take()),
        _ => Entry::Unchanged,
    }
}

/// What a model says of a document.
fn extraction(answer: &Answer, limits: &answers::Limits) -> Result<ExtractionAnswer, String> {
    if answer.truncated {
        return Err("the answer was cut off at the limit of tokens; answer more briefly".to_owned());
    }
    answers::extraction(&answer.text, limits).map_err(|problem| problem.to_string())
}
