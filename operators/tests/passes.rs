//! The law of passes: every version of a document is drawn once, in order, whatever the crashes, and the state stays one record.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use synthllm_operators::codec::{decode, encode};
use synthllm_operators::id::Id;
use synthllm_operators::passes::{Pass, Place};

#[derive(Clone, Debug)]
enum Event {
    /// A document comes, changes, or goes.
    Document(u8, bool),
    /// So many are drawn; of these the last ones are lost, since the program was killed before their commit.
    Draw(usize, usize),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => (0..20_u8, prop::bool::weighted(0.8)).prop_map(|(document, lives)| Event::Document(document, lives)),
        1 => (0..6_usize, 0..3_usize).prop_map(|(count, lost)| Event::Draw(count, lost)),
    ]
}

/// Any function of document and version will do.
fn id(document: u8, offset: u64) -> Id {
    Id(u128::from(xxhash(document, offset)))
}

fn xxhash(document: u8, offset: u64) -> u64 {
    synthllm_operators::id::words(&format!("{document}/{offset}"))
}

fn waiting(pass: Pass, loaded: u64, live: &BTreeMap<u8, u64>) -> BTreeMap<Place, u64> {
    let place = |(&document, &offset): (&u8, &u64)| Some((pass.place(loaded, offset, id(document, offset))?, offset));
    live.iter().filter_map(place).collect()
}

proptest! {
    #[test]
    fn every_version_that_lives_is_drawn_once_and_older_passes_first(
        first in 0..5_u64,
        events in prop::collection::vec(event(), 0..80),
    ) {
        let (mut pass, mut next) = (Pass::first(first), 0_u64);
        let mut live: BTreeMap<u8, u64> = BTreeMap::new();
        let mut drawn: BTreeSet<u64> = BTreeSet::new();
        for event in events.into_iter().chain([Event::Draw(usize::MAX, 0), Event::Draw(usize::MAX, 0)]) {
            match event {
                Event::Document(document, lives) => {
                    if lives { live.insert(document, next) } else { live.remove(&document) };
                    next += 1;
                }
                Event::Draw(count, lost) => {
                    let loaded = next;
                    let places: Vec<(Place, u64)> = waiting(pass, loaded, &live).into_iter().take(count).collect();
                    let kept = places.len().saturating_sub(if count == usize::MAX { 0 } else { lost });
                    for (place, offset) in &places[..kept] {
                        prop_assert!(*offset >= first && drawn.insert(*offset), "{offset} is drawn twice, or was not to be drawn");
                        pass = pass.after(loaded, *place);
                        prop_assert!(waiting(pass, loaded, &live).keys().all(|left| left > place), "one before it is left");
                    }
                    pass = decode(&encode(&pass)).expect("it was encoded");
                }
            }
        }
        let owed: BTreeSet<u64> = live.values().copied().filter(|offset| *offset >= first).collect();
        prop_assert!(owed.is_subset(&drawn), "{owed:?} of which only {drawn:?} were drawn");
    }
}
