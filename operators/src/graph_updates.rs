//! What the log `graph-updates` still owes to the counts of nodes and edges.
//!
//! Input: what stands in the log at the start; the changes of the counts, as [`crate::edges::counts`] gives them. Output: the keys
//! whose count in the log is not the right one, with the right one, shard by shard.
//! Law: once all that is owed is written, the log holds exactly the sums of the changes; a key whose count is right already is
//! never written.
//! Cost: O(log owed) per change. Memory: 30 to 60 bytes per node and edge (a hash of its key, and its count), and the key itself
//! only while its count is owed.
//!
//! ```
//! use synthllm_operators::graph_updates::Owed;
//! let mut owed = Owed::default();
//! owed.stands(0, "topic:algebra", Some(2));
//! owed.stands(0, "topic:history", Some(1));
//! owed.change(0, "topic:algebra", 2);
//! owed.change(0, "topic:geometry", 1);
//! assert_eq!(owed.take(0, 10), [("topic:geometry".to_owned(), Some(1)), ("topic:history".to_owned(), None)]);
//! ```

use std::collections::{BTreeMap, HashMap};

use crate::id;

/// The counts of this worker's keys, and what the log still owes to them.
#[derive(Default, Debug)]
pub struct Owed {
    /// By a hash of the key; a count of 0 is not kept.
    counts: HashMap<[u8; 16], i64>,
    /// By shard: the keys whose count in the log is another one, with that one (0: none).
    owed: BTreeMap<u32, BTreeMap<String, i64>>,
}

impl Owed {
    /// A record of the log as it was found, in the order of its partition.
    pub fn stands(&mut self, shard: u32, key: &str, count: Option<u64>) {
        let counted = self.counts.get(&hash(key)).copied().unwrap_or_default();
        self.differs(shard, key, counted, count.map_or(0, u64::cast_signed));
    }

    /// A count has changed by so much. Sums may be out of order until their epoch is complete: nothing may be taken before.
    pub fn change(&mut self, shard: u32, key: &str, difference: isize) {
        let hash = hash(key);
        let before = self.counts.get(&hash).copied().unwrap_or_default();
        let counted = before + difference as i64;
        if counted == 0 {
            self.counts.remove(&hash);
        } else {
            self.counts.insert(hash, counted);
        }
        let written = self.owed.get(&shard).and_then(|owed| owed.get(key)).copied().unwrap_or(before);
        self.differs(shard, key, counted, written);
    }

    fn differs(&mut self, shard: u32, key: &str, counted: i64, written: i64) {
        if counted != written {
            self.owed.entry(shard).or_default().insert(key.to_owned(), written);
        } else if let Some(owed) = self.owed.get_mut(&shard) {
            owed.remove(key);
            if owed.is_empty() {
                self.owed.remove(&shard);
            }
        }
    }

    /// The shards that owe something.
    pub fn shards(&self) -> impl Iterator<Item = u32> {
        self.owed.keys().copied()
    }

    /// Whether nothing is owed.
    pub fn is_empty(&self) -> bool {
        self.owed.is_empty()
    }

    /// At most so many of a shard's records, in the order of their keys, each with its count, or none when it is gone. They count as
    /// written from now on.
    pub fn take(&mut self, shard: u32, most: usize) -> Vec<(String, Option<u64>)> {
        let Some(owed) = self.owed.get_mut(&shard) else { return Vec::new() };
        let mut taken = Vec::new();
        while taken.len() < most
            && let Some((key, _written)) = owed.pop_first()
        {
            let counted = self.counts.get(&hash(&key)).map(|counted| counted.unsigned_abs());
            taken.push((key, counted));
        }
        if owed.is_empty() {
            self.owed.remove(&shard);
        }
        taken
    }
}

fn hash(key: &str) -> [u8; 16] {
    id::digest(key.as_bytes()).to_le_bytes()
}
