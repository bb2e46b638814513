//! Small corpora whose documents share topics and key concepts, so that walks find their way.

use serde_json::{Value, json};
use xxhash_rust::xxh3::xxh3_64_with_seed;

const TOPICS: [&str; 4] = ["algebra", "geometry", "analysis", "statistics"];
const CONCEPTS: [&str; 12] = [
    "matrix",
    "vector",
    "eigenvalue",
    "tensor",
    "circle",
    "angle",
    "limit",
    "series",
    "integral",
    "variance",
    "median",
    "sample mean",
];

/// A document that brings its own topics and key concepts, and a text.
pub fn document(number: u64, revision: u64) -> Value {
    let topics: Vec<Value> = chosen(&TOPICS, 2, number, revision)
        .into_iter()
        .map(|topic| json!({"name": topic, "key_concepts": chosen(&CONCEPTS, 3, number, revision ^ topic.len() as u64)}))
        .collect();
    json!({
        "id": id(number),
        "text": text(number, revision),
        "topics": topics,
        "concepts": chosen(&CONCEPTS, 2, number, revision + 100),
        "source": "tests",
        "license": "CC0-1.0",
    })
}

/// A document that brings a text only, so that the model is asked for its concepts.
pub fn plain_document(number: u64, revision: u64) -> Value {
    json!({"id": id(number), "text": text(number, revision), "source": "tests"})
}

/// Documents `0..count`; every third is plain.
pub fn corpus(count: u64) -> Vec<Value> {
    (0..count).map(|number| any_document(number, 0)).collect()
}

/// The document of this number in a [`corpus`], in another revision.
pub fn any_document(number: u64, revision: u64) -> Value {
    if number % 3 == 2 { plain_document(number, revision) } else { document(number, revision) }
}

/// The id of a document.
pub fn id(number: u64) -> String {
    format!("document-{number}")
}

/// The beginning of the text of a document, which no other document and revision has.
pub fn mark(number: u64, revision: u64) -> String {
    format!("Note {number} in revision {revision}:")
}

fn text(number: u64, revision: u64) -> String {
    let words = [chosen(&TOPICS, 2, number, revision), chosen(&CONCEPTS, 6, number, revision + 200)].concat();
    format!("{} {} belong together.", mark(number, revision), words.join(", "))
}

/// `count` of the names, a function of number and revision.
fn chosen<'a>(names: &[&'a str], count: usize, number: u64, revision: u64) -> Vec<&'a str> {
    let mut names = names.to_vec();
    let rank = |name: &str| xxh3_64_with_seed(format!("{name}/{number}").as_bytes(), revision);
    names.sort_by_key(|name| rank(name));
    names.truncate(count);
    names
}
