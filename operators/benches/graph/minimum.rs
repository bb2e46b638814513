//! The least that does the work by hand: one map from names to numbers, vectors, no shards, no dataflow, no order. A replaced
//! document leaves its old postings behind, marked dead by their round, as a program without retractions would.

use std::collections::HashMap;

use synthllm_operators::draw::preference;
use synthllm_operators::id::{ConceptId, DocumentId, Kind};
use synthllm_operators::upsert::Entry;
use synthllm_operators::walk::Walker;

use crate::corpus::Random;

#[derive(Default)]
pub struct Minimum {
    numbers: HashMap<String, u32>,
    concepts: HashMap<(Kind, String), u32>,
    /// Of each concept, the versions of documents.
    postings: Vec<Vec<u32>>,
    /// Of each version, topics and key concepts, and whether it is live.
    versions: Vec<(String, Vec<u32>, Vec<u32>, bool)>,
}

impl Minimum {
    pub fn upsert(&mut self, entry: Entry) {
        let version = self.versions.len() as u32;
        if let Some(old) = self.numbers.insert(entry.document.clone(), version) {
            self.versions[old as usize].3 = false;
        }
        let content = entry.content.expect("the corpora delete nothing");
        let topics = self.mention(Kind::Topic, content.topics, version);
        let key_concepts = self.mention(Kind::KeyConcept, content.key_concepts, version);
        self.versions.push((entry.document, topics, key_concepts, true));
    }

    fn mention(&mut self, kind: Kind, names: Vec<String>, version: u32) -> Vec<u32> {
        let mention = |name| {
            let next = self.postings.len() as u32;
            let concept = *self.concepts.entry((kind, name)).or_insert(next);
            if concept == next {
                self.postings.push(Vec::new());
            }
            self.postings[concept as usize].push(version);
            concept
        };
        names.into_iter().map(mention).collect()
    }

    /// Walks of seven steps from random topics; of sizes nothing is known, so the greatest bounds them all.
    pub fn walk(&self, steps: usize) {
        let mut random = Random(5);
        let topics: Vec<u32> =
            self.concepts.iter().filter(|((kind, _), _)| *kind == Kind::Topic).map(|(_, &row)| row).collect();
        let bound = self.versions.iter().map(|version| version.1.len().max(version.2.len())).max().unwrap_or(1) as u64;
        let mut made = 0;
        while made < steps {
            let mut path = vec![topics[random.below(topics.len() as u64) as usize]];
            for step in 0..7 {
                let Some(next) = self.step(*path.last().expect("it has a start"), step < 2, &path, bound, &mut random)
                else {
                    continue;
                };
                path.push(next);
            }
            made += path.len() - 1;
        }
    }

    fn step(&self, from: u32, to_topic: bool, path: &[u32], bound: u64, random: &mut Random) -> Option<u32> {
        let postings = &self.postings[from as usize];
        for _ in 0..200 {
            let (_, topics, key_concepts, is_live) =
                &self.versions[postings[random.below(postings.len() as u64) as usize] as usize];
            let place = random.below(bound) as usize;
            match (if to_topic { topics } else { key_concepts }).get(place) {
                Some(concept) if *is_live && !path.contains(concept) => return Some(*concept),
                _ => {}
            }
        }
        None
    }

    /// The numbers of the concepts by their ids.
    pub fn rows(&self) -> HashMap<ConceptId, u32> {
        self.concepts.iter().map(|((kind, name), &row)| (ConceptId::of(*kind, name), row)).collect()
    }

    /// The best two documents, by counting all postings of the walk's nodes.
    pub fn best(&self, rows: &HashMap<ConceptId, u32>, walker: &Walker) -> Vec<String> {
        let mut shared = HashMap::<u32, u64>::new();
        for node in walker.nodes() {
            self.postings[rows[node] as usize].iter().for_each(|&version| *shared.entry(version).or_default() += 1);
        }
        let better = |&(version, shared): &(u32, u64)| {
            let (document, topics, key_concepts, _) = &self.versions[version as usize];
            let union = (topics.len() + key_concepts.len() + walker.nodes().len()) as u64 - shared;
            (std::cmp::Reverse(shared * 1_000_000_000 / union), preference(walker.id, DocumentId::of(document)))
        };
        let mut found: Vec<(u32, u64)> = shared.into_iter().collect();
        found.sort_by_cached_key(better);
        found[..2].iter().map(|(version, _)| self.versions[*version as usize].0.clone()).collect()
    }
}
