//! The owner's half of a step: which shard, and whether the part is stuck.

use std::collections::HashMap;

use super::step::{Answer, Ask, Reply, Request};
use super::{Settings, Walker};
use crate::draw::{Choice, Draw, WalkId};
use crate::index::Weights;

/// Exact weights of one step, as far as the shards have told them.
#[derive(Debug)]
struct Weighing {
    weights: Vec<(u32, u64)>,
    missing: usize,
    capped: bool,
}

/// The owner of concepts: sends walkers to shards.
#[derive(Debug)]
pub(crate) struct Owner {
    settings: Settings,
    weighing: HashMap<WalkId, Weighing>,
}

impl Owner {
    pub(crate) fn new(settings: Settings) -> Self {
        Owner { settings, weighing: HashMap::new() }
    }

    /// Takes an answer; returns the walker when its walk is done.
    pub(crate) fn take(&mut self, weights: &Weights, reply: Reply, send: impl FnMut(Request)) -> Option<Box<Walker>> {
        match reply.answer {
            Answer::Moved | Answer::Visited => self.step(weights, reply.walker, send),
            Answer::Weight(shard, weight) => self.weigh(weights, reply.walker, (shard, weight), send),
        }
    }

    /// Asks for the next step; parts that weigh nothing are skipped.
    fn step(&mut self, weights: &Weights, mut walker: Box<Walker>, mut send: impl FnMut(Request)) -> Option<Box<Walker>> {
        while let Some(step) = walker.step() {
            let shards = weights.of(walker.at(), step);
            let total: u64 = shards.iter().sum();
            if total == 0 {
                walker.skip();
            } else if walker.attempt < self.settings.rejections {
                let place = Draw::new(walker.id, walker.number(), walker.attempt, Choice::Shard).below(total);
                let (shard, place) = locate((0..).zip(shards.iter().copied()), place);
                send(Request { shard, ask: Ask::Draw(place), walker });
                return None;
            } else {
                self.ask_all(shards, walker, send);
                return None;
            }
        }
        Some(walker)
    }

    fn ask_all(&mut self, shards: &[u64], walker: Box<Walker>, mut send: impl FnMut(Request)) {
        let shards: Vec<u32> = (0..).zip(shards).filter(|(_, weight)| **weight > 0).map(|(shard, _)| shard).collect();
        self.weighing.insert(walker.id, Weighing { weights: Vec::new(), missing: shards.len(), capped: false });
        for shard in shards {
            send(Request { shard, ask: Ask::Weigh, walker: walker.clone() });
        }
    }

    /// Collects the exact weights; with the last one the step is drawn from them, or the part is stuck.
    fn weigh(
        &mut self,
        weights: &Weights,
        mut walker: Box<Walker>,
        told: (u32, u64),
        mut send: impl FnMut(Request),
    ) -> Option<Box<Walker>> {
        let weighing = self.weighing.get_mut(&walker.id).expect("an exact weight was asked for");
        weighing.weights.push(told);
        weighing.capped |= walker.capped;
        weighing.missing -= 1;
        if weighing.missing > 0 {
            return None;
        }
        let mut weighing = self.weighing.remove(&walker.id).expect("it was there above");
        walker.capped = weighing.capped;
        weighing.weights.sort_unstable();
        let total: u64 = weighing.weights.iter().map(|(_, weight)| weight).sum();
        if total == 0 {
            walker.skip();
            return self.step(weights, walker, send);
        }
        let place = Draw::new(walker.id, walker.number(), walker.attempt, Choice::Exact).below(total);
        let (shard, rank) = locate(weighing.weights.into_iter(), place);
        send(Request { shard, ask: Ask::Pick(rank), walker });
        None
    }
}

/// The shard in which a place below the sum of the weights lies, and the rest of the place in it.
fn locate(weights: impl Iterator<Item = (u32, u64)>, mut place: u64) -> (u32, u64) {
    for (shard, weight) in weights {
        if place < weight {
            return (shard, place);
        }
        place -= weight;
    }
    unreachable!("the place is below the sum of the weights")
}
