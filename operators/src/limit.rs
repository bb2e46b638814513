//! Which outcomes count when a level has a limit (protocol.md, "Window, permits, stop, limits").
//!
//! Input: outcomes, and how far their order is complete. Output: the accepted ones, in order. Law: accepted is the longest prefix of
//! the order (start number, hash(seed, node)) with at most `remaining` combinations, ending with a combination when the limit
//! is reached; stuck starts and those without references do not count. Whatever comes in whatever batches, the union of what
//! is accepted is the same. [`Limit::accept_one`] gives the same outcomes a combination at a time. Cost: O(log outcomes) each.

use std::collections::BTreeMap;

use crate::graph::{Found, Outcome};
use crate::id::ConceptId;
use crate::schedule::Order;

/// Accepts outcomes in order until the limit is reached.
#[derive(Clone, Debug)]
pub struct Limit {
    seed: u64,
    remaining: Option<u64>,
    waiting: BTreeMap<Order, Outcome>,
}

impl Limit {
    /// `remaining` combinations may be accepted; `None`: all.
    pub fn new(seed: u64, remaining: Option<u64>) -> Self {
        Limit { seed, remaining, waiting: BTreeMap::new() }
    }

    /// Takes an outcome, in any order.
    pub fn offer(&mut self, outcome: Outcome) {
        self.waiting.insert(Order::of(self.seed, outcome.node, outcome.start), outcome);
    }

    /// The outcomes that are accepted now, when every start below `complete` was offered (`None`: every start at all). Their
    /// starts are used up, whether they brought a combination or not; see [`starts`].
    pub fn accept(&mut self, complete: Option<Order>) -> Vec<Outcome> {
        let mut accepted = Vec::new();
        while self.accept_one(complete, &mut accepted) {}
        accepted
    }

    /// Accepts outcomes up to and with the first combination. Returns whether there was one; without, all that may be accepted are.
    pub fn accept_one(&mut self, complete: Option<Order>, accepted: &mut Vec<Outcome>) -> bool {
        while !self.is_reached() {
            match self.waiting.first_entry() {
                Some(entry) if complete.is_none_or(|complete| *entry.key() < complete) => accepted.push(entry.remove()),
                _ => break,
            }
            if let Some(Found::Combination { .. }) = accepted.last().map(|outcome| &outcome.result) {
                self.remaining = self.remaining.map(|remaining| remaining - 1);
                return true;
            }
        }
        false
    }

    /// Takes back the outcomes that are not accepted; their starts are not used up. Returns for each node the first of them.
    pub fn give_back(&mut self) -> BTreeMap<ConceptId, u64> {
        let mut first = BTreeMap::new();
        for order in std::mem::take(&mut self.waiting).into_keys() {
            let start = first.entry(order.node).or_insert(order.start);
            *start = order.start.min(*start);
        }
        first
    }

    /// Whether no outcome waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether no more combinations are wanted; what still waits is dropped, and its starts are not used up.
    pub fn is_reached(&self) -> bool {
        self.remaining == Some(0)
    }

    /// How many combinations are still wanted.
    pub fn remaining(&self) -> Option<u64> {
        self.remaining
    }
}

/// Up to where accepted outcomes move `starts`: for each node, all starts below this number have their outcome.
pub fn starts<'a>(accepted: impl IntoIterator<Item = &'a Outcome>) -> BTreeMap<ConceptId, u64> {
    let mut starts = BTreeMap::new();
    for outcome in accepted {
        let next = starts.entry(outcome.node).or_insert(0);
        *next = (outcome.start + 1).max(*next);
    }
    starts
}
