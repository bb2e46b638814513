//! Documents with equal or similar texts: what a document asks of the worker that all texts pass, and tells it; and stored documents
//! that are decided again by its word, with their last record in `scores`.

use std::collections::HashMap;

use synthllm_log::LogName;
use synthllm_operators::ask::Case;
use synthllm_operators::id::DocumentId;
use synthllm_operators::near::twins::{Text as TextOf, Verdict};
use synthllm_operators::record::{Scored, place_of};
use synthllm_operators::shingle::shingles;

use super::super::decision::{Decision, Posted};
use super::super::errands::{Errand, Wanted};
use super::super::keeper::Claim;
use super::super::work::{About, Text, Work};
use super::{LastScore, Out, Revise};

/// The stored documents whose record is awaited.
#[derive(Default)]
pub(super) struct Recalls {
    cases: HashMap<Case, Recall>,
    /// Those whose record is on its way to the log.
    unplaced: HashMap<DocumentId, Case>,
}

struct Recall {
    about: About,
    /// Whether the document is to be let in, where nothing else speaks against it.
    lets_in: bool,
}

impl Recalls {
    pub(super) fn waits(&self, case: Case) -> bool {
        self.cases.contains_key(&case)
    }

    /// A document's last record lies in the log: the case that waits for it.
    pub(super) fn placed(&mut self, id: DocumentId) -> Option<Case> {
        self.unplaced.remove(&id)
    }
}

impl Revise {
    /// It is the turn of a stored document that is owed a decision.
    pub(super) fn recall(&mut self, case: Case, about: About, lets_in: bool, turn: Out<'_>) {
        match self.scored.get(&about.id) {
            None => return self.finish(case, about, Decision::Skipped, turn),
            Some(LastScore::At(place, _)) => {
                let (place, key) = (*place, about.key.clone());
                turn.ask(case, Errand::Read(Wanted { log: LogName::Scores, place, key }));
            }
            Some(LastScore::Written(..)) => _ = self.recalls.unplaced.insert(about.id, case),
        }
        self.recalls.cases.insert(case, Recall { about, lets_in });
    }

    /// Its last record lies in the log now.
    pub(super) fn placed(&mut self, case: Case, turn: Out<'_>) {
        if let Some(Recall { about, lets_in }) = self.recalls.cases.remove(&case) {
            self.recall(case, about, lets_in, turn);
        }
    }

    /// Its last record has been read.
    pub(super) fn recalled(&mut self, case: Case, scored: Option<Box<Scored>>, turn: Out<'_>) {
        let Some(Recall { mut about, lets_in }) = self.recalls.cases.remove(&case) else { return };
        let lives_here = |scored: &Scored| scored.head.version.partition == about.origin.shard;
        let Some(scored) = scored.map(|scored| *scored).filter(lives_here) else {
            return self.finish(case, about, Decision::Skipped, turn);
        };
        about.stored = Some(place_of(scored.head.version).offset);
        let mut work = Work::again(about, scored, &self.screen);
        work.only_out = !lets_in;
        self.advance(case, work, turn);
    }

    /// Asks for the verdict on a document: one that has come claims its place with its text, one that is stored has it.
    pub(super) fn compare(&mut self, case: Case, work: Work, turn: Out<'_>) {
        let document = work.about.id;
        let claim = match &work.text {
            Text::Here(Some(text)) if !work.about.is_stored() => {
                let shingles = self.screen.near().map(|near| shingles(text, near.shingle)).unwrap_or_default();
                let text = TextOf { hash: work.text_hash, shingles };
                Claim::Put { document, case, key: work.about.key.clone(), at: place_of(work.known.version), text }
            }
            _ => Claim::Ask { document, case },
        };
        turn.give(case, Posted::Claim(claim));
        self.under_way.insert(case, work);
    }

    /// The verdict is there.
    pub(super) fn compared(&mut self, case: Case, mut work: Work, verdict: Verdict, turn: Out<'_>) {
        work.verdict = Some(verdict);
        self.advance(case, work, turn);
    }

    /// A document has no text any more that keeps the limits, or is gone.
    pub(super) fn leave(&self, case: Case, document: DocumentId, turn: Out<'_>) {
        if !self.screen.is_off() {
            turn.give(case, Posted::Claim(Claim::Left(document)));
        }
    }
}
