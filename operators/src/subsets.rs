//! Subsets of the corpus, each with a concept graph of its own (paper.md, "Sizes": "each subset's graph").
//!
//! Input: what a document says of itself, and the normalised name of a concept. Output: the name of the node that the concept is
//! in the document's subset. Law: nodes of different subsets have different names, so no edge joins them, no walk leaves a subset
//! and no document of another one matches; and the concept's name can be had back. Cost: the name of the subset and one byte for
//! each node, nothing without subsets.
//!
//! The graph is the incidence relation of documents and nodes, so nothing else has to know of subsets.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use crate::id::DocumentId;
use crate::normal::concept_name;

/// Stands between the subset and the concept. Normalised names hold no control characters.
const SEPARATOR: char = '\u{1f}';

/// By what documents belong to subsets.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub enum Subsets {
    /// All documents are one corpus.
    #[default]
    None,
    /// By their source, whatever its case and white space; those without one are a subset too.
    Source,
    /// By their licence, likewise.
    License,
    /// So many parts, by the hash of the document's id.
    Parts(NonZeroU32),
}

/// What a document says of itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Origins<'a> {
    /// Its id.
    pub document: &'a str,
    /// Its source.
    pub source: Option<&'a str>,
    /// Its licence.
    pub license: Option<&'a str>,
}

impl Subsets {
    /// The name of the subset that a document belongs to; nothing without subsets.
    ///
    /// ```
    /// use synthllm_operators::subsets::{Origins, Subsets, concept_of, node_name, subset_of};
    /// let wiki = Subsets::Source.of(&Origins { document: "a", source: Some("Wiki"), license: None });
    /// let node = node_name(wiki.as_deref(), "ridge");
    /// assert_eq!((subset_of(&node), concept_of(&node)), (Some("wiki"), "ridge"));
    /// assert_eq!(node_name(None, "ridge"), "ridge");
    /// ```
    pub fn of(self, origins: &Origins<'_>) -> Option<String> {
        let named = |name: Option<&str>| Some(name.map(concept_name).unwrap_or_default());
        match self {
            Subsets::None => None,
            Subsets::Source => named(origins.source),
            Subsets::License => named(origins.license),
            Subsets::Parts(parts) => Some((DocumentId::of(origins.document).0 % u64::from(parts.get())).to_string()),
        }
    }
}

/// The name of the node that a concept is in a subset.
pub fn node_name(subset: Option<&str>, concept: &str) -> String {
    subset.map_or_else(|| concept.to_owned(), |subset| format!("{subset}{SEPARATOR}{concept}"))
}

/// The concept's name in the name of a node.
pub fn concept_of(node: &str) -> &str {
    node.split_once(SEPARATOR).map_or(node, |(_, concept)| concept)
}

/// The subset's name in the name of a node.
pub fn subset_of(node: &str) -> Option<&str> {
    node.split_once(SEPARATOR).map(|(subset, _)| subset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_without_a_source_is_in_a_subset_of_its_own() {
        let of = |source| Subsets::Source.of(&Origins { document: "a", source, license: Some("MIT") });
        assert_eq!(of(None), Some(String::new()));
        assert_eq!(of(Some(" New\u{1f}Wiki ")), Some("new wiki".to_owned()));
        assert_ne!(node_name(of(None).as_deref(), "ridge"), "ridge");
        assert_eq!(subset_of(&node_name(of(None).as_deref(), "ridge")), Some(""));
    }

    #[test]
    fn parts_are_pinned_since_starts_are_counted_by_node() {
        let parts = Subsets::Parts(NonZeroU32::new(6).expect("not 0"));
        let of = |document| parts.of(&Origins { document, ..Origins::default() });
        assert_eq!(["a", "b", "c", "d"].map(|id| of(id).unwrap_or_default()), ["1", "5", "3", "4"]);
    }
}
