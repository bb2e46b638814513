//! A log with transactions: records are appended open, then committed or aborted; readers see what is committed, up to the
//! first open record (the last stable offset). What was aborted leaves a gap.

/// A transactional producer: its shard and its epoch.
pub type Owner = (usize, u8);

/// What became of the transaction of a record.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Mark {
    Open(Owner),
    Committed,
    Aborted,
}

/// One partition of a log.
#[derive(Clone, Hash, Debug)]
pub struct Log<R> {
    records: Vec<(R, Mark)>,
    start: u64,
}

impl<R> Default for Log<R> {
    fn default() -> Self {
        Log { records: Vec::new(), start: 0 }
    }
}

impl<R> Log<R> {
    /// Appends in the open transaction of the owner. Returns the offset.
    pub fn append(&mut self, owner: Owner, record: R) -> u64 {
        self.records.push((record, Mark::Open(owner)));
        self.end() - 1
    }

    /// Ends the open transaction of the owner.
    pub fn end_transaction(&mut self, owner: Owner, committed: bool) {
        let mark = if committed { Mark::Committed } else { Mark::Aborted };
        self.records.iter_mut().filter(|(_, it)| *it == Mark::Open(owner)).for_each(|(_, it)| *it = mark);
    }

    /// Aborts whatever a shard has left open: what `init_transactions` does.
    pub fn abort_all_of(&mut self, shard: usize) {
        let open = |mark: &Mark| matches!(mark, Mark::Open((of, _)) if *of == shard);
        self.records.iter_mut().filter(|(_, it)| open(it)).for_each(|(_, it)| *it = Mark::Aborted);
    }

    /// The offset after the last record (a high watermark).
    pub fn end(&self) -> u64 {
        self.records.len() as u64
    }

    /// Whether reading to the end waits for nobody.
    pub fn is_stable(&self) -> bool {
        self.stable_end() == self.end()
    }

    /// The last stable offset.
    pub fn stable_end(&self) -> u64 {
        let open = |(_, mark): &(R, Mark)| matches!(mark, Mark::Open(_));
        self.records.iter().position(open).map_or(self.end(), |at| at as u64)
    }

    /// The committed records before the last stable offset that are not trimmed.
    pub fn committed(&self) -> impl Iterator<Item = (u64, &R)> {
        let stable = self.stable_end() as usize;
        let records = self.records[..stable].iter().zip(0..).skip(self.start as usize);
        records.filter(|((_, mark), _)| *mark == Mark::Committed).map(|((record, _), offset)| (offset, record))
    }

    /// All records that were ever committed, trimmed or not.
    pub fn ever_committed(&self) -> impl Iterator<Item = &R> {
        self.records.iter().filter(|(_, mark)| *mark == Mark::Committed).map(|(record, _)| record)
    }

    /// Removes the records below an offset.
    pub fn trim(&mut self, below: u64) {
        self.start = self.start.max(below);
    }
}
