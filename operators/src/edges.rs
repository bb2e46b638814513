//! How often nodes occur and edges are shared, as differential collections (for `graph-updates`).
//!
//! Input: documents with their concepts, as [`crate::graph::Loading::mentions`] gives them. Output: nodes and edges, whose
//! difference *is* the count; consolidated, so that an epoch changes a node or an edge at most once.
//! Law: equals the recount of the live documents at every epoch. Cost: one update for every pair of concepts of a document; the
//! sampler never uses it.

use differential_dataflow::{AsCollection, VecCollection};
use serde::{Deserialize, Serialize};
use timely::dataflow::Stream;

use crate::id::Kind;
use crate::record::Node;
use crate::upsert::Mentions;

/// A node, or an edge with the smaller node first (topics before key concepts).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Element {
    /// A concept.
    Node(Node),
    /// Two concepts that share a document.
    Edge(Node, Node),
}

/// The counts of nodes and edges.
pub fn counts(mentions: Stream<'_, u64, Vec<(Mentions, u64, isize)>>) -> VecCollection<'_, u64, Element, isize> {
    mentions.as_collection().flat_map(|(_document, nodes)| elements(nodes)).consolidate()
}

/// The nodes and edges of one document.
pub fn elements(mut nodes: Vec<Node>) -> Vec<Element> {
    nodes.sort_unstable();
    let mut elements = Vec::with_capacity(nodes.len() * (nodes.len() + 1) / 2);
    for (place, node) in nodes.iter().enumerate() {
        elements.extend(nodes[place + 1..].iter().map(|other| Element::Edge(node.clone(), other.clone())));
    }
    elements.extend(nodes.into_iter().map(Element::Node));
    elements
}

impl Element {
    /// The key of the element's record in `graph-updates`.
    pub fn key(&self) -> String {
        let name = |node: &Node| match node.kind {
            Kind::Topic => format!("topic:{}", node.name),
            Kind::KeyConcept => format!("concept:{}", node.name),
        };
        match self {
            Element::Node(node) => name(node),
            // Normalised names hold no control characters, so a tab separates them without doubt.
            Element::Edge(one, other) => format!("{}\t{}", name(one), name(other)),
        }
    }
}
