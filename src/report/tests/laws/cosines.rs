//! Cosines within documents, by their definition.

use std::collections::{BTreeMap, BTreeSet};

use synthllm_operators::record::Sample;
use synthllm_report::{EmbedError, Sampling, Vectors};

use crate::world::{diversity, world};

/// TF-IDF cosines by maps of words, over the questions of all documents and levels.
fn expected_by_words(samples: &[Sample]) -> BTreeMap<u8, Vec<f64>> {
    let mut questions: BTreeMap<(u8, &str), Vec<&str>> = BTreeMap::new();
    for sample in samples {
        let cited: BTreeSet<&str> = sample.provenance.documents.iter().map(|document| document.id.as_str()).collect();
        cited.into_iter().for_each(|document| questions.entry((sample.level, document)).or_default().push(&sample.question));
    }
    questions.retain(|_, questions| questions.len() >= 2);
    let words = |text: &str| -> Vec<String> {
        text.to_lowercase().split(|it: char| !it.is_alphanumeric()).filter(|it| !it.is_empty()).map(str::to_owned).collect()
    };
    let all: Vec<&str> = questions.values().flatten().copied().collect();
    let weight = |word: &str| {
        let with = all.iter().filter(|question| words(question).iter().any(|other| other == word)).count();
        ((1.0 + all.len() as f64) / (1.0 + with as f64)).ln() + 1.0
    };
    let weights: BTreeMap<String, f64> =
        all.iter().flat_map(|it| words(it)).map(|word| (word.clone(), weight(&word))).collect();
    let vector = |text: &str| {
        let mut vector: BTreeMap<String, f64> = BTreeMap::new();
        words(text).into_iter().for_each(|word| *vector.entry(word.clone()).or_default() += weights[&word]);
        vector
    };
    let dot = |one: &BTreeMap<String, f64>, other: &BTreeMap<String, f64>| -> f64 {
        one.iter().filter_map(|(word, weight)| Some(weight * other.get(word)?)).sum()
    };
    let mut cosines: BTreeMap<u8, Vec<f64>> = BTreeMap::new();
    for ((level, _), questions) in questions {
        for (i, one) in questions.iter().enumerate() {
            for other in &questions[..i] {
                let (one, other) = (vector(one), vector(other));
                cosines.entry(level).or_default().push(dot(&one, &other) / (dot(&one, &one) * dot(&other, &other)).sqrt());
            }
        }
    }
    cosines
}

#[test]
fn cosines_of_words_are_those_of_their_definition() {
    let samples = world(120);
    let found = diversity(&samples, Sampling::default()).by_words();
    assert_eq!(found.vectors, Vectors::WordsTfIdf);
    let expected = expected_by_words(&samples);
    assert_eq!(found.levels.len(), 3);
    for level in &found.levels {
        let mut cosines = expected[&level.level].clone();
        cosines.sort_by(f64::total_cmp);
        assert_eq!(level.pairs as usize, cosines.len());
        assert!((level.mean - cosines.iter().sum::<f64>() / cosines.len() as f64).abs() < 1e-6);
        assert!((level.median - cosines[cosines.len().div_ceil(2) - 1]).abs() < 1e-6);
        assert!((level.p90 - cosines[(cosines.len() * 9).div_ceil(10) - 1]).abs() < 1e-6);
        for (bin, count) in level.histogram.counts.iter().enumerate() {
            let (from, to) = (0.05 * bin as f64, 0.05 * (bin + 1) as f64);
            let inside = |slack: f64| cosines.iter().filter(|it| **it >= from - slack && **it < to + slack).count() as u64;
            assert!((inside(-1e-6)..=inside(1e-6)).contains(count), "bin {bin} of level {}", level.level);
        }
    }
}

/// An embedding that a test can compute: where letters are.
#[allow(clippy::unnecessary_wraps, reason = "as a model's would be")]
fn embed(questions: &[&str]) -> Result<Vec<Vec<f32>>, String> {
    let vector = |question: &&str| {
        let count = |letter: char| question.matches(letter).count() as f32;
        vec![count('a') - count('e'), count('i'), count('m') - count('o'), count('t')]
    };
    Ok(questions.iter().map(vector).collect())
}

#[test]
fn cosines_of_embeddings_are_of_all_pairs_of_a_document() {
    let samples = world(90);
    let mut asked = Vec::new();
    let found = diversity(&samples, Sampling::default())
        .by_embeddings("letters", |questions| {
            asked.push(questions.len() as u64);
            embed(questions)
        })
        .expect("letters can be counted");
    let mut expected: Vec<f64> = Vec::new();
    for document in (0..12).map(|number| format!("document-{number}")) {
        let of_document =
            |sample: &&Sample| sample.level == 3 && sample.provenance.documents.iter().any(|it| it.id == document);
        let questions: Vec<&str> = samples.iter().filter(of_document).map(|sample| sample.question.as_str()).collect();
        let vectors = embed(&questions).expect("letters can be counted");
        for (i, one) in vectors.iter().enumerate() {
            expected.extend(vectors[..i].iter().map(|other| {
                let dot = |one: &[f32], other: &[f32]| one.iter().zip(other).map(|(a, b)| f64::from(a * b)).sum::<f64>();
                dot(one, other) / (dot(one, one) * dot(other, other)).sqrt()
            }));
        }
    }
    let level = &found.levels[2];
    assert_eq!((level.level, level.pairs as usize), (3, expected.len()));
    assert!((level.mean - expected.iter().sum::<f64>() / expected.len() as f64).abs() < 1e-6);
    assert_eq!(found.levels.iter().map(|level| level.questions).sum::<u64>(), asked.iter().sum::<u64>());
    assert!((level.histogram.from - -1.0).abs() < 1e-9 && level.histogram.counts.len() == 40);
}

#[test]
fn embeddings_that_do_not_fit_are_refused() {
    let samples = world(30);
    let refused = |embed: fn(&[&str]) -> Result<Vec<Vec<f32>>, String>| {
        diversity(&samples, Sampling::default()).by_embeddings("m", embed).expect_err("they do not fit")
    };
    assert!(matches!(refused(|_| Err("down".to_owned())), EmbedError::Failed(reason) if reason == "down"));
    assert!(matches!(refused(|_| Ok(vec![vec![1.0]])), EmbedError::Count { found: 1, .. }));
    let ragged = |questions: &[&str]| Ok((0..questions.len()).map(|place| vec![1.0; place + 1]).collect());
    assert!(matches!(refused(ragged), EmbedError::Dimensions { one: 1, other: 2 }));
}

#[test]
fn at_most_so_many_documents_and_questions_are_compared_whatever_the_order() {
    let samples = world(300);
    let sampling = Sampling { documents: 5, questions: 4, seed: 3 };
    let found = diversity(&samples, sampling).by_words();
    for level in &found.levels {
        assert_eq!((level.documents, level.questions, level.pairs), (5, 20, 5 * 6));
    }
    let backwards: Vec<Sample> = samples.iter().rev().cloned().collect();
    assert_eq!(diversity(&backwards, sampling).by_words(), found);
    assert_ne!(diversity(&samples, Sampling { seed: 4, ..sampling }).by_words(), found);
}
