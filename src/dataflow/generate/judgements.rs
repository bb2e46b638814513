//! Asks the model whether an answer is correct, where that is wanted. What it calls wrong is held back, with its answer and the reason.
//!
//! Input: answered questions. Output: those that pass, with the score `judge` = 1; the others, with 0, for `held`. Law: each answer is judged
//! once; a score that was given stays, also when the question was held back and comes again. An answer that could not be judged is
//! held back without a score, and judged when the filters have changed; so is a sample that was there before the judge. Cost: a call per answer.

use std::collections::HashMap;
use std::sync::Arc;

use synthllm_llm::{CallError, Prompt, Prompts, Schema, Task, TaskSettings};
use synthllm_operators::ask::{Case, Stage, Turn};
use synthllm_operators::judgement::{self, judgement};
use synthllm_operators::record::Answer;

use super::super::Context;
use super::super::inquiry::{Call, Inquiry, Replied, Step};
use super::super::shard::{Made, What};
use super::Candidate;
use super::filters::{Reason, Rejection};
use super::questions::Posted;

/// The name of the score.
pub(super) const SCORE: &str = "judge";

/// Whether an answer with this score was called wrong.
pub(super) fn is_wrong(score: f64) -> bool {
    score < 0.5
}

/// The stage.
pub(super) struct Judgements {
    open: HashMap<Case, (Candidate, Inquiry)>,
    prompts: Arc<Prompts>,
    settings: Arc<TaskSettings>,
    schema: Schema,
    attempts: u32,
}

type Output<'t> = &'t mut Turn<Call, Posted>;

impl Stage for Judgements {
    type Item = Candidate;
    type Note = ();
    type Call = Call;
    type Reply = Replied;
    type Output = Posted;

    fn open(&mut self, case: Case, candidate: Candidate, turn: Output<'_>) {
        let Some(answer) = candidate.sample.answer.as_deref().filter(|_| !candidate.sample.scores.contains_key(SCORE))
        else {
            return conclude(case, candidate, "it was judged before", turn);
        };
        let request = self.prompts.judge(&candidate.sample.question, answer, self.schema.clone());
        let hits = candidate.hits.iter().filter(|hit| hit.key.task == Task::Judge.name()).cloned().collect();
        let (subject, settings) = (&candidate.sample.provenance.combination, Arc::clone(&self.settings));
        let inquiry = Inquiry::new(candidate.origin, subject, request, settings, self.attempts, hits);
        let inquiry = inquiry.of_candidate(candidate.ordinal, 0).of_redo(candidate.redo);
        self.ask(case, candidate, inquiry, turn);
    }

    fn reply(&mut self, case: Case, reply: Replied, turn: Output<'_>) {
        let Some((candidate, inquiry)) = self.open.remove(&case) else { return };
        match reply.outcome {
            Ok(answer) => {
                let what = What::Answered(reply.key, answer.clone());
                turn.give(case, Posted::Made(Made { origin: candidate.origin, what }));
                self.answered(case, candidate, inquiry, &answer, turn);
            }
            Err(CallError::Cancelled) => _ = self.open.insert(case, (candidate, inquiry)),
            Err(error) => not_judged(case, candidate, &inquiry, &error.to_string(), turn),
        }
    }

    fn note(&mut self, (): ()) {}
}

impl Judgements {
    pub fn new(context: &Context) -> Self {
        Judgements {
            open: HashMap::new(),
            prompts: Arc::clone(&context.generate_prompts),
            settings: context.settings(Task::Judge),
            schema: Schema::new("judge", judgement::schema()),
            attempts: 1 + context.config.llm.judge.repairs,
        }
    }

    fn ask(&mut self, case: Case, candidate: Candidate, inquiry: Inquiry, turn: Output<'_>) {
        match inquiry.step() {
            Step::Known(answer) => self.answered(case, candidate, inquiry, &answer, turn),
            Step::Ask(call) => {
                turn.ask(case, call);
                self.open.insert(case, (candidate, inquiry));
            }
        }
    }

    fn answered(&mut self, case: Case, mut candidate: Candidate, mut inquiry: Inquiry, answer: &Answer, turn: Output<'_>) {
        inquiry.spent.add(answer);
        let read = if answer.truncated {
            Err("the answer was cut off at the limit of tokens; give a shorter reason".to_owned())
        } else {
            judgement(&answer.text).map_err(|problem| problem.to_string())
        };
        match read {
            Ok(judgement) => {
                candidate.account(Task::Judge, &inquiry.spent);
                let sample = &mut candidate.sample;
                sample.scores.insert(SCORE.to_owned(), if judgement.correct { 1.0 } else { 0.0 });
                let version = self.prompts.version(Prompt::Judge).to_owned();
                sample.provenance.prompts.insert(Task::Judge.name().to_owned(), version);
                conclude(case, candidate, &judgement.reason, turn);
            }
            Err(problem) => {
                if inquiry.repair(&self.prompts, &answer.text, &problem) {
                    self.ask(case, candidate, inquiry, turn);
                } else {
                    not_judged(case, candidate, &inquiry, &problem, turn);
                }
            }
        }
    }
}

/// A question without an answer passes.
fn conclude(case: Case, candidate: Candidate, reason: &str, turn: Output<'_>) {
    let posted = if candidate.sample.scores.get(SCORE).is_some_and(|score| is_wrong(*score)) {
        let details = format!("its answer is called wrong: {reason}");
        Posted::Made(candidate.rejected(Rejection { reason: Reason::Judge, details }))
    } else {
        Posted::Candidate(Box::new(candidate))
    };
    turn.give(case, posted);
    turn.close(case);
}

fn not_judged(case: Case, mut candidate: Candidate, inquiry: &Inquiry, problem: &str, turn: Output<'_>) {
    candidate.account(Task::Judge, &inquiry.spent);
    let rejection = Rejection { reason: Reason::Judge, details: format!("its answer could not be judged: {problem}") };
    turn.give(case, Posted::Made(candidate.rejected(rejection)));
    turn.close(case);
}
