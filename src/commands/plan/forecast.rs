//! From what waits, what is known and what is configured to calls, tokens and cost. Where nothing is known yet, a wide range is
//! assumed and said.

use serde::Serialize;
use synthllm_llm::request::approximate_tokens;
use synthllm_llm::{Prompts, Request, Schema, Task};
use synthllm_operators::answers::{self, Limits};
use synthllm_operators::id::Kind;
use synthllm_operators::judgement;
use synthllm_operators::schedule::Quota;

use super::backlog::Backlog;
use super::known::Known;
use super::range::{Range, plain, whole};
use crate::config::{Config, Start};
use crate::dataflow::estimate::more_tokens;

/// How far a mean of earlier runs may be off.
const LEARNT: f64 = 0.25;

/// What a run would ask for.
#[derive(Serialize)]
pub struct Forecast {
    pub combinations: Combinations,
    /// Where a model screens documents.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub embed: Option<Row>,
    pub extract: Row,
    pub question: Row,
    pub answer: Row,
    pub judge: Row,
    pub total: Row,
}

/// Combinations by level.
#[derive(Serialize)]
pub struct Combinations {
    #[serde(serialize_with = "whole")]
    pub level1: Range,
    #[serde(serialize_with = "whole")]
    pub level2: Range,
    #[serde(serialize_with = "whole")]
    pub level3: Range,
}

/// The calls of a task, or of all.
#[derive(Clone, Copy, Default, Serialize)]
pub struct Row {
    #[serde(serialize_with = "whole")]
    pub calls: Range,
    #[serde(serialize_with = "whole")]
    pub prompt_tokens: Range,
    #[serde(serialize_with = "whole")]
    pub completion_tokens: Range,
    #[serde(serialize_with = "plain")]
    pub cost: Range,
}

impl Row {
    fn plus(self, other: Row) -> Row {
        Row {
            calls: self.calls + other.calls,
            prompt_tokens: self.prompt_tokens + other.prompt_tokens,
            completion_tokens: self.completion_tokens + other.completion_tokens,
            cost: self.cost + other.cost,
        }
    }
}

/// Everything that a forecast is made of.
pub struct Forecaster<'a> {
    pub config: &'a Config,
    pub prompts: &'a Prompts,
    /// Whether a model screens documents.
    pub embeds: bool,
    /// Whether of equal or similar texts only the first is let in.
    pub compares: bool,
    pub known: &'a Known,
    pub backlog: &'a Backlog,
}

impl Forecaster<'_> {
    /// The forecast, and what was assumed for it.
    pub fn forecast(&self) -> (Forecast, Vec<String>) {
        let combinations = [1, 2, 3].map(|level| self.combinations(level));
        let (extract, [question, answer, judge]) = (self.extract(), self.generate(combinations));
        let embed = self.embeds.then(|| self.embed());
        let total = extract.plus(question).plus(answer).plus(judge).plus(embed.unwrap_or_default());
        let [level1, level2, level3] = combinations;
        let combinations = Combinations { level1, level2, level3 };
        (Forecast { combinations, embed, extract, question, answer, judge, total }, self.assumed())
    }

    /// An embedding has no answer, and is not repaired.
    fn embed(&self) -> Row {
        let texts = self.backlog.texts;
        let (calls, prompt_tokens) = (Range::exactly(texts.embedded), Range::new(0.8, 1.25) * texts.embedded_tokens);
        let cost = prompt_tokens * (self.config.llm.embed.settings.price.prompt * 1e-6);
        Row { calls, prompt_tokens, completion_tokens: Range::default(), cost }
    }

    /// Of what waits a screening model lets in anything from nothing to all.
    fn let_in(&self, all: Range) -> Range {
        if self.embeds { Range::new(0.0, all.high) } else { all }
    }

    fn extract(&self) -> Row {
        let documents = self.backlog.counts.extract as f64;
        let schema = answers::extraction_schema(&self.config.extraction_limits());
        let prompts = self.prompt(self.backlog.prompt_tokens, documents * approximate_tokens(&schema) as f64);
        let prompts = self.let_in(prompts);
        let answer = self.known.habits.extraction.map_or(Range::new(30.0, 600.0), |mean| Range::around(mean, LEARNT));
        self.row(Task::Extract, self.let_in(Range::exactly(documents)), prompts, answer)
    }

    /// Questions, answers and judgements on so many combinations.
    fn generate(&self, combinations: [Range; 3]) -> [Row; 3] {
        let [mut question, mut answer, mut judge] = [Row::default(); 3];
        for (level, combinations) in (1..=3).zip(combinations) {
            let questions = self.questions(level);
            let per_question =
                self.known.habits.question.map_or(Range::new(15.0, 150.0), |mean| Range::around(mean, LEARNT));
            let calls = self.calls(level, questions);
            let asking = combinations * calls;
            let prompts = (self.question_prompt(level) + self.told(level, calls, per_question)) * asking;
            let asked = self.questions_of_call(level, questions, calls) * per_question + Range::new(0.0, 20.0);
            question = question.plus(self.row(Task::Question, asking, prompts, asked));

            let answered = (combinations * questions).at_most(self.missing(level));
            let calls = answered * f64::from(self.config.generate.answers);
            let frame = estimated(&self.prompts.answer(""));
            let text = Range::new(0.3 * per_question.low, per_question.high);
            let prompt = self.prompt(frame + text.low, 0.0).low;
            let prompts = Range::new(prompt, self.prompt(frame + text.high, 0.0).high) * calls;
            let length = self.known.habits.answer.map_or(Range::new(5.0, 1_000.0), |mean| Range::around(mean, LEARNT));
            answer = answer.plus(self.row(Task::Answer, calls, prompts, length));

            if self.config.generate.judges() {
                let calls = combinations * questions;
                let schema = judgement::schema();
                let frame = estimated(&self.prompts.judge("", "", Schema::new("judge", schema.clone())));
                let schema = approximate_tokens(&schema) as f64;
                let (low, high) = (frame + text.low, frame + text.high);
                let prompts =
                    Range::new(self.prompt(low, schema).low + length.low, self.prompt(high, schema).high + length.high)
                        * calls;
                judge = judge.plus(self.row(Task::Judge, calls, prompts, Range::new(10.0, 150.0)));
            }
        }
        [question, answer, judge]
    }

    /// So many calls of a task; `prompts` is the sum of their prompts, `answer` the length of one answer.
    fn row(&self, task: Task, calls: Range, prompts: Range, answer: Range) -> Row {
        let task = self.config.llm.of(task);
        let again = Range::new(1.0, if task.repairs > 0 { 1.1 } else { 1.0 });
        let (calls, prompt_tokens) = (calls * again, prompts * again);
        let completion_tokens = calls * answer.at_most(f64::from(task.settings.max_tokens));
        let price = task.settings.price;
        let cost = (prompt_tokens * price.prompt + completion_tokens * price.completion) * 1e-6;
        Row { calls, prompt_tokens, completion_tokens, cost }
    }

    /// True tokens of so many estimated ones; whether a schema counts as a part of the prompt is the endpoint's affair.
    fn prompt(&self, estimated: f64, schema: f64) -> Range {
        match self.known.habits.ratio {
            Some(ratio) => Range::around(ratio, 0.1) * estimated,
            None => Range::new(0.8 * estimated, 1.25 * (estimated + schema)),
        }
    }

    fn question_prompt(&self, level: u8) -> Range {
        let limits = self.limits(level);
        let schema = if level == 1 { answers::level1_schema(&limits) } else { answers::combined_schema(&limits) };
        let schema = Schema::new("questions", schema);
        let (empty, concepts) = match level {
            1 => (self.prompts.level1("", schema.clone()), Range::default()),
            2 => (self.prompts.level2("", &[], schema.clone()), self.concepts() * Range::new(2.0, 6.0)),
            _ => (self.prompts.level3(["", ""], &[], schema.clone()), Range::new(6.0, 60.0)),
        };
        let content = Range::exactly(estimated(&empty)) + self.text(level) + concepts;
        let schema = approximate_tokens(&schema.json) as f64;
        Range::new(self.prompt(content.low, schema).low, self.prompt(content.high, schema).high)
    }

    /// The tokens of the texts of a combination. Which documents are drawn is not known.
    fn text(&self, level: u8) -> Range {
        let (waiting, live) = (self.backlog.texts, self.known.habits.texts);
        let count = (waiting.count + live.count).max(1.0);
        let alone = (waiting.alone + live.alone) / count;
        let as_one_of_two = (waiting.as_one_of_two + live.as_one_of_two) / count;
        Range::around(if level < 3 { alone } else { 2.0 * as_one_of_two }, 0.2)
    }

    /// Key concepts of a document.
    fn concepts(&self) -> Range {
        let mentions: f64 = [&self.known.nodes[1], &self.backlog.nodes[1]].iter().flat_map(|nodes| nodes.values()).sum();
        let documents = self.known.documents.len() as f64 + self.backlog.counts.own_concepts as f64;
        let known = (documents > 0.0).then(|| Range::around(mentions / documents, LEARNT));
        match (known, self.backlog.counts.extract > 0 && self.known.habits.concepts.is_none()) {
            (Some(known), false) => known,
            (known, _) => {
                let assumed = self.assumed_concepts();
                let known = known.unwrap_or(assumed);
                Range::new(known.low.min(assumed.low), known.high.max(assumed.high))
            }
        }
    }

    fn combinations(&self, level: u8) -> Range {
        let index = usize::from(level) - 1;
        let sampling = &self.config.sampling;
        let new = match (sampling.levels.contains(&level), level) {
            (false, _) => Range::default(),
            (true, 3) => self.starts() * self.yields(),
            (true, _) => {
                let extracted = Range::new(if level == 1 { 0.9 } else { 0.8 }, 1.0) * self.backlog.counts.extract as f64;
                extracted + Range::exactly(self.known.owed[index] + self.backlog.own[index])
            }
        };
        let new = if self.backlog.counts.waiting > 0 { self.let_in(new) } else { new };
        let left = sampling.limit.of(level).map(|limit| limit.saturating_sub(self.known.issued[index]));
        let new = new.at_most(left.map_or(f64::INFINITY, |left| left as f64));
        // A combination brings no more samples than the model writes questions; with filters it may bring none.
        let (missing, questions) = (self.missing(level), self.questions(level));
        let new = Range::new(new.low.min(missing / questions.high), new.high.min((missing / questions.low).ceil()));
        new + Range::exactly(self.known.waiting[index])
    }

    /// Samples that a target lacks; without one there is no end to them.
    fn missing(&self, level: u8) -> f64 {
        let target = self.config.generate.target.of(level);
        let standing = self.known.standing[usize::from(level) - 1];
        target.map_or(f64::INFINITY, |target| (target as f64 - standing).max(0.0))
    }

    /// Starts of level 3 that the quotas will still owe.
    fn starts(&self) -> Range {
        let kind = self.start_kind();
        let index = usize::from(kind == Kind::KeyConcept);
        let sampling = &self.config.sampling;
        let quota = Quota { epochs: sampling.epochs, starts_per_document: sampling.starts_per_document };
        let mut documents = self.known.nodes[index].clone();
        for (name, more) in &self.backlog.nodes[index] {
            *documents.entry(name.clone()).or_default() += more;
        }
        let owed = |(name, documents): (&String, &f64)| {
            (quota.of(documents.ceil() as u64) as f64 - self.known.started(kind, name)).max(0.0)
        };
        let known: f64 = documents.iter().map(owed).sum();
        let mentions = self.mentions(index) * self.backlog.counts.extract as f64;
        let new = mentions * self.share_of_new() * quota.of(1) as f64;
        Range::exactly(known) + new + Range::new(0.0, mentions.high * sampling.starts_per_document)
    }

    fn start_kind(&self) -> Kind {
        let no_topics = self.known.nodes[0].is_empty() && self.backlog.nodes[0].is_empty();
        match self.config.sampling.start {
            Start::Topic => Kind::Topic,
            Start::Auto if !no_topics || self.backlog.counts.extract > 0 => Kind::Topic,
            Start::KeyConcept | Start::Auto => Kind::KeyConcept,
        }
    }

    /// Topics, or key concepts, of a document that is to be extracted.
    fn mentions(&self, index: usize) -> Range {
        let assumed = [Range::new(1.0, self.config.extract.max_topics as f64), self.assumed_concepts()][index];
        self.known.habits.concepts.map_or(assumed, |learnt| Range::around(learnt[index], LEARNT))
    }

    /// Key concepts of a document of which nothing is known.
    fn assumed_concepts(&self) -> Range {
        let extract = &self.config.extract;
        Range::new(5.0, (extract.max_topics * extract.max_key_concepts) as f64)
    }

    fn share_of_new(&self) -> Range {
        let around = |learnt: f64| Range::new(0.5 * learnt, 1.5 * learnt).at_most(1.0);
        self.known.habits.concepts.map_or(Range::new(0.1, 1.0), |learnt| around(learnt[2]))
    }

    fn yields(&self) -> Range {
        self.known.habits.yields.map_or(Range::new(0.2, 1.0), |learnt| Range::around(learnt, LEARNT).at_most(1.0))
    }

    fn questions(&self, level: u8) -> Range {
        let index = usize::from(level) - 1;
        let most = f64::from(self.config.generate.questions[index] * self.config.generate.calls[index]);
        let assumed = Range::new(if level == 1 { 0.5 } else { 1.0 }, most);
        self.known.habits.questions[index].map_or(assumed, |mean| Range::around(mean, LEARNT).at_most(most))
    }

    /// Calls for questions on a combination: one that brings nothing new is the last.
    fn calls(&self, level: u8, questions: Range) -> Range {
        let index = usize::from(level) - 1;
        let (most, of_call) =
            (f64::from(self.config.generate.calls[index]), f64::from(self.config.generate.questions[index]));
        let learnt = self.known.habits.questions[index].map(|_| (questions.low / of_call).ceil().clamp(1.0, most));
        Range::new(learnt.unwrap_or(1.0), most)
    }

    /// Questions that one of so many calls brings, when all bring `questions`.
    fn questions_of_call(&self, level: u8, questions: Range, calls: Range) -> Range {
        let most = f64::from(self.config.generate.questions[usize::from(level) - 1]);
        Range::new(questions.low / calls.high, (questions.high / calls.low).min(most))
    }

    /// The tokens of earlier questions that one of so many calls tells on the average.
    fn told(&self, level: u8, calls: Range, per_question: Range) -> Range {
        let of_call = f64::from(self.config.generate.questions[usize::from(level) - 1]);
        let schema = Schema::new("level1", answers::level1_schema(&self.limits(1)));
        let frame = more_tokens(self.prompts, self.config.generate.more, &self.prompts.level1("", schema)) as f64;
        let mean = |calls: f64, per_call: f64, length: f64| {
            let list = (per_call * length * (calls - 1.0) / 2.0).min(self.config.generate.max_prompt_tokens as f64);
            frame * (calls - 1.0) / calls + list
        };
        let (low, high) = (mean(calls.low, 1.0, 0.3 * per_question.low), mean(calls.high, of_call, per_question.high));
        Range::new(self.prompt(low, 0.0).low, self.prompt(high, 0.0).high)
    }

    fn limits(&self, level: u8) -> Limits {
        Limits { questions: self.config.generate.questions[usize::from(level) - 1] as usize, ..Limits::default() }
    }

    fn assumed(&self) -> Vec<String> {
        let habits = &self.known.habits;
        let percent = LEARNT * 100.0;
        let mut assumed = vec![match habits.ratio {
            Some(ratio) => {
                format!("a prompt has {ratio:.2} tokens for every 4 bytes, as extractions so far had, give or take 10 %")
            }
            None => "4 bytes are a token, from 20 % fewer to 25 % more; the model's own tokenizer is not known".to_owned(),
        }];
        if self.embeds {
            assumed.push("screening lets in anything from none to all of the documents that are embedded".to_owned());
        }
        if self.compares {
            assumed.push(
                "no text is equal or similar to another: of such only the first is asked about, and when it goes the next"
                    .to_owned(),
            );
        }
        if self.known.rescreens {
            assumed.push(
                "not counted: what is stored is screened again by the changed settings; what is let in now is extracted, unless \
                 it was before, and its questions are asked"
                    .to_owned(),
            );
        }
        if self.known.reviews {
            assumed.push(
                "not counted: the filters, the judge or the targets have changed; questions that are released are answered, and \
                 answers judged that were not"
                    .to_owned(),
            );
        }
        if self.backlog.read < 1.0 {
            assumed
                .push(format!("the {:.0} % of the documents that were read stand for the rest", self.backlog.read * 100.0));
        }
        assumed.push(match habits.extraction {
            Some(mean) => format!("an extraction has {mean:.0} tokens, as so far, give or take {percent:.0} %"),
            None => format!(
                "an extraction has 30 to 600 tokens and 1 to {} topics, of which 10 to 100 % are new",
                self.config.extract.max_topics
            ),
        });
        let learnt = (1..=3).filter(|level: &usize| habits.questions[*level - 1].is_some());
        let learnt: Vec<String> = learnt.map(|level| level.to_string()).collect();
        assumed.push(if learnt.is_empty() {
            "a combination has from one question (level 1: one in two has none) to the configured most".to_owned()
        } else {
            let levels = learnt.join(", ");
            format!("a combination of level {levels} has as many questions as so far, give or take {percent:.0} %")
        });
        assumed.push(match (habits.question, habits.answer) {
            (Some(question), answer) => format!(
                "a question has {question:.0} tokens and an answer {:.0}, as so far, give or take {percent:.0} %",
                answer.unwrap_or(0.0)
            ),
            (None, _) => "a question has 15 to 150 tokens, an answer 5 to 1000, never more than `max_tokens`".to_owned(),
        });
        assumed.push(match habits.yields {
            Some(yields) => format!("{:.0} % of the starts of level 3 make a combination, as so far", yields * 100.0),
            None => "20 to 100 % of the starts of level 3 make a combination".to_owned(),
        });
        if !self.config.generate.target.is_empty() {
            assumed.push("no question is dropped on the way to a target, beyond those that were so far".to_owned());
        }
        assumed.push("up to one call in ten is repeated, because its answer does not fit".to_owned());
        assumed
    }
}

/// The tokens of a request as they are estimated, without its schema.
pub fn estimated(request: &Request) -> f64 {
    (approximate_tokens(&request.system) + approximate_tokens(&request.user)) as f64
}
