//! Reconciles shards that were not at the end of `documents` for longer than it keeps deletions (protocol.md, "Reconciliation").
//!
//! Reading pauses until what the shards have in flight is committed. Then their partitions are read from the beginning, keys only,
//! and `extractions` after them; the tombstones owed and the new time are one transaction of each shard, and reading goes on.
//! For the decision, and what it takes, see [`synthllm_operators::reconcile`].

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::super::Context;
use super::super::flow::Flow;
use super::super::status::Loading;
use super::caught_up::{CaughtUp, now};
use super::decision::{Decision, Incoming};
use anyhow::{Context as _, Result};
use serde::de::DeserializeOwned;
use synthllm_log::{LogName, Reader, Record};
use synthllm_operators::codec;
use synthllm_operators::id::DocumentId;
use synthllm_operators::reconcile::Reconciliation;
use synthllm_operators::record::{ExtractionHead, Role, ScoredHead, ShardProgress};

/// Records are read in batches of at most so many.
const READ_AT_ONCE: usize = 10_000;
/// While it is read, compaction may take a record because a later one has come. So what came meanwhile is read too, until
/// nothing has, or so often: a document could only be missed that was changed and compacted in each of these ever shorter times.
const MOST_LEGS: u32 = 5;
/// A run reconciles at most so often after its start, however soon deletions are forgotten.
const PAUSE: Duration = Duration::from_secs(60);

/// The one reconciliation that may be under way on a worker.
pub(super) struct Reconciler {
    caught_up: CaughtUp,
    stage: Stage,
    last: Option<Instant>,
}

enum Stage {
    Idle,
    /// What these shards have in flight is being committed.
    Emptying(Vec<u32>),
    /// Their partitions of `documents` are read.
    Documents(Scan),
    /// All of `extractions` is read, and then of `scores`.
    Extractions(Scan),
    /// The tombstones of these shards are being committed.
    Owing(Debts),
    /// The memory of the live documents forgets them, in this epoch.
    Forgetting(u64),
}

/// A log that is read to where it ended.
struct Scan {
    /// When it was begun, in seconds since 1970.
    at: u64,
    shards: BTreeMap<u32, Reconciliation>,
    log: LogName,
    reader: Box<dyn Reader>,
    positions: BTreeMap<u32, u64>,
    ends: BTreeMap<u32, u64>,
    loading: Loading,
    read: u64,
    leg: u32,
    read_in_leg: usize,
}

struct Debts {
    at: u64,
    shards: Vec<u32>,
    /// What is not in a transaction yet.
    owed: BTreeMap<u32, BTreeSet<Vec<u8>>>,
    gone: Vec<DocumentId>,
}

type Documents = Flow<Incoming, Decision>;

impl Reconciler {
    pub(super) fn start(context: &Context, flow: &Documents) -> Self {
        let caught_up = CaughtUp::start(context, flow.shards.iter().map(|(number, shard)| (*number, &shard.progress)));
        Reconciler { caught_up, stage: Stage::Idle, last: None }
    }

    /// Whether nothing may be read for its outputs.
    pub(super) fn is_under_way(&self) -> bool {
        !matches!(self.stage, Stage::Idle)
    }

    /// One turn, in the epoch `now`. Returns how much has moved.
    pub(super) fn turn(
        &mut self,
        context: &Context,
        flow: &Documents,
        now: u64,
        forget: impl FnMut(DocumentId),
    ) -> Result<usize> {
        let moved = match &mut self.stage {
            Stage::Documents(scan) | Stage::Extractions(scan) => scan.read()?,
            _ => 0,
        };
        self.stage = match std::mem::replace(&mut self.stage, Stage::Idle) {
            // The records in flight, or the next start, will come to it.
            Stage::Emptying(_) | Stage::Documents(_) | Stage::Extractions(_) if context.stopping() => Stage::Idle,
            Stage::Idle => self.idle(context),
            Stage::Emptying(shards) if shards.iter().all(|number| flow.shards[number].is_empty()) => {
                Stage::Documents(Scan::of_documents(context, flow, &shards)?)
            }
            Stage::Documents(scan) if scan.is_done() => scan.next_leg(context)?,
            Stage::Extractions(scan) if scan.is_done() && scan.log == LogName::Extractions && context.keeps_scores() => {
                Stage::Extractions(scan.of_log(context, LogName::Scores)?)
            }
            Stage::Extractions(scan) if scan.is_done() => Stage::Owing(scan.debts()),
            Stage::Owing(debts) if debts.are_paid(flow) => {
                debts.gone.into_iter().for_each(forget);
                Stage::Forgetting(now)
            }
            Stage::Forgetting(epoch) if flow.frontier() > epoch => {
                self.last = Some(Instant::now());
                Stage::Idle
            }
            stage => stage,
        };
        Ok(moved)
    }

    fn idle(&mut self, context: &Context) -> Stage {
        self.caught_up.look(context);
        let may = !context.stopping() && self.last.is_none_or(|last| last.elapsed() >= PAUSE);
        let due = if may { self.caught_up.due() } else { Vec::new() };
        if due.is_empty() {
            return Stage::Idle;
        }
        context.counters.reconciling(&due);
        Stage::Emptying(due)
    }

    /// The shards that have something to commit without any output.
    pub(super) fn owing(&mut self, flow: &Documents) -> BTreeSet<u32> {
        match &self.stage {
            Stage::Owing(debts) => debts.owed.keys().copied().collect(),
            Stage::Idle => {
                let shards = flow.shards.iter();
                let news = shards.filter(|(number, shard)| self.caught_up.has_news(**number, &shard.progress));
                news.map(|(number, _)| *number).collect()
            }
            _ => BTreeSet::new(),
        }
    }

    /// A shard's next transaction: its new time, and the documents that it buries.
    pub(super) fn commit(&mut self, context: &Context, number: u32, progress: &mut ShardProgress) -> BTreeSet<Vec<u8>> {
        let mut owed = BTreeSet::new();
        if let Stage::Owing(debts) = &mut self.stage
            && let Some(keys) = debts.owed.remove(&number)
        {
            context.counters.reconciled(number, keys.len());
            self.caught_up.reconciled(number, debts.at);
            owed = keys;
        }
        progress.caught_up_at = self.caught_up.commits(number, progress.position);
        owed
    }
}

impl Scan {
    /// The shards' partitions from their beginnings.
    fn of_documents(context: &Context, flow: &Documents, shards: &[u32]) -> Result<Self> {
        let at = now();
        let ends = context.ends_now(LogName::Documents, shards)?;
        for (number, end) in &ends {
            let position = flow.shards[number].progress.position;
            anyhow::ensure!(
                position <= *end,
                "documents/{number} ends at {end}, before {position}, where extract stands: it is another topic than it was; \
                 begin with another `app` and `log.prefix`"
            );
        }
        let works = shards.iter().map(|&number| (number, Reconciliation::new(number))).collect();
        Scan::new(context, LogName::Documents, at, works, ends)
    }

    fn new(
        context: &Context,
        log: LogName,
        at: u64,
        shards: BTreeMap<u32, Reconciliation>,
        ends: BTreeMap<u32, u64>,
    ) -> Result<Self> {
        let start = |&partition: &u32| Ok((partition, context.log.start(log, partition)?));
        let from: Vec<(u32, u64)> = ends.keys().map(start).collect::<Result<_>>()?;
        let reader = context.log.reader(log, &from)?;
        let (loading, positions) = (context.status.loading(Role::Extract), from.into_iter().collect());
        Ok(Scan { at, shards, log, reader, positions, ends, loading, read: 0, leg: 1, read_in_leg: 0 })
    }

    fn read(&mut self) -> Result<usize> {
        let name = self.log.name();
        let batch = self.reader.poll(READ_AT_ONCE, Duration::ZERO).with_context(|| format!("can't read {name} anew"))?;
        batch.records.iter().try_for_each(|record| self.take(record))?;
        self.positions.extend(batch.positions);
        self.read += batch.records.len() as u64;
        self.read_in_leg += batch.records.len();
        self.loading.is_at(self.read, self.total());
        Ok(batch.records.len())
    }

    fn take(&mut self, record: &Record) -> Result<()> {
        let key = record.key.as_deref().unwrap_or_default();
        match self.log {
            LogName::Documents => {
                let shard = self.shards.get_mut(&record.partition);
                shard.into_iter().for_each(|shard| shard.document(key, record.value.is_some()));
            }
            LogName::Scores => {
                let head = beginning::<ScoredHead>(self.log, record)?;
                let version = head.filter(|head| head.rejected.is_some()).map(|head| head.head.version);
                self.shards.values_mut().for_each(|shard| shard.rejected(key, version));
            }
            _ => {
                let version = beginning::<ExtractionHead>(self.log, record)?.map(|head| head.version);
                self.shards.values_mut().for_each(|shard| shard.known(key, version));
            }
        }
        Ok(())
    }

    fn total(&self) -> u64 {
        self.ends.values().sum::<u64>().max(self.read + 1)
    }

    fn is_done(&self) -> bool {
        self.ends.iter().all(|(partition, end)| self.positions[partition] >= *end)
    }

    /// What has come to `documents` meanwhile, or else `extractions`.
    fn next_leg(self, context: &Context) -> Result<Stage> {
        if self.read_in_leg > 0 && self.leg < MOST_LEGS {
            let ends = context.ends_now(self.log, &self.ends.keys().copied().collect::<Vec<_>>())?;
            return Ok(Stage::Documents(Scan { ends, leg: self.leg + 1, read_in_leg: 0, ..self }));
        }
        Ok(Stage::Extractions(self.of_log(context, LogName::Extractions)?))
    }

    /// The same shards, over all of another log.
    fn of_log(self, context: &Context, log: LogName) -> Result<Self> {
        let all: Vec<u32> = (0..context.partitions.1).collect();
        let ends = context.ends_now(log, &all)?;
        Scan::new(context, log, self.at, self.shards, ends)
    }

    fn debts(self) -> Debts {
        let shards: Vec<u32> = self.shards.keys().copied().collect();
        let owed: BTreeMap<_, _> = self.shards.into_iter().map(|(number, shard)| (number, shard.owed())).collect();
        let gone = owed.values().flatten().map(|key| DocumentId::of(&String::from_utf8_lossy(key))).collect();
        Debts { at: self.at, shards, owed, gone }
    }
}

impl Debts {
    fn are_paid(&self, flow: &Documents) -> bool {
        self.owed.is_empty() && self.shards.iter().all(|number| flow.shards[number].idle())
    }
}

/// What the value of a record begins with, if it has one.
pub(super) fn beginning<H: DeserializeOwned>(log: LogName, record: &Record) -> Result<Option<H>> {
    let place = || format!("can't read {}/{} at offset {}", log.name(), record.partition, record.offset);
    record.value.as_deref().map(codec::decode_beginning::<H>).transpose().with_context(place)
}
