//! The body of a request and its identity: stable, and sensitive to all that the model sees.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::{Value, json};
use synthllm_llm::request::{approximate_tokens, cut};
use synthllm_llm::{Request, Schema, Structured, Task, TaskSettings};

fn settings() -> TaskSettings {
    TaskSettings { temperature: Some(0.5), ..TaskSettings::new("http://127.0.0.1:1/v1", "m") }
}

fn request() -> Request {
    let schema = Schema::new("level1", r#"{"type":"object","properties":{"suitable":{"type":"boolean"}}}"#);
    Request::new(Task::Question, "system", "user", Some(schema))
}

fn body(request: &Request, settings: &TaskSettings) -> Value {
    serde_json::from_str(&request.body(settings)).expect("a body is JSON")
}

#[test]
fn the_body_is_what_the_protocol_asks_for() {
    let expected = json!({
        "model": "m",
        "messages": [{"role": "system", "content": "system"}, {"role": "user", "content": "user"}],
        "max_tokens": 2048,
        "temperature": 0.5,
        "response_format": {"type": "json_schema", "json_schema": {
            "name": "level1", "strict": true, "schema": {"type": "object", "properties": {"suitable": {"type": "boolean"}}}}},
    });
    assert_eq!(body(&request(), &settings()), expected);
}

#[test]
fn endpoints_with_less_get_the_schema_in_the_prompt() {
    for (structured, format) in [(Structured::JsonObject, json!({"type": "json_object"})), (Structured::Prompt, Value::Null)]
    {
        let body = body(&request(), &TaskSettings { structured, ..settings() });
        assert_eq!(body["response_format"], format);
        assert!(body["messages"][1]["content"].as_str().unwrap().ends_with(&*request().schema.unwrap().json));
    }
}

#[test]
fn a_correction_follows_the_answer_that_it_is_about() {
    let messages = body(&request().corrected("wrong", "Again."), &settings())["messages"].clone();
    assert_eq!(messages[2], json!({"role": "assistant", "content": "wrong"}));
    assert_eq!(messages[3], json!({"role": "user", "content": "Again."}));
    assert_eq!(messages.as_array().unwrap().len(), 4);
}

#[test]
fn extra_fields_replace_ours_and_null_takes_them_out() {
    let extra = [("max_tokens".to_owned(), Value::Null), ("temperature".into(), json!(0.1)), ("top_p".into(), json!(0.9))];
    let body = body(&request(), &TaskSettings { extra: extra.into(), ..settings() });
    assert_eq!((&body["temperature"], &body["top_p"]), (&json!(0.1), &json!(0.9)));
    assert!(body.get("max_tokens").is_none());
}

#[test]
fn the_identity_is_durable_so_its_value_is_pinned() {
    assert_eq!(format!("{:032x}", request().canonical_hash(&settings())), "526cad25b2ef521431fc274244ee58e2");
}

#[test]
fn the_identity_depends_on_all_that_the_model_sees_and_on_nothing_else() {
    let (request, settings) = (request(), settings());
    let hash = request.canonical_hash(&settings);
    let elsewhere =
        TaskSettings { endpoint: "http://127.0.0.1:2/v1".into(), max_in_flight: 1, attempts: 1, ..settings.clone() };
    assert_eq!(request.canonical_hash(&elsewhere), hash);
    let requests = [
        Request { system: "another".into(), ..request.clone() },
        Request { user: "another".into(), ..request.clone() },
        Request { schema: None, ..request.clone() },
        Request { seed: Some(1), ..request.clone() },
        Request { max_tokens: Some(1), ..request.clone() },
        request.corrected("a", "b"),
        request.corrected("ab", ""),
    ];
    let settings_changed = [
        TaskSettings { model: "another".into(), ..settings.clone() },
        TaskSettings { temperature: None, ..settings.clone() },
        TaskSettings { seed: Some(2), ..settings.clone() },
        TaskSettings { structured: Structured::Prompt, ..settings.clone() },
        TaskSettings { extra: [("top_p".to_owned(), json!(1))].into(), ..settings.clone() },
    ];
    let mut hashes: BTreeSet<u128> = requests.iter().map(|request| request.canonical_hash(&settings)).collect();
    hashes.extend(settings_changed.iter().map(|settings| request.canonical_hash(settings)));
    hashes.insert(hash);
    assert_eq!(hashes.len(), requests.len() + settings_changed.len() + 1);
}

proptest! {
    #[test]
    fn any_text_makes_a_body_that_is_json(system: String, user: String, answer: String, complaint: String) {
        let request = Request::new(Task::Answer, system.clone(), user.clone(), None).corrected(&answer, &complaint);
        let body = body(&request, &settings());
        prop_assert_eq!(&body["messages"][0]["content"], &json!(system));
        prop_assert_eq!(&body["messages"][1]["content"], &json!(user));
        prop_assert_eq!(&body["messages"][3]["content"], &json!(complaint));
    }

    #[test]
    fn a_cut_text_is_a_beginning_that_fits(text: String, tokens in 0_usize..50) {
        let beginning = cut(&text, tokens);
        prop_assert!(text.starts_with(beginning));
        prop_assert!(approximate_tokens(beginning) <= tokens);
        prop_assert!(beginning == text || approximate_tokens(&text) > tokens || text.len() > beginning.len());
    }
}
