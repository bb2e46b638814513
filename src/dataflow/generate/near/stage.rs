//! The stage itself: a question goes on, waits until a similar one has its outcome, or is dropped.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use synthllm_operators::ask::{Case, Stage, Turn};
use synthllm_operators::id::Id;
use synthllm_operators::near::claims::Claim;
use synthllm_operators::shingle::shingles;

use super::super::Candidate;
use super::super::questions::Posted;
use super::{Known, Note, near_duplicate};

/// The stage. The case of a question that goes on is open until its own outcome is known.
pub(in super::super) struct Questions {
    known: Rc<RefCell<Known>>,
    /// The words of a shingle.
    length: usize,
    open: HashMap<Case, Open>,
}

enum Open {
    Waits(Candidate),
    Asked(Id),
}

type Output<'t> = &'t mut Turn<(), Posted>;

impl Stage for Questions {
    type Item = Candidate;
    type Note = Note;
    type Call = ();
    type Reply = bool;
    type Output = Posted;

    fn open(&mut self, case: Case, candidate: Candidate, turn: Output<'_>) {
        let shingles = shingles(&candidate.sample.question, self.length);
        let claim = self.known.borrow_mut().claims.claim(candidate.question, shingles, case);
        match claim {
            Claim::Go => self.let_go(case, candidate, turn),
            Claim::Waits => _ = self.open.insert(case, Open::Waits(candidate)),
            Claim::NearDuplicate { of, similarity } => self.drop_one(case, candidate, (of, similarity), turn),
        }
    }

    fn reply(&mut self, case: Case, sampled: bool, turn: Output<'_>) {
        let Some(Open::Asked(question)) = self.open.remove(&case) else { return };
        turn.close(case);
        let follows = self.known.borrow_mut().claims.outcome(question, sampled);
        for case in follows.go {
            if let Some(Open::Waits(candidate)) = self.open.remove(&case) {
                self.let_go(case, candidate, turn);
            }
        }
        for (case, of, similarity) in follows.dropped {
            if let Some(Open::Waits(candidate)) = self.open.remove(&case) {
                self.drop_one(case, candidate, (of, similarity), turn);
            }
        }
    }

    fn note(&mut self, note: Note) {
        let Known { claims, resting, .. } = &mut *self.known.borrow_mut();
        match note {
            Note::Sampled { question, shingles } => claims.committed(question, shingles),
            Note::Released { question } => claims.released(question),
            Note::Dropped { of, dropped } => claims.dropped(of, dropped),
            Note::Rest => *resting += 1,
        }
    }
}

impl Questions {
    pub(super) fn new(known: Rc<RefCell<Known>>, length: usize) -> Self {
        Questions { known, length, open: HashMap::new() }
    }

    fn let_go(&mut self, case: Case, mut candidate: Candidate, turn: Output<'_>) {
        self.open.insert(case, Open::Asked(candidate.question));
        candidate.claim = Some(case);
        turn.give(case, Posted::Candidate(Box::new(candidate)));
    }

    fn drop_one(&mut self, case: Case, candidate: Candidate, (of, similarity): (Id, f64), turn: Output<'_>) {
        self.known.borrow_mut().claims.dropped(of, (candidate.sample_id, candidate.origin.shard));
        turn.give(case, Posted::Made(candidate.rejected(near_duplicate(of, similarity))));
        turn.close(case);
    }
}
