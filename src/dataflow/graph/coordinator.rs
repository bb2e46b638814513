//! What one worker decides for all: when a settlement begins and ends, which starts are drawn, and who may issue under a limit.
//!
//! The schedule of all start nodes lies here (about 100 bytes each), not with their owners: the order in which limits count,
//! (start number, hash(seed, node)), is one for all shards.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use anyhow::Result;
use synthllm_log::LogName;
use synthllm_operators::graph::{Frequency, Outcome};
use synthllm_operators::id::{ConceptId, Id, Kind};
use synthllm_operators::limit::Limit;
use synthllm_operators::record::{Progress, ProgressKey, Role, Settlement};
use synthllm_operators::schedule::{Quota, Schedule};
use synthllm_operators::settlement::{self, Sight};
use synthllm_operators::walk::Start;

use super::super::Context;
use super::super::shard::Standing;
use super::letters::{Letter, Mail};
use super::watch::Watch;
use crate::config::When;

/// Starts are drawn in batches of at least, and at most, so many.
const BATCH: (u64, u64) = (64, 10_000);

/// How often the logs are asked whether there is more, in settled mode without end.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// What the coordinator does in settled mode. In continuous mode it always draws.
#[derive(Debug)]
enum Stage {
    /// The documents that stood when it began to wait are being extracted, up to these offsets.
    Waiting(BTreeMap<u32, u64>),
    /// The workers load the index up to the cut; what they have reported.
    Settling { resumed: Option<Settlement>, reports: Vec<Report> },
    /// The settlement is being committed.
    Recording { largest: HashMap<u8, Option<Id>> },
    /// Draws are made.
    Drawing,
    /// All draws are committed; the settlement's end is being committed.
    Closing,
    /// Nothing more to do in this run.
    Rested,
}

/// What a worker reports when its index stands at the cut.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub(super) struct Report {
    pub(super) digest: u128,
    pub(super) cut: Vec<(u32, u64)>,
    /// The smallest ids of each limited level that could be issued.
    pub(super) smallest: Vec<(u8, Vec<Id>)>,
}

/// The one for all workers; it lives on worker 0.
pub(super) struct Coordinator {
    peers: usize,
    shards: u32,
    kind: Kind,
    settled: bool,
    draws: bool,
    stage: Stage,
    settlement: Option<Settlement>,
    /// The last settlement there was.
    last: Option<Settlement>,
    /// When the logs were last asked for more, in settled mode without end.
    looked: Instant,
    settings: u128,
    schedule: Schedule,
    limit: Limit,
    /// The epoch of the batch of starts under way.
    batch: Option<u64>,
    accepted: u64,
    confirmed: u64,
    /// Continuous mode: what levels 1 and 2 may still issue.
    remaining: HashMap<u8, u64>,
    drained: usize,
    /// A settlement to be written by graph/0.
    pub(super) to_record: Option<Settlement>,
}

impl Coordinator {
    pub(super) fn new(context: &Context, peers: usize, kind: Kind, standing: &Standing, watch: &Watch) -> Result<Self> {
        let sampling = &context.config.sampling;
        let quota = Quota { epochs: sampling.epochs, starts_per_document: sampling.starts_per_document };
        let mut schedule = Schedule::new(sampling.seed, quota);
        let mut settlement = None;
        for (key, progress) in &standing.progress {
            match (key, progress) {
                (ProgressKey::Starts(node), Progress::Starts(started)) => schedule.set_started(*node, *started),
                (ProgressKey::Settlement, Progress::Settlement(found)) => settlement = Some(found.clone()),
                _ => (),
            }
        }
        let left = |level: u8| sampling.limit.of(level).map(|limit| limit.saturating_sub(watch.issued(level)));
        let settled = sampling.when(context.drain) == When::Settled;
        let backlog = if context.drain { BTreeMap::new() } else { documents_end(context)? };
        Ok(Coordinator {
            peers,
            shards: context.partitions.1,
            kind,
            settled,
            draws: sampling.levels.contains(&3),
            stage: if settled { Stage::Waiting(backlog) } else { Stage::Drawing },
            last: settlement.clone(),
            settlement,
            looked: Instant::now(),
            settings: settings_digest(context, kind),
            schedule,
            limit: Limit::new(sampling.seed, left(3)),
            batch: None,
            accepted: 0,
            confirmed: 0,
            remaining: [1, 2].into_iter().filter_map(|level| Some((level, left(level)?))).collect(),
            drained: 0,
            to_record: None,
        })
    }

    /// A start node's documents have changed.
    pub(super) fn frequency(&mut self, frequency: &Frequency) {
        self.schedule.set_documents(frequency.node, frequency.documents);
    }

    /// A start has its outcome.
    pub(super) fn outcome(&mut self, outcome: Outcome) {
        self.limit.offer(outcome);
    }

    /// A worker asks whether it may issue one more combination of a limited level.
    pub(super) fn grant(&mut self, level: u8) -> bool {
        let remaining = self.remaining.entry(level).or_insert(u64::MAX);
        let granted = *remaining > 0;
        *remaining = remaining.saturating_sub(1);
        granted
    }

    /// So many accepted outcomes are committed by their shards.
    pub(super) fn confirm(&mut self, count: u64) {
        self.confirmed += count;
    }

    /// A worker has committed everything it reads.
    pub(super) fn worker_drained(&mut self) {
        self.drained += 1;
    }

    /// A worker's index stands at the cut.
    pub(super) fn report(&mut self, report: Report) {
        if let Stage::Settling { reports, .. } = &mut self.stage {
            reports.push(report);
        }
    }

    /// The settlement that was to be recorded is committed.
    pub(super) fn recorded(&mut self) {
        if let Stage::Closing = self.stage {
            self.stage = Stage::Rested;
        }
    }

    /// Whether the role has nothing more to do, on any worker.
    pub(super) fn is_done(&self) -> bool {
        let drawn = match self.stage {
            Stage::Rested => true,
            Stage::Drawing => !self.settled && self.has_drawn_all(),
            _ => false,
        };
        drawn && self.drained == self.peers
    }

    fn has_drawn_all(&self) -> bool {
        let finished = !self.draws || self.schedule.is_done() || self.limit.is_reached();
        finished && self.batch.is_none() && self.accepted == self.confirmed
    }

    /// One turn: the letters to be sent. `frontier` is that of the draws, `now` the present epoch; starts to be drawn in it
    /// go to `starts`. `recording` says that the settlement handed over is not committed yet.
    pub(super) fn turn(
        &mut self,
        context: &Context,
        watch: &Watch,
        frontier: u64,
        now: u64,
        recording: bool,
        starts: &mut Vec<Start>,
    ) -> Result<Vec<Mail>> {
        let mut mail = Vec::new();
        match &mut self.stage {
            // Not while stopping: the backlog may not be extracted.
            Stage::Waiting(ends) if !context.stopping() && watch.has_reached(Role::Extract, ends) => {
                self.begin_settlement(&mut mail);
            }
            Stage::Settling { reports, .. } if reports.len() == self.peers => self.settle(watch, context, &mut mail),
            Stage::Recording { largest, .. } if !recording => {
                let letter = Letter::Open { largest: largest.iter().map(|(level, id)| (*level, *id)).collect() };
                mail.extend(self.to_all(&letter));
                self.stage = Stage::Drawing;
            }
            Stage::Drawing => self.draw(context, watch, frontier, now, starts, &mut mail),
            Stage::Rested if !context.drain => self.wait_for_more(context, watch)?,
            _ => (),
        }
        Ok(mail)
    }

    /// All workers load the index up to a cut: that of the open settlement, or where `extractions` ends now.
    fn begin_settlement(&mut self, mail: &mut Vec<Mail>) {
        let resumed = settlement::open(self.settlement.take().as_ref());
        let cut = resumed.as_ref().map(|settlement| settlement.cut.clone());
        mail.extend(self.to_all(&Letter::Settle { cut }));
        self.stage = Stage::Settling { resumed, reports: Vec::new() };
    }

    /// All workers stand at the cut: resume the settlement if the live set is the same, else record a new one.
    fn settle(&mut self, watch: &Watch, context: &Context, mail: &mut Vec<Mail>) {
        let Stage::Settling { resumed, reports } = std::mem::replace(&mut self.stage, Stage::Rested) else { return };
        let digest = reports.iter().fold(0_u128, |sum, report| sum.wrapping_add(report.digest));
        let sight = Sight { digest, settings: self.settings };
        if let Some(resumed) = resumed {
            if sight.resumes(&resumed) {
                let largest = Self::largest(context, watch, reports);
                self.record(resumed, largest);
                return;
            }
            // Compaction took an old version, or the settings changed: it is closed, and a new one begins.
            context.counters.settlement_abandoned(resumed.number);
            self.begin_settlement(mail);
            return;
        }
        let mut cut = vec![0; self.shards as usize];
        for &(partition, position) in reports.iter().flat_map(|report| &report.cut) {
            cut[partition as usize] = position;
        }
        let issued = [1, 2, 3].map(|level| watch.issued(level));
        let settlement = sight.begin(self.last.as_ref(), cut, issued);
        let largest = Self::largest(context, watch, reports);
        self.record(settlement, largest);
    }

    fn record(&mut self, settlement: Settlement, largest: HashMap<u8, Option<Id>>) {
        self.last = Some(settlement.clone());
        self.settlement = Some(settlement.clone());
        self.to_record = Some(settlement);
        self.stage = Stage::Recording { largest };
    }

    /// Under a limit the combinations with the smallest ids are issued: the largest id of each limited level.
    fn largest(context: &Context, watch: &Watch, reports: Vec<Report>) -> HashMap<u8, Option<Id>> {
        let mut smallest: BTreeMap<u8, Vec<Id>> = BTreeMap::new();
        for (level, ids) in reports.into_iter().flat_map(|report| report.smallest) {
            smallest.entry(level).or_default().extend(ids);
        }
        let largest = smallest.into_iter().map(|(level, mut ids)| {
            ids.sort_unstable();
            let limit = context.config.sampling.limit.of(level).unwrap_or(u64::MAX);
            let remaining = usize::try_from(limit.saturating_sub(watch.issued(level))).unwrap_or(usize::MAX);
            (level, ids[..remaining.min(ids.len())].last().copied())
        });
        largest.collect()
    }

    /// Issues the next batch of starts, and accepts the outcomes of the last one, in order.
    fn draw(
        &mut self,
        context: &Context,
        watch: &Watch,
        frontier: u64,
        now: u64,
        starts: &mut Vec<Start>,
        mail: &mut Vec<Mail>,
    ) {
        if self.batch.is_some_and(|epoch| frontier > epoch) {
            self.batch = None;
            let accepted = self.limit.accept(self.schedule.peek());
            self.accepted += accepted.len() as u64;
            let settlement = self.settlement.as_ref().map(|settlement| settlement.number);
            mail.extend(accepted.into_iter().map(|outcome| self.to_owner(outcome, settlement)));
        }
        let room = context.room_for_combinations(watch.waiting() + (self.accepted - self.confirmed));
        let finished = !self.draws || self.schedule.is_done() || self.limit.is_reached();
        if self.batch.is_none() && !finished && room > 0 && !context.stopping() {
            let wanted = self.limit.remaining().map_or(BATCH.1, |remaining| remaining.saturating_mul(2));
            let size = wanted.clamp(BATCH.0, BATCH.1).min(room.max(BATCH.0));
            let orders = std::iter::from_fn(|| self.schedule.next()).take(size as usize);
            starts.extend(orders.map(|order| Start { node: order.node, kind: self.kind, start: order.start }));
            self.batch = Some(now);
        }
        if self.settled && self.has_drawn_all() {
            self.close();
        }
    }

    fn close(&mut self) {
        match self.settlement.as_mut() {
            Some(settlement) => {
                settlement.closed = true;
                self.to_record = Some(settlement.clone());
                self.stage = Stage::Closing;
            }
            None => self.stage = Stage::Rested,
        }
    }

    /// Without `--drain`: another settlement when everything up to the last cut has its outcome, `extractions` has grown, and
    /// the documents that stand now are extracted.
    fn wait_for_more(&mut self, context: &Context, watch: &Watch) -> Result<()> {
        if self.looked.elapsed() < LOOK_INTERVAL {
            return Ok(());
        }
        self.looked = Instant::now();
        let cut = self.settlement.as_ref().map(|settlement| settlement.cut.clone()).unwrap_or_default();
        let done = cut.iter().zip(0..).all(|(&end, shard)| watch.position(Role::Graph, shard) >= end);
        let ends = context.ends_now(LogName::Extractions, &(0..self.shards).collect::<Vec<_>>())?;
        let grown = ends.iter().any(|(&shard, &end)| cut.get(shard as usize).is_none_or(|cut| *cut < end));
        if done && grown {
            self.stage = Stage::Waiting(documents_end(context)?);
        }
        Ok(())
    }

    fn to_all(&self, letter: &Letter) -> Vec<Mail> {
        (0..self.peers as u64).map(|to| Mail { to, letter: letter.clone() }).collect()
    }

    fn to_owner(&self, outcome: Outcome, settlement: Option<u64>) -> Mail {
        let to = owner_of(outcome.node, self.shards);
        Mail { to, letter: Letter::Accepted { outcome: Box::new(outcome), settlement } }
    }
}

/// The shard that owns a start node.
pub(super) fn owner_of(node: ConceptId, shards: u32) -> u64 {
    synthllm_operators::walk::owner_of(node, shards)
}

fn documents_end(context: &Context) -> Result<BTreeMap<u32, u64>> {
    context.ends_now(LogName::Documents, &(0..context.partitions.0).collect::<Vec<_>>())
}

/// A digest of the settings that draws depend on.
fn settings_digest(context: &Context, kind: Kind) -> u128 {
    let (sampling, graph) = (&context.config.sampling, &context.config.graph);
    let settings = (
        (sampling.seed, sampling.epochs, sampling.starts_per_document.to_bits(), kind, context.partitions.1),
        (graph.max_concepts as u64, graph.min_key_concepts as u64, &sampling.levels),
        [1, 2, 3].map(|level| sampling.limit.of(level)),
        graph.aliases.iter().collect::<Vec<_>>(),
    );
    synthllm_operators::id::digest(&synthllm_operators::codec::encode(&settings))
}
