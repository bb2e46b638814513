//! Keeps `graph-updates` at the counts of the graph's nodes and edges, where the configuration asks for it.
//!
//! The log has no progress: at the start it is compared with the recount that loading the index makes, and what is owed is
//! written. Nothing is written before all workers have loaded, nor for an epoch that the frontier has not passed. For what it
//! takes see [`synthllm_operators::graph_updates`]; of the differential collection only open epochs are kept.

use std::collections::HashSet;

use anyhow::{Context as _, Result};
use synthllm_log::{Append, LogName, Record, partition, read_to_end};
use synthllm_operators::edges::counts;
use synthllm_operators::graph_updates::Owed;
use synthllm_operators::record::Role;
use synthllm_operators::upsert::Mentions;
use timely::dataflow::operators::Probe;
use timely::dataflow::operators::vec::Map;
use timely::dataflow::{ProbeHandle, Stream};
use timely::worker::Worker;

use super::super::Context;
use super::super::flow::{Inbox, collect};

/// So many records go into one transaction at most.
const MOST_AT_ONCE: usize = 10_000;

/// A change of a count: shard and key, epoch, difference.
type Change = ((u32, String), u64, isize);

/// The counts on this worker.
pub(super) struct Updates {
    owed: Owed,
    changes: Inbox<Change>,
    probe: ProbeHandle<u64>,
    shards: u32,
    loaded: Roll,
    applied: Roll,
}

/// What all workers must have said, each with an epoch that must have passed.
struct Roll {
    peers: usize,
    said: HashSet<u64>,
    last: u64,
}

impl Roll {
    fn new(peers: usize) -> Self {
        Roll { peers, said: HashSet::new(), last: 0 }
    }

    fn says(&mut self, worker: u64, epoch: u64) {
        self.said.insert(worker);
        self.last = self.last.max(epoch);
    }

    fn is_complete(&self, probe: &ProbeHandle<u64>) -> bool {
        self.said.len() == self.peers && !probe.less_equal(&self.last)
    }
}

impl Updates {
    /// Reads what stands in this worker's partitions of the log. None when the log is not asked for.
    pub(super) fn start(worker: &Worker, context: &Context) -> Result<Option<Self>> {
        if !context.config.graph.updates {
            return Ok(None);
        }
        let from = super::super::from_start_of_mine(worker, &context.log, LogName::GraphUpdates)?;
        let (mut owed, mut failed) = (Owed::default(), None);
        let loading = context.status.loading(Role::Graph);
        read_to_end(
            &context.log,
            LogName::GraphUpdates,
            &from,
            |record| {
                if let Err(error) = stands(&mut owed, &record) {
                    failed.get_or_insert(error);
                }
            },
            |read, total| loading.is_at(read, total),
        )?;
        let peers = worker.peers();
        let (loaded, applied) = (Roll::new(peers), Roll::new(peers));
        let (changes, probe, shards) = (Inbox::default(), ProbeHandle::new(), context.partitions.1);
        failed.map_or(Ok(Some(Updates { owed, changes, probe, shards, loaded, applied })), Err)
    }

    /// The dataflow's part: consolidated, and brought to the worker of the shard that a key belongs to.
    pub(super) fn build(&self, mentions: Stream<'_, u64, Vec<(Mentions, u64, isize)>>) {
        let shards = self.shards;
        let changes = counts(mentions).inner.map(move |(element, epoch, difference)| {
            let key = element.key();
            ((partition::of_key(Some(key.as_bytes()), shards), key), epoch, difference)
        });
        let by_shard = |change: &Change| u64::from(change.0.0);
        collect(changes, by_shard, &self.changes).probe_with(&self.probe);
    }

    /// A worker has its entries in the index, the last of them at this epoch.
    pub(super) fn worker_loaded(&mut self, worker: u64, epoch: u64) {
        self.loaded.says(worker, epoch);
    }

    /// A worker has read all that it reads, the last of it at this epoch.
    pub(super) fn worker_applied(&mut self, worker: u64, epoch: u64) {
        self.applied.says(worker, epoch);
    }

    /// Takes over the changes of all epochs that the frontier has passed.
    pub(super) fn settle(&mut self) {
        let mut changes = self.changes.borrow_mut();
        let (passed, open) = changes.drain(..).partition::<Vec<_>, _>(|(_, (_, epoch, _))| !self.probe.less_equal(epoch));
        *changes = open;
        for (_, ((shard, key), _, difference)) in passed {
            self.owed.change(shard, &key, difference);
        }
    }

    /// Whether the counts are those of the graph: before, they are not to be written.
    fn is_recounted(&self) -> bool {
        self.loaded.is_complete(&self.probe)
    }

    /// The shards that have something to write.
    pub(super) fn shards(&self) -> Vec<u32> {
        if self.is_recounted() { self.owed.shards().collect() } else { Vec::new() }
    }

    /// Whether nothing waits to be written at the present frontier.
    pub(super) fn is_quiet(&self) -> bool {
        self.owed.is_empty() || !self.is_recounted()
    }

    /// Whether the counts of everything that all workers read are written, or in a transaction under way.
    pub(super) fn is_done(&self) -> bool {
        self.is_recounted()
            && self.applied.is_complete(&self.probe)
            && self.changes.borrow().is_empty()
            && self.owed.is_empty()
    }

    /// The records of a shard's next transaction.
    pub(super) fn take(&mut self, shard: u32) -> Vec<Append> {
        if !self.is_recounted() {
            return Vec::new();
        }
        let records = self.owed.take(shard, MOST_AT_ONCE).into_iter();
        records.map(|(key, count)| record(shard, key, count)).collect()
    }
}

fn record(shard: u32, key: String, count: Option<u64>) -> Append {
    let value = count.map(|count| count.to_string().into_bytes());
    Append { log: LogName::GraphUpdates, partition: Some(shard), key: Some(key.into_bytes()), value }
}

fn stands(owed: &mut Owed, record: &Record) -> Result<()> {
    let place = || format!("can't read graph-updates/{} at offset {}", record.partition, record.offset);
    let key = std::str::from_utf8(record.key.as_deref().unwrap_or_default()).with_context(place)?;
    let count = record.value.as_deref().map(serde_json::from_slice).transpose().with_context(place)?;
    owed.stands(record.partition, key, count);
    Ok(())
}
