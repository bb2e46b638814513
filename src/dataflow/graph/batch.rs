//! What waits for the next transaction of a shard of graph, and the transaction.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use synthllm_log::{Append, LogName};
use synthllm_operators::codec;
use synthllm_operators::graph::{Found, Outcome as Drawn};
use synthllm_operators::id::{self, ConceptId};
use synthllm_operators::limit::starts;
use synthllm_operators::record::{Combination, Progress, ProgressKey, Settlement};

use super::super::commit::progress_append;
use super::super::shard::Prepared;
use super::levels::Issued;
use crate::events::{Counter, Outcome};

/// What waits for the next transaction of a shard, and what is in the one under way.
#[derive(Default)]
pub(super) struct Staged {
    pub(super) accepted: BTreeMap<u32, Vec<(Drawn, Option<u64>)>>,
    pub(super) ordered: BTreeMap<u32, u64>,
    pub(super) settlement: Option<Settlement>,
    pub(super) settlement_ordered: bool,
}

impl Staged {
    pub(super) fn is_empty(&self) -> bool {
        self.accepted.is_empty() && self.ordered.is_empty() && self.settlement.is_none() && !self.settlement_ordered
    }

    pub(super) fn owed(&self) -> Vec<u32> {
        self.accepted.keys().copied().chain(self.settlement.iter().map(|_| 0)).collect()
    }

    pub(super) fn take(&mut self, shard: u32, batch: &mut Batch) -> Result<()> {
        let accepted = self.accepted.remove(&shard).unwrap_or_default();
        if !accepted.is_empty() {
            *self.ordered.entry(shard).or_default() += accepted.len() as u64;
        }
        batch.starts = starts(accepted.iter().map(|(drawn, _)| drawn));
        for (drawn, settlement) in accepted {
            batch.draw(drawn, settlement)?;
        }
        if shard == 0
            && let Some(settlement) = self.settlement.take()
        {
            self.settlement_ordered = true;
            batch.records.push(progress_append(&ProgressKey::Settlement, &Progress::Settlement(settlement)));
        }
        Ok(())
    }
}

/// One transaction of a shard.
#[derive(Default)]
pub(super) struct Batch {
    number: u32,
    seed: u64,
    records: Vec<Append>,
    starts: BTreeMap<ConceptId, u64>,
    outcomes: [u64; 4],
    counters: BTreeMap<Counter, u64>,
}

impl Batch {
    pub(super) fn new(number: u32, seed: u64) -> Self {
        Batch { number, seed, ..Batch::default() }
    }

    pub(super) fn add(&mut self, issued: Issued) {
        let outcome = if issued.combinations.is_empty() { Outcome::Skipped } else { Outcome::Written };
        self.outcomes[outcome as usize] += 1;
        self.count(Counter::NotLive, u64::from(issued.stale));
        self.count(Counter::TooManyConcepts, u64::from(issued.capped));
        issued.combinations.iter().for_each(|combination| self.issue(combination));
    }

    /// Counts of nodes and edges, for `graph-updates`.
    pub(super) fn publish(&mut self, updates: Vec<Append>) {
        self.count(Counter::GraphUpdates, updates.len() as u64);
        self.records.extend(updates);
    }

    fn issue(&mut self, combination: &Combination) {
        self.count(Counter::combinations(combination.level), 1);
        self.records.push(Append {
            log: LogName::Combinations,
            partition: Some(self.number),
            key: Some(combination.id.to_string().into_bytes()),
            value: Some(codec::encode(combination)),
        });
    }

    /// A start has its outcome: its combination, if there is one, and its number are one transaction.
    fn draw(&mut self, drawn: Drawn, settlement: Option<u64>) -> Result<()> {
        self.count(Counter::WorkCapped, u64::from(drawn.capped));
        match drawn.result {
            Found::Stuck => self.count(Counter::Stuck, 1),
            Found::NoReference => self.count(Counter::WithoutReferences, 1),
            Found::Combination { walk, references } => {
                let references = references.iter().map(|it| it.reference().context("a reference without a text"));
                let combination = Combination {
                    id: id::walk_combination(self.seed, drawn.node, drawn.start),
                    level: 3,
                    walk,
                    references: references.collect::<Result<_>>()?,
                    seed: self.seed,
                    start: Some(drawn.start),
                    settlement,
                };
                self.issue(&combination);
            }
        }
        Ok(())
    }

    fn count(&mut self, counter: Counter, more: u64) {
        *self.counters.entry(counter).or_default() += more;
    }

    pub(super) fn prepared(self) -> Prepared {
        let mut records = self.records;
        let starts = self.starts.iter();
        records.extend(starts.map(|(node, count)| progress_append(&ProgressKey::Starts(*node), &Progress::Starts(*count))));
        Prepared {
            texts: Vec::new(),
            outputs: Box::new(move |_| records),
            placed: None,
            outcomes: self.outcomes,
            counters: self.counters.into_iter().collect(),
        }
    }
}
