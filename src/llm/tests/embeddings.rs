//! Embeddings go the way of all calls: retries, limits, the key, usage; and what comes back is checked.

mod common;

use std::collections::BTreeMap;
use std::sync::mpsc::channel;
use std::time::Duration;

use common::settings;
use synthllm_llm::{CallError, EmbeddingRequest, Embeddings, Pool, Price, Secret, Task, TaskSettings};
use synthllm_testkit::scripted::{Fault, Options, Rule, ScriptedServer};

fn pool(settings: &TaskSettings) -> Pool {
    Pool::new(BTreeMap::from([(Task::Embed, settings.clone())])).expect("the settings are sound")
}

fn embed(pool: &Pool, inputs: &[&str], dimensions: Option<usize>) -> Result<Embeddings, CallError> {
    let (sender, reply) = channel();
    let inputs = inputs.iter().map(|text| (*text).to_owned()).collect();
    pool.embed(&EmbeddingRequest { inputs, dimensions }, move |outcome| _ = sender.send(outcome));
    reply.recv().expect("every call has a reply")
}

fn failing(times: u32, fault: Fault) -> ScriptedServer {
    ScriptedServer::start(Options { rules: vec![Rule::first(times, fault)], ..Options::default() })
}

#[test]
fn texts_get_an_embedding_each_and_their_tokens_are_counted() {
    let server = ScriptedServer::start(Options::default());
    let price = Price { prompt: 1e6, completion: 0.0 };
    let pool = pool(&TaskSettings { price, ..settings(&server) });
    let embeddings = embed(&pool, &["a group acts", "rings", "a group acts"], Some(64)).expect("the server answers");
    assert_eq!(embeddings.vectors.len(), 3);
    assert_eq!(embeddings.vectors[0], embeddings.vectors[2]);
    assert_ne!(embeddings.vectors[0], embeddings.vectors[1]);
    let status = pool.status();
    assert_eq!((status.calls(), status.tokens()), (1, embeddings.usage.prompt_tokens));
    assert!(embeddings.cost > 0.0 && (status.cost() - embeddings.cost).abs() < 1e-12);
    let body = server.counts().into_values().next().expect("one request was seen").body;
    assert_eq!(body, r#"{"encoding_format":"float","input":["a group acts","rings","a group acts"],"model":"scripted"}"#);
}

#[test]
fn what_may_pass_is_tried_again_and_a_broken_answer_too() {
    for fault in
        [Fault::TooManyRequests(None), Fault::Status(503, "busy".into()), Fault::Cut, Fault::WrongJson, Fault::WrongAnswer]
    {
        let server = failing(2, fault.clone());
        let embeddings = embed(&pool(&settings(&server)), &["one", "two"], None);
        assert_eq!(embeddings.map(|it| it.vectors.len()), Ok(2), "{fault:?}");
        assert_eq!(server.seen().len(), 3, "{fault:?}");
    }
}

#[test]
fn an_answer_that_stays_wrong_is_given_up_with_what_was_wrong() {
    let server = failing(u32::MAX, Fault::Truncated);
    let error = embed(&pool(&settings(&server)), &["one"], Some(64)).expect_err("half of the numbers are missing");
    assert_eq!(
        error.to_string(),
        "gave up after 3 failed attempts, the last one: the response has an embedding of 32 numbers, expected 64"
    );
}

#[test]
fn a_silent_endpoint_is_given_up_in_time_and_a_refusal_at_once() {
    let server = failing(u32::MAX, Fault::Stall);
    let quick = TaskSettings { timeout: Duration::from_millis(50), attempts: 2, ..settings(&server) };
    let error = embed(&pool(&quick), &["one"], None).expect_err("nothing comes");
    assert!(matches!(error, CallError::Exhausted { attempts: 2, .. }), "{error}");
    let server = failing(1, Fault::Status(400, "the input is too long".into()));
    let error = embed(&pool(&settings(&server)), &["one"], None).expect_err("it is refused");
    assert_eq!(error, CallError::Refused { status: 400, message: "the input is too long".into() });
}

#[test]
fn the_key_is_sent_and_a_refused_one_is_shown_nowhere() {
    const KEY: &str = "sk-this-must-never-be-seen";
    let file = tempfile::NamedTempFile::new().expect("the system gives a file");
    std::fs::write(file.path(), KEY).expect("the file is writable");
    let with_key = |server: &ScriptedServer| TaskSettings {
        api_key: Some(Secret::from_file(file.path()).expect("the file holds a key")),
        ..settings(server)
    };
    let server = ScriptedServer::start(Options { api_key: Some(KEY.into()), ..Options::default() });
    assert!(embed(&pool(&with_key(&server)), &["one"], None).is_ok());
    let server = ScriptedServer::start(Options { api_key: Some("another".into()), ..Options::default() });
    let error = embed(&pool(&with_key(&server)), &["one"], None).expect_err("the key is another one");
    assert!(error.is_fatal() && !format!("{error} {error:?}").contains("never-be-seen"), "{error}");
}

#[test]
fn a_pool_without_the_task_says_what_to_set() {
    let server = ScriptedServer::start(Options::default());
    let error = embed(&common::pool(&settings(&server)), &["one"], None).expect_err("embed is not configured");
    assert!(error.to_string().contains("llm.embed.endpoint"), "{error}");
}
