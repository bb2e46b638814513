//! A shard of a role: what it has read, what is staged for its next commit, and where it stands.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use synthllm_log::{Append, LogName, Writer, read_to_end};
use synthllm_operators::budget::{Amount, Reservation};
use synthllm_operators::codec;
use synthllm_operators::journal::Hit;
use synthllm_operators::ledger::{Ledger, Snapshot};
use synthllm_operators::record::{Answer, JournalKey, Origin, Progress, ProgressKey, Role, ShardProgress};
use timely::worker::Worker;

use super::Context;
use super::bill::{self, Bill};
use super::clock::Barrier;
use super::commit::{Books, Committer, Outputs, Placed, Transaction, progress_append};
use super::purse::Purse;
use super::trim::Trimmer;
use crate::events::{Counter, Counters, Outcome};
use crate::fault;

/// What comes back to a record's shard for the commit.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Made<O> {
    /// The record from which it was made.
    pub origin: Origin,
    /// What was made.
    pub what: What<O>,
}

/// The two things that a shard commits.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum What<O> {
    /// An answer of the model, to be journaled at once.
    Answered(JournalKey, Answer),
    /// An output, to be written when the frontier has passed its epoch.
    Output(O),
}

/// What a role makes of the outputs of a snapshot.
pub struct Prepared {
    /// See [`Transaction::texts`].
    pub texts: Vec<Append>,
    /// See [`Transaction::outputs`].
    pub outputs: Outputs,
    /// See [`Transaction::placed`].
    pub placed: Option<Placed>,
    /// Input records by outcome: written, skipped, superseded, dead-lettered.
    pub outcomes: [u64; 4],
    /// Further counts.
    pub counters: Vec<(Counter, u64)>,
}

/// A shard of a role on this worker.
pub struct Shard<O> {
    /// Its number, which is its input partition.
    pub number: u32,
    /// Where it stands, as of the last order.
    pub progress: ShardProgress,
    ledger: Ledger<O>,
    journal: Option<LogName>,
    trimmer: Arc<Trimmer>,
    /// What records under way may still spend, by offset.
    reservations: BTreeMap<u64, Reservation>,
    /// What stored records under way may still spend, together.
    aside: Option<Reservation>,
    bill: Bill,
    purse: Arc<Purse>,
    committer: Committer,
    role: Role,
    counters: Arc<Counters>,
}

impl<O> Shard<O> {
    /// Everything up to `position` has been read in `epoch`.
    pub fn has_read(&mut self, epoch: u64, position: u64, records: usize, bytes: usize) {
        self.ledger.has_read(epoch, position, records, bytes);
    }

    /// The answers of earlier runs about a subject; from now on they are kept for the record at `origin`.
    pub fn hits_for(&mut self, origin: u64, subject: &str) -> Vec<Hit> {
        self.ledger.hits_for(origin, subject)
    }

    /// The subjects about which earlier runs have answers that were asked for where reading goes on.
    pub fn subjects_here(&self) -> Vec<String> {
        self.ledger.subjects_here()
    }

    /// Sets aside what the record at `origin` may spend at most. False when it may not begin yet.
    pub fn reserve(&mut self, origin: u64, need: Amount) -> bool {
        let Some(reservation) = self.purse.reserve(need) else { return false };
        self.reservations.insert(origin, reservation);
        true
    }

    /// Sets aside what a stored record may spend at most. False when it may not begin yet. Settled when nothing is under way: all of
    /// them have the origin at which reading goes on, and none is read meanwhile.
    pub fn reserve_aside(&mut self, need: Amount) -> bool {
        let Some(more) = self.purse.reserve(need) else { return false };
        self.aside = Some(match self.aside.take() {
            Some(reservation) => reservation.plus(more),
            None => more,
        });
        true
    }

    /// Something was made of a record that was read in `epoch`.
    pub fn stage(&mut self, epoch: u64, made: Made<O>) {
        match made.what {
            What::Answered(key, answer) => {
                let used = bill::of_answer(&answer);
                let day = self.purse.draw(self.reservations.get_mut(&made.origin.offset).or(self.aside.as_mut()), used);
                self.bill.add(day, used);
                self.ledger.answered(epoch, key, answer);
            }
            What::Output(output) => self.ledger.made(epoch, made.origin, output),
        }
    }

    /// Records and bytes that were read and are not committed.
    pub fn in_flight(&self) -> (usize, usize) {
        self.ledger.in_flight()
    }

    /// Whether everything that was read is committed.
    pub fn is_empty(&self) -> bool {
        self.committer.idle() && self.ledger.is_empty()
    }

    /// Whether outputs wait to be committed at this frontier.
    pub fn has_outputs(&self, frontier: u64) -> bool {
        self.ledger.has_outputs(frontier)
    }

    /// Whether no transaction is under way.
    pub fn idle(&self) -> bool {
        self.committer.idle()
    }

    /// Since when a transaction is under way, if one is.
    pub fn commits_since(&self) -> Option<Instant> {
        self.committer.under_way_since()
    }

    /// Whether nothing waits to be committed at this frontier, and no transaction is under way.
    pub fn quiet(&self, frontier: u64) -> bool {
        self.committer.idle() && self.ledger.is_quiet(frontier)
    }

    /// Takes note of a confirmed transaction, and has the journal trimmed below what it leaves. Returns whether there was one.
    pub fn confirm(&mut self) -> Result<bool> {
        let Some(confirmed) = self.committer.confirmed()? else { return Ok(false) };
        let below = self.ledger.confirmed(confirmed.position, confirmed.low_mark, confirmed.answers);
        self.progress.low_mark = below;
        if let Some(journal) = self.journal.filter(|_| below > 0) {
            self.trimmer.below(journal, self.number, below);
        }
        Ok(true)
    }

    /// Orders a transaction from one snapshot of the frontier, if it is time for one and there is something to commit:
    /// `prepare` makes its records from the outputs of all epochs before `frontier`. `owed` says that `prepare` has
    /// something to write even without outputs. Returns whether one was ordered.
    pub fn commit(
        &mut self,
        frontier: u64,
        owed: bool,
        prepare: impl FnOnce(&mut ShardProgress, Vec<(Origin, O)>) -> Result<Prepared>,
    ) -> Result<bool> {
        if self.ledger.is_empty() {
            self.aside.take().into_iter().for_each(|reservation| self.purse.settle(reservation));
        }
        if !(owed || self.ledger.is_due(frontier)) || !self.committer.ready() {
            return Ok(false);
        }
        let Snapshot { outputs, answers, position, needs } = self.ledger.snapshot(frontier);
        let beyond: Vec<u64> =
            outputs.iter().map(|(origin, _)| origin.offset).filter(|offset| *offset >= position).collect();
        self.progress.position = position;
        self.bill.enter(self.purse.run(), &mut self.progress.counters);
        let prepared = prepare(&mut self.progress, outputs)?;
        self.count(&prepared);
        let Prepared { texts, outputs, placed, .. } = prepared;
        self.committer.order(Transaction { texts, outputs, placed, answers, progress: self.progress.clone(), needs })?;
        let under_way = self.reservations.split_off(&position);
        let settled = std::mem::replace(&mut self.reservations, under_way).into_values();
        // What was made without reading a record has an origin that no record has yet.
        let settled = settled.chain(beyond.iter().filter_map(|offset| self.reservations.remove(offset)));
        settled.for_each(|reservation| self.purse.settle(reservation));
        Ok(true)
    }

    fn count(&mut self, prepared: &Prepared) {
        let sums = self.progress.outcomes.iter_mut().zip(prepared.outcomes);
        for ((sum, more), outcome) in sums.zip(Outcome::ALL) {
            *sum += more;
            // Dead letters are counted with their log line, when they are made.
            if outcome != Outcome::DeadLettered {
                self.counters.outcome(self.role, outcome, more);
            }
        }
        for &(counter, more) in prepared.counters.iter().filter(|(_, more)| *more > 0) {
            *self.progress.counters.entry(counter.name().to_owned()).or_default() += more;
            self.counters.add(self.role, counter, more);
        }
    }
}

/// Reads where this worker's shards of a role stand: the start of protocol.md up to the gate, without the role's own state
/// logs.
pub fn open<O>(
    context: &Context,
    role: Role,
    writers: Vec<(u32, Box<dyn Writer>)>,
    journal: Option<LogName>,
) -> Result<(Vec<Shard<O>>, Standing)> {
    let standing = read_progress(context)?;
    let mut shards = Vec::new();
    for (number, writer) in writers {
        let progress = progress_of(&standing.progress, role, number, context.partitions)?;
        let ledger = read_journal(context, journal, number, &progress)?;
        let books = Books { key: (role, number), journal };
        let interval = context.config.run.commit_interval;
        let committer = Committer::start(writer, books, interval, std::thread::current());
        shards.push(Shard {
            number,
            progress,
            ledger,
            journal,
            trimmer: context.trimmer.clone(),
            reservations: BTreeMap::new(),
            aside: None,
            bill: Bill::default(),
            purse: Arc::clone(&context.purse),
            committer,
            role,
            counters: Arc::clone(&context.counters),
        });
    }
    Ok((shards, standing))
}

/// The writers of this worker's shards, for the roles that are still to be started.
pub struct Writers(Vec<(Role, u32, Box<dyn Writer>)>);

impl Writers {
    /// Becomes the owner of this worker's shards of all roles, makes sure that they are its own once all workers have done so (a rule
    /// that protocol.md lacks, found by the model), and returns when all have: only then may any state be read. All roles at once,
    /// because `progress` is one log: a transaction that a killed process left open in one role would keep the others from reading
    /// on until the broker gives it up.
    pub fn fence(worker: &mut Worker, context: &Context, roles: &[Role]) -> Result<Self> {
        let shards = |role: Role| {
            let count = if role == Role::Extract { context.partitions.0 } else { context.partitions.1 };
            super::shards_of(worker, count).into_iter().map(move |number| (role, number))
        };
        let owned: Vec<(Role, u32)> = roles.iter().copied().flat_map(shards).collect();
        let mut writers = become_writers(context, &owned)?;
        Barrier::new(worker).wait(worker, context)?;
        fault::point("fenced");
        confirm_ownership(context, &mut writers)?;
        Barrier::new(worker).wait(worker, context)?;
        context.purse.open(|day| spent_on(context, roles, day))?;
        Ok(Writers(writers))
    }

    /// Hands over the writers of a role.
    pub fn of(&mut self, role: Role) -> Vec<(u32, Box<dyn Writer>)> {
        let (own, others) = std::mem::take(&mut self.0).into_iter().partition(|(of, ..)| *of == role);
        self.0 = others;
        let own: Vec<(Role, u32, Box<dyn Writer>)> = own;
        own.into_iter().map(|(_, number, writer)| (number, writer)).collect()
    }
}

/// Becomes the writer of each shard, of all at the same time: a broker takes a good part of a second for each.
fn become_writers(context: &Context, owned: &[(Role, u32)]) -> Result<Vec<(Role, u32, Box<dyn Writer>)>> {
    let become_writer = |(role, number): (Role, u32)| {
        let owner = format!("{}.{}.{number}", context.config.app, role.name());
        let writer = context.log.writer(&owner).with_context(|| format!("can't become the writer {owner}"))?;
        Ok((role, number, writer))
    };
    std::thread::scope(|scope| {
        let started: Vec<_> = owned.iter().map(|&shard| scope.spawn(move || become_writer(shard))).collect();
        started.into_iter().map(|thread| thread.join().expect("becoming a writer does not panic")).collect()
    })
}

/// Commits the progress of each shard as it stands. Two processes that start at the same time may each fence the other on some
/// shards and own the rest; a former owner can't commit, so that at most one of them goes on with all shards. Nothing is written when
/// the progress of any shard is refused.
fn confirm_ownership(context: &Context, writers: &mut [(Role, u32, Box<dyn Writer>)]) -> Result<()> {
    let standing = read_progress(context)?;
    let found = |(role, number, _): &(Role, u32, _)| progress_of(&standing.progress, *role, *number, context.partitions);
    let progress: Vec<ShardProgress> = writers.iter().map(found).collect::<Result<_>>()?;
    let confirm = |role: Role, number: u32, writer: &mut dyn Writer, progress: ShardProgress| {
        let append = progress_append(&ProgressKey::Shard(role, number), &Progress::Shard(progress));
        let owned = writer.append(vec![append]).and_then(|_| writer.commit());
        owned.with_context(|| format!("can't confirm to be the writer of {}/{number}", role.name()))
    };
    std::thread::scope(|scope| {
        let started: Vec<_> = writers
            .iter_mut()
            .zip(progress)
            .map(|((role, number, writer), progress)| {
                let (role, number, writer) = (*role, *number, writer.as_mut());
                let confirm = &confirm;
                scope.spawn(move || confirm(role, number, writer, progress))
            })
            .collect();
        started.into_iter().try_for_each(|thread| thread.join().expect("a commit does not panic"))
    })
}

/// Everything in `progress`, the last value of each key, and where reading goes on.
pub struct Standing {
    /// The values.
    pub progress: Vec<(ProgressKey, Progress)>,
    /// The next offset of each partition.
    pub positions: Vec<(u32, u64)>,
}

/// Reads `progress` to its end.
pub fn read_progress(context: &Context) -> Result<Standing> {
    let mut latest: HashMap<Vec<u8>, Vec<u8>> = HashMap::new();
    let from = super::from_start(&context.log, LogName::Progress)?;
    let positions = read_to_end(
        &context.log,
        LogName::Progress,
        &from,
        |record| {
            if let (Some(key), Some(value)) = (record.key, record.value) {
                latest.insert(key, value);
            }
        },
        |_, _| (),
    )?;
    let progress = latest.iter().map(|(key, value)| progress_record(key, value)).collect::<Result<_>>()?;
    Ok(Standing { progress, positions })
}

/// What the shards of these roles have spent on a day, and what all have.
fn spent_on(context: &Context, roles: &[Role], day: u64) -> Result<[Amount; 2]> {
    let [mut own, mut all] = [Amount::default(); 2];
    for (key, progress) in read_progress(context)?.progress {
        if let (ProgressKey::Shard(role, _), Progress::Shard(shard)) = (key, progress) {
            let spent = bill::spent_on(&shard.counters, day);
            all = all.plus(spent);
            own = if roles.contains(&role) { own.plus(spent) } else { own };
        }
    }
    Ok([own, all])
}

/// A record of `progress`.
pub fn progress_record(key: &[u8], value: &[u8]) -> Result<(ProgressKey, Progress)> {
    let key = String::from_utf8_lossy(key);
    let progress = codec::decode(value).with_context(|| format!("can't read progress of {key}"))?;
    Ok((key.parse().with_context(|| format!("unknown key {key:?} in progress"))?, progress))
}

fn progress_of(all: &[(ProgressKey, Progress)], role: Role, number: u32, partitions: (u32, u32)) -> Result<ShardProgress> {
    let found = all.iter().find(|(key, _)| *key == ProgressKey::Shard(role, number));
    let Some((_, Progress::Shard(progress))) = found else {
        return Ok(ShardProgress { partitions, ..ShardProgress::default() });
    };
    anyhow::ensure!(
        progress.partitions == partitions,
        "{}/{number} was written with N = {} and P = {}, the logs now have N = {} and P = {}; \
         the numbers of partitions are fixed at creation: restore them, or begin with another `app` and `log.prefix`",
        role.name(),
        progress.partitions.0,
        progress.partitions.1,
        partitions.0,
        partitions.1,
    );
    Ok(progress.clone())
}

fn read_journal<O>(context: &Context, journal: Option<LogName>, number: u32, progress: &ShardProgress) -> Result<Ledger<O>> {
    let open = |found, end| Ledger::open(progress.position, progress.low_mark, found, end);
    let Some(journal) = journal else { return Ok(open(Vec::new(), 0)) };
    let from = progress.low_mark.max(context.log.start(journal, number)?);
    let mut records = Vec::new();
    let ends = read_to_end(&context.log, journal, &[(number, from)], |record| records.push(record), |_, _| ())?;
    let mut found = Vec::new();
    for record in records {
        let (Some(key), Some(value)) = (&record.key, &record.value) else { continue };
        let place = || format!("can't read {}/{number} at offset {}", journal.name(), record.offset);
        let key: JournalKey = codec::decode(key).with_context(place)?;
        let answer: Answer = codec::decode(value).with_context(place)?;
        found.push(Hit { key, offset: record.offset, answer });
    }
    Ok(open(found, ends.first().map_or(from, |end| end.1)))
}
