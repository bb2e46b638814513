//! The role `graph`: extractions in, combinations out (protocol.md, "graph" and "Settled draws").
//!
//! ```text
//! extractions ─┬► levels 1, 2 (limits) ─────────────────────────────► combinations
//!              └► index ► schedule ► walk ► match ► limit, in order ─► combinations, starts
//! ```
//!
//! In settled mode the index is loaded up to a cut and stays there while draws are made; in continuous mode it follows the
//! records as they come. Worker 0 coordinates: all workers talk to it by letters, a stream of their own.
//!
//! Where a level has a target, worker 0 issues its combinations one by one, as far as `progress` says that samples are missing
//! ([`synthllm_operators::target`]). Levels 1 and 2 are then drawn from the index ([`synthllm_operators::passes`]): a record that is read
//! moves the position and makes none of them.

mod batch;
mod coordinator;
mod documents;
mod followed;
mod letters;
mod levels;
mod loader;
mod queue;
mod rest;
mod start_kind;
mod targets;
mod updates;
mod watch;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use synthllm_log::{LogName, Writer};
use synthllm_operators::ask::{Mailbox, ask};
use synthllm_operators::graph::{Frequency, Outcome as Drawn, load};
use synthllm_operators::index::Index;
use synthllm_operators::record::Role;
use synthllm_operators::upsert::Entry;
use synthllm_operators::walk::{Settings, Start};
use timely::dataflow::operators::vec::ToStream;
use timely::dataflow::operators::{Input, Probe};
use timely::dataflow::{InputHandleVec, ProbeHandle};
use timely::worker::Worker;

use self::batch::{Batch, Staged};
use self::coordinator::{Coordinator, owner_of};
use self::documents::{Documents, drawn_levels};
use self::followed::Followed;
use self::letters::{Letter, Mail, Post};
use self::levels::{Ask, Granted, Incoming, Issued, Levels, Shared};
use self::loader::{Loader, entry};
use self::rest::Rest;
use self::start_kind::start_kind;
use self::updates::Updates;
use self::watch::Watch;
use super::clock::{Barrier, Clock};
use super::flow::{self, Flow, Inbox, collect};
use super::shard;
use super::{Context, Phase};
use crate::config;

/// The role on this worker.
pub struct Graph {
    flow: Flow<Incoming, Issued>,
    entries: InputHandleVec<u64, Entry>,
    starts: InputHandleVec<u64, Start>,
    letters: InputHandleVec<u64, Mail>,
    received: Inbox<Mail>,
    frequencies: Inbox<Frequency>,
    drawn: Inbox<Drawn>,
    /// Where the draws are.
    draws: ProbeHandle<u64>,
    wishes: Mailbox<Ask, Granted>,
    index: Rc<RefCell<Index>>,
    shared: Rc<RefCell<Shared>>,
    loader: Option<Loader>,
    coordinator: Option<Coordinator>,
    watch: Watch,
    updates: Option<Updates>,
    staged: Staged,
    /// What of levels 1 and 2 is drawn for a target, and the shards that have told so in `progress`.
    documents: Documents,
    begun: BTreeSet<u32>,
    followed: Followed,
    rest: Rest,
    clock: Clock,
    done: Barrier,
    number: u64,
    peers: u64,
    settled: bool,
    /// Whether records are read for their outputs.
    reading: bool,
    told_drained: bool,
    /// The epoch of the last entry that was read beside its record.
    last_entry: u64,
    seed: u64,
    shards: u32,
}

impl Graph {
    /// Starts the role, whose shards are fenced: reads where it stands, builds the dataflow, and begins to load the index.
    pub fn start(worker: &mut Worker, context: &Arc<Context>, writers: Vec<(u32, Box<dyn Writer>)>) -> Result<Self> {
        let (_, count) = context.partitions;
        let (shards, standing) = shard::open(context, Role::Graph, writers, None)?;
        let numbers: Vec<u32> = shards.iter().map(|shard| shard.number).collect();
        let drawn_levels = drawn_levels(context, &standing);
        let positions: Vec<(u32, u64)> = shards.iter().map(|shard| (shard.number, shard.progress.position)).collect();
        let documents = Documents::new(&drawn_levels, &positions, &standing);
        let rest = Rest::new(worker, context);
        let watch = Watch::start(context, &standing)?;
        let updates = Updates::start(worker, context)?;
        let mut post = Post::new(worker);
        let kind = start_kind(worker, context, &mut post)?;

        let sampling = &context.config.sampling;
        let settled = sampling.when(context.drain) == config::When::Settled;
        let settings = Settings {
            shards: count,
            seed: sampling.seed,
            starts: kind,
            min_key_concepts: context.config.graph.min_key_concepts,
            settled,
            need_text: true,
            ..Settings::default()
        };
        let index = Rc::new(RefCell::new(Index::of_worker(count, worker.index(), worker.peers())));
        let shared = Rc::new(RefCell::new(Shared { drawn: drawn_levels.clone(), ..Shared::default() }));
        let wishes = Mailbox::default();
        let (mut input, mut entries, mut starts) = (InputHandleVec::new(), InputHandleVec::new(), InputHandleVec::new());
        let (inbox, frequencies, drawn) = (Inbox::default(), Inbox::default(), Inbox::default());
        let (probe, draws) = (ProbeHandle::new(), ProbeHandle::new());
        let levels = Levels::new(context, &index, &shared);
        worker.dataflow_named("graph", |scope| {
            let records = scope.input_from(&mut input);
            let no_notes = Vec::<()>::new().to_stream(scope);
            let by_shard = |record: &Incoming| u64::from(record.origin.shard);
            let issued = ask(records, no_notes, "Levels", by_shard, |()| 0, levels, &wishes);
            flow::sink(issued, &inbox, &probe);

            let loading = load(scope.input_from(&mut entries), &index, settings, updates.is_some());
            updates.iter().for_each(|updates| updates.build(loading.mentions.clone()));
            collect(loading.frequencies.clone(), |_| 0, &frequencies).probe_with(&draws);
            let outcomes = loading.draw(scope.input_from(&mut starts));
            collect(outcomes, |_| 0, &drawn).probe_with(&draws);
        });

        let mut flow = Flow::open(context, Role::Graph, LogName::Extractions, shards, input, None)?;
        (flow.inbox, flow.probe) = (inbox, probe);
        let coordinator = (worker.index() == 0)
            .then(|| Coordinator::new(context, (worker.peers(), kind), &standing, &watch, &drawn_levels))
            .transpose()?;
        let Post { letters, received } = post;
        let mut role = Graph {
            flow,
            entries,
            starts,
            letters,
            received,
            frequencies,
            drawn,
            draws,
            wishes,
            index,
            shared,
            loader: None,
            coordinator,
            watch,
            updates,
            staged: Staged::default(),
            documents,
            begun: BTreeSet::new(),
            followed: Followed::default(),
            rest,
            clock: Clock::default(),
            done: Barrier::new(worker),
            number: worker.index() as u64,
            peers: worker.peers() as u64,
            settled,
            reading: false,
            told_drained: false,
            last_entry: 0,
            seed: sampling.seed,
            shards: count,
        };
        if !settled {
            role.load_to(context, None)?;
        }
        context.counters.gate_open(Role::Graph, numbers.len(), standing.progress.len() as u64);
        crate::fault::point("gate open");
        Ok(role)
    }

    /// One turn: letters, loading, reading, draws, commits. `has_withdrawn` says whether generate, on this worker, has read `extractions`
    /// up to these positions, and has committed the withdrawals that follow.
    pub fn turn(
        &mut self,
        context: &Context,
        pace: Duration,
        has_withdrawn: impl Fn(&BTreeMap<u32, u64>) -> bool,
    ) -> Result<Phase> {
        let now = self.clock.tick(pace);
        self.advance_to(now);
        if self.watch.read()? > 0 {
            self.trim(context);
        }
        let mut moved = self.read_letters(context)?;
        moved += self.load(context, now)?;
        if self.reading && !context.stopping() && context.room_for_combinations(self.watch.waiting()) > 0 {
            moved += self.read(context)?;
        }
        self.post_wishes();
        self.draw_documents(context)?;
        let withdrawn = self.reading && self.loader.is_none() && has_withdrawn(&self.shared.borrow().loaded);
        self.rest.turn(context, withdrawn)?;
        self.coordinate(context, now)?;
        self.updates.iter_mut().for_each(Updates::settle);
        self.commit()?;
        self.find_the_end(context);
        let counted = self.updates.as_ref().is_none_or(Updates::is_quiet);
        let staged = self.staged.is_empty() && self.documents.is_idle();
        let quiet = self.loader.is_none() && self.flow.quiet() && staged && counted;
        Ok(Phase::of(moved, quiet))
    }

    /// Whether the role has drained on all workers.
    pub fn is_done(&self) -> bool {
        self.done.passed()
    }

    fn advance_to(&mut self, now: u64) {
        self.flow.advance_to(now);
        for (time, advance) in [
            (*self.entries.time(), &mut (|| self.entries.advance_to(now)) as &mut dyn FnMut()),
            (*self.starts.time(), &mut || self.starts.advance_to(now)),
            (*self.letters.time(), &mut || self.letters.advance_to(now)),
        ] {
            if time < now {
                advance();
            }
        }
    }

    fn send(&mut self, to: u64, letter: Letter) {
        self.letters.send(Mail { to, letter });
    }

    /// Tells all workers, where counts are kept.
    fn tell_counters(&mut self, letter: Letter) {
        if self.updates.is_some() {
            (0..self.peers).for_each(|to| self.send(to, letter.clone()));
        }
    }

    fn read_letters(&mut self, context: &Context) -> Result<usize> {
        let received: Vec<_> = self.received.borrow_mut().drain(..).collect();
        let count = received.len();
        for (_, mail) in received {
            match mail.letter {
                Letter::Topics { .. } | Letter::Kind(_) => (),
                Letter::Settle { cut } => self.load_to(context, cut)?,
                Letter::Open { largest } => {
                    self.shared.borrow_mut().largest = largest.into_iter().collect();
                    self.reading = true;
                }
                Letter::Grant { case, level, granted } => self.wishes.deliver(case, Granted { level, granted }),
                Letter::Accepted { outcome, settlement, most } => {
                    let shard = owner_of(outcome.node, self.shards) as u32;
                    self.staged.accepted.entry(shard).or_default().push((*outcome, settlement, most));
                }
                Letter::Ask(question) => {
                    let loaded = self.followed.applied();
                    let answer = self.documents.answer(question, &self.index.borrow(), loaded, self.number);
                    self.send(0, answer);
                }
                Letter::Documents { from, level, round, places, more } => {
                    self.tell(|coordinator| coordinator.documents((from, round), level, places, more));
                }
                Letter::Draw(order) => {
                    if !self.documents.order(order) {
                        self.send(0, Letter::Void(order));
                    }
                }
                Letter::Void(order) => self.tell(|coordinator| coordinator.void(order)),
                Letter::Wish { from, case, level } => {
                    let granted = self.coordinator.as_mut().is_some_and(|coordinator| coordinator.grant(level));
                    self.send(from, Letter::Grant { case, level, granted });
                }
                Letter::AtCut(report) => self.tell(|coordinator| coordinator.report(report)),
                Letter::Committed { count } => self.tell(|coordinator| coordinator.confirm(count)),
                Letter::Drained => self.tell(Coordinator::worker_drained),
                Letter::Loaded { from, epoch } => {
                    self.updates.iter_mut().for_each(|updates| updates.worker_loaded(from, epoch));
                }
                Letter::Applied { from, epoch } => {
                    self.updates.iter_mut().for_each(|updates| updates.worker_applied(from, epoch));
                }
            }
        }
        Ok(count)
    }

    fn tell(&mut self, news: impl FnOnce(&mut Coordinator)) {
        if let Some(coordinator) = &mut self.coordinator {
            news(coordinator);
        }
    }

    /// Reads records for their outputs; in continuous mode also into the index.
    fn read(&mut self, context: &Context) -> Result<usize> {
        let Graph { flow, clock, entries, settled, last_entry, followed, .. } = self;
        flow.read(clock, &context.counters, |_, origin, record| {
            let entry = entry(&record, &context.config.graph)?;
            if !*settled {
                entries.send(entry.clone());
                *last_entry = *entries.time();
                followed.read(origin.shard, origin.offset + 1);
            }
            Ok(Incoming { origin, entry })
        })
    }

    /// Stages the documents that worker 0 wants to be issued.
    fn draw_documents(&mut self, context: &Context) -> Result<()> {
        let frontier = self.draws.with_frontier(|frontier| frontier.first().copied().unwrap_or(u64::MAX));
        self.followed.turn(self.last_entry, frontier);
        if self.documents.is_idle() {
            return Ok(());
        }
        let (issued, void) = self.documents.fetch(context, &self.index.borrow(), self.seed)?;
        issued.into_iter().for_each(|(shard, issued)| self.staged.documents.entry(shard).or_default().push(issued));
        void.into_iter().for_each(|order| self.send(0, Letter::Void(order)));
        Ok(())
    }

    fn post_wishes(&mut self) {
        for (case, wish) in self.wishes.calls() {
            self.send(0, Letter::Wish { from: self.number, case, level: wish.level });
        }
    }

    /// Worker 0's part: what it has heard of the draws, and what it decides now.
    fn coordinate(&mut self, context: &Context, now: u64) -> Result<()> {
        let frontier = self.draws.with_frontier(|frontier| frontier.first().copied().unwrap_or(u64::MAX));
        let recording = self.staged.settlement.is_some() || self.staged.settlement_ordered;
        let Some(coordinator) = &mut self.coordinator else { return Ok(()) };
        self.frequencies.borrow_mut().drain(..).for_each(|(_, frequency)| coordinator.frequency(&frequency));
        self.drawn.borrow_mut().drain(..).for_each(|(_, drawn)| coordinator.outcome(drawn));
        let mut starts = Vec::new();
        let waits = (recording, self.rest.is_known(&self.watch));
        let mail = coordinator.turn(context, &self.watch, (frontier, now), waits, &mut starts)?;
        self.staged.shortages = coordinator.to_tell.take().or(self.staged.shortages.take());
        self.staged.settlement = coordinator.to_record.take().or(self.staged.settlement.take());
        starts.into_iter().for_each(|start| self.starts.send(start));
        mail.into_iter().for_each(|mail| self.letters.send(mail));
        Ok(())
    }

    fn commit(&mut self) -> Result<()> {
        let Graph { flow, staged, updates, documents, begun, seed, .. } = self;
        let mut owed = staged.owed();
        owed.extend(updates.iter().flat_map(Updates::shards));
        flow.commit(
            |shard| owed.contains(&shard),
            |number, progress, outputs| {
                let mut batch = Batch::new(number, *seed);
                if begun.insert(number) {
                    batch.begin_passes(documents.passes(number));
                }
                outputs.into_iter().for_each(|(_, issued)| batch.add(issued));
                staged.take(number, &mut batch, &mut progress.counters)?;
                updates.iter_mut().for_each(|updates| batch.publish(updates.take(number)));
                Ok(batch.prepared(&mut progress.counters))
            },
        )?;
        for (shard, count) in std::mem::take(&mut self.staged.ordered) {
            if self.flow.shards.get(&shard).is_some_and(shard::Shard::idle) {
                self.send(0, Letter::Committed { count });
            } else {
                self.staged.ordered.insert(shard, count);
            }
        }
        if self.staged.settlement_ordered && self.flow.shards.get(&0).is_some_and(shard::Shard::idle) {
            self.staged.settlement_ordered = false;
            self.tell(Coordinator::recorded);
        }
        Ok(())
    }

    /// Trims this worker's partitions of `combinations` below what generate has committed.
    fn trim(&self, context: &Context) {
        for &shard in self.flow.shards.keys() {
            let position = self.watch.position(Role::Generate, shard);
            if position > 0 {
                context.trimmer.below(LogName::Combinations, shard, position);
            }
        }
    }

    fn find_the_end(&mut self, context: &Context) {
        if !context.drain || self.loader.is_some() || !self.reading {
            return;
        }
        let all_applied = !self.draws.less_equal(&self.last_entry);
        if !self.told_drained && self.flow.drained() && all_applied {
            self.told_drained = true;
            self.send(0, Letter::Drained);
            let epoch = self.last_entry;
            self.tell_counters(Letter::Applied { from: self.number, epoch });
        }
        let counted = self.updates.as_ref().is_none_or(Updates::is_done) && self.flow.quiet();
        let finished = self.coordinator.as_ref().is_none_or(Coordinator::is_done);
        if self.told_drained && finished && counted && self.staged.is_empty() {
            self.done.arrive();
        }
    }
}
