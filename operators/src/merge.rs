//! Which names of concepts are one, by the similarity of their embeddings.
//!
//! Input: names with embeddings that come and go, and the threshold. Output: the changes of the map of aliases, as `(alias, name, diff)`: what a name
//! stood for is retracted, what it stands for is inserted.
//! Law: after any history the map is a function of the names that are in and of the threshold. In the order of their length in characters, then of
//! their text, each name becomes an alias of the most similar name before it that is no alias, if their cosine is at least the threshold, else it stands for
//! itself; of equally similar ones the first counts. So what a name stands for is no alias, and names that are no aliases are pairwise below the threshold.
//! Cost: n names at once take n²/2 dot products, as does another threshold; they are computed in blocks that stay in the cache. A name that comes
//! or goes takes n dot products, and so does each name that has to decide again: those near a name that became an alias or ceased to be one.
//! Memory: the embeddings, as 32-bit numbers.

mod unit;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::Arc;

use unit::Unit;
pub use unit::{Cosine, cosine};

/// For so many names at once the cosines are computed: their vectors stay in the cache while all others pass.
const BLOCK: usize = 32;

/// The place of a name in the order: fewer characters first, then by the text. It depends on the name alone, for what depended on how frequent
/// names are would change with every document. The shorter of two spellings is mostly the singular, or the one without an addition.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Key {
    characters: usize,
    text: Arc<str>,
}

impl Key {
    fn of(name: &str) -> Self {
        Key { characters: name.chars().count(), text: name.into() }
    }
}

/// What a name stands for.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Stands {
    /// It has just come.
    Undecided,
    ForItself,
    For(Key, Cosine),
}

struct Name {
    vector: Unit,
    stands: Stands,
    /// Whether it has to decide again.
    open: bool,
}

/// What changes.
#[derive(Clone, PartialEq, Debug)]
pub enum Change {
    /// A name comes, or has another embedding. All embeddings that are in have the same length.
    Insert(String, Vec<f32>),
    /// A name goes, if it was there.
    Remove(String),
    /// Another threshold.
    Threshold(Cosine),
}

/// An alias with what it stands for, which is retracted (-1) or inserted (1).
pub type Update = (String, String, isize);

/// The names with what they stand for.
///
/// ```
/// use synthllm_operators::merge::{Change, Cosine, Merges};
/// let mut merges = Merges::new(Cosine::of(0.9));
/// let insert = |name: &str, x: f32, y: f32| Change::Insert(name.into(), vec![x, y]);
/// let updates = merges.apply([insert("matrices", 1.0, 0.1), insert("matrix", 1.0, 0.0), insert("group", 0.0, 1.0)]);
/// assert_eq!(updates, [("matrices".into(), "matrix".into(), 1)]);
/// // The shorter name goes, and so nothing is left that the other could stand for.
/// assert_eq!(merges.apply([Change::Remove("matrix".into())]), [("matrices".into(), "matrix".into(), -1)]);
/// ```
pub struct Merges {
    threshold: Cosine,
    names: BTreeMap<Key, Name>,
}

/// The names near a name: all before it, and of those behind it the ones that were not open.
type Row = Vec<(Key, Cosine)>;

impl Merges {
    /// No names.
    pub fn new(threshold: Cosine) -> Self {
        Merges { threshold, names: BTreeMap::new() }
    }

    /// The aliases with what they stand for and how similar that is.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str, Cosine)> {
        self.names.iter().filter_map(|(key, name)| match &name.stands {
            Stands::For(other, cosine) => Some((&*key.text, &*other.text, *cosine)),
            Stands::ForItself | Stands::Undecided => None,
        })
    }

    /// Takes changes, the later ones after the earlier ones, and returns what became of the map: sorted by alias, retractions first.
    ///
    /// # Panics
    ///
    /// When an embedding has another length than those that are in.
    pub fn apply(&mut self, changes: impl IntoIterator<Item = Change>) -> Vec<Update> {
        let mut moved = Moved::default();
        let mut gone = BTreeSet::new();
        for change in changes {
            match change {
                Change::Insert(name, vector) => self.insert(Key::of(&name), Unit::of(&vector), &mut gone, &mut moved),
                Change::Remove(name) => self.take(&Key::of(&name), &mut gone, &mut moved),
                Change::Threshold(threshold) if threshold == self.threshold => {}
                Change::Threshold(threshold) => {
                    self.threshold = threshold;
                    self.names.values_mut().for_each(|name| name.open = true);
                }
            }
        }
        for name in self.names.values_mut() {
            name.open |= matches!(&name.stands, Stands::For(other, _) if gone.contains(other));
        }
        self.decide_all(&mut moved);
        moved.updates()
    }

    fn insert(&mut self, key: Key, vector: Unit, gone: &mut BTreeSet<Key>, moved: &mut Moved) {
        if self.names.get(&key).is_some_and(|name| name.vector == vector) {
            return;
        }
        self.take(&key, gone, moved);
        let dimensions = self.names.first_key_value().map_or(vector.dimensions(), |(_, name)| name.vector.dimensions());
        assert_eq!(vector.dimensions(), dimensions, "embeddings must have the same length");
        self.names.insert(key, Name { vector, stands: Stands::Undecided, open: true });
    }

    fn take(&mut self, key: &Key, gone: &mut BTreeSet<Key>, moved: &mut Moved) {
        if let Some(name) = self.names.remove(key) {
            moved.add(key, &name.stands, -1);
            gone.insert(key.clone());
        }
    }

    /// Lets all open names decide, in order: what a name decides depends on names before it alone, and opens names behind it alone.
    fn decide_all(&mut self, moved: &mut Moved) {
        let mut rows = BTreeMap::new();
        let mut next = self.first_open(None);
        while let Some(key) = next {
            if !rows.contains_key(&key) {
                self.add_rows(&key, &mut rows);
            }
            let row = rows.remove(&key).unwrap_or_default();
            self.decide(&key, &row, moved);
            next = self.first_open(Some(&key));
        }
    }

    fn first_open(&self, behind: Option<&Key>) -> Option<Key> {
        let names = self.names.range((behind.map_or(Unbounded, Excluded), Unbounded));
        names.into_iter().find(|(_, name)| name.open).map(|(key, _)| key.clone())
    }

    fn decide(&mut self, key: &Key, row: &Row, moved: &mut Moved) {
        let stands_for_itself = |other: &Key| self.names.get(other).is_some_and(|name| name.stands == Stands::ForItself);
        let mut best: Option<&(Key, Cosine)> = None;
        for near in row.iter().filter(|(other, _)| other < key && stands_for_itself(other)) {
            best = best.filter(|best| best.1 >= near.1).or(Some(near));
        }
        let now = best.map_or(Stands::ForItself, |(other, cosine)| Stands::For(other.clone(), *cosine));
        let Some(name) = self.names.get_mut(key) else { return };
        name.open = false;
        let before = std::mem::replace(&mut name.stands, now.clone());
        moved.add(key, &before, -1);
        moved.add(key, &now, 1);
        if (before == Stands::ForItself) != (now == Stands::ForItself) {
            for (other, _) in row.iter().filter(|(other, _)| other > key) {
                self.names.entry(other.clone()).and_modify(|name| name.open = true);
            }
        }
    }

    /// Adds the rows of the first open names from `key` on that have none. An open name behind another one needs none of its row: it decides
    /// later in any case.
    fn add_rows(&self, key: &Key, rows: &mut BTreeMap<Key, Row>) {
        let open = self.names.range(key..).filter(|(key, name)| name.open && !rows.contains_key(*key));
        let (keys, vectors): (Vec<&Key>, Vec<&Unit>) = open.take(BLOCK).map(|(key, name)| (key, &name.vector)).unzip();
        let Some(last) = keys.last() else { return };
        let mut found: Vec<Row> = keys.iter().map(|_| Row::new()).collect();
        for (other, name) in self.names.iter().filter(|(other, name)| other <= last || !name.open) {
            for ((row, key), cosine) in found.iter_mut().zip(&keys).zip(name.vector.cosines(&vectors)) {
                if cosine >= self.threshold && *key != other {
                    row.push((other.clone(), cosine));
                }
            }
        }
        rows.extend(keys.into_iter().cloned().zip(found));
    }
}

/// What has changed so far.
#[derive(Default)]
struct Moved(BTreeMap<(Arc<str>, Arc<str>), isize>);

impl Moved {
    fn add(&mut self, key: &Key, stands: &Stands, diff: isize) {
        if let Stands::For(other, _) = stands {
            *self.0.entry((key.text.clone(), other.text.clone())).or_default() += diff;
        }
    }

    fn updates(self) -> Vec<Update> {
        let changed = self.0.into_iter().filter(|(_, diff)| *diff != 0);
        let mut updates: Vec<Update> =
            changed.map(|((alias, name), diff)| (alias.to_string(), name.to_string(), diff)).collect();
        updates.sort_by(|one, other| (&one.0, one.2).cmp(&(&other.0, other.2)));
        updates
    }
}
