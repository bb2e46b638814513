//! The role `extract`: documents in, texts and extractions out (protocol.md, "extract").
//!
//! ```text
//! documents ► decode ► revise (skip unchanged, screen, own concepts, or ask the model) ► texts, extractions, scores, dead letters
//!                         ▲  ▼
//!                        twins: has an earlier document an equal or similar text?
//! ```
//!
//! With screening, what is not let in stands in `texts` and `scores` alone: to the roles behind it is not there, or gone.

mod batch;
mod caught_up;
mod decision;
mod entry;
mod errands;
mod keeper;
mod lives;
mod owed;
mod reconcile;
mod rescreen;
mod revise;
mod stored;
mod twins;
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
use timely::dataflow::operators::core::OkErr;
use timely::dataflow::operators::vec::Map;
use timely::worker::Worker;

use self::batch::prepare;
pub use self::rescreen::screened_by;

use self::decision::{Decision, Incoming, Note, Posted, Revision, ScoredAt, Value, decoded};
use self::errands::{Brought, Errand};
use self::lives::screenings;
use self::reconcile::{Reconciler, beginning};
use self::rescreen::Rescreener;
use self::revise::Revise;
use self::twins::Twins;
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
    /// Where documents are screened.
    twins: Option<Twins>,
    /// Where the records of `scores` lie that are being committed.
    scores: (Sender<Note>, Receiver<Note>),
    clock: Clock,
    done: Barrier,
}

impl Extract {
    /// Starts the role, whose shards are fenced: reads where it stands, builds the dataflow, loads the memory, opens the gate.
    pub fn start(worker: &mut Worker, context: &Arc<Context>, writers: Vec<(u32, Box<dyn Writer>)>) -> Result<Self> {
        let (shards, standing) = shard::open(context, Role::Extract, writers, Some(LogName::JournalExtract))?;
        let numbers: Vec<u32> = shards.iter().map(|shard| shard.number).collect();
        let ends = context.ends(LogName::Documents, &numbers)?;

        let mut input = InputHandleVec::new();
        let mut notes = InputHandleVec::new();
        let mailbox = Mailbox::default();
        let inbox = Inbox::default();
        let probe = timely::dataflow::ProbeHandle::new();
        let revise = Revise::new(context, mailbox.clone());
        let documents = OfDocuments::new(&context.config, &context.extract_prompts, &context.screen);
        let mut twins = Twins::new(worker, context, &standing.progress, documents.clone(), &mailbox);
        let limits = Limits { text_bytes: context.config.extract.max_text_bytes, ..Limits::default() };
        worker.dataflow_named("extract", |scope| {
            let records = scope.input_from(&mut input);
            let live = scope.input_from(&mut notes);
            let revisions = records.map(move |record| decoded(record, &limits));
            let by_document = |revision: &Revision| revision.about.id.0;
            let posted = ask(revisions, live, "Revise", by_document, |note: &Note| note.id().0, revise, &mailbox);
            let (claims, made) = posted.ok_err(Posted::claim);
            if let Some(twins) = &mut twins {
                twins.build(context, scope, claims, &probe);
            }
            flow::sink(made, &inbox, &probe);
        });

        let mut flow = Flow::open(context, Role::Extract, LogName::Documents, shards, input, ends)?;
        (flow.inbox, flow.probe) = (inbox, probe);
        let stored = documents.clone();
        flow.reserve(context, move |record| documents.need(record));
        let reconciler = Reconciler::start(context, &flow);
        let rescreener = Rescreener::start(context, &mut flow, stored)?;
        let (desk, clock, done) = (errands::desk(context, mailbox), Clock::default(), Barrier::new(worker));
        let mut role = Extract { flow, notes, desk, reconciler, rescreener, twins, scores: channel(), clock, done };
        let loaded = role.load(worker, context)?;
        context.counters.gate_open(Role::Extract, numbers.len(), loaded);
        crate::fault::point("gate open");
        Ok(role)
    }

    /// The memory of the documents that are known, from this worker's share of `extractions` and `scores`; complete everywhere before
    /// the gate opens.
    fn load(&mut self, worker: &mut Worker, context: &Context) -> Result<u64> {
        let mut loaded = self.load_from(worker, context, LogName::Extractions)?;
        if context.keeps_scores() {
            loaded += self.load_from(worker, context, LogName::Scores)?;
        }
        if self.twins.as_ref().is_some_and(Twins::reads_texts) {
            loaded += self.load_from(worker, context, LogName::Texts)?;
        }
        self.pass(worker, context, Clock::GATE)?;
        if let Some(twins) = &mut self.twins {
            twins.loaded(worker);
            twins.owed.look_at(&self.flow.shards);
            self.pass(worker, context, Clock::GATE + 1)?;
        }
        crate::fault::point("state loaded");
        Ok(loaded)
    }

    /// Waits until all that comes before this epoch has arrived where it goes, on all workers.
    fn pass(&mut self, worker: &mut Worker, context: &Context, epoch: u64) -> Result<()> {
        self.advance_to(epoch);
        while self.flow.frontier() < epoch {
            context.step(worker)?;
        }
        Ok(())
    }

    fn advance_to(&mut self, now: u64) {
        self.notes.advance_to(now);
        self.flow.advance_to(now);
        self.twins.iter_mut().for_each(|twins| twins.advance_to(now));
    }

    /// A record of the state, for whom it concerns.
    fn take(&mut self, context: &Context, log: LogName, record: &Record) -> Result<()> {
        match log {
            LogName::Extractions => self.notes.send(extracted(record)?),
            LogName::Scores => self.notes.send(scored(record)?),
            _ => (),
        }
        self.twins.as_mut().map_or(Ok(()), |twins| twins.load(context, log, record))
    }

    fn load_from(&mut self, worker: &mut Worker, context: &Context, log: LogName) -> Result<u64> {
        let from = super::from_start_of_mine(worker, &context.log, log)?;
        let loading = context.status.loading(Role::Extract);
        let (mut loaded, mut unreadable) = (0, None);
        read_to_end(
            &context.log,
            log,
            &from,
            |record| {
                if let Err(error) = self.take(context, log, &record) {
                    unreadable.get_or_insert(error);
                }
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
        self.advance_to(now);
        let looked = self.look_back(context, now)?;
        let holds_reading = self.twins.as_ref().is_some_and(|twins| twins.owed.holds_reading());
        let read = if context.stopping() || self.is_looking_back() || holds_reading {
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
                lives::count(progress, &outputs, !missing.is_empty())?;
                rescreener.commit(number, progress);
                Ok(prepare(context, number, missing, outputs, &scores.0))
            },
        )?;
        if self.flow.drained() && !self.is_looking_back() && self.twins.as_mut().is_none_or(Twins::has_drained) {
            self.done.arrive();
        }
        // A stop leaves what is not screened again to the next start.
        let is_still = !self.reconciler.is_under_way() && (context.stopping() || !self.rescreener.is_under_way());
        Ok(Phase::of(looked + read + moved, self.flow.quiet() && is_still))
    }

    fn is_looking_back(&self) -> bool {
        self.reconciler.is_under_way() || self.rescreener.is_under_way()
    }

    /// Goes on with what is done about documents that were not just read: those that have gone unseen, those that other settings
    /// concern, and those that other documents concern. Returns how much has moved.
    fn look_back(&mut self, context: &Context, now: u64) -> Result<usize> {
        let Extract { flow, notes, reconciler, rescreener, twins, clock, .. } = self;
        let mut moved = reconciler.turn(context, flow, now, |id| {
            notes.send(Note::Gone(id));
            twins.iter_mut().for_each(|twins| twins.left(id));
        })?;
        if !reconciler.is_under_way() {
            moved += rescreener.turn(context, flow, clock)?;
        }
        if let Some(twins) = twins {
            moved += twins.receive();
            if !context.stopping() && !reconciler.is_under_way() && !rescreener.is_under_way() {
                moved += twins.turn(flow, clock);
            }
        }
        Ok(moved)
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
