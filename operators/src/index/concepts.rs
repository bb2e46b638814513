//! The concepts that live documents of a worker mention: 64-bit id, kind and name, dense `u32` inside.
//!
//! Law: a concept is known while a document mentions it, and until [`Concepts::recycle`] after that; its dense id is then used
//! again. Cost: O(1) per mention.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use crate::id::{ConceptId, Kind};
use crate::record::Node;

/// Hashes ids that are hashes already.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(byte);
        }
    }

    fn write_u64(&mut self, id: u64) {
        self.0 = id;
    }
}

/// A map by concept id.
pub(crate) type ByConcept<V> = HashMap<ConceptId, V, BuildHasherDefault<IdHasher>>;

#[derive(Debug)]
struct Concept {
    id: ConceptId,
    name: Box<str>,
    mentions: u32,
    kind: Kind,
}

/// The concepts of a worker.
#[derive(Debug, Default)]
pub(crate) struct Concepts {
    rows: Vec<Concept>,
    by_id: ByConcept<u32>,
    idle: Vec<u32>,
    free: Vec<u32>,
}

impl Concepts {
    /// Reads ahead what is known of these concepts, so that the processor waits for many places in memory at a time.
    pub(super) fn read_ahead(&self, ids: impl Iterator<Item = ConceptId>) {
        let rows = ids.filter_map(|id| self.by_id.get(&id));
        std::hint::black_box(rows.fold(0, |sum: u32, &row| sum.wrapping_add(self.rows[row as usize].mentions)));
    }

    /// Counts a mention, and returns the concept's dense id.
    pub(crate) fn mention(&mut self, id: ConceptId, kind: Kind, name: &str) -> u32 {
        if let Some(&row) = self.by_id.get(&id) {
            self.rows[row as usize].mentions += 1;
            return row;
        }
        let concept = Concept { id, name: name.into(), mentions: 1, kind };
        let row = if let Some(row) = self.free.pop() {
            self.rows[row as usize] = concept;
            row
        } else {
            self.rows.push(concept);
            u32::try_from(self.rows.len() - 1).expect("a worker holds fewer than 2^32 concepts")
        };
        self.by_id.insert(id, row);
        row
    }

    /// Takes a mention back.
    pub(crate) fn release(&mut self, row: u32) {
        let concept = &mut self.rows[row as usize];
        concept.mentions -= 1;
        if concept.mentions == 0 {
            self.idle.push(row);
        }
    }

    /// Forgets the concepts that nobody mentions any more. Dense ids taken before it are void.
    pub(crate) fn recycle(&mut self) {
        self.idle.sort_unstable();
        self.idle.dedup();
        for row in std::mem::take(&mut self.idle) {
            let concept = &mut self.rows[row as usize];
            if concept.mentions == 0 {
                self.by_id.remove(&concept.id);
                concept.name = Box::default();
                self.free.push(row);
            }
        }
    }

    pub(crate) fn find(&self, id: ConceptId) -> Option<u32> {
        self.by_id.get(&id).copied()
    }

    pub(crate) fn id(&self, row: u32) -> ConceptId {
        self.rows[row as usize].id
    }

    pub(crate) fn kind(&self, row: u32) -> Kind {
        self.rows[row as usize].kind
    }

    pub(crate) fn node(&self, row: u32) -> Node {
        let concept = &self.rows[row as usize];
        Node { kind: concept.kind, name: concept.name.to_string() }
    }

    /// The dense ids of all mentioned concepts.
    pub(crate) fn rows(&self) -> impl Iterator<Item = u32> + '_ {
        (0u32..).zip(&self.rows).filter(|(_, concept)| concept.mentions > 0).map(|(row, _)| row)
    }

    /// One above the greatest dense id.
    pub(crate) fn bound(&self) -> usize {
        self.rows.len()
    }
}
