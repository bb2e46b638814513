//! What the calls of a record may need: its whole chain, each call once (protocol.md, "Window, permits, stop, limits").
//!
//! An answer has at most `max_tokens`. Of a prompt the tokenizer is not known: `SAFETY` times the estimate of
//! [`approximate_tokens`] is taken for the most, which is a token for two ASCII characters, and two for any other. Repairs are not
//! reserved: there are few, and most calls use a fraction of what is reserved for them. So the overshoot of a budget is at most
//! what the repairs of the records under way use beyond what their other calls have left.

use synthllm_llm::request::approximate_tokens;
use synthllm_llm::{More, Price, Prompts, Request, Schema, Task, TaskSettings};
use synthllm_log::Record;
use synthllm_operators::answers;
use synthllm_operators::budget::Amount;
use synthllm_operators::judgement;
use synthllm_operators::record::Combination;

use super::screen::Screen;
use crate::config::{Config, Source, TaskConfig};

/// A prompt has at most so many times the tokens that are estimated.
const SAFETY: u64 = 2;

/// One call of a task.
#[derive(Clone, Debug)]
struct Call {
    /// The tokens of a request without its documents, concepts and questions, as estimated.
    frame: u64,
    longest_answer: u64,
    price: Price,
}

impl Call {
    fn new(task: &TaskConfig, empty: &Request) -> Self {
        Call {
            frame: approximate_tokens(&empty.body(&task.settings)) as u64,
            longest_answer: longest_answer(&task.settings),
            price: task.settings.price,
        }
    }

    /// With documents, concepts or a question of so many tokens, as estimated.
    fn at_most(&self, content: u64) -> Amount {
        amount(self.price, SAFETY * (self.frame + content), self.longest_answer)
    }
}

/// Tokens and what they cost, in billionths, rounded up.
pub fn amount(price: Price, prompt: u64, completion: u64) -> Amount {
    let cost = price.cost(synthllm_llm::Usage { prompt_tokens: prompt, completion_tokens: completion });
    Amount { tokens: prompt + completion, cost: billionths(cost) }
}

/// Money in billionths, rounded up.
pub fn billionths(cost: f64) -> u64 {
    (cost * 1e9).ceil() as u64
}

/// The most tokens of an answer. A request's own fields win over `max_tokens`.
pub fn longest_answer(settings: &TaskSettings) -> u64 {
    let own = ["max_tokens", "max_completion_tokens"].map(|field| settings.extra.get(field));
    let said = own.iter().flatten().filter_map(|value| value.as_u64()).max();
    said.unwrap_or(u64::from(settings.max_tokens))
}

/// What a call with this body may need.
pub fn of_body(settings: &TaskSettings, body: &str, longest_answer: u64) -> Amount {
    amount(settings.price, SAFETY * approximate_tokens(body) as u64, longest_answer)
}

/// What the documents of extract need.
#[derive(Clone, Debug)]
pub struct OfDocuments {
    call: Call,
    asks: bool,
    longest_text: u64,
    embedding: Option<OfEmbedding>,
}

/// What the embedding of a document needs.
#[derive(Clone, Copy, Debug)]
struct OfEmbedding {
    price: Price,
    /// A text is cut to so many characters.
    longest_text: u64,
}

/// The tokens, as estimated, of a request for an embedding without its text.
const EMBEDDING_FRAME: u64 = 32;

impl OfEmbedding {
    fn at_most(self, content: u64) -> Amount {
        amount(self.price, SAFETY * (EMBEDDING_FRAME + content.min(self.longest_text)), 0)
    }
}

impl OfDocuments {
    /// With these settings.
    pub fn new(config: &Config, prompts: &Prompts, screen: &Screen) -> Self {
        let price = config.llm.of(Task::Embed).settings.price;
        let schema = Schema::new("extraction", answers::extraction_schema(&config.extraction_limits()));
        OfDocuments {
            call: Call::new(config.llm.of(Task::Extract), &prompts.extract("", schema)),
            asks: config.extract.source != Source::Document,
            longest_text: config.extract.max_prompt_tokens as u64,
            embedding: screen.longest().map(|longest| OfEmbedding { price, longest_text: longest as u64 }),
        }
    }

    /// A record of `documents`; nothing for a deletion. Whether it is unchanged, rejected or brings its own concepts is not known
    /// yet.
    pub fn need(&self, record: &Record) -> Amount {
        match &record.value {
            Some(value) => self.of_text(tokens_of_bytes(value), true, self.asks),
            None => Amount::default(),
        }
    }

    /// A stored document of unknown length, which may have to be embedded, and extracted.
    pub fn of_stored(&self, embeds: bool, extracts: bool) -> Amount {
        self.of_text(u64::MAX / 8, embeds, extracts && self.asks)
    }

    fn of_text(&self, tokens: u64, embeds: bool, extracts: bool) -> Amount {
        let embedding = self.embedding.filter(|_| embeds).map(|embedding| embedding.at_most(tokens));
        let extraction = extracts.then(|| self.call.at_most(tokens.min(self.longest_text)));
        embedding.unwrap_or_default().plus(extraction.unwrap_or_default())
    }
}

fn tokens_of_bytes(bytes: &[u8]) -> u64 {
    let ascii = bytes.iter().filter(|byte| byte.is_ascii()).count();
    (ascii.div_ceil(4) + (bytes.len() - ascii)) as u64
}

/// The tokens, as estimated, by which a request for more questions is longer, without the questions that are told.
pub fn more_tokens(prompts: &Prompts, more: More, empty: &Request) -> u64 {
    let more = prompts.more(more, 1, empty.clone(), ("", &[]));
    (approximate_tokens(&more.user) - approximate_tokens(&empty.user)) as u64
}

/// What the combinations of generate need.
#[derive(Clone, Debug)]
pub struct OfCombinations {
    /// Of levels 1, 2, 3.
    questions: [Call; 3],
    answer: Call,
    /// The judgement of an answer, with the tokens of the longest one.
    judge: Option<(Call, u64)>,
    /// The most calls for questions, and questions of a call, of a combination of levels 1, 2, 3.
    calls: [u64; 3],
    questions_of_call: [u64; 3],
    /// The answers to a question.
    candidates: u64,
    /// Of the texts, and of the earlier questions that are told.
    longest_texts: u64,
    longest_question: u64,
    /// The tokens of what asks for more, without the questions that are told.
    more: u64,
}

impl OfCombinations {
    /// With these settings.
    pub fn new(config: &Config, prompts: &Prompts) -> Self {
        let limits = config
            .generate
            .questions
            .map(|questions| answers::Limits { questions: questions as usize, ..answers::Limits::default() });
        let combined = |level: usize| Schema::new("combined", answers::combined_schema(&limits[level - 1]));
        let empty = [
            prompts.level1("", Schema::new("level1", answers::level1_schema(&limits[0]))),
            prompts.level2("", &[], combined(2)),
            prompts.level3(["", ""], &[], combined(3)),
        ];
        let more = more_tokens(prompts, config.generate.more, &empty[0]);
        let question = config.llm.of(Task::Question);
        let (calls, questions_of_call) = (config.generate.calls.map(u64::from), config.generate.questions.map(u64::from));
        OfCombinations {
            questions: empty.map(|request| Call::new(question, &request)),
            answer: Call::new(config.llm.of(Task::Answer), &prompts.answer("")),
            judge: config.generate.judges().then(|| {
                let empty = prompts.judge("", "", Schema::new("judge", judgement::schema()));
                (Call::new(config.llm.of(Task::Judge), &empty), longest_answer(&config.llm.of(Task::Answer).settings))
            }),
            calls,
            questions_of_call,
            candidates: u64::from(config.generate.answers),
            longest_texts: config.generate.max_prompt_tokens as u64,
            longest_question: limits[0].question_length.div_ceil(4) as u64,
            more,
        }
    }

    /// A record of `combinations`: its questions, and the answers to all of them.
    pub fn need(&self, record: &Record) -> Amount {
        let value = record.value.as_deref().unwrap_or_default();
        // What can't be read ends the run when it is read.
        Combination::of_record(value).map_or(Amount::default(), |(combination, _)| self.of(&combination))
    }

    /// The answers to one question, and their judgement.
    pub fn of_one_question(&self) -> Amount {
        self.answer.at_most(self.longest_question).times(self.candidates).plus(self.of_one_judgement())
    }

    /// The judgement of one answer, where there is a judge.
    pub fn of_one_judgement(&self) -> Amount {
        // What an answer has in tokens its prompt has, too: it is not estimated, but counts at most twice.
        let judgement = self.judge.as_ref().map(|(call, answer)| call.at_most(self.longest_question + answer));
        judgement.unwrap_or_default()
    }

    fn of(&self, combination: &Combination) -> Amount {
        let level = usize::from(combination.level.clamp(1, 3)) - 1;
        let concepts: usize = combination.walk.iter().map(|node| approximate_tokens(&node.name) + 2).sum();
        let content = self.longest_texts + concepts as u64;
        let questions = (0..self.calls[level]).map(|call| {
            let told = call * self.questions_of_call[level] * self.longest_question;
            // Rephrasings are told which question it is about besides.
            let told = if call > 0 { self.more + self.longest_question + told.min(self.longest_texts) } else { 0 };
            self.questions[level].at_most(content + told)
        });
        let answers = self.of_one_question().times(self.calls[level] * self.questions_of_call[level]);
        questions.fold(answers, Amount::plus)
    }
}
