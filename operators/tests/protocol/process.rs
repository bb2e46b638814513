//! A process: shards that are fenced, loaded, and commit. The books of a shard are the implementation's [`Ledger`].

use std::collections::BTreeMap;

use synthllm_operators::journal::{Hit, low_mark};
use synthllm_operators::ledger::{Ledger, Needs, Snapshot};
use synthllm_operators::record::{Answer, JournalKey, Origin, Role, Usage};

use crate::extract::{self, Extract};
use crate::generate::{self, Generate};
use crate::graph::{self, Graph};
use crate::log::{Fenced, Log, Logs, Owner, Place, Transaction, Value};
use crate::rules::{Rule, Rules};
use crate::spelled::Spelled;
use crate::state::{Ghost, Scenario};

/// Why a process goes no further.
#[derive(Debug)]
pub enum Stop {
    /// Its owner was fenced: it exits.
    Fenced,
    /// An invariant is broken.
    Broken(String),
}

impl From<Fenced> for Stop {
    fn from(_: Fenced) -> Self {
        Stop::Fenced
    }
}

/// Fails with a broken invariant, unless it holds.
pub fn ensure(holds: bool, invariant: impl FnOnce() -> String) -> Result<(), Stop> {
    if holds { Ok(()) } else { Err(Stop::Broken(invariant())) }
}

/// What a process acts upon.
pub struct World<'w> {
    pub logs: &'w mut Logs,
    pub ghost: &'w mut Ghost,
    pub scenario: &'w Scenario,
    pub rules: Rules,
    /// Whether a new owner has started since.
    pub zombie: bool,
}

/// What is made of an input record.
#[derive(Clone, PartialEq, Hash, Debug)]
pub enum Output {
    Extract(extract::Outcome),
    Graph(graph::Outcome),
    Generate(generate::Outcome),
}

/// Where a shard is on its way to work.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Stage {
    Fresh,
    /// The state was read before the fence: a rule is left out.
    ReadUnfenced,
    Fenced,
    /// It is still the owner now that all shards of the role are fenced.
    Confirmed,
    Loaded,
}

/// A transaction under way.
#[derive(Clone, Hash, Debug)]
pub struct UnderWay {
    pub transaction: Transaction,
    pub position: u64,
    pub mark: u64,
    /// Origin and journal offset of its answers.
    pub answers: Vec<(u64, u64)>,
    /// The input records whose outcomes it writes.
    pub outcomes: Vec<u64>,
    pub committed: bool,
}

/// A shard.
#[derive(Clone, Hash, Debug)]
pub struct Shard {
    pub stage: Stage,
    pub generation: u32,
    pub ledger: Spelled<Ledger<Output>>,
    /// Where it reads on.
    pub next: u64,
    /// Where its journal ended when it was loaded.
    pub journal_end: u64,
    pub under_way: Option<UnderWay>,
    /// Below where it may trim its journal.
    pub trim: u64,
    /// The answers received since the last transaction: origin and key.
    received: Vec<(u64, JournalKey)>,
    /// The answers journaled by this process: origin and journal offset.
    journaled: Vec<(u64, u64)>,
    /// The frontier of the last transaction.
    frontier: u64,
}

impl Shard {
    fn new() -> Self {
        Shard {
            stage: Stage::Fresh,
            generation: 0,
            ledger: Spelled(Ledger::open(0, 0, Vec::new(), 0)),
            next: 0,
            journal_end: 0,
            under_way: None,
            trim: 0,
            received: Vec::new(),
            journaled: Vec::new(),
            frontier: 0,
        }
    }

    /// An answer of the model for the record at `origin`, read in `epoch`.
    pub fn answered(&mut self, epoch: u64, origin: Origin, call: &Call, text: &str) {
        self.received.push((origin.offset, call.key.clone()));
        self.ledger.answered(epoch, call.key.clone(), answer(origin, &call.request, text));
    }
}

/// A call of the model. The request names what is asked, by which payments are compared, whatever rule the key breaks.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Call {
    pub key: JournalKey,
    pub request: String,
}

/// An answer as the journal keeps it; the model's name stands for the request.
fn answer(origin: Origin, request: &str, text: &str) -> Answer {
    let usage = Usage::default();
    Answer { origin, text: text.to_owned(), truncated: false, model: request.to_owned(), usage, cost: 0.0 }
}

/// A process with all shards of the scenario's roles.
#[derive(Clone, Hash, Debug)]
pub struct Process {
    pub shards: BTreeMap<Owner, Shard>,
    pub clock: u64,
    pub extract: Extract,
    pub graph: Graph,
    pub generate: Generate,
}

/// The input of a shard.
pub fn input_of((role, shard): Owner) -> Place {
    match role {
        Role::Extract => (Log::Documents, shard),
        Role::Graph => (Log::Extractions, shard),
        Role::Generate => (Log::Combinations, shard),
    }
}

/// The journal of a shard; graph has none, and its partition stays empty.
pub fn journal_of((role, shard): Owner) -> Place {
    (if role == Role::Extract { Log::JournalExtract } else { Log::JournalGenerate }, shard)
}

impl Process {
    pub fn new(scenario: &Scenario) -> Self {
        let owners = scenario.roles.iter().flat_map(|&role| [(role, 0), (role, 1)]);
        Process {
            shards: owners.map(|owner| (owner, Shard::new())).collect(),
            clock: 0,
            extract: Extract::default(),
            graph: Graph::default(),
            generate: Generate::default(),
        }
    }

    /// Whether the gate of a shard is open.
    pub fn is_open(&self, owner: Owner, rules: Rules) -> bool {
        let of_role = |it: &Owner| it.0 == owner.0 && (rules.hold(Rule::OneGate) || it.1 == owner.1);
        self.shards.iter().filter(|(it, _)| of_role(it)).all(|(_, shard)| shard.stage == Stage::Loaded)
    }

    /// Whether no shard that this process has fenced was fenced by another one since.
    pub fn is_owner(&self, logs: &Logs) -> bool {
        self.shards.iter().all(|(owner, shard)| shard.stage < Stage::Fenced || logs.owns(*owner, shard.generation))
    }

    /// Whether it is still in its start.
    pub fn starts(&self) -> bool {
        self.shards.values().any(|shard| shard.stage != Stage::Loaded)
    }

    /// Whether all shards were fenced by another process since: nothing that is done here is seen by anybody, but for trims.
    pub fn is_ousted(&self, logs: &Logs) -> bool {
        self.shards.iter().all(|(owner, shard)| shard.stage >= Stage::Fenced && !logs.owns(*owner, shard.generation))
    }

    /// Whether a trim is still to come of what was committed.
    pub fn can_still_trim(&self, logs: &Logs) -> bool {
        self.shards.iter().any(|(owner, shard)| {
            shard.trim > logs.start(journal_of(*owner)) || shard.under_way.as_ref().is_some_and(|it| it.committed)
        })
    }

    /// Whether a shard can be fenced next: in the order of the shards, to keep histories few.
    pub fn can_fence(&self, owner: Owner, rules: Rules) -> bool {
        let stage = if rules.hold(Rule::FencedBeforeRead) { Stage::Fresh } else { Stage::ReadUnfenced };
        let before = self.shards.range(..owner).filter(|(it, _)| it.0 == owner.0);
        self.shards[&owner].stage == stage && before.into_iter().all(|(_, shard)| shard.stage > stage)
    }

    pub fn fence(&mut self, owner: Owner, world: &mut World) {
        let shard = self.shards.get_mut(&owner).expect("a process has the shards of its scenario");
        shard.generation = world.logs.fence(owner, world.rules);
        shard.stage = match shard.stage {
            Stage::ReadUnfenced => Stage::Loaded,
            _ if world.rules.hold(Rule::OwnershipConfirmed) => Stage::Fenced,
            _ => Stage::Confirmed,
        };
    }

    /// Whether a shard can make sure that it is still the owner: all shards of its role are fenced.
    pub fn can_claim(&self, owner: Owner, rules: Rules) -> bool {
        self.shards[&owner].stage == Stage::Fenced && self.is_next(owner, Stage::Fenced, rules)
    }

    /// Commits the progress as it stands.
    pub fn claim_shard(&mut self, owner: Owner, world: &mut World) -> Result<(), Stop> {
        let shard = self.shards.get_mut(&owner).expect("a process has the shards of its scenario");
        let (position, mark) = world.logs.progress(owner);
        let transaction = world.logs.begin(owner, shard.generation)?;
        world.logs.append_in(transaction, (Log::Progress, owner.1), Value::Shard(owner, position, mark));
        world.logs.commit(transaction)?;
        shard.stage = Stage::Confirmed;
        Ok(())
    }

    /// Whether all shards of a role are at a stage, and those before this one further: in their order, to keep histories few.
    fn is_next(&self, owner: Owner, stage: Stage, rules: Rules) -> bool {
        let at = |(it, shard): (&Owner, &Shard)| shard.stage > stage || (shard.stage == stage && *it >= owner);
        !rules.hold(Rule::OneGate) || self.shards.iter().filter(|(it, _)| it.0 == owner.0).all(at)
    }

    /// Whether a shard can be loaded: all shards of its role are fenced, and what it reads has no open transactions.
    pub fn can_load(&self, owner: Owner, logs: &Logs, rules: Rules) -> bool {
        let stage = if rules.hold(Rule::FencedBeforeRead) { Stage::Confirmed } else { Stage::Fresh };
        let ready = self.shards[&owner].stage == stage && self.is_next(owner, stage, rules);
        // Before the fence nothing tells a reader to wait.
        let waits = rules.hold(Rule::FencedBeforeRead);
        ready && (!waits || state_of(owner).into_iter().all(|place| reaches_the_end(logs, place, rules)))
    }

    pub fn load(&mut self, owner: Owner, world: &mut World) {
        let (position, mark) = world.logs.progress(owner);
        let journal = journal_of(owner);
        let from = mark.max(world.logs.start(journal));
        let found: Vec<Hit> =
            world.logs.read(journal, from).filter_map(|(offset, value)| hit(owner.1, offset, value)).collect();
        let end = world.logs.stable_end(journal);
        let shard = self.shards.get_mut(&owner).expect("a process has the shards of its scenario");
        shard.ledger = Spelled(Ledger::open(position, mark, found, end));
        (shard.next, shard.journal_end) = (position, end);
        shard.stage = if world.rules.hold(Rule::FencedBeforeRead) { Stage::Loaded } else { Stage::ReadUnfenced };
        match owner.0 {
            Role::Extract => self.extract.load(owner.1, world),
            Role::Graph => self.graph.load(world),
            Role::Generate => self.generate.load(world),
        }
    }

    /// When nothing is in flight, epochs are counted from the start again: they mean nothing beyond that.
    pub fn rewind(&mut self) {
        let idle = |shard: &Shard| shard.ledger.is_empty() && shard.frontier == 0;
        if self.extract.first_open().is_none() && self.generate.first_open().is_none() && self.shards.values().all(idle) {
            self.clock = 0;
        }
    }

    /// The first epoch of a role that is still open.
    pub fn frontier(&self, role: Role) -> u64 {
        let open = match role {
            Role::Extract => self.extract.first_open(),
            Role::Graph => None,
            Role::Generate => self.generate.first_open(),
        };
        open.unwrap_or(self.clock + 1)
    }

    /// Whether a shard has a transaction to order.
    pub fn can_order(&self, owner: Owner, scenario: &Scenario, rules: Rules) -> bool {
        let shard = &self.shards[&owner];
        let owed = match owner.0 {
            Role::Extract => false,
            Role::Graph => self.graph.owes(owner.1),
            Role::Generate => self.generate.owes(owner.1, scenario.withdraw, rules),
        };
        shard.under_way.is_none() && (owed || shard.ledger.is_due(self.frontier(owner.0)))
    }

    /// Takes a snapshot, and produces the records of its transaction.
    pub fn order(&mut self, owner: Owner, world: &mut World) -> Result<(), Stop> {
        let frontier = self.frontier(owner.0);
        let shard = self.shards.get_mut(&owner).expect("a process has the shards of its scenario");
        let mut snapshot = shard.snapshot(frontier, world.rules);
        shard.check_durable(owner, &snapshot)?;
        if !world.rules.hold(Rule::PositionOfTheSnapshot) {
            snapshot.position = shard.next;
        }
        let transaction = world.logs.begin(owner, shard.generation)?;
        let Snapshot { outputs, answers, position, needs } = snapshot;
        let mut places = Vec::new();
        for (key, answer) in answers {
            let origin = answer.origin.offset;
            let value = Value::Answer { key, origin, text: answer.text, request: answer.model };
            places.push((origin, world.logs.append_in(transaction, journal_of(owner), value)));
        }
        let first_new = places.first().map(|place| place.1);
        let mark = self.shards[&owner].mark(needs, position, first_new, world.rules);
        let outcomes = outputs.iter().map(|(origin, _)| origin.offset).collect();
        let records = match owner.0 {
            Role::Extract => extract::records(outputs),
            Role::Graph => self.graph.records(owner.1, outputs),
            Role::Generate => self.generate.records(owner.1, outputs, world),
        };
        for (place, value) in records {
            world.logs.append_in(transaction, place, value);
        }
        world.logs.append_in(transaction, (Log::Progress, owner.1), Value::Shard(owner, position, mark));
        let shard = self.shards.get_mut(&owner).expect("a process has the shards of its scenario");
        if !world.rules.hold(Rule::AnswersOfTheSnapshot) {
            shard.frontier = frontier;
        }
        if !world.rules.hold(Rule::TrimConfirmed) {
            shard.trim = mark;
        }
        shard.under_way = Some(UnderWay { transaction, position, mark, answers: places, outcomes, committed: false });
        Ok(())
    }

    /// The broker commits the transaction under way, or refuses it.
    pub fn commit(&mut self, owner: Owner, world: &mut World) -> Result<(), Stop> {
        let shard = self.shards.get_mut(&owner).expect("a process has the shards of its scenario");
        let Some(under_way) = shard.under_way.as_mut() else { return Ok(()) };
        let former = world.logs.progress(owner).0;
        let written = world.logs.commit(under_way.transaction)?;
        under_way.committed = true;
        let (outcomes, position) = (under_way.outcomes.clone(), under_way.position);
        world.ghost.account(owner, &outcomes, former..position, world.logs)?;
        world.ghost.note(&written)
    }

    /// The shard takes note that its transaction is committed.
    pub fn confirm(&mut self, owner: Owner, rules: Rules) {
        let shard = self.shards.get_mut(&owner).expect("a process has the shards of its scenario");
        let Some(UnderWay { position, mark, answers, .. }) = shard.under_way.take() else { return };
        if !rules.hold(Rule::HitsHoldTheMark) {
            shard.journaled.extend(answers.iter().copied());
        }
        shard.trim = shard.ledger.confirmed(position, mark, answers).max(shard.trim);
        if owner.0 == Role::Graph {
            self.graph.confirmed(owner.1);
        }
    }
}

impl Shard {
    fn snapshot(&mut self, frontier: u64, rules: Rules) -> Snapshot<Output> {
        if rules.hold(Rule::AnswersOfTheSnapshot) {
            return self.ledger.snapshot(frontier);
        }
        // Outputs of the last frontier, answers of this one: those in between are in neither.
        let mut outputs = self.ledger.clone();
        let mut snapshot = self.ledger.snapshot(self.frontier);
        snapshot.answers = outputs.snapshot(frontier).answers;
        snapshot
    }

    /// An answer that was received is durable with the next transaction: it is journaled, or its outputs are written.
    fn check_durable(&mut self, owner: Owner, snapshot: &Snapshot<Output>) -> Result<(), Stop> {
        let kept = |key: &JournalKey| snapshot.answers.iter().any(|(of, _)| of == key);
        let lost = self.received.iter().find(|(origin, key)| *origin >= snapshot.position && !kept(key));
        ensure(lost.is_none(), || {
            format!("invariant 3: {owner:?} has received {lost:?}, and its transaction does not keep it")
        })?;
        self.received.clear();
        Ok(())
    }

    fn mark(&self, needs: Needs, position: u64, first_new: Option<u64>, rules: Rules) -> u64 {
        if rules.hold(Rule::HitsHoldTheMark) {
            return needs.low_mark(first_new);
        }
        let open = self.journaled.iter().filter(|(origin, _)| *origin >= position).map(|(_, offset)| *offset);
        low_mark(open.min(), first_new, needs.journal_end).max(needs.mark)
    }
}

/// The answer in a journal record, for a start.
fn hit(shard: u32, offset: u64, value: &Value) -> Option<Hit> {
    match value {
        Value::Answer { key, origin, text, request } => {
            let origin = Origin { shard, offset: *origin };
            Some(Hit { key: key.clone(), offset, answer: answer(origin, request, text) })
        }
        _ => None,
    }
}

/// The partitions that a shard reads to the end at its start.
fn state_of(owner: Owner) -> Vec<Place> {
    let logs: &[Log] = match owner.0 {
        Role::Extract => &[Log::Progress, Log::Extractions],
        Role::Graph => &[Log::Progress],
        Role::Generate => &[Log::Progress, Log::Extractions, Log::Samples],
    };
    let both = logs.iter().flat_map(|&log| [(log, 0), (log, 1)]);
    both.chain([journal_of(owner)]).collect()
}

/// Whether a `read_committed` client comes to the high watermark.
fn reaches_the_end(logs: &Logs, place: Place, rules: Rules) -> bool {
    if rules.hold(Rule::PositionsCountControlRecords) {
        return logs.stable_end(place) == logs.end(place);
    }
    let last = logs.read(place, 0).last().map_or(logs.start(place), |(offset, _)| offset + 1);
    last == logs.end(place)
}
