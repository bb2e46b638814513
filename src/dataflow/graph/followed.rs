//! Up to where the index follows each shard of `extractions`: what was read is in it some epochs later.

use std::collections::BTreeMap;

/// What was read, and what of it is in the index.
#[derive(Default)]
pub(super) struct Followed {
    read: BTreeMap<u32, u64>,
    /// What was read up to this epoch, whose entries are not all in the index.
    open: Option<(u64, BTreeMap<u32, u64>)>,
    applied: BTreeMap<u32, u64>,
}

impl Followed {
    /// Everything below these offsets is in the index.
    pub(super) fn stand_at(&mut self, loaded: &BTreeMap<u32, u64>) {
        self.read.clone_from(loaded);
        self.applied.clone_from(loaded);
        self.open = None;
    }

    /// A shard was read up to (not including) this offset.
    pub(super) fn read(&mut self, shard: u32, position: u64) {
        self.read.insert(shard, position);
    }

    /// All entries came at epochs up to `last`; those of epochs before `frontier` are in the index.
    pub(super) fn turn(&mut self, last: u64, frontier: u64) {
        if let Some((_, applied)) = self.open.take_if(|(epoch, _)| *epoch < frontier) {
            self.applied = applied;
        }
        if self.open.is_none() && self.read != self.applied {
            self.open = Some((last, self.read.clone()));
        }
    }

    /// Up to where.
    pub(super) fn applied(&self) -> &BTreeMap<u32, u64> {
        &self.applied
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_counts_when_its_epoch_has_passed_however_much_comes_after() {
        let mut followed = Followed::default();
        followed.stand_at(&BTreeMap::from([(0, 5)]));
        followed.read(0, 7);
        followed.turn(10, 10);
        followed.read(0, 9);
        followed.turn(12, 10);
        assert_eq!(followed.applied()[&0], 5);
        followed.turn(12, 11);
        assert_eq!(followed.applied()[&0], 7);
        followed.turn(12, 13);
        assert_eq!(followed.applied()[&0], 9);
    }
}
