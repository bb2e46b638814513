//! The role generate. Driven directly: `Live` (which combinations are judged, and how), `Holders` (who holds a question), `stands`
//! (which samples are owed a withdrawal), the books.

use std::collections::BTreeMap;

use synthllm_operators::holders::{Claim, Holders};
use synthllm_operators::id::{self, DocumentId, Id};
use synthllm_operators::journal::Hit;
use synthllm_operators::live::{Incarnation, Live, Verdict};
use synthllm_operators::provenance::{Citation, Withdraw, stands};
use synthllm_operators::record::{Extraction, ExtractionHead, JournalKey, Origin, Provenance, Role};
use synthllm_operators::revise::Known;

use crate::log::{Combination, Log, Place, Value};
use crate::process::{Call, Output, Process, Stop, World, ensure};
use crate::rules::{Rule, Rules};
use crate::spelled::Spelled;
use crate::state::check_stale;

/// What became of a combination.
#[derive(Clone, PartialEq, Hash, Debug)]
pub enum Outcome {
    /// A reference is not live; it held its question or not.
    NotLive(Combination, bool),
    Duplicate(Combination),
    Buried(Combination),
    Sampled(Combination),
}

#[derive(Clone, PartialEq, Hash, Debug)]
enum Phase {
    /// Its references are not read yet.
    Unjudged,
    /// A call is under way.
    Asked(Call),
    /// Another one holds its question.
    Waits,
}

/// A combination on its way. Its number is that of its asker.
#[derive(Clone, PartialEq, Hash, Debug)]
struct Case {
    number: u64,
    origin: Origin,
    epoch: u64,
    combination: Combination,
    hits: Spelled<Vec<Hit>>,
    phase: Phase,
}

/// The role's state in a process.
#[derive(Clone, Default, Hash, Debug)]
pub struct Generate {
    cases: Vec<Case>,
    /// The live documents, and how far each partition of `extractions` is read.
    live: BTreeMap<u8, Known>,
    read: BTreeMap<u32, u64>,
    holders: Holders,
    /// The samples that are committed or on their way there, with their shard.
    samples: BTreeMap<Id, (u32, Combination)>,
}

fn question_of(combination: &Combination) -> Id {
    Id(combination.question.into())
}

/// The id of a combination's only sample.
pub fn sample_of(combination: &Combination) -> Id {
    id::sample(combination.id, 0, 0)
}

/// A document as the roles after extract see it.
pub fn extraction(known: &Known) -> Extraction {
    let Known { content_hash, version, since, redo, redone } = *known;
    Extraction {
        text: None,
        version,
        since,
        redo,
        redone,
        content_hash,
        level: None,
        subject: None,
        topics: Vec::new(),
        key_concepts: Vec::new(),
        source: None,
        url: None,
        license: None,
        model: None,
        prompt: None,
        usage: synthllm_operators::record::Usage::default(),
        cost: 0.0,
    }
}

/// Whether a sample of a combination stands on these live documents.
pub fn is_owed_nothing(combination: &Combination, live: &BTreeMap<u8, Known>, withdraw: Withdraw, rules: Rules) -> bool {
    let documents = combination.references.iter().map(|(document, version, _)| (document.to_string(), *version)).collect();
    let provenance = Provenance { documents, question: question_of(combination) };
    let citations = Citation::all(sample_of(combination), 0, &provenance);
    citations.iter().zip(&combination.references).all(|((_, citation), (document, ..))| {
        let incarnation = live.get(document).map(|known| Incarnation::from(ExtractionHead::from(&extraction(known))));
        incarnation.is_some_and(|it| !rules.hold(Rule::SinceOfIncarnation) || stands(withdraw, citation, it))
    })
}

impl Generate {
    pub fn load(&mut self, world: &World) {
        for partition in [0, 1] {
            for (_, value) in world.logs.read((Log::Samples, partition), 0) {
                match value {
                    Value::Sample(sample, Some(combination)) => {
                        self.samples.insert(*sample, (partition, combination.clone()));
                    }
                    Value::Sample(sample, None) => _ = self.samples.remove(sample),
                    _ => (),
                }
            }
            self.follow(partition, world);
        }
        // In any order: the implementation reads partitions side by side. This one is the worst, newest first.
        let mut committed: Vec<_> = self.samples.values().map(|(_, combination)| combination.clone()).collect();
        committed.sort_by_key(|combination| std::cmp::Reverse(combination.references.clone()));
        for combination in committed {
            self.holders.committed(question_of(&combination), sample_of(&combination));
        }
    }

    /// Reads a partition of `extractions` to its stable end.
    fn follow(&mut self, partition: u32, world: &World) {
        let place = (Log::Extractions, partition);
        let from = self.read.get(&partition).copied().unwrap_or(0);
        for (_, value) in world.logs.read(place, from) {
            match value {
                Value::Extraction(document, Some(known)) => _ = self.live.insert(*document, *known),
                Value::Extraction(document, None) => _ = self.live.remove(document),
                _ => (),
            }
        }
        self.read.insert(partition, world.logs.stable_end(place));
    }

    /// Whether there is more to read in a partition of `extractions`.
    pub fn is_behind(&self, partition: u32, world_end: u64) -> bool {
        self.read.get(&partition).is_some_and(|read| *read < world_end)
    }

    fn judge(&self, combination: &Combination, rules: Rules) -> Verdict {
        let mut live = Live::default();
        for (document, known) in &self.live {
            live.apply(DocumentId((*document).into()), Some((&extraction(known)).into()));
        }
        self.read.iter().for_each(|(partition, position)| live.read_to(*partition, *position));
        let judge = |(document, version, place): &(u8, _, _)| live.judge(DocumentId((*document).into()), *version, *place);
        let verdicts: Vec<Verdict> = combination.references.iter().map(judge).collect();
        let unread = verdicts.contains(&Verdict::Unread);
        if unread && rules.hold(Rule::JudgedAfterReading) {
            return Verdict::Unread;
        }
        if verdicts.iter().all(|verdict| *verdict == Verdict::Live) { Verdict::Live } else { Verdict::Stale }
    }

    pub fn first_open(&self) -> Option<u64> {
        self.cases.iter().map(|case| case.epoch).min()
    }

    pub fn in_flight(&self, shard: u32) -> usize {
        self.cases.iter().filter(|case| case.origin.shard == shard).count()
    }

    /// The combinations for which a call is under way.
    pub fn calls(&self, shard: u32) -> Vec<u64> {
        let asked = |case: &&Case| case.origin.shard == shard && matches!(case.phase, Phase::Asked(_));
        self.cases.iter().filter(asked).map(|case| case.origin.offset).collect()
    }

    /// The samples that a shard must withdraw.
    fn owed(&self, shard: u32, withdraw: Withdraw, rules: Rules) -> Vec<Id> {
        let own = self.samples.iter().filter(|(_, (of, _))| *of == shard);
        let owed = own.filter(|(_, (_, combination))| !is_owed_nothing(combination, &self.live, withdraw, rules));
        owed.map(|(sample, _)| *sample).collect()
    }

    pub fn owes(&self, shard: u32, withdraw: Withdraw, rules: Rules) -> bool {
        !self.owed(shard, withdraw, rules).is_empty()
    }

    /// The records of a transaction of a shard: samples, and tombstones. What is released is free at once, as in the
    /// implementation: long before the transaction is committed.
    pub fn records(&mut self, shard: u32, outputs: Vec<(Origin, Output)>, world: &World) -> Vec<(Place, Value)> {
        let (mut records, notes) = (Vec::new(), (Log::Progress, shard));
        for sample in self.owed(shard, world.scenario.withdraw, world.rules) {
            let Some((_, combination)) = self.samples.remove(&sample) else { continue };
            self.holders.released(question_of(&combination), sample);
            records.push(((Log::Samples, shard), Value::Sample(sample, None)));
        }
        for (_, output) in outputs {
            match output {
                Output::Generate(Outcome::Sampled(combination)) => {
                    let sample = sample_of(&combination);
                    self.samples.insert(sample, (shard, combination.clone()));
                    records.push(((Log::Samples, shard), Value::Sample(sample, Some(combination))));
                }
                Output::Generate(Outcome::NotLive(combination, true)) => {
                    self.holders.released(question_of(&combination), sample_of(&combination));
                }
                Output::Generate(Outcome::Buried(combination)) => records.push((notes, Value::Failed(combination))),
                Output::Generate(Outcome::Duplicate(combination)) => records.push((notes, Value::Dropped(combination))),
                _ => (),
            }
        }
        records
    }

    fn index(&self, number: u64) -> usize {
        self.cases.iter().position(|case| case.number == number).expect("an open combination has a case")
    }
}

impl Process {
    /// A combination was read.
    pub fn take_up(&mut self, origin: Origin, combination: Combination, world: &mut World) -> Result<(), Stop> {
        let shard = self.shards.get_mut(&(Role::Generate, origin.shard)).expect("the shard that read it");
        let hits = shard.ledger.hits_for(origin.offset, &combination.id.to_string());
        let (epoch, number) = (self.clock, 2 * origin.offset + u64::from(origin.shard));
        self.generate.cases.push(Case { number, origin, epoch, combination, hits: Spelled(hits), phase: Phase::Unjudged });
        self.judge_all(world)
    }

    /// Reads on in a partition of `extractions`: those that wait are judged again.
    pub fn follow(&mut self, partition: u32, world: &mut World) -> Result<(), Stop> {
        self.generate.follow(partition, world);
        self.judge_all(world)
    }

    fn judge_all(&mut self, world: &mut World) -> Result<(), Stop> {
        let unjudged = self.generate.cases.iter().filter(|case| case.phase == Phase::Unjudged);
        for number in unjudged.map(|case| case.number).collect::<Vec<_>>() {
            let combination = self.generate.cases[self.generate.index(number)].combination.clone();
            match self.generate.judge(&combination, world.rules) {
                Verdict::Unread => (),
                Verdict::Live => self.ask_model(number, "question", world)?,
                Verdict::Stale => {
                    check_stale(&combination, world.logs)?;
                    self.conclude(number, Outcome::NotLive(combination, false));
                }
            }
        }
        Ok(())
    }

    fn ask_model(&mut self, number: u64, task: &str, world: &mut World) -> Result<(), Stop> {
        let at = self.generate.index(number);
        let case = &mut self.generate.cases[at];
        let call = call(&case.combination, task);
        if case.hits.iter().any(|hit| hit.key == call.key) {
            return self.replied(number, task, world);
        }
        let owner = (Role::Generate, case.origin.shard);
        self.generate.cases[at].phase = Phase::Asked(call.clone());
        self.check_payment(owner, &call, world)
    }

    /// The model answers, or the call for the answer has failed for good.
    pub fn generation_answered(&mut self, origin: Origin, world: &mut World) -> Result<(), Stop> {
        let found = self.generate.cases.iter().find(|case| case.origin == origin);
        let Some(Case { number, epoch, phase: Phase::Asked(call), combination, .. }) = found.cloned() else { return Ok(()) };
        if combination.fails && call.key.task == "answer" {
            return self.fail(number, combination, world);
        }
        let shard = self.shards.get_mut(&(Role::Generate, origin.shard)).expect("the shard that asked");
        shard.answered(epoch, origin, &call, "yes");
        self.replied(number, &call.key.task, world)
    }

    fn replied(&mut self, number: u64, task: &str, world: &mut World) -> Result<(), Stop> {
        if task == "question" {
            return self.claim(number, world);
        }
        self.answered(number, world);
        Ok(())
    }

    fn claim(&mut self, number: u64, world: &mut World) -> Result<(), Stop> {
        let at = self.generate.index(number);
        let combination = self.generate.cases[at].combination.clone();
        let claim = self.generate.holders.claim(question_of(&combination), number);
        match claim {
            Claim::Held => self.ask_model(number, "answer", world),
            Claim::Waits if world.rules.hold(Rule::DuplicateWaits) => {
                self.generate.cases[at].phase = Phase::Waits;
                Ok(())
            }
            Claim::Waits | Claim::Duplicate => {
                self.conclude(number, Outcome::Duplicate(combination));
                Ok(())
            }
        }
    }

    fn answered(&mut self, number: u64, world: &World) {
        let combination = self.generate.cases[self.generate.index(number)].combination.clone();
        let waiting = self.generate.holders.answered(question_of(&combination), sample_of(&combination));
        for duplicate in waiting {
            // One that was dropped at once waits no more.
            if let Some(case) = self.generate.cases.iter().find(|case| case.number == duplicate) {
                self.conclude(duplicate, Outcome::Duplicate(case.combination.clone()));
            }
        }
        let live = self.generate.judge(&combination, world.rules) == Verdict::Live;
        let outcome = if live { Outcome::Sampled(combination) } else { Outcome::NotLive(combination, true) };
        self.conclude(number, outcome);
    }

    fn fail(&mut self, number: u64, combination: Combination, world: &mut World) -> Result<(), Stop> {
        let next = self.generate.holders.failed(question_of(&combination));
        self.conclude(number, Outcome::Buried(combination));
        match next.filter(|next| self.generate.cases.iter().any(|case| case.number == *next)) {
            Some(next) => self.ask_model(next, "answer", world),
            None => Ok(()),
        }
    }

    fn conclude(&mut self, number: u64, outcome: Outcome) {
        let case = self.generate.cases.remove(self.generate.index(number));
        let shard = self.shards.get_mut(&(Role::Generate, case.origin.shard)).expect("the shard that read it");
        shard.ledger.made(case.epoch, case.origin, Output::Generate(outcome));
    }

    /// Invariant 3: what a former owner has paid for, and committed for a record that has no outcome, is not asked again.
    pub fn check_payment(&self, owner: (Role, u32), call: &Call, world: &mut World) -> Result<(), Stop> {
        if world.zombie {
            return Ok(());
        }
        let position = world.logs.progress(owner).0;
        let end = self.shards[&owner].journal_end;
        let mut paid = world.logs.ever(crate::process::journal_of(owner)).filter(|(offset, _)| *offset < end);
        let again = paid.any(|(_, value)| {
            matches!(value, Value::Answer { origin, request, .. } if *origin >= position && *request == call.request)
        });
        ensure(!again, || format!("invariant 3: {owner:?} sends {:?} again, whose answer is in its journal", call.request))
    }
}

fn call(combination: &Combination, task: &str) -> Call {
    let subject = combination.id.to_string();
    let request = format!("{task} {subject}");
    let (question, candidate, attempt, redo) = (0, 0, 0, 0);
    let hash = combination.question.into();
    Call { key: JournalKey { task: task.to_owned(), subject, question, candidate, attempt, redo, request: hash }, request }
}
