//! Decides what a record of `documents` changes: the memory of the live documents, and one document after the other.
//!
//! Law (protocol.md, "extract"): the records of one document are decided in offset order, each after the outcome of the one
//! before it, against the content hash and the redo number of the live extraction, or of what screening keeps of a document that it
//! rejects. Cost: O(1) per record; 88 bytes per document.

use std::collections::{HashMap, VecDeque};

use serde::{Deserialize, Serialize};

use crate::id::DocumentId;
use crate::record::{Extraction, ExtractionHead, Version};

/// What is remembered of a live document.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Known {
    /// The hash of its content.
    pub content_hash: u128,
    /// Where its content last changed.
    pub version: Version,
    /// Where it was last inserted.
    pub since: Version,
    /// See [`Extraction::redo`].
    pub redo: u32,
    /// See [`Extraction::redone`].
    pub redone: Version,
}

impl From<ExtractionHead> for Known {
    fn from(head: ExtractionHead) -> Self {
        let ExtractionHead { content_hash, version, since, redo, redone, .. } = head;
        Known { content_hash, version, since, redo, redone }
    }
}

impl From<&Extraction> for Known {
    fn from(extraction: &Extraction) -> Self {
        ExtractionHead::from(extraction).into()
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
    /// New content, or the live content anew on purpose: what will be known of the document.
    Revise(Known),
    /// The document lives in another partition of `documents`: a dead letter.
    Foreign {
        /// The partition in which it lives.
        lives_in: u32,
    },
}

/// The documents that are known, by id: those that are let in, and those that screening rejects.
#[derive(Default, Debug)]
pub struct Memory {
    live: HashMap<DocumentId, Known>,
    rejected: HashMap<DocumentId, Known>,
}

impl Memory {
    /// What a record at `version` with this content hash and redo number (`None`: a tombstone) does. A redo number says "at
    /// least so often": a record with one that was reached does nothing by it.
    pub fn rule(&self, document: DocumentId, version: Version, content: Option<(u128, u32)>) -> Ruling {
        // One that is rejected and then let in is another incarnation than what was let in before.
        let since_now = |known: &Known| Known { since: version, redone: version, ..*known };
        let rejected = || self.rejected.get(&document).map(since_now);
        let known = self.live.get(&document).copied().or_else(rejected);
        match (known, content) {
            (Some(known), _) if known.version.partition != version.partition => {
                Ruling::Foreign { lives_in: known.version.partition }
            }
            (None, None) => Ruling::Absent,
            (Some(_), None) => Ruling::Delete,
            (Some(known), Some((content_hash, redo))) if redo > known.redo => {
                Ruling::Revise(Known { content_hash, version, redo, redone: version, ..known })
            }
            (Some(known), Some((hash, _))) if known.content_hash == hash => Ruling::Unchanged,
            (Some(known), Some((content_hash, _))) => Ruling::Revise(Known { content_hash, version, ..known }),
            (None, Some((content_hash, redo))) => {
                Ruling::Revise(Known { content_hash, version, since: version, redo, redone: version })
            }
        }
    }

    /// The outcome of a record: the document as it now lives, or that it is gone.
    pub fn outcome(&mut self, document: DocumentId, known: Option<Known>) {
        self.load(document, known);
        self.rejected.remove(&document);
    }

    /// The outcome of a record: the document is rejected, and what is kept of it.
    pub fn reject(&mut self, document: DocumentId, known: Known) {
        self.live.remove(&document);
        self.rejected.insert(document, known);
    }

    /// At a start: what a record of `extractions` says.
    pub fn load(&mut self, document: DocumentId, known: Option<Known>) {
        match known {
            Some(known) => self.live.insert(document, known),
            None => self.live.remove(&document),
        };
    }

    /// At a start: what a record of `scores` says, if it rejects the document. In whatever order the two logs are read, a document
    /// ends as the last record of each says.
    pub fn load_rejected(&mut self, document: DocumentId, known: Option<Known>) {
        match known {
            Some(known) => self.rejected.insert(document, known),
            None => self.rejected.remove(&document),
        };
    }

    /// The document as it is let in.
    pub fn live(&self, document: DocumentId) -> Option<&Known> {
        self.live.get(&document)
    }

    /// The document as it is known, let in or not.
    pub fn known(&self, document: DocumentId) -> Option<&Known> {
        self.live.get(&document).or_else(|| self.rejected.get(&document))
    }

    /// A record of this partition became a dead letter. Returns whether the document lived there and is gone now, so that its
    /// tombstones must be written.
    pub fn bury(&mut self, document: DocumentId, partition: u32) -> bool {
        let lived = self.known(document).is_some_and(|known| known.version.partition == partition);
        if lived {
            self.outcome(document, None);
        }
        lived
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

    fn known(content_hash: u128, offset: u64) -> Known {
        Known { content_hash, version: at(offset), since: at(0), redo: 0, redone: at(0) }
    }

    #[test]
    fn a_document_is_decided_against_its_live_content() {
        let mut memory = Memory::default();
        assert_eq!(memory.rule(DOCUMENT, at(0), None), Ruling::Absent);
        assert_eq!(memory.rule(DOCUMENT, at(0), Some((7, 0))), Ruling::Revise(known(7, 0)));
        memory.outcome(DOCUMENT, Some(known(7, 0)));
        assert_eq!(memory.rule(DOCUMENT, at(1), Some((7, 0))), Ruling::Unchanged);
        assert_eq!(memory.rule(DOCUMENT, at(1), Some((8, 0))), Ruling::Revise(known(8, 1)));
        assert_eq!(memory.rule(DOCUMENT, at(1), None), Ruling::Delete);
        let elsewhere = Version { partition: 1, offset: 0 };
        assert_eq!(memory.rule(DOCUMENT, elsewhere, Some((8, 0))), Ruling::Foreign { lives_in: 0 });
        assert_eq!(memory.rule(DOCUMENT, elsewhere, None), Ruling::Foreign { lives_in: 0 });
        memory.outcome(DOCUMENT, None);
        let anew = Known { content_hash: 8, version: elsewhere, since: elsewhere, redo: 0, redone: elsewhere };
        assert_eq!(memory.rule(DOCUMENT, elsewhere, Some((8, 0))), Ruling::Revise(anew));
    }

    #[test]
    fn a_greater_redo_number_revises_the_same_content_once() {
        let mut memory = Memory::default();
        memory.outcome(DOCUMENT, Some(known(7, 0)));
        let redone = Known { redo: 2, redone: at(3), ..known(7, 3) };
        assert_eq!(memory.rule(DOCUMENT, at(3), Some((7, 2))), Ruling::Revise(redone));
        memory.outcome(DOCUMENT, Some(redone));
        for redo in 0..=2 {
            assert_eq!(memory.rule(DOCUMENT, at(4), Some((7, redo))), Ruling::Unchanged, "redo {redo}");
        }
        let changed = Known { content_hash: 8, version: at(5), ..redone };
        assert_eq!(memory.rule(DOCUMENT, at(5), Some((8, 0))), Ruling::Revise(changed), "a change keeps the number");
    }

    #[test]
    fn a_rejected_document_is_decided_against_what_is_kept_of_it_and_comes_in_as_a_new_one() {
        let mut memory = Memory::default();
        memory.outcome(DOCUMENT, Some(known(7, 0)));
        memory.reject(DOCUMENT, known(8, 1));
        assert_eq!(memory.rule(DOCUMENT, at(2), Some((8, 0))), Ruling::Unchanged);
        assert_eq!(memory.rule(DOCUMENT, at(2), None), Ruling::Delete);
        let anew = Known { since: at(2), redone: at(2), ..known(9, 2) };
        assert_eq!(memory.rule(DOCUMENT, at(2), Some((9, 0))), Ruling::Revise(anew));
        assert!(memory.live(DOCUMENT).is_none() && memory.bury(DOCUMENT, 0) && memory.known(DOCUMENT).is_none());
    }

    #[test]
    fn two_logs_loaded_in_any_order_give_the_same_memory() {
        let (extracted, rejected) = (known(7, 0), known(8, 1));
        for scores_first in [true, false] {
            let mut memory = Memory::default();
            if scores_first {
                memory.load_rejected(DOCUMENT, Some(rejected));
            }
            memory.load(DOCUMENT, Some(extracted));
            memory.load(DOCUMENT, None);
            if !scores_first {
                memory.load_rejected(DOCUMENT, Some(rejected));
            }
            assert_eq!((memory.live(DOCUMENT), memory.known(DOCUMENT)), (None, Some(&rejected)));
        }
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
