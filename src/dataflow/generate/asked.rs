//! The calls that one combination gets, and what they have brought so far.

use std::collections::BTreeSet;

use synthllm_operators::answers::CombinedQuestion;
use synthllm_operators::id::{self, Id};

use super::super::inquiry::{Inquiry, Spent};
use super::Work;
use super::grounding::Grounding;

/// A combination while its questions are asked for.
pub(super) struct Asked {
    /// The combination.
    pub work: Work,
    /// The texts.
    pub grounding: Vec<Grounding>,
    /// The key concepts that questions may join.
    pub offered: Vec<String>,
    /// Which call on the combination is made, from 0.
    pub call: u32,
    /// The call.
    pub inquiry: Option<Inquiry>,
    /// What ended calls have brought.
    pub questions: Vec<CombinedQuestion>,
    /// So many of them came from the first call.
    pub of_first_call: usize,
    /// The costs of ended calls.
    pub spent: Spent,
}

impl Asked {
    /// Before its first call.
    pub fn new(work: Work) -> Self {
        let (grounding, offered, questions) = (Vec::new(), Vec::new(), Vec::new());
        Asked { work, grounding, offered, call: 0, inquiry: None, questions, of_first_call: 0, spent: Spent::default() }
    }

    /// Takes what the call has brought. Returns whether anything of it is new.
    pub fn take(&mut self, questions: Vec<CombinedQuestion>) -> bool {
        if self.call == 0 {
            self.of_first_call = questions.len();
        }
        let known: BTreeSet<Id> = self.questions.iter().map(|asked| id::question(&asked.question)).collect();
        let new = questions.iter().any(|question| !known.contains(&id::question(&question.question)));
        self.questions.extend(questions);
        new
    }

    /// The question of the first call that this call starts from, where it does: each in its turn.
    pub fn seed(&self) -> &str {
        let turn = (self.call as usize).saturating_sub(1) % self.of_first_call.max(1);
        self.questions.get(turn).map_or("", |asked| asked.question.as_str())
    }

    /// Ends a call, with what it has cost.
    pub fn end_call(&mut self) {
        if let Some(inquiry) = self.inquiry.take() {
            self.spent.plus(&inquiry.spent);
        }
    }

    /// Which time it is paid for on purpose: that of its document. A combination of two documents is never redone.
    pub fn redo(&self) -> u32 {
        if let [alone] = self.grounding.as_slice() { alone.extraction.redo } else { 0 }
    }
}
