//! Near-duplicates and decontamination on real texts: equal to brute force over words.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io::BufRead;
use std::path::PathBuf;

use serde_json::Value;
use synthllm_operators::decontaminate::{self, Benchmarks, Entry};
use synthllm_operators::near::meeting::Meeting;
use synthllm_operators::near::{self, Near};
use synthllm_operators::shingle::{Words, jaccard, shingles};

#[path = "../../tests/support/skip.rs"]
#[allow(dead_code, clippy::disallowed_methods, reason = "a test may look whether it runs in CI")]
mod skip;

const TEXTBOOKS: &str = "corpus-textbooks-ccby.jsonl.zst";
const GSM8K: &str = "benchmark-gsm8k-mit.jsonl";
const RUN: usize = 13;

/// A field of each line of a file; none, said aloud, where the data is not there.
fn texts(file: &str, field: &str) -> Option<Vec<String>> {
    let data = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    if !data.is_dir() {
        skip::skip("../shared/data is not there to judge by");
        return None;
    }
    let bytes = std::fs::read(data.join(file)).expect("the folder of data is whole");
    let bytes = if file == TEXTBOOKS { zstd::decode_all(&*bytes).expect("it is zstd") } else { bytes };
    let text = |line: std::io::Result<String>| {
        let line: Value = serde_json::from_str(&line.expect("it is UTF-8")).expect("lines are JSON");
        line[field].as_str().expect("the field is text").to_owned()
    };
    Some(bytes.lines().map(text).collect())
}

/// All pairs that share a run of five words, with their Jaccard similarity: every other pair has 0.
fn brute_force(texts: &[String]) -> BTreeMap<(usize, usize), f64> {
    let words: Vec<Words> = texts.iter().map(|text| Words::of(text)).collect();
    let sets: Vec<HashSet<&str>> = words.iter().map(|words| words.runs(5).collect()).collect();
    let mut holders: HashMap<&str, Vec<usize>> = HashMap::new();
    for (number, set) in sets.iter().enumerate() {
        set.iter().for_each(|run| holders.entry(run).or_default().push(number));
    }
    let mut common: BTreeMap<(usize, usize), usize> = BTreeMap::new();
    for sharers in holders.values() {
        for (place, one) in sharers.iter().enumerate() {
            sharers[place + 1..].iter().for_each(|other| *common.entry((*one, *other)).or_default() += 1);
        }
    }
    let share = |((one, other), common): ((usize, usize), usize)| {
        ((one, other), common as f64 / (sets[one].len() + sets[other].len() - common) as f64)
    };
    common.into_iter().map(share).collect()
}

/// The pairs that meet and are similar.
fn found(shingles: &[Box<[u64]>], settings: &near::Settings) -> BTreeSet<(usize, usize)> {
    let meeting = Meeting::new(settings);
    let mut holders: HashMap<u32, Vec<usize>> = HashMap::new();
    let mut pairs = BTreeSet::new();
    for (number, set) in shingles.iter().enumerate() {
        for key in meeting.keys(set) {
            let met = holders.entry(key).or_default();
            let similar = met.iter().filter(|earlier| jaccard(&shingles[**earlier], set) >= settings.threshold);
            pairs.extend(similar.map(|earlier| (*earlier, number)));
            met.push(number);
        }
    }
    pairs
}

#[test]
fn near_duplicates_of_textbooks_are_those_of_brute_force() {
    let Some(texts) = texts(TEXTBOOKS, "text") else { return };
    let sets: Vec<Box<[u64]>> = texts.iter().map(|text| shingles(text, 5)).collect();
    let all = brute_force(&texts);
    for (threshold, pairs) in [(0.8, 63), (0.6, 95)] {
        let settings = near::Settings { threshold, ..near::Settings::default() };
        let expected: BTreeSet<_> = all.iter().filter(|(_, it)| **it >= threshold).map(|(pair, _)| *pair).collect();
        assert_eq!(expected.len(), pairs, "brute force at {threshold}");
        assert_eq!(found(&sets, &near::Settings { bands: 0, ..settings }), expected, "all of them with bands off");
        for seed in 0..20 {
            let found = found(&sets, &near::Settings { seed, ..settings });
            assert!(found.is_subset(&expected), "a pair that brute force lacks");
            assert!(found.len() * 100 >= expected.len() * 95, "{} of {pairs} with seed {seed}", found.len());
        }
    }
}

#[test]
fn the_kept_textbooks_are_those_of_brute_force_whatever_was_taken_out_and_brought_back() {
    let Some(texts) = texts(TEXTBOOKS, "text") else { return };
    let all = brute_force(&texts);
    let kept_of = |inside: &dyn Fn(usize) -> bool| {
        let mut kept = BTreeSet::new();
        for text in (0..texts.len()).filter(|text| inside(*text)) {
            let held = kept.iter().any(|earlier| all.get(&(*earlier, text)).is_some_and(|it| *it >= 0.8));
            _ = held || kept.insert(text);
        }
        kept
    };
    let mut near = Near::new(near::Settings { bands: 0, ..near::Settings::default() });
    let told =
        |near: &Near<usize>| (0..texts.len()).filter(|text| near.is_kept(*text) == Some(true)).collect::<BTreeSet<_>>();
    // From the last to the first, so that each one may drive out what was kept.
    (0..texts.len()).rev().for_each(|text| _ = near.insert(text, shingles(&texts[text], 5)));
    assert_eq!(told(&near), kept_of(&|_| true));
    assert!(near.len() > kept_of(&|_| true).len(), "some are held back");
    (0..texts.len()).step_by(3).for_each(|text| _ = near.remove(text));
    assert_eq!(told(&near), kept_of(&|text| text % 3 != 0));
    (0..texts.len()).step_by(3).for_each(|text| _ = near.insert(text, shingles(&texts[text], 5)));
    assert_eq!(told(&near), kept_of(&|_| true));
}

fn entries(texts: &[String]) -> impl Iterator<Item = Entry> {
    let entry =
        |(line, text): (usize, &String)| Entry { benchmark: "gsm8k".to_owned(), id: line.to_string(), text: text.clone() };
    texts.iter().enumerate().map(entry)
}

/// The texts and entries that share a run of words.
fn shared(texts: &[String], entries: &[String]) -> BTreeSet<(usize, usize)> {
    let mut holders: HashMap<String, BTreeSet<usize>> = HashMap::new();
    for (number, entry) in entries.iter().enumerate() {
        let words = Words::of(entry);
        assert!(words.len() >= RUN, "no entry is short");
        words.runs(RUN).for_each(|run| _ = holders.entry(run.to_owned()).or_default().insert(number));
    }
    let mut pairs = BTreeSet::new();
    for (number, text) in texts.iter().enumerate() {
        let words = Words::of(text);
        let runs = words.runs(RUN).filter_map(|run| holders.get(run));
        pairs.extend(runs.flatten().map(|entry| (number, *entry)));
    }
    pairs
}

fn hits(texts: &[String], benchmarks: &Benchmarks) -> BTreeSet<(usize, usize)> {
    let each = texts.iter().enumerate().flat_map(|(number, text)| {
        benchmarks.hits(text).into_iter().map(move |hit| (number, hit.id.parse().expect("ids are lines")))
    });
    each.collect()
}

/// The first 13 words of a text, as it spells them.
fn cut(text: &str) -> String {
    let spelled: Vec<&str> = text.split_whitespace().collect();
    let enough = (1..=spelled.len()).find(|count| Words::of(&spelled[..*count].join(" ")).len() >= RUN);
    spelled[..enough.expect("no entry is short")].join(" ")
}

#[test]
fn planted_benchmark_questions_are_found_whole_and_cut_and_nothing_else() {
    let (Some(mut texts), Some(questions)) = (texts(TEXTBOOKS, "text"), texts(GSM8K, "question")) else { return };
    let benchmarks = Benchmarks::new(decontaminate::Settings::default(), entries(&questions));
    assert_eq!(hits(&texts, &benchmarks), shared(&texts, &questions), "before anything is planted");
    let clean = hits(&texts, &benchmarks);
    let mut planted = BTreeSet::new();
    let chosen = questions.iter().enumerate().step_by(questions.len() / 50).take(50);
    for (place, (number, question)) in chosen.enumerate() {
        for (text, question) in [(2 * place, question.clone()), (2 * place + 1, cut(question))] {
            let middle = texts[text].find(' ').expect("a text has words");
            texts[text].insert_str(middle, &format!(". {question} "));
            planted.insert((text, number));
        }
    }
    let found = hits(&texts, &benchmarks);
    assert_eq!(found, shared(&texts, &questions), "overlaps equal brute force");
    assert_eq!(planted.len(), 100);
    assert!(found.is_superset(&planted) && found.is_superset(&clean));
}
