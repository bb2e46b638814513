//! Exact counts of the concept graph, without storing a pair.
//!
//! Input: an [`Index`] with all shards. Output: [`GraphStats`]. Law: equals a recount of the live documents; an edge counts once
//! however many documents have it. Cost: one look at every pair of concepts of every document.

use serde::Serialize;

use crate::id::Kind;
use crate::index::{Concepts, Index};

/// Counts of nodes, incidences, and distinct edges.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct GraphStats {
    /// Live documents.
    pub documents: u64,
    /// Distinct topics.
    pub topics: u64,
    /// Distinct key concepts.
    pub key_concepts: u64,
    /// Pairs of document and concept, topics and key concepts alike.
    pub incidences: u64,
    /// Distinct pairs of topics that share a document.
    pub topic_topic_edges: u64,
    /// Distinct pairs of topic and key concept that share a document.
    pub topic_concept_edges: u64,
    /// Distinct pairs of key concepts that share a document.
    pub concept_concept_edges: u64,
}

/// Counts the graph: per node, its documents are read and each larger neighbour is stamped.
pub fn stats(index: &Index) -> GraphStats {
    let concepts = index.concepts();
    let mut stats = GraphStats { documents: index.documents() as u64, ..GraphStats::default() };
    let mut stamps = vec![u32::MAX; concepts.bound()];
    for row in concepts.rows() {
        let is_topic = concepts.kind(row) == Kind::Topic;
        *(if is_topic { &mut stats.topics } else { &mut stats.key_concepts }) += 1;
        count_edges(index, concepts, row, &mut stamps, &mut stats);
    }
    stats
}

fn count_edges(index: &Index, concepts: &Concepts, row: u32, stamps: &mut [u32], stats: &mut GraphStats) {
    let kind = concepts.kind(row);
    for (shard, document) in index.mentions(row) {
        stats.incidences += 1;
        if kind == Kind::Topic {
            let topics = shard.documents.topics(document).iter().copied();
            stats.topic_topic_edges += stamp(topics.filter(|&topic| topic > row), row, stamps);
            let key_concepts = shard.documents.key_concepts(document).iter().copied();
            stats.topic_concept_edges += stamp(key_concepts, row, stamps);
        } else {
            let key_concepts = shard.documents.key_concepts(document).iter().copied();
            stats.concept_concept_edges += stamp(key_concepts.filter(|&other| other > row), row, stamps);
        }
    }
}

/// Stamps the neighbours, and counts those that did not have this stamp.
fn stamp(neighbours: impl Iterator<Item = u32>, row: u32, stamps: &mut [u32]) -> u64 {
    neighbours.map(|neighbour| u64::from(std::mem::replace(&mut stamps[neighbour as usize], row) != row)).sum()
}
