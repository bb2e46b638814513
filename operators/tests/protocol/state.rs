//! The whole: logs, the present process and a zombie, what may still go wrong, and the steps that are possible.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash as _, Hasher};
use std::ops::Range;
use std::rc::Rc;

use synthllm_operators::id::Id;
use synthllm_operators::provenance::Withdraw;
use synthllm_operators::record::{Origin, Role};
use synthllm_operators::schedule::Order;
use xxhash_rust::xxh3::xxh3_128;

use crate::log::{Combination, Log, Logs, Owner, Place, Transaction, Value};
use crate::process::{Process, Stop, World, ensure, input_of, journal_of};
use crate::rules::Rules;

/// What is explored: which roles, on which histories, with how many faults.
#[derive(Clone, Debug)]
pub struct Scenario {
    pub name: &'static str,
    pub roles: Vec<Role>,
    /// What others write, in this order, at any time.
    pub script: Vec<(Place, Value)>,
    /// How many records of the script are there before the first start.
    pub before: usize,
    /// Records of a shard in flight.
    pub window: usize,
    pub crashes: u8,
    pub zombies: Zombies,
    pub compactions: u8,
    pub withdraw: Withdraw,
    /// Starts per node that has a document.
    pub starts: u32,
}

/// When a process may stop for a while, so that another one is started, and go on later.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Zombies {
    Never,
    /// While it starts: two start together.
    InStart,
    AtWork,
    Always,
}

/// What a search should have come across.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Event {
    Kill,
    Freeze,
    /// A process has found that it was replaced.
    Refusal,
    Compaction,
    /// A journal was trimmed.
    Trim,
    /// A transaction that was left open was given up.
    Expiry,
}

/// What the checks remember: a function of the committed logs.
#[derive(Clone, Default, Debug)]
pub struct Ghost {
    outcomes: BTreeSet<(Owner, u64)>,
    pub samples: BTreeMap<Id, Combination>,
    pub combinations: BTreeSet<Id>,
    /// Questions whose answer has failed, that were ever asked by a sample, and combinations dropped as duplicates.
    pub failed: BTreeSet<u8>,
    pub sampled: BTreeSet<u8>,
    pub dropped: BTreeSet<Combination>,
}

/// Which process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Who {
    Present,
    Zombie,
}

/// One step.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    /// The next record of the script is written.
    Write,
    Start,
    Kill,
    /// The process stops for a while, and another one is started.
    Freeze,
    /// The broker gives up a transaction that nobody will commit.
    Expire(Transaction),
    Compact(Place, u64),
    By(Who, Act),
}

/// What a process does.
#[derive(Clone, Copy, Debug)]
pub enum Act {
    Fence(Owner),
    Claim(Owner),
    Load(Owner),
    Read(Owner),
    Answer(Role, Origin),
    Order(Owner),
    Commit(Owner),
    Confirm(Owner),
    Trim(Owner),
    /// Generate reads on in a partition of `extractions`.
    Follow(u32),
    Settle,
    Draw,
    Walk(Order),
    Close,
}

/// A state of the whole.
#[derive(Clone)]
pub struct State {
    pub scenario: Rc<Scenario>,
    pub rules: Rules,
    pub logs: Logs,
    pub ghost: Rc<Ghost>,
    pub written: usize,
    pub present: Option<Rc<Process>>,
    pub zombie: Option<Rc<Process>>,
    crashes: u8,
    compactions: u8,
}

impl State {
    pub fn new(scenario: Scenario, rules: Rules) -> Self {
        let mut logs = Logs::default();
        scenario.script[..scenario.before].iter().for_each(|(place, value)| _ = logs.append(*place, value.clone()));
        let (crashes, compactions, written) = (scenario.crashes, scenario.compactions, scenario.before);
        let mut ghost = Ghost::default();
        let values: Vec<Value> = scenario.script[..scenario.before].iter().map(|(_, value)| value.clone()).collect();
        ghost.note(&values).expect("a history is a possible one");
        let (scenario, ghost) = (Rc::new(scenario), Rc::new(ghost));
        State { scenario, rules, logs, ghost, written, present: None, zombie: None, crashes, compactions }
    }

    /// What states are recognised by.
    pub fn fingerprint(&self, text: &mut Text) -> u128 {
        text.0.clear();
        (&self.logs, &self.present, &self.zombie, self.written, self.crashes, self.compactions).hash(text);
        xxh3_128(&text.0)
    }

    /// The steps that do something useful. When there is none, everything must be caught up.
    pub fn steps(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        if self.written < self.scenario.script.len() {
            steps.push(Step::Write);
        }
        match &self.present {
            None => steps.push(Step::Start),
            Some(process) => self.acts(process, Who::Present, &mut steps),
        }
        if let Some(process) = &self.zombie {
            self.acts(process, Who::Zombie, &mut steps);
        }
        let living = [&self.present, &self.zombie].into_iter().flatten();
        let under_way: Vec<Transaction> = living
            .flat_map(|process| process.shards.values())
            .filter_map(|it| Some(it.under_way.as_ref()?.transaction))
            .collect();
        steps.extend(self.logs.open().filter(|it| !under_way.contains(it)).map(Step::Expire));
        steps
    }

    /// Faults, and compaction.
    pub fn faults(&self) -> Vec<Step> {
        let mut faults = Vec::new();
        if self.present.is_some() && self.crashes > 0 {
            faults.push(Step::Kill);
            let starts = self.present.as_ref().is_some_and(|it| it.starts());
            let zombies = match self.scenario.zombies {
                Zombies::Never => false,
                Zombies::InStart => starts,
                Zombies::AtWork => !starts,
                Zombies::Always => true,
            };
            if zombies && self.zombie.is_none() {
                faults.push(Step::Freeze);
            }
        }
        if self.compactions > 0 {
            for place in [Log::Documents, Log::Extractions].into_iter().flat_map(|log| [(log, 0), (log, 1)]) {
                faults.extend(self.logs.compactable(place).into_iter().map(|offset| Step::Compact(place, offset)));
            }
        }
        faults
    }

    fn acts(&self, process: &Process, who: Who, steps: &mut Vec<Step>) {
        let mut acts = Vec::new();
        let ousted = who == Who::Zombie && process.is_ousted(&self.logs);
        for (&owner, shard) in &process.shards {
            match &shard.under_way {
                Some(under_way) if under_way.committed => acts.push(Act::Confirm(owner)),
                Some(_) if !ousted => acts.push(Act::Commit(owner)),
                _ => (),
            }
            if shard.trim > self.logs.start(journal_of(owner)) {
                acts.push(Act::Trim(owner));
            }
            if ousted {
                continue;
            }
            if process.can_fence(owner, self.rules) {
                acts.push(Act::Fence(owner));
            }
            if process.can_claim(owner, self.rules) {
                acts.push(Act::Claim(owner));
            }
            if process.can_load(owner, &self.logs, self.rules) {
                acts.push(Act::Load(owner));
            }
            if !process.is_open(owner, self.rules) {
                continue;
            }
            if self.can_read(process, owner) {
                acts.push(Act::Read(owner));
            }
            if process.can_order(owner, &self.scenario, self.rules) {
                acts.push(Act::Order(owner));
            }
            let calls = match owner.0 {
                Role::Extract => process.extract.calls(owner.1),
                Role::Generate => process.generate.calls(owner.1),
                Role::Graph => Vec::new(),
            };
            acts.extend(calls.into_iter().map(|offset| Act::Answer(owner.0, Origin { shard: owner.1, offset })));
        }
        if !ousted {
            self.acts_of_roles(process, &mut acts);
        }
        steps.extend(acts.into_iter().map(|act| Step::By(who, act)));
    }

    fn acts_of_roles(&self, process: &Process, acts: &mut Vec<Act>) {
        if self.scenario.roles.contains(&Role::Generate) && process.is_open((Role::Generate, 0), self.rules) {
            let behind = |&partition: &u32| {
                process.generate.is_behind(partition, self.logs.stable_end((Log::Extractions, partition)))
            };
            acts.extend([0, 1].into_iter().filter(behind).map(Act::Follow));
        }
        let starts = self.scenario.starts;
        if self.scenario.roles.contains(&Role::Graph) && process.is_open((Role::Graph, 0), self.rules) {
            let graph = &process.graph;
            let done = |partition: u32| process.shards[&(Role::Graph, partition)].ledger.position() >= graph.hold(partition);
            let ready = graph.can_settle(&self.logs) && done(0) && done(1) && self.written >= self.scenario.before.max(1);
            acts.extend(ready.then_some(Act::Settle));
            acts.extend(graph.can_draw(starts).then_some(Act::Draw));
            acts.extend(graph.walks().map(Act::Walk));
            acts.extend(graph.can_close(starts).then_some(Act::Close));
        }
    }

    fn can_read(&self, process: &Process, owner: Owner) -> bool {
        let next = process.shards[&owner].next;
        let in_flight = match owner.0 {
            Role::Extract => process.extract.in_flight(owner.1),
            Role::Generate => process.generate.in_flight(owner.1),
            Role::Graph => 0,
        };
        let end = self.logs.stable_end(input_of(owner));
        let end = if owner.0 == Role::Graph { end.min(process.graph.hold(owner.1)) } else { end };
        in_flight < self.scenario.window && next < end
    }

    /// Takes a step.
    pub fn take(&self, step: Step) -> Result<State, String> {
        let mut next = self.clone();
        match step {
            Step::Write => {
                let (place, value) = self.scenario.script[self.written].clone();
                next.logs.append(place, value);
                next.written += 1;
            }
            Step::Start => next.present = Some(Rc::new(Process::new(&self.scenario))),
            Step::Kill => (next.present, next.crashes) = (None, self.crashes - 1),
            Step::Freeze => {
                (next.zombie, next.crashes) = (next.present.take(), self.crashes - 1);
            }
            Step::Expire(transaction) => next.logs.abort(transaction),
            Step::Compact(place, offset) => {
                next.logs.compact(place, offset);
                next.compactions -= 1;
            }
            Step::By(who, act) => next.act(who, act)?,
        }
        // It may as well exit now.
        next.zombie = next.zombie.filter(|it| !it.is_ousted(&next.logs) || it.can_still_trim(&next.logs));
        Ok(next)
    }

    /// What a step to `next` has been, if it is of note.
    pub fn event(step: Step, next: &State) -> Option<Event> {
        match step {
            Step::Kill => Some(Event::Kill),
            Step::Freeze => Some(Event::Freeze),
            Step::Compact(..) => Some(Event::Compaction),
            Step::Expire(_) => Some(Event::Expiry),
            Step::By(_, Act::Trim(_)) => Some(Event::Trim),
            Step::By(Who::Zombie, _) if next.zombie.is_none() => Some(Event::Refusal),
            Step::By(Who::Present, _) if next.present.is_none() => Some(Event::Refusal),
            _ => None,
        }
    }

    fn act(&mut self, who: Who, act: Act) -> Result<(), String> {
        let slot = if who == Who::Present { &mut self.present } else { &mut self.zombie };
        let Some(mut process) = slot.take() else { return Ok(()) };
        let (logs, ghost, scenario) = (&mut self.logs, Rc::make_mut(&mut self.ghost), &*self.scenario);
        let mut world = World { logs, ghost, scenario, rules: self.rules, zombie: who == Who::Zombie };
        match carry_out(Rc::make_mut(&mut process), act, &mut world) {
            Ok(()) => {
                Rc::make_mut(&mut process).rewind();
                *slot = Some(process);
            }
            // It exits. A process that was stopped in its start fences the present one when it goes on.
            Err(Stop::Fenced) if who == Who::Zombie || !process.is_owner(&self.logs) => (),
            Err(Stop::Fenced) => return Err("a transaction of the owner is refused".to_owned()),
            Err(Stop::Broken(invariant)) => return Err(invariant),
        }
        Ok(())
    }
}

fn carry_out(process: &mut Process, act: Act, world: &mut World) -> Result<(), Stop> {
    match act {
        Act::Fence(owner) => process.fence(owner, world),
        Act::Claim(owner) => process.claim_shard(owner, world)?,
        Act::Load(owner) => process.load(owner, world),
        Act::Read(owner) => return read(process, owner, world),
        Act::Answer(Role::Extract, origin) => process.extraction_answered(origin, world)?,
        Act::Answer(_, origin) => process.generation_answered(origin, world)?,
        Act::Order(owner) => process.order(owner, world)?,
        Act::Commit(owner) => process.commit(owner, world)?,
        Act::Confirm(owner) => process.confirm(owner, world.rules),
        Act::Trim(owner) => world.logs.trim(journal_of(owner), process.shards[&owner].trim, world.logs.progress(owner).0),
        Act::Follow(partition) => process.follow(partition, world)?,
        Act::Settle => process.graph.settle(world.logs, world.rules),
        Act::Draw => process.graph.draw(world.scenario.starts),
        Act::Walk(order) => process.graph.walked(order, world.scenario.starts, world.rules),
        Act::Close => process.graph.close(),
    }
    Ok(())
}

/// Reads the next record of a shard's input, in an epoch of its own; or moves the position over what holds none.
fn read(process: &mut Process, owner: Owner, world: &mut World) -> Result<(), Stop> {
    let place = input_of(owner);
    let hold = if owner.0 == Role::Graph { process.graph.hold(owner.1) } else { u64::MAX };
    let shard = process.shards.get_mut(&owner).expect("a process has the shards of its scenario");
    let found = world.logs.read(place, shard.next).next().map(|(offset, value)| (offset, value.clone()));
    process.clock += 1;
    let Some((offset, value)) = found.filter(|(offset, _)| *offset < hold) else {
        shard.next = world.logs.stable_end(place).min(hold);
        shard.ledger.has_read(process.clock, shard.next, 0, 0);
        return Ok(());
    };
    shard.next = offset + 1;
    shard.ledger.has_read(process.clock, shard.next, 1, 1);
    let origin = Origin { shard: owner.1, offset };
    match value {
        Value::Document(document, content) => process.revise(origin, document, content, world)?,
        Value::Extraction(document, known) => process.issue(origin, document, known),
        Value::Combination(combination) => process.take_up(origin, combination, world)?,
        _ => (),
    }
    Ok(())
}

/// A state, spelled out. Only its digest is kept.
#[derive(Default)]
pub struct Text(Vec<u8>);

impl Hasher for Text {
    fn write(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn finish(&self) -> u64 {
        unreachable!("the text is hashed as a whole")
    }
}

impl Ghost {
    /// A transaction is committed that writes these outcomes and moves the position: every record has exactly one outcome.
    pub fn account(&mut self, owner: Owner, outcomes: &[u64], passed: Range<u64>, logs: &Logs) -> Result<(), Stop> {
        for offset in outcomes {
            let first = self.outcomes.insert((owner, *offset));
            ensure(first, || format!("invariant 1: {owner:?} gives record {offset} a second outcome"))?;
        }
        let mut records =
            logs.read(input_of(owner), passed.start).map(|(offset, _)| offset).filter(|it| passed.contains(it));
        let lost = records.find(|offset| !self.outcomes.contains(&(owner, *offset)));
        ensure(lost.is_none(), || format!("invariant 1: {owner:?} passes record {lost:?} without an outcome"))
    }

    /// What a transaction has written is committed.
    pub fn note(&mut self, written: &[Value]) -> Result<(), Stop> {
        for value in written {
            match value {
                Value::Sample(sample, Some(combination)) => {
                    let earlier = self.samples.insert(*sample, combination.clone());
                    self.sampled.insert(combination.question);
                    ensure(earlier.is_none(), || format!("invariant 2: sample {sample} is written twice"))?;
                }
                Value::Sample(sample, None) => {
                    let earlier = self.samples.remove(sample);
                    ensure(earlier.is_some(), || format!("invariant 2: sample {sample} is withdrawn twice"))?;
                }
                Value::Combination(combination) => {
                    let first = self.combinations.insert(combination.id);
                    ensure(first, || format!("invariant 2: combination {} is written twice", combination.id))?;
                }
                Value::Failed(combination) => _ = self.failed.insert(combination.question),
                Value::Dropped(combination) => _ = self.dropped.insert(combination.clone()),
                _ => (),
            }
        }
        Ok(())
    }
}

/// A combination that is judged stale has a reference that is not live at the end of `extractions`.
pub fn check_stale(combination: &Combination, logs: &Logs) -> Result<(), Stop> {
    let live = crate::check::live(logs);
    let stands = |(document, version, _): &(u8, _, _)| live.get(document).is_some_and(|known| known.version == *version);
    let all = combination.references.iter().all(stands);
    ensure(!all, || format!("invariant 1: combination {} is skipped although its documents are live", combination.id))
}
