//! The pool of calls: a thread with a runtime, an endpoint each, and a synchronous face.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use tokio::runtime::Runtime;
use tokio::sync::oneshot;

use crate::client::{Target, http_client};
use crate::completion::Completion;
use crate::embedding::{Answered, EmbeddingRequest, Embeddings, Reading};
use crate::endpoint::{Call, Endpoint, Failures, Reply};
use crate::error::{CallError, PoolError};
use crate::request::Request;
use crate::settings::{Task, TaskSettings};
use crate::status::Status;

/// Who goes first where tasks share an endpoint: what is nearest to a finished sample.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Priority {
    /// Extractions, ratings.
    Extraction,
    /// Questions.
    Question,
    /// Answers, judgements.
    Answer,
}

impl Priority {
    pub(crate) const COUNT: usize = 3;

    /// The priority of a task's calls.
    pub fn of(task: Task) -> Self {
        match task {
            Task::Extract | Task::Rate | Task::Embed => Priority::Extraction,
            Task::Question => Priority::Question,
            Task::Answer | Task::Judge => Priority::Answer,
        }
    }
}

/// The calls of all tasks. Cheap to share behind an `Arc`; dropping it cancels what is under way.
pub struct Pool {
    tasks: BTreeMap<Task, (Arc<Target>, Arc<Endpoint>)>,
    endpoints: Vec<Arc<Endpoint>>,
    thread: Mutex<Option<(oneshot::Sender<()>, JoinHandle<()>)>>,
    submitted: AtomicU64,
}

impl Pool {
    /// Starts the pool's thread. Nothing is sent before the first [`Pool::submit`].
    pub fn new(settings: BTreeMap<Task, TaskSettings>) -> Result<Self, PoolError> {
        settings.iter().try_for_each(|(task, settings)| check(*task, settings))?;
        let targets: BTreeMap<Task, Arc<Target>> = settings
            .iter()
            .map(|(task, settings)| Ok((*task, Arc::new(Target::new(settings)?))))
            .collect::<Result<_, PoolError>>()?;
        let client = http_client(targets.values().map(Arc::as_ref))?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| PoolError::Start(Box::new(error)))?;
        let endpoints = endpoints(&targets, &client, &runtime);
        let tasks =
            targets.into_iter().map(|(task, target)| (task, (target.clone(), endpoints[&target.settings.endpoint].clone())));
        let tasks = tasks.collect();
        let thread = Mutex::new(Some(start(runtime)?));
        Ok(Pool { tasks, endpoints: endpoints.into_values().collect(), thread, submitted: AtomicU64::new(0) })
    }

    /// The settings of a task, if it is configured.
    pub fn settings(&self, task: Task) -> Option<&TaskSettings> {
        self.tasks.get(&task).map(|(target, _)| &target.settings)
    }

    /// Asks. Returns at once; `reply` is called exactly once, on the pool's thread, and must neither block nor work for long.
    pub fn submit(
        &self,
        priority: Priority,
        request: &Request,
        reply: impl FnOnce(Result<Completion, CallError>) + Send + 'static,
    ) {
        let reply = Reply::new(move |outcome| reply(outcome.map(completion)));
        self.send(request.task, priority, Reading::Completion, |settings| request.body(settings), reply);
    }

    /// Asks for embeddings, with the settings of the task `embed`. Returns at once; `reply` as in [`Pool::submit`].
    pub fn embed(&self, request: &EmbeddingRequest, reply: impl FnOnce(Result<Embeddings, CallError>) + Send + 'static) {
        let reply = Reply::new(move |outcome| reply(outcome.map(embeddings)));
        let reading = Reading::Embeddings(request.expected());
        self.send(Task::Embed, Priority::of(Task::Embed), reading, |settings| request.body(settings), reply);
    }

    fn send(
        &self,
        task: Task,
        priority: Priority,
        reading: Reading,
        body: impl FnOnce(&TaskSettings) -> String,
        reply: Reply,
    ) {
        let Some((target, endpoint)) = self.tasks.get(&task) else {
            return reply.send(Err(not_configured(task)));
        };
        let body = body(&target.settings);
        let id = self.submitted.fetch_add(1, Ordering::Relaxed);
        let target = target.clone();
        endpoint.submit(Call { id, priority, target, body, reading, reply, failures: Failures::default() });
    }

    /// Asks and waits, for callers that have nothing else to do.
    pub fn ask(&self, request: &Request) -> Result<Completion, CallError> {
        let (reply, outcome) = std::sync::mpsc::channel();
        self.submit(Priority::of(request.task), request, move |outcome| {
            let _ = reply.send(outcome);
        });
        outcome.recv().unwrap_or(Err(CallError::Cancelled))
    }

    /// What is going on.
    pub fn status(&self) -> Status {
        Status { endpoints: self.endpoints.iter().map(|endpoint| endpoint.status()).collect() }
    }

    /// Takes no more calls, and cancels those that wait; those on the wire are answered.
    pub fn close(&self) {
        let waiting: Vec<Call> = self.endpoints.iter().flat_map(|endpoint| endpoint.close()).collect();
        drop(waiting);
    }

    /// Cancels what waits and what is on the wire; each reply is called before this returns, unless it is called from
    /// a reply itself. Later calls are cancelled at once.
    pub fn shutdown(&self) {
        self.close();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((stop, thread)) = thread {
            drop(stop);
            // The last handle may be dropped by a reply, on the very thread.
            if thread.thread().id() != std::thread::current().id() {
                let _ = thread.join();
            }
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shutdown();
    }
}

fn check(task: Task, settings: &TaskSettings) -> Result<(), PoolError> {
    let limits = [
        ("max_in_flight", settings.max_in_flight == 0),
        ("attempts", settings.attempts == 0),
        ("timeout", settings.timeout.is_zero()),
    ];
    match limits.into_iter().find(|(_, zero)| *zero) {
        Some((setting, _)) => Err(PoolError::Zero { task: task.name(), setting }),
        None => Ok(()),
    }
}

/// One endpoint per address, with the largest limit of its tasks.
fn endpoints(
    targets: &BTreeMap<Task, Arc<Target>>,
    client: &reqwest::Client,
    runtime: &Runtime,
) -> BTreeMap<String, Arc<Endpoint>> {
    let mut limits = BTreeMap::new();
    for target in targets.values() {
        let limit: &mut usize = limits.entry(target.settings.endpoint.clone()).or_default();
        *limit = (*limit).max(target.settings.max_in_flight);
    }
    let endpoint = |address: &str, limit| Endpoint::new(address, limit, client.clone(), runtime.handle().clone());
    limits.into_iter().map(|(address, limit)| (address.clone(), endpoint(&address, limit))).collect()
}

/// The runtime lives on its thread until the sender is dropped; then its tasks are dropped, which cancels their calls.
fn start(runtime: Runtime) -> Result<(oneshot::Sender<()>, JoinHandle<()>), PoolError> {
    let (stop, stopped) = oneshot::channel::<()>();
    let thread = std::thread::Builder::new()
        .name("llm".into())
        .spawn(move || {
            let _ = runtime.block_on(stopped);
        })
        .map_err(|error| PoolError::Start(Box::new(error)))?;
    Ok((stop, thread))
}

/// What a call brought is what was to be read from its answer.
fn completion(answered: Answered) -> Completion {
    match answered {
        Answered::Completion(completion) => completion,
        Answered::Embeddings(_) => unreachable!("the answer was read as a completion"),
    }
}

fn embeddings(answered: Answered) -> Embeddings {
    match answered {
        Answered::Embeddings(embeddings) => embeddings,
        Answered::Completion(_) => unreachable!("the answer was read as embeddings"),
    }
}

fn not_configured(task: Task) -> CallError {
    CallError::Misconfigured {
        endpoint: "the configuration".into(),
        status: 0,
        message: format!("no model for the task {}", task.name()),
        advice: format!(
            "set `llm.{}.endpoint` and `llm.{}.model`, or `llm.endpoint` and `llm.model`",
            task.name(),
            task.name()
        ),
    }
}
