//! The calls of a training: what the journal knows is not asked, the rest goes through the pool, within the budget.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use anyhow::{Context, bail};
use indicatif::ProgressBar;
use serde::Serialize;
use synthllm_llm::{
    CallError, Completion, EmbeddingRequest, Embeddings, Pool, Priority, Prompts, Request, Task, TaskSettings,
};
use synthllm_operators::answers::AnswerProblem;
use synthllm_operators::budget::{Amount, Kind, Ledger, Limits, Refusal, Reservation};

use super::journal::{Journal, Text};
use crate::config::Config;
use crate::dataflow::{estimate, purse};
use crate::{events, terminal};

/// How long no reply may come before it is said what is waited for.
const SAID_AFTER: Duration = Duration::from_secs(5);

/// A text that shows what the embeddings are like, before many are asked for at once.
const PROBE: &str = "A short text, to learn how many numbers an embedding has.";

/// What was asked for, and paid, by this process.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize)]
pub struct Spent {
    /// Calls that were answered.
    pub calls: u64,
    /// Tokens of prompts and answers.
    pub tokens: u64,
    /// In the currency of the prices.
    pub cost: f64,
    /// Answers that the journal had.
    pub known: u64,
}

/// Asks for texts and embeddings.
pub struct Caller {
    pool: Pool,
    journal: Journal,
    prompts: Arc<Prompts>,
    ledger: Ledger,
    limits: Limits,
    embed: TaskSettings,
    rate: TaskSettings,
    repairs: u32,
    batch: usize,
    known: u64,
}

/// What is sent.
enum Call {
    Text(Request),
    Embeddings(EmbeddingRequest),
}

/// What comes back.
enum Brought {
    Text(Completion),
    Embeddings(Embeddings),
}

/// A call with what it is for.
type Job<T> = (Call, T);

/// A request for a text, which of all it is, and how often it was asked.
struct Inquiry {
    index: usize,
    request: Request,
    attempt: u32,
}

impl Inquiry {
    /// Its identity in the journal. A wrong answer that comes twice makes the same request twice, which is another attempt.
    fn hash(&self, settings: &TaskSettings) -> u128 {
        self.request.canonical_hash(settings).wrapping_add(u128::from(self.attempt))
    }
}

impl Caller {
    /// A caller with the settings of `rate` and `embed`, whose answers are kept in a folder.
    pub fn new(config: &Config, prompts: Arc<Prompts>, work: &Path, batch: usize) -> anyhow::Result<Self> {
        let (rate, embed) = (config.task(Task::Rate)?, config.task(Task::Embed)?);
        let journal = Journal::open(work)?;
        let pool = Pool::new(BTreeMap::from([(Task::Rate, rate.clone()), (Task::Embed, embed.clone())]))?;
        let limits = config.budget.limits();
        let limits = Limits { tokens_per_day: None, cost_per_day: None, ..limits };
        let ledger = Ledger::new(limits, 0, Amount::default());
        let repairs = config.llm.of(Task::Rate).repairs;
        Ok(Caller { pool, journal, prompts, ledger, limits, embed, rate, repairs, batch, known: 0 })
    }

    /// What this process has spent so far.
    pub fn spent(&self) -> Spent {
        let status = self.pool.status();
        Spent { calls: status.calls(), tokens: status.tokens(), cost: status.cost(), known: self.known }
    }

    /// The embedding of a text that was asked for and came.
    pub fn embedding(&self, text: &str) -> Option<&[f32]> {
        self.journal.embedding(EmbeddingRequest::hash_of(text, &self.embed))
    }

    /// Asks for all texts at once. Each answer is looked at by `read`; one that does not fit is asked for again, as often as
    /// `llm.rate.repairs` says. The error of a single text is what was wrong last.
    pub fn ask<T>(
        &mut self,
        what: &str,
        requests: Vec<Request>,
        read: impl Fn(&Text) -> Result<T, AnswerProblem>,
    ) -> anyhow::Result<Vec<Result<T, String>>> {
        let bar = terminal::line();
        let total = requests.len();
        let mut outcomes: Vec<Option<Result<T, String>>> = requests.iter().map(|_| None).collect();
        let mut jobs = VecDeque::new();
        for (index, request) in requests.into_iter().enumerate() {
            let (known, job) = self.next_job(Inquiry { index, request, attempt: 0 }, &read, &mut outcomes);
            self.known += known;
            jobs.extend(job);
        }
        let mut done = total - jobs.len();
        self.exchange(jobs, self.rate.max_in_flight, |caller, inquiry, brought| {
            match brought {
                Ok(Brought::Text(completion)) => {
                    let hash = inquiry.hash(&caller.rate);
                    let Completion { text, truncated, model, .. } = completion;
                    caller.journal.keep_text(hash, Text { text, truncated, model })?;
                }
                Ok(Brought::Embeddings(_)) => unreachable!("a text was asked for"),
                Err(error) => {
                    outcomes[inquiry.index] = Some(Err(error.to_string()));
                    done += 1;
                    return Ok(Vec::new());
                }
            }
            // What was kept is known from now on, and looked at as an answer that always was.
            let (_, next) = caller.next_job(inquiry, &read, &mut outcomes);
            done += usize::from(next.is_none());
            caller.show(&bar, what, done, total);
            Ok(next.into_iter().collect())
        })?;
        bar.finish_and_clear();
        outcomes.into_iter().map(|outcome| outcome.context("a text has no outcome")).collect()
    }

    /// What is still to be asked of an inquiry, after so many answers that are known; nothing when it has its outcome.
    fn next_job<T>(
        &self,
        mut inquiry: Inquiry,
        read: &impl Fn(&Text) -> Result<T, AnswerProblem>,
        outcomes: &mut [Option<Result<T, String>>],
    ) -> (u64, Option<Job<Inquiry>>) {
        let mut known = 0;
        loop {
            let hash = inquiry.hash(&self.rate);
            let Some(text) = self.journal.text(hash) else {
                return (known, Some((Call::Text(inquiry.request.clone()), inquiry)));
            };
            known += 1;
            match read(text) {
                Ok(answer) => {
                    outcomes[inquiry.index] = Some(Ok(answer));
                    return (known, None);
                }
                Err(problem) if inquiry.attempt < self.repairs => {
                    inquiry.request = self.prompts.repair(&inquiry.request, &text.text, &problem.to_string());
                    inquiry.attempt += 1;
                }
                Err(problem) => {
                    outcomes[inquiry.index] = Some(Err(problem.to_string()));
                    return (known, None);
                }
            }
        }
    }

    /// Asks for the embeddings of all texts that are not known. Returns how many could not be had, with the last reason.
    pub fn embed(&mut self, texts: &[&str]) -> anyhow::Result<(usize, Option<String>)> {
        let dimensions = self.dimensions()?;
        self.embed_in_batches(texts, Some(dimensions))
    }

    /// How many numbers an embedding has. It is asked for once, by one text.
    pub fn dimensions(&mut self) -> anyhow::Result<usize> {
        if let Some(embedding) = self.embedding(PROBE) {
            return Ok(embedding.len());
        }
        let (_, reason) = self.embed_in_batches(&[PROBE], None)?;
        if let Some(reason) = reason {
            bail!("no embeddings can be had from {}: {reason}", self.embed.endpoint);
        }
        self.embedding(PROBE).map(<[f32]>::len).context("an embedding that was kept is gone")
    }

    fn embed_in_batches(&mut self, texts: &[&str], dimensions: Option<usize>) -> anyhow::Result<(usize, Option<String>)> {
        let bar = terminal::line();
        let mut wanted: Vec<&str> = texts.iter().copied().filter(|text| self.embedding(text).is_none()).collect();
        self.known += (texts.len() - wanted.len()) as u64;
        wanted.sort_unstable();
        wanted.dedup();
        let job =
            |texts: &[String]| (Call::Embeddings(EmbeddingRequest { inputs: texts.to_vec(), dimensions }), texts.to_vec());
        let owned: Vec<String> = wanted.iter().map(|text| (*text).to_owned()).collect();
        let jobs = owned.chunks(self.batch).map(job).collect();
        let (mut done, mut failed) = (0, (0, None));
        self.exchange(jobs, self.embed.max_in_flight, |caller, texts: Vec<String>, brought| {
            match brought {
                Ok(Brought::Embeddings(embeddings)) => {
                    done += texts.len();
                    let hashes = texts.iter().map(|text| EmbeddingRequest::hash_of(text, &caller.embed));
                    caller.journal.keep_embeddings(hashes.zip(embeddings.vectors).collect())?;
                }
                Ok(Brought::Text(_)) => unreachable!("embeddings were asked for"),
                // One text may be too long, or break the server: the others are asked for without it.
                Err(_) if texts.len() > 1 => {
                    return Ok(texts.chunks(1).map(job).collect());
                }
                Err(error) => failed = (failed.0 + 1, Some(error.to_string())),
            }
            caller.show(&bar, "embedding", done, owned.len());
            Ok(Vec::new())
        })?;
        bar.finish_and_clear();
        Ok(failed)
    }

    fn show(&self, bar: &ProgressBar, what: &str, done: usize, total: usize) {
        let Spent { calls, tokens, cost, .. } = self.spent();
        bar.set_message(format!("{what}: {done} of {total}; {calls} calls, {tokens} tokens, cost {cost:.4}"));
    }

    /// Sends jobs, at most `window` at once, and hands each reply to `then`, which may bring more jobs. What was sent is waited for
    /// in any case, for it is paid for; only then an error is returned.
    fn exchange<T>(
        &mut self,
        mut jobs: VecDeque<Job<T>>,
        window: usize,
        mut then: impl FnMut(&mut Self, T, Result<Brought, CallError>) -> anyhow::Result<Vec<Job<T>>>,
    ) -> anyhow::Result<()> {
        let (sender, replies): (Sender<(u64, _)>, Receiver<_>) = channel();
        let mut waiting: HashMap<u64, (T, Reservation)> = HashMap::new();
        let (mut number, mut stopped) = (0, None);
        loop {
            while waiting.len() < window && stopped.is_none() {
                let Some((call, subject)) = jobs.pop_front() else { break };
                match self.ledger.reserve(self.need(&call)) {
                    Ok(reservation) => {
                        self.send(call, number, &sender);
                        waiting.insert(number, (subject, reservation));
                        number += 1;
                    }
                    Err(Refusal::Later) => {
                        jobs.push_front((call, subject));
                        break;
                    }
                    Err(Refusal::Reached(kind)) => stopped = Some(self.reached(kind)),
                }
            }
            if waiting.is_empty() {
                return stopped.map_or(Ok(()), Err);
            }
            let (answered, brought) = self.next_reply(&replies, waiting.len())?;
            let Some((subject, mut reservation)) = waiting.remove(&answered) else { continue };
            self.ledger.draw(&mut reservation, used(&brought));
            self.ledger.settle(reservation);
            match brought {
                Err(error) if error.is_fatal() || error == CallError::Cancelled => {
                    stopped.get_or_insert(error.into());
                }
                brought => match then(self, subject, brought) {
                    Ok(more) => jobs.extend(more),
                    Err(error) => _ = stopped.get_or_insert(error),
                },
            }
        }
    }

    /// The next reply. Where none comes for a while, it is said what is waited for.
    fn next_reply<R>(&self, replies: &Receiver<R>, waiting: usize) -> anyhow::Result<R> {
        loop {
            match replies.recv_timeout(SAID_AFTER) {
                Ok(reply) => return Ok(reply),
                Err(RecvTimeoutError::Timeout) => {
                    let endpoints = self.pool.status().endpoints;
                    let failing = endpoints.iter().find(|endpoint| endpoint.consecutive_failures > 0);
                    let reason =
                        failing.and_then(|endpoint| Some((endpoint.endpoint.as_str(), endpoint.last_error.as_deref()?)));
                    events::screen::waits(waiting, reason);
                }
                Err(RecvTimeoutError::Disconnected) => bail!("the calls have ended"),
            }
        }
    }

    fn send(&self, call: Call, number: u64, sender: &Sender<(u64, Result<Brought, CallError>)>) {
        let sender = sender.clone();
        // The receiver stays until every reply has come.
        match call {
            Call::Text(request) => self.pool.submit(Priority::of(request.task), &request, move |reply| {
                _ = sender.send((number, reply.map(Brought::Text)));
            }),
            Call::Embeddings(request) => self.pool.embed(&request, move |reply| {
                _ = sender.send((number, reply.map(Brought::Embeddings)));
            }),
        }
    }

    fn need(&self, call: &Call) -> Amount {
        match call {
            Call::Text(request) => {
                estimate::of_body(&self.rate, &request.body(&self.rate), estimate::longest_answer(&self.rate))
            }
            Call::Embeddings(request) => estimate::of_body(&self.embed, &request.body(&self.embed), 0),
        }
    }

    fn reached(&self, kind: Kind) -> anyhow::Error {
        let limit = purse::plain(kind, self.limits.of(kind).unwrap_or_default());
        let spent = purse::shown(kind, self.ledger.spent(kind));
        anyhow::anyhow!(
            "{} = {limit} leaves no room for the next call, {spent} are spent; all answers are kept, and the same command goes on there",
            purse::name(kind),
        )
    }
}

fn used(brought: &Result<Brought, CallError>) -> Amount {
    let (usage, cost) = match brought {
        Ok(Brought::Text(completion)) => (completion.usage, completion.cost),
        Ok(Brought::Embeddings(embeddings)) => (embeddings.usage, embeddings.cost),
        Err(_) => return Amount::default(),
    };
    Amount { tokens: usage.prompt_tokens + usage.completion_tokens, cost: estimate::billionths(cost) }
}
