//! What an export writes: of the samples that stand, those that the export on which it builds does not have.
//!
//! Input: the samples that pass, by id. Output: the ids on each side, which of them are written, which of the base are withdrawn.
//! Law: that of [`crate::Manifest`].
//! Cost: that of [`crate::Groups`] and [`Base`], and 80 bytes a sample.

use std::collections::BTreeMap;

use synthllm_operators::id::DocumentId;

use crate::{Base, Groups, Reached, Side, Split};

/// A sample that is to be exported.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry<T> {
    /// The partition of `samples` that holds it.
    pub partition: u32,
    /// Its offset there.
    pub offset: u64,
    /// The documents it stands on.
    pub documents: Vec<DocumentId>,
    /// Where the caller has its record.
    pub place: T,
}

/// What an export writes.
pub struct Plan<'a, T> {
    /// The samples to be written on each side, in order of their ids.
    pub written: BTreeMap<Side, Vec<&'a Entry<T>>>,
    /// All samples on each side, in order.
    pub ids: BTreeMap<Side, Vec<String>>,
    /// The samples of the base that are withdrawn, in order.
    pub withdrawn: Vec<String>,
    /// What the split has reached, if there is one.
    pub reached: Option<Reached>,
}

/// Plans an export of the samples of `standing`.
pub fn plan<'a, T>(standing: &'a BTreeMap<String, Entry<T>>, split: Option<&Split>, base: Option<&Base>) -> Plan<'a, T> {
    let (sides, reached) = sides(standing, split);
    let wanted = if split.is_some() { Side::ALL.as_slice() } else { &[Side::Train] };
    let mut written: BTreeMap<Side, Vec<&Entry<T>>> = wanted.iter().map(|&side| (side, Vec::new())).collect();
    let mut ids: BTreeMap<Side, Vec<String>> = wanted.iter().map(|&side| (side, Vec::new())).collect();
    for ((id, entry), side) in standing.iter().zip(sides) {
        ids.entry(side).or_default().push(id.clone());
        if base.is_none_or(|base| base.lacks(id, side, entry.partition, entry.offset)) {
            written.entry(side).or_default().push(entry);
        }
    }
    let withdrawn = base.map_or_else(Vec::new, |base| base.withdrawn(|id| standing.contains_key(id)));
    Plan { written, ids, withdrawn, reached }
}

fn sides<T>(standing: &BTreeMap<String, Entry<T>>, split: Option<&Split>) -> (Vec<Side>, Option<Reached>) {
    let Some(split) = split else { return (vec![Side::Train; standing.len()], None) };
    let samples = || standing.iter().map(|(id, entry)| (id.as_str(), entry.documents.as_slice()));
    let mut groups = Groups::default();
    samples().for_each(|(id, documents)| groups.add(id, documents));
    let (sides, reached) = groups.sides(split, samples());
    (sides, Some(reached))
}
