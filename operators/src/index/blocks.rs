//! Many short arrays in one long one: an array costs its items and nothing else.
//!
//! Law: blocks handed out never overlap; a released block is handed out again for the same length. Cost: O(1) but for a look-up
//! among the lengths that were ever released.

use std::collections::BTreeMap;

/// An arena of arrays of `T`, addressed by offset and length.
#[derive(Debug)]
pub(crate) struct Blocks<T> {
    items: Vec<T>,
    free: BTreeMap<u32, Vec<u32>>,
}

impl<T> Default for Blocks<T> {
    fn default() -> Self {
        Blocks { items: Vec::new(), free: BTreeMap::new() }
    }
}

impl<T: Copy + Default> Blocks<T> {
    /// A block of `length` items; their values are left over from former use.
    pub(crate) fn allocate(&mut self, length: u32) -> u32 {
        if let Some(offset) = self.free.get_mut(&length).and_then(Vec::pop) {
            return offset;
        }
        let offset = u32::try_from(self.items.len()).expect("a shard holds fewer than 2^32 items");
        self.items.resize(self.items.len() + length as usize, T::default());
        offset
    }

    /// Gives a block back.
    pub(crate) fn release(&mut self, offset: u32, length: u32) {
        if length > 0 {
            self.free.entry(length).or_default().push(offset);
        }
    }

    /// A block with these items.
    pub(crate) fn store(&mut self, items: &[T]) -> u32 {
        let length = u32::try_from(items.len()).expect("a block holds fewer than 2^32 items");
        let offset = self.allocate(length);
        self.slice_mut(offset, length).copy_from_slice(items);
        offset
    }

    pub(crate) fn slice(&self, offset: u32, length: u32) -> &[T] {
        &self.items[offset as usize..(offset + length) as usize]
    }

    pub(crate) fn slice_mut(&mut self, offset: u32, length: u32) -> &mut [T] {
        &mut self.items[offset as usize..(offset + length) as usize]
    }

    /// Copies the first `length` items of one block to another.
    pub(crate) fn copy(&mut self, from: u32, to: u32, length: u32) {
        self.items.copy_within(from as usize..(from + length) as usize, to as usize);
    }
}
