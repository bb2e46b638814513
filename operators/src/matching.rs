//! The documents that a walk is grounded on: the two whose concepts are most similar to its nodes, exactly.
//!
//! Input: a walk's nodes K. Output: the best two documents by Jaccard similarity |K ∩ C| / |K ∪ C| with the concepts C of a
//! document, topics and key concepts alike; ties by hash(draw, document).
//! Law: equals brute force over all live documents, unless the work cap is flagged; the same on any number of workers, because each
//! shard finds its own two and the owner of the start node takes the best.
//! Cost: postings are read rarest concept first, and a size class is left out when no document in it that was not seen yet
//! can reach the second best; at most [`Settings::match_cap`] postings.

use serde::{Deserialize, Serialize};
use std::cmp::Ordering;

use crate::draw::{WalkId, preference};
use crate::id::ConceptId;
use crate::index::{Index, Shard};
use crate::record::{Pointer, Reference, Version};
use crate::walk::Settings;

/// How many documents ground a combination.
pub const REFERENCES: usize = 2;

/// A document similar to a walk.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Match {
    /// The document's id.
    pub document: String,
    /// The version that was matched.
    pub version: Version,
    /// Its text, unless it has none.
    pub text: Option<Pointer>,
    /// Its record in `extractions`.
    pub extraction: Pointer,
    /// The similarity.
    pub similarity: Similarity,
}

impl Match {
    /// As the record of a combination has it; `None` without text.
    pub fn reference(&self) -> Option<Reference> {
        Some(Reference {
            document: self.document.clone(),
            version: self.version,
            text: self.text?,
            extraction: self.extraction,
            jaccard: self.similarity.jaccard(),
        })
    }
}

/// Jaccard similarity as an exact fraction, with the preference among equals. Greater is better.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Similarity {
    /// Concepts in both.
    pub shared: u32,
    /// Concepts in either.
    pub union: u32,
    /// hash(draw, document); the smaller is preferred.
    pub preference: u64,
}

impl Similarity {
    /// The similarity as a number.
    pub fn jaccard(&self) -> f64 {
        f64::from(self.shared) / f64::from(self.union)
    }

    fn compare_fraction(&self, shared: u32, union: u32) -> Ordering {
        (u64::from(self.shared) * u64::from(union)).cmp(&(u64::from(shared) * u64::from(self.union)))
    }
}

impl Ord for Similarity {
    fn cmp(&self, other: &Self) -> Ordering {
        self.compare_fraction(other.shared, other.union).then_with(|| other.preference.cmp(&self.preference))
    }
}

impl PartialOrd for Similarity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Keeps the best [`REFERENCES`] of `matches`, best first.
pub fn keep_best(matches: &mut Vec<Match>) {
    matches.sort_by(|one, other| other.similarity.cmp(&one.similarity).then_with(|| one.document.cmp(&other.document)));
    matches.truncate(REFERENCES);
}

/// The best documents of one shard, and whether the work cap left some out.
pub fn best_in_shard(
    index: &Index,
    shard: u32,
    walk: WalkId,
    nodes: &[ConceptId],
    settings: &Settings,
) -> (Vec<Match>, bool) {
    let mut search = Search::new(index, shard, walk, nodes, settings);
    search.run();
    let matches = search.best.iter().map(|&(similarity, row)| search.describe(shard, row, similarity)).collect();
    (matches, search.capped)
}

struct Search<'a> {
    shard: &'a Shard,
    walk: WalkId,
    /// The nodes that the shard's worker knows, rarest first.
    query: Vec<u32>,
    /// |K|, unknown nodes included.
    asked: u32,
    need_text: bool,
    best: Vec<(Similarity, u32)>,
    left: u64,
    capped: bool,
}

impl<'a> Search<'a> {
    fn new(index: &'a Index, shard: u32, walk: WalkId, nodes: &[ConceptId], settings: &Settings) -> Self {
        let own = index.shard(shard);
        let mut query: Vec<(u64, u32)> = nodes
            .iter()
            .filter_map(|&concept| index.concepts().find(concept))
            .map(|row| (own.classes(row).map(crate::index::Class::len).sum(), row))
            .collect();
        query.sort_by_key(|&(documents, _)| documents);
        Search {
            shard: own,
            walk,
            query: query.into_iter().map(|(_, row)| row).collect(),
            asked: nodes.len() as u32,
            need_text: settings.need_text,
            best: Vec::new(),
            left: settings.match_cap.div_ceil(u64::from(settings.shards)),
            capped: false,
        }
    }

    fn run(&mut self) {
        let shard = self.shard;
        for rank in 0..self.query.len() {
            let shared = (self.query.len() - rank) as u32;
            for class in shard.classes(self.query[rank]) {
                if self.can_improve(shared.min(u32::from(class.max_total)), u32::from(class.min_total)) {
                    for &document in shard.members(class) {
                        if self.left == 0 {
                            self.capped = true;
                            return;
                        }
                        self.left -= 1;
                        self.look_at(document, rank);
                    }
                }
            }
        }
    }

    /// Whether a document with at least `total` concepts, `shared` of them in K, can be among the best. A tie can.
    fn can_improve(&self, shared: u32, total: u32) -> bool {
        let union = self.asked + total.max(shared) - shared;
        self.best.get(REFERENCES - 1).is_none_or(|(worst, _)| worst.compare_fraction(shared, union) != Ordering::Greater)
    }

    /// Compares a document, unless it stands in a rarer concept's postings too and was seen there (or left out with reason).
    fn look_at(&mut self, document: u32, rank: usize) {
        let concepts = self.shard.documents.concepts(document);
        let (rarer, others) = self.query.split_at(rank);
        let mut shared = 0;
        for concept in concepts {
            if rarer.contains(concept) {
                return;
            }
            shared += u32::from(others.contains(concept));
        }
        let union = self.asked + concepts.len() as u32 - shared;
        let record = self.shard.record(document);
        if self.can_improve(shared, concepts.len() as u32) && !(self.need_text && record.text().is_none()) {
            self.add(Similarity { shared, union, preference: preference(self.walk, record.id) }, document);
        }
    }

    fn add(&mut self, similarity: Similarity, document: u32) {
        let key = |row| self.shard.documents.key(row);
        let is_better =
            |&(other, row): &(Similarity, u32)| other.cmp(&similarity).then_with(|| key(document).cmp(key(row))).is_gt();
        let place = self.best.iter().take_while(|entry| is_better(entry)).count();
        self.best.insert(place, (similarity, document));
        self.best.truncate(REFERENCES);
    }

    fn describe(&self, shard: u32, row: u32, similarity: Similarity) -> Match {
        let record = self.shard.record(row);
        Match {
            document: self.shard.documents.key(row).to_owned(),
            version: record.version(),
            text: record.text(),
            extraction: Pointer { partition: shard, offset: record.offset },
            similarity,
        }
    }
}
