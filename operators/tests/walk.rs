//! The law of the walk: every step has the exact probability of the specification, whatever path it takes through the code.

mod harness;
mod reference;

use std::collections::BTreeMap;

use harness::{Epoch, run, starts};
use reference::{Live, concept, entry, id, live, topic, walks};
use synthllm_operators::graph::{Found, Outcome};
use synthllm_operators::id::Kind;
use synthllm_operators::record::Node;
use synthllm_operators::upsert::Entry;
use synthllm_operators::walk::Settings;

/// Walks from one node, on two workers.
fn paths(entries: &[Entry], start: &Node, settings: Settings, count: u64) -> Vec<Outcome> {
    let epoch = Epoch { entries: entries.to_vec(), starts: starts([start], count) };
    run(2, &[epoch], settings).outcomes.remove(&0).expect("every start has an outcome")
}

fn settings(starts: Kind, rejections: u32) -> Settings {
    Settings { shards: 3, seed: 11, starts, rejections, min_key_concepts: 0, ..Settings::default() }
}

/// Asserts that the walks from `start` are distributed as the reference enumerates them. Rare outcomes are pooled; the
/// threshold is six standard deviations of chi-square, so that a fixed seed that passes once passes always and a wrong law
/// fails.
fn assert_law(live: &Live, start: &Node, outcomes: &[Outcome]) {
    let mut observed = BTreeMap::<Vec<Node>, f64>::new();
    for outcome in outcomes.iter().filter(|outcome| outcome.node == id(start)) {
        match &outcome.result {
            Found::Combination { walk, .. } => *observed.entry(walk.clone()).or_default() += 1.0,
            other => panic!("every walk of these graphs has its two documents: {other:?}"),
        }
    }
    let expected = walks(live, start);
    assert!((expected.values().sum::<f64>() - 1.0).abs() < 1e-9);
    for path in observed.keys() {
        assert!(expected.contains_key(path), "an impossible walk: {path:?}");
    }
    let total: f64 = observed.values().sum();
    let (mut chi_square, mut cells, mut rare) = (0.0, 0usize, (0.0, 0.0));
    for (path, probability) in &expected {
        let (expected, observed) = (probability * total, observed.get(path).copied().unwrap_or(0.0));
        if expected < 10.0 {
            rare = (rare.0 + expected, rare.1 + observed);
        } else {
            chi_square += (observed - expected).powi(2) / expected;
            cells += 1;
        }
    }
    if rare.0 > 0.0 {
        chi_square += (rare.1 - rare.0).powi(2) / rare.0.max(10.0);
        cells += 1;
    }
    let freedom = cells.saturating_sub(1) as f64;
    let threshold = freedom + 6.0 * (2.0 * freedom).sqrt() + 1e-9;
    assert!(chi_square <= threshold, "chi-square {chi_square} of {cells} cells over {total} walks from {start:?}");
}

/// Both ways of a step must have the law: by rejection, and by exact weights from the first try on.
fn assert_law_both_ways(entries: &[Entry], start: &Node, count: u64) {
    let live = live(entries);
    for rejections in [32, 0, 1] {
        assert_law(&live, start, &paths(entries, start, settings(start.kind, rejections), count));
    }
}

#[test]
fn a_visited_concept_does_not_favour_the_documents_of_others() {
    // From u with x visited, {u, x, a} and {u, b} give a and b one half each.
    let entries =
        [entry("d0", 0, 0, &[], &["x", "u"]), entry("d1", 1, 0, &[], &["u", "x", "a"]), entry("d2", 2, 0, &[], &["u", "b"])];
    let live = live(&entries);
    let weights = reference::step_weights(
        &live,
        &concept("u"),
        synthllm_operators::walk::Step::ConceptConcept,
        &[concept("x"), concept("u")],
    );
    assert_eq!(weights, BTreeMap::from([(concept("a"), 1), (concept("b"), 1)]));
    assert_law_both_ways(&entries, &concept("x"), 20_000);
}

#[test]
fn documents_of_different_sizes_weigh_by_their_size() {
    let entries = [
        entry("d0", 0, 0, &["s", "t"], &["a", "b"]),
        entry("d1", 1, 0, &["s", "t", "r"], &["a", "c", "d", "e", "f"]),
        entry("d2", 2, 0, &["s"], &["g"]),
        entry("d3", 0, 1, &["r", "q"], &["a", "b", "c", "d"]),
    ];
    assert_law_both_ways(&entries, &topic("s"), 40_000);
    assert_law_both_ways(&entries, &concept("a"), 40_000);
}

#[test]
fn stuck_parts_are_skipped_and_the_walk_goes_on() {
    let entries = [
        // The only topic: no other to go to. Three key concepts: four steps get stuck.
        entry("d0", 0, 0, &["t"], &["a", "b", "c"]),
        entry("d1", 1, 0, &["t"], &["a", "b"]),
        entry("d2", 2, 0, &[], &["z"]),
    ];
    assert_law_both_ways(&entries, &topic("t"), 20_000);
}

#[test]
fn a_topic_without_key_concepts_ends_the_walk() {
    let entries =
        [entry("d0", 0, 0, &["t", "s"], &[]), entry("d1", 1, 0, &["t", "r"], &["a"]), entry("d2", 2, 0, &["t"], &[])];
    assert_law_both_ways(&entries, &topic("t"), 20_000);
}

#[test]
fn with_too_few_key_concepts_a_start_is_stuck() {
    let entries = [entry("d0", 0, 0, &["t"], &["a", "b"]), entry("d1", 1, 0, &["t"], &["b"])];
    let settings = Settings { min_key_concepts: 3, ..settings(Kind::Topic, 32) };
    let outcomes = paths(&entries, &topic("t"), settings, 10);
    assert_eq!(outcomes.len(), 10);
    // No other topic, and after two key concepts no third.
    assert!(outcomes.iter().all(|outcome| outcome.result == Found::Stuck && outcome.stuck == [true, false, true]));
}

#[test]
fn a_larger_graph_keeps_the_law() {
    let names: Vec<String> = (0..14).map(|name| format!("k{name}")).collect();
    let topics: Vec<String> = (0..4).map(|name| format!("t{name}")).collect();
    let entries: Vec<Entry> = (0..40u32)
        .map(|document| {
            let pick = |names: &'_ [String], most: u32, salt: u32| -> Vec<String> {
                let count = (document * 7 + salt) % most + 1;
                let place = |index: u32| (document * 13 + index * (salt + 3) + index * index) as usize % names.len();
                let chosen: std::collections::BTreeSet<_> = (0..count).map(place).collect();
                chosen.into_iter().map(|place| names[place].clone()).collect()
            };
            let (topics, names) = (pick(&topics, 3, 1), pick(&names, 6, 2));
            let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            entry(&format!("d{document}"), document % 3, u64::from(document / 3), &topics, &names)
        })
        .collect();
    let live = live(&entries);
    assert_law(&live, &topic("t0"), &paths(&entries, &topic("t0"), settings(Kind::Topic, 32), 60_000));
    assert_law(&live, &concept("k3"), &paths(&entries, &concept("k3"), settings(Kind::KeyConcept, 32), 40_000));
}
