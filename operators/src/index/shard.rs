//! One shard of the index: the documents of one partition of `extractions`, and the postings of their concepts.
//!
//! What a step needs of a shard lies here: the places of a draw ([`super::draws`]), and the exact weights after too many rejections
//! (design.md §4). Cost: O(own concepts) per change; a draw is O(classes).

use xxhash_rust::xxh3::Xxh3;

use super::concepts::Concepts;
use super::documents::{Documents, Place, Record};
use super::postings::{Class, Postings, Structure};
use crate::id::{ConceptId, Kind};
use crate::upsert::{Content, Entry, Upserted};
use crate::walk::Step;

/// Documents that are looked at together.
const READ_AHEAD: usize = 64;

/// What a concept weighs in a shard.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct ShardWeight {
    pub(crate) main: u64,
    pub(crate) pairs: u64,
    pub(crate) documents: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Shard {
    pub(crate) documents: Documents,
    postings: Postings,
    next_offset: u64,
    digest: u128,
    changed: Vec<u32>,
    is_changed: Vec<bool>,
}

impl Shard {
    pub(crate) fn digest(&self) -> u128 {
        self.digest
    }

    /// Applies an entry; an offset that was read before changes nothing.
    pub(crate) fn upsert(&mut self, concepts: &mut Concepts, entry: &Entry) -> Upserted {
        if entry.offset < self.next_offset {
            return Upserted::Seen;
        }
        self.next_offset = entry.offset + 1;
        match (self.documents.find(&entry.document), &entry.content) {
            (None, None) => Upserted::Absent,
            (Some(row), None) => {
                self.detach(concepts, row);
                self.documents.remove(row);
                Upserted::Removed
            }
            (None, Some(content)) => {
                let row = self.documents.insert(&entry.document, place(entry.offset, content));
                self.attach(concepts, row, content);
                Upserted::Inserted
            }
            (Some(row), Some(content)) => {
                self.detach(concepts, row);
                self.documents.place(row, place(entry.offset, content));
                self.attach(concepts, row, content);
                Upserted::Replaced
            }
        }
    }

    fn attach(&mut self, concepts: &mut Concepts, row: u32, content: &Content) {
        let topics = mentions(concepts, Kind::Topic, &content.topics);
        let key_concepts = mentions(concepts, Kind::KeyConcept, &content.key_concepts);
        self.documents.assign(row, &topics, &key_concepts);
        self.digest = self.digest.wrapping_add(self.fingerprint(row));
        let record = *self.documents.record(row);
        self.postings.read_ahead(self.documents.concepts(row));
        for structure in [Structure::Main, Structure::Pairs] {
            for index in 0..self.documents.positions(row, structure).len() {
                let concept = self.documents.concepts(row)[index];
                let size = record.size(index < topics.len(), structure);
                let position = self.postings.add(concept, structure, row, size, record.total());
                self.documents.positions(row, structure)[index] = position;
                mark(&mut self.changed, &mut self.is_changed, concept);
            }
        }
    }

    fn detach(&mut self, concepts: &mut Concepts, row: u32) {
        self.digest = self.digest.wrapping_sub(self.fingerprint(row));
        let (record, topics) = (*self.documents.record(row), self.documents.topics(row).len());
        for structure in [Structure::Main, Structure::Pairs] {
            for index in 0..self.documents.positions(row, structure).len() {
                let concept = self.documents.concepts(row)[index];
                let position = self.documents.positions(row, structure)[index];
                let size = record.size(index < topics, structure);
                if let Some(moved) = self.postings.remove(concept, structure, size, position) {
                    self.documents.reposition(moved, structure, concept, position);
                }
                if structure == Structure::Main {
                    concepts.release(concept);
                    mark(&mut self.changed, &mut self.is_changed, concept);
                }
            }
        }
    }

    /// The document and its version as a term of the digest.
    fn fingerprint(&self, row: u32) -> u128 {
        let version = self.documents.record(row).version();
        let mut hash = Xxh3::new();
        hash.update(self.documents.key_bytes(row));
        hash.update(&version.partition.to_le_bytes());
        hash.update(&version.offset.to_le_bytes());
        hash.digest128()
    }

    /// Gives postings and bounds the order that depends on the live documents alone.
    pub(crate) fn settle(&mut self, concepts: &Concepts) {
        self.postings.settle(&mut self.documents, |concept| concepts.kind(concept) == Kind::Topic);
    }

    /// The concepts whose weight changed since the last call.
    pub(crate) fn take_changed(&mut self) -> Vec<u32> {
        let changed = std::mem::take(&mut self.changed);
        for &concept in &changed {
            self.is_changed[concept as usize] = false;
        }
        changed
    }

    pub(crate) fn weight(&self, concept: u32) -> ShardWeight {
        let sum = |structure| self.postings.classes(concept, structure).map(|class| class.sum).sum();
        let documents = self.classes(concept).map(Class::len).sum();
        ShardWeight { main: sum(Structure::Main), pairs: sum(Structure::Pairs), documents }
    }

    /// The classes that together hold every document of a concept.
    pub(crate) fn classes(&self, concept: u32) -> impl Iterator<Item = &Class> + '_ {
        self.postings.classes(concept, Structure::Main)
    }

    /// The documents of a class.
    pub(crate) fn members(&self, class: &Class) -> &[u32] {
        self.postings.documents(class)
    }

    /// Where the classes of a concept begin.
    pub(super) fn head(&self, concept: u32) -> u32 {
        self.postings.head(concept)
    }

    /// The class at a place below a concept's weight, and the place in it.
    pub(super) fn class_at(&self, head: u32, step: Step, mut place: u64) -> (Class, u64) {
        for class in self.postings.classes_from(head, structure_of(step)) {
            if place < class.sum {
                return (*class, place);
            }
            place -= class.sum;
        }
        unreachable!("the place is below the weight")
    }

    /// The document of a class at an index.
    pub(super) fn member(&self, class: &Class, index: u32) -> u32 {
        self.postings.document(class, index)
    }

    /// The concepts of a document that a step can reach, the one that it comes from among them if it is of their kind.
    pub(super) fn reachable(&self, document: u32, step: Step) -> &[u32] {
        match step {
            Step::TopicTopic => self.documents.topics(document),
            Step::TopicConcept | Step::ConceptConcept => self.documents.key_concepts(document),
        }
    }

    /// The sum of `|X_d \ V|` over the first `cap` postings, and whether there are more.
    pub(crate) fn admissible(&self, from: u32, step: Step, visited: &[u32], cap: u64) -> (u64, bool) {
        let mut left = usize::try_from(cap).unwrap_or(usize::MAX);
        let mut sum = 0;
        for class in self.postings.classes(from, structure_of(step)) {
            for documents in self.postings.documents(class).chunks(READ_AHEAD) {
                let allowed = &documents[..documents.len().min(left)];
                // First all records, then all lists of concepts, so that the processor waits for many of them at a time.
                let lists: Vec<&[u32]> = allowed.iter().map(|&document| self.reachable(document, step)).collect();
                sum += lists.into_iter().map(|concepts| unvisited(concepts, visited).count() as u64).sum::<u64>();
                left -= allowed.len();
                if allowed.len() < documents.len() {
                    return (sum, true);
                }
            }
        }
        (sum, false)
    }

    /// The pair of document and concept at `rank` among those that [`Shard::admissible`] counts.
    pub(crate) fn pick(&self, from: u32, step: Step, visited: &[u32], rank: u64) -> Option<u32> {
        let classes = self.postings.classes(from, structure_of(step));
        let documents = classes.flat_map(|class| self.postings.documents(class));
        documents.flat_map(|&document| unvisited(self.reachable(document, step), visited)).nth(rank as usize)
    }

    pub(crate) fn record(&self, document: u32) -> &Record {
        self.documents.record(document)
    }
}

fn unvisited<'a>(concepts: &'a [u32], visited: &'a [u32]) -> impl Iterator<Item = u32> + 'a {
    concepts.iter().copied().filter(|concept| !visited.contains(concept))
}

fn structure_of(step: Step) -> Structure {
    match step {
        Step::TopicTopic => Structure::Pairs,
        Step::TopicConcept | Step::ConceptConcept => Structure::Main,
    }
}

fn place(offset: u64, content: &Content) -> Place {
    Place { version: content.version, text: content.text, offset }
}

/// Mentions the names, and returns their dense ids in the order of their 64-bit ids, which is the same in every history.
fn mentions(concepts: &mut Concepts, kind: Kind, names: &[String]) -> Vec<u32> {
    let mut named: Vec<(ConceptId, &str)> = names.iter().map(|name| (ConceptId::of(kind, name), name.as_str())).collect();
    named.sort_unstable_by_key(|(id, _)| *id);
    named.dedup_by_key(|(id, _)| *id);
    concepts.read_ahead(named.iter().map(|(id, _)| *id));
    named.into_iter().map(|(id, name)| concepts.mention(id, kind, name)).collect()
}

fn mark(changed: &mut Vec<u32>, is_changed: &mut Vec<bool>, concept: u32) {
    if is_changed.len() <= concept as usize {
        is_changed.resize(concept as usize + 1, false);
    }
    if !std::mem::replace(&mut is_changed[concept as usize], true) {
        changed.push(concept);
    }
}
