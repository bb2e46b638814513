//! Embeddings: what is asked, and what came back.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use xxhash_rust::xxh3::xxh3_128;

use crate::settings::TaskSettings;
use crate::usage::{Price, Usage};

/// Texts to be embedded by one call of the task `embed`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EmbeddingRequest {
    /// The texts; at least one.
    pub inputs: Vec<String>,
    /// How many numbers each embedding must have, where that is known.
    pub dimensions: Option<usize>,
}

/// The embeddings of a request.
#[derive(Clone, PartialEq, Debug)]
pub struct Embeddings {
    /// One for each input, in its order; all of one length and finite.
    pub vectors: Vec<Vec<f32>>,
    /// The model, as the endpoint names it.
    pub model: String,
    /// The tokens.
    pub usage: Usage,
    /// What they cost.
    pub cost: f64,
}

impl EmbeddingRequest {
    /// The exact body that is sent. Equal requests under equal settings have equal bytes.
    pub fn body(&self, settings: &TaskSettings) -> String {
        let mut fields = std::collections::BTreeMap::from([("encoding_format".to_owned(), json!("float"))]);
        fields.extend(settings.extra.clone());
        fields.insert("model".into(), json!(settings.model));
        fields.insert("input".into(), json!(self.inputs));
        fields.retain(|_, value| !value.is_null());
        json!(fields).to_string()
    }

    /// The identity of one text: xxh3-128 of the body that asks for it alone. However texts are batched, it is the same.
    pub fn hash_of(input: &str, settings: &TaskSettings) -> u128 {
        let alone = EmbeddingRequest { inputs: vec![input.to_owned()], dimensions: None };
        xxh3_128(alone.body(settings).as_bytes())
    }

    /// What an answer must be like.
    pub(crate) fn expected(&self) -> Expected {
        Expected { count: self.inputs.len(), dimensions: self.dimensions }
    }
}

/// What an answer must be like.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expected {
    count: usize,
    dimensions: Option<usize>,
}

#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    model: String,
    data: Vec<Item>,
    #[serde(default)]
    usage: Option<Counts>,
}

#[derive(Deserialize)]
struct Item {
    #[serde(default)]
    index: Option<usize>,
    embedding: Value,
}

#[derive(Deserialize)]
struct Counts {
    #[serde(default)]
    prompt_tokens: Option<u64>,
}

/// Reads the body of a response; the error says what is wrong with it.
pub(crate) fn read(body: &[u8], expected: Expected, request_bytes: usize, price: Price) -> Result<Embeddings, String> {
    let body: Body = serde_json::from_slice(body).map_err(|error| format!("the response holds no embeddings: {error}"))?;
    let vectors = vectors(body.data, expected.count)?;
    let dimensions = expected.dimensions.unwrap_or(vectors[0].len());
    if let Some(other) = vectors.iter().find(|vector| vector.len() != dimensions) {
        return Err(format!("the response has an embedding of {} numbers, expected {dimensions}", other.len()));
    }
    let counted = body.usage.and_then(|usage| usage.prompt_tokens);
    let usage = Usage { prompt_tokens: counted.unwrap_or_else(|| request_bytes.div_ceil(4) as u64), completion_tokens: 0 };
    Ok(Embeddings { vectors, model: body.model, usage, cost: price.cost(usage) })
}

/// The vectors in the order of their inputs: by `index` where the server says it, else as they come.
fn vectors(items: Vec<Item>, count: usize) -> Result<Vec<Vec<f32>>, String> {
    if items.len() != count {
        return Err(format!("the response has {} embeddings for {count} texts", items.len()));
    }
    let mut vectors: Vec<Option<Vec<f32>>> = vec![None; count];
    for (place, item) in items.into_iter().enumerate() {
        let index = item.index.unwrap_or(place);
        let slot = vectors.get_mut(index).filter(|slot| slot.is_none());
        let slot = slot.ok_or_else(|| format!("the response has the index {index} twice or beyond {count} texts"))?;
        *slot = Some(vector(&item.embedding).ok_or_else(|| {
            format!("embedding {index} of the response is empty, or holds something that is no finite number")
        })?);
    }
    Ok(vectors.into_iter().flatten().collect())
}

fn vector(value: &Value) -> Option<Vec<f32>> {
    let numbers = value.as_array().filter(|numbers| !numbers.is_empty())?;
    numbers.iter().map(|number| number.as_f64().map(|number| number as f32).filter(|number| number.is_finite())).collect()
}

/// Either thing that a call can bring.
#[derive(Debug)]
pub(crate) enum Answered {
    Completion(crate::completion::Completion),
    Embeddings(Embeddings),
}

/// How the body of a response is read.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reading {
    Completion,
    Embeddings(Expected),
}

impl Reading {
    /// What a body holds; the error says what is wrong with it.
    pub fn read(self, body: &[u8], request_bytes: usize, price: Price, latency: Duration) -> Result<Answered, String> {
        match self {
            Reading::Completion => crate::completion::read(body, request_bytes, price, latency).map(Answered::Completion),
            Reading::Embeddings(expected) => read(body, expected, request_bytes, price).map(Answered::Embeddings),
        }
    }
}

impl Answered {
    pub fn usage(&self) -> Usage {
        match self {
            Answered::Completion(completion) => completion.usage,
            Answered::Embeddings(embeddings) => embeddings.usage,
        }
    }

    pub fn cost(&self) -> f64 {
        match self {
            Answered::Completion(completion) => completion.cost,
            Answered::Embeddings(embeddings) => embeddings.cost,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn problem(body: &str, count: usize, dimensions: Option<usize>) -> String {
        let expected = Expected { count, dimensions };
        read(body.as_bytes(), expected, 400, Price::default()).expect_err("the body is wrong")
    }

    #[test]
    fn vectors_are_put_in_the_order_of_their_texts_and_tokens_are_counted_or_estimated() {
        let body = r#"{"model":"m","data":[{"index":1,"embedding":[0.5,1]},{"index":0,"embedding":[2,3]}],"usage":{"prompt_tokens":7}}"#;
        let price = Price { prompt: 1e6, completion: 0.0 };
        let expected = Expected { count: 2, dimensions: Some(2) };
        let embeddings = read(body.as_bytes(), expected, 400, price).expect("the body is right");
        assert_eq!(embeddings.vectors, [[2.0, 3.0], [0.5, 1.0]]);
        assert_eq!((embeddings.usage.prompt_tokens, embeddings.model.as_str()), (7, "m"));
        assert!((embeddings.cost - 7.0).abs() < 1e-9);
        let uncounted = br#"{"data":[{"embedding":[1]}]}"#;
        let embeddings = read(uncounted, Expected { count: 1, dimensions: None }, 400, price).expect("the body is right");
        assert_eq!(embeddings.usage.prompt_tokens, 100);
    }

    #[test]
    fn what_is_wrong_with_a_response_is_said() {
        let cases = [
            (r#"{"data":[]}"#, 1, None, "the response has 0 embeddings for 1 texts"),
            (r#"{"data":[{"embedding":[1,2]}]}"#, 1, Some(3), "an embedding of 2 numbers, expected 3"),
            (r#"{"data":[{"embedding":[1,2]},{"embedding":[1]}]}"#, 2, None, "an embedding of 1 numbers, expected 2"),
            (r#"{"data":[{"embedding":[]}]}"#, 1, None, "embedding 0 of the response is empty"),
            (r#"{"data":[{"embedding":[1,null]}]}"#, 1, None, "something that is no finite number"),
            (r#"{"data":[{"embedding":[1,1e300]}]}"#, 1, None, "something that is no finite number"),
            (r#"{"data":[{"embedding":"AAAA"}]}"#, 1, None, "something that is no finite number"),
            (r#"{"data":[{"index":0,"embedding":[1]},{"index":0,"embedding":[1]}]}"#, 2, None, "the index 0 twice"),
            (r#"{"data":[{"index":4,"embedding":[1]}]}"#, 1, None, "the index 4 twice or beyond"),
            ("<html>", 1, None, "the response holds no embeddings"),
        ];
        for (body, count, dimensions, words) in cases {
            let said = problem(body, count, dimensions);
            assert!(said.contains(words), "{said}");
        }
    }

    #[test]
    fn the_identity_of_a_text_is_that_of_the_model_and_the_text() {
        let settings = TaskSettings::new("http://127.0.0.1:1/v1", "m");
        let hash = |settings: &TaskSettings| EmbeddingRequest::hash_of("text", settings);
        assert_eq!(hash(&settings), hash(&TaskSettings { endpoint: "http://127.0.0.1:2/v1".into(), ..settings.clone() }));
        assert_ne!(hash(&settings), hash(&TaskSettings { model: "other".into(), ..settings.clone() }));
        assert_ne!(hash(&settings), EmbeddingRequest::hash_of("other text", &settings));
    }

    proptest! {
        #[test]
        fn no_body_makes_it_panic(body in "(\\{|\\}|\"data\":|\\[|\\]|\"embedding\":|[0-9,.]|\\PC){0,16}", count in 1..3_usize) {
            let _ = read(body.as_bytes(), Expected { count, dimensions: None }, 0, Price::default());
        }
    }
}
