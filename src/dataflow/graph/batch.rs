//! What waits for the next transaction of a shard of graph, and the transaction.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use synthllm_log::{Append, LogName};
use synthllm_operators::graph::{Found, Outcome as Drawn};
use synthllm_operators::id::{self, ConceptId};
use synthllm_operators::limit::starts;
use synthllm_operators::passes::Pass;
use synthllm_operators::record::{Combination, Node, Progress, ProgressKey, Settlement};

use super::super::commit::progress_append;
use super::super::shard::Prepared;
use super::super::target::{self, Shortage};
use super::documents::Issued as Document;
use super::levels::Issued;
use crate::events::{Counter, Outcome};

/// An outcome of a start that counts, the settlement in which it does, and the most samples of its combination.
pub(super) type Accepted = (Drawn, Option<u64>, Option<u32>);

/// What waits for the next transaction of a shard, and what is in the one under way.
#[derive(Default)]
pub(super) struct Staged {
    pub(super) accepted: BTreeMap<u32, Vec<Accepted>>,
    pub(super) documents: BTreeMap<u32, Vec<Document>>,
    pub(super) ordered: BTreeMap<u32, u64>,
    pub(super) settlement: Option<Settlement>,
    /// To be told with it.
    pub(super) shortages: Option<BTreeMap<u8, Shortage>>,
    pub(super) settlement_ordered: bool,
}

impl Staged {
    pub(super) fn is_empty(&self) -> bool {
        self.accepted.is_empty()
            && self.documents.is_empty()
            && self.ordered.is_empty()
            && self.settlement.is_none()
            && !self.settlement_ordered
    }

    pub(super) fn owed(&self) -> Vec<u32> {
        let drawn = self.accepted.keys().chain(self.documents.keys()).copied();
        drawn.chain(self.settlement.iter().map(|_| 0)).collect()
    }

    pub(super) fn take(&mut self, shard: u32, batch: &mut Batch, counters: &mut BTreeMap<String, u64>) -> Result<()> {
        let accepted = self.accepted.remove(&shard).unwrap_or_default();
        let documents = self.documents.remove(&shard).unwrap_or_default();
        let ordered = accepted.len() + documents.len();
        if ordered > 0 {
            *self.ordered.entry(shard).or_default() += ordered as u64;
        }
        batch.starts = starts(accepted.iter().map(|(drawn, ..)| drawn));
        for accepted in accepted {
            batch.draw(accepted)?;
        }
        for document in documents {
            batch.draw_document(&document);
        }
        if shard == 0
            && let Some(settlement) = self.settlement.take()
        {
            self.settlement_ordered = true;
            self.shortages.take().iter().for_each(|shortages| target::fall_short(counters, shortages));
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
    /// Up to where the shard has drawn levels 1 and 2.
    passes: BTreeMap<u8, Pass>,
    /// What the combinations may bring, by level.
    granted: BTreeMap<u8, u32>,
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
        issued.combinations.iter().for_each(|combination| self.issue(combination, None));
    }

    /// Counts of nodes and edges, for `graph-updates`.
    pub(super) fn publish(&mut self, updates: Vec<Append>) {
        self.count(Counter::GraphUpdates, updates.len() as u64);
        self.records.extend(updates);
    }

    /// Up to where the shard has drawn levels 1 and 2, before it draws more.
    pub(super) fn begin_passes(&mut self, passes: Vec<(u8, Pass)>) {
        self.passes.extend(passes);
    }

    fn draw_document(&mut self, document: &Document) {
        self.passes.insert(document.combination.level, document.pass);
        self.issue(&document.combination, document.most);
    }

    fn issue(&mut self, combination: &Combination, most: Option<u32>) {
        self.count(Counter::combinations(combination.level), 1);
        most.iter().for_each(|most| *self.granted.entry(combination.level).or_default() += most);
        self.records.push(Append {
            log: LogName::Combinations,
            partition: Some(self.number),
            key: Some(combination.id.to_string().into_bytes()),
            value: Some(combination.to_record(most)),
        });
    }

    /// A start has its outcome: its combination, if there is one, and its number are one transaction.
    fn draw(&mut self, (drawn, settlement, most): Accepted) -> Result<()> {
        self.count(Counter::WorkCapped, u64::from(drawn.capped));
        match drawn.result {
            Found::Stuck => self.count(Counter::Stuck, 1),
            Found::NoReference => self.count(Counter::WithoutReferences, 1),
            Found::Combination { walk, references } => {
                let references = references.iter().map(|it| it.reference().context("a reference without a text"));
                let combination = Combination {
                    id: id::walk_combination(self.seed, drawn.node, drawn.start),
                    level: 3,
                    walk: walk.into_iter().map(Node::without_subset).collect(),
                    references: references.collect::<Result<_>>()?,
                    seed: self.seed,
                    start: Some(drawn.start),
                    settlement,
                };
                self.issue(&combination, most);
            }
        }
        Ok(())
    }

    fn count(&mut self, counter: Counter, more: u64) {
        *self.counters.entry(counter).or_default() += more;
    }

    /// With what it grants among the shard's counters.
    pub(super) fn prepared(self, counters: &mut BTreeMap<String, u64>) -> Prepared {
        let mut records = self.records;
        self.granted.into_iter().for_each(|(level, most)| target::grant(counters, level, most));
        let passes = self
            .passes
            .into_iter()
            .map(|(level, pass)| progress_append(&ProgressKey::Pass(level, self.number), &Progress::Pass(pass)));
        records.extend(passes);
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
