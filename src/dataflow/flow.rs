//! The way of a record through a role: read in an epoch, worked on, staged at its shard, committed when the frontier has
//! passed its epoch. The same for every role that moves offsets.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use synthllm_log::{Batch, LogName, Reader, Record};
use synthllm_operators::budget::Amount;
use synthllm_operators::record::{Origin, Role, ShardProgress};
use timely::ExchangeData;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::Probe;
use timely::dataflow::operators::generic::Operator;
use timely::dataflow::{InputHandleVec, ProbeHandle, Stream};

use super::Context;
use super::clock::Clock;
use super::shard::{Made, Prepared, Shard};
use super::status::Committing;
use crate::events::Counters;

/// What a sink has received and the loop has not yet taken: epoch and record.
pub type Inbox<O> = Rc<RefCell<Vec<(u64, O)>>>;

/// Records are read in batches of at most so many.
const MOST_AT_ONCE: usize = 1_000;

/// The records of a batch are spread over at most so many epochs.
const EPOCHS_OF_A_BATCH: usize = 64;

/// A role's records on their way.
pub struct Flow<I: ExchangeData + Clone, O> {
    /// The shards of this worker, by number.
    pub shards: BTreeMap<u32, Shard<O>>,
    /// What the dataflow has made for them.
    pub inbox: Inbox<Made<O>>,
    /// Where the dataflow's end is.
    pub probe: ProbeHandle<u64>,
    role: Role,
    input: InputHandleVec<u64, I>,
    reader: Option<Box<dyn Reader>>,
    ends: Option<BTreeMap<u32, u64>>,
    /// Where reading is held up, and what was read beyond.
    hold: Option<BTreeMap<u32, u64>>,
    beyond: VecDeque<Record>,
    /// How far the reader has come, where reading is held up.
    reached: BTreeMap<u32, u64>,
    window: (usize, usize),
    /// What a record may spend at most, where there is a budget.
    need: Option<Need>,
    committing: Committing,
}

/// What the calls of a record may spend at most.
type Need = Box<dyn Fn(&Record) -> Amount>;

impl<I: ExchangeData + Clone, O: ExchangeData> Flow<I, O> {
    /// Lets at most so many records be in flight, whatever the configured window.
    pub fn narrow(&mut self, records: usize) {
        self.window.0 = self.window.0.min(records);
    }

    /// A record enters an epoch only when the budget has what it may need.
    pub fn reserve(&mut self, context: &Context, need: impl Fn(&Record) -> Amount + 'static) {
        self.need = context.purse.is_limited().then(|| Box::new(need) as Need);
    }

    /// Opens the reader of the shards' partitions at their progress. With `ends`, nothing beyond is waited for.
    pub fn open(
        context: &Context,
        role: Role,
        log: LogName,
        shards: Vec<Shard<O>>,
        input: InputHandleVec<u64, I>,
        ends: Option<BTreeMap<u32, u64>>,
    ) -> Result<Self> {
        let from: Vec<(u32, u64)> = shards.iter().map(|shard| (shard.number, shard.progress.position)).collect();
        let reader = if from.is_empty() { None } else { Some(context.log.reader(log, &from)?) };
        let run = &context.config.run;
        Ok(Flow {
            window: (run.window_records * from.len(), run.window_bytes * from.len()),
            shards: shards.into_iter().map(|shard| (shard.number, shard)).collect(),
            inbox: Inbox::default(),
            probe: ProbeHandle::new(),
            role,
            input,
            reader,
            ends,
            hold: None,
            beyond: VecDeque::new(),
            reached: BTreeMap::new(),
            need: None,
            committing: context.status.committing(role),
        })
    }

    /// Reads what the window has room for. A few records share an epoch, so that a slow one holds back few others. Returns how
    /// many were read.
    pub fn read(
        &mut self,
        clock: &mut Clock,
        counters: &Counters,
        mut incoming: impl FnMut(&mut Shard<O>, Origin, Record) -> Result<I>,
    ) -> Result<usize> {
        let room = self.room();
        let batch = self.poll(room.min(MOST_AT_ONCE))?;
        let count = batch.records.len();
        let share = count.div_ceil(EPOCHS_OF_A_BATCH).max(1);
        for (number, record) in batch.records.into_iter().enumerate() {
            if number % share == 0 {
                self.input.advance_to(clock.next_epoch());
            }
            let Some(shard) = self.shards.get_mut(&record.partition) else { continue };
            let origin = Origin { shard: record.partition, offset: record.offset };
            let bytes = record.key.as_ref().map_or(0, Vec::len) + record.value.as_ref().map_or(0, Vec::len);
            shard.has_read(*self.input.time(), record.offset + 1, 1, bytes);
            self.input.send(incoming(shard, origin, record)?);
        }
        for (partition, position) in batch.positions {
            if let Some(shard) = self.shards.get_mut(&partition) {
                shard.has_read(*self.input.time(), position, 0, 0);
            }
        }
        counters.read(self.role, count as u64);
        Ok(count)
    }

    /// The next records in front of the hold that the budget allows, and the positions, which never lie beyond the first record
    /// that must wait.
    fn poll(&mut self, most: usize) -> Result<Batch> {
        let Some(reader) = self.reader.as_mut().filter(|_| most > 0) else { return Ok(Batch::default()) };
        let most_waiting = if self.hold.is_some() { MOST_AT_ONCE } else { 1 };
        let mut batch = if self.beyond.len() < most_waiting {
            reader.poll(most, Duration::ZERO).context("can't read on")?
        } else {
            Batch::default()
        };
        if self.hold.is_some() || self.need.is_some() {
            self.reached.extend(batch.positions.drain(..));
            self.beyond.extend(batch.records.drain(..));
            let held = self.let_through(&mut batch.records);
            let before = |partition: u32| held.get(&partition).copied().unwrap_or(u64::MAX);
            let reached = self.reached.iter();
            batch.positions = reached.map(|(&partition, &position)| (partition, position.min(before(partition)))).collect();
        }
        Ok(batch)
    }

    /// Moves on the records that wait for nothing more. Returns where each partition is held up, if it is.
    fn let_through(&mut self, front: &mut Vec<Record>) -> BTreeMap<u32, u64> {
        let mut held = self.hold.clone().unwrap_or_default();
        let mut refused = false;
        for record in std::mem::take(&mut self.beyond) {
            let end = held.entry(record.partition).or_insert(u64::MAX);
            if record.offset < *end {
                // The first one that is refused is the next to begin, of whatever partition.
                refused = refused || !allow(self.need.as_ref(), self.shards.get_mut(&record.partition), &record);
                if !refused {
                    front.push(record);
                    continue;
                }
                *end = record.offset;
            }
            self.beyond.push_back(record);
        }
        held
    }

    /// Reads on only up to these positions, until told otherwise. What was read beyond waits.
    pub fn hold_at(&mut self, hold: BTreeMap<u32, u64>) {
        self.hold = Some(hold);
    }

    /// Closes all epochs before `now`, reading nothing.
    pub fn advance_to(&mut self, now: u64) {
        if *self.input.time() < now {
            self.input.advance_to(now);
        }
    }

    /// Puts in a record that was not read: one that is stored, and stands for no input. Its outputs are committed with the
    /// position where it is.
    pub fn put_in(&mut self, clock: &mut Clock, number: u32, bytes: usize, record: I) {
        self.input.advance_to(clock.next_epoch());
        if let Some(shard) = self.shards.get_mut(&number) {
            shard.has_read(*self.input.time(), shard.progress.position, 1, bytes);
            self.input.send(record);
        }
    }

    /// How many more records may be read.
    pub fn room(&self) -> usize {
        let (records, bytes) = self.in_flight();
        if bytes >= self.window.1 { 0 } else { self.window.0.saturating_sub(records) }
    }

    /// Records and bytes that were read and are not committed.
    pub fn in_flight(&self) -> (usize, usize) {
        let each = self.shards.values().map(Shard::in_flight);
        each.fold((0, 0), |sum, shard| (sum.0 + shard.0, sum.1 + shard.1))
    }

    /// The first epoch that is still open somewhere in the run.
    pub fn frontier(&self) -> u64 {
        self.probe.with_frontier(|frontier| frontier.first().copied().unwrap_or(u64::MAX))
    }

    /// Stages what the dataflow has made, takes note of confirmed transactions, and orders those that are due.
    /// `owed` says whether a shard has something to write without any output.
    pub fn commit(
        &mut self,
        owed: impl Fn(u32) -> bool,
        mut prepare: impl FnMut(u32, &mut ShardProgress, Vec<(Origin, O)>) -> Result<Prepared>,
    ) -> Result<()> {
        let frontier = self.frontier();
        for (epoch, made) in self.inbox.borrow_mut().drain(..) {
            let shard = self.shards.get_mut(&made.origin.shard).context("a record came back to another worker")?;
            shard.stage(epoch, made);
        }
        for (&number, shard) in &mut self.shards {
            shard.confirm()?;
            shard.commit(frontier, owed(number), |progress, outputs| prepare(number, progress, outputs))?;
        }
        self.committing.since(self.shards.values().filter_map(Shard::commits_since).min());
        Ok(())
    }

    /// Whether every shard has committed everything up to its end. Never without ends.
    pub fn drained(&self) -> bool {
        let Some(ends) = &self.ends else { return false };
        self.shards.iter().all(|(number, shard)| {
            shard.quiet(u64::MAX) && ends.get(number).is_none_or(|end| shard.progress.position >= *end)
        })
    }

    /// Whether nothing waits to be committed at the present frontier.
    pub fn quiet(&self) -> bool {
        let frontier = self.frontier();
        self.inbox.borrow().is_empty() && self.shards.values().all(|shard| shard.quiet(frontier))
    }

    /// From now on the role ends when these positions are reached.
    pub fn end_at(&mut self, ends: BTreeMap<u32, u64>) {
        self.ends = Some(ends);
    }
}

/// Whether the budget has what a record may need, which is then set aside.
fn allow<O>(need: Option<&Need>, shard: Option<&mut Shard<O>>, record: &Record) -> bool {
    match (need, shard) {
        (Some(need), Some(shard)) => shard.reserve(record.offset, need(record)),
        _ => true,
    }
}

/// The end of a role's dataflow: brings what was made back to the worker of its shard.
pub fn sink<O: ExchangeData>(made: Stream<'_, u64, Vec<Made<O>>>, inbox: &Inbox<Made<O>>, probe: &ProbeHandle<u64>) {
    collect(made, |made| u64::from(made.origin.shard), inbox).probe_with(probe);
}

/// Collects a stream, routed, in an inbox of each worker.
///
/// # Panics
/// Never: every record comes at an epoch.
pub fn collect<'scope, R: ExchangeData>(
    stream: Stream<'scope, u64, Vec<R>>,
    route: impl Fn(&R) -> u64 + 'static,
    inbox: &Inbox<R>,
) -> Stream<'scope, u64, Vec<()>> {
    let inbox = Rc::clone(inbox);
    stream.unary::<CapacityContainerBuilder<Vec<()>>, _, _, _>(Exchange::new(route), "Collect", move |_, _| {
        // The output stays empty; it is there for the probe.
        move |input, _output| {
            input.for_each(|capability, data| {
                let epoch = *capability.least().expect("a record comes at an epoch");
                inbox.borrow_mut().extend(data.drain(..).map(|record| (epoch, record)));
            });
        }
    })
}
