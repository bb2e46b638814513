//! Embeddings of the scripted server: hashed bags of words, so that texts with common words lie near each other.

use serde_json::{Value, json};
use xxhash_rust::xxh3::xxh3_64;

use super::Fault;

/// The numbers of an embedding.
const DIMENSIONS: usize = 64;

/// The texts of a request for embeddings; nothing of another.
pub fn inputs(request: &Value) -> Option<Vec<String>> {
    match &request["input"] {
        Value::String(text) => Some(vec![text.clone()]),
        Value::Array(texts) => Some(texts.iter().filter_map(Value::as_str).map(str::to_owned).collect()),
        _ => None,
    }
}

/// The body of the response, bent by the fault. `Says` is the whole body.
pub fn response(inputs: &[String], model: &str, fault: Option<&Fault>) -> String {
    let mut vectors: Vec<Vec<f64>> = inputs.iter().map(|text| embedding(text)).collect();
    match fault {
        Some(Fault::WrongJson) => return "<html>not what you asked for</html>".into(),
        Some(Fault::Says(body)) => return body.clone(),
        Some(Fault::WrongAnswer | Fault::SchemaViolation) => _ = vectors.pop(),
        Some(Fault::Truncated) => vectors.iter_mut().for_each(|vector| vector.truncate(DIMENSIONS / 2)),
        _ => {}
    }
    let data = vectors
        .iter()
        .enumerate()
        .map(|(index, vector)| json!({"object": "embedding", "index": index, "embedding": vector}));
    let tokens = inputs.iter().map(String::len).sum::<usize>() / 4 + 1;
    json!({
        "object": "list", "model": model, "data": data.collect::<Vec<_>>(),
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    })
    .to_string()
}

/// The embedding of a text: how often words of each hash occur, of length 1.
pub fn embedding(text: &str) -> Vec<f64> {
    let mut counts = vec![0.0; DIMENSIONS];
    for word in text.split(|c: char| !c.is_alphabetic()).filter(|word| !word.is_empty()) {
        counts[xxh3_64(word.to_lowercase().as_bytes()) as usize % DIMENSIONS] += 1.0;
    }
    let length = counts.iter().map(|count| count * count).sum::<f64>().sqrt();
    if length > 0.0 {
        counts.iter_mut().for_each(|count| *count /= length);
    }
    counts
}
