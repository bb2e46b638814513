//! Asks for the questions of a combination: fetches the texts by pointer, then asks the model, as often as `generate.calls` says. Each
//! call after the first is told what was asked before; one that brings nothing new, or that fails, is the last.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use synthllm_llm::{CallError, More, Prompt, Prompts, Request, Schema, Task, TaskSettings};
use synthllm_operators::answers::{self, CombinedQuestion, Level1Answer};
use synthllm_operators::ask::{Case, Mailbox, Stage, Turn};
use synthllm_operators::id;
use synthllm_operators::record::{Answer, Combination, Sample, SampleProvenance};

use super::super::Context;
use super::super::dead_letter::Burial;
use super::super::desk::Desk;
use super::super::inquiry::{self, Inquiry, Replied, Spent, Step};
use super::super::shard::{Made, What};
use super::asked::Asked;
use super::grounding::{Grounding, documents, offered, topics};
use super::near::Ended;
use super::{Candidate, Decision, Filters, Work, fetch};

/// What the stage asks of the world.
pub(super) enum Call {
    /// The texts of a combination's references.
    Texts(fetch::Wanted),
    /// Questions.
    Model(Box<inquiry::Call>),
}

/// What the world replies.
pub(super) enum Reply {
    /// The texts, in the order of the references; nothing when one of them has expired.
    Texts(Option<Vec<Grounding>>),
    /// The model's reply.
    Model(Replied),
}

impl From<Replied> for Reply {
    fn from(replied: Replied) -> Self {
        Reply::Model(replied)
    }
}

/// What the stage gives.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Posted {
    /// A question that goes on.
    Candidate(Box<Candidate>),
    /// Something to be committed.
    Made(Made<Decision>),
    /// What became of a question that might have near-duplicates.
    Ended(Ended),
}

impl Posted {
    /// The question that goes on, or else the rest.
    #[expect(clippy::result_large_err, reason = "both halves of a stream are moved on at once")]
    pub fn candidate(self) -> Result<Candidate, Posted> {
        match self {
            Posted::Candidate(candidate) => Ok(*candidate),
            rest => Err(rest),
        }
    }

    /// What is to be committed.
    pub fn made(self) -> Option<Made<Decision>> {
        if let Posted::Made(made) = self { Some(made) } else { None }
    }

    /// What became of a question.
    pub fn ended(self) -> Option<Ended> {
        if let Posted::Ended(ended) = self { Some(ended) } else { None }
    }
}

/// The desk of the stage: the model's calls, and reads by pointer on threads of their own.
pub(super) fn desk(context: &Arc<Context>, mailbox: Mailbox<Call, Reply>) -> Desk<Call, Reply> {
    let context = Arc::clone(context);
    let fetcher = fetch::Fetcher::start(&context);
    Desk::new(mailbox, move |call, reply| match call {
        Call::Model(call) => context.ask_model(*call, reply),
        Call::Texts(wanted) => fetcher.fetch(wanted, reply),
    })
}

/// The stage.
pub(super) struct Questions {
    open: HashMap<Case, Asked>,
    prompts: Arc<Prompts>,
    settings: Arc<TaskSettings>,
    attempts: u32,
    /// The calls on a combination of levels 1, 2, 3.
    calls: [u32; 3],
    /// What those after the first ask for.
    more: More,
    limits: [answers::Limits; 3],
    schemas: [Schema; 3],
    models: BTreeMap<String, String>,
    filters: Arc<Filters>,
}

type Output<'t> = &'t mut Turn<Call, Posted>;

impl Stage for Questions {
    type Item = Work;
    type Note = ();
    type Call = Call;
    type Reply = Reply;
    type Output = Posted;

    fn open(&mut self, case: Case, work: Work, turn: Output<'_>) {
        if !work.live {
            return end(case, &work, Decision::NotLive { held: None, spent: Spent::default() }, turn);
        }
        turn.ask(case, Call::Texts(fetch::Wanted { references: work.combination.references.clone() }));
        self.open.insert(case, Asked::new(work));
    }

    fn reply(&mut self, case: Case, reply: Reply, turn: Output<'_>) {
        let Some(mut asked) = self.open.remove(&case) else { return };
        match reply {
            Reply::Texts(None) => {
                end(case, &asked.work, Decision::NotLive { held: None, spent: Spent::default() }, turn);
            }
            Reply::Texts(Some(grounding)) => {
                asked.offered = offered(&asked.work.combination, &grounding);
                asked.grounding = grounding;
                self.begin_call(case, asked, turn);
            }
            Reply::Model(Replied { key, outcome: Ok(answer) }) => {
                let what = What::Answered(key, answer.clone());
                turn.give(case, Posted::Made(Made { origin: asked.work.origin, what }));
                self.answered(case, asked, &answer, turn);
            }
            Reply::Model(Replied { outcome: Err(CallError::Cancelled), .. }) => {
                self.open.insert(case, asked);
            }
            Reply::Model(Replied { outcome: Err(error), .. }) => self.fail(case, asked, &error.to_string(), None, turn),
        }
    }

    fn note(&mut self, (): ()) {}
}

impl Questions {
    pub fn new(context: &Context) -> Self {
        let limits = context
            .config
            .generate
            .questions
            .map(|questions| answers::Limits { questions: questions as usize, ..answers::Limits::default() });
        let schemas = [
            Schema::new("level1", answers::level1_schema(&limits[0])),
            Schema::new("combined", answers::combined_schema(&limits[1])),
            Schema::new("combined", answers::combined_schema(&limits[2])),
        ];
        Questions {
            open: HashMap::new(),
            prompts: Arc::clone(&context.generate_prompts),
            settings: context.settings(Task::Question),
            attempts: 1 + context.config.llm.question.repairs,
            calls: context.config.generate.calls,
            more: context.config.generate.more,
            limits,
            schemas,
            models: BTreeMap::new(),
            filters: Arc::clone(&context.filters),
        }
    }

    fn request(&self, asked: &Asked) -> Request {
        let text = |index: usize| asked.grounding.get(index).map_or("", |grounding| grounding.text.as_str());
        let level = asked.work.combination.level;
        let schema = self.schemas[level_index(level)].clone();
        let request = match level {
            1 => self.prompts.level1(text(0), schema),
            2 => self.prompts.level2(text(0), &asked.offered, schema),
            _ => self.prompts.level3([text(0), text(1)], &asked.offered, schema),
        };
        let before: Vec<&str> = asked.questions.iter().map(|asked| asked.question.as_str()).collect();
        if before.is_empty() { request } else { self.prompts.more(self.more, level, request, (asked.seed(), &before)) }
    }

    fn begin_call(&mut self, case: Case, mut asked: Asked, turn: Output<'_>) {
        let request = self.request(&asked);
        let subject = asked.work.combination.id.to_string();
        let (hits, settings) = (asked.work.hits.clone(), Arc::clone(&self.settings));
        let inquiry = Inquiry::new(asked.work.origin, &subject, request, settings, self.attempts, hits);
        asked.inquiry = Some(inquiry.of_candidate(0, asked.call).of_redo(asked.redo()));
        self.ask(case, asked, turn);
    }

    fn ask(&mut self, case: Case, asked: Asked, turn: Output<'_>) {
        match asked.inquiry.as_ref().map(Inquiry::step) {
            Some(Step::Known(answer)) => self.answered(case, asked, &answer, turn),
            Some(Step::Ask(call)) => {
                turn.ask(case, Call::Model(Box::new(call)));
                self.open.insert(case, asked);
            }
            None => self.fail(case, asked, "there is nothing to ask", None, turn),
        }
    }

    fn answered(&mut self, case: Case, mut asked: Asked, answer: &Answer, turn: Output<'_>) {
        let Some(inquiry) = asked.inquiry.as_mut() else { return };
        inquiry.spent.add(answer);
        match self.read(&asked.work.combination, &asked.offered, answer) {
            Ok(questions) => self.called(case, asked, questions, turn),
            Err(problem) => {
                if inquiry.repair(&self.prompts, &answer.text, &problem) {
                    self.ask(case, asked, turn);
                } else {
                    self.fail(case, asked, &problem, Some(&answer.text), turn);
                }
            }
        }
    }

    /// The questions in an answer; none when the document is not suitable.
    fn read(&self, combination: &Combination, offered: &[String], answer: &Answer) -> Result<Vec<CombinedQuestion>, String> {
        if answer.truncated {
            return Err("the answer was cut off at the limit of tokens; ask fewer or shorter questions".to_owned());
        }
        let limits = &self.limits[level_index(combination.level)];
        if combination.level == 1 {
            return match answers::level1(&answer.text, limits).map_err(|problem| problem.to_string())? {
                Level1Answer::Unsuitable => Ok(Vec::new()),
                Level1Answer::Questions(questions) => Ok(questions.into_iter().map(without_concepts).collect()),
            };
        }
        answers::combined(&answer.text, offered, limits).map_err(|problem| problem.to_string())
    }

    /// A call has brought questions: there is another one, or what was brought goes on.
    fn called(&mut self, case: Case, mut asked: Asked, questions: Vec<CombinedQuestion>, turn: Output<'_>) {
        asked.end_call();
        let new = asked.take(questions);
        asked.call += 1;
        let enough = asked.work.most.is_some_and(|most| self.accepted(&asked.questions) >= most as usize);
        if new && !enough && asked.call < self.calls[level_index(asked.work.combination.level)] {
            self.begin_call(case, asked, turn);
        } else {
            self.give(case, asked, turn);
        }
    }

    /// How many of the questions no filter drops.
    fn accepted(&self, questions: &[CombinedQuestion]) -> usize {
        questions.iter().filter(|asked| self.filters.rejection(&asked.question).is_none()).count()
    }

    /// A call can't be used. What those before it have brought goes on.
    fn fail(&mut self, case: Case, mut asked: Asked, reason: &str, answer: Option<&str>, turn: Output<'_>) {
        asked.end_call();
        let burial = burial(&asked.work.combination, reason, answer);
        let origin = asked.work.origin;
        let mut buried = |spent| {
            let what = What::Output(Decision::Buried { burial: burial.clone(), spent });
            turn.give(case, Posted::Made(Made { origin, what }));
        };
        if asked.questions.is_empty() {
            buried(std::mem::take(&mut asked.spent));
            turn.close(case);
        } else {
            buried(Spent::default());
            self.give(case, asked, turn);
        }
    }

    fn give(&mut self, case: Case, mut asked: Asked, turn: Output<'_>) {
        let (questions, spent) = (std::mem::take(&mut asked.questions), asked.spent.clone());
        let asked = &asked;
        self.models.insert(Task::Question.name().to_owned(), spent.model.clone());
        let origin = asked.work.origin;
        let (level, parts) = (asked.work.combination.level, questions.len() as u64);
        let what = What::Output(Decision::Asked { level, questions: parts, spent: spent.clone() });
        turn.give(case, Posted::Made(Made { origin, what }));
        if questions.is_empty() {
            turn.give(case, Posted::Made(Made { origin, what: What::Output(Decision::Unsuitable) }));
        }
        let mut left = asked.work.most.unwrap_or(u32::MAX);
        for (ordinal, question) in questions.into_iter().enumerate() {
            let share = spent.share(ordinal as u64, parts);
            let candidate = self.candidate(asked, ordinal as u32, question, &share);
            let posted = match self.filters.rejection(&candidate.sample.question) {
                Some(rejection) => Posted::Made(candidate.rejected(rejection)),
                None if left == 0 => Posted::Made(Made { origin, what: What::Output(Decision::OverTarget) }),
                None => {
                    left -= 1;
                    Posted::Candidate(Box::new(candidate))
                }
            };
            turn.give(case, posted);
        }
        turn.close(case);
    }

    fn candidate(&self, asked: &Asked, ordinal: u32, question: CombinedQuestion, share: &Spent) -> Candidate {
        let combination = &asked.work.combination;
        let sample_id = id::sample(combination.id, ordinal, asked.redo());
        let prompt = [Prompt::Level1, Prompt::Level2, Prompt::Level3][level_index(combination.level)];
        let mut prompts = vec![(Task::Question.name(), prompt)];
        if ordinal as usize >= asked.of_first_call {
            prompts.push((self.more.prompt().name(), self.more.prompt()));
        }
        let version = |(name, prompt): (&str, Prompt)| (name.to_owned(), self.prompts.version(prompt).to_owned());
        let sample = Sample {
            id: sample_id.to_string(),
            level: combination.level,
            answer: None,
            concepts: question.concepts,
            topics: topics(combination, &asked.grounding),
            provenance: SampleProvenance {
                combination: combination.id.to_string(),
                walk: combination.walk.clone(),
                documents: documents(combination, &asked.grounding),
                models: self.models.clone(),
                prompts: prompts.into_iter().map(version).collect(),
            },
            scores: BTreeMap::new(),
            usage: share.usage,
            cost: share.cost,
            question: question.question,
        };
        let mut hits = asked.work.hits.clone();
        hits.retain(|hit| hit.key.task != Task::Question.name() && hit.key.question == ordinal);
        Candidate {
            origin: asked.work.origin,
            ordinal,
            redo: asked.redo(),
            sample_id,
            question: id::question(&sample.question),
            claim: None,
            sample: Box::new(sample),
            references: combination.references.clone(),
            live: true,
            hits,
            spent: Spent::default(),
            held: false,
        }
    }
}

fn without_concepts(question: answers::Level1Question) -> CombinedQuestion {
    CombinedQuestion { concepts: Vec::new(), question: question.question }
}

fn level_index(level: u8) -> usize {
    usize::from(level.clamp(1, 3)) - 1
}

fn end(case: Case, work: &Work, decision: Decision, turn: Output<'_>) {
    turn.give(case, Posted::Made(Made { origin: work.origin, what: What::Output(decision) }));
    turn.close(case);
}

fn burial(combination: &Combination, reason: &str, answer: Option<&str>) -> Burial {
    Burial {
        stage: Task::Question.name().to_owned(),
        key: Some(combination.id.to_string()),
        reason: reason.to_owned(),
        payload: serde_json::to_vec(combination).unwrap_or_default(),
        answer: answer.map(str::to_owned),
    }
}
