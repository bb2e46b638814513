//! The three roles as timely dataflows, one file each, and what they share.
//!
//! A worker turns round its roles: each reads what its window has room for, carries calls and replies, and commits what the
//! frontier has passed. Nothing durable knows a worker: shard `s` lies on worker `s mod workers`.

pub mod bill;
pub mod clock;
pub mod commit;
pub mod dead_letter;
pub mod desk;
pub mod estimate;
pub mod extract;
pub mod flow;
pub mod generate;
pub mod graph;
pub mod inquiry;
pub mod pointers;
pub mod purse;
pub mod screen;
pub mod shard;
pub mod status;
pub mod target;
pub mod trim;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use synthllm_llm::{CallError, Pool, Priority, Prompts, Task, TaskSettings};
use synthllm_log::{Log, LogName};
use synthllm_operators::ask::Mailbox;
use synthllm_operators::record::{Answer, JournalKey, Role};
use timely::worker::Worker;

use crate::config::Config;
use crate::events::Counters;
use clock::Barrier;
use desk::{Desk, Reply};
use inquiry::{Call, EmbedCall, Replied};
use purse::Purse;
use screen::Screen;
use shard::Writers;

/// How long a worker sleeps at most when it has nothing to do, and how often its epochs end; replies and confirmations wake it.
pub const PACE: Duration = Duration::from_millis(5);

/// And once nothing has moved for many turns: how late a new document is seen at most.
const SLOW_PACE: Duration = Duration::from_millis(50);

/// So many turns are many.
const MANY_TURNS: u32 = 20;

/// What the roles of one process share.
pub struct Context {
    /// The configuration.
    pub config: Config,
    /// The logs.
    pub log: Arc<dyn Log>,
    /// Removes what nobody needs any more.
    pub trimmer: Arc<trim::Trimmer>,
    /// The language model.
    pub pool: Arc<Pool>,
    /// The prompts of extract, with its token budget.
    pub extract_prompts: Arc<Prompts>,
    /// The prompts of generate, with its token budget.
    pub generate_prompts: Arc<Prompts>,
    /// Which questions are dropped.
    pub filters: Arc<generate::Filters>,
    /// Which documents are let in.
    pub screen: Arc<Screen>,
    /// See [`Context::keeps_scores`].
    pub has_scores: OnceLock<bool>,
    /// N and P.
    pub partitions: (u32, u32),
    /// Whether to end when everything that was there at the start is done.
    pub drain: bool,
    /// Whether this process also runs generate, whose pace graph then keeps.
    pub generates: bool,
    /// What is counted.
    pub counters: Arc<Counters>,
    /// What may be spent.
    pub purse: Arc<Purse>,
    /// Why graph draws no more for targets that don't stand, by level.
    pub shortages: Mutex<BTreeMap<u8, target::Shortage>>,
    /// What the status line shows.
    pub status: status::Board,
    /// Set by a signal, or when a budget is reached: no new permits, commit, and end.
    pub stop: Arc<AtomicBool>,
    /// When it was first seen.
    pub stopped_at: OnceLock<Instant>,
    /// Why the run has failed.
    pub failure: Mutex<Option<anyhow::Error>>,
}

/// What a role did in a turn.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Phase {
    /// Nothing moved, and nothing waits to be committed.
    Quiet,
    /// Nothing moved, and something waits to be committed, or for its commit.
    Waiting,
    /// Something moved.
    Busy,
}

impl Phase {
    /// The phase after a turn in which so much moved.
    fn of(moved: usize, quiet: bool) -> Self {
        match (moved, quiet) {
            (0, true) => Phase::Quiet,
            (0, false) => Phase::Waiting,
            _ => Phase::Busy,
        }
    }
}

impl Context {
    /// Whether no new work may begin.
    pub fn stopping(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// How long the run has been stopping.
    pub fn stopping_for(&self) -> Duration {
        if self.stopping() { self.stopped_at.get_or_init(Instant::now).elapsed() } else { Duration::ZERO }
    }

    /// Whether a stop need not wait any longer: calls that wait for their turn are given up, and those under way, which are
    /// paid for, are answered, or have had their time.
    pub fn has_stopped_asking(&self) -> bool {
        self.pool.close();
        self.pool.status().in_flight() == 0 || self.stopping_for() >= self.config.run.stop_timeout
    }

    /// The run can't go on. The first reason counts.
    pub fn fail(&self, error: anyhow::Error) {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Graph draws no more for its targets, since that is so.
    pub fn note_shortages(&self, shortages: BTreeMap<u8, target::Shortage>) {
        *self.shortages.lock().unwrap_or_else(PoisonError::into_inner) = shortages;
    }

    /// Whether the run has failed, here or on another worker of this process.
    pub fn failed(&self) -> bool {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Steps the worker once; an error when the run has failed elsewhere.
    pub fn step(&self, worker: &mut Worker) -> Result<()> {
        anyhow::ensure!(!self.failed(), "another worker has failed");
        worker.step_or_park(Some(PACE));
        Ok(())
    }

    /// With `--drain`, the ends of these partitions as they stand now.
    pub fn ends(&self, log: LogName, partitions: &[u32]) -> Result<Option<BTreeMap<u32, u64>>> {
        if !self.drain {
            return Ok(None);
        }
        self.ends_now(log, partitions).map(Some)
    }

    /// The ends of these partitions as they stand now.
    pub fn ends_now(&self, log: LogName, partitions: &[u32]) -> Result<BTreeMap<u32, u64>> {
        partitions.iter().map(|&partition| Ok((partition, self.log.end(log, partition)?))).collect()
    }

    /// How many more combinations may be issued while `waiting` have no outcome. A graph that drains without generate has none
    /// to wait for.
    pub fn room_for_combinations(&self, waiting: u64) -> u64 {
        if self.drain && !self.generates { u64::MAX } else { self.config.graph.max_waiting.saturating_sub(waiting) }
    }

    /// Whether documents are screened, or have been: then `scores` says something of them. To be asked only once all shards of
    /// extract are fenced; a log that does not say how far it goes is read.
    pub fn keeps_scores(&self) -> bool {
        let goes_far = |partition: u32| self.log.end(LogName::Scores, partition).map_or(true, |end| end > 0);
        *self.has_scores.get_or_init(|| !self.screen.is_off() || (0..self.partitions.1).any(goes_far))
    }

    /// The settings of a task, as its calls are made and hashed.
    pub fn settings(&self, task: Task) -> Arc<TaskSettings> {
        Arc::new(self.pool.settings(task).cloned().unwrap_or_else(|| self.config.llm.of(task).settings.clone()))
    }

    /// A desk whose calls are all for the model.
    pub fn model_desk(self: &Arc<Self>, mailbox: Mailbox<Call, Replied>) -> Desk<Call, Replied> {
        let context = Arc::clone(self);
        Desk::new(mailbox, move |call, reply| context.ask_model(call, reply))
    }

    /// Asks the model. An error that every call would share fails the run.
    pub fn ask_model<R: From<Replied> + Send + 'static>(self: &Arc<Self>, call: Call, reply: Reply<R>) {
        if self.stopping() {
            return;
        }
        let context = Arc::clone(self);
        let Call { key, origin, request } = call;
        self.pool.submit(Priority::of(request.task), &request, move |outcome| {
            context.bring(key, outcome.map(|completion| inquiry::answer(origin, completion)), reply);
        });
    }

    /// Asks for an embedding, likewise.
    pub fn ask_embedding<R: From<Replied> + Send + 'static>(self: &Arc<Self>, call: EmbedCall, reply: Reply<R>) {
        if self.stopping() {
            return;
        }
        let context = Arc::clone(self);
        let EmbedCall { key, origin, request } = call;
        self.pool.embed(&request, move |outcome| {
            context.bring(key, outcome.map(|embeddings| inquiry::embedded(origin, embeddings)), reply);
        });
    }

    fn bring<R: From<Replied>>(&self, key: JournalKey, outcome: std::result::Result<Answer, CallError>, reply: Reply<R>) {
        match outcome {
            Err(error) if error.is_fatal() => self.fail(error.into()),
            Err(CallError::Cancelled) => (),
            outcome => reply.give(Replied { key, outcome }.into()),
        }
    }
}

/// The shards of this worker, of `count`.
pub fn shards_of(worker: &Worker, count: u32) -> Vec<u32> {
    (0..count).filter(|shard| *shard as usize % worker.peers() == worker.index()).collect()
}

/// The first offsets of all partitions of a log.
pub fn from_start(log: &Arc<dyn Log>, name: LogName) -> Result<Vec<(u32, u64)>> {
    (0..log.partitions(name)?).map(|partition| Ok((partition, log.start(name, partition)?))).collect()
}

/// The first offsets of this worker's share of the partitions of a log.
pub fn from_start_of_mine(worker: &Worker, log: &Arc<dyn Log>, name: LogName) -> Result<Vec<(u32, u64)>> {
    let mine = shards_of(worker, log.partitions(name)?);
    mine.into_iter().map(|partition| Ok((partition, log.start(name, partition)?))).collect()
}

/// Runs the roles on one worker until drained, stopped or failed. A failure ends all workers of the process at once.
pub fn work(worker: &mut Worker, context: &Arc<Context>, roles: &[Role]) {
    if let Err(error) = turn_until_done(worker, context, roles) {
        context.fail(error);
    }
    for dataflow in worker.installed_dataflows() {
        worker.drop_dataflow(dataflow);
    }
}

/// The roles that have been started.
#[derive(Default)]
struct Roles {
    extract: Option<extract::Extract>,
    graph: Option<graph::Graph>,
    generate: Option<generate::Generate>,
}

fn turn_until_done(worker: &mut Worker, context: &Arc<Context>, roles: &[Role]) -> Result<()> {
    let has = |role| roles.contains(&role);
    let mut running = Roles::default();
    let mut writers = Writers::fence(worker, context, roles)?;
    if has(Role::Extract) {
        running.extract =
            Some(extract::Extract::start(worker, context, writers.of(Role::Extract)).context("extract can't start")?);
        if context.drain {
            running.turn_until(worker, context, |running| running.extract.is_none())?;
        }
    }
    // Also after a stop: all workers must build the same dataflows in the same order.
    if has(Role::Graph) {
        running.graph = Some(graph::Graph::start(worker, context, writers.of(Role::Graph)).context("graph can't start")?);
    }
    if has(Role::Generate) {
        let after_graph = running.graph.is_some();
        let writers = writers.of(Role::Generate);
        let generate = generate::Generate::start(worker, context, writers, after_graph);
        running.generate = Some(generate.context("generate can't start")?);
    }
    running.turn_until(worker, context, Roles::all_done)
}

impl Roles {
    fn all_done(&self) -> bool {
        self.extract.is_none() && self.graph.is_none() && self.generate.is_none()
    }

    /// Turns until `done`, or until a stop has been carried out on all workers.
    fn turn_until(&mut self, worker: &mut Worker, context: &Arc<Context>, done: impl Fn(&Self) -> bool) -> Result<()> {
        let mut stopped = Barrier::new(worker);
        let (mut still_turns, mut quiet_turns) = (0_u32, 0_u32);
        while !done(self) && !stopped.passed() {
            let pace = if still_turns < MANY_TURNS { PACE } else { SLOW_PACE };
            let phase = self.turn(context, pace)?;
            if context.purse.has_ended(context.drain) {
                context.stop.store(true, Ordering::Relaxed);
            }
            if phase == Phase::Busy {
                worker.step();
            } else if pace == PACE {
                worker.step_or_park(Some(pace));
            } else {
                // timely would not park: a turn's new epoch activates the inputs.
                std::thread::park_timeout(pace);
                worker.step();
            }
            anyhow::ensure!(!context.failed(), "another worker has failed");
            still_turns = if phase == Phase::Busy { 0 } else { still_turns.saturating_add(1) };
            quiet_turns = if phase > Phase::Quiet { 0 } else { quiet_turns.saturating_add(1) };
            if context.stopping() && context.has_stopped_asking() && quiet_turns > MANY_TURNS {
                stopped.arrive();
            }
        }
        Ok(())
    }

    /// One turn of each role; those that have drained go.
    fn turn(&mut self, context: &Arc<Context>, pace: Duration) -> Result<Phase> {
        let mut phase = Phase::Quiet;
        if let Some(extract) = &mut self.extract {
            phase = phase.max(extract.turn(context, pace)?);
            drop_if_done(&mut self.extract, extract::Extract::is_done, context, Role::Extract);
        }
        if let Some(graph) = &mut self.graph {
            let generate = self.generate.as_ref();
            let has_withdrawn = |read: &BTreeMap<u32, u64>| generate.is_some_and(|generate| generate.has_withdrawn(read));
            phase = phase.max(graph.turn(context, pace, has_withdrawn)?);
            drop_if_done(&mut self.graph, graph::Graph::is_done, context, Role::Graph);
        }
        let graph_done = self.graph.is_none();
        if let Some(generate) = &mut self.generate {
            phase = phase.max(generate.turn(context, pace, graph_done)?);
            drop_if_done(&mut self.generate, generate::Generate::is_done, context, Role::Generate);
        }
        Ok(phase)
    }
}

fn drop_if_done<R>(running: &mut Option<R>, is_done: impl Fn(&R) -> bool, context: &Context, role: Role) {
    if running.as_ref().is_some_and(is_done) {
        *running = None;
        context.counters.drained(role);
    }
}
