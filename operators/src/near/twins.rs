//! Which documents may stand when of equal or similar texts only the first may.
//!
//! Input: documents with their places in the log and their texts, put in, changed and removed in any order. Output: the verdict on
//! each, and with every step the other documents on which it has changed.
//! Law: in the order of places (offset, then partition) a document is kept if and only if no earlier kept one has an equal or a
//! similar text (see [`super`]). Any other is a duplicate where an earlier document has an equal text, else a near-duplicate. So all
//! verdicts are a function of the documents that are in, whatever the history.
//! Cost: O(log documents) where only equal texts are looked for; else as in [`super`], for each different text.
//! Memory: about 200 bytes a document; where similar texts are looked for, also what [`super`] takes for each different text.

use std::collections::{BTreeSet, HashMap};

use serde::{Deserialize, Serialize};

use super::{Changes, Near, Settings};
use crate::id::DocumentId;
use crate::record::Pointer;
use crate::screen::Reason;

/// What is needed of a text.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Text {
    /// Equal texts, and no others, have the same.
    pub hash: u128,
    /// Its shingles, where similar texts are looked for. Equal texts have the same.
    pub shingles: Box<[u64]>,
}

/// What becomes of a document.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Verdict {
    /// It may stand.
    Kept,
    /// An earlier one has the same text.
    Duplicate,
    /// An earlier one that is kept has a similar text.
    NearDuplicate,
}

impl Verdict {
    /// Why the document is not let in, if it is not.
    pub fn reason(self) -> Option<Reason> {
        match self {
            Verdict::Kept => None,
            Verdict::Duplicate => Some(Reason::Duplicate),
            Verdict::NearDuplicate => Some(Reason::NearDuplicate),
        }
    }

    /// The verdict by which a document was let in, or rejected for this reason.
    pub fn of(rejected: Option<Reason>) -> Self {
        match rejected {
            Some(Reason::Duplicate) => Verdict::Duplicate,
            Some(Reason::NearDuplicate) => Verdict::NearDuplicate,
            _ => Verdict::Kept,
        }
    }
}

/// The documents that are in.
///
/// ```
/// use synthllm_operators::id::DocumentId;
/// use synthllm_operators::near::twins::{Text, Twins, Verdict};
/// use synthllm_operators::record::Pointer;
/// let mut twins = Twins::new(None);
/// let text = || Text { hash: 7, shingles: Box::default() };
/// let at = |offset| Pointer { partition: 0, offset };
/// let [one, other] = [DocumentId(1), DocumentId(2)];
/// assert_eq!(twins.put(one, at(5), text()), []);
/// assert_eq!(twins.put(other, at(9), text()), []);
/// assert_eq!(twins.verdict(other), Some(Verdict::Duplicate));
/// assert_eq!(twins.remove(one), [(other, Verdict::Kept)]);
/// assert_eq!(twins.put(one, at(3), text()), [(other, Verdict::Duplicate)], "it comes late, but stands before");
/// ```
#[derive(Debug)]
pub struct Twins {
    /// The first document of each text, where similar texts are looked for.
    near: Option<Near<Place>>,
    members: HashMap<DocumentId, Member>,
    /// The first document of each text.
    firsts: HashMap<u128, DocumentId>,
    /// The others of a text that several have.
    others: HashMap<u128, BTreeSet<Place>>,
}

#[derive(Clone, Copy, Debug)]
struct Member {
    at: Pointer,
    text: u128,
    verdict: Verdict,
}

/// A document where it stands in the order of all.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Place {
    offset: u64,
    partition: u32,
    document: DocumentId,
}

impl Place {
    fn of(document: DocumentId, at: Pointer) -> Self {
        Place { offset: at.offset, partition: at.partition, document }
    }
}

impl Twins {
    /// No documents. Without settings only equal texts are looked for.
    ///
    /// # Panics
    /// If the threshold is not in `(0, 1]`.
    pub fn new(settings: Option<Settings>) -> Self {
        let near = settings.map(Near::new);
        Twins { near, members: HashMap::new(), firsts: HashMap::new(), others: HashMap::new() }
    }

    /// Puts a document in, or in its stead what it is now. Returns the others on which the verdict is another now.
    pub fn put(&mut self, document: DocumentId, at: Pointer, text: Text) -> Vec<(DocumentId, Verdict)> {
        let is_same = |member: &Member| member.at == at && member.text == text.hash;
        if self.members.get(&document).is_some_and(is_same) {
            return Vec::new();
        }
        let mut touched = self.take_out(document);
        self.members.insert(document, Member { at, text: text.hash, verdict: Verdict::Kept });
        touched.append(&mut self.put_in(Place::of(document, at), text));
        self.judge(document);
        touched.remove(&document);
        self.changed(touched)
    }

    /// Takes a document out, if it is in. Returns the others on which the verdict is another now.
    pub fn remove(&mut self, document: DocumentId) -> Vec<(DocumentId, Verdict)> {
        let touched = self.take_out(document);
        self.changed(touched)
    }

    /// The verdict on a document that is in.
    pub fn verdict(&self, document: DocumentId) -> Option<Verdict> {
        self.members.get(&document).map(|member| member.verdict)
    }

    /// Where a document that is in stands in the log.
    pub fn at(&self, document: DocumentId) -> Option<Pointer> {
        self.members.get(&document).map(|member| member.at)
    }

    /// The documents that are in, in no order.
    pub fn verdicts(&self) -> impl Iterator<Item = (DocumentId, Verdict)> {
        self.members.iter().map(|(document, member)| (*document, member.verdict))
    }

    /// Returns those on which the verdict may be another now.
    fn put_in(&mut self, place: Place, text: Text) -> BTreeSet<DocumentId> {
        let first = self.firsts.get(&text.hash).and_then(|first| Some(Place::of(*first, self.members.get(first)?.at)));
        let mut touched = BTreeSet::new();
        if let Some(first) = first {
            let later = first.max(place);
            self.others.entry(text.hash).or_default().insert(later);
            if later == place {
                return touched;
            }
            touched.insert(first.document);
            self.near.iter_mut().for_each(|near| touch(&mut touched, near.remove(first)));
        }
        self.firsts.insert(text.hash, place.document);
        if let Some(near) = &mut self.near {
            touch(&mut touched, near.insert(place, text.shingles));
        }
        touched
    }

    /// Returns those on which the verdict may be another now.
    fn take_out(&mut self, document: DocumentId) -> BTreeSet<DocumentId> {
        let mut touched = BTreeSet::new();
        let Some(Member { at, text, .. }) = self.members.remove(&document) else { return touched };
        let place = Place::of(document, at);
        if self.firsts.get(&text) != Some(&document) {
            self.change_others(text, |others| others.remove(&place));
            return touched;
        }
        let next = self.change_others(text, BTreeSet::pop_first).flatten();
        match next {
            Some(next) => self.firsts.insert(text, next.document),
            None => self.firsts.remove(&text),
        };
        touched.extend(next.map(|next| next.document));
        if let Some(near) = &mut self.near {
            let shingles = next.and_then(|_| near.shingles(place)).map(Box::from);
            touch(&mut touched, near.remove(place));
            if let (Some(next), Some(shingles)) = (next, shingles) {
                touch(&mut touched, near.insert(next, shingles));
            }
        }
        touched
    }

    /// Changes the others of a text, where there are any.
    fn change_others<R>(&mut self, text: u128, change: impl FnOnce(&mut BTreeSet<Place>) -> R) -> Option<R> {
        let others = self.others.get_mut(&text)?;
        let changed = change(others);
        if others.is_empty() {
            self.others.remove(&text);
        }
        Some(changed)
    }

    /// Those of which the verdict is another than before.
    fn changed(&mut self, touched: BTreeSet<DocumentId>) -> Vec<(DocumentId, Verdict)> {
        touched.into_iter().filter_map(|document| Some((document, self.judge(document)?))).collect()
    }

    /// The verdict on a document that is in, if it is another than before.
    fn judge(&mut self, document: DocumentId) -> Option<Verdict> {
        let member = self.members.get_mut(&document)?;
        let is_kept = |near: &Near<Place>| near.is_kept(Place::of(document, member.at)) != Some(false);
        let verdict = match self.firsts.get(&member.text) {
            Some(first) if *first != document => Verdict::Duplicate,
            _ if self.near.as_ref().is_none_or(is_kept) => Verdict::Kept,
            _ => Verdict::NearDuplicate,
        };
        let before = std::mem::replace(&mut member.verdict, verdict);
        (verdict != before).then_some(verdict)
    }
}

fn touch(touched: &mut BTreeSet<DocumentId>, Changes { kept, held }: Changes<Place>) {
    touched.extend(kept.into_iter().chain(held).map(|place| place.document));
}
