//! Finds the documents whose deletion was missed, because the log has forgotten it (protocol.md, "Reconciliation").
//!
//! Input: the records of one partition of `documents` as it stands, from its beginning and in order, keys only; then the records of
//! all partitions of `extractions`. Output: the keys of the known documents of that partition that are not there any more.
//! Law: what is owed, and the records behind the position, together leave exactly the documents that live after the whole
//! history, whatever compaction has taken of it; no document that lives is taken for deleted. One that was deleted and inserted
//! again unseen passes for changed.
//! Cost: O(1) per record. Memory: 10 to 20 bytes per document of the partition, and the keys that are owed.
//!
//! ```
//! use synthllm_operators::{reconcile::Reconciliation, record::Version};
//! let mut reconciliation = Reconciliation::new(0);
//! reconciliation.document(b"a", true);
//! let version = Version { partition: 0, offset: 7 };
//! reconciliation.known(b"a", Some(version));
//! reconciliation.known(b"b", Some(version));
//! assert_eq!(Vec::from_iter(reconciliation.owed()), [b"b"]);
//! ```

use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use crate::id::DocumentId;
use crate::record::Version;

/// Whether a deletion may have been forgotten since a shard was last at the end of `documents` (seconds since 1970), where the
/// log forgets deletions after so long.
pub fn is_due(caught_up_at: u64, now: u64, forgets_after: Option<Duration>) -> bool {
    forgets_after.is_some_and(|time| Duration::from_secs(now.saturating_sub(caught_up_at)) > time)
}

/// What is there, and what is known, of one partition of `documents`.
#[derive(Debug)]
pub struct Reconciliation {
    partition: u32,
    present: HashSet<DocumentId>,
    owed: BTreeSet<Vec<u8>>,
    /// Of documents that screening rejects, which `extractions` doesn't have.
    owed_rejected: BTreeSet<Vec<u8>>,
}

impl Reconciliation {
    /// Of a partition of which nothing has been read.
    pub fn new(partition: u32) -> Self {
        Reconciliation { partition, present: HashSet::new(), owed: BTreeSet::new(), owed_rejected: BTreeSet::new() }
    }

    /// The next record of the partition. A tombstone that is still there says what a missing record says: the records before it
    /// need not be known to be deleted.
    pub fn document(&mut self, key: &[u8], has_value: bool) {
        let id = DocumentId::of(&String::from_utf8_lossy(key));
        if has_value {
            self.present.insert(id);
        } else {
            self.present.remove(&id);
        }
    }

    /// A record of `extractions`, after all records of the partition: the version of the document, or that it is gone.
    pub fn known(&mut self, key: &[u8], version: Option<Version>) {
        if self.is_missing(key, version) {
            self.owed.insert(key.to_vec());
        } else {
            self.owed.remove(key);
        }
    }

    /// A record of `scores`, likewise: the version of the document if it is rejected.
    pub fn rejected(&mut self, key: &[u8], version: Option<Version>) {
        if self.is_missing(key, version) {
            self.owed_rejected.insert(key.to_vec());
        } else {
            self.owed_rejected.remove(key);
        }
    }

    fn is_missing(&self, key: &[u8], version: Option<Version>) -> bool {
        let is_present = || self.present.contains(&DocumentId::of(&String::from_utf8_lossy(key)));
        version.is_some_and(|version| version.partition == self.partition && !is_present())
    }

    /// The keys of the documents to which tombstones are owed.
    pub fn owed(mut self) -> BTreeSet<Vec<u8>> {
        self.owed.append(&mut self.owed_rejected);
        self.owed
    }
}
