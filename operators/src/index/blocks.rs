//! Many short arrays in a few long ones: an array costs its items and nothing else, and growing never moves what is there.
//!
//! Law: blocks handed out never overlap; released ones are handed out again, whole or in parts. Cost: O(1), of long blocks
//! a look-up among the lengths of released ones.

use std::collections::BTreeMap;

/// Items of a chunk, as a power of two. A block never crosses chunks; a longer one has a chunk of its own.
const LOG_CHUNK: u32 = 15;
const CHUNK: u32 = 1 << LOG_CHUNK;

/// An arena of arrays of `T`, addressed by offset and length.
#[derive(Debug)]
pub(crate) struct Blocks<T> {
    /// Chunk c holds the offsets from c * `CHUNK`; a longer chunk uses up several numbers, of which only the first has items.
    chunks: Vec<Vec<T>>,
    free: Free,
    /// The chunk that is being filled.
    current: usize,
}

impl<T> Default for Blocks<T> {
    fn default() -> Self {
        Blocks { chunks: Vec::new(), free: Free::default(), current: 0 }
    }
}

impl<T: Copy + Default> Blocks<T> {
    /// A block of `length` items; their values may be left over from former use.
    pub(crate) fn allocate(&mut self, length: u32) -> u32 {
        if length == 0 {
            return 0;
        }
        if let Some(offset) = self.reuse(length) {
            return offset;
        }
        if length > CHUNK {
            return self.own_chunk(length);
        }
        if self.chunks.get(self.current).is_none_or(|chunk| chunk.len() + length as usize > CHUNK as usize) {
            self.next_chunk();
        }
        let chunk = &mut self.chunks[self.current];
        let start = chunk.len();
        chunk.resize(start + length as usize, T::default());
        offset_of(self.current) + start as u32
    }

    /// What is left of the current chunk is free, and a new one begins.
    fn next_chunk(&mut self) {
        if let Some(chunk) = self.chunks.get_mut(self.current) {
            let start = chunk.len() as u32;
            chunk.resize(CHUNK as usize, T::default());
            self.release(offset_of(self.current) + start, CHUNK - start);
        }
        self.current = self.chunks.len();
        self.chunks.push(Vec::with_capacity(CHUNK as usize));
    }

    fn own_chunk(&mut self, length: u32) -> u32 {
        let number = self.chunks.len();
        self.chunks.push(vec![T::default(); length as usize]);
        self.chunks.resize_with(number + length.div_ceil(CHUNK) as usize, Vec::new);
        offset_of(number)
    }

    /// The smallest released block that is long enough; what it has too much stays free, unless it has a chunk of its own.
    fn reuse(&mut self, length: u32) -> Option<u32> {
        let found = self.free.shortest(length)?;
        if found > CHUNK && found != length {
            return None;
        }
        let offset = self.free.take(found)?;
        self.release(offset + length, found - length);
        Some(offset)
    }

    /// Gives a block back.
    pub(crate) fn release(&mut self, offset: u32, length: u32) {
        if length > 0 {
            self.free.put(offset, length);
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
        if length == 0 {
            return &[];
        }
        let start = (offset % CHUNK) as usize;
        &self.chunks[(offset >> LOG_CHUNK) as usize][start..start + length as usize]
    }

    pub(crate) fn slice_mut(&mut self, offset: u32, length: u32) -> &mut [T] {
        if length == 0 {
            return &mut [];
        }
        let start = (offset % CHUNK) as usize;
        &mut self.chunks[(offset >> LOG_CHUNK) as usize][start..start + length as usize]
    }

    /// The item of a block of length 1.
    pub(crate) fn item(&self, offset: u32) -> &T {
        self.item_in(offset, 0)
    }

    /// The item at an index of a block.
    pub(crate) fn item_in(&self, offset: u32, index: u32) -> &T {
        &self.chunks[(offset >> LOG_CHUNK) as usize][(offset % CHUNK) as usize + index as usize]
    }

    /// The item of a block of length 1.
    pub(crate) fn item_mut(&mut self, offset: u32) -> &mut T {
        &mut self.chunks[(offset >> LOG_CHUNK) as usize][(offset % CHUNK) as usize]
    }

    /// Moves a block to a longer one.
    pub(crate) fn grow(&mut self, offset: u32, length: u32, longer: u32) -> u32 {
        let to = self.allocate(longer);
        let (source, target) = ((offset >> LOG_CHUNK) as usize, (to >> LOG_CHUNK) as usize);
        let (start, place) = ((offset % CHUNK) as usize, (to % CHUNK) as usize);
        let items = start..start + length as usize;
        if source == target {
            self.chunks[source].copy_within(items, place);
        } else {
            let chunk = std::mem::take(&mut self.chunks[source]);
            self.chunks[target][place..place + length as usize].copy_from_slice(&chunk[items]);
            self.chunks[source] = chunk;
        }
        self.release(offset, length);
        to
    }
}

/// Lengths below this one have a list of their own.
const SHORT: u32 = u64::BITS;

/// Released blocks by length.
#[derive(Debug)]
struct Free {
    short: [Vec<u32>; SHORT as usize],
    /// Bit l says that there is a released block of length l.
    lengths: u64,
    long: BTreeMap<u32, Vec<u32>>,
}

impl Default for Free {
    fn default() -> Self {
        Free { short: [const { Vec::new() }; SHORT as usize], lengths: 0, long: BTreeMap::new() }
    }
}

impl Free {
    /// The smallest length, of at least `length`, of which there is a block.
    fn shortest(&self, length: u32) -> Option<u32> {
        let enough = if length < SHORT { self.lengths >> length << length } else { 0 };
        if enough != 0 {
            return Some(enough.trailing_zeros());
        }
        self.long.range(length..).next().map(|(&found, _)| found)
    }

    fn put(&mut self, offset: u32, length: u32) {
        if length < SHORT {
            self.short[length as usize].push(offset);
            self.lengths |= 1 << length;
        } else {
            self.long.entry(length).or_default().push(offset);
        }
    }

    /// A block of exactly this length.
    fn take(&mut self, length: u32) -> Option<u32> {
        if length < SHORT {
            let offsets = &mut self.short[length as usize];
            let offset = offsets.pop();
            if offsets.is_empty() {
                self.lengths &= !(1 << length);
            }
            return offset;
        }
        let offsets = self.long.get_mut(&length)?;
        let offset = offsets.pop();
        if offsets.is_empty() {
            self.long.remove(&length);
        }
        offset
    }
}

fn offset_of(chunk: usize) -> u32 {
    u32::try_from(chunk << LOG_CHUNK).expect("a shard holds fewer than 2^32 items")
}

#[cfg(test)]
mod tests {
    use super::{Blocks, CHUNK};

    #[test]
    fn blocks_never_overlap_and_released_ones_are_used_again() {
        let mut blocks = Blocks::<u32>::default();
        let mut held = Vec::<(u32, u32)>::new();
        for turn in 0..3_000u32 {
            let random = turn.wrapping_mul(2_654_435_761) >> 16;
            if random % 3 == 0 && !held.is_empty() {
                let (offset, length) = held.swap_remove(random as usize % held.len());
                assert!(
                    blocks.slice(offset, length).iter().all(|&item| item == offset),
                    "someone else wrote into the block"
                );
                blocks.release(offset, length);
            } else if held.len() < 50 {
                let length = random % 20 + 1;
                let offset = blocks.allocate(length);
                blocks.slice_mut(offset, length).fill(offset);
                held.push((offset, length));
            }
        }
        assert_eq!(blocks.chunks.len(), 1, "released blocks are used again");
    }

    #[test]
    fn a_block_longer_than_a_chunk_has_its_own() {
        let mut blocks = Blocks::<u32>::default();
        let small = blocks.store(&[1, 2]);
        let large = blocks.store(&vec![7; 3 * CHUNK as usize + 5]);
        let next = blocks.store(&vec![9; CHUNK as usize]);
        assert!(blocks.slice(large, 3 * CHUNK + 5).iter().all(|&item| item == 7));
        assert_eq!((blocks.slice(small, 2), *blocks.item(next)), (&[1, 2][..], 9));
        blocks.release(large, 3 * CHUNK + 5);
        assert_eq!(blocks.allocate(3 * CHUNK + 5), large);
    }
}
