//! What a transaction writes about a document in one log.

use serde::{Deserialize, Serialize};
use synthllm_log::{Append, LogName};

/// See the module.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) enum Entry<T> {
    /// Nothing: what is there stays.
    #[default]
    Unchanged,
    /// A tombstone.
    Gone,
    /// This.
    New(T),
}

impl<T> Entry<T> {
    /// The text, or whatever it is, of a document that is written anew.
    pub(super) fn of(value: Option<T>) -> Self {
        value.map_or(Entry::Gone, Entry::New)
    }

    /// What is written when this comes after another one in the same transaction.
    pub(super) fn after(self, before: Self) -> Self {
        if matches!(self, Entry::Unchanged) { before } else { self }
    }

    /// The value, if there is a new one.
    pub(super) fn as_new(&self) -> Option<&T> {
        if let Entry::New(value) = self { Some(value) } else { None }
    }

    /// The record, if there is one.
    pub(super) fn record(self, log: LogName, key: &[u8], encode: impl FnOnce(T) -> Vec<u8>) -> Option<Append> {
        let value = match self {
            Entry::Unchanged => return None,
            Entry::Gone => None,
            Entry::New(value) => Some(encode(value)),
        };
        Some(Append { log, partition: None, key: Some(key.to_vec()), value })
    }
}
