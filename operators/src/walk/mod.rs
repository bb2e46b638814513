//! Walks through the concept graph: one or two steps from topic to topic, one to a key concept, three or four between key
//! concepts; from a key concept only the last ones (paper.md, level 3).
//!
//! Input: starts, at the owners of their nodes. Output: finished [`Walker`]s. A step goes owner -> shard -> owner: the owner of a concept
//! knows its weight in every shard and draws the shard, the shard draws the document and the concept in it.
//! Law (design.md §4): a step of kind X from u with visited set V takes a document d among those that contain u with probability
//! proportional to `|X_d \ V|`, then a concept uniform in `X_d \ V`. A part of the walk without such a concept is stuck and skipped.
//! Everything is defined over the P shards, and every number is a function of (seed, node, start, step, attempt): the walk is
//! the same on any number of workers.
//! Cost: about 1.6 draws a step; after [`Settings::rejections`] visited ones the exact weights, at most [`Settings::walk_cap`]
//! postings.

mod owner;
mod plan;
mod step;
mod stream;

pub use plan::{Part, Walker};
pub use stream::walk;

pub use stream::owner_of;

use serde::{Deserialize, Serialize};

use crate::id::{ConceptId, Kind};

/// The kinds of steps, each over its own sub-graph.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Step {
    /// From a topic to another topic of a document.
    TopicTopic,
    /// From a topic to a key concept of a document.
    TopicConcept,
    /// From a key concept to another key concept of a document.
    ConceptConcept,
}

/// What draws depend on, beside the live documents.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Settings {
    /// P, the number of shards.
    pub shards: u32,
    /// The seed of all draws.
    pub seed: u64,
    /// What walks start from (`sampling.start`, where `auto` is decided).
    pub starts: Kind,
    /// A combination needs this many key concepts; with fewer the start is stuck.
    pub min_key_concepts: usize,
    /// Whether draws depend on the live documents alone, not on their history.
    pub settled: bool,
    /// Whether only documents with text are references (`run`), or all (`graph draw`).
    pub need_text: bool,
    /// Visited concepts drawn in one step before its exact weights are computed.
    pub rejections: u32,
    /// Postings looked at for the exact weights of a step, over all shards.
    pub walk_cap: u64,
    /// Postings looked at for a match, over all shards.
    pub match_cap: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            shards: 8,
            seed: 0,
            starts: Kind::Topic,
            min_key_concepts: 3,
            settled: true,
            need_text: false,
            rejections: 32,
            walk_cap: 65_536,
            match_cap: 4_194_304,
        }
    }
}

/// A walk to be made.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Start {
    /// Where it starts.
    pub node: ConceptId,
    /// What the node is.
    pub kind: Kind,
    /// Which walk from this node, from 0.
    pub start: u64,
}
