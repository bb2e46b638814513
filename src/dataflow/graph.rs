//! The role `graph`: extractions in, combinations out (protocol.md, "graph" and "Settled draws").
//!
//! ```text
//! extractions ─┬► levels 1, 2 (limits) ─────────────────────────────► combinations
//!              └► index ► schedule ► walk ► match ► limit, in order ─► combinations, starts
//! ```
//!
//! In settled mode the index is loaded up to a cut and stays there while draws are made; in continuous mode it follows the
//! records as they come. Worker 0 coordinates: all workers talk to it by letters, a stream of their own.

mod coordinator;
mod levels;
mod watch;

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use synthllm_log::{Append, LogName, Reader, Record, Writer};
use synthllm_operators::ask::{Case, Mailbox, ask};
use synthllm_operators::codec;
use synthllm_operators::graph::{Found, Frequency, Outcome as Drawn, auto_start, load};
use synthllm_operators::id::{self, ConceptId, Id, Kind};
use synthllm_operators::index::Index;
use synthllm_operators::record::{Combination, Extraction, Pointer, Progress, ProgressKey, Role, Settlement};
use synthllm_operators::upsert::Entry;
use synthllm_operators::walk::{Settings, Start};
use timely::dataflow::operators::vec::ToStream;
use timely::dataflow::operators::{Input, Probe};
use timely::dataflow::{InputHandleVec, ProbeHandle};
use timely::worker::Worker;

use self::coordinator::{Coordinator, Report, owner_of};
use self::levels::{Ask, Granted, Incoming, Issued, Levels, Shared};
use self::watch::Watch;
use super::clock::{Barrier, Clock};
use super::commit::progress_append;
use super::flow::{self, Flow, Inbox, collect};
use super::shard::{self, Prepared};
use super::{Context, Phase};
use crate::config;
use crate::events::{Counter, Outcome};

/// A letter on its way to a worker, or to the worker of a shard.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Mail {
    to: u64,
    letter: Letter,
}

/// What workers tell each other.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum Letter {
    /// To worker 0: whether I have documents, and any with a topic.
    Topics { documents: bool, topics: bool },
    /// To all: what walks start from.
    Kind(Kind),
    /// To all: load the index up to this cut, or to where `extractions` ends now.
    Settle { cut: Option<Vec<u64>> },
    /// To worker 0: my index stands at the cut.
    AtCut(Report),
    /// To all: the settlement is recorded; the largest id of each limited level.
    Open { largest: Vec<(u8, Option<Id>)> },
    /// To worker 0: may I issue one more of this level?
    Wish { from: u64, case: Case, level: u8 },
    /// To the worker that asked.
    Grant { case: Case, level: u8, granted: bool },
    /// To the worker of the shard that owns the start node.
    Accepted { outcome: Box<Drawn>, settlement: Option<u64> },
    /// To worker 0: so many accepted outcomes are committed.
    Committed { count: u64 },
    /// To worker 0: everything that I read is committed.
    Drained,
}

/// Reading entries into the index, ahead of the records that are read for their outputs.
struct Loader {
    reader: Option<Box<dyn Reader>>,
    positions: BTreeMap<u32, u64>,
    cut: BTreeMap<u32, u64>,
    /// The last record of each document that was read, while a limit needs the smallest ids.
    last: HashMap<String, Vec<(u8, Id)>>,
    /// The epoch at which all entries were sent.
    sent: Option<u64>,
}

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
    staged: Staged,
    clock: Clock,
    done: Barrier,
    number: u64,
    settled: bool,
    /// Whether records are read for their outputs.
    reading: bool,
    told_drained: bool,
    /// The epoch of the last entry that was read beside its record.
    last_entry: u64,
    trimmed: (Instant, BTreeMap<u32, u64>),
    seed: u64,
    max_concepts: usize,
    shards: u32,
}

/// What waits for the next transaction of a shard, and what is in the one under way.
#[derive(Default)]
struct Staged {
    accepted: BTreeMap<u32, Vec<(Drawn, Option<u64>)>>,
    ordered: BTreeMap<u32, u64>,
    settlement: Option<Settlement>,
    settlement_ordered: bool,
}

/// How often combinations that generate is done with are trimmed.
const TRIM_INTERVAL: Duration = Duration::from_secs(2);

/// Entries are loaded in batches of at most so many.
const LOAD_AT_ONCE: usize = 5_000;

impl Graph {
    /// Starts the role, whose shards are fenced: reads where it stands, builds the dataflow, and begins to load the index.
    pub fn start(worker: &mut Worker, context: &Arc<Context>, writers: Vec<(u32, Box<dyn Writer>)>) -> Result<Self> {
        let (_, count) = context.partitions;
        let (shards, standing) = shard::open(context, Role::Graph, writers, None)?;
        let numbers: Vec<u32> = shards.iter().map(|shard| shard.number).collect();
        let watch = Watch::start(context, &standing)?;
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
        let shared = Rc::new(RefCell::new(Shared::default()));
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

            let loading = load(scope.input_from(&mut entries), &index, settings, false);
            collect(loading.frequencies.clone(), |_| 0, &frequencies).probe_with(&draws);
            let outcomes = loading.draw(scope.input_from(&mut starts));
            collect(outcomes, |_| 0, &drawn).probe_with(&draws);
        });

        let mut flow = Flow::open(context, Role::Graph, LogName::Extractions, shards, input, None)?;
        (flow.inbox, flow.probe) = (inbox, probe);
        let coordinator =
            (worker.index() == 0).then(|| Coordinator::new(context, worker.peers(), kind, &standing, &watch)).transpose()?;
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
            staged: Staged::default(),
            clock: Clock::default(),
            done: Barrier::new(worker),
            number: worker.index() as u64,
            settled,
            reading: false,
            told_drained: false,
            last_entry: 0,
            trimmed: (Instant::now(), BTreeMap::new()),
            seed: sampling.seed,
            max_concepts: context.config.graph.max_concepts,
            shards: count,
        };
        if !settled {
            role.load_to(context, None)?;
        }
        context.counters.gate_open(Role::Graph, numbers.len(), standing.progress.len() as u64);
        crate::fault::point("gate open");
        Ok(role)
    }

    /// One turn: letters, loading, reading, draws, commits.
    pub fn turn(&mut self, context: &Context) -> Result<Phase> {
        let now = self.clock.tick();
        self.advance_to(now);
        self.watch.read()?;
        let mut moved = self.read_letters(context)?;
        moved += self.load(context, now)?;
        if self.reading && !context.stopping() && context.room_for_combinations(self.watch.waiting()) > 0 {
            moved += self.read(context)?;
        }
        self.post_wishes();
        self.coordinate(context, now)?;
        self.commit()?;
        self.trim(context)?;
        self.find_the_end(context);
        context.status.in_flight(Role::Graph, self.flow.in_flight());
        let quiet = self.loader.is_none() && self.flow.quiet() && self.staged.is_empty();
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
                Letter::Accepted { outcome, settlement } => {
                    let shard = owner_of(outcome.node, self.shards) as u32;
                    self.staged.accepted.entry(shard).or_default().push((*outcome, settlement));
                }
                Letter::Wish { from, case, level } => {
                    let granted = self.coordinator.as_mut().is_some_and(|coordinator| coordinator.grant(level));
                    self.send(from, Letter::Grant { case, level, granted });
                }
                Letter::AtCut(report) => self.tell(|coordinator| coordinator.report(report)),
                Letter::Committed { count } => self.tell(|coordinator| coordinator.confirm(count)),
                Letter::Drained => self.tell(Coordinator::worker_drained),
            }
        }
        Ok(count)
    }

    fn tell(&mut self, news: impl FnOnce(&mut Coordinator)) {
        if let Some(coordinator) = &mut self.coordinator {
            news(coordinator);
        }
    }

    /// Begins to load the index up to a cut, or to where `extractions` ends now.
    fn load_to(&mut self, context: &Context, cut: Option<Vec<u64>>) -> Result<()> {
        let mine: Vec<u32> = self.flow.shards.keys().copied().collect();
        let cut = match cut {
            Some(cut) => mine.iter().map(|&shard| (shard, cut[shard as usize])).collect(),
            None => context.ends_now(LogName::Extractions, &mine)?,
        };
        let loaded = self.shared.borrow().loaded.clone();
        let mut from = Vec::new();
        for &shard in &mine {
            let start = context.log.start(LogName::Extractions, shard)?;
            from.push((shard, loaded.get(&shard).copied().unwrap_or(0).max(start)));
        }
        let reader = if from.is_empty() { None } else { Some(context.log.reader(LogName::Extractions, &from)?) };
        self.reading = false;
        self.told_drained = false;
        self.loader = Some(Loader { reader, positions: from.into_iter().collect(), cut, last: HashMap::new(), sent: None });
        Ok(())
    }

    /// Loads on. Once the index stands at the cut, worker 0 is told, or, in continuous mode, reading begins.
    fn load(&mut self, context: &Context, now: u64) -> Result<usize> {
        let Some(loader) = &mut self.loader else { return Ok(0) };
        if let Some(sent) = loader.sent {
            if self.draws.less_equal(&sent) {
                return Ok(0);
            }
            self.stand_at_cut(context);
            return Ok(1);
        }
        let limited = if self.settled { levels::limited_levels(context) } else { Vec::new() };
        let batch = match &mut loader.reader {
            Some(reader) => reader.poll(LOAD_AT_ONCE, Duration::ZERO).context("can't load extractions")?,
            None => synthllm_log::Batch::default(),
        };
        loader.positions.extend(batch.positions.iter().copied());
        let read = batch.records.len();
        for record in batch.records {
            if record.offset >= loader.cut[&record.partition] {
                continue;
            }
            let entry = entry(&record, self.max_concepts)?;
            if !limited.is_empty() {
                let position = self.flow.shards.get(&record.partition).map_or(0, |shard| shard.progress.position);
                loader.note(&entry, &limited, self.seed, position);
            }
            self.entries.send(entry);
        }
        if loader.positions.iter().all(|(shard, position)| *position >= loader.cut[shard]) {
            loader.sent = Some(now);
            crate::fault::point("state loaded");
        }
        Ok(read + 1)
    }

    fn stand_at_cut(&mut self, context: &Context) {
        let Some(loader) = self.loader.take() else { return };
        self.shared.borrow_mut().loaded.clone_from(&loader.cut);
        if context.drain {
            self.flow.end_at(loader.cut.clone());
        }
        if !self.settled {
            self.reading = true;
            return;
        }
        self.flow.hold_at(loader.cut.clone());
        let smallest = loader.smallest(context, &self.watch);
        let digest = self.index.borrow().digest();
        let cut = loader.cut.into_iter().collect();
        self.send(0, Letter::AtCut(Report { digest, cut, smallest }));
    }

    /// Reads records for their outputs; in continuous mode also into the index.
    fn read(&mut self, context: &Context) -> Result<usize> {
        let Graph { flow, clock, entries, settled, max_concepts, last_entry, .. } = self;
        flow.read(clock, &context.counters, |_, origin, record| {
            let entry = entry(&record, *max_concepts)?;
            if !*settled {
                entries.send(entry.clone());
                *last_entry = *entries.time();
            }
            Ok(Incoming { origin, entry })
        })
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
        let mail = coordinator.turn(context, &self.watch, frontier, now, recording, &mut starts)?;
        self.staged.settlement = coordinator.to_record.take().or(self.staged.settlement.take());
        starts.into_iter().for_each(|start| self.starts.send(start));
        mail.into_iter().for_each(|mail| self.letters.send(mail));
        Ok(())
    }

    fn commit(&mut self) -> Result<()> {
        let Graph { flow, staged, seed, .. } = self;
        let owed = staged.owed();
        flow.commit(
            |shard| owed.contains(&shard),
            |number, _, outputs| {
                let mut batch = Batch { number, seed: *seed, ..Batch::default() };
                outputs.into_iter().for_each(|(_, issued)| batch.add(issued));
                staged.take(number, &mut batch)?;
                Ok(batch.prepared())
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
    fn trim(&mut self, context: &Context) -> Result<()> {
        if self.trimmed.0.elapsed() < TRIM_INTERVAL {
            return Ok(());
        }
        self.trimmed.0 = Instant::now();
        for &shard in self.flow.shards.keys() {
            let position = self.watch.position(Role::Generate, shard);
            if self.trimmed.1.insert(shard, position).unwrap_or(0) < position {
                context.log.trim(LogName::Combinations, shard, position).context("can't trim combinations")?;
            }
        }
        Ok(())
    }

    fn find_the_end(&mut self, context: &Context) {
        if !context.drain || self.loader.is_some() || !self.reading {
            return;
        }
        let all_applied = !self.draws.less_equal(&self.last_entry);
        if !self.told_drained && self.flow.drained() && all_applied {
            self.told_drained = true;
            self.send(0, Letter::Drained);
        }
        let finished = self.coordinator.as_ref().is_none_or(Coordinator::is_done);
        if self.told_drained && finished && self.staged.is_empty() {
            self.done.arrive();
        }
    }
}

impl Loader {
    /// Keeps the ids that the last record of each document could be issued under, unless it has had its outcome.
    fn note(&mut self, entry: &Entry, limited: &[u8], seed: u64, position: u64) {
        if entry.offset < position || entry.content.is_none() {
            self.last.remove(&entry.document);
            return;
        }
        let candidates = levels::candidates(entry, limited, seed);
        self.last.insert(entry.document.clone(), candidates.iter().map(|it| (it.level, it.id)).collect());
    }

    /// The smallest ids of each limited level, as many as the limit leaves.
    fn smallest(&self, context: &Context, watch: &Watch) -> Vec<(u8, Vec<Id>)> {
        let of_level = |level: u8| {
            let all = self.last.values().flatten().filter(|(of, _)| *of == level);
            let mut ids: Vec<Id> = all.map(|(_, id)| *id).collect();
            ids.sort_unstable();
            let limit = context.config.sampling.limit.of(level).unwrap_or(u64::MAX);
            ids.truncate(usize::try_from(limit.saturating_sub(watch.issued(level))).unwrap_or(usize::MAX));
            (level, ids)
        };
        levels::limited_levels(context).into_iter().map(of_level).collect()
    }
}

impl Staged {
    fn is_empty(&self) -> bool {
        self.accepted.is_empty() && self.ordered.is_empty() && self.settlement.is_none() && !self.settlement_ordered
    }

    fn owed(&self) -> Vec<u32> {
        self.accepted.keys().copied().chain(self.settlement.iter().map(|_| 0)).collect()
    }

    fn take(&mut self, shard: u32, batch: &mut Batch) -> Result<()> {
        let accepted = self.accepted.remove(&shard).unwrap_or_default();
        if !accepted.is_empty() {
            *self.ordered.entry(shard).or_default() += accepted.len() as u64;
        }
        for (drawn, settlement) in accepted {
            batch.draw(drawn, settlement)?;
        }
        if shard == 0
            && let Some(settlement) = self.settlement.take()
        {
            self.settlement_ordered = true;
            batch.records.push(progress_append(&ProgressKey::Settlement, &Progress::Settlement(settlement)));
        }
        Ok(())
    }
}

/// One transaction of a shard.
#[derive(Default)]
struct Batch {
    number: u32,
    seed: u64,
    records: Vec<Append>,
    starts: BTreeMap<ConceptId, u64>,
    outcomes: [u64; 4],
    counters: BTreeMap<Counter, u64>,
}

impl Batch {
    fn add(&mut self, issued: Issued) {
        let outcome = if issued.combinations.is_empty() { Outcome::Skipped } else { Outcome::Written };
        self.outcomes[outcome as usize] += 1;
        self.count(Counter::NotLive, u64::from(issued.stale));
        issued.combinations.iter().for_each(|combination| self.issue(combination));
    }

    fn issue(&mut self, combination: &Combination) {
        self.count(Counter::combinations(combination.level), 1);
        self.records.push(Append {
            log: LogName::Combinations,
            partition: Some(self.number),
            key: Some(combination.id.to_string().into_bytes()),
            value: Some(codec::encode(combination)),
        });
    }

    /// A start has its outcome: its combination, if there is one, and its number are one transaction.
    fn draw(&mut self, drawn: Drawn, settlement: Option<u64>) -> Result<()> {
        let started = self.starts.entry(drawn.node).or_default();
        *started = (*started).max(drawn.start + 1);
        self.count(Counter::WorkCapped, u64::from(drawn.capped));
        match drawn.result {
            Found::Stuck => self.count(Counter::Stuck, 1),
            Found::NoReference => self.count(Counter::WithoutReferences, 1),
            Found::Combination { walk, references } => {
                let references = references.iter().map(|it| it.reference().context("a reference without a text"));
                let combination = Combination {
                    id: id::walk_combination(self.seed, drawn.node, drawn.start),
                    level: 3,
                    walk,
                    references: references.collect::<Result<_>>()?,
                    seed: self.seed,
                    start: Some(drawn.start),
                    settlement,
                };
                self.issue(&combination);
            }
        }
        Ok(())
    }

    fn count(&mut self, counter: Counter, more: u64) {
        *self.counters.entry(counter).or_default() += more;
    }

    fn prepared(self) -> Prepared {
        let mut records = self.records;
        let starts = self.starts.iter();
        records.extend(starts.map(|(node, count)| progress_append(&ProgressKey::Starts(*node), &Progress::Starts(*count))));
        Prepared {
            texts: Vec::new(),
            outputs: Box::new(move |_| records),
            outcomes: self.outcomes,
            counters: self.counters.into_iter().collect(),
        }
    }
}

fn entry(record: &Record, max_concepts: usize) -> Result<Entry> {
    let place = || format!("can't read extractions/{} at offset {}", record.partition, record.offset);
    let extraction: Option<Extraction> = record.value.as_deref().map(codec::decode).transpose().with_context(place)?;
    let document = String::from_utf8_lossy(record.key.as_deref().unwrap_or_default());
    let pointer = Pointer { partition: record.partition, offset: record.offset };
    Ok(Entry::of(&document, pointer, extraction.as_ref(), max_concepts))
}

/// The letters' dataflow.
struct Post {
    letters: InputHandleVec<u64, Mail>,
    received: Inbox<Mail>,
}

impl Post {
    fn new(worker: &mut Worker) -> Self {
        let mut letters = InputHandleVec::new();
        let received = Inbox::default();
        worker.dataflow_named("letters", |scope| {
            let _empty = collect(scope.input_from(&mut letters), |mail: &Mail| mail.to, &received);
        });
        Post { letters, received }
    }

    /// Sends a letter and steps until `enough` of those received are there.
    fn exchange(
        &mut self,
        worker: &mut Worker,
        context: &Context,
        mail: Vec<Mail>,
        enough: impl Fn(&[(u64, Mail)]) -> bool,
    ) -> Result<Vec<Mail>> {
        mail.into_iter().for_each(|mail| self.letters.send(mail));
        // Only the end of an epoch sends on what an exchange has buffered.
        self.letters.advance_to(self.letters.time() + 1);
        while !enough(&self.received.borrow()) {
            context.step(worker)?;
        }
        Ok(self.received.borrow_mut().drain(..).map(|(_, mail)| mail).collect())
    }
}

/// What walks start from. `auto` asks all workers whether any document has a topic.
fn start_kind(worker: &mut Worker, context: &Context, post: &mut Post) -> Result<Kind> {
    match context.config.sampling.start {
        config::Start::Topic => return Ok(Kind::Topic),
        config::Start::KeyConcept => return Ok(Kind::KeyConcept),
        config::Start::Auto => (),
    }
    let peers = worker.peers() as u64;
    let (documents, topics) = any_topics(worker, context)?;
    let mut mail = vec![Mail { to: 0, letter: Letter::Topics { documents, topics } }];
    if worker.index() == 0 {
        let all_told = |received: &[(u64, Mail)]| received.len() as u64 == peers;
        let told = post.exchange(worker, context, mail, all_told)?;
        let any = |wanted: fn(bool, bool) -> bool| {
            told.iter().any(|mail| matches!(mail.letter, Letter::Topics { documents, topics } if wanted(documents, topics)))
        };
        // A corpus that is still empty is expected to have topics.
        let kind = auto_start(any(|_, topics| topics) || !any(|documents, _| documents));
        mail = (0..peers).map(|to| Mail { to, letter: Letter::Kind(kind) }).collect();
    }
    let received = post.exchange(worker, context, mail, |received| !received.is_empty())?;
    let kind = received.iter().find_map(|mail| if let Letter::Kind(kind) = mail.letter { Some(kind) } else { None });
    kind.context("a worker was told something else than what walks start from")
}

/// Whether this worker's partitions have live documents, and any with a topic.
fn any_topics(worker: &Worker, context: &Context) -> Result<(bool, bool)> {
    let from = super::from_start_of_mine(worker, &context.log, LogName::Extractions)?;
    let mut topics: HashMap<Vec<u8>, bool> = HashMap::new();
    let mut failure = None;
    synthllm_log::read_to_end(
        &context.log,
        LogName::Extractions,
        &from,
        |record| match entry(&record, usize::MAX) {
            Ok(Entry { content: Some(content), .. }) => {
                topics.insert(record.key.unwrap_or_default(), !content.topics.is_empty());
            }
            Ok(_) => {
                topics.remove(&record.key.unwrap_or_default());
            }
            Err(error) => failure = Some(error),
        },
        |_, _| (),
    )?;
    let found = (!topics.is_empty(), topics.values().any(|any| *any));
    failure.map_or(Ok(found), Err)
}
