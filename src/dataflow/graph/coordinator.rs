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
use synthllm_operators::passes::Place;
use synthllm_operators::record::{Progress, ProgressKey, Role, Settlement};
use synthllm_operators::schedule::{Quota, Schedule};
use synthllm_operators::settlement::{self, Sight};
use synthllm_operators::walk::Start;

use super::super::Context;
use super::super::shard::Standing;
use super::super::target::Shortage;
use super::documents::Order;
use super::letters::{Letter, Mail};
use super::targets::Targets;
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
    /// Who may be issued where levels have a target.
    targets: Targets,
    /// Whether the settlement is one that an earlier run had begun.
    resumed: bool,
    /// Continuous mode: what levels 1 and 2 may still issue.
    remaining: HashMap<u8, u64>,
    drained: usize,
    /// A settlement to be written by graph/0.
    pub(super) to_record: Option<Settlement>,
    /// With its end, why levels with a target have no more draws.
    pub(super) to_tell: Option<BTreeMap<u8, Shortage>>,
}

impl Coordinator {
    pub(super) fn new(
        context: &Context,
        (peers, kind): (usize, Kind),
        standing: &Standing,
        watch: &Watch,
        drawn: &[u8],
    ) -> Result<Self> {
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
        let targets = Targets::new(context, watch, peers, drawn, left)?;
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
            targets,
            resumed: false,
            accepted: 0,
            confirmed: 0,
            remaining: [1, 2].into_iter().filter_map(|level| Some((level, left(level)?))).collect(),
            drained: 0,
            to_record: None,
            to_tell: None,
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
        if self.drained == self.peers && !self.settled {
            self.targets.look_again();
        }
    }

    /// A worker tells of documents that it can draw.
    pub(super) fn documents(&mut self, from: (u64, u64), level: u8, places: Vec<Place>, more: bool) {
        self.targets.told(from, level, places, more);
    }

    /// A document that was to be issued has changed.
    pub(super) fn void(&mut self, order: Order) {
        self.targets.give_back(order);
        self.accepted -= 1;
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
        let finished = self.targets.has(3) || self.has_no_starts();
        finished && self.targets.is_done() && self.batch.is_none() && self.accepted == self.confirmed
    }

    fn has_no_starts(&self) -> bool {
        !self.draws || self.schedule.is_done() || self.limit.is_reached()
    }

    /// Why level 3 has no more draws, if it has none.
    fn shortage(&self) -> Option<Shortage> {
        let used_up = self.schedule.is_done() && self.batch.is_none() && self.limit.is_empty();
        if self.limit.is_reached() { Some(Shortage::Limit) } else { used_up.then_some(Shortage::Exhausted) }
    }

    /// Why levels have no more draws; what a resumed settlement has used up is not all there is.
    fn shortages(&self) -> BTreeMap<u8, Shortage> {
        let mut shortages = self.targets.shortages(self.shortage());
        let used_up = shortages.values_mut().filter(|it| self.resumed && **it == Shortage::Exhausted);
        used_up.for_each(|it| *it = Shortage::Resumed);
        shortages
    }

    /// One turn: the letters to be sent. `frontier` is that of the draws, `now` the present epoch; starts to be drawn in it
    /// go to `starts`. `recording` says that the settlement handed over is not committed yet, `at_rest` that all is known that
    /// generate withdraws.
    pub(super) fn turn(
        &mut self,
        context: &Context,
        watch: &Watch,
        (frontier, now): (u64, u64),
        (recording, at_rest): (bool, bool),
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
            Stage::Drawing => self.draw(context, watch, (frontier, now), at_rest, starts, &mut mail),
            Stage::Rested if !context.drain => self.wait_for_more(context, watch)?,
            _ => (),
        }
        Ok(mail)
    }

    /// All workers load the index up to a cut: that of the open settlement, or where `extractions` ends now.
    fn begin_settlement(&mut self, mail: &mut Vec<Mail>) {
        self.targets.look_again();
        self.give_back();
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
        self.resumed = resumed.is_some();
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

    /// Issues the next batch of starts, accepts the outcomes of the last one, in order, and draws documents.
    fn draw(
        &mut self,
        context: &Context,
        watch: &Watch,
        (frontier, now): (u64, u64),
        at_rest: bool,
        starts: &mut Vec<Start>,
        mail: &mut Vec<Mail>,
    ) {
        if self.batch.is_some_and(|epoch| frontier > epoch) {
            self.batch = None;
            if !self.targets.has(3) {
                let accepted = self.limit.accept(self.schedule.peek());
                self.send(accepted, None, mail);
            }
        }
        if !context.stopping() {
            self.draw_for_targets(context, watch, at_rest, mail);
        }
        let wanted = !self.targets.has(3) || self.targets.may_grant(watch, 3, at_rest);
        let room = self.room(context, watch);
        if self.batch.is_none() && !self.has_no_starts() && wanted && room > 0 && !context.stopping() {
            let missing = self.targets.combinations_missing(watch, 3).unwrap_or(BATCH.1);
            let wanted = self.limit.remaining().unwrap_or(BATCH.1).min(missing).saturating_mul(2);
            let size = wanted.clamp(BATCH.0, BATCH.1).min(room.max(BATCH.0));
            let orders = std::iter::from_fn(|| self.schedule.next()).take(size as usize);
            starts.extend(orders.map(|order| Start { node: order.node, kind: self.kind, start: order.start }));
            self.batch = Some(now);
        }
        if self.targets.find_the_end(context, watch, self.shortage(), at_rest) {
            context.note_shortages(self.shortages());
        }
        if self.settled && self.has_drawn_all() {
            self.close();
        }
    }

    /// How many more combinations may wait.
    fn room(&self, context: &Context, watch: &Watch) -> u64 {
        context.room_for_combinations(watch.waiting() + (self.accepted - self.confirmed))
    }

    /// What targets allow now: outcomes that are there, and documents, of one level after the other.
    fn draw_for_targets(&mut self, context: &Context, watch: &Watch, at_rest: bool, mail: &mut Vec<Mail>) {
        let mut in_vain = 0;
        while in_vain < self.targets.len() && self.room(context, watch) > 0 {
            let drawn = match self.targets.next_turn() {
                3 => self.accept_one(watch, at_rest, mail),
                level => self.draw_document(watch, level, at_rest, mail),
            };
            in_vain = if drawn { 0 } else { in_vain + 1 };
        }
        if !self.settled {
            self.targets.look_for_new();
            if self.targets.has(3) && self.batch.is_none() && self.targets.credit(watch, 3) == 0 {
                self.give_back();
            }
        }
    }

    /// Accepts outcomes up to the next combination, if one may be issued. Says whether there is one.
    fn accept_one(&mut self, watch: &Watch, at_rest: bool, mail: &mut Vec<Mail>) -> bool {
        if self.batch.is_some() || !self.targets.may_grant(watch, 3, at_rest) {
            return false;
        }
        let mut accepted = Vec::new();
        let found = self.limit.accept_one(self.schedule.peek(), &mut accepted);
        let most = if found { self.targets.grant(watch, 3, at_rest) } else { None };
        self.send(accepted, most, mail);
        found
    }

    /// Draws the next document of a level, if one may be issued. Says whether there is one.
    fn draw_document(&mut self, watch: &Watch, level: u8, at_rest: bool, mail: &mut Vec<Mail>) -> bool {
        let Some((to, order)) = self.targets.draw(watch, level, at_rest, mail) else { return false };
        self.accepted += 1;
        mail.push(Mail { to, letter: Letter::Draw(order) });
        true
    }

    /// Outcomes don't wait for samples to be withdrawn while the graph goes on: their starts are made again then.
    fn give_back(&mut self) {
        for (node, start) in self.limit.give_back() {
            self.schedule.set_started(node, start);
        }
    }

    /// Sends accepted outcomes to the owners of their starts; the combination among them may bring `most` samples.
    fn send(&mut self, accepted: Vec<Outcome>, most: Option<u32>, mail: &mut Vec<Mail>) {
        self.accepted += accepted.len() as u64;
        let settlement = self.settlement.as_ref().map(|settlement| settlement.number);
        mail.extend(accepted.into_iter().map(|outcome| self.to_owner(outcome, settlement, most)));
    }

    fn close(&mut self) {
        match self.settlement.as_mut() {
            Some(settlement) => {
                settlement.closed = true;
                self.to_record = Some(settlement.clone());
                self.to_tell = Some(self.shortages());
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
        if done && (grown || self.targets.want_more(watch, self.shortage())) {
            self.stage = Stage::Waiting(documents_end(context)?);
        }
        Ok(())
    }

    fn to_all(&self, letter: &Letter) -> Vec<Mail> {
        (0..self.peers as u64).map(|to| Mail { to, letter: letter.clone() }).collect()
    }

    fn to_owner(&self, outcome: Outcome, settlement: Option<u64>, most: Option<u32>) -> Mail {
        let to = owner_of(outcome.node, self.shards);
        Mail { to, letter: Letter::Accepted { outcome: Box::new(outcome), settlement, most } }
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
        (graph.aliases.iter().collect::<Vec<_>>(), graph.subsets),
    );
    synthllm_operators::id::digest(&synthllm_operators::codec::encode(&settings))
}
