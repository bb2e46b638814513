//! The scripted server understands the prompts as they are, in every way of asking for a shape, and tells its counts over HTTP.

mod common;

use std::io::{Read, Write};

use common::{pool, settings};
use serde_json::Value;
use synthllm_llm::{PromptSettings, Prompts, Request, Schema, Structured, TaskSettings};
use synthllm_testkit::scripted::{Options, ScriptedServer};

const TEXT: &str = "Every finite integral domain is a field, since multiplication by a nonzero element is injective.";

fn ask(structured: Structured, request: &Request) -> Value {
    let server = ScriptedServer::start(Options::default());
    let completion = pool(&TaskSettings { structured, ..settings(&server) }).ask(request).expect("the server answers");
    serde_json::from_str(&completion.text).expect("the answer is JSON")
}

#[test]
fn each_task_is_understood_whether_the_schema_is_enforced_or_only_told() {
    let prompts = Prompts::built_in(PromptSettings::default());
    let concepts = ["integral domain".to_owned(), "field".to_owned(), "injection".to_owned()];
    let shape = |name: &'static str, word: &str| Schema::new(name, format!(r#"{{"properties":{{"{word}":{{}}}}}}"#));
    for structured in [Structured::JsonSchema, Structured::JsonObject, Structured::Prompt] {
        let extraction = ask(structured, &prompts.extract(TEXT, shape("extraction", "key_concepts")));
        let named = extraction["topics"][0]["name"].as_str().unwrap();
        assert!(TEXT.to_lowercase().contains(named), "{extraction}");
        let level1 = ask(structured, &prompts.level1(TEXT, shape("level1", "suitable")));
        assert_eq!(level1["questions"].as_array().map(Vec::len), Some(2), "{level1}");
        let request = prompts.level3([TEXT, "Fields have no zero divisors."], &concepts, shape("combined", "concepts"));
        let combined = ask(structured, &request);
        let picked = combined["questions"][0]["concepts"].as_array().unwrap();
        assert!(
            !picked.is_empty() && picked.iter().all(|concept| concepts.iter().any(|offered| concept == offered)),
            "{combined}"
        );
    }
}

#[test]
fn duplicates_and_unsuitable_documents_come_on_demand() {
    let server = ScriptedServer::start(Options { duplicate_rate: 1.0, unsuitable_rate: 1.0, ..Options::default() });
    let prompts = Prompts::built_in(PromptSettings::default());
    let pool = pool(&settings(&server));
    let unsuitable = pool.ask(&prompts.level1(TEXT, Schema::new("level1", "{}"))).unwrap();
    assert_eq!(unsuitable.text, r#"{"questions":[],"suitable":false}"#);
    let shared = pool.ask(&prompts.level2(TEXT, &["field".into()], Schema::new("combined", "{}"))).unwrap();
    assert!(shared.text.contains("What is the value in shared question"), "{}", shared.text);
}

#[test]
fn the_counts_are_told_over_http_by_content() {
    let server = ScriptedServer::start(Options::default());
    let settings = settings(&server);
    let request = common::request("What is it?");
    pool(&settings).ask(&request).unwrap();
    let mut socket = std::net::TcpStream::connect(server.address()).unwrap();
    socket.write_all(b"GET /counts HTTP/1.1\r\nhost: scripted\r\n\r\n").unwrap();
    socket.shutdown(std::net::Shutdown::Write).unwrap();
    let mut response = String::new();
    socket.read_to_string(&mut response).unwrap();
    let counts: Value = serde_json::from_str(response.split_once("\r\n\r\n").unwrap().1).unwrap();
    let count = &counts[format!("{:032x}", request.canonical_hash(&settings))];
    assert_eq!((&count["requests"], &count["answered"]), (&Value::from(1), &Value::from(1)), "{counts}");
}
