//! Which texts repeat a benchmark that they must not be trained on.
//!
//! Input: the entries of benchmarks, once; any text. Output: per entry that the text overlaps, the longest run of words that both have.
//! Law: a text overlaps an entry when both have a run of [`Settings::run`] words (see [`crate::shingle`]) in common. An entry of fewer words
//! counts as one run, all of it; one of fewer than [`Settings::least`] words only where the text has no other words, since so few
//! words are common property. An entry without words overlaps nothing.
//! Hits depend on the text and the entries alone, so a changed text or benchmark is judged anew, without memory of the former.
//! Cost: per text, one hash and one binary search for each of its words and each length of run, of which there is one if no entry is short.
//! Memory: 16 bytes per word of the benchmarks, beside the ids of their entries; the runs are compared by 64-bit hashes,
//! and no text of a benchmark is kept.

use std::collections::BTreeSet;

use crate::id;
use crate::shingle::Words;

/// What counts as an overlap.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settings {
    /// The words of a run that must not be shared; at least 1.
    pub run: usize,
    /// An entry of fewer words than this must be the whole text.
    pub least: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { run: 13, least: 8 }
    }
}

/// One text of a benchmark.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// The name of the benchmark.
    pub benchmark: String,
    /// What names the entry in it: its id, or its line.
    pub id: String,
    /// What must not be repeated.
    pub text: String,
}

/// An overlap of a text with an entry.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hit<'a> {
    /// The name of the benchmark.
    pub benchmark: &'a str,
    /// The entry.
    pub id: &'a str,
    /// The first word of the overlap in the text, from 0.
    pub at: usize,
    /// How many words it has.
    pub length: usize,
    /// Its words.
    pub words: String,
}

/// The runs of all entries.
#[derive(Debug)]
pub struct Benchmarks {
    settings: Settings,
    /// The benchmark and the id of each entry.
    entries: Vec<(u32, String)>,
    names: Vec<String>,
    /// Sorted.
    runs: Vec<Run>,
    /// The lengths of the runs.
    lengths: BTreeSet<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Run {
    hash: u64,
    entry: u32,
    at: u32,
}

/// A run of words that a text and an entry share. Sorted, those that continue one another are neighbours.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Overlap {
    entry: u32,
    /// Where the text's words lie relative to the entry's.
    shift: i64,
    at: usize,
    length: usize,
}

impl Benchmarks {
    /// Gathers the runs of all entries.
    ///
    /// ```
    /// use synthllm_operators::decontaminate::{Benchmarks, Entry, Settings};
    /// let text = "A robe takes 2 bolts of blue fiber and half that much white fiber. How many bolts does it take?";
    /// let entry = Entry { benchmark: "gsm8k".to_owned(), id: "1".to_owned(), text: text.to_owned() };
    /// let benchmarks = Benchmarks::new(Settings::default(), [entry]);
    /// let hits = benchmarks.hits("Note: a robe takes 2 bolts of blue fiber, and half that much WHITE fiber!");
    /// assert_eq!((hits[0].id, hits[0].at, hits[0].length), ("1", 1, 14));
    /// assert!(benchmarks.hits("A robe takes 2 bolts of blue fiber and half that much.").is_empty());
    /// ```
    ///
    /// # Panics
    /// If a run has no words.
    pub fn new(settings: Settings, entries: impl IntoIterator<Item = Entry>) -> Self {
        assert!(settings.run > 0, "a run has words");
        let (entries_of, names, runs, lengths) = Default::default();
        let mut benchmarks = Benchmarks { settings, entries: entries_of, names, runs, lengths };
        for entry in entries {
            benchmarks.add(entry);
        }
        benchmarks.runs.sort_unstable();
        benchmarks
    }

    fn add(&mut self, Entry { benchmark, id, text }: Entry) {
        let name = self.names.iter().position(|name| *name == benchmark).unwrap_or_else(|| {
            self.names.push(benchmark);
            self.names.len() - 1
        });
        let (entry, words) = (self.entries.len() as u32, Words::of(&text));
        self.entries.push((name as u32, id));
        if !words.is_empty() {
            self.lengths.insert(words.len().min(self.settings.run));
        }
        let runs = words.runs(self.settings.run).map(id::words);
        self.runs.extend((0..).zip(runs).map(|(at, hash)| Run { hash, entry, at }));
    }

    /// The overlaps of a text, one per entry, in the order of the entries.
    pub fn hits(&self, text: &str) -> Vec<Hit<'_>> {
        let words = Words::of(text);
        let longest = longest_by_entry(&self.overlaps(&words));
        longest.into_iter().map(|overlap| self.hit(&words, overlap)).collect()
    }

    /// The runs that the text shares, sorted.
    fn overlaps(&self, words: &Words) -> Vec<Overlap> {
        let mut overlaps = Vec::new();
        for &length in self.lengths.iter().filter(|length| self.counts(**length, words)) {
            for (at, run) in words.runs(length).enumerate() {
                overlaps.extend(self.with_hash(id::words(run)).map(|run| {
                    let shift = at as i64 - i64::from(run.at);
                    Overlap { entry: run.entry, shift, at, length }
                }));
            }
        }
        overlaps.sort_unstable();
        overlaps
    }

    /// Whether runs of this length can be shared by a text of these words.
    fn counts(&self, length: usize, words: &Words) -> bool {
        let is_run = length == self.settings.run || length >= self.settings.least;
        length <= words.len() && (is_run || length == words.len())
    }

    fn with_hash(&self, hash: u64) -> impl Iterator<Item = &Run> {
        let first = self.runs.partition_point(|run| run.hash < hash);
        self.runs[first..].iter().take_while(move |run| run.hash == hash)
    }

    fn hit(&self, words: &Words, overlap: Overlap) -> Hit<'_> {
        let Overlap { entry, at, length, .. } = overlap;
        let (name, id) = &self.entries[entry as usize];
        Hit { benchmark: &self.names[*name as usize], id, at, length, words: words.run(at, length).to_owned() }
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

/// Joins runs that continue one another, and leaves the longest of each entry, the first of equals.
fn longest_by_entry(overlaps: &[Overlap]) -> Vec<Overlap> {
    let follows = |one: &Overlap, next: &Overlap| (one.entry, one.shift, one.at + 1) == (next.entry, next.shift, next.at);
    let joined = overlaps.chunk_by(follows).map(|chunk| Overlap { length: chunk[0].length + chunk.len() - 1, ..chunk[0] });
    let joined: Vec<Overlap> = joined.collect();
    let longest = |of_entry: &[Overlap]| {
        let rank = |overlap: &Overlap| (std::cmp::Reverse(overlap.length), overlap.at);
        of_entry.iter().copied().min_by_key(rank)
    };
    joined.chunk_by(|one, next| one.entry == next.entry).filter_map(longest).collect()
}
