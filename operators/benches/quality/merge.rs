//! Merges of names by their embeddings: 20,000 with 384 numbers each, as a small sentence encoder gives them.

use crate::meter::report;
use synthllm_operators::merge::{Change, Cosine, Merges};

const NAMES: usize = 20_000;
const NUMBERS: usize = 384;

pub fn bench() {
    println!("\nmerge names by their embeddings");
    let mut changes = names();
    let later = changes.split_off(NAMES);
    let removed: Vec<Change> = (0..1_000).map(|number| Change::Remove(name(number))).collect();
    let mut merges = Merges::new(Cosine::of(0.92));
    let (found, _) = report("names at once", NAMES, || merges.apply(changes).len());
    println!("    {found} merges");
    report("names that come one after the other", later.len(), || {
        later.into_iter().map(|change| merges.apply([change]).len()).sum::<usize>()
    });
    report("names that go one after the other", removed.len(), || {
        removed.into_iter().map(|change| merges.apply([change]).len()).sum::<usize>()
    });
    report("names under another threshold", NAMES, || merges.apply([Change::Threshold(Cosine::of(0.9))]).len());
}

fn name(number: usize) -> String {
    format!("name {number}")
}

/// Random directions; every fifth is an earlier one, a little turned. A thousand come later.
fn names() -> Vec<Change> {
    let mut seed = 1_u64;
    let mut random = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 40) as f32 / (1_u32 << 24) as f32
    };
    let mut vectors: Vec<Vec<f32>> = Vec::new();
    for number in 0..NAMES + 1_000 {
        let mut vector: Vec<f32> = (0..NUMBERS).map(|_| random() - 0.5).collect();
        if number % 5 == 4 {
            let like = &vectors[(random() * number as f32) as usize];
            let noise = random() * 0.6;
            vector = vector.iter().zip(like).map(|(other, like)| like + noise * other).collect();
        }
        vectors.push(vector);
    }
    vectors.into_iter().enumerate().map(|(number, vector)| Change::Insert(name(number), vector)).collect()
}
