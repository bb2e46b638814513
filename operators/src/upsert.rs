//! What the log `extractions` says about a document, in the form in which the graph wants it.
//!
//! Input: records of `extractions`. Output: an [`Entry`] each, for [`crate::index::Index::upsert`], and the change that it
//! made. Law: per document the last offset wins, and reading an offset again changes nothing; one document's records lie in one
//! partition, where offsets grow. Cost: O(own concepts).

use serde::{Deserialize, Serialize};

use crate::aliases::Aliases;
use crate::id::DocumentId;
use crate::record::{ExtractionConcepts, Node, Pointer, Version};
use crate::subsets::{Origins, Subsets, node_name};

/// A record of `extractions` as the graph sees it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// The document's id (the record's key).
    pub document: String,
    /// The partition of `extractions`, which is the shard.
    pub partition: u32,
    /// The offset in it.
    pub offset: u64,
    /// What the document contains; `None` when it is gone.
    pub content: Option<Content>,
}

/// Whether a record at `offset` is no longer the last one of its document, and so has no outputs: one that was loaded, with all
/// others below `loaded`, and another one of its document (at `last`), or none, is in the index.
pub fn is_superseded(offset: u64, loaded: u64, last: Option<u64>) -> bool {
    offset < loaded && last != Some(offset)
}

/// The concepts of a live document, and where it is to be found.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Content {
    /// Where in `documents` the content last changed.
    pub version: Version,
    /// The text in `texts`, unless the document has none.
    pub text: Option<Pointer>,
    /// The names of its nodes, each once (see [`crate::subsets`]).
    pub topics: Vec<String>,
    /// Likewise.
    pub key_concepts: Vec<String>,
    /// Whether concepts beyond the cap were left out.
    pub capped: bool,
}

/// How the concepts of a document become nodes of the graph.
#[derive(Clone, Copy, Debug)]
pub struct Naming<'a> {
    /// So many of them count: topics first, then key concepts, each in the order in which they stand.
    pub max_concepts: usize,
    /// Names that stand for others.
    pub aliases: &'a Aliases,
    /// Which documents have a graph of their own.
    pub subsets: Subsets,
}

impl Entry {
    /// The entry of a record.
    pub fn of(document: &str, place: Pointer, record: Option<ExtractionConcepts<'_>>, naming: &Naming<'_>) -> Entry {
        Entry {
            document: document.to_owned(),
            partition: place.partition,
            offset: place.offset,
            content: record.map(|record| Content::of(document, &record, naming)),
        }
    }
}

impl Content {
    fn of(document: &str, record: &ExtractionConcepts<'_>, naming: &Naming<'_>) -> Content {
        let subset = naming.subsets.of(&Origins { document, source: record.source, license: record.license });
        let (most, in_subset) = (naming.max_concepts, |name: &str| naming.node(subset.as_deref(), name));
        let nested = record.topics.iter().flat_map(|(_, key_concepts)| key_concepts);
        // One beyond the cap tells that there are more.
        let mut topics = names(record.topics.iter().filter_map(|(name, _)| in_subset(name)), most + 1);
        let mut key_concepts = names(nested.chain(&record.key_concepts).filter_map(|name| in_subset(name)), most + 1);
        let capped = topics.len() + key_concepts.len() > most;
        topics.truncate(most);
        key_concepts.truncate(most - topics.len());
        Content { version: record.head.version, text: record.head.text, topics, key_concepts, capped }
    }
}

impl Naming<'_> {
    /// The name of the node of a concept, as a document of the subset writes it; nothing for an empty name.
    pub fn node(&self, subset: Option<&str>, display: &str) -> Option<String> {
        let name = self.aliases.name(display);
        match subset {
            _ if name.is_empty() => None,
            None => Some(name),
            Some(_) => Some(node_name(subset, &name)),
        }
    }
}

/// Names, each once, in order of their first mention. Not more than `most`, so that looking for one among them is cheap.
fn names(all: impl Iterator<Item = String>, most: usize) -> Vec<String> {
    let mut names = Vec::new();
    for name in all {
        if names.len() == most {
            break;
        }
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// What an entry did to the index.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Upserted {
    /// The document is new.
    Inserted,
    /// The document was there and has new content.
    Replaced,
    /// The document is gone.
    Removed,
    /// A tombstone of a document that was not there.
    Absent,
    /// The offset was read before: nothing changed.
    Seen,
}

/// A document with its concepts, as an element of a differential collection; see [`crate::edges`].
pub type Mentions = (DocumentId, Vec<Node>);
