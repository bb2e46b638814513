//! The law of `upsert` and `index`: after any history the index equals the recount of the live documents.

mod harness;
mod reference;

use harness::{SHARDS, history};
use proptest::prelude::*;
use reference::{Live, counts, entry, id, live};
use synthllm_operators::id::DocumentId;
use synthllm_operators::index::Index;
use synthllm_operators::stats::stats;
use synthllm_operators::upsert::{Entry, Upserted};

fn load(history: &[Entry]) -> Index {
    let mut index = Index::new(SHARDS);
    for entry in history {
        index.upsert(entry);
    }
    index
}

fn assert_equals_recount(index: &Index, live: &Live) {
    assert_eq!(stats(index), reference::stats(live));
    let found = (0..SHARDS).flat_map(|shard| index.with_text(shard));
    let found: std::collections::BTreeMap<&str, _> =
        found.map(|it| (it.document, (it.version, it.offset, it.key_concepts))).collect();
    let texts = live.iter().filter(|(_, (_, content))| content.text.is_some());
    let expected = texts.map(|(document, (place, content))| {
        (document.as_str(), (content.version, place.offset, content.key_concepts.len()))
    });
    assert_eq!(found, expected.collect());
    let (nodes, edges) = counts(live);
    for (node, count) in &nodes {
        let documents: u64 = (0..SHARDS).map(|shard| index.weight(id(node), node.kind, shard).documents).sum();
        assert_eq!(documents, *count, "{node:?}");
        let neighbours = index.neighbours(id(node));
        assert!(neighbours.is_sorted_by_key(|(_, count)| std::cmp::Reverse(*count)));
        let shared = |(one, other): &(_, _)| (one == node).then_some(other).or((other == node).then_some(one)).cloned();
        let mut expected: Vec<_> = edges.iter().filter_map(|(edge, count)| Some((shared(edge)?, *count))).collect();
        expected.sort_by(|one, other| other.1.cmp(&one.1).then_with(|| one.0.cmp(&other.0)));
        assert_eq!(neighbours, expected);
    }
}

proptest! {
    #[test]
    fn after_any_history_the_index_equals_the_recount(history in history(60), settle_at in 0..60usize) {
        let mut index = Index::new(SHARDS);
        for (turn, entry) in history.iter().enumerate() {
            index.upsert(entry);
            if turn == settle_at {
                index.settle();
                index.take_changed();
            }
            if turn % 7 == 0 {
                assert_equals_recount(&index, &live(&history[..=turn]));
            }
        }
        index.take_changed();
        assert_equals_recount(&index, &live(&history));
    }

    #[test]
    fn reading_offsets_again_changes_nothing(history in history(60)) {
        let mut index = load(&history);
        let digest = index.digest();
        for entry in &history {
            prop_assert_eq!(index.upsert(entry), Upserted::Seen);
        }
        prop_assert_eq!(index.digest(), digest);
        assert_equals_recount(&index, &live(&history));
    }

    #[test]
    fn the_digest_tells_the_live_documents_whatever_their_history(history in history(60)) {
        let full = load(&history).digest();
        let live = live(&history);
        let short: Vec<Entry> = history.iter().filter(|entry| live.get(&entry.document).is_some_and(|(place, _)| place.offset == entry.offset)).cloned().collect();
        prop_assert_eq!(load(&short).digest(), full);
        if let Some(last) = short.last() {
            let mut other = short.clone();
            let changed = other.last_mut().and_then(|entry| entry.content.as_mut());
            changed.expect("it is live").version.offset += 1;
            prop_assert_ne!(load(&other).digest(), full, "{:?}", last);
        }
    }

    #[test]
    fn the_reports_of_changed_weights_add_up_to_the_weights(history in history(60), batch in 1..20usize) {
        let mut index = Index::new(SHARDS);
        let mut told = std::collections::BTreeMap::new();
        for entries in history.chunks(batch) {
            for entry in entries {
                index.upsert(entry);
            }
            for weight in index.take_changed() {
                told.insert((weight.concept, weight.shard), weight);
            }
        }
        for ((concept, shard), weight) in told {
            prop_assert_eq!(index.weight(concept, weight.kind, shard), weight);
        }
    }
}

#[test]
fn a_document_is_known_by_its_concepts_in_one_order() {
    let mut index = Index::new(1);
    index.upsert(&entry("a", 0, 0, &["t2", "t1"], &["k"]));
    index.upsert(&entry("b", 0, 1, &["t1", "t2"], &["k"]));
    let (document, nodes) = index.mentions_of(0, "a").expect("it was inserted");
    assert_eq!(document, DocumentId::of("a"));
    assert_eq!(nodes, index.mentions_of(0, "b").expect("it was inserted").1);
}
