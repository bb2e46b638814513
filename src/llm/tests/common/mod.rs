//! What the tests of the client share: a pool on a scripted server, and replies collected in order.

// Each test program uses its part of this.
#![allow(dead_code)]

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use synthllm_llm::retry::Backoff;
use synthllm_llm::{CallError, Completion, Pool, Priority, Request, Schema, Task, TaskSettings};
use synthllm_testkit::scripted::{Fault, Options, Rule, ScriptedServer};

/// Settings whose waits are short.
pub fn settings(server: &ScriptedServer) -> TaskSettings {
    TaskSettings {
        backoff: Backoff { base: Duration::from_millis(1), max: Duration::from_millis(20) },
        max_in_flight: 8,
        attempts: 3,
        ..TaskSettings::new(&server.endpoint(), "scripted")
    }
}

/// A pool in which all tasks have the same settings.
pub fn pool(settings: &TaskSettings) -> Pool {
    let tasks = [Task::Extract, Task::Question, Task::Answer];
    Pool::new(BTreeMap::from(tasks.map(|task| (task, settings.clone())))).expect("the settings are sound")
}

/// A server whose first requests meet a fault.
pub fn server_with(times: u32, fault: Fault) -> ScriptedServer {
    ScriptedServer::start(Options { rules: vec![Rule::first(times, fault)], ..Options::default() })
}

/// A request for a plain answer.
pub fn request(text: &str) -> Request {
    Request::new(Task::Answer, "You answer.", text, None)
}

/// A request for questions on a document.
pub fn level1(document: &str) -> Request {
    let schema = Schema::new("level1", r#"{"type":"object"}"#);
    Request::new(Task::Question, "You ask.", format!("<document>\n{document}\n</document>\n\nTask: ask."), Some(schema))
}

/// Submits requests, each with its priority; the outcomes arrive in the order of their replies.
pub fn submit_all(pool: &Pool, requests: Vec<(Priority, Request)>) -> Receiver<(String, Result<Completion, CallError>)> {
    let (sender, receiver) = channel();
    for (priority, request) in requests {
        let (sender, name) = (sender.clone(), request.user.clone());
        pool.submit(priority, &request, move |outcome| {
            let _ = sender.send((name, outcome));
        });
    }
    receiver
}

/// Requests for plain answers, numbered.
pub fn numbered(count: usize) -> Vec<(Priority, Request)> {
    (0..count).map(|number| (Priority::Answer, request(&format!("question {number}")))).collect()
}
