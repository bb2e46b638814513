//! One thing asked of the model until an answer fits: the request, its repairs, and the answers that the journal already holds.

use std::sync::Arc;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde::{Deserialize, Serialize};
use synthllm_llm::{CallError, Completion, EmbeddingRequest, Embeddings, Prompts, Request, Task, TaskSettings};
use synthllm_operators::journal::Hit;
use synthllm_operators::record::{Answer, JournalKey, Origin, Usage};

/// A call of the model.
#[derive(Clone, Debug)]
pub struct Call {
    /// Its identity in the journal.
    pub key: JournalKey,
    /// The record for which it is asked.
    pub origin: Origin,
    /// The request.
    pub request: Request,
}

/// A call for an embedding.
#[derive(Clone, Debug)]
pub struct EmbedCall {
    /// Its identity in the journal.
    pub key: JournalKey,
    /// The record for which it is asked.
    pub origin: Origin,
    /// The text.
    pub request: EmbeddingRequest,
}

impl EmbedCall {
    /// A call about `subject`, for an embedding of so many numbers.
    pub fn new(origin: Origin, subject: &str, text: &str, dimensions: Option<usize>, settings: &TaskSettings) -> Self {
        let key = JournalKey {
            task: Task::Embed.name().to_owned(),
            subject: subject.to_owned(),
            question: 0,
            candidate: 0,
            attempt: 0,
            redo: 0,
            request: EmbeddingRequest::hash_of(text, settings),
        };
        EmbedCall { key, origin, request: EmbeddingRequest { inputs: vec![text.to_owned()], dimensions } }
    }
}

/// The reply to a call.
#[derive(Clone, Debug)]
pub struct Replied {
    /// The call's identity.
    pub key: JournalKey,
    /// What the model answered.
    pub outcome: Result<Answer, CallError>,
}

/// What to do next.
#[derive(Debug)]
pub enum Step {
    /// Ask the model.
    Ask(Call),
    /// The journal has the answer: it was paid for in an earlier run.
    Known(Answer),
}

/// What the whole inquiry has cost.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Spent {
    /// Tokens and calls.
    pub usage: Usage,
    /// In the currency of the configured prices.
    pub cost: f64,
    /// The model that answered last.
    pub model: String,
}

impl Spent {
    /// Adds what an answer has cost.
    pub fn add(&mut self, answer: &Answer) {
        self.usage += answer.usage;
        self.cost += answer.cost;
        self.model.clone_from(&answer.model);
    }

    /// Adds what another inquiry has cost.
    pub fn plus(&mut self, other: &Spent) {
        self.usage += other.usage;
        self.cost += other.cost;
        self.model.clone_from(&other.model);
    }

    /// One of `parts` equal shares; the first ones carry what doesn't divide.
    #[must_use]
    pub fn share(&self, part: u64, parts: u64) -> Spent {
        let share = |whole: u64| whole / parts + u64::from(part < whole % parts);
        Spent {
            usage: Usage {
                calls: share(u64::from(self.usage.calls)) as u32,
                prompt_tokens: share(self.usage.prompt_tokens),
                completion_tokens: share(self.usage.completion_tokens),
            },
            cost: self.cost / parts as f64,
            model: self.model.clone(),
        }
    }
}

/// A request, its repairs and its costs.
#[derive(Debug)]
pub struct Inquiry {
    origin: Origin,
    key: JournalKey,
    request: Request,
    hits: Vec<Hit>,
    first_request: u128,
    settings: Arc<TaskSettings>,
    attempts: u32,
    /// What it has cost so far.
    pub spent: Spent,
}

impl Inquiry {
    /// An inquiry about `subject`. At most `attempts` answers are looked at.
    pub fn new(
        origin: Origin,
        subject: &str,
        request: Request,
        settings: Arc<TaskSettings>,
        attempts: u32,
        hits: Vec<Hit>,
    ) -> Self {
        let key = JournalKey {
            task: request.task.name().to_owned(),
            subject: subject.to_owned(),
            question: 0,
            candidate: 0,
            attempt: 0,
            redo: 0,
            request: request.canonical_hash(&settings),
        };
        let first_request = key.request;
        Inquiry { origin, key, request, hits, first_request, settings, attempts, spent: Spent::default() }
    }

    /// The same about one candidate answer to one question of the subject.
    #[must_use]
    pub fn of_candidate(mut self, question: u32, candidate: u32) -> Self {
        self.key.question = question;
        self.key.candidate = candidate;
        self
    }

    /// The same, paid for again on purpose.
    #[must_use]
    pub fn of_redo(mut self, redo: u32) -> Self {
        self.key.redo = redo;
        self
    }

    /// What to do about the present attempt.
    pub fn step(&self) -> Step {
        match self.hits.iter().find(|hit| hit.key == self.key) {
            Some(hit) => Step::Known(hit.answer.clone()),
            None => Step::Ask(Call { key: self.key.clone(), origin: self.origin, request: self.request.clone() }),
        }
    }

    /// The hash of its first request, before any repair.
    pub fn first_request(&self) -> u128 {
        self.first_request
    }

    /// Which call it waits for.
    pub fn key(&self) -> &JournalKey {
        &self.key
    }

    /// Prepares the next attempt after an answer that did not fit; `problem` tells the model what was wrong. Returns false when
    /// the attempts are used up.
    pub fn repair(&mut self, prompts: &Prompts, answer: &str, problem: &str) -> bool {
        if self.key.attempt + 1 >= self.attempts {
            return false;
        }
        self.request = prompts.repair(&self.request, answer, problem);
        self.key.attempt += 1;
        self.key.request = self.request.canonical_hash(&self.settings);
        true
    }
}

/// Embeddings as a record of the journal: the text is the first one's numbers, little-endian, in base64.
pub fn embedded(origin: Origin, embeddings: Embeddings) -> Answer {
    let numbers = embeddings.vectors.first().map_or(&[][..], Vec::as_slice);
    let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
    Answer {
        origin,
        text: BASE64_STANDARD.encode(bytes),
        truncated: false,
        model: embeddings.model,
        usage: Usage { calls: 1, prompt_tokens: embeddings.usage.prompt_tokens, completion_tokens: 0 },
        cost: embeddings.cost,
    }
}

/// The embedding that such a record holds; nothing where it is none.
pub fn embedding(answer: &Answer) -> Option<Vec<f32>> {
    let bytes = BASE64_STANDARD.decode(&answer.text).ok()?;
    let numbers = bytes.chunks(4).map(|four| Some(f32::from_le_bytes(four.try_into().ok()?)));
    numbers.collect::<Option<Vec<f32>>>().filter(|numbers| !numbers.is_empty())
}

/// The completion as a record of the journal.
pub fn answer(origin: Origin, completion: Completion) -> Answer {
    Answer {
        origin,
        text: completion.text,
        truncated: completion.truncated,
        model: completion.model,
        usage: Usage {
            calls: 1,
            prompt_tokens: completion.usage.prompt_tokens,
            completion_tokens: completion.usage.completion_tokens,
        },
        cost: completion.cost,
    }
}

#[cfg(test)]
mod tests {
    use synthllm_llm::Usage as Counted;

    use super::*;

    #[test]
    fn an_embedding_comes_back_from_the_journal_bit_by_bit() {
        let numbers = vec![0.1_f32, -3.0e-9, f32::MAX];
        let usage = Counted { prompt_tokens: 3, completion_tokens: 0 };
        let brought = Embeddings { vectors: vec![numbers.clone()], model: "m".into(), usage, cost: 0.5 };
        let mut answer = embedded(Origin { shard: 0, offset: 7 }, brought);
        assert_eq!((embedding(&answer), answer.usage.calls, answer.usage.prompt_tokens), (Some(numbers), 1, 3));
        answer.text = "no base64, and no numbers".to_owned();
        assert_eq!(embedding(&answer), None);
    }
}
