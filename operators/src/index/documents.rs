//! The live documents of a shard: identity, pointers and concept lists, dense `u32` inside.
//!
//! A document has one block: its topics and key concepts, each in order of their 64-bit ids; the position of each one's posting;
//! and of the topics' second postings, when there are two topics or more. So removing a document searches nothing.
//!
//! Cost: 56 bytes, the id's bytes, 5 to 11 for the hash table, 8 for each concept and 4 for each second posting.

use std::cmp::Ordering;

use super::blocks::Blocks;
use super::postings::Structure;
use super::table::Table;
use crate::id::DocumentId;
use crate::record::{Pointer, Version};

/// The partition of a text pointer that is not there.
const NO_TEXT: u32 = u32::MAX;

/// A live document.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Record {
    pub(crate) id: DocumentId,
    version_offset: u64,
    text_offset: u64,
    pub(crate) offset: u64,
    version_partition: u32,
    text_partition: u32,
    key: u32,
    key_length: u32,
    block: u32,
    topics: u16,
    key_concepts: u16,
}

impl Record {
    pub(crate) fn version(&self) -> Version {
        Version { partition: self.version_partition, offset: self.version_offset }
    }

    pub(crate) fn text(&self) -> Option<Pointer> {
        let pointer = Pointer { partition: self.text_partition, offset: self.text_offset };
        (self.text_partition != NO_TEXT).then_some(pointer)
    }

    /// How many concepts the document has.
    pub(crate) fn total(&self) -> u16 {
        self.topics + self.key_concepts
    }

    /// The static size `|X_d|` (without the concept walked from) that a posting in this structure has.
    pub(crate) fn size(&self, of_topic: bool, structure: Structure) -> u16 {
        match (structure, of_topic) {
            (Structure::Pairs, _) => self.topics - 1,
            (Structure::Main, true) => self.key_concepts,
            (Structure::Main, false) => self.key_concepts - 1,
        }
    }

    /// Topics have second postings when there are two or more.
    fn pairs(&self) -> u32 {
        if self.topics > 1 { u32::from(self.topics) } else { 0 }
    }

    fn block_length(&self) -> u32 {
        2 * u32::from(self.total()) + self.pairs()
    }
}

/// Where a document lies, for [`Documents::insert`] and [`Documents::place`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) version: Version,
    pub(crate) text: Option<Pointer>,
    pub(crate) offset: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Documents {
    records: Blocks<Record>,
    table: Table,
    blocks: Blocks<u32>,
    keys: Blocks<u8>,
}

impl Documents {
    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    /// All documents, in no order.
    pub(crate) fn rows(&self) -> impl Iterator<Item = u32> + '_ {
        self.table.ids()
    }

    pub(crate) fn find(&self, key: &str) -> Option<u32> {
        self.table.find(DocumentId::of(key).0, |row| self.key_bytes(row) == key.as_bytes())
    }

    pub(crate) fn record(&self, row: u32) -> &Record {
        self.records.item(row)
    }

    /// The document's id as the user knows it.
    pub(crate) fn key(&self, row: u32) -> &str {
        std::str::from_utf8(self.key_bytes(row)).expect("keys are stored from strings")
    }

    /// The bytes of the document's id.
    pub(crate) fn key_bytes(&self, row: u32) -> &[u8] {
        let record = self.record(row);
        self.keys.slice(record.key, record.key_length)
    }

    pub(crate) fn topics(&self, row: u32) -> &[u32] {
        let record = self.record(row);
        self.blocks.slice(record.block, u32::from(record.topics))
    }

    pub(crate) fn key_concepts(&self, row: u32) -> &[u32] {
        let record = self.record(row);
        self.blocks.slice(record.block + u32::from(record.topics), u32::from(record.key_concepts))
    }

    /// Topics, then key concepts.
    pub(crate) fn concepts(&self, row: u32) -> &[u32] {
        let record = self.record(row);
        self.blocks.slice(record.block, u32::from(record.total()))
    }

    /// The positions of a document's postings in one structure, in the order of its concepts.
    pub(crate) fn positions(&mut self, row: u32, structure: Structure) -> &mut [u32] {
        let record = *self.record(row);
        let total = u32::from(record.total());
        let (start, length) = match structure {
            Structure::Main => (total, total),
            Structure::Pairs => (2 * total, record.pairs()),
        };
        self.blocks.slice_mut(record.block + start, length)
    }

    /// Notes the new position of a posting.
    pub(crate) fn reposition(&mut self, row: u32, structure: Structure, concept: u32, position: u32) {
        let place = self.concepts(row).iter().position(|&other| other == concept);
        self.positions(row, structure)[place.expect("a document in a concept's postings has the concept")] = position;
    }

    /// The order of documents that every history agrees on: by 64-bit id, equal ones by key.
    pub(crate) fn compare(&self, one: u32, other: u32) -> Ordering {
        let ids = self.record(one).id.cmp(&self.record(other).id);
        ids.then_with(|| self.key_bytes(one).cmp(self.key_bytes(other)))
    }

    /// Adds a document without concepts, whose key is not there.
    pub(crate) fn insert(&mut self, key: &str, place: Place) -> u32 {
        let mut record = Record {
            id: DocumentId::of(key),
            key: self.keys.store(key.as_bytes()),
            key_length: u32::try_from(key.len()).expect("a key is shorter than 4 GiB"),
            ..Record::default()
        };
        record.put(place);
        let row = self.records.store(&[record]);
        let records = &self.records;
        self.table.insert(row, |row| records.item(row).id.0);
        row
    }

    /// Moves a document's pointers.
    pub(crate) fn place(&mut self, row: u32, place: Place) {
        self.records.item_mut(row).put(place);
    }

    /// Gives a document new concepts (topics first); the positions of their postings are still to be filled in.
    pub(crate) fn assign(&mut self, row: u32, topics: &[u32], key_concepts: &[u32]) {
        self.clear(row);
        let record = self.records.item_mut(row);
        record.topics = u16::try_from(topics.len()).expect("the cap on concepts is below 65,536");
        record.key_concepts = u16::try_from(key_concepts.len()).expect("the cap on concepts is below 65,536");
        let (length, total) = (record.block_length(), u32::from(record.total()));
        let block = self.blocks.allocate(length);
        record.block = block;
        let all = topics.iter().chain(key_concepts);
        for (place, &concept) in self.blocks.slice_mut(block, total).iter_mut().zip(all) {
            *place = concept;
        }
    }

    fn clear(&mut self, row: u32) {
        let record = self.records.item_mut(row);
        self.blocks.release(record.block, record.block_length());
        (record.topics, record.key_concepts) = (0, 0);
    }

    /// Removes a document whose postings are gone.
    pub(crate) fn remove(&mut self, row: u32) {
        let records = &self.records;
        self.table.remove(row, |row| records.item(row).id.0);
        self.clear(row);
        let record = self.records.item_mut(row);
        self.keys.release(record.key, record.key_length);
        self.records.release(row, 1);
    }
}

impl Record {
    fn put(&mut self, place: Place) {
        (self.version_partition, self.version_offset) = (place.version.partition, place.version.offset);
        let text = place.text.unwrap_or(Pointer { partition: NO_TEXT, offset: 0 });
        (self.text_partition, self.text_offset) = (text.partition, text.offset);
        self.offset = place.offset;
    }
}
