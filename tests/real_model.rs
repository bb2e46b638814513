//! The client against a real language model behind a real server: shapes, counts, usage and retries, never content.

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::sync::mpsc::channel;
use std::time::Duration;

use serde_json::Value;
use synthllm_llm::{
    CallError, Completion, Pool, Price, Priority, PromptSettings, Prompts, Request, Schema, Task, TaskSettings,
};
use synthllm_operators::answers::{self, Limits};
use synthllm_testkit::model::{Model, ModelServer};

/// Small, so that two cores are done in minutes.
const LIMITS: Limits =
    Limits { topics: 2, key_concepts: 4, questions: 2, concepts_per_question: 3, name_length: 60, question_length: 240 };

const RIDGE: &str = "Ridge regression addresses some of the problems of ordinary least squares by imposing a penalty on the size \
    of the coefficients. The ridge coefficients minimize a penalized residual sum of squares. The larger the penalty, the greater \
    the amount of shrinkage, and thus the coefficients become more robust to collinearity.";
const VALIDATION: &str = "Learning the parameters of a prediction function and testing it on the same data is a methodological \
    mistake. In k-fold cross-validation the training set is split into k smaller sets; a model is trained using k - 1 of the \
    folds and validated on the remaining part of the data.";

/// One server for all tests of this process that leave it alive.
fn server() -> Option<&'static ModelServer> {
    static SHARED: OnceLock<Option<ModelServer>> = OnceLock::new();
    SHARED.get_or_init(|| ModelServer::start(Model::Qwen05)).as_ref()
}

fn settings(server: &ModelServer, model: Model) -> TaskSettings {
    TaskSettings {
        temperature: Some(0.0),
        max_tokens: 600,
        timeout: Duration::from_secs(300),
        stall: Duration::from_secs(300),
        price: Price { prompt: 1.0, completion: 2.0 },
        max_in_flight: 2,
        ..TaskSettings::new(&server.endpoint(), model.name())
    }
}

fn pool(settings: &TaskSettings) -> Pool {
    let tasks = [Task::Extract, Task::Question, Task::Answer];
    Pool::new(BTreeMap::from(tasks.map(|task| (task, settings.clone())))).expect("the settings are sound")
}

fn prompts() -> Prompts {
    Prompts::built_in(PromptSettings {
        domain: "statistics".into(),
        topics_max: LIMITS.topics,
        key_concepts_max: LIMITS.key_concepts,
        questions_max: [LIMITS.questions; 3],
        ..PromptSettings::default()
    })
}

/// The answer of the shared server, and as JSON: the schema is the server's to keep, so nothing is repaired here.
fn ask(server: &ModelServer, request: &Request) -> (Completion, Value) {
    let completion = pool(&settings(server, Model::Qwen05)).ask(request).expect("the server answers");
    assert!(!completion.truncated, "{} tokens were not enough: {}", completion.usage.completion_tokens, completion.text);
    let value = serde_json::from_str(&completion.text).expect("a constrained answer is JSON and nothing else");
    (completion, value)
}

fn list<'a>(value: &'a Value, field: &str) -> &'a Vec<Value> {
    value[field].as_array().unwrap_or_else(|| panic!("{field} is a list in {value}"))
}

fn characters(value: &Value) -> usize {
    value.as_str().unwrap_or_else(|| panic!("{value} is a string")).chars().count()
}

#[test]
fn an_extraction_fits_its_schema_and_is_counted() {
    let Some(server) = server() else { return };
    let schema = Schema::new("extraction", answers::extraction_schema(&LIMITS));
    let (completion, answer) = ask(server, &prompts().extract(RIDGE, schema));
    let topics = list(&answer, "topics");
    assert!((1..=LIMITS.topics).contains(&topics.len()), "{answer}");
    for topic in topics {
        assert!(characters(&topic["name"]) <= LIMITS.name_length);
        let concepts = list(topic, "key_concepts");
        assert!((1..=LIMITS.key_concepts).contains(&concepts.len()), "{answer}");
        assert!(concepts.iter().all(|concept| characters(concept) <= LIMITS.name_length));
    }
    answers::extraction(&completion.text, &LIMITS).expect("what fits the schema is read");
    assert!(completion.usage.prompt_tokens > 100 && completion.usage.completion_tokens > 10, "{:?}", completion.usage);
    let tokens = (completion.usage.prompt_tokens + 2 * completion.usage.completion_tokens) as f64;
    assert!((completion.cost - tokens / 1e6).abs() < 1e-12, "{} for {:?}", completion.cost, completion.usage);
    assert!(completion.latency > Duration::ZERO && !completion.model.is_empty());
}

#[test]
fn questions_on_one_document_fit_their_schema() {
    let Some(server) = server() else { return };
    let schema = Schema::new("level1", answers::level1_schema(&LIMITS));
    let (completion, answer) = ask(server, &prompts().level1(RIDGE, schema));
    assert!(answer["suitable"].is_boolean(), "{answer}");
    let questions = list(&answer, "questions");
    assert!(questions.len() <= LIMITS.questions, "{answer}");
    assert!(questions.iter().all(|question| characters(&question["question"]) <= LIMITS.question_length));
    assert!(questions.iter().all(|question| question["origin"] == "original" || question["origin"] == "new"));
    answers::level1(&completion.text, &LIMITS).expect("what fits the schema is read");
}

#[test]
fn questions_on_two_documents_fit_their_schema_and_are_answered() {
    let Some(server) = server() else { return };
    let concepts = ["ridge regression", "cross-validation", "collinearity"].map(str::to_owned);
    let schema = Schema::new("combined", answers::combined_schema(&LIMITS));
    let (_, answer) = ask(server, &prompts().level3([RIDGE, VALIDATION], &concepts, schema));
    let questions = list(&answer, "questions");
    assert!((1..=LIMITS.questions).contains(&questions.len()), "{answer}");
    for question in questions {
        assert!((1..=LIMITS.concepts_per_question).contains(&list(question, "concepts").len()), "{answer}");
        assert!(characters(&question["question"]) <= LIMITS.question_length);
    }
    let question = questions[0]["question"].as_str().expect("checked above");
    let short = Request { max_tokens: Some(64), ..prompts().answer(question) };
    let reply = pool(&settings(server, Model::Qwen05)).ask(&short).expect("the server answers");
    assert!(!reply.text.is_empty() && reply.usage.completion_tokens <= 64);
}

#[test]
fn an_answer_that_stopped_for_length_says_so() {
    let Some(server) = server() else { return };
    let request = Request { max_tokens: Some(8), ..prompts().answer("Count from one to a hundred in words.") };
    let completion = pool(&settings(server, Model::Qwen05)).ask(&request).expect("the server answers");
    assert!(completion.truncated);
    assert_eq!(completion.usage.completion_tokens, 8);
}

#[test]
fn a_request_beyond_the_context_is_refused_at_once() {
    let Some(server) = server() else { return };
    let request = Request::new(Task::Answer, "You answer.", "one two three ".repeat(4000), None);
    let error = pool(&settings(server, Model::Qwen05)).ask(&request).expect_err("12,000 words don't fit");
    assert!(matches!(error, CallError::Refused { status: 400, .. }), "{error}");
}

#[test]
fn a_server_killed_in_the_middle_and_started_again_answers_every_request_once() {
    const REQUESTS: usize = 6;
    let Some(server) = ModelServer::start(Model::SmolLm2) else { return };
    let port = server.port();
    let pool = pool(&TaskSettings { max_tokens: 48, ..settings(&server, Model::SmolLm2) });
    let (sender, replies) = channel();
    for number in 0..REQUESTS {
        let sender = sender.clone();
        let request = prompts().answer(&format!("What is {number} times {number}?"));
        pool.submit(Priority::Answer, &request, move |reply| sender.send((number, reply)).expect("the test waits"));
    }
    drop(sender);
    let first = replies.recv().expect("the first reply comes from the first server");
    server.kill();
    let server = ModelServer::start_at(Model::SmolLm2, port).expect("it started before");
    let mut answered: Vec<usize> = std::iter::once(first)
        .chain(replies)
        .map(|(number, reply)| {
            let completion = reply.expect("a server that comes back answers");
            assert!(completion.usage.prompt_tokens > 0 && completion.usage.completion_tokens > 0);
            number
        })
        .collect();
    answered.sort_unstable();
    assert_eq!(answered, (0..REQUESTS).collect::<Vec<_>>());
    let status = pool.status();
    assert!(status.endpoints[0].failures > 0, "the kill met calls under way: {status:?}");
    assert_eq!(status.endpoints[0].calls, REQUESTS as u64);
    drop(server);
}
