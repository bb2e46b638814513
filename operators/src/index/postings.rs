//! The documents of each concept, grouped by size class.
//!
//! A posting's *size* is `|X_d|` without the concept itself: what a step from the concept can reach in the document. Class 0 is
//! size 0, class c holds sizes from 2^(c-1) to 2^c - 1; each class keeps the true bounds of its sizes and of the documents'
//! concept counts, so that equal sizes are never rejected.
//!
//! Law: `sum` is the sum of the sizes; after [`Postings::settle`] the order and the bounds depend on the live documents alone.
//! Cost: O(classes) per change, at most 17; 32 bytes a class and 4 to 8 a posting.

use super::blocks::Blocks;
use super::documents::Documents;

const NONE: u32 = u32::MAX;

/// Which postings of a concept: for a topic, `Main` is sized by key concepts and `Pairs` by the other topics (documents with two
/// topics or more); a key concept has only `Main`, sized by the other key concepts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Structure {
    Main = 0,
    Pairs = 32,
}

/// The postings of one concept in one size class.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Class {
    /// The sum of the sizes.
    pub(crate) sum: u64,
    block: u32,
    length: u32,
    capacity: u32,
    next: u32,
    /// Upper bound of the sizes; reached by one of them after a settlement.
    pub(crate) max_size: u16,
    /// Bounds of the documents' concept counts.
    pub(crate) min_total: u16,
    pub(crate) max_total: u16,
    order: u8,
    sorted: bool,
}

impl Class {
    pub(crate) fn len(&self) -> u64 {
        u64::from(self.length)
    }

    fn structure(&self) -> Structure {
        if self.order < Structure::Pairs as u8 { Structure::Main } else { Structure::Pairs }
    }

    fn cover(&mut self, size: u16, total: u16) {
        self.max_size = self.max_size.max(size);
        self.min_total = self.min_total.min(total);
        self.max_total = self.max_total.max(total);
    }

    fn unbound(&mut self) {
        (self.max_size, self.min_total, self.max_total) = (0, u16::MAX, 0);
    }
}

#[derive(Debug, Default)]
pub(crate) struct Postings {
    /// Of each concept the first class; those of `Pairs` come after those of `Main`.
    heads: Vec<u32>,
    classes: Blocks<Class>,
    blocks: Blocks<u32>,
}

/// The place of a class in its concept's chain.
fn order_of(structure: Structure, size: u16) -> u8 {
    structure as u8 + (u16::BITS - size.leading_zeros()) as u8
}

impl Postings {
    /// The classes of a concept, smallest sizes first.
    pub(crate) fn classes(&self, concept: u32, structure: Structure) -> impl Iterator<Item = &Class> + '_ {
        self.classes_from(self.head(concept), structure)
    }

    /// The same, from the first class of the concept on.
    pub(super) fn classes_from(&self, head: u32, structure: Structure) -> impl Iterator<Item = &Class> + '_ {
        let mut next = head;
        let all = std::iter::from_fn(move || {
            let class = (next != NONE).then(|| self.classes.item(next))?;
            next = class.next;
            Some(class)
        });
        all.filter(move |class| class.structure() == structure)
    }

    /// The documents of a class.
    pub(crate) fn documents(&self, class: &Class) -> &[u32] {
        self.blocks.slice(class.block, class.length)
    }

    /// The document of a class at an index.
    pub(super) fn document(&self, class: &Class, index: u32) -> u32 {
        *self.blocks.item_in(class.block, index)
    }

    /// The first class of a concept.
    pub(super) fn head(&self, concept: u32) -> u32 {
        self.heads.get(concept as usize).copied().unwrap_or(NONE)
    }

    /// Reads ahead the first class of each concept and the end of its documents, so that the processor waits for many places in
    /// memory at a time.
    pub(super) fn read_ahead(&self, concepts: &[u32]) {
        let heads = || concepts.iter().map(|&concept| self.head(concept)).filter(|&head| head != NONE);
        std::hint::black_box(heads().fold(0, u32::wrapping_add));
        let classes = || heads().map(|head| self.classes.item(head));
        std::hint::black_box(classes().fold(0, |sum: u32, class| sum.wrapping_add(class.block)));
        let ends = classes().map(|class| *self.blocks.item_in(class.block, class.capacity - 1));
        std::hint::black_box(ends.fold(0, u32::wrapping_add));
    }

    /// Adds a posting and returns its position in its class.
    pub(crate) fn add(&mut self, concept: u32, structure: Structure, document: u32, size: u16, total: u16) -> u32 {
        let at = self.class_for(concept, order_of(structure, size));
        self.make_room(at);
        let class = self.classes.item_mut(at);
        class.length += 1;
        class.sum += u64::from(size);
        class.sorted = false;
        class.cover(size, total);
        let position = class.length - 1;
        self.blocks.slice_mut(class.block, class.length)[position as usize] = document;
        position
    }

    /// Removes the posting at a position; the document that takes its place is returned.
    pub(crate) fn remove(&mut self, concept: u32, structure: Structure, size: u16, position: u32) -> Option<u32> {
        let (before, at) = self.locate(concept, order_of(structure, size));
        let class = self.classes.item_mut(at);
        let documents = self.blocks.slice_mut(class.block, class.length);
        let moved = documents[documents.len() - 1];
        documents[position as usize] = moved;
        class.length -= 1;
        class.sum -= u64::from(size);
        class.sorted = false;
        let last = position == class.length;
        if class.length == 0 {
            self.unlink(concept, before, at);
        }
        (!last).then_some(moved)
    }

    /// The class of a posting that is there, and the one before it.
    fn locate(&self, concept: u32, order: u8) -> (u32, u32) {
        let (mut before, mut at) = (NONE, self.head(concept));
        while self.classes.item(at).order != order {
            (before, at) = (at, self.classes.item(at).next);
        }
        (before, at)
    }

    /// Finds a class, or makes it in its place: the chain is in ascending order.
    fn class_for(&mut self, concept: u32, order: u8) -> u32 {
        let heads = &mut self.heads;
        if heads.len() <= concept as usize {
            heads.resize(concept as usize + 1, NONE);
        }
        let (mut before, mut at) = (NONE, heads[concept as usize]);
        while at != NONE && self.classes.item(at).order < order {
            (before, at) = (at, self.classes.item(at).next);
        }
        if at != NONE && self.classes.item(at).order == order {
            return at;
        }
        let new = self.new_class(order, at);
        self.link(concept, before, new);
        new
    }

    fn new_class(&mut self, order: u8, next: u32) -> u32 {
        let block = self.blocks.allocate(1);
        let mut new = Class {
            sum: 0,
            block,
            length: 0,
            capacity: 1,
            next,
            max_size: 0,
            min_total: 0,
            max_total: 0,
            order,
            sorted: true,
        };
        new.unbound();
        self.classes.store(&[new])
    }

    fn link(&mut self, concept: u32, before: u32, at: u32) {
        match before {
            NONE => self.heads[concept as usize] = at,
            before => self.classes.item_mut(before).next = at,
        }
    }

    fn unlink(&mut self, concept: u32, before: u32, at: u32) {
        let class = *self.classes.item(at);
        self.blocks.release(class.block, class.capacity);
        self.link(concept, before, class.next);
        self.classes.release(at, 1);
    }

    fn make_room(&mut self, at: u32) {
        let class = self.classes.item_mut(at);
        if class.length == class.capacity {
            let longer = class.capacity + (class.capacity / 2).max(1);
            class.block = self.blocks.grow(class.block, class.capacity, longer);
            class.capacity = longer;
        }
    }

    /// Sorts the documents of every changed class by their ids, and makes the bounds exact.
    pub(crate) fn settle(&mut self, documents: &mut Documents, is_topic: impl Fn(u32) -> bool) {
        for (concept, &head) in (0u32..).zip(&self.heads) {
            let mut at = head;
            while at != NONE {
                let class = self.classes.item_mut(at);
                at = class.next;
                if !std::mem::replace(&mut class.sorted, true) {
                    let members = self.blocks.slice_mut(class.block, class.length);
                    settle_class(class, members, documents, (concept, is_topic(concept)));
                }
            }
        }
    }
}

fn settle_class(class: &mut Class, members: &mut [u32], documents: &mut Documents, (concept, is_topic): (u32, bool)) {
    members.sort_unstable_by(|&one, &other| documents.compare(one, other));
    class.unbound();
    for (position, &document) in (0u32..).zip(members.iter()) {
        let record = documents.record(document);
        class.cover(record.size(is_topic, class.structure()), record.total());
        documents.reposition(document, class.structure(), concept, position);
    }
}
