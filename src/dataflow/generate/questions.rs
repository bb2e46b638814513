//! Asks for the questions of a combination: fetches the texts by pointer, then asks the model.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use synthllm_llm::{CallError, Prompt, Prompts, Request, Schema, Task, TaskSettings};
use synthllm_operators::answers::{self, CombinedQuestion, Level1Answer};
use synthllm_operators::ask::{Case, Mailbox, Stage, Turn};
use synthllm_operators::id::{self, Kind};
use synthllm_operators::normal::concept_name;
use synthllm_operators::record::{Answer, Combination, Extraction, Sample, SampleDocument, SampleProvenance, Version};

use super::super::Context;
use super::super::dead_letter::Burial;
use super::super::desk::Desk;
use super::super::inquiry::{self, Inquiry, Replied, Spent, Step};
use super::super::shard::{Made, What};
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

/// A document that questions are grounded on.
#[derive(Clone, Debug)]
pub(super) struct Grounding {
    /// Its text.
    pub text: String,
    /// What was extracted from it.
    pub extraction: Extraction,
}

/// What the stage gives.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Posted {
    /// A question that goes on.
    Candidate(Box<Candidate>),
    /// Something to be committed.
    Made(Made<Decision>),
}

impl Posted {
    /// The question that goes on, or else what is to be committed.
    #[expect(clippy::result_large_err, reason = "both halves of a stream are moved on at once")]
    pub fn candidate(self) -> Result<Candidate, Made<Decision>> {
        match self {
            Posted::Candidate(candidate) => Ok(*candidate),
            Posted::Made(made) => Err(made),
        }
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
    /// Of levels 1, 2, 3.
    limits: [answers::Limits; 3],
    schemas: [Schema; 3],
    models: BTreeMap<String, String>,
    filters: Arc<Filters>,
}

struct Asked {
    work: Work,
    grounding: Vec<Grounding>,
    offered: Vec<String>,
    inquiry: Option<Inquiry>,
}

impl Asked {
    /// Which time it is paid for on purpose: that of its document. A combination of two documents is never redone.
    fn redo(&self) -> u32 {
        if let [alone] = self.grounding.as_slice() { alone.extraction.redo } else { 0 }
    }
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
        self.open.insert(case, Asked { work, grounding: Vec::new(), offered: Vec::new(), inquiry: None });
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
                let request = self.request(&asked);
                let subject = asked.work.combination.id.to_string();
                let hits = asked.work.hits.clone();
                let settings = Arc::clone(&self.settings);
                let inquiry = Inquiry::new(asked.work.origin, &subject, request, settings, self.attempts, hits);
                asked.inquiry = Some(inquiry.of_redo(asked.redo()));
                self.ask(case, asked, turn);
            }
            Reply::Model(Replied { key, outcome: Ok(answer) }) => {
                let what = What::Answered(key, answer.clone());
                turn.give(case, Posted::Made(Made { origin: asked.work.origin, what }));
                self.answered(case, asked, &answer, turn);
            }
            Reply::Model(Replied { outcome: Err(CallError::Cancelled), .. }) => {
                self.open.insert(case, asked);
            }
            Reply::Model(Replied { outcome: Err(error), .. }) => bury(case, asked, &error.to_string(), None, turn),
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
        match level {
            1 => self.prompts.level1(text(0), schema),
            2 => self.prompts.level2(text(0), &asked.offered, schema),
            _ => self.prompts.level3([text(0), text(1)], &asked.offered, schema),
        }
    }

    fn ask(&mut self, case: Case, asked: Asked, turn: Output<'_>) {
        match asked.inquiry.as_ref().map(Inquiry::step) {
            Some(Step::Known(answer)) => self.answered(case, asked, &answer, turn),
            Some(Step::Ask(call)) => {
                turn.ask(case, Call::Model(Box::new(call)));
                self.open.insert(case, asked);
            }
            None => bury(case, asked, "there is nothing to ask", None, turn),
        }
    }

    fn answered(&mut self, case: Case, mut asked: Asked, answer: &Answer, turn: Output<'_>) {
        let Some(inquiry) = asked.inquiry.as_mut() else { return };
        inquiry.spent.add(answer);
        match self.read(&asked.work.combination, &asked.offered, answer) {
            Ok(questions) => self.give(case, &asked, questions, turn),
            Err(problem) => {
                if inquiry.repair(&self.prompts, &answer.text, &problem) {
                    self.ask(case, asked, turn);
                } else {
                    bury(case, asked, &problem, Some(&answer.text), turn);
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

    fn give(&mut self, case: Case, asked: &Asked, questions: Vec<CombinedQuestion>, turn: Output<'_>) {
        let spent = asked.inquiry.as_ref().map(|inquiry| inquiry.spent.clone()).unwrap_or_default();
        self.models.insert(Task::Question.name().to_owned(), spent.model.clone());
        let origin = asked.work.origin;
        let what = What::Output(Decision::Asked(spent.clone()));
        turn.give(case, Posted::Made(Made { origin, what }));
        if questions.is_empty() {
            turn.give(case, Posted::Made(Made { origin, what: What::Output(Decision::Unsuitable) }));
        }
        let parts = questions.len() as u64;
        for (ordinal, question) in questions.into_iter().enumerate() {
            if let Some(rejection) = self.filters.rejection(&question.question) {
                let what = What::Output(Decision::Rejected(rejection));
                turn.give(case, Posted::Made(Made { origin, what }));
                continue;
            }
            let share = spent.share(ordinal as u64, parts);
            let candidate = self.candidate(asked, ordinal as u32, question, &share);
            turn.give(case, Posted::Candidate(Box::new(candidate)));
        }
        turn.close(case);
    }

    fn candidate(&self, asked: &Asked, ordinal: u32, question: CombinedQuestion, share: &Spent) -> Candidate {
        let combination = &asked.work.combination;
        let sample_id = id::sample(combination.id, ordinal, asked.redo());
        let prompt = [Prompt::Level1, Prompt::Level2, Prompt::Level3][level_index(combination.level)];
        let version = self.prompts.version(prompt).to_owned();
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
                prompts: BTreeMap::from([(Task::Question.name().to_owned(), version)]),
            },
            scores: BTreeMap::new(),
            usage: share.usage,
            cost: share.cost,
            question: question.question,
        };
        let mut hits = asked.work.hits.clone();
        hits.retain(|hit| hit.key.task == Task::Answer.name() && hit.key.question == ordinal);
        Candidate {
            origin: asked.work.origin,
            ordinal,
            redo: asked.redo(),
            sample_id,
            question: id::question(&sample.question),
            sample: Box::new(sample),
            references: combination.references.clone(),
            live: true,
            hits,
            spent: Spent::default(),
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

fn bury(case: Case, asked: Asked, reason: &str, answer: Option<&str>, turn: Output<'_>) {
    let spent = asked.inquiry.map(|inquiry| inquiry.spent).unwrap_or_default();
    let burial = Burial {
        stage: Task::Question.name().to_owned(),
        key: Some(asked.work.combination.id.to_string()),
        reason: reason.to_owned(),
        payload: serde_json::to_vec(&asked.work.combination).unwrap_or_default(),
        answer: answer.map(str::to_owned),
    };
    end(case, &asked.work, Decision::Buried { burial, spent }, turn);
}

/// The key concepts that questions may join, in display form: those of the walk (level 3), or all of the document (level 2).
fn offered(combination: &Combination, grounding: &[Grounding]) -> Vec<String> {
    let key_concepts = combination.walk.iter().filter(|node| node.kind == Kind::KeyConcept);
    key_concepts.map(|node| displayed(grounding, key_concepts_of, &node.name)).collect()
}

fn topics(combination: &Combination, grounding: &[Grounding]) -> Vec<String> {
    let topics = combination.walk.iter().filter(|node| node.kind == Kind::Topic);
    topics.map(|node| displayed(grounding, topics_of, &node.name)).collect()
}

/// How the first document that has this concept writes it; else the normalised name.
fn displayed<'g>(grounding: &'g [Grounding], of: fn(&'g Extraction) -> Vec<&'g str>, name: &str) -> String {
    let written = grounding.iter().flat_map(|grounding| of(&grounding.extraction));
    written.into_iter().find(|display| concept_name(display) == name).unwrap_or(name).to_owned()
}

fn key_concepts_of(extraction: &Extraction) -> Vec<&str> {
    let under_topics = extraction.topics.iter().flat_map(|topic| &topic.key_concepts);
    under_topics.chain(&extraction.key_concepts).map(String::as_str).collect()
}

fn topics_of(extraction: &Extraction) -> Vec<&str> {
    extraction.topics.iter().map(|topic| topic.name.as_str()).collect()
}

fn documents(combination: &Combination, grounding: &[Grounding]) -> Vec<SampleDocument> {
    let documents = combination.references.iter().zip(grounding);
    let document = documents.map(|(reference, grounding)| SampleDocument {
        id: reference.document.clone(),
        version: version_text(reference.version),
        jaccard: reference.jaccard,
        source: grounding.extraction.source.clone(),
        license: grounding.extraction.license.clone(),
    });
    document.collect()
}

fn version_text(version: Version) -> String {
    format!("{}:{}", version.partition, version.offset)
}
