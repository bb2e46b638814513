//! The concept graph as the incidence relation of documents and concepts, by shard (design.md §4).
//!
//! Input: [`Entry`]s. Output: counts, neighbours, weights, draws. Law: after any history of inserts, replacements and removals the
//! index equals the one built from the live documents; after [`Index::settle`] so does every draw.
//! Cost: O(own concepts) per change; at most 320 bytes a document of ten concepts, identity and pointers included (measured by
//! `benches/graph.rs`).
//!
//! ```
//! use synthllm_operators::{index::Index, record::Pointer, upsert::{Content, Entry}};
//! let mut index = Index::new(8);
//! let content = Content {
//!     version: Pointer { partition: 0, offset: 0 },
//!     text: None,
//!     topics: vec!["calculus".into()],
//!     key_concepts: vec!["limit".into(), "series".into()],
//!     capped: false,
//! };
//! index.upsert(&Entry { document: "a".into(), partition: 0, offset: 0, content: Some(content) });
//! assert_eq!(index.documents(), 1);
//! index.upsert(&Entry { document: "a".into(), partition: 0, offset: 1, content: None });
//! assert_eq!(index.documents(), 0);
//! ```

mod blocks;
mod concepts;
mod documents;
mod draws;
mod postings;
mod shard;
mod table;
mod weights;

pub use weights::{Weight, Weights};

pub(crate) use concepts::Concepts;
pub(crate) use draws::Wanted;
pub(crate) use postings::Class;
pub(crate) use shard::Shard;

use crate::id::{ConceptId, DocumentId, Kind};
use crate::record::{Node, Version};
use crate::upsert::{Entry, Mentions, Upserted};
use crate::walk::Step;

/// The shards of the graph that one worker holds.
#[derive(Debug)]
pub struct Index {
    concepts: Concepts,
    /// Shard s of the graph is `shards[s / peers]` of worker s mod peers.
    shards: Vec<Shard>,
    worker: u32,
    peers: u32,
    settled: bool,
}

/// A live document, as [`Index::with_text`] finds it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LiveDocument<'index> {
    /// Its id, as the user knows it.
    pub document: &'index str,
    /// Its version.
    pub version: Version,
    /// The offset of its record in `extractions`.
    pub offset: u64,
    /// How many key concepts it has.
    pub key_concepts: usize,
}

impl Index {
    /// All shards, for commands and tests.
    pub fn new(shards: u32) -> Self {
        Index::of_worker(shards, 0, 1)
    }

    /// The shards of a worker.
    pub fn of_worker(shards: u32, worker: usize, peers: usize) -> Self {
        let own = (worker..shards as usize).step_by(peers).count();
        Index {
            concepts: Concepts::default(),
            shards: std::iter::repeat_with(Shard::default).take(own).collect(),
            worker: worker as u32,
            peers: peers as u32,
            settled: true,
        }
    }

    /// Applies an entry of one of the own shards; see [`crate::upsert`].
    ///
    /// # Panics
    /// If the shard is another worker's.
    pub fn upsert(&mut self, entry: &Entry) -> Upserted {
        assert_eq!(
            entry.partition % self.peers,
            self.worker,
            "the shard of partition {} is another worker's",
            entry.partition
        );
        let shard = &mut self.shards[(entry.partition / self.peers) as usize];
        let upserted = shard.upsert(&mut self.concepts, entry);
        self.settled &= matches!(upserted, Upserted::Seen | Upserted::Absent);
        upserted
    }

    /// Makes draws depend on the live documents alone: postings are sorted by document id. Does nothing when nothing changed.
    pub fn settle(&mut self) {
        if !std::mem::replace(&mut self.settled, true) {
            self.shards.iter_mut().for_each(|shard| shard.settle(&self.concepts));
        }
    }

    /// The concepts whose weight changed since the last call, with their weights; each shard reports for itself.
    pub fn take_changed(&mut self) -> Vec<Weight> {
        let mut weights = Vec::new();
        for (shard, own) in (self.worker..).step_by(self.peers as usize).zip(&mut self.shards) {
            for row in own.take_changed() {
                let weight = own.weight(row);
                let (concept, kind) = (self.concepts.id(row), self.concepts.kind(row));
                let shard::ShardWeight { main, pairs, documents } = weight;
                weights.push(Weight { concept, kind, shard, main, pairs, documents });
            }
        }
        self.concepts.recycle();
        weights
    }

    /// Live documents.
    pub fn documents(&self) -> usize {
        self.shards.iter().map(|shard| shard.documents.len()).sum()
    }

    /// A digest of the live (document, version) pairs, whatever their order; the digests of workers add up (wrapping).
    pub fn digest(&self) -> u128 {
        self.shards.iter().fold(0, |sum, shard| sum.wrapping_add(shard.digest()))
    }

    /// What a concept weighs in a shard of this worker.
    pub fn weight(&self, concept: ConceptId, kind: Kind, shard: u32) -> Weight {
        let weight = self.concepts.find(concept).map(|row| self.shard(shard).weight(row)).unwrap_or_default();
        Weight { concept, kind, shard, main: weight.main, pairs: weight.pairs, documents: weight.documents }
    }

    /// The neighbours of a concept with the number of documents that they share, most first.
    pub fn neighbours(&self, concept: ConceptId) -> Vec<(Node, u64)> {
        let Some(row) = self.concepts.find(concept) else { return Vec::new() };
        let mut counts = std::collections::HashMap::<u32, u64>::new();
        for (shard, document) in self.mentions(row) {
            for &concept in shard.documents.concepts(document).iter().filter(|&&concept| concept != row) {
                *counts.entry(concept).or_default() += 1;
            }
        }
        let mut neighbours: Vec<_> = counts.into_iter().map(|(row, count)| (self.concepts.node(row), count)).collect();
        neighbours.sort_unstable_by(|one, other| other.1.cmp(&one.1).then_with(|| one.0.cmp(&other.0)));
        neighbours
    }

    /// The concepts of a document, as an element of a differential collection; `None` when it is not live.
    pub fn mentions_of(&self, partition: u32, document: &str) -> Option<Mentions> {
        let shard = self.shard(partition);
        let row = shard.documents.find(document)?;
        Some((
            DocumentId::of(document),
            shard.documents.concepts(row).iter().map(|&concept| self.concepts.node(concept)).collect(),
        ))
    }

    /// The offset in `extractions` of a document's record; `None` when it is not live.
    pub fn offset_of(&self, partition: u32, document: &str) -> Option<u64> {
        let shard = self.shard(partition);
        shard.documents.find(document).map(|row| shard.documents.record(row).offset)
    }

    /// The live documents of a shard that have a text, in no order.
    pub fn with_text(&self, partition: u32) -> impl Iterator<Item = LiveDocument<'_>> + '_ {
        let documents = &self.shard(partition).documents;
        documents.rows().filter_map(|row| {
            let record = documents.record(row);
            record.text().map(|_| LiveDocument {
                document: documents.key(row),
                version: record.version(),
                offset: record.offset,
                key_concepts: documents.key_concepts(row).len(),
            })
        })
    }

    /// Whether any live document has a topic (`sampling.start = auto` starts from key concepts when none has).
    pub fn has_topics(&self) -> bool {
        self.concepts.rows().any(|row| self.concepts.kind(row) == Kind::Topic)
    }

    /// The name of a concept that a live document of this worker mentions.
    pub fn node(&self, concept: ConceptId) -> Option<Node> {
        self.concepts.find(concept).map(|row| self.concepts.node(row))
    }

    /// The shards' half of many steps; see [`draws`].
    pub(crate) fn draw(&self, wanted: Vec<Wanted>) -> Vec<ConceptId> {
        draws::draw_all(self, wanted)
    }

    /// The exact weight of a step in a shard, and whether the work cap was hit.
    pub(crate) fn admissible(
        &self,
        shard: u32,
        from: ConceptId,
        step: Step,
        visited: &[ConceptId],
        cap: u64,
    ) -> (u64, bool) {
        let Some(row) = self.concepts.find(from) else { return (0, false) };
        self.shard(shard).admissible(row, step, &self.rows(visited), cap)
    }

    /// The choice of that rank among those that [`Index::admissible`] counts.
    pub(crate) fn pick(
        &self,
        shard: u32,
        from: ConceptId,
        step: Step,
        visited: &[ConceptId],
        rank: u64,
    ) -> Option<ConceptId> {
        let row = self.concepts.find(from)?;
        self.shard(shard).pick(row, step, &self.rows(visited), rank).map(|row| self.concepts.id(row))
    }

    fn rows(&self, concepts: &[ConceptId]) -> Vec<u32> {
        concepts.iter().filter_map(|&concept| self.concepts.find(concept)).collect()
    }

    pub(crate) fn shard(&self, shard: u32) -> &Shard {
        &self.shards[(shard / self.peers) as usize]
    }

    pub(crate) fn concepts(&self) -> &Concepts {
        &self.concepts
    }

    /// The documents of this worker that mention a concept.
    pub(crate) fn mentions(&self, concept: u32) -> impl Iterator<Item = (&Shard, u32)> {
        self.shards.iter().flat_map(move |shard| {
            shard.classes(concept).flat_map(|class| shard.members(class)).map(move |&document| (shard, document))
        })
    }
}
