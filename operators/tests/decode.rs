//! Decoding documents: never a panic, always a document or a reason that names the place.

use proptest::prelude::*;
use serde_json::{Value, json};
use synthllm_operators::decode::{Limits, content_hash, decode, document_id, ingest_line, own_concepts};
use synthllm_operators::record::{Document, Topic};

fn decoded(value: &Value) -> Document {
    decode(b"a", value.to_string().as_bytes(), &Limits::default()).expect("the document is sound")
}

fn rejected(value: &str) -> String {
    decode(b"a", value.as_bytes(), &Limits::default()).expect_err("the document is unsound").to_string()
}

#[test]
fn a_full_document_is_decoded_and_what_is_unknown_becomes_metadata() {
    let document = decoded(&json!({
        "id": "a", "text": "Groups act.", "topics": ["algebra", {"name": " groups ", "key_concepts": ["orbit", "", "stabiliser"]}],
        "concepts": ["action"], "source": "s", "url": "u", "license": "CC0-1.0", "year": 1872, "tags": ["x"],
    }));
    let topic = |name: &str, key_concepts: &[&str]| Topic {
        name: name.into(),
        key_concepts: key_concepts.iter().map(|concept| (*concept).into()).collect(),
    };
    assert_eq!(document.topics, [topic("algebra", &[]), topic("groups", &["orbit", "stabiliser"])]);
    assert_eq!(document.text.as_deref(), Some("Groups act."));
    assert_eq!(own_concepts(&document), Some((document.topics.clone(), vec!["action".to_owned()])));
    let metadata: Vec<(&str, &str)> =
        document.metadata.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(metadata, [("tags", "[\"x\"]"), ("year", "1872")]);
    assert_eq!([document.source, document.url, document.license].map(Option::unwrap), ["s", "u", "CC0-1.0"]);
}

#[test]
fn absent_and_null_are_the_same() {
    let bare = decoded(&json!({"text": "t"}));
    let null = decoded(&json!({"id": null, "text": "t", "topics": null, "concepts": null, "source": null}));
    assert_eq!(bare, null);
    assert_eq!(own_concepts(&bare), None);
}

#[test]
fn a_document_without_text_stands_by_its_concepts() {
    assert_eq!(decoded(&json!({"text": " \n", "concepts": ["orbit"]})).text, None);
}

#[test]
fn a_rejection_names_the_place_and_the_reason() {
    let cases = [
        ("", "value: not JSON: EOF while parsing a value at line 1 column 0"),
        ("{\"text\": \"t\"", "value: not JSON: EOF while parsing an object at line 1 column 12"),
        ("[]", "value: expected an object, found a list"),
        ("{}", "value: the document has neither text nor topics nor concepts"),
        ("{\"text\": \" \", \"topics\": [\"\"]}", "value: the document has neither text nor topics nor concepts"),
        ("{\"text\": 7}", "text: expected a string, found a number"),
        ("{\"text\": \"t\", \"topics\": \"x\"}", "topics: expected a list, found a string"),
        ("{\"topics\": [\"x\", 1]}", "topics[1]: expected a string or an object, found a number"),
        ("{\"topics\": [{\"key_concepts\": []}]}", "topics[0].name: missing"),
        (
            "{\"topics\": [{\"name\": \"x\", \"key_concepts\": [\"y\", {}]}]}",
            "topics[0].key_concepts[1]: expected a string, found an object",
        ),
        ("{\"concepts\": [null]}", "concepts[0]: expected a string, found null"),
        ("{\"id\": \"b\", \"text\": \"t\"}", "id: \"b\" is not the record's key \"a\""),
        ("{\"id\": [], \"text\": \"t\"}", "id: expected a string or a number, found a list"),
        ("{\"text\": \"t\", \"url\": true}", "url: expected a string, found a boolean"),
    ];
    for (value, expected) in cases {
        assert_eq!(rejected(value), expected, "{value}");
    }
}

#[test]
fn bytes_that_are_no_text_are_rejected_where_they_stand() {
    let limits = Limits::default();
    let reason = |key: &[u8], value: &[u8]| decode(key, value, &limits).expect_err("not UTF-8").to_string();
    assert_eq!(reason(b"a", b"{\"text\": \"\xff\"}"), "value: not UTF-8 from byte 10");
    assert_eq!(reason(b"a\xc3", b"{}"), "key: not UTF-8 from byte 1");
    assert_eq!(reason(b"", b"{}"), "key: is empty, expected the document's id");
}

#[test]
fn what_is_too_long_is_rejected_with_its_length_and_the_limit() {
    let limits = Limits { key_bytes: 3, value_bytes: 60, text_bytes: 10, name_bytes: 5 };
    let reason = |key: &[u8], value: &str| decode(key, value.as_bytes(), &limits).expect_err("too long").to_string();
    assert_eq!(reason(b"abcd", "{}"), "key: 4 bytes long, the limit is 3");
    assert_eq!(reason(b"a", &" ".repeat(61)), "value: 61 bytes long, the limit is 60");
    assert_eq!(reason(b"a", r#"{"text": "0123456789A"}"#), "text: 11 bytes long, the limit is 10");
    assert_eq!(reason(b"a", r#"{"concepts": ["x", "abcdef"]}"#), "concepts[1]: 6 bytes long, the limit is 5");
    assert!(document_id(b"abc", &limits).is_ok());
}

#[test]
fn json_nested_too_deep_is_rejected_not_followed() {
    let deep = format!("{{\"text\": \"t\", \"deep\": {}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(rejected(&deep).starts_with("value: not JSON: recursion limit exceeded"));
}

#[test]
fn a_line_s_key_is_its_id_or_the_hash_of_its_text() {
    let limits = Limits::default();
    let key =
        |line: &str| ingest_line(line.as_bytes(), &limits).map(|(key, _)| key).map_err(|rejection| rejection.to_string());
    assert_eq!(key(r#"{"id": "x", "text": "t"}"#), Ok("x".into()));
    assert_eq!(key(r#"{"id": 17, "text": "t"}"#), Ok("17".into()));
    assert_eq!(key(r#"{"text": "t"}"#), Ok(synthllm_operators::id::document_key_of_text("t")));
    assert_eq!(key(r#"{"concepts": ["x"]}"#), Err("id: missing, and there is no text to make one from".into()));
    assert_eq!(key(r#"{"id": "x"}"#), Err("value: the document has neither text nor topics nor concepts".into()));
    let (key, value) = ingest_line(b" {\"id\": 17, \"text\": \"t\"} \r\n", &limits).expect("the line is sound");
    assert_eq!(value, b"{\"id\": 17, \"text\": \"t\"}");
    assert!(decode(key.as_bytes(), &value, &limits).is_ok(), "what ingest writes is what extract reads");
}

#[test]
fn the_content_hash_is_durable_so_its_value_is_pinned() {
    let document =
        decoded(&json!({"text": "t", "topics": [{"name": "n", "key_concepts": ["k"]}], "concepts": ["c"], "url": "u"}));
    assert_eq!(format!("{:032x}", content_hash(&document)), "5012e2f87317d105ecd0802370ac4457");
}

#[test]
fn metadata_is_not_content() {
    assert_eq!(content_hash(&decoded(&json!({"text": "t"}))), content_hash(&decoded(&json!({"text": "t", "fetched": 1}))));
}

/// Documents whose parts are so alike that a sloppy framing would confuse them.
fn document() -> impl Strategy<Value = Document> {
    let word = || "[ab]{0,2}";
    let words = || prop::collection::vec("[ab]{1,2}", 0..3);
    let topics = prop::collection::vec((word(), words()), 0..3);
    let option = || prop::option::of(word());
    (option(), topics, words(), option(), option(), option()).prop_map(|(text, topics, concepts, source, url, license)| {
        let topics = topics.into_iter().map(|(name, key_concepts)| Topic { name, key_concepts }).collect();
        Document { text, topics, concepts, source, url, license, ..Document::default() }
    })
}

/// Sound documents as JSON, to be spoilt.
fn sound_json() -> impl Strategy<Value = String> {
    (any::<String>(), prop::collection::vec("\\PC{0,8}", 0..4), any::<bool>()).prop_map(|(text, concepts, nested)| {
        let topics = if nested { json!([{"name": "t", "key_concepts": concepts}]) } else { json!(concepts) };
        json!({"id": "a", "text": text, "topics": topics, "concepts": concepts, "source": "s", "n": 1.5}).to_string()
    })
}

proptest! {
    #[test]
    fn any_bytes_give_a_document_or_a_reason(key: Vec<u8>, value: Vec<u8>) {
        let limits = Limits::default();
        let _ = ingest_line(&value, &limits);
        if let Err(rejection) = decode(&key, &value, &limits) {
            prop_assert!(!rejection.place.is_empty() && !rejection.reason.is_empty());
        }
    }

    #[test]
    fn spoilt_json_gives_a_document_or_a_reason(json in sound_json(), at: prop::sample::Index, byte: u8, keep: prop::sample::Index) {
        let mut bytes = json.into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        bytes.truncate(keep.index(bytes.len()) + 1);
        let _ = decode(b"a", &bytes, &Limits::default());
        let _ = ingest_line(&bytes, &Limits::default());
    }

    #[test]
    fn equal_content_is_an_equal_hash_and_the_other_way_round(one in document(), other in document()) {
        prop_assert_eq!(one == other, content_hash(&one) == content_hash(&other));
    }
}
