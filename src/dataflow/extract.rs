//! The role `extract`: documents in, texts and extractions out (protocol.md, "extract").
//!
//! ```text
//! documents ► decode ► revise (skip unchanged, screen, own concepts, or ask the model) ► texts, extractions, scores, dead letters
//! ```
//!
//! With screening, what is not let in stands in `texts` and `scores` alone: to the roles behind it is not there, or gone.

mod batch;
mod caught_up;
mod entry;
mod errands;
mod reconcile;
mod rescreen;
mod revise;
mod work;

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use anyhow::Result;
use synthllm_log::{LogName, Record, Writer, read_to_end};
use synthllm_operators::ask::{Mailbox, ask};
use synthllm_operators::decode::Limits;
use synthllm_operators::id::DocumentId;
use synthllm_operators::record::{ExtractionHead, Pointer, Role, ScoredHead};
use synthllm_operators::revise::Known;
use timely::dataflow::InputHandleVec;
use timely::dataflow::operators::Input;
use timely::dataflow::operators::vec::Map;
use timely::worker::Worker;

use self::batch::prepare;
pub use self::rescreen::screened_by;

use self::errands::{Brought, Errand};
use self::reconcile::{Reconciler, beginning};
use self::rescreen::{Rescreener, screenings};
use self::revise::{Decision, Incoming, Note, Revise, Revision, ScoredAt, Value, decoded};
use super::clock::{Barrier, Clock};
use super::desk::Desk;
use super::estimate::OfDocuments;
use super::flow::{self, Flow, Inbox};
use super::shard;
use super::{Context, Phase};

/// The role on this worker.
pub struct Extract {
    flow: Flow<Incoming, Decision>,
    notes: InputHandleVec<u64, Note>,
    desk: Desk<Errand, Brought>,
    reconciler: Reconciler,
    rescreener: Rescreener,
    /// Where the records of `scores` lie that are being committed.
    scores: (Sender<Note>, Receiver<Note>),
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
            let by_document = |revision: &Revision| revision.about.id.0;
            let decisions = ask(revisions, live, "Revise", by_document, |note: &Note| note.id().0, revise, &mailbox);
            flow::sink(decisions, &inbox, &probe);
        });

        let mut flow = Flow::open(context, Role::Extract, LogName::Documents, shards, input, ends)?;
        (flow.inbox, flow.probe) = (inbox, probe);
        let documents = OfDocuments::new(&context.config, &context.extract_prompts, &context.screen);
        let stored = documents.clone();
        flow.reserve(context, move |record| documents.need(record));
        let reconciler = Reconciler::start(context, &flow);
        let rescreener = Rescreener::start(context, &mut flow, stored)?;
        let (desk, clock, done) = (errands::desk(context, mailbox), Clock::default(), Barrier::new(worker));
        let mut role = Extract { flow, notes, desk, reconciler, rescreener, scores: channel(), clock, done };
        let loaded = role.load(worker, context)?;
        context.counters.gate_open(Role::Extract, numbers.len(), loaded);
        crate::fault::point("gate open");
        Ok(role)
    }

    /// The memory of the documents that are known, from this worker's share of `extractions` and `scores`; complete everywhere before
    /// the gate opens.
    fn load(&mut self, worker: &mut Worker, context: &Context) -> Result<u64> {
        let mut loaded = self.load_from(worker, context, LogName::Extractions, extracted)?;
        if context.keeps_scores() {
            loaded += self.load_from(worker, context, LogName::Scores, scored)?;
        }
        let gate = Clock::GATE;
        self.flow.advance_to(gate);
        self.notes.advance_to(gate);
        while self.flow.frontier() < gate {
            context.step(worker)?;
        }
        crate::fault::point("state loaded");
        Ok(loaded)
    }

    fn load_from(
        &mut self,
        worker: &mut Worker,
        context: &Context,
        log: LogName,
        note: impl Fn(&Record) -> Result<Note>,
    ) -> Result<u64> {
        let from = super::from_start_of_mine(worker, &context.log, log)?;
        let loading = context.status.loading(Role::Extract);
        let (mut loaded, mut unreadable) = (0, None);
        read_to_end(
            &context.log,
            log,
            &from,
            |record| match note(&record) {
                Ok(note) => self.notes.send(note),
                Err(error) => _ = unreadable.get_or_insert(error),
            },
            |read, total| {
                loaded = read;
                loading.is_at(read, total);
                // What is read goes on to its owner at once: never is more than a batch on its way.
                worker.step();
            },
        )?;
        unreadable.map_or(Ok(loaded), Err)
    }

    /// One turn: reads, carries calls and replies, commits. Returns the phase that the role is in.
    pub fn turn(&mut self, context: &Context, pace: Duration) -> Result<Phase> {
        let now = self.clock.tick(pace);
        self.notes.advance_to(now);
        self.flow.advance_to(now);
        let looked = self.reconciler.turn(context, &self.flow, &mut self.notes)?;
        let again = if self.reconciler.is_under_way() {
            0
        } else {
            self.rescreener.turn(context, &mut self.flow, &mut self.clock)?
        };
        let read = if context.stopping() || self.reconciler.is_under_way() || self.rescreener.is_under_way() {
            0
        } else {
            self.flow.read(&mut self.clock, &context.counters, |shard, origin, record| {
                let key = record.key.unwrap_or_default();
                let hits = shard.hits_for(origin.offset, &String::from_utf8_lossy(&key));
                let (value, screenings) = (Value::Record(record.value), screenings(&shard.progress));
                Ok(Incoming { origin, key, value, hits, screenings })
            })?
        };
        self.scores.1.try_iter().for_each(|note| self.notes.send(note));
        let moved = self.desk.turn();
        let Extract { flow, reconciler, rescreener, scores, .. } = self;
        let mut owing = reconciler.owing(flow);
        owing.append(&mut rescreener.owing());
        flow.commit(
            |number| owing.contains(&number),
            |number, progress, outputs| {
                let missing = reconciler.commit(context, number, progress);
                rescreener.commit(number, progress);
                Ok(prepare(context, number, missing, outputs, &scores.0))
            },
        )?;
        let looking_back = self.reconciler.is_under_way() || self.rescreener.is_under_way();
        if self.flow.drained() && !looking_back {
            self.done.arrive();
        }
        // A stop leaves what is not screened again to the next start.
        let is_still = !self.reconciler.is_under_way() && (context.stopping() || !self.rescreener.is_under_way());
        Ok(Phase::of(looked + again + read + moved, self.flow.quiet() && is_still))
    }

    /// Whether the role has drained on all workers.
    pub fn is_done(&self) -> bool {
        self.done.passed()
    }
}

/// What a record of `extractions` says of its document.
fn extracted(record: &Record) -> Result<Note> {
    let head = beginning::<ExtractionHead>(LogName::Extractions, record)?;
    Ok(Note::Extracted(id(record), head.map(Known::from)))
}

/// What a record of `scores` says of its document.
fn scored(record: &Record) -> Result<Note> {
    let place = Pointer { partition: record.partition, offset: record.offset };
    let at = |head: ScoredHead| ScoredAt {
        place,
        text_hash: head.text_hash,
        rejected: head.rejected.map(|_| Known::from(head.head)),
    };
    Ok(Note::Scored(id(record), beginning::<ScoredHead>(LogName::Scores, record)?.map(at)))
}

fn id(record: &Record) -> DocumentId {
    DocumentId::of(&String::from_utf8_lossy(record.key.as_deref().unwrap_or_default()))
}
