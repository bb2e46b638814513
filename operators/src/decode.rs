//! Decodes the records of `documents`, and lines of files into such records (design.md §2).
//!
//! Input: key and value of a record, as anybody may have written them. Output: a [`Document`], or a [`Rejection`] that names the
//! place and the reason. Law: never a panic; the same bytes give the same outcome. Cost: linear in the bytes.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value};
use xxhash_rust::xxh3::Xxh3;

use crate::id::document_key_of_text;
use crate::record::{Document, Topic};

/// How long things may be. What is longer is rejected, not cut: a document in the graph is the one that was written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// The longest key, in bytes.
    pub key_bytes: usize,
    /// The longest value, in bytes.
    pub value_bytes: usize,
    /// The longest text, in bytes.
    pub text_bytes: usize,
    /// The longest name of a topic or key concept, in bytes.
    pub name_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { key_bytes: 1024, value_bytes: 16 << 20, text_bytes: 8 << 20, name_bytes: 1024 }
    }
}

/// Why a record is no document: where in it, and what is wrong.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{place}: {reason}")]
pub struct Rejection {
    /// `key`, `value`, or the path of a field, e.g. `topics[2].name`.
    pub place: String,
    /// What is wrong, for a person.
    pub reason: String,
}

impl Rejection {
    fn new(place: impl fmt::Display, reason: impl fmt::Display) -> Self {
        Rejection { place: place.to_string(), reason: reason.to_string() }
    }
}

/// The fields that a document is made of; all others are metadata.
const FIELDS: [&str; 8] = ["id", "text", "topics", "concepts", "source", "url", "license", "redo"];

/// The id of the document with this key.
pub fn document_id<'a>(key: &'a [u8], limits: &Limits) -> Result<&'a str, Rejection> {
    check_length("key", key.len(), limits.key_bytes)?;
    let id = std::str::from_utf8(key).map_err(|error| Rejection::new("key", not_utf8(error)))?;
    if id.is_empty() { Err(Rejection::new("key", "is empty, expected the document's id")) } else { Ok(id) }
}

/// Decodes a record that is not a tombstone.
///
/// ```
/// use synthllm_operators::decode::{Limits, decode};
/// let document = decode(b"a", br#"{"text": "Groups act on sets.", "concepts": ["group action"], "year": 1872}"#, &Limits::default());
/// assert_eq!(document?.metadata["year"], "1872");
/// let rejection = decode(b"a", br#"{"text": 7}"#, &Limits::default()).unwrap_err();
/// assert_eq!(rejection.to_string(), "text: expected a string, found a number");
/// # Ok::<(), synthllm_operators::decode::Rejection>(())
/// ```
pub fn decode(key: &[u8], value: &[u8], limits: &Limits) -> Result<Document, Rejection> {
    let id = document_id(key, limits)?;
    let mut fields = object(value, limits)?;
    check_id(fields.get("id"), id)?;
    let document = Document {
        text: text_of(&fields, limits)?,
        topics: topics(fields.get("topics"), limits)?,
        concepts: names("concepts", fields.get("concepts"), limits)?,
        source: string("source", fields.get("source"))?,
        url: string("url", fields.get("url"))?,
        license: string("license", fields.get("license"))?,
        redo: redo(fields.get("redo"))?,
        metadata: metadata(&mut fields),
    };
    if document.text.is_none() && own_concepts(&document).is_none() {
        return Err(Rejection::new("value", "the document has neither text nor topics nor concepts"));
    }
    Ok(document)
}

/// A line of a JSONL file as a record of `documents`: its key is the line's `id`, or the hash of its `text`.
pub fn ingest_line(line: &[u8], limits: &Limits) -> Result<(String, Vec<u8>), Rejection> {
    let fields = object(line, limits)?;
    let key = match fields.get("id") {
        None | Some(Value::Null) => match text_of(&fields, limits)? {
            Some(text) => document_key_of_text(&text),
            None => return Err(Rejection::new("id", "missing, and there is no text to make one from")),
        },
        Some(id) => id_text(id)?,
    };
    decode(key.as_bytes(), line, limits)?;
    Ok((key, line.trim_ascii().to_vec()))
}

/// A hash of all that is used of a document (text, topics, concepts, source, url, license): equal documents, equal hashes.
/// Metadata is not part of it, so that a changed time stamp pays for nothing; nor is the redo number, so that the document may come
/// again without it.
pub fn content_hash(document: &Document) -> u128 {
    let mut hash = Xxh3::new();
    hash.update(b"document");
    hash_option(&mut hash, document.text.as_deref());
    hash_count(&mut hash, document.topics.len());
    for topic in &document.topics {
        hash_text(&mut hash, &topic.name);
        hash_list(&mut hash, &topic.key_concepts);
    }
    hash_list(&mut hash, &document.concepts);
    for field in [&document.source, &document.url, &document.license] {
        hash_option(&mut hash, field.as_deref());
    }
    hash.digest128()
}

/// The topics and the key concepts without topic that a document brings itself, if it brings any.
pub fn own_concepts(document: &Document) -> Option<(Vec<Topic>, Vec<String>)> {
    let some = !document.topics.is_empty() || !document.concepts.is_empty();
    some.then(|| (document.topics.clone(), document.concepts.clone()))
}

fn object(value: &[u8], limits: &Limits) -> Result<Map<String, Value>, Rejection> {
    check_length("value", value.len(), limits.value_bytes)?;
    let text = std::str::from_utf8(value).map_err(|error| Rejection::new("value", not_utf8(error)))?;
    match serde_json::from_str(text) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(other) => Err(expected("value", "an object", &other)),
        Err(error) => Err(Rejection::new("value", format_args!("not JSON: {error}"))),
    }
}

fn check_id(inside: Option<&Value>, key: &str) -> Result<(), Rejection> {
    let Some(inside) = inside.filter(|id| !id.is_null()) else { return Ok(()) };
    let inside = id_text(inside)?;
    if inside == key {
        return Ok(());
    }
    Err(Rejection::new("id", format_args!("{inside:?} is not the record's key {key:?}")))
}

/// Ids may be numbers in a file; as keys they are text.
fn id_text(id: &Value) -> Result<String, Rejection> {
    match id {
        Value::String(id) if id.is_empty() => Err(Rejection::new("id", "is empty")),
        Value::String(id) => Ok(id.clone()),
        Value::Number(id) => Ok(id.to_string()),
        other => Err(expected("id", "a string or a number", other)),
    }
}

fn text_of(fields: &Map<String, Value>, limits: &Limits) -> Result<Option<String>, Rejection> {
    let text = string("text", fields.get("text"))?;
    check_length("text", text.as_ref().map_or(0, String::len), limits.text_bytes)?;
    Ok(text.filter(|text| !text.trim().is_empty()))
}

fn topics(value: Option<&Value>, limits: &Limits) -> Result<Vec<Topic>, Rejection> {
    let items = array("topics", value)?;
    let topics = items.iter().enumerate().map(|(index, item)| topic(&format!("topics[{index}]"), item, limits));
    topics.filter_map(Result::transpose).collect()
}

/// A topic; one without a name is none.
fn topic(place: &str, value: &Value, limits: &Limits) -> Result<Option<Topic>, Rejection> {
    let (name, key_concepts) = match value {
        Value::String(_) => (name(place, value, limits)?, Vec::new()),
        Value::Object(fields) => {
            let name_place = format!("{place}.name");
            let found = fields.get("name").ok_or_else(|| Rejection::new(&name_place, "missing"))?;
            let key_concepts = names(&format!("{place}.key_concepts"), fields.get("key_concepts"), limits)?;
            (name(&name_place, found, limits)?, key_concepts)
        }
        other => return Err(expected(place, "a string or an object", other)),
    };
    Ok(name.map(|name| Topic { name, key_concepts }))
}

fn names(place: &str, value: Option<&Value>, limits: &Limits) -> Result<Vec<String>, Rejection> {
    let items = array(place, value)?;
    let names = items.iter().enumerate().map(|(index, item)| name(&format!("{place}[{index}]"), item, limits));
    names.filter_map(Result::transpose).collect()
}

/// A name without the white space around it; an empty one is none.
fn name(place: &str, value: &Value, limits: &Limits) -> Result<Option<String>, Rejection> {
    let Value::String(name) = value else { return Err(expected(place, "a string", value)) };
    check_length(place, name.len(), limits.name_bytes)?;
    Ok(Some(name.trim().to_owned()).filter(|name| !crate::normal::concept_name(name).is_empty()))
}

fn array<'a>(place: &str, value: Option<&'a Value>) -> Result<&'a [Value], Rejection> {
    match value {
        None | Some(Value::Null) => Ok(&[]),
        Some(Value::Array(items)) => Ok(items),
        Some(other) => Err(expected(place, "a list", other)),
    }
}

fn string(place: &str, value: Option<&Value>) -> Result<Option<String>, Rejection> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(other) => Err(expected(place, "a string", other)),
    }
}

fn redo(value: Option<&Value>) -> Result<u32, Rejection> {
    let Some(value) = value.filter(|value| !value.is_null()) else { return Ok(0) };
    let number = value.as_u64().and_then(|number| u32::try_from(number).ok());
    number.ok_or_else(|| Rejection::new("redo", format_args!("expected a whole number from 0 to {}", u32::MAX)))
}

fn metadata(fields: &mut Map<String, Value>) -> BTreeMap<String, String> {
    let fields = std::mem::take(fields).into_iter();
    fields.filter(|(name, _)| !FIELDS.contains(&name.as_str())).map(|(name, value)| (name, value.to_string())).collect()
}

fn check_length(place: &str, found: usize, limit: usize) -> Result<(), Rejection> {
    if found <= limit {
        return Ok(());
    }
    Err(Rejection::new(place, format_args!("{found} bytes long, the limit is {limit}")))
}

fn expected(place: &str, wanted: &str, found: &Value) -> Rejection {
    Rejection::new(place, format_args!("expected {wanted}, found {}", kind(found)))
}

/// What a JSON value is, in words.
pub(crate) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

fn not_utf8(error: std::str::Utf8Error) -> String {
    format!("not UTF-8 from byte {}", error.valid_up_to())
}

fn hash_count(hash: &mut Xxh3, count: usize) {
    hash.update(&(count as u64).to_le_bytes());
}

fn hash_text(hash: &mut Xxh3, text: &str) {
    hash_count(hash, text.len());
    hash.update(text.as_bytes());
}

fn hash_list(hash: &mut Xxh3, texts: &[String]) {
    hash_count(hash, texts.len());
    for text in texts {
        hash_text(hash, text);
    }
}

fn hash_option(hash: &mut Xxh3, text: Option<&str>) {
    hash.update(&[u8::from(text.is_some())]);
    if let Some(text) = text {
        hash_text(hash, text);
    }
}
