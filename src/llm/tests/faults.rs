//! Whatever the endpoint does to a call, the caller gets a completion or an error that says what to do.

mod common;

use std::time::Duration;

use common::{level1, numbered, pool, request, server_with, settings, submit_all};
use synthllm_llm::retry::Backoff;
use synthllm_llm::{CallError, Pool, TaskSettings};
use synthllm_testkit::scripted::{Fault, Options, RetryAfter, Rule, ScriptedServer};

/// One call against a server whose first request meets `fault`: it must be answered at the second.
fn recovers_from(fault: Fault, change: impl FnOnce(&mut TaskSettings)) {
    let server = server_with(1, fault.clone());
    let mut settings = settings(&server);
    change(&mut settings);
    let (pool, request) = (pool(&settings), request("What is it?"));
    let completion = pool.ask(&request).unwrap_or_else(|error| panic!("{fault:?}: {error}"));
    assert!(completion.text.starts_with("It follows"), "{fault:?}: {completion:?}");
    let count = server.count(request.canonical_hash(&settings));
    assert_eq!(count.requests, 2, "{fault:?}: one try failed, one was answered");
    let status = pool.status();
    assert_eq!(
        (status.calls(), status.endpoints[0].failures, status.in_flight(), status.waiting()),
        (1, 1, 0, 0),
        "{fault:?}"
    );
}

#[test]
fn transient_faults_are_tried_again() {
    let faults = [
        Fault::TooManyRequests(None),
        Fault::TooManyRequests(Some(RetryAfter::Seconds(0))),
        Fault::Status(500, "scripted".into()),
        Fault::Status(503, "scripted".into()),
        Fault::Status(408, "scripted".into()),
        Fault::Cut,
        Fault::WrongJson,
    ];
    for fault in faults {
        recovers_from(fault, |_| {});
    }
}

#[test]
fn a_stall_before_the_answer_ends_with_the_timeout() {
    recovers_from(Fault::Stall, |settings| settings.timeout = Duration::from_millis(300));
}

#[test]
fn a_stall_inside_the_answer_ends_before_the_timeout() {
    recovers_from(Fault::StallInBody, |settings| settings.stall = Duration::from_millis(100));
}

#[test]
fn an_answer_beyond_the_cap_is_not_read() {
    recovers_from(Fault::Huge, |settings| settings.max_response_bytes = 1 << 20);
}

#[test]
fn an_answer_that_is_wrong_in_itself_is_the_caller_s_to_judge() {
    for (fault, expected, truncated) in [
        (Fault::WrongAnswer, "I would rather talk about the weather.", false),
        (Fault::SchemaViolation, r#"{"unexpected":[1,2,3]}"#, false),
        (Fault::Fenced, "Here it is:\n```json\n{", false),
        (Fault::Reasoning, "{\"questions\":", false),
        (Fault::Truncated, "{\"questions\":", true),
    ] {
        let server = server_with(1, fault.clone());
        let completion = pool(&settings(&server)).ask(&level1("Rings and fields.")).unwrap();
        assert!(completion.text.starts_with(expected), "{fault:?}: {completion:?}");
        assert_eq!(completion.truncated, truncated, "{fault:?}");
    }
}

#[test]
fn a_refused_request_is_not_tried_again_and_the_message_is_the_server_s() {
    let server = server_with(1, Fault::Status(400, "the context holds 2048 tokens".into()));
    let pool = pool(&settings(&server));
    let error = pool.ask(&request("too long")).unwrap_err();
    assert_eq!(error, CallError::Refused { status: 400, message: "the context holds 2048 tokens".into() });
    assert!(!error.is_fatal());
    assert_eq!(server.seen().len(), 1);
}

#[test]
fn a_wrong_path_or_model_is_an_error_of_the_configuration() {
    let server = server_with(1, Fault::Status(404, "model not found".into()));
    let error = pool(&settings(&server)).ask(&request("a")).unwrap_err();
    assert!(error.is_fatal());
    assert!(error.to_string().contains("model not found; check `llm.endpoint` and the model \"scripted\""), "{error}");
}

#[test]
fn a_call_that_always_fails_is_given_up_while_others_are_answered() {
    let poison = Rule::always("question 7", Fault::Status(500, "poison".into()));
    let server = ScriptedServer::start(Options { rules: vec![poison], ..Options::default() });
    let pool = pool(&settings(&server));
    let replies = submit_all(&pool, numbered(10));
    let (given_up, answered): (Vec<_>, Vec<_>) = replies.iter().partition(|(_, outcome)| outcome.is_err());
    assert_eq!(answered.len(), 9);
    let exhausted = CallError::Exhausted { attempts: 3, last: "status 500: poison".into() };
    assert_eq!(given_up, [("question 7".to_owned(), Err(exhausted))]);
}

#[test]
fn a_storm_of_429_is_not_charged_to_the_calls() {
    let server = server_with(40, Fault::TooManyRequests(None));
    let pool = pool(&settings(&server));
    let replies = submit_all(&pool, numbered(4));
    assert!(replies.iter().all(|(_, outcome)| outcome.is_ok()), "each call met ten refusals and has three attempts");
    assert_eq!(server.seen().len(), 44);
}

#[test]
fn an_endpoint_that_is_down_for_everybody_is_waited_for_and_the_status_says_so() {
    let server = server_with(60, Fault::Status(500, "restarting".into()));
    let pool = pool(&settings(&server));
    let replies = submit_all(&pool, numbered(10));
    server.wait_until(|seen| seen.len() > 30);
    let status = &pool.status().endpoints[0];
    assert!(status.down && status.consecutive_failures > 10 && status.limit == 1, "{status:?}");
    assert_eq!(status.last_error.as_deref(), Some("status 500: restarting"));
    assert!(replies.iter().all(|(_, outcome)| outcome.is_ok()), "a failure of everybody is nobody's own");
    assert!(!pool.status().endpoints[0].down);
}

/// Schedule 14 of the fault suite: fourteen calls met a restarting server at once, and each made the common wait longer.
#[test]
fn calls_that_fail_together_are_one_look_at_the_endpoint() {
    let server = server_with(14, Fault::Status(503, "restarting".into()));
    let backoff = synthllm_llm::retry::Backoff { base: Duration::from_millis(100), max: Duration::from_secs(3600) };
    let pool = pool(&TaskSettings { backoff, max_in_flight: 14, ..settings(&server) });
    server.pause();
    let replies = submit_all(&pool, numbered(14));
    server.wait_until(|seen| seen.len() == 14);
    server.resume();
    let mut longest = Duration::ZERO;
    while pool.status().calls() == 0 {
        longest = longest.max(pool.status().endpoints[0].backing_off.unwrap_or_default());
        std::thread::yield_now();
    }
    assert!(longest <= backoff.ceiling(4), "fourteen looks would wait for minutes: {longest:?}");
    assert!(replies.iter().all(|(_, outcome)| outcome.is_ok()));
}

#[test]
fn calls_wait_for_an_endpoint_that_is_not_there_yet() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let settings = TaskSettings {
        backoff: synthllm_llm::retry::Backoff { base: Duration::from_millis(1), max: Duration::from_millis(20) },
        ..TaskSettings::new(&format!("http://127.0.0.1:{port}/v1"), "scripted")
    };
    let pool = pool(&settings);
    let replies = submit_all(&pool, numbered(2));
    while pool.status().endpoints[0].failures < 20 {
        std::thread::yield_now();
    }
    let _server = ScriptedServer::start(Options { port, ..Options::default() });
    assert!(replies.iter().all(|(_, outcome)| outcome.is_ok()));
}

#[test]
fn a_single_call_that_waits_for_its_next_try_is_no_silent_wait() {
    let server = server_with(1, Fault::Status(503, "scripted".into()));
    let hour = Duration::from_secs(3600);
    let pool = pool(&TaskSettings { backoff: Backoff { base: hour, max: hour }, ..settings(&server) });
    assert!(!pool.status().endpoints[0].keeps_waiting());
    let _replies = submit_all(&pool, numbered(1));
    while pool.status().endpoints[0].failures == 0 {
        std::thread::yield_now();
    }
    let status = &pool.status().endpoints[0];
    assert!(status.keeps_waiting() && !status.down && status.backing_off.is_none(), "{status:?}");
    assert!(status.last_error.as_ref().is_some_and(|error| error.contains("503")), "{status:?}");
}

#[test]
fn seeded_faults_of_every_kind_lose_no_call() {
    let server = ScriptedServer::start(Options { fault_rate: 0.5, fault_seed: 7, ..Options::default() });
    let settings = TaskSettings { attempts: 10, ..settings(&server) };
    let pool = pool(&settings);
    let replies = submit_all(&pool, numbered(200));
    assert_eq!(replies.iter().filter(|(_, outcome)| outcome.is_ok()).count(), 200);
    assert!(server.seen().iter().filter(|seen| seen.fault.is_some()).count() > 50);
    assert!(server.counts().values().all(|count| count.answered >= 1));
}

#[test]
fn a_task_without_settings_says_what_to_set() {
    let pool = Pool::new(std::collections::BTreeMap::new()).unwrap();
    let error = pool.ask(&request("a")).unwrap_err();
    assert!(error.to_string().contains("set `llm.answer.endpoint` and `llm.answer.model`"), "{error}");
}
