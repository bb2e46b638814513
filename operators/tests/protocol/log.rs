//! The logs: partitions with offsets, transactions, owners and their fences, two kinds of ends, trimming and compaction.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use synthllm_operators::id::{ConceptId, Id};
use synthllm_operators::record::{JournalKey, Pointer, Role, Settlement, Version};
use synthllm_operators::revise::Known;

use crate::rules::{Rule, Rules};

/// The logs of the model. `Samples` stands for `samples` and `provenance`, which are always written together.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Log {
    Documents,
    Extractions,
    Combinations,
    Samples,
    JournalExtract,
    JournalGenerate,
    Progress,
}

/// A partition of a log.
pub type Place = (Log, u32);

/// A shard of a role; also the name of its transactional producer.
pub type Owner = (Role, u32);

/// A combination, as far as generate looks at it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Combination {
    pub id: Id,
    /// Each document with its version and the place of its extraction.
    pub references: Vec<(u8, Version, Pointer)>,
    /// What the model will ask.
    pub question: u8,
    /// Whether the call for its answer fails for good.
    pub fails: bool,
    /// Level 3: which settlement and on which live set.
    pub drawn: Option<(u64, u128)>,
}

/// What records hold.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Value {
    /// `None`: a tombstone.
    Document(u8, Option<u8>),
    Extraction(u8, Option<Known>),
    Combination(Combination),
    /// With the combination that it was made of; `None`: a tombstone.
    Sample(Id, Option<Combination>),
    /// The origin's offset, the answer, and what was asked.
    Answer {
        key: JournalKey,
        origin: u64,
        text: String,
        request: String,
    },
    /// Position, low mark.
    Shard(Owner, u64, u64),
    Starts(ConceptId, u64),
    Settlement(Settlement),
    /// For the checks only: a start has its outcome; a combination was dropped as a duplicate; the call for its answer failed.
    Walked(ConceptId, u64),
    Dropped(Combination),
    Failed(Combination),
}

impl Value {
    /// Whether it has the key of an earlier record of `progress`.
    fn replaces(&self, earlier: &Value) -> bool {
        match (self, earlier) {
            (Value::Shard(owner, ..), Value::Shard(former, ..)) => owner == former,
            (Value::Starts(node, _), Value::Starts(former, _)) => node == former,
            (Value::Settlement(_), Value::Settlement(_)) => true,
            _ => false,
        }
    }
}

/// A transaction: its owner, the generation of that, and a number among those of both that are open. The names of transactions
/// do not tell in which order they began, so that histories which differ in nothing else are one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Transaction {
    owner: Owner,
    generation: u32,
    number: u32,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Record {
    /// Nothing: a control record, an aborted one, or one that compaction took.
    value: Option<Value>,
    /// The one that it is part of, while that is open.
    transaction: Option<Transaction>,
}

/// A transaction that was refused, because its owner is fenced.
#[derive(Debug)]
pub struct Fenced;

/// All logs. Clones share the partitions that do not differ.
#[derive(Clone, Default, Hash, Debug)]
pub struct Logs {
    partitions: BTreeMap<Place, Rc<Vec<Record>>>,
    starts: BTreeMap<Place, u64>,
    open: BTreeSet<Transaction>,
    generations: BTreeMap<Owner, u32>,
}

impl Logs {
    /// Appends outside of transactions.
    pub fn append(&mut self, place: Place, value: Value) -> u64 {
        self.push(place, Some(value), None)
    }

    fn push(&mut self, place: Place, value: Option<Value>, transaction: Option<Transaction>) -> u64 {
        let partition = Rc::make_mut(self.partitions.entry(place).or_default());
        partition.push(Record { value, transaction });
        partition.len() as u64 - 1
    }

    /// `init_transactions`: what the former owner left open is aborted, and it is fenced. Returns the owner's generation.
    pub fn fence(&mut self, owner: Owner, rules: Rules) -> u32 {
        let generation = self.generations.entry(owner).or_default();
        if rules.hold(Rule::Fencing) {
            *generation += 1;
        }
        let generation = *generation;
        if rules.hold(Rule::Fencing) {
            self.open_of(owner).into_iter().for_each(|transaction| self.abort(transaction));
        }
        generation
    }

    fn open_of(&self, owner: Owner) -> Vec<Transaction> {
        self.open.iter().filter(|it| it.owner == owner).copied().collect()
    }

    /// Whether an owner's generation is the present one.
    pub fn owns(&self, owner: Owner, generation: u32) -> bool {
        self.generations.get(&owner) == Some(&generation)
    }

    /// Begins a transaction.
    pub fn begin(&mut self, owner: Owner, generation: u32) -> Result<Transaction, Fenced> {
        if !self.owns(owner, generation) {
            return Err(Fenced);
        }
        let named = (0..).map(|number| Transaction { owner, generation, number });
        let free = named.into_iter().find(|it| !self.open.contains(it)).expect("there are more numbers than transactions");
        self.open.insert(free);
        Ok(free)
    }

    /// Appends in a transaction.
    pub fn append_in(&mut self, transaction: Transaction, place: Place, value: Value) -> u64 {
        self.push(place, Some(value), Some(transaction))
    }

    /// Commits, unless the owner was fenced since. Returns what the transaction has written.
    pub fn commit(&mut self, transaction: Transaction) -> Result<Vec<Value>, Fenced> {
        if !self.owns(transaction.owner, transaction.generation) || !self.open.contains(&transaction) {
            return Err(Fenced);
        }
        Ok(self.end_with(transaction, true))
    }

    /// Aborts: by a fence, or because it was left open for too long.
    pub fn abort(&mut self, transaction: Transaction) {
        self.end_with(transaction, false);
    }

    /// Ends a transaction: a control record follows in each partition that it wrote to.
    fn end_with(&mut self, transaction: Transaction, committed: bool) -> Vec<Value> {
        self.open.remove(&transaction);
        let mut written = Vec::new();
        for (place, partition) in &mut self.partitions {
            if !partition.iter().any(|record| record.transaction == Some(transaction)) {
                continue;
            }
            let partition = Rc::make_mut(partition);
            for record in partition.iter_mut().filter(|record| record.transaction == Some(transaction)) {
                record.transaction = None;
                record.value = record.value.take().filter(|_| committed);
                written.extend(record.value.clone());
            }
            if place.0 == Log::Progress {
                keep_last_of_keys(partition);
            }
            partition.push(Record { value: None, transaction: None });
        }
        written
    }

    /// Where a partition ends for a `read_uncommitted` client: the high watermark.
    pub fn end(&self, place: Place) -> u64 {
        self.partitions.get(&place).map_or(0, |partition| partition.len() as u64)
    }

    /// Where it ends for a `read_committed` client: before the first record of an open transaction.
    pub fn stable_end(&self, place: Place) -> u64 {
        let Some(partition) = self.partitions.get(&place) else { return 0 };
        let open = |record: &Record| record.transaction.is_some();
        partition.iter().position(open).map_or(partition.len() as u64, |open| open as u64)
    }

    /// What a `read_committed` client reads from an offset on.
    pub fn read(&self, place: Place, from: u64) -> impl Iterator<Item = (u64, &Value)> {
        let stable = self.stable_end(place);
        let records = self.partitions.get(&place).into_iter().flat_map(|partition| partition.iter());
        let from = from.max(self.start(place));
        let readable = (0..).zip(records).filter(move |(offset, _)| *offset >= from && *offset < stable);
        readable.filter_map(|(offset, record)| Some((offset, record.value.as_ref()?)))
    }

    /// Everything that was ever committed to a partition, trimmed or not.
    pub fn ever(&self, place: Place) -> impl Iterator<Item = (u64, &Value)> {
        let records = self.partitions.get(&place).into_iter().flat_map(|partition| partition.iter());
        let committed = (0..).zip(records).filter(|(_, record)| record.transaction.is_none());
        committed.filter_map(|(offset, record)| Some((offset, record.value.as_ref()?)))
    }

    /// The first offset that was not trimmed.
    pub fn start(&self, place: Place) -> u64 {
        self.starts.get(&place).copied().unwrap_or(0)
    }

    /// Trims a journal below an offset. Answers whose origin is below `position` can't be missed, and so are really gone.
    pub fn trim(&mut self, place: Place, below: u64, position: u64) {
        let start = self.starts.entry(place).or_default();
        *start = (*start).max(below);
        let partition = Rc::make_mut(self.partitions.entry(place).or_default());
        for record in partition.iter_mut().take(below as usize) {
            let missed = matches!(record.value, Some(Value::Answer { origin, .. }) if origin >= position);
            record.value = record.value.take().filter(|_| missed);
        }
    }

    /// The records of a document that compaction may take: there is a later committed one.
    pub fn compactable(&self, place: Place) -> Vec<u64> {
        let records: Vec<(u64, u8)> =
            self.read(place, 0).filter_map(|(at, value)| Some((at, document_of(value)?))).collect();
        let later = |&(at, document): &(u64, u8)| records.iter().any(|&(other, same)| other > at && same == document);
        records.iter().copied().filter(later).map(|(at, _)| at).collect()
    }

    /// Takes a record.
    pub fn compact(&mut self, place: Place, offset: u64) {
        Rc::make_mut(self.partitions.entry(place).or_default())[offset as usize].value = None;
    }

    /// The transactions that are open.
    pub fn open(&self) -> impl Iterator<Item = Transaction> {
        self.open.iter().copied()
    }

    /// The committed position and low mark of a shard.
    pub fn progress(&self, owner: Owner) -> (u64, u64) {
        let own = |value: &Value| match value {
            Value::Shard(of, position, mark) if *of == owner => Some((*position, *mark)),
            _ => None,
        };
        self.ever((Log::Progress, owner.1)).filter_map(|(_, value)| own(value)).last().unwrap_or_default()
    }
}

/// Compacts a partition of `progress` at once: its offsets mean nothing, and what is gone can't tell histories apart.
fn keep_last_of_keys(partition: &mut Vec<Record>) {
    let values: Vec<Option<Value>> =
        partition.iter().map(|it| it.value.clone().filter(|_| it.transaction.is_none())).collect();
    let is_last = |(at, value): (usize, &Value)| !values[at + 1..].iter().flatten().any(|later| later.replaces(value));
    let mut kept = (0..).zip(&values).map(|(at, value)| value.as_ref().is_some_and(|value| is_last((at, value))));
    partition.retain(|record| kept.next().unwrap_or(true) || record.transaction.is_some());
}

fn document_of(value: &Value) -> Option<u8> {
    match value {
        Value::Document(document, _) | Value::Extraction(document, _) => Some(*document),
        _ => None,
    }
}
