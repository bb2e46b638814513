//! Which documents of a shard were drawn, where levels 1 and 2 have a target: in passes over `extractions`, each in the order of ids.
//!
//! Input: live documents, each with the offset of its record and the id of its combination; how far the index is loaded. Output: their
//! order, and what is left of them. Law: a document that lives is drawn once in each version, whatever the crashes between; those of an
//! earlier pass come before those of a later one. What was drawn is said by a [`Pass`] alone, however many documents there are.
//! Cost: O(1) for a document, 40 bytes in `progress` for a shard.

use serde::{Deserialize, Serialize};

use crate::id::Id;

/// Up to where a shard has drawn a level: all documents whose last record lies below `from`, and of those below `to` the ones with ids up
/// to `drawn`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Pass {
    /// From 0.
    pub number: u64,
    /// The first offset of the pass.
    pub from: u64,
    /// The offset behind its last one.
    pub to: u64,
    /// The greatest id that was drawn, if any was.
    pub drawn: Option<Id>,
}

/// The place of a document in the order: the number of its pass, then its id.
pub type Place = (u64, Id);

impl Pass {
    /// Before anything is drawn by passes: what lies below `offset` has had its outcome otherwise.
    pub fn first(offset: u64) -> Self {
        Pass { number: 0, from: offset, to: offset, drawn: None }
    }

    /// The place of a document that is still to be drawn. `loaded` is where the pass after this one ends.
    pub fn place(&self, loaded: u64, offset: u64, id: Id) -> Option<Place> {
        if (self.from..self.to).contains(&offset) {
            return (self.drawn < Some(id)).then_some((self.number, id));
        }
        (self.to.max(self.from)..loaded).contains(&offset).then_some((self.number + 1, id))
    }

    /// The pass after a document was drawn; places only grow.
    #[must_use]
    pub fn after(self, loaded: u64, (number, id): Place) -> Self {
        if number == self.number {
            return Pass { drawn: self.drawn.max(Some(id)), ..self };
        }
        Pass { number, from: self.to, to: loaded, drawn: Some(id) }
    }
}
