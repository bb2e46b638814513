//! A shard's commits, on a thread of its own: one transaction at a time, in order, each from one snapshot of the frontier.
//!
//! Any error, fencing included, is handed to the worker, which ends the process: a restart is the only error handling
//! (protocol.md, "A shard's commit").

use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::{Thread, spawn};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use synthllm_log::{Append, LogName, Place, Writer};
use synthllm_operators::codec;
use synthllm_operators::ledger::Needs;
use synthllm_operators::record::{Answer, JournalKey, Progress, ProgressKey, ShardProgress};

use crate::fault;

/// The records of a transaction that depend on where its texts lie.
pub type Outputs = Box<dyn FnOnce(&[Place]) -> Vec<Append> + Send>;

/// Told where the records of a transaction lie, those that depend on its texts, in their order; before they are committed.
pub type Placed = Box<dyn FnOnce(&[Place]) + Send>;

/// One transaction of a shard.
pub struct Transaction {
    /// Records whose places the outputs need.
    pub texts: Vec<Append>,
    /// The outputs of all epochs that the frontier has passed.
    pub outputs: Outputs,
    /// Who wants to know where they lie.
    pub placed: Option<Placed>,
    /// Answers received for epochs beyond it, for the shard's partition of the journal.
    pub answers: Vec<(JournalKey, Answer)>,
    /// Where the shard stands after it; the low mark is set by the committer.
    pub progress: ShardProgress,
    /// What the low mark depends on, this transaction's answers aside.
    pub needs: Needs,
}

/// What is known once a transaction is confirmed.
pub struct Confirmed {
    /// Where the shard stands.
    pub position: u64,
    /// The journal's low mark.
    pub low_mark: u64,
    /// The answers that are in the journal now: origin and journal offset.
    pub answers: Vec<(u64, u64)>,
}

/// A shard's writer and its thread.
pub struct Committer {
    orders: Sender<Transaction>,
    confirmations: Receiver<Result<Confirmed>>,
    idle: bool,
    interval: Duration,
    last: Option<Instant>,
}

/// Which records a committer writes beside the outputs.
#[derive(Clone, Copy)]
pub struct Books {
    /// The key of the shard's progress.
    pub key: (synthllm_operators::record::Role, u32),
    /// The journal whose partition of this shard's number it owns, if it has one.
    pub journal: Option<LogName>,
}

impl Committer {
    /// Starts the thread of a shard whose writer has been created (and whose former owner is thereby fenced).
    pub fn start(writer: Box<dyn Writer>, books: Books, interval: Duration, wake: Thread) -> Self {
        let (orders, inbox) = channel::<Transaction>();
        let (outbox, confirmations) = channel();
        spawn(move || {
            let mut clerk = Clerk { writer, books };
            for transaction in inbox {
                let outcome = clerk.carry_out(transaction);
                let failed = outcome.is_err();
                let gone = outbox.send(outcome).is_err();
                wake.unpark();
                if failed || gone {
                    break;
                }
            }
        });
        Committer { orders, confirmations, idle: true, interval, last: None }
    }

    /// Whether a transaction may be ordered now: none is under way, and the last was an interval ago.
    pub fn ready(&self) -> bool {
        self.idle() && self.last.is_none_or(|last| last.elapsed() >= self.interval)
    }

    /// Whether no transaction is under way.
    pub fn idle(&self) -> bool {
        self.idle
    }

    /// Since when a transaction is under way, if one is.
    pub fn under_way_since(&self) -> Option<Instant> {
        self.last.filter(|_| !self.idle)
    }

    /// Orders a transaction.
    pub fn order(&mut self, transaction: Transaction) -> Result<()> {
        anyhow::ensure!(self.idle, "one transaction at a time");
        self.idle = false;
        self.last = Some(Instant::now());
        fault::point("snapshot taken");
        self.orders.send(transaction).map_err(|_| anyhow!("the commit thread has ended"))
    }

    /// The confirmation of the transaction under way, once it is there.
    pub fn confirmed(&mut self) -> Result<Option<Confirmed>> {
        match self.confirmations.try_recv() {
            Ok(outcome) => {
                self.idle = true;
                outcome.map(Some)
            }
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => Err(anyhow!("the commit thread has ended")),
        }
    }
}

/// The thread's side: the writer, and what the books say.
struct Clerk {
    writer: Box<dyn Writer>,
    books: Books,
}

impl Clerk {
    fn carry_out(&mut self, transaction: Transaction) -> Result<Confirmed> {
        let Transaction { texts, outputs, placed, answers, mut progress, needs } = transaction;
        let text_count = texts.len();
        let mut first = texts;
        first.extend(answers.iter().map(|(key, answer)| self.journal_record(key, answer)));
        let places = self.append(first).context("can't write answers and texts")?;
        fault::point("journal produced");
        let (text_places, answer_places) = places.split_at(text_count);
        let first_new = answer_places.first().map(|place| place.offset);
        progress.low_mark = needs.low_mark(first_new);
        let mut second = outputs(text_places);
        second.push(self.progress_record(&progress));
        let places = self.append(second).context("can't write outputs")?;
        placed.into_iter().for_each(|placed| placed(&places));
        fault::point("outputs produced");
        fault::point("before commit");
        self.writer.commit().context("can't commit")?;
        fault::point("commit confirmed");
        let origins = answers.iter().map(|(_, answer)| answer.origin.offset);
        let answers = origins.zip(answer_places.iter().map(|place| place.offset)).collect();
        Ok(Confirmed { position: progress.position, low_mark: progress.low_mark, answers })
    }

    fn append(&mut self, records: Vec<Append>) -> Result<Vec<Place>> {
        if records.is_empty() {
            return Ok(Vec::new());
        }
        Ok(self.writer.append(records)?)
    }

    fn journal_record(&self, key: &JournalKey, answer: &Answer) -> Append {
        Append {
            log: self.books.journal.expect("only roles that ask the model have answers, and they have a journal"),
            partition: Some(self.books.key.1),
            key: Some(codec::encode(key)),
            value: Some(codec::encode(answer)),
        }
    }

    fn progress_record(&self, progress: &ShardProgress) -> Append {
        let (role, shard) = self.books.key;
        progress_append(&ProgressKey::Shard(role, shard), &Progress::Shard(progress.clone()))
    }
}

/// A record of `progress`.
pub fn progress_append(key: &ProgressKey, value: &Progress) -> Append {
    Append {
        log: LogName::Progress,
        partition: None,
        key: Some(key.to_string().into_bytes()),
        value: Some(codec::encode(value)),
    }
}
