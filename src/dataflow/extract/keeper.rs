//! What the one worker knows that all texts pass: the documents whose texts keep the limits, and which of equal or similar ones stands.
//!
//! Input: claims. Output: the verdict on each document that asks, and the documents that are owed another decision.
//! Law: see [`synthllm_operators::near::twins`]. A document is owed a decision whenever the verdict on it changes after it was
//! told, or is another than what the logs say at the start; it asks again when it is decided, so that the last verdict counts.

use std::cell::Cell;
use std::collections::HashMap;
use std::rc::Rc;

use serde::{Deserialize, Serialize};
use synthllm_operators::ask::Case;
use synthllm_operators::id::DocumentId;
use synthllm_operators::near::twins::{Text, Twins, Verdict};
use synthllm_operators::record::{ExtractionHead, Pointer, ScoredHead, place_of};
use synthllm_operators::screen::Reason;

use super::super::screen::Screen;

/// What goes to the worker that all texts pass.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Claim {
    /// At the start: what `extractions` (false) or `scores` (true) says of a document.
    Stored { document: DocumentId, key: Vec<u8>, in_scores: bool, said: Option<Said> },
    /// At the start: the text of a document, and whether it keeps the limits of now.
    Text { document: DocumentId, text: Option<Text>, passes: bool },
    /// All is loaded.
    Loaded,
    /// A document has come, or changed: what is the verdict?
    Put { document: DocumentId, case: Case, key: Vec<u8>, at: Pointer, text: Text },
    /// A stored document asks for its verdict.
    Ask { document: DocumentId, case: Case },
    /// A document has gone, or has no text any more that keeps the limits.
    Left(DocumentId),
    /// So many of those that were owed a decision have it, in the logs.
    Settled(u64),
}

/// What a record says of a document that stands, or is kept though it is rejected.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Said {
    at: Pointer,
    has_text: bool,
    /// Of a document that was screened.
    screened: Option<Screened>,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Screened {
    checks: u64,
    rejected: Option<Reason>,
    text: u128,
}

impl From<ExtractionHead> for Said {
    fn from(head: ExtractionHead) -> Self {
        Said { at: place_of(head.version), has_text: head.text.is_some(), screened: None }
    }
}

impl From<ScoredHead> for Said {
    fn from(scored: ScoredHead) -> Self {
        let ScoredHead { head, rejected, by, text_hash, .. } = scored;
        Said { screened: Some(Screened { checks: by.checks, rejected, text: text_hash }), ..Said::from(head) }
    }
}

/// What it answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Told {
    /// The verdict on a document that asks.
    Verdict { document: DocumentId, case: Case, verdict: Verdict },
    /// A stored document is to be decided again.
    Owed { shard: u32, key: Vec<u8>, lets_in: bool },
}

/// See the module.
pub(super) struct Keeper {
    twins: Twins,
    keys: HashMap<DocumentId, Box<[u8]>>,
    loading: HashMap<DocumentId, Loading>,
    /// A digest of the limits of now.
    checks: u64,
    /// How many were told to be owed a decision and are not settled.
    outstanding: Rc<Cell<u64>>,
}

/// What is found of a document at the start.
#[derive(Default)]
struct Loading {
    key: Vec<u8>,
    extracted: Option<Said>,
    scored: Option<Said>,
    /// With whether it keeps the limits of now.
    text: Option<(Text, bool)>,
}

impl Loading {
    fn said(&self) -> Option<Said> {
        self.scored.or(self.extracted)
    }

    /// Where it stands and what its text is, if it takes part.
    fn takes_part(&mut self, checks: u64) -> Option<(Pointer, Text)> {
        let said = self.said().filter(|said| said.has_text)?;
        let (text, passed) = match (self.text.take(), said.screened) {
            (Some((text, passes)), None) => (text, passes),
            (Some((text, passes)), Some(screened)) => (text, screened.passed(checks).unwrap_or(passes)),
            (None, Some(screened)) => {
                let text = Text { hash: screened.text, shingles: Box::default() };
                (text, screened.passed(checks).unwrap_or(false))
            }
            (None, None) => return None,
        };
        passed.then_some((said.at, text))
    }
}

impl Screened {
    /// Whether it keeps the limits of now, where these are those by which it was looked at.
    fn passed(self, checks: u64) -> Option<bool> {
        (self.checks == checks).then(|| !self.rejected.is_some_and(Reason::is_of_limits))
    }
}

impl Keeper {
    pub(super) fn new(screen: &Screen, outstanding: &Rc<Cell<u64>>) -> Self {
        Keeper {
            twins: Twins::new(screen.near()),
            keys: HashMap::new(),
            loading: HashMap::new(),
            checks: screen.by().checks,
            outstanding: Rc::clone(outstanding),
        }
    }

    /// Takes a claim, and tells what follows.
    pub(super) fn take(&mut self, claim: Claim, mut tell: impl FnMut(Told)) {
        match claim {
            Claim::Stored { document, key, in_scores, said } => {
                let loading = self.loading.entry(document).or_default();
                loading.key = key;
                *(if in_scores { &mut loading.scored } else { &mut loading.extracted }) = said;
            }
            Claim::Text { document, text, passes } => {
                self.loading.entry(document).or_default().text = text.map(|text| (text, passes));
            }
            Claim::Loaded => self.loaded(tell),
            Claim::Put { document, case, key, at, text } => {
                let changed = self.twins.put(document, at, text);
                self.keys.insert(document, key.into_boxed_slice());
                tell(self.verdict(document, case));
                self.owe(changed, tell);
            }
            Claim::Ask { document, case } => tell(self.verdict(document, case)),
            Claim::Left(document) => {
                let changed = self.twins.remove(document);
                self.keys.remove(&document);
                self.owe(changed, tell);
            }
            Claim::Settled(count) => self.outstanding.set(self.outstanding.get() - count),
        }
    }

    /// All documents that take part are put in, the first first. What the logs say otherwise is owed; what was looked at by other
    /// limits is screened again anyway.
    fn loaded(&mut self, tell: impl FnMut(Told)) {
        let mut stored = Vec::new();
        for (document, mut loading) in std::mem::take(&mut self.loading) {
            let Some((at, text)) = loading.takes_part(self.checks) else { continue };
            let screened = loading.said().and_then(|said| said.screened);
            let was = screened.filter(|screened| screened.checks == self.checks);
            self.keys.insert(document, loading.key.into_boxed_slice());
            stored.push(((at.offset, at.partition), document, was.map(|was| Verdict::of(was.rejected)), text));
        }
        stored.sort_unstable_by_key(|(place, ..)| *place);
        let mut stand = Vec::with_capacity(stored.len());
        for ((offset, partition), document, was, text) in stored {
            self.twins.put(document, Pointer { partition, offset }, text);
            stand.extend(was.map(|was| (document, was)));
        }
        let verdicts = stand.into_iter().filter_map(|(document, was)| Some((document, was, self.twins.verdict(document)?)));
        let owed = verdicts.filter(|(_, was, now)| was != now).map(|(document, _, now)| (document, now)).collect();
        self.owe(owed, tell);
    }

    /// One that is not in has no text that could be like another.
    fn verdict(&self, document: DocumentId, case: Case) -> Told {
        Told::Verdict { document, case, verdict: self.twins.verdict(document).unwrap_or(Verdict::Kept) }
    }

    fn owe(&self, changed: Vec<(DocumentId, Verdict)>, mut tell: impl FnMut(Told)) {
        for (document, verdict) in changed {
            let (Some(at), Some(key)) = (self.twins.at(document), self.keys.get(&document)) else { continue };
            self.outstanding.set(self.outstanding.get() + 1);
            tell(Told::Owed { shard: at.partition, key: key.to_vec(), lets_in: verdict == Verdict::Kept });
        }
    }
}
