//! The role graph in settled mode. Driven directly: which settlement draws are made in, `Schedule` (which starts are owed), `Limit`
//! (which outcomes are accepted, in which order), `starts` (how they move), `is_superseded`, the books. What a walk finds is
//! scripted: the documents of the live set.

use std::collections::{BTreeMap, BTreeSet};

use synthllm_operators::graph::{Found, Outcome as Drawn};
use synthllm_operators::id::{self, ConceptId};
use synthllm_operators::limit::{Limit, starts};
use synthllm_operators::record::{Origin, Pointer, Role, Settlement};
use synthllm_operators::revise::Known;
use synthllm_operators::schedule::{Order, Quota, Schedule};
use synthllm_operators::settlement::{self, Sight};
use synthllm_operators::upsert::is_superseded;

use crate::extract::home_of;
use crate::log::{Combination, Log, Logs, Place, Value};
use crate::process::{Output, Process, World};
use crate::rules::{Rule, Rules};
use crate::spelled::Spelled;

/// The seed of all draws.
const SEED: u64 = 7;

/// What became of a record of `extractions`: its combination of level 1.
#[derive(Clone, PartialEq, Hash, Debug)]
pub struct Outcome(Option<Combination>);

/// Where the coordinator stands.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, Debug)]
enum Phase {
    #[default]
    Waiting,
    /// The settlement is to be recorded, or is being recorded.
    Recording,
    Drawing,
    /// Its end is to be recorded, or is being recorded.
    Closing,
    Rested,
}

/// The live documents: of each its extraction's offset, and what is known.
type LiveSet = BTreeMap<u8, (u64, Known)>;

/// The role's state in a process.
#[derive(Clone, Default, Hash, Debug)]
pub struct Graph {
    phase: Phase,
    settlement: Option<Settlement>,
    /// Whether it waits to be written by graph/0, or is in the transaction under way.
    to_record: bool,
    recording: bool,
    /// The index at the cut.
    index: LiveSet,
    /// Starts issued per node; at a start, those that have their outcome.
    issued: BTreeMap<ConceptId, u64>,
    limit: Spelled<Option<Limit>>,
    /// The batch under way: starts whose walks have not ended.
    walks: BTreeSet<Order>,
    batch: bool,
    /// Accepted outcomes by shard, waiting for a transaction, and how many are in one under way.
    accepted: Spelled<BTreeMap<u32, Vec<Drawn>>>,
    ordered: BTreeMap<u32, usize>,
}

/// The live set below a cut.
fn live_set(logs: &Logs, cut: &[u64]) -> LiveSet {
    let mut live = LiveSet::new();
    for (partition, end) in (0..).zip(cut) {
        for (offset, value) in logs.read((Log::Extractions, partition), 0).filter(|(offset, _)| offset < end) {
            match value {
                Value::Extraction(document, Some(known)) => _ = live.insert(*document, (offset, *known)),
                Value::Extraction(document, None) => _ = live.remove(document),
                _ => (),
            }
        }
    }
    live
}

/// What a live set is recognised by.
pub fn digest(live: &LiveSet) -> u128 {
    id::digest(
        format!("{:?}", live.iter().map(|(document, (_, known))| (document, known.version)).collect::<Vec<_>>()).as_bytes(),
    )
}

/// A document has one topic, and there are two.
fn topic_of(known: &Known) -> ConceptId {
    // These lie in shards 0 and 1.
    ConceptId(u64::try_from(known.content_hash % 2).unwrap_or_default())
}

fn shard_of(node: ConceptId) -> u32 {
    (node.0 % 2) as u32
}

fn reference(document: u8, place: u64, known: &Known) -> (u8, Pointer, Pointer) {
    (document, known.version, Pointer { partition: home_of(document).1, offset: place })
}

impl Graph {
    pub fn load(&mut self, world: &World) {
        let progress = [0, 1].into_iter().flat_map(|partition| world.logs.read((Log::Progress, partition), 0));
        for (_, value) in progress {
            match value {
                Value::Starts(node, started) => _ = self.issued.insert(*node, *started),
                Value::Settlement(settlement) => self.settlement = Some(settlement.clone()),
                _ => (),
            }
        }
    }

    /// Begins or resumes a settlement: the index is loaded up to its cut.
    pub fn settle(&mut self, logs: &Logs, rules: Rules) {
        let ends: Vec<u64> = [0, 1].map(|partition| logs.stable_end((Log::Extractions, partition))).to_vec();
        let resumed = settlement::open(self.settlement.as_ref());
        let cut = resumed.as_ref().map_or_else(|| ends.clone(), |settlement| settlement.cut.clone());
        self.index = live_set(logs, &cut);
        let sight = Sight { digest: digest(&self.index), settings: 0 };
        let resumes = |it: &Settlement| sight.resumes(it) || !rules.hold(Rule::SettlementDigest);
        let settlement = match resumed {
            Some(settlement) if resumes(&settlement) => settlement,
            Some(_) => {
                self.index = live_set(logs, &ends);
                let sight = Sight { digest: digest(&self.index), settings: 0 };
                sight.begin(self.settlement.as_ref(), ends, [0; 3])
            }
            None => sight.begin(self.settlement.as_ref(), cut, [0; 3]),
        };
        self.settlement = Some(settlement);
        self.limit = Spelled(Some(Limit::new(SEED, None)));
        (self.phase, self.to_record) = (Phase::Recording, rules.hold(Rule::SettlementRecorded));
        if !self.to_record {
            self.phase = Phase::Drawing;
        }
    }

    /// Whether a settlement may begin: there is none yet, or there is more than its cut.
    pub fn can_settle(&self, logs: &Logs) -> bool {
        let beyond = |(partition, cut): (u32, &u64)| logs.stable_end((Log::Extractions, partition)) > *cut;
        let grown = self.settlement.iter().any(|it| (0..).zip(&it.cut).any(beyond));
        self.phase == Phase::Waiting || (self.phase == Phase::Rested && grown)
    }

    /// Up to where records are read for their outputs.
    pub fn hold(&self, partition: u32) -> u64 {
        let open = matches!(self.phase, Phase::Drawing | Phase::Closing | Phase::Rested);
        self.settlement.as_ref().filter(|_| open).map_or(0, |settlement| settlement.cut[partition as usize])
    }

    fn schedule(&self, quota: u32) -> Schedule {
        let mut schedule = Schedule::new(SEED, Quota { epochs: quota, starts_per_document: 0.0 });
        for node in [ConceptId(0), ConceptId(1)] {
            let documents = self.index.values().filter(|(_, known)| topic_of(known) == node).count();
            schedule.set_documents(node, documents as u64);
            schedule.set_started(node, self.issued.get(&node).copied().unwrap_or(0));
        }
        schedule
    }

    /// Whether a batch of starts can be drawn.
    pub fn can_draw(&self, quota: u32) -> bool {
        self.phase == Phase::Drawing && !self.batch && !self.schedule(quota).is_done()
    }

    /// Issues all starts that are owed.
    pub fn draw(&mut self, quota: u32) {
        let mut schedule = self.schedule(quota);
        while let Some(order) = schedule.next() {
            *self.issued.entry(order.node).or_default() = order.start + 1;
            self.walks.insert(order);
        }
        self.batch = true;
    }

    /// The walks under way.
    pub fn walks(&self) -> impl Iterator<Item = Order> {
        self.walks.iter().copied()
    }

    /// A walk ends. When it was the last of its batch, outcomes are accepted in order; they go to the owners of their nodes.
    pub fn walked(&mut self, order: Order, quota: u32, rules: Rules) {
        self.walks.remove(&order);
        let drawn = Drawn {
            node: order.node,
            start: order.start,
            result: self.find(order),
            capped: false,
            stuck: [false; 3],
            rejections: 0,
        };
        if !rules.hold(Rule::StartsInOrder) {
            self.batch = !self.walks.is_empty();
            return self.accepted.entry(shard_of(order.node)).or_default().push(drawn);
        }
        let next = self.schedule(quota).peek();
        let Some(limit) = self.limit.as_mut() else { return };
        limit.offer(drawn);
        if self.walks.is_empty() {
            self.batch = false;
            for drawn in limit.accept(next) {
                self.accepted.entry(shard_of(drawn.node)).or_default().push(drawn);
            }
        }
    }

    /// The second start of a node is stuck, unless two documents live.
    fn find(&self, order: Order) -> Found {
        if order.start == 1 && self.index.len() < 2 {
            return Found::Stuck;
        }
        Found::Combination { walk: Vec::new(), references: Vec::new() }
    }

    /// Whether all draws are committed, and the end of the settlement is to be recorded.
    pub fn can_close(&self, quota: u32) -> bool {
        let idle = self.walks.is_empty() && self.accepted.is_empty() && self.ordered.is_empty();
        self.phase == Phase::Drawing && idle && self.schedule(quota).is_done()
    }

    pub fn close(&mut self) {
        self.settlement.iter_mut().for_each(|settlement| settlement.closed = true);
        (self.phase, self.to_record) = (Phase::Closing, true);
    }

    /// Whether a shard has something to write without any output.
    pub fn owes(&self, shard: u32) -> bool {
        self.accepted.contains_key(&shard) || (shard == 0 && self.to_record)
    }

    /// Whether nothing is under way.
    pub fn is_quiet(&self) -> bool {
        self.phase == Phase::Rested || self.phase == Phase::Waiting
    }

    /// The records of a transaction of a shard.
    pub fn records(&mut self, shard: u32, outputs: Vec<(Origin, Output)>) -> Vec<(Place, Value)> {
        let place = (Log::Combinations, shard);
        let mut records = Vec::new();
        for (_, output) in outputs {
            if let Output::Graph(Outcome(Some(combination))) = output {
                records.push((place, Value::Combination(combination)));
            }
        }
        let accepted = self.accepted.remove(&shard).unwrap_or_default();
        if !accepted.is_empty() {
            self.ordered.insert(shard, accepted.len());
        }
        let combinations = accepted.iter().filter_map(|drawn| self.combination(drawn));
        records.extend(combinations.map(|combination| (place, Value::Combination(combination))));
        records.extend(accepted.iter().map(|drawn| ((Log::Progress, shard), Value::Walked(drawn.node, drawn.start))));
        let moved = starts(&accepted).into_iter();
        records.extend(moved.map(|(node, started)| ((Log::Progress, shard), Value::Starts(node, started))));
        if shard == 0 && self.to_record {
            (self.to_record, self.recording) = (false, true);
            records.extend(self.settlement.clone().map(|it| ((Log::Progress, 0), Value::Settlement(it))));
        }
        records
    }

    fn combination(&self, drawn: &Drawn) -> Option<Combination> {
        let Found::Combination { .. } = drawn.result else { return None };
        let references = self.index.iter().take(2).map(|(document, (at, known))| reference(*document, *at, known)).collect();
        let settlement = self.settlement.as_ref().map_or(0, |settlement| settlement.number);
        Some(Combination {
            id: id::walk_combination(SEED, drawn.node, drawn.start),
            references,
            question: 100 + (drawn.start % 2) as u8,
            fails: false,
            drawn: Some((settlement, digest(&self.index))),
        })
    }

    /// A transaction of a shard is confirmed.
    pub fn confirmed(&mut self, shard: u32) {
        self.ordered.remove(&shard);
        if shard == 0 && std::mem::take(&mut self.recording) {
            self.phase = if self.phase == Phase::Closing { Phase::Rested } else { Phase::Drawing };
        }
    }
}

impl Process {
    /// A record of `extractions` was read for its outputs: a combination of the document's version.
    pub fn issue(&mut self, origin: Origin, document: u8, known: Option<Known>) {
        let last = self.graph.index.get(&document).map(|(offset, _)| *offset);
        let superseded = is_superseded(origin.offset, self.graph.hold(origin.shard), last);
        let combination = known.filter(|_| !superseded).map(|known| Combination {
            id: id::document_combination(1, &document.to_string(), known.version, 0),
            references: vec![reference(document, origin.offset, &known)],
            question: (known.content_hash % 3) as u8,
            fails: false,
            drawn: None,
        });
        let shard = self.shards.get_mut(&(Role::Graph, origin.shard)).expect("the shard that read it");
        shard.ledger.made(self.clock, origin, Output::Graph(Outcome(combination)));
    }
}
