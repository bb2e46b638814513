//! A corpus in subsets is drawn from as if each subset were alone.

mod harness;

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;

use harness::{SHARDS, history};
use proptest::prelude::*;
use synthllm_operators::graph::{Found, Outcome};
use synthllm_operators::id::Kind;
use synthllm_operators::schedule::Quota;
use synthllm_operators::settle::draw_all;
use synthllm_operators::subsets::{Origins, Subsets, node_name, subset_of};
use synthllm_operators::upsert::Entry;
use synthllm_operators::walk::Settings;

const QUOTA: Quota = Quota { epochs: 2, starts_per_document: 0.0 };

fn settings(seed: u64, starts: Kind) -> Settings {
    Settings { shards: SHARDS, seed, starts, min_key_concepts: 2, ..Settings::default() }
}

/// The last entry of each live document, with the nodes of its subset.
fn live(history: &[Entry], subsets: Subsets) -> Vec<(String, Entry)> {
    let last: BTreeMap<&str, &Entry> = history.iter().map(|entry| (entry.document.as_str(), entry)).collect();
    let mut live: Vec<_> = last.into_values().filter_map(|entry| in_subset(entry, subsets)).collect();
    live.sort_by_key(|(_, entry)| (entry.partition, entry.offset));
    live
}

fn in_subset(entry: &Entry, subsets: Subsets) -> Option<(String, Entry)> {
    let subset = subsets.of(&Origins { document: &entry.document, ..Origins::default() }).expect("there are subsets");
    let mut entry = entry.clone();
    let content = entry.content.as_mut()?;
    for name in content.topics.iter_mut().chain(&mut content.key_concepts) {
        *name = node_name(Some(&subset), name);
    }
    Some((subset, entry))
}

fn drawn(entries: Vec<Entry>, settings: Settings) -> Vec<Outcome> {
    let mut outcomes = draw_all(entries, settings, QUOTA, None);
    outcomes.sort_by_key(|outcome| (outcome.node, outcome.start));
    outcomes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn the_draws_of_a_corpus_are_those_of_each_subset_alone(history in history(40), parts in 1..5u32, seed in 0..1_000u64) {
        let parts = Subsets::Parts(NonZeroU32::new(parts).expect("not 0"));
        let live = live(&history, parts);
        for kind in [Kind::Topic, Kind::KeyConcept] {
            let settings = settings(seed, kind);
            let together = drawn(live.iter().map(|(_, entry)| entry.clone()).collect(), settings);
            let names: BTreeSet<&String> = live.iter().map(|(subset, _)| subset).collect();
            let of = |name: &String| live.iter().filter(|(subset, _)| subset == name).map(|(_, entry)| entry.clone()).collect();
            let mut alone: Vec<Outcome> = names.into_iter().flat_map(|name| drawn(of(name), settings)).collect();
            alone.sort_by_key(|outcome| (outcome.node, outcome.start));
            prop_assert_eq!(&together, &alone);

            let subsets: BTreeMap<&str, &str> =
                live.iter().map(|(subset, entry)| (entry.document.as_str(), subset.as_str())).collect();
            for outcome in &together {
                let Found::Combination { walk, references } = &outcome.result else { continue };
                let mut of_nodes: BTreeSet<&str> = walk.iter().filter_map(|node| subset_of(&node.name)).collect();
                of_nodes.extend(references.iter().map(|found| subsets[found.document.as_str()]));
                prop_assert_eq!(of_nodes.len(), 1);
            }
        }
    }
}
