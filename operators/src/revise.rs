//! Decides what a record of `documents` changes: the memory of the live documents, and one document after the other.
//!
//! Law (protocol.md, "extract"): the records of one document are decided in offset order, each after the outcome of the one
//! before it, against the content hash of the live extraction. Cost: O(1) per record; 56 bytes per live document.

use std::collections::{HashMap, VecDeque};

use serde::{Deserialize, Serialize};

use crate::id::DocumentId;
use crate::record::{Extraction, Version};

/// What is remembered of a live document.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Known {
    /// The hash of its content.
    pub content_hash: u128,
    /// Where its content last changed.
    pub version: Version,
    /// Where it was last inserted.
    pub since: Version,
}

impl From<&Extraction> for Known {
    fn from(extraction: &Extraction) -> Self {
        Known { content_hash: extraction.content_hash, version: extraction.version, since: extraction.since }
    }
}

/// What a record does to its document.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ruling {
    /// The content is the live one: nothing.
    Unchanged,
    /// A delete of a document that is not live: nothing.
    Absent,
    /// A delete of a live document.
    Delete,
    /// New content; `since` is the version of the insert.
    Revise {
        /// See [`Known::since`].
        since: Version,
    },
    /// The document lives in another partition of `documents`: a dead letter.
    Foreign {
        /// The partition in which it lives.
        lives_in: u32,
    },
}

/// The live documents, by id.
#[derive(Default, Debug)]
pub struct Memory(HashMap<DocumentId, Known>);

impl Memory {
    /// What a record at `version` with this content (`None`: a tombstone) does.
    pub fn rule(&self, document: DocumentId, version: Version, content_hash: Option<u128>) -> Ruling {
        match (self.0.get(&document), content_hash) {
            (Some(known), _) if known.version.partition != version.partition => {
                Ruling::Foreign { lives_in: known.version.partition }
            }
            (None, None) => Ruling::Absent,
            (Some(_), None) => Ruling::Delete,
            (Some(known), Some(hash)) if known.content_hash == hash => Ruling::Unchanged,
            (Some(known), Some(_)) => Ruling::Revise { since: known.since },
            (None, Some(_)) => Ruling::Revise { since: version },
        }
    }

    /// The outcome of a record: the document as it now lives, or that it is gone.
    pub fn outcome(&mut self, document: DocumentId, known: Option<Known>) {
        match known {
            Some(known) => self.0.insert(document, known),
            None => self.0.remove(&document),
        };
    }

    /// Whether the document lives in this partition.
    pub fn lives_in(&self, document: DocumentId, partition: u32) -> bool {
        self.0.get(&document).is_some_and(|known| known.version.partition == partition)
    }
}

/// Lets the records of one document through one after the other.
#[derive(Debug)]
pub struct Queues<R>(HashMap<DocumentId, VecDeque<R>>);

impl<R> Default for Queues<R> {
    fn default() -> Self {
        Queues(HashMap::new())
    }
}

impl<R> Queues<R> {
    /// Gives the record back when it is its turn; else keeps it until the one before it is done.
    pub fn enter(&mut self, document: DocumentId, record: R) -> Option<R> {
        if let Some(queue) = self.0.get_mut(&document) {
            queue.push_back(record);
            return None;
        }
        self.0.insert(document, VecDeque::new());
        Some(record)
    }

    /// The current record of a document has its outcome: returns the next one, whose turn it now is.
    pub fn leave(&mut self, document: DocumentId) -> Option<R> {
        let next = self.0.get_mut(&document).and_then(VecDeque::pop_front);
        if next.is_none() {
            self.0.remove(&document);
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: DocumentId = DocumentId(1);

    fn at(offset: u64) -> Version {
        Version { partition: 0, offset }
    }

    #[test]
    fn a_document_is_decided_against_its_live_content() {
        let mut memory = Memory::default();
        assert_eq!(memory.rule(DOCUMENT, at(0), None), Ruling::Absent);
        assert_eq!(memory.rule(DOCUMENT, at(0), Some(7)), Ruling::Revise { since: at(0) });
        memory.outcome(DOCUMENT, Some(Known { content_hash: 7, version: at(0), since: at(0) }));
        assert_eq!(memory.rule(DOCUMENT, at(1), Some(7)), Ruling::Unchanged);
        assert_eq!(memory.rule(DOCUMENT, at(1), Some(8)), Ruling::Revise { since: at(0) });
        assert_eq!(memory.rule(DOCUMENT, at(1), None), Ruling::Delete);
        let elsewhere = Version { partition: 1, offset: 0 };
        assert_eq!(memory.rule(DOCUMENT, elsewhere, Some(8)), Ruling::Foreign { lives_in: 0 });
        assert_eq!(memory.rule(DOCUMENT, elsewhere, None), Ruling::Foreign { lives_in: 0 });
        memory.outcome(DOCUMENT, None);
        assert_eq!(memory.rule(DOCUMENT, elsewhere, Some(8)), Ruling::Revise { since: elsewhere });
    }

    #[test]
    fn records_of_one_document_take_turns_and_others_pass() {
        let mut queues = Queues::default();
        assert_eq!(queues.enter(DOCUMENT, "a"), Some("a"));
        assert_eq!(queues.enter(DOCUMENT, "b"), None);
        assert_eq!(queues.enter(DocumentId(2), "x"), Some("x"));
        assert_eq!(queues.leave(DOCUMENT), Some("b"));
        assert_eq!(queues.leave(DOCUMENT), None);
        assert_eq!(queues.enter(DOCUMENT, "c"), Some("c"));
    }
}
