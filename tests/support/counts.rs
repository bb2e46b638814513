//! The counts of the concept graph by their definition, without the program under test.

use std::collections::{BTreeMap, BTreeSet};

use synthllm_operators::id::Kind;
use synthllm_operators::normal::concept_name;
use synthllm_operators::record::Extraction;

/// A concept.
pub type Node = (Kind, String);

/// The concepts of a document.
pub fn nodes(document: &Extraction) -> BTreeSet<Node> {
    let topics = document.topics.iter().map(|topic| (Kind::Topic, concept_name(&topic.name)));
    let nested = document.topics.iter().flat_map(|topic| &topic.key_concepts);
    let key_concepts = nested.chain(&document.key_concepts).map(|name| (Kind::KeyConcept, concept_name(name)));
    topics.chain(key_concepts).collect()
}

/// How many documents have a node or an edge, by the keys of `graph-updates`.
pub fn recount<'a>(documents: impl IntoIterator<Item = &'a Extraction>) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for document in documents {
        elements(document).into_iter().for_each(|key| *counts.entry(key).or_default() += 1);
    }
    counts
}

fn elements(document: &Extraction) -> Vec<String> {
    let key = |(kind, name): &Node| match kind {
        Kind::Topic => format!("topic:{name}"),
        Kind::KeyConcept => format!("concept:{name}"),
    };
    let nodes = nodes(document);
    let pairs = nodes.iter().flat_map(|one| nodes.range(one..).skip(1).map(move |other| (one, other)));
    let edges = pairs.map(|(one, other)| format!("{}\t{}", key(one), key(other)));
    nodes.iter().map(key).chain(edges).collect()
}
