//! Starts and stops the roles.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use synthllm_llm::{Pool, Prompt, PromptSettings, Prompts, Task};
use synthllm_log::{Log, LogName};
use synthllm_operators::record::{Progress, ProgressKey, Role};
use timely::communication::WorkerGuards;

use crate::cluster::{self, ClusterError, Membership, Plan};
use crate::config::{self, Config, LogKind};
use crate::dataflow::{
    self, Context,
    generate::Filters,
    purse::Purse,
    screen::Screen,
    status::{Board, Loaded},
    target::Standing,
    trim::Trimmer,
};
use crate::events::{Counter, Counters, Outcome};
use crate::hint::Usage;
use crate::status_line::{Snapshot, StatusLine, Wait};
use crate::terminal;

/// What describes this process, as opposed to the pipeline.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RunOptions {
    /// The roles of this process, in the order of the pipeline.
    pub roles: Vec<Role>,
    /// Whether to end when everything that was there at the start is done.
    pub drain: bool,
    /// Worker threads of this process.
    pub workers: usize,
    /// Processes that share the work.
    pub processes: usize,
    /// Which of them this is, from 0.
    pub process: usize,
    /// The file with the address of every process.
    pub hosts: Option<PathBuf>,
    /// Whether to take over from another `run` on the same SQLite file.
    pub take_over: bool,
}

/// A stop that has waited for the answers under way has so long for its last commits.
const LAST_COMMIT: Duration = Duration::from_secs(10);

/// A commit that takes longer is told.
const SLOW_COMMIT: Duration = Duration::from_secs(5);

/// How often the status line is drawn.
const STATUS_INTERVAL: Duration = Duration::from_millis(200);

/// Runs the roles until stopped or drained. A second signal ends the process at once.
pub fn run(config: &Config, options: &RunOptions) -> Result<ExitCode> {
    let plan = cluster_plan(config, options)?;
    let log = crate::logs::open_or_create(config)?;
    log.verify()?;
    let _claim = log.claim_run(options.take_over)?;
    let context = Arc::new(context(config, options, log)?);
    let ended = Arc::new(AtomicBool::new(false));
    let status = std::thread::spawn({
        let (context, ended) = (Arc::clone(&context), Arc::clone(&ended));
        move || show_status(&context, &ended)
    });
    let worked = match plan {
        None => execute(&context, options),
        Some(plan) => execute_in_cluster(&context, options, plan),
    };
    context.trimmer.finish();
    context.pool.shutdown();
    ended.store(true, std::sync::atomic::Ordering::Relaxed);
    status.thread().unpark();
    let _shown = status.join();
    worked?;
    if context.purse.has_ended(context.drain) {
        context.purse.message().iter().for_each(|message| crate::events::budget_reached(message));
    }
    if let Some(failure) = context.failure.lock().unwrap_or_else(PoisonError::into_inner).take() {
        return Err(failure);
    }
    if options.process == 0 && options.roles.contains(&Role::Graph) {
        tell_targets(&context)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Which targets stand when the run ends, and why others don't.
fn tell_targets(context: &Context) -> Result<()> {
    if context.config.generate.target.is_empty() {
        return Ok(());
    }
    let progress = dataflow::shard::read_progress(context)?.progress;
    let generate = progress.iter().filter_map(|(key, progress)| match (key, progress) {
        (ProgressKey::Shard(Role::Generate, _), Progress::Shard(shard)) => Some(&shard.counters),
        _ => None,
    });
    let shortages = context.shortages.lock().unwrap_or_else(PoisonError::into_inner).clone();
    for standing in Standing::of(&context.config, generate) {
        let reason = match shortages.get(&standing.level) {
            _ if context.purse.has_ended(context.drain) => "a budget is reached".to_owned(),
            Some(shortage) if context.drain => shortage.reason(standing.level),
            _ => "the run was stopped".to_owned(),
        };
        standing.tell(&reason);
    }
    Ok(())
}

fn context(config: &Config, options: &RunOptions, log: Arc<dyn Log>) -> Result<Context> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
        // The second signal finds the flag set, and ends the process.
        signal_hook::flag::register_conditional_shutdown(signal, 1, Arc::clone(&stop))
            .context("can't listen for signals")?;
        signal_hook::flag::register(signal, Arc::clone(&stop)).context("can't listen for signals")?;
    }
    let screen = Screen::load(config)?;
    let tasks = config.tasks().into_iter().chain(screen.embeds().then_some(Task::Embed));
    let settings: BTreeMap<_, _> = tasks.map(|task| Ok((task, config.task(task)?))).collect::<Result<_>>()?;
    Ok(Context {
        trimmer: Arc::new(Trimmer::start(Arc::clone(&log))),
        has_scores: OnceLock::new(),
        screen: Arc::new(screen),
        partitions: (log.partitions(LogName::Documents)?, log.partitions(LogName::Extractions)?),
        log,
        pool: Arc::new(Pool::new(settings)?),
        extract_prompts: prompts(config, config.extract.max_prompt_tokens)?,
        generate_prompts: prompts(config, config.generate.max_prompt_tokens)?,
        filters: Arc::new(Filters::load(config)?),
        drain: options.drain,
        generates: options.roles.contains(&Role::Generate),
        counters: Arc::new(Counters::default()),
        purse: Arc::new(Purse::new(
            config.budget.limits(),
            config.budget.part(&options.roles),
            options.process,
            options.processes,
        )),
        shortages: Mutex::default(),
        status: Board::default(),
        stop,
        stopped_at: OnceLock::new(),
        failure: Mutex::new(None),
        config: config.clone(),
    })
}

/// The prompts, whose documents together have at most so many tokens.
pub fn prompts(config: &Config, document_tokens: usize) -> Result<Arc<Prompts>> {
    let settings = PromptSettings {
        domain: config.domain.clone(),
        document_tokens,
        topics_max: config.extract.max_topics,
        key_concepts_max: config.extract.max_key_concepts,
        questions_max: config.generate.questions.map(|questions| questions as usize),
    };
    Ok(Arc::new(Prompts::load(config.prompts.as_deref(), settings)?))
}

/// Who this process is among several, and what must be the same in all of them; nothing when it is alone.
fn cluster_plan(config: &Config, options: &RunOptions) -> Result<Option<Plan>> {
    let Some(hosts) = options.hosts.as_deref().filter(|_| options.processes > 1) else { return Ok(None) };
    if config.log.kind == LogKind::Sqlite {
        let message =
            "several processes need log.kind = \"kafka\"; on SQLite one process runs, with --workers for more threads";
        return Err(Usage(message.to_owned()).into());
    }
    let addresses = cluster::read_hosts(hosts, options.processes)?;
    let mut settings = config.fingerprints();
    settings.insert("roles".to_owned(), config::fingerprint(&options.roles));
    settings.insert("--drain".to_owned(), config::fingerprint(&options.drain));
    let membership = Membership {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        process: options.process,
        processes: options.processes,
        workers: options.workers,
        settings,
    };
    Ok(Some(Plan { membership, addresses, patience: config.run.peer_timeout }))
}

/// Runs this process' part. When it fails it ends at once, since the others can't go on without it, nor it without them.
fn execute_in_cluster(context: &Arc<Context>, options: &RunOptions, mut plan: Plan) -> Result<()> {
    let prompts: Vec<&str> = Prompt::ALL.iter().map(|prompt| context.extract_prompts.version(*prompt)).collect();
    plan.membership.settings.insert("prompts".to_owned(), config::fingerprint(&prompts));
    plan.membership.settings.insert("filters and their benchmarks".to_owned(), context.filters.digest());
    plan.membership.settings.insert("[screen]".to_owned(), context.screen.digest());
    let formed = cluster::form(plan, &context.stop, |missing| context.status.missing(missing));
    let cluster = match formed {
        Err(ClusterError::Stopped) => return Ok(()),
        formed => formed?,
    };
    crate::events::cluster::formed(options.processes, options.processes * options.workers);
    let lifelines = Arc::clone(&cluster.lifelines);
    let (roles, shared, others) = (options.roles.clone(), Arc::clone(context), Arc::clone(&lifelines));
    let guards = cluster.execute(move |worker| {
        dataflow::work(worker, &shared, &roles);
        let mut failure = shared.failure.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(failure) = failure.take() {
            others.fail(&format!("{failure:#}"));
            crate::terminal::say(&crate::hint::report(&failure));
            // Not by the usual way: timely would wait for the others, which wait for this process.
            std::process::exit(1);
        }
    })?;
    join(guards)?;
    lifelines.done();
    Ok(())
}

fn join(guards: WorkerGuards<()>) -> Result<()> {
    guards.join().into_iter().try_for_each(|outcome| outcome.map_err(|error| anyhow::anyhow!("a worker has ended: {error}")))
}

fn execute(context: &Arc<Context>, options: &RunOptions) -> Result<()> {
    let roles = options.roles.clone();
    let shared = Arc::clone(context);
    let guards = timely::execute(timely::Config::process(options.workers.max(1)), move |worker| {
        dataflow::work(worker, &shared, &roles);
    })
    .map_err(|error| anyhow::anyhow!("can't start the workers: {error}"))?;
    join(guards)
}

fn show_status(context: &Context, ended: &AtomicBool) {
    let mut line = StatusLine::new();
    while !ended.load(std::sync::atomic::Ordering::Relaxed) {
        line.show(&snapshot(context));
        if context.stopping_for() > context.config.run.stop_timeout + LAST_COMMIT {
            crate::events::stop_timed_out();
            std::process::exit(0);
        }
        std::thread::park_timeout(STATUS_INTERVAL);
    }
    line.finish(&snapshot(context));
}

fn snapshot(context: &Context) -> Snapshot {
    let counters = &context.counters;
    let pool = context.pool.status();
    let decided = counters.account(Role::Extract).outcomes.iter().sum();
    let dead = |role| counters.account(role).outcomes[Outcome::DeadLettered as usize];
    let combinations = [1, 2, 3].map(|level| counters.value(Role::Graph, Counter::combinations(level)));
    let missing = context.status.is_missing().map(Wait::from);
    let loading = || context.status.now_loading().map(state_to_read);
    let budget = || context.purse.waits_for().map(Wait::from);
    let waiting_for = missing.or_else(loading).or_else(|| slow_commit(context)).or_else(|| endpoint(&pool)).or_else(budget);
    Snapshot {
        documents: decided,
        rejected: Counter::SCREENED.iter().map(|counter| counters.value(Role::Extract, *counter)).sum(),
        extractions: counters.value(Role::Extract, Counter::Extractions),
        combinations: combinations.iter().sum(),
        samples: counters.value(Role::Generate, Counter::Samples),
        dead_letters: dead(Role::Extract) + dead(Role::Generate),
        in_flight: pool.in_flight() as u64,
        tokens: pool.tokens(),
        cost: pool.cost(),
        oldest_call: pool.oldest_call(),
        waiting_for,
    }
}

fn state_to_read(loaded: Loaded) -> Wait {
    let Loaded { role, read, total, left } = loaded;
    let left = left.map_or_else(String::new, |left| format!(", about {} s left", left.as_secs() + 1));
    Wait { what: format!("{} to read its state", role.name()), detail: format!(", {read} of {total} records{left}") }
}

/// Which role's commit takes long, and how long by now.
fn slow_commit(context: &Context) -> Option<Wait> {
    let (role, age) = context.status.oldest_commit().filter(|(_, age)| *age >= SLOW_COMMIT)?;
    let what = format!("the log to commit what {} has made", role.name());
    Some(Wait { what, detail: format!(" ({} s)", age.as_secs()) })
}

/// Which endpoint keeps calls waiting, and why.
fn endpoint(pool: &synthllm_llm::Status) -> Option<Wait> {
    let endpoint = pool.endpoints.iter().find(|endpoint| endpoint.keeps_waiting())?;
    let reason = endpoint.last_error.as_deref().unwrap_or("it asked to wait");
    let calls = terminal::count(endpoint.waiting as u64, "call");
    Some(Wait { what: endpoint.endpoint.clone(), detail: format!(" ({calls}): {reason}") })
}
