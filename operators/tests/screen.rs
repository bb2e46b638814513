//! The accepted set after any history equals the one that is made from scratch.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use synthllm_operators::screen::{Change, Score, Scorer, put, remove, rescore_all};

/// A plane: the score is the product with its weights. Counts how often it is asked.
#[derive(Clone, Debug)]
struct Plane {
    version: u128,
    weights: [f64; 2],
    threshold: f64,
    asked: Cell<usize>,
}

impl Scorer for Plane {
    fn version(&self) -> u128 {
        self.version
    }

    fn score(&self, embedding: &[f32]) -> f64 {
        self.asked.set(self.asked.get() + 1);
        embedding.iter().zip(self.weights).map(|(number, weight)| f64::from(*number) * weight).sum()
    }

    fn threshold(&self) -> f64 {
        self.threshold
    }
}

#[derive(Clone, Debug)]
enum Event {
    Put(u8, [i8; 2]),
    Remove(u8),
    /// A new scorer, with which so many documents are re-scored before the next event.
    Scorer([i8; 2], i8, usize),
    /// The re-scoring goes on from its beginning, as after a crash.
    Again(usize),
}

fn event() -> impl Strategy<Value = Event> {
    let point = || [-4..5_i8, -4..5_i8];
    prop_oneof![
        4 => (0..8_u8, point()).prop_map(|(document, embedding)| Event::Put(document, embedding)),
        1 => (0..8_u8).prop_map(Event::Remove),
        2 => (point(), -6..7_i8, 0..9_usize).prop_map(|(weights, threshold, many)| Event::Scorer(weights, threshold, many)),
        1 => (0..9_usize).prop_map(Event::Again),
    ]
}

/// The stored scores, and the accepted set with the content of each document, as the changes alone make it.
#[derive(Default)]
struct World {
    stored: BTreeMap<u8, Score>,
    accepted: BTreeMap<u8, Vec<f32>>,
}

impl World {
    fn put(&mut self, document: u8, embedding: [i8; 2], scorer: &Plane) {
        let embedding = embedding.map(f32::from).to_vec();
        let (score, change) = put(self.stored.get(&document), embedding.clone(), scorer);
        self.stored.insert(document, score);
        match change {
            Change::Insert => assert!(self.accepted.insert(document, embedding).is_none(), "it was not there"),
            Change::Replace => assert!(self.accepted.insert(document, embedding).is_some(), "it was there"),
            Change::Retract => assert!(self.accepted.remove(&document).is_some(), "it was there"),
            Change::Nothing => assert!(!self.accepted.contains_key(&document), "a new content must come through"),
        }
    }

    fn remove(&mut self, document: u8) {
        let Some(score) = self.stored.remove(&document) else { return };
        let was_there = self.accepted.remove(&document).is_some();
        assert_eq!(remove(&score) == Change::Retract, was_there);
    }

    fn rescore(&mut self, scorer: &Plane, many: usize) {
        let stale = self.stored.values().take(many).filter(|score| score.scorer != scorer.version).count();
        let (asked, all) = (scorer.asked.get(), self.stored.len().min(many));
        let rescored = rescore_all(self.stored.iter_mut().take(many), scorer);
        assert_eq!(scorer.asked.get() - asked, stale, "only what another scorer has judged is scored");
        assert_eq!(rescored.inserted.len() + rescored.retracted.len() + rescored.unchanged, all);
        for document in rescored.inserted {
            let embedding = self.stored[&document].embedding.clone();
            assert!(self.accepted.insert(document, embedding).is_none(), "it was not there");
        }
        for document in rescored.retracted {
            assert!(self.accepted.remove(&document).is_some(), "it was there");
        }
    }
}

proptest! {
    #[test]
    fn after_any_history_the_accepted_set_is_that_of_the_live_documents(events in prop::collection::vec(event(), 0..40)) {
        let mut scorer = Plane { version: 0, weights: [1.0, 0.0], threshold: 0.0, asked: Cell::new(0) };
        let (mut world, mut live) = (World::default(), BTreeMap::new());
        for event in events {
            match event {
                Event::Put(document, embedding) => {
                    world.put(document, embedding, &scorer);
                    live.insert(document, embedding.map(f32::from).to_vec());
                }
                Event::Remove(document) => {
                    world.remove(document);
                    live.remove(&document);
                }
                Event::Scorer(weights, threshold, many) => {
                    scorer = Plane {
                        version: scorer.version + 1,
                        weights: weights.map(f64::from),
                        threshold: f64::from(threshold),
                        asked: Cell::new(0),
                    };
                    world.rescore(&scorer, many);
                }
                Event::Again(many) => world.rescore(&scorer, many),
            }
            let stored: BTreeSet<_> = world.stored.iter().filter(|(_, score)| score.accepted).map(|(id, _)| *id).collect();
            prop_assert_eq!(&stored, &world.accepted.keys().copied().collect());
        }
        world.rescore(&scorer, usize::MAX);
        let from_scratch: BTreeMap<u8, Vec<f32>> =
            live.into_iter().filter(|(_, embedding)| scorer.score(embedding) > scorer.threshold).collect();
        prop_assert_eq!(world.accepted, from_scratch);
    }
}
