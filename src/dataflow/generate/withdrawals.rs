//! What generate reads of `extractions` and `provenance`, and the withdrawals that it owes.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use differential_dataflow::input::InputSession;
use synthllm_log::{LogName, Reader, Record, read_to_end};
use synthllm_operators::codec;
use synthllm_operators::id::{DocumentId, Id};
use synthllm_operators::live::{Incarnation, Live};
use synthllm_operators::provenance::{Citation, Withdraw, withdrawals};
use synthllm_operators::record::{ExtractionHead, Held, Provenance, Role};
use timely::dataflow::operators::Probe;
use timely::dataflow::{InputHandleVec, ProbeHandle, Scope};
use timely::worker::Worker;

use super::super::Context;
use super::super::flow::{self, Inbox};
use super::answers::Holding;
use super::owed::{Cited, Owed};
use crate::config;

/// A change of the citations that are owed: citation with its document, epoch, difference.
type OwedUpdate = (Cited, u64, isize);

/// A transaction withdraws so many samples at most.
const WITHDRAW_AT_ONCE: usize = 5_000;

/// The antijoin of provenance and live documents, fed by the logs, read at the frontier.
pub(super) struct Withdrawals {
    withdraw: Withdraw,
    citations: InputSession<u64, (DocumentId, Citation), isize>,
    documents: InputSession<u64, (DocumentId, Incarnation), isize>,
    inbox: Inbox<OwedUpdate>,
    owed: Owed,
    /// The questions that are held back; they are cited like samples. 16 bytes each, beside their citations.
    held: HashSet<Id>,
    reader: Option<Box<dyn Reader>>,
    positions: BTreeMap<u32, u64>,
    ends: Option<BTreeMap<u32, u64>>,
    /// The epoch of the last record that was read.
    last_read: u64,
    /// Where the antijoin is: what is owed doesn't wait for the calls under way.
    probe: ProbeHandle<u64>,
}

impl Withdrawals {
    pub fn new(context: &Context) -> Self {
        Withdrawals {
            withdraw: match context.config.generate.withdraw {
                config::Withdraw::Deleted => Withdraw::Deleted,
                config::Withdraw::DeletedOrChanged => Withdraw::DeletedOrChanged,
            },
            citations: InputSession::new(),
            documents: InputSession::new(),
            inbox: Inbox::default(),
            owed: Owed::default(),
            held: HashSet::new(),
            reader: None,
            positions: BTreeMap::new(),
            ends: None,
            last_read: 0,
            probe: ProbeHandle::new(),
        }
    }

    /// The dataflow's part: consolidated, and brought to the worker of the sample's shard.
    pub fn build(&mut self, scope: Scope<'_, u64>, probe: &ProbeHandle<u64>) {
        let citations = self.citations.to_collection(scope);
        let documents = self.documents.to_collection(scope);
        let owed = withdrawals(citations, documents, self.withdraw);
        let by_shard = |update: &OwedUpdate| u64::from(update.0.1.shard);
        flow::collect(owed.inner, by_shard, &self.inbox).probe_with(&self.probe).probe_with(probe);
    }

    /// Reads this worker's partitions of `provenance` to the end, and tells who holds which question. Returns how many samples live.
    pub fn load_samples(
        &mut self,
        worker: &mut Worker,
        context: &Context,
        mine: &[u32],
        holdings: &mut InputHandleVec<u64, Holding>,
    ) -> Result<u64> {
        let mut loaded = 0;
        read_live(worker, context, LogName::Provenance, mine, |sample, record| {
            let value = record.value.as_deref().unwrap_or_default();
            let provenance: Provenance = codec::decode(value).with_context(|| place(LogName::Provenance, record))?;
            holdings.send(Holding { question: provenance.question, sample, holds: true });
            self.cite(sample, record.partition, &provenance);
            loaded += 1;
            Ok(())
        })?;
        Ok(loaded)
    }

    /// Reads this worker's partitions of `held` to the end: the questions that are held back. Returns their tombstones.
    pub fn load_held(&mut self, worker: &mut Worker, context: &Context, mine: &[u32]) -> Result<Tombstones> {
        let tombstones = Tombstones::read(worker, context, LogName::Held, mine)?;
        tombstones.read_live(worker, context, LogName::Held, mine, |sample, record| {
            let value = record.value.as_deref().unwrap_or_default();
            let held: Held = codec::decode(value).with_context(|| place(LogName::Held, record))?;
            self.hold(sample, record.partition, &held.provenance);
            Ok(())
        })?;
        Ok(tombstones)
    }

    /// Reads this worker's partitions of `extractions` to the end: the live documents.
    pub fn load_documents(
        &mut self,
        worker: &mut Worker,
        context: &Context,
        mine: &[u32],
        live: &Rc<RefCell<Live>>,
    ) -> Result<()> {
        let from = starts(context, LogName::Extractions, mine)?;
        let apply = |withdrawals: &mut Self, record: &Record| withdrawals.apply(record, &mut live.borrow_mut());
        let ends = read_all(worker, context, (LogName::Extractions, &from), |record| apply(self, record))?;
        for &(partition, position) in &ends {
            live.borrow_mut().read_to(partition, position);
        }
        self.reader = if ends.is_empty() { None } else { Some(context.log.reader(LogName::Extractions, &ends)?) };
        self.positions = ends.into_iter().collect();
        Ok(())
    }

    /// Reads on in `extractions`, in the epoch `now`. Returns how many records.
    pub fn read(&mut self, now: u64, live: &mut Live) -> Result<usize> {
        let Some(reader) = self.reader.as_mut() else { return Ok(0) };
        let batch = reader.poll(1_000, Duration::ZERO).context("can't read on in extractions")?;
        if !batch.records.is_empty() {
            self.last_read = now;
        }
        for record in &batch.records {
            self.apply(record, live)?;
        }
        for (partition, position) in batch.positions {
            self.positions.insert(partition, position);
            live.read_to(partition, position);
        }
        Ok(batch.records.len())
    }

    fn apply(&mut self, record: &Record, live: &mut Live) -> Result<()> {
        let document = DocumentId::of(&String::from_utf8_lossy(record.key.as_deref().unwrap_or_default()));
        let head = record.value.as_deref().map(codec::decode_beginning::<ExtractionHead>).transpose();
        let (before, now) = live.apply(document, head.with_context(|| place(LogName::Extractions, record))?);
        if before != now {
            before.into_iter().for_each(|incarnation| self.documents.update((document, incarnation), -1));
            now.into_iter().for_each(|incarnation| self.documents.update((document, incarnation), 1));
        }
        Ok(())
    }

    pub fn advance_to(&mut self, now: u64) {
        if *self.citations.time() < now {
            self.citations.advance_to(now);
            self.citations.flush();
            self.documents.advance_to(now);
            self.documents.flush();
        }
    }

    /// A sample was written, of a question that was held back or of a new one.
    pub fn written(&mut self, sample: Id, shard: u32, provenance: &Provenance) {
        if !self.held.remove(&sample) {
            self.cite(sample, shard, provenance);
        }
    }

    /// A question is held back.
    pub fn hold(&mut self, sample: Id, shard: u32, provenance: &Provenance) {
        if self.held.insert(sample) {
            self.cite(sample, shard, provenance);
        }
    }

    /// What was a sample is held back; it is cited already.
    pub fn demoted(&mut self, sample: Id) {
        self.held.insert(sample);
    }

    /// Whether a question is held back.
    pub fn holds(&self, sample: Id) -> bool {
        self.held.contains(&sample)
    }

    fn cite(&mut self, sample: Id, shard: u32, provenance: &Provenance) {
        for citation in Citation::all(sample, shard, provenance) {
            self.citations.update(citation, 1);
        }
    }

    /// Takes over the changes of all epochs before the antijoin's frontier; later ones may still be cancelled.
    pub fn settle(&mut self) {
        let frontier = self.frontier();
        let mut inbox = self.inbox.borrow_mut();
        let (passed, open) = inbox.drain(..).partition::<Vec<_>, _>(|(_, (_, epoch, _))| *epoch < frontier);
        inbox.extend(open);
        drop(inbox);
        for (_, (cited, _, difference)) in passed {
            self.owed.change(cited, difference);
        }
    }

    /// The shards that owe a withdrawal.
    pub fn owed_shards(&self) -> BTreeSet<u32> {
        self.owed.shards()
    }

    /// The samples that a shard withdraws in its next transaction, in order, and the questions held back that it forgets; their
    /// citations go.
    pub fn take(&mut self, shard: u32) -> (Vec<Holding>, Vec<Id>) {
        let (mut samples, mut held) = (Vec::new(), Vec::new());
        for withdrawn in self.owed.take(shard, WITHDRAW_AT_ONCE) {
            withdrawn.citations.into_iter().for_each(|cited| self.citations.update(cited, -1));
            if self.held.remove(&withdrawn.sample) {
                held.push(withdrawn.sample);
            } else {
                samples.push(Holding { question: withdrawn.question, sample: withdrawn.sample, holds: false });
            }
        }
        (samples, held)
    }

    /// From now on `extractions` ends where it ends now.
    pub fn end_now(&mut self, context: &Context) -> Result<()> {
        let mine: Vec<u32> = self.positions.keys().copied().collect();
        self.ends = Some(context.ends_now(LogName::Extractions, &mine)?);
        Ok(())
    }

    /// Whether `extractions` is read up to these positions, and no withdrawal that follows is known and not begun.
    pub fn has_settled(&self, read: &BTreeMap<u32, u64>) -> bool {
        let is_read = |(partition, end): (&u32, &u64)| self.positions.get(partition).is_none_or(|at| at >= end);
        read.iter().all(is_read) && self.inbox.borrow().is_empty() && self.settled()
    }

    /// Whether `extractions` is read to its end and no withdrawal is owed.
    pub fn drained(&self) -> bool {
        let read =
            self.ends.as_ref().is_none_or(|ends| ends.iter().all(|(partition, end)| self.positions[partition] >= *end));
        read && self.settled()
    }

    /// Whether no withdrawal is owed for what was read.
    pub fn settled(&self) -> bool {
        self.frontier() > self.last_read && self.owed.is_empty()
    }
}

impl Withdrawals {
    fn frontier(&self) -> u64 {
        self.probe.with_frontier(|frontier| frontier.first().copied().unwrap_or(u64::MAX))
    }
}

/// Reads this worker's partitions of `samples` or `provenance` to the end: the records of the samples that live.
pub(super) fn read_live(
    worker: &mut Worker,
    context: &Context,
    log: LogName,
    mine: &[u32],
    each: impl FnMut(Id, &Record) -> Result<()>,
) -> Result<()> {
    Tombstones::read(worker, context, log, mine)?.read_live(worker, context, log, mine, each)
}

/// The last tombstone of each id that has one, by which two passes over a log tell what lives, so that nothing else is kept: a
/// record lives when it lies behind, since an id is never written twice without a tombstone between (protocol.md, invariant 2).
/// Cost: 40 bytes a tombstone.
#[derive(Default)]
pub(super) struct Tombstones(HashMap<Id, u64>);

impl Tombstones {
    /// The first pass: over this worker's partitions of `samples`, `provenance` or `held`, to the end.
    pub fn read(worker: &mut Worker, context: &Context, log: LogName, mine: &[u32]) -> Result<Self> {
        let mut withdrawn = HashMap::new();
        read_all(worker, context, (log, &starts(context, log, mine)?), |record| {
            if record.value.is_none() {
                withdrawn.insert(sample_id(log, record)?, record.offset);
            }
            Ok(())
        })?;
        Ok(Tombstones(withdrawn))
    }

    /// The second pass.
    pub fn read_live(
        &self,
        worker: &mut Worker,
        context: &Context,
        log: LogName,
        mine: &[u32],
        mut each: impl FnMut(Id, &Record) -> Result<()>,
    ) -> Result<()> {
        let from = starts(context, log, mine)?;
        read_all(worker, context, (log, &from), |record| match self.live(log, record)? {
            Some(id) => each(id, record),
            None => Ok(()),
        })
        .map(drop)
    }

    /// The id of a record that lives.
    pub fn live(&self, log: LogName, record: &Record) -> Result<Option<Id>> {
        let id = sample_id(log, record)?;
        let lives = record.value.is_some() && self.0.get(&id).is_none_or(|tombstone| *tombstone < record.offset);
        Ok(lives.then_some(id))
    }
}

/// Reads a log to the end. What was read goes on through the dataflow batch by batch: never is more than one on its way.
fn read_all(
    worker: &mut Worker,
    context: &Context,
    (log, from): (LogName, &[(u32, u64)]),
    mut each: impl FnMut(&Record) -> Result<()>,
) -> Result<Vec<(u32, u64)>> {
    let loading = context.status.loading(Role::Generate);
    let mut failed = None;
    let ends = read_to_end(
        &context.log,
        log,
        from,
        |record| {
            if let Err(error) = each(&record) {
                failed.get_or_insert(error);
            }
        },
        |read, total| {
            loading.is_at(read, total);
            worker.step();
        },
    )?;
    failed.map_or(Ok(ends), Err)
}

/// Where a record lies, for an error.
pub(super) fn place(log: LogName, record: &Record) -> String {
    format!("can't read {}/{} at offset {}", log.name(), record.partition, record.offset)
}

pub(super) fn sample_id(log: LogName, record: &Record) -> Result<Id> {
    let key = String::from_utf8_lossy(record.key.as_deref().unwrap_or_default());
    key.parse().with_context(|| format!("{}: the key {key:?} is no id", place(log, record)))
}

pub(super) fn starts(context: &Context, log: LogName, mine: &[u32]) -> Result<Vec<(u32, u64)>> {
    mine.iter().map(|&partition| Ok((partition, context.log.start(log, partition)?))).collect()
}
