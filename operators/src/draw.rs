//! Random numbers as a function of identity: what is drawn, never when or where.
//!
//! Input: the walk (seed, start node, start number), the step, the attempt, and what is chosen. Output: uniform integers.
//! Law: equal identities give equal numbers in every process; different identities give independent ones (`ChaCha8`, whose
//! 256-bit key *is* the identity, so that no two identities share a key).
//! Cost: one run of `ChaCha8` for four numbers, made when the first of them is asked for.

use rand_chacha::ChaCha8Core;
use rand_chacha::rand_core::SeedableRng;
use rand_chacha::rand_core::block::Generator;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

use crate::id::{ConceptId, DocumentId};

/// Which walk: the `start`-th one from `node` under `seed`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct WalkId {
    /// The seed of the run.
    pub seed: u64,
    /// The start node.
    pub node: ConceptId,
    /// Which start of this node, from 0.
    pub start: u64,
}

/// What a number decides. Each choice has its own stream, so that owner and shard draw without knowing of each other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Choice {
    /// How many steps each part of the walk has.
    Plan = 0,
    /// The shard in which the document lies.
    Shard = 1,
    /// The document, and the concept in it, where the number of the shard does not tell them.
    Document = 2,
    /// The rank among the admissible pairs of document and concept.
    Exact = 3,
}

/// Numbers kept of what the generator makes at a time: more than a draw uses as a rule, and few, because draws are moved about.
const KEPT: usize = 4;

/// A stream of random numbers.
#[derive(Debug)]
pub struct Draw {
    generator: ChaCha8Core,
    kept: [u64; KEPT],
    used: usize,
}

impl Draw {
    /// The stream of one choice of one attempt of one step of a walk.
    ///
    /// ```
    /// use synthllm_operators::{draw::{Choice, Draw, WalkId}, id::ConceptId};
    /// let walk = WalkId { seed: 7, node: ConceptId(3), start: 0 };
    /// let first = Draw::new(walk, 1, 0, Choice::Shard).below(1_000_000);
    /// assert_eq!(first, Draw::new(walk, 1, 0, Choice::Shard).below(1_000_000));
    /// assert_ne!(first, Draw::new(walk, 1, 1, Choice::Shard).below(1_000_000));
    /// ```
    pub fn new(walk: WalkId, step: u16, attempt: u32, choice: Choice) -> Self {
        let place = u64::from(attempt) << 32 | u64::from(step) << 16 | choice as u64;
        let mut key = [0; 32];
        for (bytes, word) in key.chunks_exact_mut(8).zip([walk.seed, walk.node.0, walk.start, place]) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        Draw { generator: ChaCha8Core::from_seed(key), kept: [0; KEPT], used: KEPT }
    }

    fn number(&mut self) -> u64 {
        if self.used == KEPT {
            let mut words = [0; 64];
            self.generator.generate(&mut words);
            self.kept = std::array::from_fn(|place| u64::from(words[2 * place]) << 32 | u64::from(words[2 * place + 1]));
            self.used = 0;
        }
        self.used += 1;
        self.kept[self.used - 1]
    }

    /// A uniform number in `0..bound`, without bias (Lemire's multiplication with rejection).
    ///
    /// # Panics
    /// If `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0, "there is nothing to draw from");
        let threshold = bound.wrapping_neg() % bound;
        loop {
            let product = u128::from(self.number()) * u128::from(bound);
            if product as u64 >= threshold {
                return (product >> 64) as u64;
            }
        }
    }
}

/// The place of a start node among those with equally many starts: hash(seed, node) (protocol.md, "Window, permits, stop, limits").
pub fn order(seed: u64, node: ConceptId) -> u64 {
    hash(b"order", &[seed, node.0])
}

/// Which of two equally similar documents a draw prefers: the one with the smaller hash(draw, document).
pub fn preference(walk: WalkId, document: DocumentId) -> u64 {
    hash(b"match", &[walk.seed, walk.node.0, walk.start, document.0])
}

/// A coefficient of the `index`-th hash function of a `MinHash` signature.
pub fn minhash(seed: u64, index: u64) -> u64 {
    hash(b"minhash", &[seed, index])
}

fn hash(kind: &[u8], words: &[u64]) -> u64 {
    let mut hash = Xxh3::new();
    hash.update(kind);
    for word in words {
        hash.update(&word.to_le_bytes());
    }
    hash.digest()
}
