//! The one write connection of a process, used in turns; the commits of several turns share one `fsync`.
//!
//! A turn lasts from the first append of a transaction to its commit or abort, and holds SQLite's write lock (`BEGIN
//! IMMEDIATE`) all the while. So the order of offsets is the order of visibility, in every process: no reader can pass
//! offset 5 while offset 4 may still be committed. Turns are short: whoever appends commits next.
//!
//! A turn that commits while others wait hands the transaction on instead of closing it; the last of them closes it for
//! all, and each returns after that. A savepoint keeps an aborted turn from touching those before it. Any error of SQLite
//! fails the whole batch, since SQLite may have rolled it back; every writer in it gets the error.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use rusqlite::Connection;

use super::error::{Errors, share};
use crate::{LogError, Result};

/// Above so many turns a batch is closed although others wait.
const TURNS_PER_BATCH: usize = 64;

/// The turns of one process.
pub(super) struct Turns {
    errors: Errors,
    state: Mutex<State>,
    changed: Condvar,
    waiting: AtomicUsize,
    next_ticket: AtomicU64,
    commits: Commits,
}

struct State {
    connection: Connection,
    /// Whose turn it is.
    holder: Option<(Ticket, String)>,
    /// The transaction that turns are collected in.
    batch: Option<Arc<Batch>>,
}

#[derive(Default)]
struct Batch {
    turns: AtomicUsize,
    outcome: OnceLock<Result<()>>,
}

/// The right to write, from [`Turns::begin`] to [`Turns::commit`] or [`Turns::abort`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Ticket(u64);

/// Counts the commits of this process, so that its readers need not wait for their next look at the file.
#[derive(Default)]
pub(super) struct Commits {
    count: Mutex<u64>,
    changed: Condvar,
}

impl Commits {
    /// How many there were.
    pub(super) fn count(&self) -> u64 {
        *self.count.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for one more than `seen`, but not longer than `timeout`.
    pub(super) fn wait_beyond(&self, seen: u64, timeout: Duration) {
        let count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.changed.wait_timeout_while(count, timeout, |count| *count <= seen));
    }

    fn add(&self) {
        *self.count.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.changed.notify_all();
    }
}

impl Turns {
    pub(super) fn new(connection: Connection, errors: Errors) -> Self {
        Turns {
            errors,
            state: Mutex::new(State { connection, holder: None, batch: None }),
            changed: Condvar::new(),
            waiting: AtomicUsize::new(0),
            next_ticket: AtomicU64::new(0),
            commits: Commits::default(),
        }
    }

    pub(super) fn commits(&self) -> &Commits {
        &self.commits
    }

    /// Waits for the turn of `owner`, and takes it.
    pub(super) fn begin(&self, owner: &str) -> Result<Ticket> {
        let ticket = Ticket(self.next_ticket.fetch_add(1, Ordering::Relaxed));
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let mut state = self.wait_while(self.lock(), |state| state.holder.is_some());
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        state.holder = Some((ticket, owner.to_owned()));
        let begun = state.open_turn();
        begun.map_err(|error| self.fail(&mut state, self.errors.of_action("begin a transaction in")(error)))?;
        Ok(ticket)
    }

    /// Uses the connection inside a turn; `None` when the turn was ended by [`Turns::expel`].
    pub(super) fn run<T>(
        &self,
        ticket: Ticket,
        action: &str,
        body: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<Option<T>> {
        let mut state = self.lock();
        if !state.holds(ticket) {
            return Ok(None);
        }
        match body(&state.connection) {
            Ok(value) => Ok(Some(value)),
            Err(error) => Err(self.fail(&mut state, self.errors.of_action(action)(error))),
        }
    }

    /// Ends a turn, and returns when its records are durable; `false` when it was ended by [`Turns::expel`].
    pub(super) fn commit(&self, ticket: Ticket) -> Result<bool> {
        let mut state = self.lock();
        if !state.holds(ticket) {
            return Ok(false);
        }
        if let Err(error) = state.connection.execute_batch("RELEASE turn") {
            return Err(self.fail(&mut state, self.errors.of_action("write")(error)));
        }
        state.holder = None;
        let batch = state.batch.clone().expect("a turn is inside a batch");
        batch.turns.fetch_add(1, Ordering::Relaxed);
        self.close_if_last(&mut state);
        self.changed.notify_all();
        let state = self.wait_while(state, |_| batch.outcome.get().is_none());
        drop(state);
        batch.outcome.get().expect("waited for above").as_ref().map_err(share).copied()?;
        Ok(true)
    }

    /// Ends a turn and takes back what it wrote; does nothing when it has ended already.
    pub(super) fn abort(&self, ticket: Ticket) -> Result<()> {
        let mut state = self.lock();
        if state.holds(ticket) { self.roll_back(&mut state) } else { Ok(()) }
    }

    /// Ends the open turn of a former owner: nothing it wrote in it will ever be seen.
    pub(super) fn expel(&self, owner: &str) -> Result<()> {
        let mut state = self.lock();
        let holds = state.holder.as_ref().is_some_and(|(_, holder)| holder == owner);
        if holds { self.roll_back(&mut state) } else { Ok(()) }
    }

    fn roll_back(&self, state: &mut State) -> Result<()> {
        if let Err(error) = state.connection.execute_batch("ROLLBACK TO turn; RELEASE turn") {
            return Err(self.fail(state, self.errors.of_action("roll back in")(error)));
        }
        state.holder = None;
        self.close_if_last(state);
        self.changed.notify_all();
        Ok(())
    }

    /// Commits the batch for all its turns when nobody waits to join it.
    fn close_if_last(&self, state: &mut State) {
        let turns = state.batch.as_ref().map_or(0, |batch| batch.turns.load(Ordering::Relaxed));
        if self.waiting.load(Ordering::SeqCst) > 0 && turns < TURNS_PER_BATCH {
            return;
        }
        match state.connection.execute_batch("COMMIT") {
            Ok(()) => {
                let batch = state.batch.take().expect("a transaction is open only with a batch");
                batch.outcome.get_or_init(|| Ok(()));
                self.commits.add();
            }
            Err(error) => {
                self.fail(state, self.errors.of_action("commit to")(error));
            }
        }
    }

    /// Gives up the batch: all its turns, the current one included, end with the error.
    fn fail(&self, state: &mut State, error: LogError) -> LogError {
        state.holder = None;
        // SQLite may have rolled back by itself, then there is nothing left to roll back.
        drop(state.connection.execute_batch("ROLLBACK"));
        if let Some(batch) = state.batch.take() {
            batch.outcome.get_or_init(|| Err(share(&error)));
        }
        self.changed.notify_all();
        error
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_while<'a>(
        &self,
        state: MutexGuard<'a, State>,
        condition: impl FnMut(&mut State) -> bool,
    ) -> MutexGuard<'a, State> {
        self.changed.wait_while(state, condition).unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn open_turn(&mut self) -> rusqlite::Result<()> {
        if self.batch.is_none() {
            self.connection.execute_batch("BEGIN IMMEDIATE")?;
            self.batch = Some(Arc::default());
        }
        self.connection.execute_batch("SAVEPOINT turn")
    }

    fn holds(&self, ticket: Ticket) -> bool {
        self.holder.as_ref().is_some_and(|(holder, _)| *holder == ticket)
    }
}
