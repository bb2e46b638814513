//! Which walks the start nodes still owe.
//!
//! Input: documents per start node; starts already made. Output: starts, fewest first.
//! Law: for every node, starts issued = quota, whatever the order of arrival; the next start is the least of all open ones in
//! the order (start number, hash(seed, node)).
//! Cost: O(log nodes) per change; nothing while no quota is open.
//!
//! ```
//! use synthllm_operators::{id::ConceptId, schedule::{Quota, Schedule}};
//! let mut schedule = Schedule::new(7, Quota { epochs: 2, starts_per_document: 0.0 });
//! schedule.set_documents(ConceptId(1), 10);
//! assert_eq!(schedule.next().map(|order| order.start), Some(0));
//! assert_eq!(schedule.next().map(|order| order.start), Some(1));
//! assert_eq!(schedule.next(), None);
//! ```

use std::collections::{BTreeSet, HashMap};

use serde::{Deserialize, Serialize};

use crate::draw;
use crate::id::ConceptId;

/// How many walks start from a node.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Quota {
    /// At least so many.
    pub epochs: u32,
    /// And so many for each document that has the node.
    pub starts_per_document: f64,
}

impl Quota {
    /// `max(epochs, starts_per_document * documents)`, whole starts only: a fraction is not owed yet. A node without documents
    /// owes nothing.
    pub fn of(self, documents: u64) -> u64 {
        let by_documents = (self.starts_per_document * documents as f64).floor() as u64;
        if documents == 0 { 0 } else { by_documents.max(u64::from(self.epochs)) }
    }
}

/// A start in the order in which starts are made and limits are counted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Order {
    /// Which start of its node, from 0.
    pub start: u64,
    /// hash(seed, node).
    pub hash: u64,
    /// The node.
    pub node: ConceptId,
}

impl Order {
    /// The place of a start.
    pub fn of(seed: u64, node: ConceptId, start: u64) -> Self {
        Order { start, hash: draw::order(seed, node), node }
    }
}

#[derive(Clone, Copy, Default, Debug)]
struct Standing {
    documents: u64,
    issued: u64,
}

/// The start nodes of one owner.
#[derive(Debug)]
pub struct Schedule {
    seed: u64,
    quota: Quota,
    nodes: HashMap<ConceptId, Standing>,
    open: BTreeSet<Order>,
}

impl Schedule {
    /// A schedule without nodes.
    pub fn new(seed: u64, quota: Quota) -> Self {
        Schedule { seed, quota, nodes: HashMap::new(), open: BTreeSet::new() }
    }

    /// Takes the number of live documents of a node.
    pub fn set_documents(&mut self, node: ConceptId, documents: u64) {
        self.change(node, |standing| standing.documents = documents);
    }

    /// Takes the number of starts of a node that have their outcome; on loading, and when issued starts are given back.
    pub fn set_started(&mut self, node: ConceptId, started: u64) {
        self.change(node, |standing| standing.issued = started);
    }

    /// The least open start, without issuing it.
    pub fn peek(&self) -> Option<Order> {
        self.open.first().copied()
    }

    /// Issues the least open start.
    #[expect(clippy::should_implement_trait, reason = "a schedule that ran out goes on when documents arrive")]
    pub fn next(&mut self) -> Option<Order> {
        let order = self.peek()?;
        self.change(order.node, |standing| standing.issued += 1);
        Some(order)
    }

    /// Whether no start is owed.
    pub fn is_done(&self) -> bool {
        self.open.is_empty()
    }

    fn change(&mut self, node: ConceptId, change: impl FnOnce(&mut Standing)) {
        let standing = self.nodes.entry(node).or_default();
        let before = *standing;
        change(standing);
        let after = *standing;
        // Most changes are one more document of a node whose next start is the same.
        let next = |standing: Standing| (standing.issued < self.quota.of(standing.documents)).then_some(standing.issued);
        if next(before) != next(after) {
            next(before).map(|start| self.open.remove(&Order::of(self.seed, node, start)));
            next(after).map(|start| self.open.insert(Order::of(self.seed, node, start)));
        }
        if after.documents == 0 && after.issued == 0 {
            self.nodes.remove(&node);
        }
    }
}
