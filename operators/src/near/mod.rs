//! Which of many texts are kept when of similar ones only the first may stay.
//!
//! Input: texts as sets of shingles, each with a key, inserted and removed in any order. Output: the changes of the kept texts.
//! Law: in the order of the keys, a text is kept if and only if no earlier kept one is similar to it. So the kept texts are a function of the texts
//! that are in, whatever the history; they are pairwise not similar, and every other text is similar to a kept
//! one before it. A removal releases what it held back, which may hold back others in turn. Two texts are similar when they share a key of
//! [`meeting`] and the exact Jaccard similarity of their shingles reaches the threshold: bands may
//! miss a pair, but never make one up.
//! Cost: an insertion looks at kept texts only, however many are held back; a removal decides anew what the removed text held back.
//! Memory: 8 bytes per shingle, about 150 bytes per text, and for a kept one about 12 bytes per key of [`meeting`].

pub mod claims;
pub mod collection;
pub mod meeting;
pub mod twins;

use std::collections::{BTreeMap, BTreeSet};

use self::meeting::Meeting;
use crate::shingle::jaccard;

/// When two texts are similar, and how such pairs are found.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Settings {
    /// The least Jaccard similarity of two texts of which one is too many, in `(0, 1]`.
    pub threshold: f64,
    /// The words of a shingle.
    pub shingle: usize,
    /// The bands of the `MinHash` signature; 0 finds every pair.
    pub bands: u32,
    /// The seed of the signature.
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { threshold: 0.8, shingle: 5, bands: 16, seed: 0 }
    }
}

/// What an insertion or a removal has changed; each key once, in order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Changes<K> {
    /// The texts that are kept now and were not before.
    pub kept: Vec<K>,
    /// The texts that are held back now and were not before.
    pub held: Vec<K>,
}

impl<K> Default for Changes<K> {
    fn default() -> Self {
        Changes { kept: Vec::new(), held: Vec::new() }
    }
}

/// The texts that are in, and which of them are kept.
///
/// With the order of arrival as the key, no insertion ever drives out a kept text.
///
/// ```
/// use synthllm_operators::near::{Changes, Near, Settings};
/// use synthllm_operators::shingle::shingles;
/// let mut near = Near::new(Settings::default());
/// let question = shingles("How many primes are there below one hundred?", 5);
/// near.insert(1, question.clone());
/// assert_eq!(near.insert(2, question), Changes { kept: vec![], held: vec![2] });
/// assert_eq!(near.held_by(2), Some(1));
/// assert_eq!(near.remove(1), Changes { kept: vec![2], held: vec![] });
/// ```
#[derive(Debug)]
pub struct Near<K> {
    threshold: f64,
    meeting: Meeting,
    /// The texts; the places of those taken out are used again.
    texts: Vec<Option<Text<K>>>,
    free: Vec<u32>,
    places: BTreeMap<K, u32>,
    /// The places of the kept texts, by each of their keys of `meeting`.
    postings: BTreeSet<(u32, u32)>,
    /// The texts held back, by the kept one that is named for it.
    held: BTreeMap<K, BTreeSet<K>>,
}

#[derive(Debug)]
struct Text<K> {
    key: K,
    shingles: Box<[u64]>,
    standing: Standing<K>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Standing<K> {
    /// Inserted, and not decided yet.
    New,
    /// Kept: filed under its keys.
    Kept,
    /// INVARIANT: held back by a text that is kept, earlier and similar (but while that is being decided anew).
    Held(K),
}

impl<K: Copy + Ord> Near<K> {
    /// No texts.
    ///
    /// # Panics
    /// If the threshold is not in `(0, 1]`.
    pub fn new(settings: Settings) -> Self {
        Near {
            threshold: settings.threshold,
            meeting: Meeting::new(&settings),
            texts: Vec::new(),
            free: Vec::new(),
            places: BTreeMap::new(),
            postings: BTreeSet::new(),
            held: BTreeMap::new(),
        }
    }

    /// Puts a text in.
    ///
    /// # Panics
    /// If a text with this key is in: remove it first.
    pub fn insert(&mut self, key: K, shingles: Box<[u64]>) -> Changes<K> {
        let text = Some(Text { key, shingles, standing: Standing::New });
        let place = if let Some(place) = self.free.pop() {
            self.texts[place as usize] = text;
            place
        } else {
            self.texts.push(text);
            (self.texts.len() - 1) as u32
        };
        let before = self.places.insert(key, place);
        assert!(before.is_none(), "a text is inserted once until it is removed");
        self.decide(BTreeSet::from([key]))
    }

    /// Takes a text out, if it is in.
    pub fn remove(&mut self, key: K) -> Changes<K> {
        let Some(place) = self.places.remove(&key) else { return Changes::default() };
        let Some(text) = self.texts[place as usize].take() else { return Changes::default() };
        self.free.push(place);
        match text.standing {
            Standing::Kept => {
                for meeting in self.meeting.keys(&text.shingles) {
                    self.postings.remove(&(meeting, place));
                }
                let released = self.held.remove(&key).unwrap_or_default();
                self.decide(released)
            }
            Standing::Held(by) => {
                self.forget_held(by, key);
                Changes::default()
            }
            Standing::New => Changes::default(),
        }
    }

    /// The shingles of a text, if it is in.
    pub fn shingles(&self, key: K) -> Option<&[u64]> {
        let place = self.places.get(&key)?;
        self.texts[*place as usize].as_ref().map(|text| &*text.shingles)
    }

    /// The kept texts that are similar to one, with their similarity, in the order of their keys.
    pub fn similar(&self, shingles: &[u64]) -> Vec<(K, f64)> {
        self.similar_under(&self.meeting.keys(shingles), shingles)
    }

    /// Whether a text is kept; none if it is not in.
    pub fn is_kept(&self, key: K) -> Option<bool> {
        self.standing(key).map(|standing| standing == Standing::Kept)
    }

    /// A kept text that holds this one back. If there are several, which of them is named depends on the history.
    pub fn held_by(&self, key: K) -> Option<K> {
        match self.standing(key)? {
            Standing::Held(by) => Some(by),
            Standing::Kept | Standing::New => None,
        }
    }

    /// The texts that are held back, each with the kept one that is named for it and their similarity, in the order of their keys.
    pub fn held(&self) -> Vec<(K, K, f64)> {
        let of = |key: K| self.places.get(&key).and_then(|place| self.texts[*place as usize].as_ref());
        let all = self.held.iter().flat_map(|(by, held)| held.iter().map(move |key| (*key, *by)));
        let alike = |(key, by): (K, K)| Some((key, by, jaccard(&of(key)?.shingles, &of(by)?.shingles)));
        let mut held: Vec<_> = all.filter_map(alike).collect();
        held.sort_unstable_by_key(|(key, _, _)| *key);
        held
    }

    /// How many texts are in.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Decides about these texts, and about all that follows from it. The first in order is decided first: its standing depends on
    /// earlier texts only, and touches only later ones. So each is decided once.
    fn decide(&mut self, mut undecided: BTreeSet<K>) -> Changes<K> {
        let mut changes = Changes::default();
        while let Some(key) = undecided.pop_first() {
            undecided.append(&mut self.decide_one(key, &mut changes));
        }
        changes
    }

    /// Decides about a text; returns the later texts that must be decided after it.
    fn decide_one(&mut self, key: K, changes: &mut Changes<K>) -> BTreeSet<K> {
        let place = self.places[&key];
        let Some(text) = &self.texts[place as usize] else { return BTreeSet::new() };
        let (before, keys) = (text.standing, self.meeting.keys(&text.shingles));
        let similar = self.similar_under(&keys, &text.shingles).into_iter().map(|(other, _)| other);
        let similar: BTreeSet<K> = similar.filter(|other| *other != key).collect();
        match (similar.first().copied().filter(|first| *first < key), before) {
            (None, Standing::Kept) => BTreeSet::new(),
            (None, Standing::New | Standing::Held(_)) => {
                self.postings.extend(keys.into_iter().map(|meeting| (meeting, place)));
                self.stand(place, Standing::Kept);
                changes.kept.push(key);
                similar
            }
            (Some(by), before) => {
                self.held.entry(by).or_default().insert(key);
                self.stand(place, Standing::Held(by));
                if !matches!(before, Standing::Held(_)) {
                    changes.held.push(key);
                }
                // One that was not kept is under no key, and holds nothing back.
                keys.into_iter().for_each(|meeting| _ = self.postings.remove(&(meeting, place)));
                self.held.remove(&key).unwrap_or_default()
            }
        }
    }

    fn similar_under(&self, keys: &[u32], shingles: &[u64]) -> Vec<(K, f64)> {
        let under = |key: &u32| self.postings.range((*key, 0)..=(*key, u32::MAX)).map(|(_, place)| *place);
        let mut candidates: Vec<u32> = keys.iter().flat_map(under).collect();
        candidates.sort_unstable();
        candidates.dedup();
        let texts = candidates.iter().filter_map(|place| self.texts[*place as usize].as_ref());
        let similar = texts.filter_map(|text| Some((text.key, similarity(&text.shingles, shingles, self.threshold)?)));
        let mut similar: Vec<(K, f64)> = similar.collect();
        similar.sort_unstable_by_key(|(key, _)| *key);
        similar
    }

    fn standing(&self, key: K) -> Option<Standing<K>> {
        let place = self.places.get(&key)?;
        self.texts[*place as usize].as_ref().map(|text| text.standing)
    }

    fn stand(&mut self, place: u32, standing: Standing<K>) {
        if let Some(text) = &mut self.texts[place as usize] {
            text.standing = standing;
        }
    }

    fn forget_held(&mut self, by: K, key: K) {
        if let Some(held) = self.held.get_mut(&by) {
            held.remove(&key);
            if held.is_empty() {
                self.held.remove(&by);
            }
        }
    }
}

/// The similarity of two texts, if it reaches the threshold.
pub fn similarity(one: &[u64], other: &[u64], threshold: f64) -> Option<f64> {
    let (fewer, more) = (one.len().min(other.len()), one.len().max(other.len()));
    // Sets of very different sizes have little in common, however they overlap.
    let possible = more > 0 && fewer as f64 / more as f64 >= threshold;
    possible.then(|| jaccard(one, other)).filter(|similarity| *similarity >= threshold)
}
