//! The law of `merge`, against a plain program that begins anew each time: after any history of names that come, change and go, and of thresholds, the
//! updates add up to the map that the names alone decide.

use std::collections::BTreeMap;

use proptest::prelude::*;
use synthllm_operators::merge::{Change, Cosine, Merges, Update, cosine};

type Embeddings = BTreeMap<String, Vec<f32>>;
type Aliases = BTreeMap<String, String>;

/// Brute force: every name against every one before it that stands for itself.
fn from_scratch(embeddings: &Embeddings, threshold: Cosine) -> Aliases {
    let mut names: Vec<&String> = embeddings.keys().collect();
    names.sort_by_key(|name| (name.chars().count(), *name));
    let (mut themselves, mut aliases): (Vec<&String>, _) = (Vec::new(), Aliases::new());
    for name in names {
        let similar = |other| (cosine(&embeddings[name], &embeddings[other]), other);
        let near = themselves.iter().copied().map(similar).filter(|(cosine, _)| *cosine >= threshold);
        match near.reduce(|best, next| if next.0 > best.0 { next } else { best }) {
            Some((_, other)) => _ = aliases.insert(name.clone(), other.clone()),
            None => themselves.push(name),
        }
    }
    aliases
}

/// Takes updates in their order: nothing is retracted that was not there, and nothing has two names.
fn take(aliases: &mut Aliases, updates: Vec<Update>) {
    for (alias, name, diff) in updates {
        match diff {
            -1 => assert_eq!(aliases.remove(&alias), Some(name)),
            1 => assert_eq!(aliases.insert(alias, name), None),
            _ => panic!("{alias:?} -> {name:?} changes by {diff}"),
        }
    }
}

/// Names of one to three characters, not all of one byte.
fn name() -> impl Strategy<Value = String> {
    "[aé]{1,3}|[b-d]{1,2}"
}

/// Few directions, so that many cosines are equal; also none at all.
fn embedding() -> impl Strategy<Value = Vec<f32>> {
    prop::collection::vec((0_i8..4).prop_map(f32::from), 3)
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        6 => (name(), embedding()).prop_map(|(name, embedding)| Change::Insert(name, embedding)),
        3 => name().prop_map(Change::Remove),
        1 => prop::sample::select(vec![0.5, 0.8, 0.9, 0.95, 1.0]).prop_map(|threshold| Change::Threshold(Cosine::of(threshold))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]
    #[test]
    fn the_map_is_a_function_of_the_names_that_are_in(
        history in prop::collection::vec(prop::collection::vec(change(), 1..8), 1..12),
    ) {
        let mut threshold = Cosine::of(0.9);
        let (mut merges, mut embeddings, mut aliases) = (Merges::new(threshold), Embeddings::new(), Aliases::new());
        for batch in history {
            for change in batch.clone() {
                match change {
                    Change::Insert(name, embedding) => _ = embeddings.insert(name, embedding),
                    Change::Remove(name) => _ = embeddings.remove(&name),
                    Change::Threshold(other) => threshold = other,
                }
            }
            take(&mut aliases, merges.apply(batch));
            prop_assert_eq!(&aliases, &from_scratch(&embeddings, threshold));
            let listed = merges.iter().map(|(alias, name, _)| (alias.to_owned(), name.to_owned()));
            prop_assert_eq!(&aliases, &listed.collect());
            for (alias, name, similarity) in merges.iter() {
                prop_assert_eq!(similarity, cosine(&embeddings[alias], &embeddings[name]));
                prop_assert!(similarity >= threshold && !aliases.contains_key(name));
            }
            let themselves: Vec<_> = embeddings.iter().filter(|(name, _)| !aliases.contains_key(*name)).collect();
            for (place, one) in themselves.iter().enumerate() {
                prop_assert!(themselves[..place].iter().all(|other| cosine(one.1, other.1) < threshold));
            }
        }
    }
}

/// More names than a block has, so that blocks meet, by a fixed row of numbers.
#[test]
fn many_names_at_once_and_one_after_the_other_are_the_same() {
    let mut seed = 1_u64;
    let mut number = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 40) as f32 / (1 << 24) as f32 - 0.4
    };
    let embeddings: Embeddings = (0..300).map(|name| (format!("name {name}"), (0..5).map(|_| number()).collect())).collect();
    let threshold = Cosine::of(0.9);
    let insert = |(name, embedding): (&String, &Vec<f32>)| Change::Insert(name.clone(), embedding.clone());
    let mut at_once = Aliases::new();
    take(&mut at_once, Merges::new(threshold).apply(embeddings.iter().map(insert)));
    assert!((50..280).contains(&at_once.len()), "{}", at_once.len());
    assert_eq!(at_once, from_scratch(&embeddings, threshold));
    let (mut merges, mut aliases) = (Merges::new(threshold), Aliases::new());
    for change in embeddings.iter().rev().map(insert) {
        take(&mut aliases, merges.apply([change]));
    }
    assert_eq!(aliases, at_once);
    take(&mut aliases, merges.apply([Change::Threshold(Cosine::of(0.8))]));
    assert_eq!(aliases, from_scratch(&embeddings, Cosine::of(0.8)));
    take(&mut aliases, merges.apply(embeddings.keys().cloned().map(Change::Remove)));
    assert_eq!(aliases, Aliases::new());
}

#[test]
fn a_cosine_is_what_double_precision_says_whichever_way_it_is_asked() {
    let vector = |start: u32| (0..100).map(|number| ((start + number * number) % 17) as f32 - 8.0).collect::<Vec<_>>();
    for (one, other) in [(1, 2), (3, 9), (5, 5)] {
        let (one, other) = (vector(one), vector(other));
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
        let exact = dot(&one, &other) / (dot(&one, &one) * dot(&other, &other)).sqrt();
        assert!((cosine(&one, &other).value() - exact).abs() < 2e-6, "{exact}");
        assert_eq!(cosine(&one, &other), cosine(&other, &one));
    }
    assert_eq!(cosine(&vector(5), &vector(5)), Cosine::of(1.0));
    assert_eq!(cosine(&[0.0, 0.0], &[1.0, 0.0]), Cosine::of(0.0));
}

#[test]
#[should_panic(expected = "embeddings must have the same length")]
fn embeddings_of_another_length_are_refused() {
    let insert = |name: &str, numbers| Change::Insert(name.to_owned(), vec![1.0; numbers]);
    Merges::new(Cosine::of(0.9)).apply([insert("a", 5), insert("b", 7)]);
}
