//! Asks for the answers: one holder per question, on the worker that the question's hash names.

use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use synthllm_llm::{CallError, Prompt, Prompts, Task, TaskSettings};
use synthllm_operators::ask::{Case, Stage, Turn};
use synthllm_operators::final_answer::majority;
use synthllm_operators::holders::{Claim, Holders};
use synthllm_operators::id::Id;
use synthllm_operators::record::Answer;

use super::super::Context;
use super::super::dead_letter::Burial;
use super::super::inquiry::{Call, Inquiry, Replied, Step};
use super::super::shard::{Made, What};
use super::near::Ended;
use super::questions::Posted;
use super::{Candidate, Decision};

/// A committed sample holds its question, or holds it no more.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Holding {
    pub question: Id,
    pub sample: Id,
    pub holds: bool,
}

/// The stage.
pub(super) struct Answers {
    holders: Holders,
    open: HashMap<Case, Asked>,
    prompts: Arc<Prompts>,
    settings: Arc<TaskSettings>,
    attempts: u32,
    candidates: u32,
}

struct Asked {
    candidate: Candidate,
    inquiries: Vec<Inquiry>,
    answers: Vec<Option<Result<String, Failure>>>,
}

/// Why there is no answer, and the raw one, if the model gave one.
struct Failure {
    reason: String,
    answer: Option<String>,
}

type Output<'t> = &'t mut Turn<Call, Posted>;

impl Stage for Answers {
    type Item = Candidate;
    type Note = Holding;
    type Call = Call;
    type Reply = Replied;
    type Output = Posted;

    fn open(&mut self, case: Case, candidate: Candidate, turn: Output<'_>) {
        let claim = self.holders.claim(candidate.question, case);
        self.open.insert(case, Asked { candidate, inquiries: Vec::new(), answers: Vec::new() });
        match claim {
            Claim::Held => self.begin(case, turn),
            Claim::Waits => (),
            Claim::Duplicate => self.drop_duplicate(case, turn),
        }
    }

    fn reply(&mut self, case: Case, reply: Replied, turn: Output<'_>) {
        let Some(asked) = self.open.get_mut(&case) else { return };
        let Some(index) = asked.inquiries.iter().position(|inquiry| *inquiry.key() == reply.key) else { return };
        match reply.outcome {
            Ok(answer) => {
                let what = What::Answered(reply.key, answer.clone());
                turn.give(case, Posted::Made(Made { origin: asked.candidate.origin, what }));
                self.answered(case, index, &answer, turn);
            }
            Err(CallError::Cancelled) => (),
            Err(error) => {
                asked.answers[index] = Some(Err(Failure { reason: error.to_string(), answer: None }));
                self.conclude(case, turn);
            }
        }
    }

    fn note(&mut self, holding: Holding) {
        if holding.holds {
            self.holders.committed(holding.question, holding.sample);
        } else {
            self.holders.released(holding.question, holding.sample);
        }
    }
}

impl Answers {
    pub fn new(context: &Context) -> Self {
        Answers {
            holders: Holders::default(),
            open: HashMap::new(),
            prompts: Arc::clone(&context.generate_prompts),
            settings: context.settings(Task::Answer),
            attempts: 1 + context.config.llm.answer.repairs,
            candidates: context.config.generate.answers,
        }
    }

    /// The question is this case's: its candidate answers are asked for, unless it was answered before it was held back.
    fn begin(&mut self, case: Case, turn: Output<'_>) {
        let Some(asked) = self.open.get_mut(&case) else { return };
        let candidate = &asked.candidate;
        if candidate.sample.answer.is_some() {
            return self.conclude(case, turn);
        }
        for number in 0..self.candidates {
            let mut request = self.prompts.answer(&candidate.sample.question);
            if number > 0 {
                request.seed = Some(u64::from(number));
            }
            let (subject, hits) = (&candidate.sample.provenance.combination, candidate.hits.clone());
            let settings = Arc::clone(&self.settings);
            let inquiry = Inquiry::new(candidate.origin, subject, request, settings, self.attempts, hits);
            asked.inquiries.push(inquiry.of_candidate(candidate.ordinal, number).of_redo(candidate.redo));
            asked.answers.push(None);
        }
        for index in 0..self.candidates as usize {
            self.ask(case, index, turn);
        }
        if self.candidates == 0 {
            self.conclude(case, turn);
        }
    }

    fn ask(&mut self, case: Case, index: usize, turn: Output<'_>) {
        let Some(asked) = self.open.get(&case) else { return };
        match asked.inquiries[index].step() {
            Step::Known(answer) => self.answered(case, index, &answer, turn),
            Step::Ask(call) => turn.ask(case, call),
        }
    }

    fn answered(&mut self, case: Case, index: usize, answer: &Answer, turn: Output<'_>) {
        let Some(asked) = self.open.get_mut(&case) else { return };
        let inquiry = &mut asked.inquiries[index];
        inquiry.spent.add(answer);
        match read(answer) {
            Ok(text) => asked.answers[index] = Some(Ok(text)),
            Err(problem) => {
                if inquiry.repair(&self.prompts, &answer.text, problem) {
                    return self.ask(case, index, turn);
                }
                let failure = Failure { reason: problem.to_owned(), answer: Some(answer.text.clone()) };
                asked.answers[index] = Some(Err(failure));
            }
        }
        self.conclude(case, turn);
    }

    /// When all candidates have their outcome: a sample, if one of them is an answer; else the next that waits takes over.
    fn conclude(&mut self, case: Case, turn: Output<'_>) {
        if self.open.get(&case).is_none_or(|asked| asked.answers.iter().any(Option::is_none)) {
            return;
        }
        let Some(mut asked) = self.open.remove(&case) else { return };
        for inquiry in &asked.inquiries {
            asked.candidate.account(Task::Answer, &inquiry.spent);
        }
        let (answers, failures): (Vec<_>, Vec<_>) = asked.answers.drain(..).flatten().partition(Result::is_ok);
        let answers: Vec<String> = answers.into_iter().flatten().collect();
        let question = asked.candidate.question;
        if answers.is_empty() && self.candidates > 0 && asked.candidate.sample.answer.is_none() {
            let failure = failures.into_iter().find_map(Result::err);
            bury(case, asked, failure, turn);
            if let Some(next) = self.holders.failed(question) {
                self.begin(next, turn);
            }
            return;
        }
        for duplicate in self.holders.answered(question, asked.candidate.sample_id) {
            self.drop_duplicate(duplicate, turn);
        }
        asked.elect(answers, self.prompts.version(Prompt::Answer));
        end_claim(case, &asked.candidate, true, turn);
        turn.give(case, Posted::Candidate(Box::new(asked.candidate)));
        turn.close(case);
    }

    fn drop_duplicate(&mut self, case: Case, turn: Output<'_>) {
        if let Some(asked) = self.open.remove(&case) {
            let candidate = asked.candidate;
            end_claim(case, &candidate, false, turn);
            turn.give(case, Posted::Made(candidate.duplicate()));
            turn.close(case);
        }
    }
}

impl Asked {
    /// What most answers say in the end, in the words of the earliest that says it; with several, their agreement is a score.
    fn elect(&mut self, mut answers: Vec<String>, version: &str) {
        let Some((elected, votes)) = majority(&answers) else { return };
        let sample = &mut self.candidate.sample;
        if answers.len() > 1 {
            sample.scores.insert("agreement".to_owned(), votes as f64 / answers.len() as f64);
        }
        sample.provenance.prompts.insert(Task::Answer.name().to_owned(), version.to_owned());
        sample.answer = Some(answers.swap_remove(elected));
    }
}

/// A truncated or empty answer is never a sample.
fn read(answer: &Answer) -> Result<String, &'static str> {
    let text = answer.text.trim();
    if answer.truncated {
        return Err("the answer was cut off at the limit of tokens; answer more briefly");
    }
    if text.is_empty() { Err("the answer is empty") } else { Ok(text.to_owned()) }
}

/// Where near-duplicates wait for the outcome of this question, they are told.
fn end_claim(case: Case, candidate: &Candidate, sampled: bool, turn: Output<'_>) {
    if let Some(claim) = candidate.claim {
        turn.give(case, Posted::Ended(Ended { claim, sampled }));
    }
}

fn bury(case: Case, asked: Asked, failure: Option<Failure>, turn: Output<'_>) {
    end_claim(case, &asked.candidate, false, turn);
    let Candidate { origin, sample, spent, .. } = asked.candidate;
    let (reason, answer) = failure.map_or((String::new(), None), |failure| (failure.reason, failure.answer));
    let burial = Burial {
        stage: Task::Answer.name().to_owned(),
        key: Some(sample.id.clone()),
        reason,
        payload: serde_json::to_vec(&sample).unwrap_or_default(),
        answer,
    };
    turn.give(case, Posted::Made(Made { origin, what: What::Output(Decision::Buried { burial, spent }) }));
    turn.close(case);
}
