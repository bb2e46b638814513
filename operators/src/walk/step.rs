//! The messages of a step, and the shard's answer to them.

use serde::{Deserialize, Serialize};

use super::{Settings, Walker};
use crate::draw::{Choice, Draw};
use crate::index::Index;

/// What the owner asks of a shard.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Ask {
    /// Draw by static sizes.
    Draw,
    /// Tell the exact weight of the step.
    Weigh,
    /// Take the choice of this rank among the exact ones.
    Pick(u64),
}

/// A question to a shard.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Request {
    pub(crate) shard: u32,
    pub(crate) ask: Ask,
    pub(crate) walker: Walker,
}

/// What the shard says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Answer {
    /// The walker stands at a new node (or at its start).
    Moved,
    /// The concept drawn was visited: draw again from the choice of the document on.
    Visited,
    /// The exact weight of the step in this shard.
    Weight(u32, u64),
}

/// An answer to the owner of the node at which the walker stands.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Reply {
    pub(crate) answer: Answer,
    pub(crate) walker: Walker,
}

/// The shard's half of a step.
pub(crate) fn answer(index: &Index, settings: &Settings, request: Request) -> Reply {
    let Request { shard, ask, mut walker } = request;
    let (from, step) = (walker.at(), walker.step().expect("a walker that asks has a step to make"));
    let cap = settings.walk_cap.div_ceil(u64::from(settings.shards));
    let answer = match ask {
        Ask::Draw => {
            let mut draw = Draw::new(walker.id, walker.number(), walker.attempt, Choice::Document);
            let concept = index.draw(shard, from, step, &mut draw).expect("a shard that weighs something has a document");
            if walker.nodes().contains(&concept) {
                walker.rejections += 1;
                walker.attempt += 1;
                Answer::Visited
            } else {
                walker.arrive(concept, shard);
                Answer::Moved
            }
        }
        Ask::Weigh => {
            let (weight, capped) = index.admissible(shard, from, step, walker.nodes(), cap);
            walker.capped |= capped;
            Answer::Weight(shard, weight)
        }
        Ask::Pick(rank) => {
            let concept = index.pick(shard, from, step, walker.nodes(), rank).expect("the rank is below the weight");
            walker.arrive(concept, shard);
            Answer::Moved
        }
    };
    Reply { answer, walker }
}
