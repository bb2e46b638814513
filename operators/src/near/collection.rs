//! The kept texts as a differential collection: the law of [`super`] on any number of workers.
//!
//! Input: texts as sets of shingles, each with a key of its own. Output: the keys of the kept texts, consolidated.
//! Law: after any history, the collection equals what [`super::Near`] keeps of the texts that are in.
//! Cost: unlike `Near`, all texts are filed under all of their keys and all similar pairs are held: 50 to 100 bytes per
//! key of a text, and a cluster of m similar texts holds m² / 2 pairs. The rounds of a change are as many as the texts of which each
//! holds back the next.

use std::hash::Hash;

use differential_dataflow::lattice::Lattice;
use differential_dataflow::operators::iterate::Iterate;
use differential_dataflow::{ExchangeData, VecCollection};
use timely::progress::Timestamp;

use super::meeting::Meeting;
use super::{Settings, similarity};

/// The keys of the kept texts; see the module.
///
/// # Panics
/// If the threshold is not in `(0, 1]`.
pub fn kept<'scope, T, K>(
    texts: VecCollection<'scope, T, (K, Vec<u64>), isize>,
    settings: &Settings,
) -> VecCollection<'scope, T, K, isize>
where
    T: Timestamp + Lattice,
    K: ExchangeData + Hash + Copy,
{
    let keys = texts.clone().map(|(key, _)| key);
    // Each similar pair, under its earlier text.
    let pairs = similar(texts, settings);
    keys.clone()
        .iterate(|scope, kept| {
            let held = pairs.enter(scope).semijoin(kept).map(|(_, later)| later).distinct();
            keys.enter(scope).concat(held.negate()).consolidate()
        })
        .consolidate()
}

/// All similar pairs, each once, the earlier first.
pub fn similar<'scope, T, K>(
    texts: VecCollection<'scope, T, (K, Vec<u64>), isize>,
    settings: &Settings,
) -> VecCollection<'scope, T, (K, K), isize>
where
    T: Timestamp + Lattice,
    K: ExchangeData + Hash + Copy,
{
    let (meeting, threshold) = (Meeting::new(settings), settings.threshold);
    let filed = texts.clone().flat_map(move |(key, shingles)| meeting.keys(&shingles).into_iter().map(move |at| (at, key)));
    let filed = filed.arrange_by_key_named("Filed");
    let texts = texts.arrange_by_key_named("Texts");
    let met = filed.clone().join_core(filed, |_, one, other| (one < other).then_some((*one, *other))).distinct();
    met.arrange_by_key_named("Met")
        .join_core(texts.clone(), |one, other, shingles| Some((*other, (*one, shingles.clone()))))
        .arrange_by_key_named("Met with shingles")
        .join_core(texts, move |other, (one, shingles), others| {
            similarity(shingles, others, threshold).map(|_| (*one, *other))
        })
}
