//! The role `extract`: documents in, texts and extractions out (protocol.md, "extract").
//!
//! ```text
//! documents ► decode ► revise (skip unchanged, own concepts, or ask the model) ► texts, extractions, dead letters
//! ```

mod batch;
mod caught_up;
mod reconcile;
mod revise;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use synthllm_log::{LogName, Record, Writer, read_to_end};
use synthllm_operators::ask::{Mailbox, ask};
use synthllm_operators::codec;
use synthllm_operators::decode::Limits;
use synthllm_operators::id::DocumentId;
use synthllm_operators::record::{ExtractionHead, Role};
use synthllm_operators::revise::Known;
use timely::dataflow::InputHandleVec;
use timely::dataflow::operators::Input;
use timely::dataflow::operators::vec::Map;
use timely::worker::Worker;

use self::batch::prepare;
use self::reconcile::Reconciler;
use self::revise::{Decision, Incoming, Note, Revise, Revision, decoded};
use super::clock::{Barrier, Clock};
use super::desk::Desk;
use super::estimate::OfDocuments;
use super::flow::{self, Flow, Inbox};
use super::inquiry::{Call, Replied};
use super::shard;
use super::{Context, Phase};

/// The role on this worker.
pub struct Extract {
    flow: Flow<Incoming, Decision>,
    notes: InputHandleVec<u64, Note>,
    desk: Desk<Call, Replied>,
    reconciler: Reconciler,
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
        let documents = OfDocuments::new(&context.config, &context.extract_prompts);
        flow.reserve(context, move |record| documents.need(record));
        let reconciler = Reconciler::start(context, &flow);
        let (desk, clock, done) = (context.model_desk(mailbox), Clock::default(), Barrier::new(worker));
        let mut role = Extract { flow, notes, desk, reconciler, clock, done };
        let loaded = role.load(worker, context)?;
        context.counters.gate_open(Role::Extract, numbers.len(), loaded);
        crate::fault::point("gate open");
        Ok(role)
    }

    /// The memory of live documents, from this worker's share of `extractions`; complete everywhere before the gate opens.
    fn load(&mut self, worker: &mut Worker, context: &Context) -> Result<u64> {
        let from = super::from_start_of_mine(worker, &context.log, LogName::Extractions)?;
        let loading = context.status.loading(Role::Extract);
        let (mut loaded, mut unreadable) = (0, None);
        read_to_end(
            &context.log,
            LogName::Extractions,
            &from,
            |record| match known(&record) {
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
        drop(loading);
        unreadable.map_or(Ok(()), Err)?;
        let gate = Clock::GATE;
        self.flow.advance_to(gate);
        self.notes.advance_to(gate);
        while self.flow.frontier() < gate {
            context.step(worker)?;
        }
        crate::fault::point("state loaded");
        Ok(loaded)
    }

    /// One turn: reads, carries calls and replies, commits. Returns the phase that the role is in.
    pub fn turn(&mut self, context: &Context, pace: Duration) -> Result<Phase> {
        let now = self.clock.tick(pace);
        self.notes.advance_to(now);
        self.flow.advance_to(now);
        let looked = self.reconciler.turn(context, &self.flow, &mut self.notes)?;
        let read = if context.stopping() || self.reconciler.is_under_way() {
            0
        } else {
            self.flow.read(&mut self.clock, &context.counters, |shard, origin, record| {
                let key = record.key.unwrap_or_default();
                let hits = shard.hits_for(origin.offset, &String::from_utf8_lossy(&key));
                Ok(Incoming { origin, key, value: record.value, hits })
            })?
        };
        let moved = self.desk.turn();
        let Extract { flow, reconciler, .. } = self;
        let owing = reconciler.owing(flow);
        flow.commit(
            |number| owing.contains(&number),
            |number, progress, outputs| {
                let missing = reconciler.commit(context, number, progress);
                Ok(prepare(context, number, missing, outputs))
            },
        )?;
        let reconciling = self.reconciler.is_under_way();
        if self.flow.drained() && !reconciling {
            self.done.arrive();
        }
        Ok(Phase::of(looked + read + moved, self.flow.quiet() && !reconciling))
    }

    /// Whether the role has drained on all workers.
    pub fn is_done(&self) -> bool {
        self.done.passed()
    }
}

/// What a record of `extractions` says of its document.
fn known(record: &Record) -> Result<Note> {
    let key = String::from_utf8_lossy(record.key.as_deref().unwrap_or_default());
    let place = || format!("can't read extractions/{} at offset {}", record.partition, record.offset);
    let head = record.value.as_deref().map(codec::decode_beginning::<ExtractionHead>).transpose().with_context(place)?;
    Ok((DocumentId::of(&key), head.map(Known::from)))
}
