//! Starts and stops the roles.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use synthllm_llm::{Pool, PromptSettings, Prompts, Task};
use synthllm_log::{Log, LogName};
use synthllm_operators::record::Role;

use crate::config::Config;
use crate::dataflow::{self, Context, status::Board};
use crate::events::{Counter, Counters, Outcome};
use crate::status_line::{Snapshot, StatusLine};

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

/// How often the status line is drawn.
const STATUS_INTERVAL: Duration = Duration::from_millis(200);

/// Runs the roles until stopped or drained. A second signal ends the process at once.
pub fn run(config: &Config, options: &RunOptions) -> Result<ExitCode> {
    anyhow::ensure!(
        options.processes == 1 && options.hosts.is_none(),
        "this version does not form clusters of processes yet: use --workers, or let the roles run apart with --role"
    );
    let log = crate::logs::open_or_create(config)?;
    log.verify()?;
    let _claim = log.claim_run(options.take_over)?;
    let context = Arc::new(context(config, options, log)?);
    let ended = Arc::new(AtomicBool::new(false));
    let status = std::thread::spawn({
        let (context, ended) = (Arc::clone(&context), Arc::clone(&ended));
        move || show_status(&context, &ended)
    });
    let worked = execute(&context, options);
    context.pool.shutdown();
    ended.store(true, std::sync::atomic::Ordering::Relaxed);
    status.thread().unpark();
    let _shown = status.join();
    worked?;
    match context.failure.lock().unwrap_or_else(PoisonError::into_inner).take() {
        Some(failure) => Err(failure),
        None => Ok(ExitCode::SUCCESS),
    }
}

fn context(config: &Config, options: &RunOptions, log: Arc<dyn Log>) -> Result<Context> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
        // The second signal finds the flag set, and ends the process.
        signal_hook::flag::register_conditional_shutdown(signal, 1, Arc::clone(&stop))
            .context("can't listen for signals")?;
        signal_hook::flag::register(signal, Arc::clone(&stop)).context("can't listen for signals")?;
    }
    let tasks = [Task::Extract, Task::Question, Task::Answer];
    let settings: BTreeMap<_, _> = tasks.into_iter().map(|task| Ok((task, config.task(task)?))).collect::<Result<_>>()?;
    Ok(Context {
        partitions: (log.partitions(LogName::Documents)?, log.partitions(LogName::Extractions)?),
        log,
        pool: Arc::new(Pool::new(settings)?),
        extract_prompts: prompts(config, config.extract.max_prompt_tokens)?,
        generate_prompts: prompts(config, config.generate.max_prompt_tokens)?,
        drain: options.drain,
        generates: options.roles.contains(&Role::Generate),
        counters: Arc::new(Counters::default()),
        status: Board::default(),
        stop,
        failure: Mutex::new(None),
        config: config.clone(),
    })
}

fn prompts(config: &Config, document_tokens: usize) -> Result<Arc<Prompts>> {
    let settings = PromptSettings {
        domain: config.domain.clone(),
        document_tokens,
        questions_max: config.generate.questions.map(|questions| questions as usize),
        ..PromptSettings::default()
    };
    Ok(Arc::new(Prompts::load(config.prompts.as_deref(), settings)?))
}

fn execute(context: &Arc<Context>, options: &RunOptions) -> Result<()> {
    let roles = options.roles.clone();
    let shared = Arc::clone(context);
    let guards = timely::execute(timely::Config::process(options.workers.max(1)), move |worker| {
        dataflow::work(worker, &shared, &roles);
    })
    .map_err(|error| anyhow::anyhow!("can't start the workers: {error}"))?;
    for outcome in guards.join() {
        outcome.map_err(|error| anyhow::anyhow!("a worker has ended: {error}"))?;
    }
    Ok(())
}

fn show_status(context: &Context, ended: &AtomicBool) {
    let mut line = StatusLine::new();
    while !ended.load(std::sync::atomic::Ordering::Relaxed) {
        line.show(&snapshot(context));
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
    let waiting_for = match context.status.now_loading() {
        Some((role, read, total)) => Some(format!("{} to read its state, {read} of {total} records", role.name())),
        None => waits_for(&pool),
    };
    Snapshot {
        documents: decided,
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

/// Which endpoint keeps calls waiting, and why.
fn waits_for(pool: &synthllm_llm::Status) -> Option<String> {
    let endpoint = pool.endpoints.iter().find(|endpoint| endpoint.down || endpoint.backing_off.is_some())?;
    let reason = endpoint.last_error.as_deref().unwrap_or("it asked to wait");
    Some(format!("{} ({} calls): {reason}", endpoint.endpoint, endpoint.waiting))
}
