//! The law of `near::twins`: after any history the verdicts are those that a plain program finds by comparing each document with
//! all kept ones before it, and what is said to have changed has changed.

use std::collections::BTreeMap;

use proptest::prelude::*;
use synthllm_operators::id::{self, DocumentId};
use synthllm_operators::near::twins::{Text, Twins, Verdict};
use synthllm_operators::near::{Settings, similarity};
use synthllm_operators::record::Pointer;
use synthllm_operators::shingle::shingles;

/// The live documents: where they stand, and their texts.
type Documents = BTreeMap<u64, (Pointer, String)>;

type Verdicts = BTreeMap<u64, Verdict>;

/// A document comes with a text or changes, in a partition, or (none) goes.
type Step = (u64, u32, Option<String>);

/// Few words, so that texts are often similar or equal; some have none.
fn text() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(vec!["a", "b", "c", "d", "!"]), 0..6).prop_map(|words| words.join(" "))
}

fn history() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec((0..16_u64, 0..3_u32, prop::option::weighted(0.75, text())), 1..60)
}

fn settings(threshold: f64) -> Settings {
    Settings { threshold, shingle: 1, bands: 0, seed: 0 }
}

fn text_of(text: &str) -> Text {
    Text { hash: id::digest(text.as_bytes()), shingles: shingles(text, 1) }
}

/// The plain program.
fn from_scratch(documents: &Documents, threshold: Option<f64>) -> Verdicts {
    let mut in_order: Vec<_> = documents.iter().map(|(id, (at, text))| (at.offset, at.partition, *id, text)).collect();
    in_order.sort_unstable();
    let (mut earlier, mut kept, mut verdicts) = (Vec::<&String>::new(), Vec::<&String>::new(), Verdicts::new());
    for (_, _, id, text) in in_order {
        let is_similar =
            |other: &&&String| threshold.is_some_and(|at| similarity(&shingles(text, 1), &shingles(other, 1), at).is_some());
        let verdict = match (kept.contains(&text) || kept.iter().any(|other| is_similar(&other)), earlier.contains(&text)) {
            (false, _) => Verdict::Kept,
            (true, true) => Verdict::Duplicate,
            (true, false) => Verdict::NearDuplicate,
        };
        earlier.push(text);
        kept.extend((verdict == Verdict::Kept).then_some(text));
        verdicts.insert(id, verdict);
    }
    verdicts
}

fn verdicts(twins: &Twins) -> Verdicts {
    twins.verdicts().map(|(document, verdict)| (document.0, verdict)).collect()
}

proptest! {
    #[test]
    fn after_any_history_the_verdicts_are_those_of_a_program_that_begins_anew(
        history in history(),
        threshold in prop::option::of(prop::sample::select(vec![0.3, 0.5, 0.8, 1.0])),
    ) {
        let mut twins = Twins::new(threshold.map(settings));
        let mut documents = Documents::new();
        // Partitions are read at speeds of their own, so that a document that comes later may stand before.
        let mut ends = [0, 20, 10];
        for (id, partition, text) in history {
            let before = verdicts(&twins);
            let told = if let Some(text) = text {
                let at = Pointer { partition, offset: ends[partition as usize] };
                ends[partition as usize] += 1;
                documents.insert(id, (at, text.clone()));
                twins.put(DocumentId(id), at, text_of(&text))
            } else {
                documents.remove(&id);
                twins.remove(DocumentId(id))
            };
            let now = verdicts(&twins);
            prop_assert_eq!(&now, &from_scratch(&documents, threshold));
            let changed = now.iter().filter(|(other, verdict)| **other != id && before.get(other) != Some(verdict));
            let changed: Verdicts = changed.map(|(other, verdict)| (*other, *verdict)).collect();
            prop_assert_eq!(told.into_iter().map(|(document, verdict)| (document.0, verdict)).collect::<Verdicts>(), changed);
        }
    }
}
