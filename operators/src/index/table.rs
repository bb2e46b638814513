//! A hash table of dense `u32` ids; hash and equality come from the columns that the ids point into, so a slot costs 4 bytes.
//!
//! Law: a set of ids. Cost: O(1) expected; at most 3/4 of the slots are used (linear probing, no tombstones: a removal closes
//! the gap).

const EMPTY: u32 = u32::MAX;

#[derive(Debug, Default)]
pub(crate) struct Table {
    slots: Vec<u32>,
    length: usize,
}

impl Table {
    pub(crate) fn len(&self) -> usize {
        self.length
    }

    /// All ids, in no order.
    pub(crate) fn ids(&self) -> impl Iterator<Item = u32> + '_ {
        self.slots.iter().copied().filter(|id| *id != EMPTY)
    }

    /// The id with this hash that `is_it` accepts.
    pub(crate) fn find(&self, hash: u64, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        self.slot_of(hash, is_it).map(|slot| self.slots[slot])
    }

    /// Adds an id that is not in the table.
    pub(crate) fn insert(&mut self, id: u32, hash_of: impl Fn(u32) -> u64) {
        if (self.length + 1) * 4 > self.slots.len() * 3 {
            self.grow(&hash_of);
        }
        self.place(id, hash_of(id));
        self.length += 1;
    }

    /// Removes an id.
    pub(crate) fn remove(&mut self, id: u32, hash_of: impl Fn(u32) -> u64) {
        let Some(mut gap) = self.slot_of(hash_of(id), |other| other == id) else { return };
        let mask = self.slots.len() - 1;
        let mut next = gap;
        loop {
            next = (next + 1) & mask;
            let moved = self.slots[next];
            if moved == EMPTY {
                break;
            }
            let home = hash_of(moved) as usize & mask;
            // INVARIANT: between an id's home and its slot no slot is empty.
            if next.wrapping_sub(home) & mask >= next.wrapping_sub(gap) & mask {
                self.slots[gap] = moved;
                gap = next;
            }
        }
        self.slots[gap] = EMPTY;
        self.length -= 1;
    }

    fn slot_of(&self, hash: u64, is_it: impl Fn(u32) -> bool) -> Option<usize> {
        let mask = self.slots.len().checked_sub(1)?;
        let mut slot = hash as usize & mask;
        while self.slots[slot] != EMPTY {
            if is_it(self.slots[slot]) {
                return Some(slot);
            }
            slot = (slot + 1) & mask;
        }
        None
    }

    fn place(&mut self, id: u32, hash: u64) {
        let mask = self.slots.len() - 1;
        let mut slot = hash as usize & mask;
        while self.slots[slot] != EMPTY {
            slot = (slot + 1) & mask;
        }
        self.slots[slot] = id;
    }

    fn grow(&mut self, hash_of: impl Fn(u32) -> u64) {
        let slots = vec![EMPTY; (self.slots.len() * 2).max(8)];
        for id in std::mem::replace(&mut self.slots, slots) {
            if id != EMPTY {
                self.place(id, hash_of(id));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Table;
    use std::collections::BTreeSet;

    #[test]
    fn the_table_is_a_set_under_collisions_and_removals() {
        let hash_of = |id: u32| u64::from(id % 7);
        let (mut table, mut set) = (Table::default(), BTreeSet::new());
        for turn in 0..2_000u32 {
            let id = turn.wrapping_mul(2_654_435_761) % 60;
            if set.remove(&id) {
                table.remove(id, hash_of);
            } else {
                set.insert(id);
                table.insert(id, hash_of);
            }
            for id in 0..60 {
                assert_eq!(table.find(hash_of(id), |other| other == id).is_some(), set.contains(&id));
            }
            assert_eq!(table.len(), set.len());
        }
    }
}
