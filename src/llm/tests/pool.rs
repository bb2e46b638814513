//! How many calls are on the wire, whose turn it is, how long nothing is sent, and how it all ends.

mod common;

use std::time::Duration;

use common::{level1, numbered, pool, request, server_with, settings, submit_all};
use synthllm_llm::{CallError, Price, Priority, Request, Task, TaskSettings};
use synthllm_testkit::scripted::{Fault, Options, RetryAfter, Rule, ScriptedServer};

#[test]
fn never_more_calls_are_on_the_wire_than_allowed() {
    let server = ScriptedServer::start(Options::default());
    let pool = pool(&TaskSettings { max_in_flight: 4, ..settings(&server) });
    server.pause();
    let replies = submit_all(&pool, numbered(20));
    server.wait_until(|seen| seen.len() == 4);
    let status = pool.status();
    assert_eq!((status.in_flight(), status.waiting()), (4, 16));
    assert!(status.oldest_call().is_some());
    server.resume();
    assert_eq!(replies.iter().filter(|(_, outcome)| outcome.is_ok()).count(), 20);
    assert_eq!(server.most_open(), 4);
    assert_eq!(pool.status().oldest_call(), None);
}

#[test]
fn answers_go_before_questions_before_extractions() {
    let server = ScriptedServer::start(Options::default());
    let pool = pool(&TaskSettings { max_in_flight: 1, ..settings(&server) });
    server.pause();
    let first = submit_all(&pool, numbered(1));
    server.wait_until(|seen| seen.len() == 1);
    let of = |task, text: &str| (Priority::of(task), Request { task, ..request(text) });
    let waiting = vec![of(Task::Extract, "an extraction"), of(Task::Question, "a question"), of(Task::Answer, "an answer")];
    let replies = submit_all(&pool, waiting);
    server.resume();
    let order: Vec<String> = replies.iter().map(|(name, _)| name).collect();
    assert_eq!(order, ["an answer", "a question", "an extraction"]);
    assert!(first.recv().unwrap().1.is_ok());
}

#[test]
fn overload_lowers_the_limit_and_answers_bring_it_back() {
    let server = server_with(8, Fault::TooManyRequests(None));
    let pool = pool(&settings(&server));
    assert_eq!(pool.status().endpoints[0].limit, 8);
    server.pause();
    let replies = submit_all(&pool, numbered(8));
    server.wait_until(|seen| seen.len() == 8);
    server.resume();
    assert!(replies.iter().all(|(_, outcome)| outcome.is_ok()));
    let lowered = pool.status().endpoints[0].limit;
    assert!(lowered < 8, "eight calls were refused together, the limit is {lowered}");
    assert!(submit_all(&pool, numbered(200)).iter().all(|(_, outcome)| outcome.is_ok()));
    assert_eq!(pool.status().endpoints[0].limit, 8);
}

/// The wait between the first two requests, when the first is told to come back later.
fn wait_after(retry_after: RetryAfter) -> Duration {
    let server = server_with(1, Fault::TooManyRequests(Some(retry_after)));
    pool(&settings(&server)).ask(&request("a")).expect("the second try is answered");
    let seen = server.seen();
    seen[1].at.saturating_sub(seen[0].at)
}

#[test]
fn a_retry_after_in_seconds_is_honoured() {
    assert!(wait_after(RetryAfter::Seconds(1)) >= Duration::from_secs(1));
}

#[test]
fn a_retry_after_as_a_date_is_honoured() {
    // Dates are whole seconds: two seconds from now is at least one second away.
    assert!(wait_after(RetryAfter::Date(2)) >= Duration::from_secs(1));
}

#[test]
fn a_retry_after_holds_all_calls_of_the_endpoint_back() {
    let server = server_with(1, Fault::TooManyRequests(Some(RetryAfter::Seconds(1))));
    let pool = pool(&TaskSettings { max_in_flight: 1, ..settings(&server) });
    let replies = submit_all(&pool, numbered(3));
    assert_eq!(replies.iter().filter(|(_, outcome)| outcome.is_ok()).count(), 3);
    let seen = server.seen();
    assert!(seen[1..].iter().all(|later| later.at.saturating_sub(seen[0].at) >= Duration::from_secs(1)), "{seen:?}");
}

#[test]
fn a_shutdown_cancels_what_waits_and_what_is_on_the_wire() {
    let server = ScriptedServer::start(Options { rules: vec![Rule::first(1, Fault::Stall)], ..Options::default() });
    let pool = pool(&TaskSettings { max_in_flight: 1, ..settings(&server) });
    let replies = submit_all(&pool, numbered(3));
    server.wait_until(|seen| seen.len() == 1);
    pool.shutdown();
    let outcomes: Vec<_> = replies.iter().map(|(_, outcome)| outcome).collect();
    assert_eq!(outcomes, [Err(CallError::Cancelled), Err(CallError::Cancelled), Err(CallError::Cancelled)]);
    assert_eq!(pool.ask(&request("late")), Err(CallError::Cancelled));
}

#[test]
fn a_shutdown_cancels_a_call_that_waits_for_its_next_try() {
    let server = ScriptedServer::start(Options {
        rules: vec![Rule::always("", Fault::TooManyRequests(Some(RetryAfter::Seconds(3600))))],
        ..Options::default()
    });
    let pool = pool(&settings(&server));
    let replies = submit_all(&pool, numbered(1));
    while pool.status().endpoints[0].backing_off.is_none() {
        std::thread::yield_now();
    }
    pool.shutdown();
    assert_eq!(replies.recv().unwrap().1, Err(CallError::Cancelled));
}

#[test]
fn a_reply_may_drop_the_last_handle_of_the_pool() {
    let server = ScriptedServer::start(Options::default());
    let pool = std::sync::Arc::new(pool(&settings(&server)));
    server.pause();
    let (done, finished) = std::sync::mpsc::channel();
    let handle = pool.clone();
    pool.submit(Priority::Answer, &request("a"), move |outcome| {
        drop(handle);
        done.send(outcome.is_ok()).unwrap();
    });
    drop(pool);
    server.resume();
    assert_eq!(finished.recv(), Ok(true));
}

#[test]
fn tokens_and_cost_add_up() {
    let server = ScriptedServer::start(Options::default());
    let price = Price { prompt: 3.0, completion: 15.0 };
    let pool = pool(&TaskSettings { price, ..settings(&server) });
    let outcomes: Vec<_> = submit_all(&pool, numbered(5)).iter().map(|(_, outcome)| outcome.unwrap()).collect();
    let expected: f64 = outcomes.iter().map(|completion| price.cost(completion.usage)).sum();
    let status = pool.status();
    assert!(expected > 0.0 && (status.cost() - expected).abs() < 1e-12, "{} is not {expected}", status.cost());
    let tokens: u64 =
        outcomes.iter().map(|completion| completion.usage.prompt_tokens + completion.usage.completion_tokens).sum();
    assert_eq!((status.tokens(), status.calls()), (tokens, 5));
}

#[test]
fn a_committed_content_can_be_followed_at_the_server_by_its_canonical_hash() {
    let server = ScriptedServer::start(Options::default());
    let settings = settings(&server);
    let pool = pool(&settings);
    let request = level1("Rings and fields.");
    pool.ask(&request).unwrap();
    pool.ask(&request.corrected("no", "Again.")).unwrap();
    let count = server.count(request.canonical_hash(&settings));
    assert_eq!((count.requests, count.answered, count.task.as_str()), (1, 1, "level1"));
    assert_eq!(server.counts().len(), 2, "a repair is another request");
}
