//! A scripted model server: `OpenAI` chat completions and embeddings over loopback, with sensible answers that are a function of the request,
//! faults by script or by seed, and a count of every request by content.
//!
//! It speaks HTTP itself, because half of its faults lie below what an HTTP library lets through. It runs on a thread of its own
//! ([`ScriptedServer::start`]) or as a process (`scripted-server`), so that a killed client doesn't take it along.
//!
//! A content is the exact body of a request, hashed with xxh3-128: the same hash as the canonical request of the client. So a test
//! of the promise "a request whose answer was committed is never sent again" takes the hashes of the committed journal and asks
//! [`ScriptedServer::count`] that they stay where they were.

mod answers;
mod embeddings;
mod faults;
mod http;

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};
use xxhash_rust::xxh3::xxh3_128;

pub use answers::DOMAIN_WORDS;
pub use embeddings::embedding;
pub use faults::{Fault, RetryAfter, Rule};

use faults::Script;
use http::{Connection, HttpRequest};

/// How the server behaves. The default answers everything at once and without fault.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The port on loopback; 0 for a free one.
    pub port: u16,
    /// The share of requests that meet a fault, chosen by the seed, the content and how often it was seen: never by timing.
    /// A content is answered well at the latest at its fourth request.
    pub fault_rate: f64,
    /// The seed of the faults. Answers don't depend on it.
    pub fault_seed: u64,
    /// Faults by rule, looked at before those of the seed.
    pub rules: Vec<Rule>,
    /// The share of questions that are one of four fixed texts, so that different documents ask exactly the same.
    pub duplicate_rate: f64,
    /// The share of documents that are "not suitable" for questions of level 1.
    pub unsuitable_rate: f64,
    /// How long each answer takes.
    pub latency: Duration,
    /// The key to demand; another one is refused with 401 and a message that quotes it, as real servers do.
    pub api_key: Option<String>,
    /// For measuring clients: one fixed answer, nothing parsed, nothing recorded.
    pub instant: bool,
}

/// One request that the server has seen.
#[derive(Clone, Debug, Serialize)]
pub struct Seen {
    /// When it arrived, since the server's start.
    pub at: Duration,
    /// xxh3-128 of the body.
    #[serde(serialize_with = "as_hexadecimal")]
    pub content: u128,
    /// The schema's name, or `answer`.
    pub task: String,
    /// The beginning of the last message.
    pub extract: String,
    /// The fault that it met.
    pub fault: Option<Fault>,
}

/// How often one content was asked.
#[derive(Clone, Debug, Default, Serialize, PartialEq, Eq)]
pub struct Count {
    /// Requests that arrived.
    pub requests: u32,
    /// Requests answered with a completion, whatever its worth, written to the socket in full.
    pub answered: u32,
    /// The schema's name, or `answer`.
    pub task: String,
    /// The beginning of the last message.
    pub extract: String,
    /// The body of the request.
    #[serde(skip)]
    pub body: String,
    /// The body of the last completion; empty when there was none.
    #[serde(skip)]
    pub completion: String,
}

/// A running scripted server. Dropping it stops it and cuts its connections.
pub struct ScriptedServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

struct Shared {
    options: Options,
    started: Instant,
    gate: watch::Sender<bool>,
    record: Mutex<Record>,
    changed: Condvar,
}

#[derive(Default)]
struct Record {
    seen: Vec<Seen>,
    counts: HashMap<u128, Count>,
    script: Script,
    most_open: usize,
    open: usize,
}

impl ScriptedServer {
    /// Starts a server on loopback.
    ///
    /// # Panics
    /// When the port is taken: a test can't go on without its server.
    pub fn start(options: Options) -> Self {
        let shared = Arc::new(Shared::new(options));
        let (stop, stopped) = oneshot::channel();
        let (ready, address) = std::sync::mpsc::channel();
        let server = shared.clone();
        let thread = std::thread::Builder::new()
            .name("scripted-server".into())
            .spawn(move || run(&server, &ready, stopped))
            .expect("the system gives a thread");
        let address = address.recv().expect("the scripted server binds its port");
        ScriptedServer { address, shared, stop: Some(stop), thread: Some(thread) }
    }

    /// The endpoint to configure: `http://127.0.0.1:PORT/v1`.
    pub fn endpoint(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// The address alone.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// All requests so far, in order of arrival.
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.record().seen.clone()
    }

    /// All contents so far, with their counts.
    pub fn counts(&self) -> BTreeMap<u128, Count> {
        self.shared.record().counts.iter().map(|(content, count)| (*content, count.clone())).collect()
    }

    /// How often a content was asked; zero when never.
    pub fn count(&self, content: u128) -> Count {
        self.shared.record().counts.get(&content).cloned().unwrap_or_default()
    }

    /// The most requests that were open at the same time.
    pub fn most_open(&self) -> usize {
        self.shared.record().most_open
    }

    /// Adds a rule, after those that stand already.
    pub fn add_rule(&self, rule: Rule) {
        self.shared.record().script.add(rule);
    }

    /// Takes all rules back: from now on every request is answered well.
    pub fn forget_rules(&self) {
        self.shared.record().script.forget();
    }

    /// Holds every answer back, from now until [`ScriptedServer::resume`]. Requests are seen and counted meanwhile.
    pub fn pause(&self) {
        self.shared.gate.send_replace(false);
    }

    /// Lets the answers go.
    pub fn resume(&self) {
        self.shared.gate.send_replace(true);
    }

    /// Waits until `done` holds of the requests seen; looks each time one arrives.
    ///
    /// # Panics
    /// After a minute: what was waited for never came.
    pub fn wait_until(&self, done: impl Fn(&[Seen]) -> bool) {
        let record = self.shared.record();
        let (_record, outcome) = self
            .shared
            .changed
            .wait_timeout_while(record, Duration::from_secs(60), |record| !done(&record.seen))
            .unwrap_or_else(PoisonError::into_inner);
        assert!(!outcome.timed_out(), "the requests waited for did not arrive within a minute");
    }
}

impl Drop for ScriptedServer {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn new(options: Options) -> Self {
        let script = Script::new(options.rules.clone(), options.fault_seed, options.fault_rate);
        let record = Mutex::new(Record { script, ..Record::default() });
        Shared { options, started: Instant::now(), gate: watch::Sender::new(true), record, changed: Condvar::new() }
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes an arrival and decides its fate.
    fn arrived(&self, content: u128, question: &answers::Question, body: &str) -> Option<Fault> {
        let mut record = self.record();
        let earlier = record.counts.get(&content).map_or(0, |count| count.requests);
        let fault = record.script.fault(content, earlier, body);
        let count = record.counts.entry(content).or_default();
        count.requests += 1;
        count.task.clone_from(&question.task);
        count.extract.clone_from(&question.extract);
        body.clone_into(&mut count.body);
        let (task, extract) = (question.task.clone(), question.extract.clone());
        record.seen.push(Seen { at: self.started.elapsed(), content, task, extract, fault: fault.clone() });
        record.open += 1;
        record.most_open = record.most_open.max(record.open);
        self.changed.notify_all();
        fault
    }

    async fn wait_for_gate(&self) {
        let mut gate = self.gate.subscribe();
        let _ = gate.wait_for(|open| *open).await;
    }
}

fn run(shared: &Arc<Shared>, ready: &std::sync::mpsc::Sender<SocketAddr>, stopped: oneshot::Receiver<()>) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime of one thread starts");
    runtime.block_on(async {
        let listener = TcpListener::bind(("127.0.0.1", shared.options.port)).await.expect("the port on loopback is free");
        let _ = ready.send(listener.local_addr().expect("a bound socket has an address"));
        tokio::select! {
            () = accept(&listener, shared) => {}
            _ = stopped => {}
        }
    });
}

async fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    loop {
        if let Ok((socket, _)) = listener.accept().await {
            let shared = shared.clone();
            tokio::spawn(async move { serve(socket, &shared).await });
        }
    }
}

/// Serves one connection until it ends or a fault cuts it. An error here is the client's going away.
async fn serve(socket: TcpStream, shared: &Shared) {
    let Ok(mut connection) = Connection::new(socket) else { return };
    while let Ok(Some(request)) = connection.next().await {
        let served = match (request.method.as_str(), request.path.as_str()) {
            ("POST", "/v1/chat/completions" | "/v1/embeddings") => complete(&mut connection, &request, shared).await,
            ("GET", "/v1/models") => connection.respond(200, &[], &answers::models()).await.map(|()| true),
            ("GET", "/counts") => connection.respond(200, &[], &counts_as_json(shared)).await.map(|()| true),
            _ => connection.respond(404, &[], &answers::error("no such path")).await.map(|()| true),
        };
        if !served.unwrap_or(false) {
            return;
        }
    }
}

fn counts_as_json(shared: &Shared) -> String {
    let record = shared.record();
    let counts: BTreeMap<String, &Count> =
        record.counts.iter().map(|(content, count)| (format!("{content:032x}"), count)).collect();
    serde_json::to_string(&counts).expect("counts are plain JSON")
}

/// Answers one request; false when the connection is to be cut.
async fn complete(connection: &mut Connection, request: &HttpRequest, shared: &Shared) -> std::io::Result<bool> {
    if shared.options.instant {
        connection.respond(200, &[], answers::FIXED).await?;
        return Ok(true);
    }
    if let Some(refusal) = unauthorized(request, shared.options.api_key.as_deref()) {
        connection.respond(401, &[], &refusal).await?;
        return Ok(true);
    }
    let body = String::from_utf8_lossy(&request.body);
    let content = xxh3_128(&request.body);
    let question = answers::Question::read(&body);
    let fault = shared.arrived(content, &question, &body);
    let outcome = answer(connection, &question, fault.as_ref(), shared).await;
    let mut record = shared.record();
    record.open -= 1;
    let outcome = outcome?;
    if let Served::Completion(completion) = &outcome {
        let count = record.counts.entry(content).or_default();
        count.answered += 1;
        count.completion.clone_from(completion);
    }
    Ok(!matches!(outcome, Served::Cut))
}

enum Served {
    Completion(String),
    Refusal,
    Cut,
}

async fn answer(
    connection: &mut Connection,
    question: &answers::Question,
    fault: Option<&Fault>,
    shared: &Shared,
) -> std::io::Result<Served> {
    shared.wait_for_gate().await;
    if !shared.options.latency.is_zero() {
        tokio::time::sleep(shared.options.latency).await;
    }
    if let Some((status, headers, message)) = fault.and_then(Fault::refusal) {
        let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        connection.respond(status, &headers, &answers::error(&message)).await?;
        return Ok(Served::Refusal);
    }
    let body = question.completion(&shared.options, fault);
    match fault {
        Some(Fault::Stall) => connection.wait_for_close().await.map(|()| Served::Cut),
        Some(Fault::StallInBody) => {
            connection.respond_half(&body).await?;
            connection.wait_for_close().await.map(|()| Served::Cut)
        }
        Some(Fault::Cut) => connection.respond_half(&body).await.map(|()| Served::Cut),
        _ => connection.respond(200, &[], &body).await.map(|()| Served::Completion(body)),
    }
}

/// The refusal of a request that lacks the key; it quotes what was sent.
fn unauthorized(request: &HttpRequest, wanted: Option<&str>) -> Option<String> {
    let wanted = wanted?;
    let given = request.authorization.as_deref().unwrap_or("").trim_start_matches("Bearer ");
    (given != wanted).then(|| answers::error(&format!("Incorrect API key provided: {given}")))
}

fn as_hexadecimal<S: serde::Serializer>(content: &u128, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{content:032x}"))
}
