//! Divides samples into a train and a held-out side.
//!
//! Input: the documents that each sample stands on. Output: the side of each sample.
//! Law: samples that share a document, directly or over others, are on one side, whatever the order in which they come. A group of them
//! that is larger than the share to be held out is on the train side. Any other is held out with the probability of the share, by a
//! hash of the seed and its smallest document. So a group that stays as it is keeps its side, unless it comes over or under that size.
//! Cost: about 50 bytes of memory a document; nearly linear time.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use synthllm_operators::id::DocumentId;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// A side of the split.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Side {
    /// To train on.
    #[serde(rename = "train")]
    Train,
    /// To measure on.
    #[serde(rename = "test")]
    HeldOut,
}

impl Side {
    /// Both sides.
    pub const ALL: [Side; 2] = [Side::Train, Side::HeldOut];

    /// The name of the split in files and cards.
    pub fn name(self) -> &'static str {
        match self {
            Side::Train => "train",
            Side::HeldOut => "test",
        }
    }
}

/// How much is held out, and by which draw.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Split {
    /// The share of samples to be held out, from 0 to 1.
    pub held_out: f64,
    /// Another seed holds out other groups.
    pub seed: u64,
}

/// What a split has reached.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Reached {
    /// All samples.
    pub samples: u64,
    /// The samples held out.
    pub held_out: u64,
    /// The groups of samples that share documents.
    pub groups: u64,
    /// The groups held out.
    pub groups_held_out: u64,
    /// The samples of the largest group.
    pub largest: u64,
}

/// The groups of samples that share documents, directly or over others: a union-find over the documents.
#[derive(Default)]
pub struct Groups {
    nodes: HashMap<DocumentId, u32>,
    parents: Vec<u32>,
    /// Of a root: the samples of its group.
    samples: Vec<u64>,
    /// Of a root: the smallest document of its group, by which its side is drawn.
    first: Vec<DocumentId>,
}

impl Groups {
    /// Adds a sample. One that stands on no document is a group of its own.
    pub fn add(&mut self, sample: &str, documents: &[DocumentId]) {
        let mut root = self.root_of(documents.first().copied().unwrap_or_else(|| stand_in(sample)));
        for &document in documents.get(1..).unwrap_or_default() {
            let other = self.root_of(document);
            root = self.join(root, other);
        }
        self.samples[root as usize] += 1;
    }

    /// The side of every sample, in the order asked for, once all have been added.
    pub fn sides<'a>(
        &mut self,
        split: &Split,
        samples: impl IntoIterator<Item = (&'a str, &'a [DocumentId])>,
    ) -> (Vec<Side>, Reached) {
        let mut reached = self.groups();
        let most = split.held_out * reached.samples as f64;
        let mut sides = Vec::new();
        for (sample, documents) in samples {
            let root = self.root_of(documents.first().copied().unwrap_or_else(|| stand_in(sample)));
            sides.push(self.side(root, split, most));
        }
        for root in self.roots().filter(|&root| self.side(root, split, most) == Side::HeldOut) {
            reached.held_out += self.samples[root as usize];
            reached.groups_held_out += 1;
        }
        (sides, reached)
    }

    fn groups(&self) -> Reached {
        let sizes = || self.roots().map(|root| self.samples[root as usize]);
        let (samples, groups, largest) = (sizes().sum(), sizes().count() as u64, sizes().max().unwrap_or_default());
        Reached { samples, groups, largest, ..Reached::default() }
    }

    fn roots(&self) -> impl Iterator<Item = u32> {
        (0..self.parents.len() as u32).filter(|&node| self.parents[node as usize] == node)
    }

    fn side(&self, root: u32, split: &Split, most: f64) -> Side {
        let drawn = xxh3_64_with_seed(&self.first[root as usize].0.to_le_bytes(), split.seed) as f64 / 2_f64.powi(64);
        let fits = self.samples[root as usize] as f64 <= most;
        if fits && drawn < split.held_out { Side::HeldOut } else { Side::Train }
    }

    fn root_of(&mut self, document: DocumentId) -> u32 {
        let next = self.parents.len() as u32;
        let mut node = *self.nodes.entry(document).or_insert(next);
        if node == next {
            self.parents.push(node);
            self.samples.push(0);
            self.first.push(document);
        }
        // Every node on the way comes one step nearer to its root.
        while self.parents[node as usize] != node {
            let above = self.parents[self.parents[node as usize] as usize];
            self.parents[node as usize] = above;
            node = above;
        }
        node
    }

    fn join(&mut self, one: u32, other: u32) -> u32 {
        if one == other {
            return one;
        }
        let (root, leaf) =
            if self.samples[one as usize] >= self.samples[other as usize] { (one, other) } else { (other, one) };
        self.parents[leaf as usize] = root;
        self.samples[root as usize] += self.samples[leaf as usize];
        self.first[root as usize] = self.first[root as usize].min(self.first[leaf as usize]);
        root
    }
}

/// What stands for the document of a sample that has none.
fn stand_in(sample: &str) -> DocumentId {
    DocumentId::of(&format!("sample/{sample}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    type Sample = (String, Vec<DocumentId>);

    fn samples(documents: &[&[u64]]) -> Vec<Sample> {
        let ids = |documents: &[u64]| documents.iter().copied().map(DocumentId).collect();
        documents.iter().enumerate().map(|(number, documents)| (number.to_string(), ids(documents))).collect()
    }

    fn divided(samples: &[Sample], held_out: f64, seed: u64) -> (Vec<Side>, Reached) {
        let mut groups = Groups::default();
        samples.iter().for_each(|(id, documents)| groups.add(id, documents));
        groups.sides(&Split { held_out, seed }, samples.iter().map(|(id, documents)| (id.as_str(), documents.as_slice())))
    }

    #[test]
    fn a_chain_of_shared_documents_is_one_group() {
        let chain = samples(&[&[1, 2], &[3, 4], &[2, 3], &[9]]);
        let (sides, reached) = divided(&chain, 0.8, 0);
        assert_eq!((reached.samples, reached.groups, reached.largest), (4, 2, 3));
        assert!(sides[0] == sides[1] && sides[1] == sides[2]);
    }

    #[test]
    fn a_group_larger_than_the_share_is_trained_on() {
        let giant: Vec<Sample> = (0..100).map(|number| (number.to_string(), vec![DocumentId(7)])).collect();
        for seed in 0..50 {
            assert_eq!(divided(&giant, 0.9, seed).1.held_out, 0);
        }
    }

    #[test]
    fn about_the_share_of_single_documents_is_held_out_and_another_seed_holds_out_others() {
        let single: Vec<Sample> = (0..2000).map(|number| (number.to_string(), vec![DocumentId(number)])).collect();
        let (sides, reached) = divided(&single, 0.2, 0);
        assert!((300..500).contains(&reached.held_out), "{reached:?}");
        assert_ne!(sides, divided(&single, 0.2, 1).0);
    }

    #[test]
    fn samples_without_documents_are_groups_of_their_own() {
        assert_eq!(divided(&samples(&[&[], &[], &[1]]), 0.5, 0).1.groups, 3);
    }

    #[test]
    fn nothing_is_held_out_of_nothing() {
        assert_eq!(divided(&[], 0.5, 0), (Vec::new(), Reached::default()));
    }
}
