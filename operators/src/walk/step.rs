//! The messages of a step, and the shards' answer to them.

use serde::{Deserialize, Serialize};

use super::{Settings, Step, Walker};
use crate::draw::{Choice, Draw};
use crate::id::ConceptId;
use crate::index::{Index, Wanted};

/// What the owner asks of a shard.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Ask {
    /// Draw by static sizes, from this place in the shard's weight on.
    Draw(u64),
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
    pub(crate) walker: Box<Walker>,
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
    pub(crate) walker: Box<Walker>,
}

/// The shards' half of many steps.
pub(crate) fn answer_all(index: &Index, settings: &Settings, requests: Vec<Request>) -> impl Iterator<Item = Reply> {
    let mut drawn = index.draw(requests.iter().filter_map(wanted).collect()).into_iter();
    requests.into_iter().map(move |request| answer(index, settings, request, &mut drawn))
}

fn wanted(Request { shard, ask, walker }: &Request) -> Option<Wanted> {
    let Ask::Draw(place) = *ask else { return None };
    let draw = Draw::new(walker.id, walker.number(), walker.attempt, Choice::Document);
    Some(Wanted { shard: *shard, from: walker.at(), step: next_step(walker), place, draw })
}

fn next_step(walker: &Walker) -> Step {
    walker.step().expect("a walker that asks has a step to make")
}

fn answer(index: &Index, settings: &Settings, request: Request, drawn: &mut impl Iterator<Item = ConceptId>) -> Reply {
    let Request { shard, ask, mut walker } = request;
    let (from, step) = (walker.at(), next_step(&walker));
    let answer = match ask {
        Ask::Draw(_) => take(&mut walker, drawn.next().expect("all that was wanted was drawn"), shard),
        Ask::Weigh => {
            let cap = settings.walk_cap.div_ceil(u64::from(settings.shards));
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

fn take(walker: &mut Walker, concept: ConceptId, shard: u32) -> Answer {
    if walker.nodes().contains(&concept) {
        walker.rejections += 1;
        walker.attempt += 1;
        Answer::Visited
    } else {
        walker.arrive(concept, shard);
        Answer::Moved
    }
}
