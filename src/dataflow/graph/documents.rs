//! Levels 1 and 2 where they have a target: the worker's part. Documents are not issued as they come but drawn, in the order of
//! [`synthllm_operators::passes`], when worker 0 says so.
//!
//! Nothing is held for a document that waits: which ones are left is found anew in the index, a few hundred or a sixteenth of all at
//! once, so that it is looked through about as often for all of them. Cost: that (0.9 CPU-seconds for a million documents), and a read by
//! pointer for each one drawn.

use std::collections::{BTreeMap, BinaryHeap, HashMap};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use synthllm_log::{Fetched, LogName, Pointer, Record};
use synthllm_operators::id::{self, Id};
use synthllm_operators::index::Index;
use synthllm_operators::passes::{Pass, Place};
use synthllm_operators::record::{Combination, Progress, ProgressKey};

use super::super::Context;
use super::super::shard::Standing;
use super::letters::Letter;
use super::{levels, loader};

/// At least so many documents are told at once.
const LEAST_AT_ONCE: usize = 256;

/// And about this part of all.
const PART_AT_ONCE: usize = 16;

/// What worker 0 wants to know: the places after the last ones, or, from the beginning, all that are left now.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Question {
    pub(super) level: u8,
    /// Comes back with the answer.
    pub(super) round: u64,
    pub(super) anew: bool,
}

/// A document that is to be issued, and the most samples that may come of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Order {
    pub(super) level: u8,
    pub(super) place: Place,
    pub(super) most: Option<u32>,
}

/// A document that was issued and is to be committed.
pub(super) struct Issued {
    pub(super) combination: Combination,
    pub(super) most: Option<u32>,
    /// Up to where its shard has drawn then.
    pub(super) pass: Pass,
}

/// The documents of this worker, for the levels that are drawn.
#[derive(Default)]
pub(super) struct Documents {
    levels: BTreeMap<u8, Level>,
    /// Orders whose records are still to be read.
    open: Vec<(Order, Told)>,
}

/// A level.
struct Level {
    shards: BTreeMap<u32, Drawn>,
    /// The last place that was told.
    last: Option<Place>,
    told: HashMap<Id, Told>,
}

/// Up to where a shard has drawn, and where its next pass ends.
struct Drawn {
    pass: Pass,
    loaded: u64,
}

/// A document that worker 0 knows of.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Told {
    shard: u32,
    offset: u64,
    document: String,
}

/// Which of levels 1 and 2 are drawn: those with a target, and those that had one once. What is drawn of the latter has no end.
pub(super) fn drawn_levels(context: &Context, standing: &Standing) -> Vec<u8> {
    let has_pass =
        |level: u8| standing.progress.iter().any(|(key, _)| matches!(key, ProgressKey::Pass(of, _) if *of == level));
    let sampling = &context.config.sampling;
    let levels = sampling.levels.iter().copied().filter(|level| *level < 3);
    levels.filter(|level| context.config.generate.target.of(*level).is_some() || has_pass(*level)).collect()
}

impl Documents {
    /// These levels, as far as the shards, given with their positions, have drawn them.
    pub(super) fn new(levels: &[u8], shards: &[(u32, u64)], standing: &Standing) -> Self {
        let found = |level: u8, shard: u32| {
            standing.progress.iter().find_map(|(key, progress)| match (key, progress) {
                (ProgressKey::Pass(of, at), Progress::Pass(pass)) if (*of, *at) == (level, shard) => Some(*pass),
                _ => None,
            })
        };
        let drawn = |level: u8| {
            let passes = shards.iter().map(move |&(shard, position)| {
                let pass = found(level, shard).unwrap_or_else(|| Pass::first(position));
                (shard, Drawn { pass, loaded: pass.to })
            });
            Level { shards: passes.collect(), last: None, told: HashMap::new() }
        };
        Documents { levels: levels.iter().map(|&level| (level, drawn(level))).collect(), open: Vec::new() }
    }

    /// The passes of a shard, to be written with its first transaction: what it reads past from then on is left to them.
    pub(super) fn passes(&self, shard: u32) -> Vec<(u8, Pass)> {
        self.levels.iter().filter_map(|(&level, of)| Some((level, of.shards.get(&shard)?.pass))).collect()
    }

    /// Answers a question of worker 0; `loaded` says up to where the index follows each shard.
    pub(super) fn answer(&mut self, question: Question, index: &Index, loaded: &BTreeMap<u32, u64>, from: u64) -> Letter {
        let Question { level, round, anew } = question;
        let (mut places, mut more) = (Vec::new(), false);
        if let Some(of) = self.levels.get_mut(&level) {
            if anew {
                (of.last, of.told) = (None, HashMap::new());
                for (shard, drawn) in &mut of.shards {
                    drawn.loaded = loaded.get(shard).copied().unwrap_or(0).max(drawn.pass.to);
                }
            }
            (places, more) = of.next(level, index, LEAST_AT_ONCE.max(index.documents() / PART_AT_ONCE));
        }
        Letter::Documents { from, level, round, places, more }
    }

    /// Worker 0 wants a document to be issued. Says whether it is one that was told.
    pub(super) fn order(&mut self, order: Order) -> bool {
        let told = self.levels.get_mut(&order.level).and_then(|level| level.told.remove(&order.place.1));
        told.map(|told| self.open.push((order, told))).is_some()
    }

    /// Whether orders wait.
    pub(super) fn is_idle(&self) -> bool {
        self.open.is_empty()
    }

    /// Reads the records of what was ordered. Gives what is to be committed, by shard, and the orders that can't be carried out since their
    /// documents have changed.
    pub(super) fn fetch(&mut self, context: &Context, index: &Index, seed: u64) -> Result<(Vec<(u32, Issued)>, Vec<Order>)> {
        let (mut issued, mut void) = (Vec::new(), Vec::new());
        let open = std::mem::take(&mut self.open);
        let pointer = |(_, told): &(Order, Told)| Pointer {
            partition: told.shard,
            offset: told.offset,
            key: told.document.clone().into_bytes(),
        };
        let pointers: Vec<Pointer> = open.iter().map(pointer).collect();
        let fetched = if open.is_empty() { Vec::new() } else { context.log.fetch_many(LogName::Extractions, &pointers)? };
        for ((order, told), fetched) in open.into_iter().zip(fetched) {
            let lives = index.offset_of(told.shard, &told.document) == Some(told.offset);
            match fetched {
                Fetched::NotYet => self.open.push((order, told)),
                Fetched::Found(Some(value)) if lives => match combination(context, &order, &told, value, seed)? {
                    Some(combination) => issued.push((told.shard, self.issue(order, told.shard, combination)?)),
                    None => void.push(order),
                },
                _ => void.push(order),
            }
        }
        Ok((issued, void))
    }

    fn issue(&mut self, order: Order, shard: u32, combination: Combination) -> Result<Issued> {
        let drawn = self.levels.get_mut(&order.level).and_then(|level| level.shards.get_mut(&shard));
        let drawn = drawn.context("a document is drawn on another worker")?;
        drawn.pass = drawn.pass.after(drawn.loaded, order.place);
        Ok(Issued { combination, most: order.most, pass: drawn.pass })
    }
}

impl Level {
    /// The next places, at most so many, and whether there are more.
    fn next(&mut self, level: u8, index: &Index, at_most: usize) -> (Vec<Place>, bool) {
        let mut least: BinaryHeap<(Place, u32, u64, &str)> = BinaryHeap::new();
        let mut more = false;
        for (&shard, drawn) in &self.shards {
            for found in index.with_text(shard).filter(|found| levels::enough(level, found.key_concepts)) {
                let id = id::document_combination(level, found.document, found.version, 0);
                let place = drawn.pass.place(drawn.loaded, found.offset, id);
                let Some(place) = place.filter(|place| self.last.is_none_or(|last| *place > last)) else { continue };
                least.push((place, shard, found.offset, found.document));
                if least.len() > at_most {
                    least.pop();
                    more = true;
                }
            }
        }
        let least = least.into_sorted_vec();
        self.last = least.last().map(|(place, ..)| *place).or(self.last);
        let places = least.iter().map(|(place, ..)| *place).collect();
        let told = |(place, shard, offset, document): (Place, u32, u64, &str)| {
            (place.1, Told { shard, offset, document: document.to_owned() })
        };
        self.told.extend(least.into_iter().map(told));
        (places, more)
    }
}

/// The combination of a document, from its record.
fn combination(context: &Context, order: &Order, told: &Told, value: Vec<u8>, seed: u64) -> Result<Option<Combination>> {
    let (partition, offset) = (told.shard, told.offset);
    let record = Record { partition, offset, key: Some(told.document.clone().into_bytes()), value: Some(value) };
    let entry = loader::entry(&record, &context.config.graph)?;
    Ok(levels::candidates(&entry, &[order.level], seed).into_iter().find(|combination| combination.id == order.place.1))
}
