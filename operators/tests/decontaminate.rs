//! The law of `decontaminate`: the hits are those of a plain search, which looks for every run of words of every entry in the text.

use proptest::prelude::*;
use synthllm_operators::decontaminate::{Benchmarks, Entry, Settings};
use synthllm_operators::shingle::Words;

/// The most words in a row that a text and an entry share, and where they first begin in the text; none without an overlap.
fn plain_overlap(text: &[&str], entry: &[&str], settings: Settings) -> Option<(usize, usize)> {
    let least = entry.len().min(settings.run);
    if least == 0 || least < settings.run.min(settings.least) && text != entry {
        return None;
    }
    let shared =
        |at: usize, there: usize| text[at..].iter().zip(&entry[there..]).take_while(|(one, other)| one == other).count();
    let pairs = (0..text.len()).flat_map(|at| (0..entry.len()).map(move |there| (shared(at, there), at)));
    let longest = pairs.filter(|(length, _)| *length >= least);
    longest.max_by_key(|(length, at)| (*length, std::cmp::Reverse(*at))).map(|(length, at)| (at, length))
}

fn text(most: usize) -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(vec!["a", "b", "c"]), 0..most).prop_map(|words| words.join(" "))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn the_hits_are_those_of_a_plain_search(
        entries in prop::collection::vec(text(9), 0..6),
        texts in prop::collection::vec(text(14), 1..6),
        run in 1..6_usize,
        least in 0..7_usize,
    ) {
        let settings = Settings { run, least };
        let entry = |(number, text): (usize, &String)| Entry {
            benchmark: format!("benchmark {}", number % 2),
            id: number.to_string(),
            text: text.clone(),
        };
        let benchmarks = Benchmarks::new(settings, entries.iter().enumerate().map(entry));
        prop_assert_eq!(benchmarks.len(), entries.len());
        for text in &texts {
            let words = Words::of(text);
            let words: Vec<&str> = words.iter().collect();
            let plain = entries.iter().enumerate().filter_map(|(number, entry)| {
                let entry = Words::of(entry);
                let (at, length) = plain_overlap(&words, &entry.iter().collect::<Vec<_>>(), settings)?;
                Some((format!("benchmark {}", number % 2), number.to_string(), at, length, words[at..at + length].join(" ")))
            });
            let hits = benchmarks.hits(text).into_iter().map(|hit| {
                (hit.benchmark.to_owned(), hit.id.to_owned(), hit.at, hit.length, hit.words)
            });
            prop_assert_eq!(hits.collect::<Vec<_>>(), plain.collect::<Vec<_>>(), "{:?} in {:?}", text, &entries);
        }
    }
}
