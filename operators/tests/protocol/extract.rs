//! The role extract. Driven directly: `Memory` (what a record changes), `Queues` (the turns of a document's records), the books.

use std::collections::BTreeMap;

use synthllm_operators::id::DocumentId;
use synthllm_operators::journal::Hit;
use synthllm_operators::record::{JournalKey, Origin, Role, Version};
use synthllm_operators::revise::{Known, Memory, Queues, Ruling};

use crate::log::{Log, Place, Value};
use crate::process::{Call, Output, Process, Stop, World};
use crate::rules::Rule;
use crate::server;
use crate::spelled::Spelled;

/// What became of a record of `documents`.
#[derive(Clone, PartialEq, Hash, Debug)]
pub enum Outcome {
    Skipped,
    Deleted(u8),
    Written(u8, Known),
    /// A dead letter, and whether the document lived and is gone.
    Buried(u8, bool),
}

/// A record on its way.
#[derive(Clone, PartialEq, Hash, Debug)]
pub struct Case {
    pub origin: Origin,
    epoch: u64,
    document: u8,
    content: Option<u8>,
    hits: Spelled<Vec<Hit>>,
    asked: Option<(Known, Call, u32)>,
}

/// The role's state in a process.
#[derive(Clone, Default, Hash, Debug)]
pub struct Extract {
    cases: Vec<Case>,
    live: BTreeMap<u8, Known>,
}

fn id(document: u8) -> DocumentId {
    DocumentId(document.into())
}

impl Extract {
    /// The memory of a shard: the live extractions whose version lies in its partition, from all partitions.
    pub fn load(&mut self, shard: u32, world: &World) {
        let of_shard = |known: &Known| known.version.partition == shard;
        self.live.retain(|_, known| !of_shard(known));
        self.live.extend(crate::check::live(world.logs).into_iter().filter(|(_, known)| of_shard(known)));
    }

    fn memory(&self) -> Memory {
        let mut memory = Memory::default();
        self.live.iter().for_each(|(document, known)| memory.outcome(id(*document), Some(*known)));
        memory
    }

    /// Those whose turn it is not wait behind the first open record of their document.
    fn queues(&self) -> Queues<Origin> {
        let mut queues = Queues::default();
        self.cases.iter().for_each(|case| _ = queues.enter(id(case.document), case.origin));
        queues
    }

    pub fn first_open(&self) -> Option<u64> {
        self.cases.iter().map(|case| case.epoch).min()
    }

    pub fn in_flight(&self, shard: u32) -> usize {
        self.cases.iter().filter(|case| case.origin.shard == shard).count()
    }

    /// The records for which a call is under way.
    pub fn calls(&self, shard: u32) -> Vec<u64> {
        let asked = self.cases.iter().filter(|case| case.origin.shard == shard && case.asked.is_some());
        asked.map(|case| case.origin.offset).collect()
    }

    fn place(&self, origin: Origin) -> usize {
        self.cases.iter().position(|case| case.origin == origin).expect("an open record has a case")
    }
}

impl Process {
    /// A record of `documents` was read.
    pub fn revise(&mut self, origin: Origin, document: u8, content: Option<u8>, world: &mut World) -> Result<(), Stop> {
        let owner = (Role::Extract, origin.shard);
        let shard = self.shards.get_mut(&owner).expect("a process has the shards of its scenario");
        let mut hits = shard.ledger.hits_for(origin.offset, &subject(document, origin, true));
        if !world.rules.hold(Rule::SubjectWithoutVersion) {
            hits = shard.ledger.hits_for(origin.offset, &subject(document, origin, false));
        }
        let turn = self.extract.queues().enter(id(document), origin).is_some();
        self.extract.cases.push(Case { origin, epoch: self.clock, document, content, hits: Spelled(hits), asked: None });
        if turn || !world.rules.hold(Rule::Turns) { self.begin_revision(origin, world) } else { Ok(()) }
    }

    fn begin_revision(&mut self, origin: Origin, world: &mut World) -> Result<(), Stop> {
        let case = &self.extract.cases[self.extract.place(origin)];
        let (document, content) = (case.document, case.content);
        if content.is_some_and(server::is_undecodable) {
            return self.bury(origin, world);
        }
        let version = Version { partition: origin.shard, offset: origin.offset };
        match self.extract.memory().rule(id(document), version, content.map(|content| (content.into(), 0))) {
            Ruling::Unchanged | Ruling::Absent => self.finish(origin, Outcome::Skipped, world),
            Ruling::Delete => {
                self.extract.live.remove(&document);
                self.finish(origin, Outcome::Deleted(document), world)
            }
            Ruling::Foreign { .. } => self.bury(origin, world),
            Ruling::Revise(known) => self.ask_about(origin, known, 0, world),
        }
    }

    fn ask_about(&mut self, origin: Origin, known: Known, attempt: u32, world: &mut World) -> Result<(), Stop> {
        let at = self.extract.place(origin);
        let case = &mut self.extract.cases[at];
        let call = call(case, attempt, world);
        let found = case.hits.iter().find(|hit| hit.key == call.key).map(|hit| hit.answer.text.clone());
        if let Some(text) = found {
            return self.revised(origin, known, attempt, &text, world);
        }
        self.check_payment((Role::Extract, origin.shard), &call, world)?;
        self.extract.cases[at].asked = Some((known, call, attempt));
        Ok(())
    }

    /// The model answers, or its call has failed for good.
    pub fn extraction_answered(&mut self, origin: Origin, world: &mut World) -> Result<(), Stop> {
        let at = self.extract.place(origin);
        let case = &mut self.extract.cases[at];
        let Some((known, call, attempt)) = case.asked.take() else { return Ok(()) };
        let content = case.content.unwrap_or_default();
        let Some(text) = server::extraction(content, attempt) else { return self.bury(origin, world) };
        let epoch = case.epoch;
        let shard = self.shards.get_mut(&(Role::Extract, origin.shard)).expect("the shard that asked");
        shard.answered(epoch, origin, &call, text);
        self.revised(origin, known, attempt, text, world)
    }

    fn revised(&mut self, origin: Origin, known: Known, attempt: u32, text: &str, world: &mut World) -> Result<(), Stop> {
        if text == server::FITS {
            let document = self.extract.cases[self.extract.place(origin)].document;
            self.extract.live.insert(document, known);
            self.finish(origin, Outcome::Written(document, known), world)
        } else if attempt + 1 < server::ATTEMPTS {
            self.ask_about(origin, known, attempt + 1, world)
        } else {
            self.bury(origin, world)
        }
    }

    fn bury(&mut self, origin: Origin, world: &mut World) -> Result<(), Stop> {
        let document = self.extract.cases[self.extract.place(origin)].document;
        let gone = self.extract.memory().bury(id(document), origin.shard) && world.rules.hold(Rule::BuriedWithTombstones);
        if gone {
            self.extract.live.remove(&document);
        }
        self.finish(origin, Outcome::Buried(document, gone), world)
    }

    fn finish(&mut self, origin: Origin, outcome: Outcome, world: &mut World) -> Result<(), Stop> {
        let mut queues = self.extract.queues();
        let case = self.extract.cases.remove(self.extract.place(origin));
        let shard = self.shards.get_mut(&(Role::Extract, origin.shard)).expect("the shard that read it");
        shard.ledger.made(case.epoch, origin, Output::Extract(outcome));
        match queues.leave(id(case.document)) {
            Some(next) if world.rules.hold(Rule::Turns) => self.begin_revision(next, world),
            _ => Ok(()),
        }
    }
}

fn subject(document: u8, origin: Origin, ruled: bool) -> String {
    if ruled { document.to_string() } else { format!("{document}@{}", origin.offset) }
}

fn call(case: &Case, attempt: u32, world: &World) -> Call {
    let content = case.content.unwrap_or_default();
    let shown = if world.rules.hold(Rule::AttemptInKey) { attempt } else { 0 };
    let key = JournalKey {
        task: "extract".to_owned(),
        subject: subject(case.document, case.origin, world.rules.hold(Rule::SubjectWithoutVersion)),
        question: 0,
        candidate: 0,
        attempt: shown,
        redo: 0,
        request: u128::from(content) << 8 | u128::from(shown),
    };
    Call { key, request: format!("{} {content} {attempt}", case.document) }
}

/// The records of a transaction: of each document only what became of it last.
pub fn records(outputs: Vec<(Origin, Output)>) -> Vec<(Place, Value)> {
    let mut last: BTreeMap<u8, (u64, Option<Known>)> = BTreeMap::new();
    for (origin, output) in outputs {
        let (document, known) = match output {
            Output::Extract(Outcome::Written(document, known)) => (document, Some(known)),
            Output::Extract(Outcome::Deleted(document) | Outcome::Buried(document, true)) => (document, None),
            _ => continue,
        };
        let entry = last.entry(document).or_insert((origin.offset, known));
        if entry.0 <= origin.offset {
            *entry = (origin.offset, known);
        }
    }
    last.into_iter().map(|(document, (_, known))| (home_of(document), Value::Extraction(document, known))).collect()
}

/// The partition of `extractions` of a document.
pub fn home_of(document: u8) -> Place {
    (Log::Extractions, u32::from(document) % 2)
}
