//! Identities: every id is a function of what it names, the same in every process and for all time (protocol.md, "Ids").
//!
//! Only xxh3 is used for what leaves a process; the constants of a kind stand in front, so that a topic and a key concept of
//! equal text are two nodes, and a combination never shares an id with a sample.

use serde::{Deserialize, Serialize};
use std::fmt;
use xxhash_rust::xxh3::{Xxh3, xxh3_64, xxh3_128};

use crate::record::Version;

/// A 128-bit id of a combination, a sample or a question; written as 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default)]
pub struct Id(pub u128);

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::str::FromStr for Id {
    type Err = std::num::ParseIntError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        u128::from_str_radix(text, 16).map(Id)
    }
}

/// What kind of node a concept is. A topic and a key concept of equal text are two nodes (paper.md, open points).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A topic of a document.
    Topic,
    /// A key concept of a document.
    KeyConcept,
}

/// The 64-bit id of a concept: xxh3 of its kind and its normalised name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct ConceptId(pub u64);

impl ConceptId {
    /// The id of the concept with this normalised `name` (see [`crate::normal::concept_name`]).
    pub fn of(kind: Kind, name: &str) -> Self {
        let seed = match kind {
            Kind::Topic => 0x746f_7069,
            Kind::KeyConcept => 0x6b65_7963,
        };
        ConceptId(xxhash_rust::xxh3::xxh3_64_with_seed(name.as_bytes(), seed))
    }
}

/// The 64-bit id of a document inside the graph: xxh3 of its key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
pub struct DocumentId(pub u64);

impl DocumentId {
    /// The id of the document with this key in `documents`.
    pub fn of(key: &str) -> Self {
        DocumentId(xxh3_64(key.as_bytes()))
    }
}

/// The key of a document that came without an id: a hash of its text (design.md §2).
pub fn document_key_of_text(text: &str) -> String {
    format!("{:032x}", xxh3_128(text.as_bytes()))
}

/// The id of a level 1 or level 2 combination.
pub fn document_combination(level: u8, document: &str, version: Version, ordinal: u32) -> Id {
    let mut hash = Xxh3::new();
    hash.update(b"combination/document");
    hash.update(&[level]);
    hash.update(&(document.len() as u64).to_le_bytes());
    hash.update(document.as_bytes());
    hash.update(&version.partition.to_le_bytes());
    hash.update(&version.offset.to_le_bytes());
    hash.update(&ordinal.to_le_bytes());
    Id(hash.digest128())
}

/// The id of a level 3 combination: the `start`-th walk from `node`.
pub fn walk_combination(seed: u64, node: ConceptId, start: u64) -> Id {
    let mut hash = Xxh3::new();
    hash.update(b"combination/walk");
    hash.update(&seed.to_le_bytes());
    hash.update(&node.0.to_le_bytes());
    hash.update(&start.to_le_bytes());
    Id(hash.digest128())
}

/// The id of a sample.
pub fn sample(combination: Id, question: u32, redo: u32) -> Id {
    let mut hash = Xxh3::new();
    hash.update(b"sample");
    hash.update(&combination.0.to_le_bytes());
    hash.update(&question.to_le_bytes());
    hash.update(&redo.to_le_bytes());
    Id(hash.digest128())
}

/// The hash by which questions are exact duplicates: of the text under NFKC, case fold and collapsed white space.
pub fn question(text: &str) -> Id {
    Id(xxh3_128(crate::normal::fold(text).as_bytes()))
}

/// The 64-bit hash of a run of words (see [`crate::shingle`]).
pub fn words(run: &str) -> u64 {
    xxhash_rust::xxh3::xxh3_64_with_seed(run.as_bytes(), 0x776f_7264)
}

/// The hash of the minima of one band of a `MinHash` signature (see [`crate::near`]).
pub fn band(number: u64, minima: &[u64]) -> u64 {
    let bytes: Vec<u8> = minima.iter().flat_map(|minimum| minimum.to_le_bytes()).collect();
    xxhash_rust::xxh3::xxh3_64_with_seed(&bytes, number)
}

/// A digest of bytes, for what must be recognised again after a restart.
pub fn digest(bytes: &[u8]) -> u128 {
    xxh3_128(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_durable_so_their_values_are_pinned() {
        let version = Version { partition: 1, offset: 2 };
        let ids = [
            document_combination(1, "a", version, 0).to_string(),
            walk_combination(7, ConceptId(3), 0).to_string(),
            sample(Id(5), 0, 0).to_string(),
            format!("{:016x}", ConceptId::of(Kind::Topic, "algebra").0),
            format!("{:016x}", ConceptId::of(Kind::KeyConcept, "algebra").0),
        ];
        let distinct: std::collections::BTreeSet<_> = ids.iter().collect();
        assert_eq!(distinct.len(), ids.len());
        assert_eq!(ids[0].parse::<Id>().map(|id| id.to_string()), Ok(ids[0].clone()));
    }
}
