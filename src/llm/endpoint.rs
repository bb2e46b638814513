//! One endpoint with its calls: who is sent next, how many at once, and what a failure leads to.
//!
//! A call leaves the queue for the wire when the limit allows it and the endpoint is not backing off. A failed try gives its
//! place on the wire back at once and waits outside. A failure is charged to a call's attempts only when it may be the call's
//! own: never a 429; an unreachable or unavailable endpoint only when it answered somebody else in the meantime; anything else
//! unless the endpoint is down for everybody. While it is down, one call at a time looks whether it is back.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

use crate::client::{Cause, Failure, Target, Transient};
use crate::embedding::{Answered, Reading};
use crate::error::CallError;
use crate::limits::Limit;
use crate::pool::Priority;
use crate::retry::Backoff;
use crate::status::EndpointStatus;

/// So many different calls that failed in a row mean that the endpoint is down.
const DOWN_AFTER: usize = 4;

/// So many failures of one call are forgiven while the endpoint is down, unless they are the endpoint's for certain. It bounds a
/// run whose last calls all fail by their own fault.
const FORGIVEN: u32 = 20;

/// The caller's function, called exactly once: dropping it unused is a cancellation.
pub(crate) struct Reply(Option<Box<dyn FnOnce(Result<Answered, CallError>) + Send>>);

impl Reply {
    pub fn new(reply: impl FnOnce(Result<Answered, CallError>) + Send + 'static) -> Self {
        Reply(Some(Box::new(reply)))
    }

    pub fn send(mut self, outcome: Result<Answered, CallError>) {
        if let Some(reply) = self.0.take() {
            reply(outcome);
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if let Some(reply) = self.0.take() {
            reply(Err(CallError::Cancelled));
        }
    }
}

/// A call on its way to an answer.
pub(crate) struct Call {
    pub id: u64,
    pub priority: Priority,
    pub target: Arc<Target>,
    pub body: String,
    pub reading: Reading,
    pub reply: Reply,
    pub failures: Failures,
}

/// The failed tries of a call.
#[derive(Clone, Copy, Default)]
pub(crate) struct Failures {
    all: u32,
    charged: u32,
    forgiven: u32,
}

/// The state of an endpoint on the wire's side, shared by the tasks of its calls.
pub(crate) struct Endpoint {
    address: String,
    client: reqwest::Client,
    runtime: Handle,
    state: Mutex<State>,
}

struct State {
    queues: [VecDeque<Call>; Priority::COUNT],
    /// Calls outside, until their next try.
    resting: usize,
    /// By number, so that the first is the oldest.
    on_the_wire: BTreeMap<u64, Instant>,
    next_number: u64,
    limit: Limit,
    silent_until: Option<Instant>,
    alarm_is_set: bool,
    /// The pauses since the last answer, each after a look at an endpoint that is down.
    looks: u32,
    /// The calls that failed since the last answer, by id.
    failed_in_a_row: BTreeSet<u64>,
    closed: bool,
    totals: EndpointStatus,
}

/// A try on the wire.
struct Attempt {
    call: Call,
    number: u64,
    generation: u64,
    answered_before: u64,
    looks_before: u32,
}

/// What to do with a call after a failure.
enum Verdict {
    Retry(Duration),
    GiveUp(CallError),
}

impl Endpoint {
    pub fn new(address: &str, max_in_flight: usize, client: reqwest::Client, runtime: Handle) -> Arc<Self> {
        let state = State {
            queues: Default::default(),
            resting: 0,
            on_the_wire: BTreeMap::new(),
            next_number: 0,
            limit: Limit::new(max_in_flight),
            silent_until: None,
            alarm_is_set: false,
            looks: 0,
            failed_in_a_row: BTreeSet::new(),
            closed: false,
            totals: EndpointStatus { endpoint: address.to_owned(), ..EndpointStatus::default() },
        };
        Arc::new(Endpoint { address: address.to_owned(), client, runtime, state: Mutex::new(state) })
    }

    /// Takes a new call.
    pub fn submit(self: &Arc<Self>, call: Call) {
        let mut state = self.state();
        if state.closed {
            drop(state);
            return call.reply.send(Err(CallError::Cancelled));
        }
        state.queues[call.priority as usize].push_back(call);
        drop(state);
        self.pump();
    }

    /// Refuses what comes, and gives back what waits; to be dropped by the caller, outside any lock.
    pub fn close(&self) -> Vec<Call> {
        let mut state = self.state();
        state.closed = true;
        state.queues.iter_mut().flat_map(std::mem::take).collect()
    }

    /// A snapshot.
    pub fn status(&self) -> EndpointStatus {
        let state = self.state();
        let now = Instant::now();
        EndpointStatus {
            in_flight: state.on_the_wire.len(),
            limit: state.limit.allowed(),
            waiting: state.resting + state.queues.iter().map(VecDeque::len).sum::<usize>(),
            backing_off: state.silent_until.and_then(|until| until.checked_duration_since(now)),
            down: state.is_down(),
            oldest_call: state.on_the_wire.values().next().map(|started| now - *started),
            ..state.totals.clone()
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends what may be sent. Tasks are spawned outside the lock: on a runtime that is gone, spawning drops the call, and its
    /// reply may ask for the status.
    fn pump(self: &Arc<Self>) {
        let (attempts, alarm) = self.state().take_ready(Instant::now());
        for attempt in attempts {
            let endpoint = self.clone();
            self.runtime.spawn(async move { endpoint.run(attempt).await });
        }
        if let Some(at) = alarm {
            let endpoint = self.clone();
            self.runtime.spawn(async move {
                tokio::time::sleep_until(at.into()).await;
                endpoint.state().alarm_is_set = false;
                endpoint.pump();
            });
        }
    }

    async fn run(self: Arc<Self>, attempt: Attempt) {
        let outcome = attempt.call.target.attempt(&self.client, &attempt.call.body, attempt.call.reading).await;
        match outcome {
            Ok(answered) => {
                self.state().answered(attempt.number, Some(&answered));
                self.pump();
                attempt.call.reply.send(Ok(answered));
            }
            Err(Failure::Final(error)) => {
                self.state().answered(attempt.number, None);
                tracing::debug!(endpoint = %self.address, %error, "a call was refused");
                self.pump();
                attempt.call.reply.send(Err(error));
            }
            Err(Failure::Transient(failure)) => self.retry_or_give_up(attempt, failure).await,
        }
    }

    async fn retry_or_give_up(self: &Arc<Self>, mut attempt: Attempt, failure: Transient) {
        let verdict = self.state().failed(&mut attempt, &failure);
        tracing::debug!(endpoint = %self.address, error = failure.message, failures = attempt.call.failures.all, "a try failed");
        self.pump();
        match verdict {
            Verdict::GiveUp(error) => attempt.call.reply.send(Err(error)),
            Verdict::Retry(wait) => {
                tokio::time::sleep(wait).await;
                self.return_to_queue(attempt.call);
            }
        }
    }

    /// A call whose wait is over goes before those that never were sent; when the endpoint is down it goes behind them, so that
    /// each look at the endpoint is made with another call.
    fn return_to_queue(self: &Arc<Self>, call: Call) {
        let mut state = self.state();
        state.resting -= 1;
        if state.closed {
            drop(state);
            return;
        }
        let down = state.is_down();
        let queue = &mut state.queues[call.priority as usize];
        if down {
            queue.push_back(call);
        } else {
            queue.push_front(call);
        }
        drop(state);
        self.pump();
    }
}

impl State {
    fn is_down(&self) -> bool {
        self.failed_in_a_row.len() >= DOWN_AFTER
    }

    /// The calls that may be sent now, and the moment to look again if nothing may be sent before.
    fn take_ready(&mut self, now: Instant) -> (Vec<Attempt>, Option<Instant>) {
        if let Some(until) = self.silent_until.filter(|until| *until > now) {
            let set = self.alarm_is_set || self.closed;
            self.alarm_is_set = true;
            return (Vec::new(), (!set).then_some(until));
        }
        self.silent_until = None;
        let mut attempts = Vec::new();
        while self.on_the_wire.len() < self.limit.allowed() {
            let Some(call) = self.queues.iter_mut().rev().find_map(VecDeque::pop_front) else { break };
            attempts.push(self.start(call, now));
        }
        (attempts, None)
    }

    fn start(&mut self, call: Call, now: Instant) -> Attempt {
        let number = self.next_number;
        self.next_number += 1;
        self.on_the_wire.insert(number, now);
        Attempt {
            call,
            number,
            generation: self.limit.generation(),
            answered_before: self.totals.calls,
            looks_before: self.looks,
        }
    }

    /// The endpoint answered, be it with a refusal: it is up.
    fn answered(&mut self, number: u64, answered: Option<&Answered>) {
        self.on_the_wire.remove(&number);
        self.failed_in_a_row.clear();
        self.looks = 0;
        self.limit.answered();
        self.totals.consecutive_failures = 0;
        if let Some(answered) = answered {
            self.totals.calls += 1;
            self.totals.prompt_tokens += answered.usage().prompt_tokens;
            self.totals.completion_tokens += answered.usage().completion_tokens;
            self.totals.cost += answered.cost();
        }
    }

    fn failed(&mut self, attempt: &mut Attempt, failure: &Transient) -> Verdict {
        self.on_the_wire.remove(&attempt.number);
        self.note(attempt, failure);
        let others_were_answered = self.totals.calls > attempt.answered_before;
        self.charge(&mut attempt.call.failures, failure.cause, others_were_answered);
        let settings = &attempt.call.target.settings;
        if attempt.call.failures.charged >= settings.attempts {
            let last = failure.message.clone();
            return Verdict::GiveUp(CallError::Exhausted { attempts: attempt.call.failures.all, last });
        }
        self.resting += 1;
        Verdict::Retry(self.back_off(attempt, failure, settings.backoff))
    }

    fn note(&mut self, attempt: &Attempt, failure: &Transient) {
        self.totals.failures += 1;
        self.totals.consecutive_failures += 1;
        self.totals.last_error = Some(failure.message.clone());
        self.failed_in_a_row.insert(attempt.call.id);
        if failure.cause.is_overload() {
            self.limit.overloaded(attempt.generation);
        }
    }

    fn charge(&self, failures: &mut Failures, cause: Cause, others_were_answered: bool) {
        failures.all += 1;
        let own = match cause {
            Cause::Throttled => false,
            Cause::Unavailable => others_were_answered,
            Cause::Slow | Cause::Broken => {
                failures.forgiven += u32::from(self.is_down());
                !self.is_down() || failures.forgiven > FORGIVEN
            }
        };
        failures.charged += u32::from(own);
    }

    /// How long this call waits; a wait that is the endpoint's holds everybody back. That one grows with each look: calls that were
    /// on the wire together are one, or a short restart under many calls would end in the longest wait at once.
    fn back_off(&mut self, attempt: &Attempt, failure: &Transient, backoff: Backoff) -> Duration {
        let now = Instant::now();
        if let Some(wait) = failure.retry_after {
            self.hold_back_until(now + wait);
            return wait;
        }
        if self.is_down() {
            self.limit.collapse();
            if attempt.looks_before == self.looks {
                self.looks += 1;
                self.hold_back_until(now + backoff.delay(self.looks, fastrand::f64()));
            }
        }
        backoff.delay(attempt.call.failures.all, fastrand::f64())
    }

    fn hold_back_until(&mut self, moment: Instant) {
        self.silent_until = Some(self.silent_until.map_or(moment, |until| until.max(moment)));
    }
}
