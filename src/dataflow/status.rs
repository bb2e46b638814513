//! What the roles tell the status line: how far loading is, and what is in flight.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use synthllm_operators::record::Role;

/// Written by the workers, read by the status line.
#[derive(Default)]
pub struct Board {
    loading: [(AtomicU64, AtomicU64); 3],
    records: [AtomicU64; 3],
    missing: Mutex<Option<String>>,
}

impl Board {
    /// A role loads its state: records read, of how many.
    pub fn loading(&self, role: Role, read: u64, total: u64) {
        let (have, want) = &self.loading[role as usize];
        have.store(read, Relaxed);
        want.store(total, Relaxed);
    }

    /// Which processes of the cluster are waited for, before it has formed.
    pub fn missing(&self, processes: Option<String>) {
        *self.missing.lock().unwrap_or_else(PoisonError::into_inner) = processes;
    }

    /// See [`Board::missing`].
    pub fn is_missing(&self) -> Option<String> {
        self.missing.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Records (and bytes) of a role that were read and are not committed.
    pub fn in_flight(&self, role: Role, (records, _bytes): (usize, usize)) {
        self.records[role as usize].store(records as u64, Relaxed);
    }

    /// What is being loaded, if something is: role, records read, of how many.
    pub fn now_loading(&self) -> Option<(Role, u64, u64)> {
        [Role::Extract, Role::Graph, Role::Generate].into_iter().find_map(|role| {
            let (have, want) = &self.loading[role as usize];
            let (have, want) = (have.load(Relaxed), want.load(Relaxed));
            (have < want).then_some((role, have, want))
        })
    }
}
