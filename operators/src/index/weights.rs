//! What the owner of a concept knows of it: its weight for each kind of step in every shard.
//!
//! Input: absolute weights, as the shards report them after each epoch. Law: the last report of a shard counts; a concept that
//! weighs nothing anywhere is forgotten. Cost: 8 bytes a shard and column: a key concept has one column (two when starts are key
//! concepts), a topic three.

use serde::{Deserialize, Serialize};

use super::blocks::Blocks;
use super::concepts::ByConcept;
use crate::id::{ConceptId, Kind};
use crate::walk::Step;

/// What a concept weighs in one shard: the sums of the static sizes of its documents, and their number.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Weight {
    /// The concept.
    pub concept: ConceptId,
    /// Its kind.
    pub kind: Kind,
    /// The shard.
    pub shard: u32,
    /// Of steps to key concepts.
    pub main: u64,
    /// Of steps from topic to topic.
    pub pairs: u64,
    /// Documents that mention it.
    pub documents: u64,
}

/// The weights of the concepts that a worker owns.
#[derive(Debug)]
pub struct Weights {
    shards: u32,
    starts: Kind,
    rows: ByConcept<(u32, Kind)>,
    cells: Blocks<u64>,
}

impl Weights {
    /// No weights yet; document counts are kept of concepts of the kind `starts`.
    pub fn new(shards: u32, starts: Kind) -> Self {
        Weights { shards, starts, rows: ByConcept::default(), cells: Blocks::default() }
    }

    /// Takes a shard's report.
    pub fn set(&mut self, weight: Weight) {
        let columns = self.columns(weight.kind);
        let length = columns * self.shards;
        let (shards, cells) = (self.shards, &mut self.cells);
        let &mut (row, _) = self.rows.entry(weight.concept).or_insert_with(|| {
            let row = cells.allocate(length);
            cells.slice_mut(row, length).fill(0);
            (row, weight.kind)
        });
        let block = self.cells.slice_mut(row, length);
        let values = [weight.main, weight.documents, weight.pairs];
        for (column, value) in values.into_iter().take(columns as usize).enumerate() {
            block[column * shards as usize + weight.shard as usize] = value;
        }
        if weight.documents == 0 && block.iter().all(|&cell| cell == 0) {
            self.rows.remove(&weight.concept);
            self.cells.release(row, length);
        }
    }

    /// The weight of each shard for a step from the concept; empty when nothing is known of it.
    pub fn of(&self, concept: ConceptId, step: Step) -> &[u64] {
        let column = match step {
            Step::TopicTopic => 2,
            Step::TopicConcept | Step::ConceptConcept => 0,
        };
        self.column(concept, column)
    }

    /// Reads ahead what is known of these concepts, so that the processor waits for many places in memory at a time.
    pub(crate) fn read_ahead(&self, concepts: impl Iterator<Item = ConceptId>) {
        let rows: Vec<u32> = concepts.filter_map(|concept| self.rows.get(&concept)).map(|&(row, _)| row).collect();
        std::hint::black_box(rows.into_iter().map(|row| *self.cells.item(row)).fold(0, u64::wrapping_add));
    }

    /// The documents of a start node, over all shards.
    pub fn documents(&self, concept: ConceptId) -> u64 {
        self.column(concept, 1).iter().sum()
    }

    fn column(&self, concept: ConceptId, column: u32) -> &[u64] {
        match self.rows.get(&concept) {
            Some(&(row, kind)) if column < self.columns(kind) => self.cells.slice(row + column * self.shards, self.shards),
            _ => &[],
        }
    }

    fn columns(&self, kind: Kind) -> u32 {
        match kind {
            Kind::Topic => 3,
            Kind::KeyConcept if self.starts == Kind::KeyConcept => 2,
            Kind::KeyConcept => 1,
        }
    }
}
