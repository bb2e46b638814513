//! The law of `near`: after any history, on any number of workers, the kept texts are those that a plain program keeps of
//! the texts that are in; with bands off none of them are similar, by a comparison of words.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::{Arc, Mutex};

use differential_dataflow::input::InputSession;
use proptest::prelude::*;
use synthllm_operators::near::{Near, Settings, collection, meeting, similarity};
use synthllm_operators::shingle::{Words, jaccard, shingles};
use timely::dataflow::ProbeHandle;
use timely::dataflow::operators::{Inspect, Probe};

/// Texts by their keys.
type Texts = BTreeMap<u16, String>;

/// A text goes in, or (none) out.
type Change = (u16, Option<String>);

/// Few words and few lengths, so that texts are often similar, seldom equal, and chains of them hold back one another.
fn text() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(vec!["a", "b", "c"]), 0..12).prop_map(|words| words.join(" "))
}

fn history() -> impl Strategy<Value = Vec<Change>> {
    prop::collection::vec((0..24_u16, prop::option::weighted(0.7, text())), 1..60)
}

fn settings() -> impl Strategy<Value = Settings> {
    let thresholds = prop::sample::select(vec![0.2, 0.5, 0.6, 2.0 / 3.0, 0.8, 1.0]);
    let bands = prop::sample::select(vec![0, 1, 2, 16]);
    (thresholds, 1..4_usize, bands, any::<u64>()).prop_map(|(threshold, shingle, bands, seed)| Settings {
        threshold,
        shingle,
        bands,
        seed,
    })
}

/// The Jaccard similarity by sets of words.
fn plain_jaccard(one: &str, other: &str, length: usize) -> f64 {
    let [one, other] = [one, other].map(Words::of);
    let [one, other] = [&one, &other].map(|words| words.runs(length).collect::<HashSet<_>>());
    let common = one.intersection(&other).count();
    if common == 0 { 0.0 } else { common as f64 / (one.len() + other.len() - common) as f64 }
}

/// Whether a pair counts: with bands off, by words alone; else those that share a key, too.
fn are_similar(one: &str, other: &str, settings: &Settings) -> bool {
    let keys = |text| meeting::Meeting::new(settings).keys(&shingles(text, settings.shingle)).into_iter().collect();
    let (one_keys, other_keys): (HashSet<u32>, HashSet<u32>) = (keys(one), keys(other));
    let found = settings.bands == 0 || !one_keys.is_disjoint(&other_keys);
    found && plain_jaccard(one, other, settings.shingle) >= settings.threshold
}

/// The plain program: from the first to the last, each that is similar to none kept so far.
fn kept_of(texts: &Texts, settings: &Settings) -> BTreeSet<u16> {
    let mut kept = BTreeSet::new();
    for (key, text) in texts {
        if !kept.iter().any(|earlier| are_similar(&texts[earlier], text, settings)) {
            kept.insert(*key);
        }
    }
    kept
}

fn apply(texts: &mut Texts, (key, text): &Change) {
    match text {
        Some(text) => _ = texts.insert(*key, text.clone()),
        None => _ = texts.remove(key),
    }
}

/// Feeds change `e` at epoch `e` on worker `e mod workers`; returns the kept texts after each epoch.
fn incremental(history: &[Change], workers: usize, settings: Settings) -> Vec<BTreeSet<u16>> {
    let (fed, updates) = (updates(history, settings.shingle), Arc::new(Mutex::new(Vec::new())));
    let gathered = Arc::clone(&updates);
    let guards = timely::execute(timely::Config::process(workers), move |worker| {
        let mut texts = InputSession::<u64, (u16, Vec<u64>), isize>::new();
        let probe = ProbeHandle::new();
        worker.dataflow(|scope| {
            let kept = collection::kept(texts.to_collection(scope), &settings);
            let gathered = Arc::clone(&gathered);
            kept.inner.inspect(move |update| gathered.lock().expect("no worker panics").push(*update)).probe_with(&probe);
        });
        for (epoch, updates) in fed.iter().enumerate() {
            if epoch % worker.peers() == worker.index() {
                updates.iter().for_each(|(text, difference)| texts.update(text.clone(), *difference));
            }
            texts.advance_to(epoch as u64 + 1);
            texts.flush();
            worker.step();
        }
    });
    let outcomes = guards.expect("the workers start").join();
    assert!(outcomes.iter().all(Result::is_ok));
    let updates = Arc::into_inner(updates).and_then(|updates| updates.into_inner().ok()).expect("the workers have ended");
    (0..history.len() as u64).map(|epoch| standing(&updates, epoch)).collect()
}

fn updates(history: &[Change], length: usize) -> Vec<Vec<((u16, Vec<u64>), isize)>> {
    let mut texts = Texts::new();
    let mut each = Vec::new();
    for change in history {
        let of = |texts: &Texts| texts.get(&change.0).map(|text| (change.0, shingles(text, length).into_vec()));
        let before = of(&texts);
        apply(&mut texts, change);
        each.push(before.map(|text| (text, -1)).into_iter().chain(of(&texts).map(|text| (text, 1))).collect());
    }
    each
}

fn standing(updates: &[(u16, u64, isize)], epoch: u64) -> BTreeSet<u16> {
    let mut counts = BTreeMap::new();
    for (key, _, difference) in updates.iter().filter(|(_, time, _)| *time <= epoch) {
        *counts.entry(*key).or_insert(0) += difference;
    }
    counts.retain(|_, count| *count != 0);
    assert!(counts.values().all(|count| *count == 1), "a text is kept once: {counts:?}");
    counts.into_keys().collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn after_any_history_the_kept_texts_are_those_of_a_plain_program(history in history(), settings in settings()) {
        let (mut near, mut texts, mut told) = (Near::new(settings), Texts::new(), BTreeSet::new());
        for change in &history {
            let (key, text) = change;
            let mut steps = vec![near.remove(*key)];
            told.remove(key);
            steps.extend(text.as_ref().map(|text| near.insert(*key, shingles(text, settings.shingle))));
            apply(&mut texts, change);
            for changes in steps {
                changes.kept.into_iter().for_each(|kept| assert!(told.insert(kept), "{kept} was kept"));
                changes.held.into_iter().for_each(|held| assert!(told.remove(&held) || held == *key, "{held} was held"));
            }
            let kept = kept_of(&texts, &settings);
            prop_assert_eq!(&told, &kept, "what the changes tell");
            prop_assert_eq!(near.len(), texts.len());
            for (key, text) in &texts {
                prop_assert_eq!(near.is_kept(*key), Some(kept.contains(key)));
                let by = near.held_by(*key);
                prop_assert_eq!(by.is_none(), kept.contains(key));
                let holds = |by: u16| by < *key && kept.contains(&by) && are_similar(&texts[&by], text, &settings);
                prop_assert!(by.is_none_or(holds), "{by:?} does not hold {key} back");
            }
        }
    }

    #[test]
    fn with_bands_off_no_similar_text_is_missed(one in text(), other in text(), settings in settings()) {
        let settings = Settings { bands: 0, ..settings };
        let mut near = Near::new(settings);
        let [one_shingles, other_shingles] = [&one, &other].map(|text| shingles(text, settings.shingle));
        near.insert(0, one_shingles.clone());
        let expected = plain_jaccard(&one, &other, settings.shingle);
        prop_assert!((jaccard(&one_shingles, &other_shingles) - expected).abs() < f64::EPSILON);
        let expected = (expected >= settings.threshold).then_some((0, expected));
        prop_assert_eq!(near.similar(&other_shingles), Vec::from_iter(expected));
        let found = similarity(&one_shingles, &other_shingles, settings.threshold);
        prop_assert_eq!(found, expected.map(|(_, similarity)| similarity));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn on_any_number_of_workers_the_collection_is_that_of_a_plain_program(
        history in history(),
        settings in settings(),
        workers in 1..4_usize,
    ) {
        let after = incremental(&history, workers, settings);
        let mut texts = Texts::new();
        for (change, kept) in history.iter().zip(after) {
            apply(&mut texts, change);
            prop_assert_eq!(kept, kept_of(&texts, &settings));
        }
    }
}

/// Sets of 100 of 100 + d numbers each, which share 100 - d.
fn pair_at(different: u64, number: u64) -> [Vec<u64>; 2] {
    let shingle = |of: u64, at: u64| synthllm_operators::id::words(&format!("{number} {of} {at}"));
    let common = (different..100).map(|at| shingle(0, at));
    [1, 2].map(|of| {
        let mut set: Vec<u64> = common.clone().chain((0..different).map(|at| shingle(of, at))).collect();
        set.sort_unstable();
        set
    })
}

#[test]
fn pairs_are_found_as_often_as_the_module_says() {
    let settings = Settings::default();
    let rows = meeting::rows(settings.threshold, settings.bands);
    let meeting = meeting::Meeting::new(&settings);
    for different in [5, 11, 20, 33, 50] {
        let similarity = (100 - different) as f64 / (100 + different) as f64;
        let expected = meeting::found(similarity, settings.bands, rows);
        let meets = |number| {
            let [one, other] = pair_at(different, number).map(|set| meeting.keys(&set));
            one.iter().any(|key| other.contains(key))
        };
        let found = (0..2_000).filter(|number| meets(*number)).count() as f64 / 2_000.0;
        // Five standard deviations.
        let allowed = 5.0 * (expected * (1.0 - expected) / 2_000.0).sqrt() + 0.001;
        assert!((found - expected).abs() < allowed, "{found} instead of {expected} at {similarity}");
    }
}
