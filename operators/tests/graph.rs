//! The laws of the whole fragment: on any number of workers, after any history, draws and views follow from the live documents.

mod harness;
mod reference;

use std::collections::BTreeMap;

use harness::{Epoch, Output, SHARDS, all_nodes, history, run, starts};
use proptest::prelude::*;
use reference::{Live, counts, id, live};
use synthllm_operators::draw::WalkId;
use synthllm_operators::edges::Element;
use synthllm_operators::graph::{Found, Outcome};
use synthllm_operators::id::Kind;
use synthllm_operators::upsert::Entry;
use synthllm_operators::walk::Settings;

fn settings(seed: u64, starts: Kind) -> Settings {
    Settings { shards: SHARDS, seed, starts, min_key_concepts: 2, need_text: seed.is_multiple_of(2), ..Settings::default() }
}

/// The history in epochs, with starts after each of them.
fn epochs(history: &[Entry], batch: usize, kind: Kind) -> Vec<Epoch> {
    let starts = starts(&all_nodes(kind), 2);
    history.chunks(batch).map(|entries| Epoch { entries: entries.to_vec(), starts: starts.clone() }).collect()
}

/// Only what is live, in one epoch, other documents first.
fn from_scratch(history: &[Entry], kind: Kind) -> Vec<Epoch> {
    let live = live(history);
    let is_live = |entry: &&Entry| live.get(&entry.document).is_some_and(|(place, _)| place.offset == entry.offset);
    let mut entries: Vec<Entry> = history.iter().filter(is_live).cloned().collect();
    entries.reverse();
    vec![Epoch { entries, starts: starts(&all_nodes(kind), 2) }]
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![Just(Kind::Topic), Just(Kind::KeyConcept)]
}

/// The references of every combination are the best two of all live documents, and a walk without them has none.
fn assert_matches_are_the_best(outcomes: &[Outcome], live: &Live, settings: &Settings) {
    for outcome in outcomes {
        let walk = WalkId { seed: settings.seed, node: outcome.node, start: outcome.start };
        if let Found::Combination { walk: nodes, references } = &outcome.result {
            let best = reference::best(live, walk, nodes, settings.need_text);
            let found: Vec<_> = references
                .iter()
                .map(|found| (found.document.clone(), found.similarity.shared, found.similarity.union))
                .collect();
            assert_eq!(found, best[..2]);
            for found in references {
                let (place, content) = &live[&found.document];
                assert_eq!((found.extraction, found.version, found.text), (*place, content.version, content.text));
            }
        }
    }
}

/// Every live document that shares a concept with a walk from here counts, so a walk with fewer than two has no references.
fn assert_frequencies(output: &Output, live: &Live, kind: Kind) {
    let mut told = BTreeMap::new();
    for frequencies in output.frequencies.values() {
        told.extend(frequencies.clone());
    }
    let nodes = counts(live).0;
    let expected: BTreeMap<_, _> =
        nodes.iter().filter(|(node, _)| node.kind == kind).map(|(node, count)| (id(node), *count)).collect();
    told.retain(|_, documents| *documents > 0);
    assert_eq!(told, expected);
}

fn assert_counts(output: &Output, epoch: u64, live: &Live) {
    let mut sums = BTreeMap::<Element, isize>::new();
    for (element, _, difference) in output.changes.iter().filter(|(_, time, _)| *time <= epoch) {
        *sums.entry(element.clone()).or_default() += difference;
    }
    sums.retain(|_, sum| *sum != 0);
    let (nodes, edges) = counts(live);
    let nodes = nodes.into_iter().map(|(node, count)| (Element::Node(node), count as isize));
    let edges = edges.into_iter().map(|((one, other), count)| (Element::Edge(one, other), count as isize));
    assert_eq!(sums, nodes.chain(edges).collect());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn settled_draws_depend_on_the_live_documents_alone(
        history in history(40), batch in 2..20usize, seed in 0..1_000u64, kind in kind(), workers in 1..=3usize,
    ) {
        let settings = settings(seed, kind);
        let output = run(workers, &epochs(&history, batch, kind), settings);
        let scratch = run(1, &from_scratch(&history, kind), settings);
        prop_assert_eq!(output.outcomes.last_key_value().map(|last| last.1), scratch.outcomes.get(&0).filter(|_| !history.is_empty()));
        assert_frequencies(&output, &live(&history), kind);
    }

    #[test]
    fn every_epoch_is_drawn_from_its_own_documents(
        history in history(40), batch in 2..20usize, seed in 0..1_000u64, kind in kind(), workers in 1..=3usize,
    ) {
        let settings = settings(seed, kind);
        let output = run(workers, &epochs(&history, batch, kind), settings);
        for (epoch, entries) in (0u64..).zip(history.chunks(batch)) {
            let read = epoch as usize * batch + entries.len();
            let live = live(&history[..read]);
            assert_matches_are_the_best(&output.outcomes[&epoch], &live, &settings);
            assert_counts(&output, epoch, &live);
        }
    }

    #[test]
    fn unsettled_draws_are_the_same_on_any_number_of_workers(
        history in history(40), batch in 2..20usize, seed in 0..1_000u64, kind in kind(), rejections in 0..3u32,
    ) {
        let settings = Settings { settled: false, rejections, ..settings(seed, kind) };
        let epochs = epochs(&history, batch, kind);
        let one = run(1, &epochs, settings);
        prop_assert_eq!(&run(2, &epochs, settings), &one);
        prop_assert_eq!(&run(3, &epochs, settings), &one);
    }
}

#[test]
fn a_start_has_no_references_when_only_one_document_has_text() {
    let mut entries =
        vec![reference::entry("a", 0, 0, &["t"], &["k", "l", "m"]), reference::entry("b", 1, 0, &["t"], &["k", "l", "m"])];
    let settings = Settings { need_text: true, ..settings(1, Kind::Topic) };
    let draw = |entries: &[Entry]| {
        let starts = starts(&[reference::topic("t")], 1);
        run(2, &[Epoch { entries: entries.to_vec(), starts }], settings).outcomes[&0][0].result.clone()
    };
    assert!(
        matches!(draw(&entries), Found::Combination { references, .. } if references.iter().all(|found| found.reference().is_some()))
    );
    entries[1].content.as_mut().expect("it is live").text = None;
    assert_eq!(draw(&entries), Found::NoReference);
}

#[test]
fn work_caps_are_flagged() {
    let entries: Vec<Entry> =
        (0..60).map(|number| reference::entry(&format!("d{number}"), 0, number, &["t"], &["k", "l", "m"])).collect();
    let draw = |settings: Settings| {
        let starts = starts(&[reference::topic("t")], 4);
        let outcomes = run(1, &[Epoch { entries: entries.clone(), starts }], settings).outcomes.remove(&0);
        outcomes.expect("the starts have outcomes").iter().map(|outcome| outcome.capped).collect::<Vec<_>>()
    };
    let free = settings(1, Kind::Topic);
    assert_eq!(draw(free), [false; 4]);
    assert_eq!(draw(Settings { rejections: 0, walk_cap: 30, ..free }), [true; 4]);
    assert_eq!(draw(Settings { match_cap: 30, ..free }), [true; 4]);
}

#[test]
fn a_concept_in_half_of_many_documents_costs_no_more_than_the_caps() {
    // Where the hub is, only three other concepts are: a walk soon stands there with all of them visited.
    let entry = |number: u32| {
        let (own, neighbour) = (format!("own {number}"), format!("neighbour {}", number % 3));
        let concepts = if number.is_multiple_of(2) { ["hub", neighbour.as_str()] } else { [own.as_str(), "rare"] };
        reference::entry(&format!("d{number}"), number % 3, u64::from(number / 3), &["t"], &concepts)
    };
    let entries: Vec<Entry> = (0..300_000).map(entry).collect();
    let starts = starts(&[reference::topic("t")], 30);
    let outcomes =
        run(2, &[Epoch { entries, starts }], Settings { settled: false, ..settings(1, Kind::Topic) }).outcomes.remove(&0);
    let outcomes = outcomes.expect("the starts have outcomes");
    assert_eq!(outcomes.len(), 30);
    assert!(outcomes.iter().any(|outcome| outcome.capped), "no walk met a cap");
    assert!(outcomes.iter().any(|outcome| matches!(outcome.result, Found::Combination { .. })), "no walk came through");
}
