//! What may be spent: a budget ends a run without exceeding it, and nothing that was paid for is lost.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;
use synthllm_testkit::corpus::{corpus, plain_document};
use synthllm_testkit::judge::comparable;
use synthllm_testkit::project::{Project, stderr, wait_until};
use synthllm_testkit::scripted::{Options, ScriptedServer};

use crate::{project, server, sound_samples};

/// What the server has counted in all completions that it sent.
fn spent(server: &ScriptedServer) -> u64 {
    let counts = server.counts();
    let tokens = counts.values().map(|count| {
        let completion: Value = serde_json::from_str(&count.completion).unwrap_or_default();
        u64::from(count.answered) * completion["usage"]["total_tokens"].as_u64().unwrap_or(0)
    });
    tokens.sum()
}

/// A project whose records need little, so that a small budget goes a long way.
fn modest(server: &ScriptedServer) -> Project {
    let mut project = project(server);
    project.set("llm.max_tokens", 200).set("llm.repairs", 0).set("llm.max_in_flight", 4);
    project.set("extract.max_prompt_tokens", 60).set("generate.max_prompt_tokens", 100);
    project.set("generate.questions.level1", 2).set("generate.questions.level2", 1).set("generate.questions.level3", 1);
    project
}

/// Drains once and returns what was said.
fn drain(project: &Project) -> String {
    let output = project.execute(&["run", "--drain"]);
    assert!(output.status.success(), "{}", stderr(&output));
    stderr(&output)
}

/// Drains on the day of this number since 1970.
fn drain_on(project: &Project, day: u64) -> String {
    let output = project.command().args(["run", "--drain"]).env("SYNTHLLM_TODAY", day.to_string()).output();
    let output = output.expect("the program starts");
    assert!(output.status.success(), "{}", stderr(&output));
    stderr(&output)
}

#[test]
fn a_run_ends_within_its_budget_and_the_next_ones_go_on_to_the_same_samples() {
    let unlimited = server();
    let whole = modest(&unlimited);
    whole.ingest(&corpus(9));
    whole.drain();

    let server = server();
    let mut project = modest(&server);
    project.ingest(&corpus(9));
    let mut ended_early = 0;
    for budget in [6_000, 8_000, 8_000, 100_000] {
        project.set("budget.tokens", budget);
        let before = spent(&server);
        let said = drain(&project);
        let now = spent(&server) - before;
        assert!(now <= budget, "{now} tokens of {budget}");
        if said.contains("budget.tokens = ") {
            ended_early += 1;
            assert!(
                said.contains(&format!("budget.tokens = {budget} is reached: {now} tokens spent in this run")),
                "{said}"
            );
        }
    }
    assert!(ended_early >= 2, "only {ended_early} runs have met their budget");
    assert_eq!(spent(&server), spent(&unlimited), "nothing is paid for twice");
    let (ours, theirs) = (sound_samples(&project), sound_samples(&whole));
    assert_eq!(comparable(&ours, |_| false), comparable(&theirs, |_| false));
}

#[test]
fn records_with_repairs_and_several_workers_stay_within_a_budget_of_cost() {
    let server = ScriptedServer::start(Options { fault_rate: 0.3, fault_seed: 3, ..Options::default() });
    let mut project = modest(&server);
    project.set("llm.price", "{ prompt = 1.0, completion = 1.0 }").set("budget.cost", 0.02).set("llm.timeout", "\"2s\"");
    project.set("llm.repairs", 1).ingest(&corpus(15));
    let said = project.execute(&["run", "--drain", "--workers", "3"]);
    assert!(said.status.success() && stderr(&said).contains("budget.cost = 0.0200 is reached"), "{}", stderr(&said));
    assert!(spent(&server) <= 20_000, "{} millionths were spent", spent(&server));
    assert!(spent(&server) > 8_000, "little was spent of the budget");
}

#[test]
fn all_calls_for_questions_are_reserved_before_the_first() {
    let server = server();
    let mut project = modest(&server);
    project.set("generate.calls", "{ level1 = 6, level2 = 4, level3 = 2 }").set("budget.tokens", 60_000);
    project.ingest(&corpus(12));
    let said = drain(&project);
    assert!(said.contains("budget.tokens = 60000 is reached"), "{said}");
    let spent = spent(&server);
    assert!(spent <= 60_000 && spent > 20_000, "{spent} tokens");
}

#[test]
fn a_budget_per_day_survives_a_restart_and_begins_anew_the_next_day() {
    let server = server();
    let mut project = modest(&server);
    project.set("budget.tokens_per_day", 9_000);
    project.ingest(&corpus(9));
    let said = drain_on(&project, 20_000);
    assert!(said.contains("budget.tokens_per_day = 9000 is reached") && said.contains("on 2024-10-04"), "{said}");
    assert!(spent(&server) > 0);
    // What did not fit depends on what came first; a record that needs less may fit now, but the day has no more than that.
    drain_on(&project, 20_000);
    let first_day = spent(&server);
    assert!(first_day <= 9_000, "{first_day} tokens");
    drain_on(&project, 20_001);
    let second_day = spent(&server) - first_day;
    assert!(second_day > 0 && second_day <= 9_000, "{second_day} tokens");
    let status = project.command().args(["status"]).env("SYNTHLLM_TODAY", "20001").output().expect("the program starts");
    let shown = String::from_utf8_lossy(&status.stdout).into_owned();
    assert!(shown.contains(&format!("spent today (UTC): {second_day} of 9000 tokens")), "{shown}");
    assert!(shown.contains(&format!("spent in the last run: {second_day} tokens")), "{shown}");
}

#[test]
fn roles_that_run_apart_have_a_part_of_the_budget_each() {
    let server = server();
    let mut project = modest(&server);
    project.set("budget.tokens_per_day", 9_000).set("budget.extract_share", 0.2);
    project.ingest(&corpus(12));
    let said = |role: &str| {
        let output = project.command().args(["run", "--drain", "--role", role]).env("SYNTHLLM_TODAY", "20000").output();
        let output = output.expect("the program starts");
        assert!(output.status.success(), "{}", stderr(&output));
        stderr(&output)
    };
    let extract = said("extract");
    assert!(extract.contains("the part of extract (budget.extract_share) of budget.tokens_per_day = 9000"), "{extract}");
    let by_extract = spent(&server);
    assert!(by_extract > 0 && by_extract <= 1_800, "{by_extract} tokens");
    said("graph,generate");
    let by_generate = spent(&server) - by_extract;
    assert!(by_generate > 0 && by_generate <= 7_200, "{by_generate} tokens");
    // What generate has left is not for extract.
    said("extract");
    assert!(spent(&server) - by_generate <= 1_800);
}

#[test]
fn without_drain_a_run_waits_for_the_next_day_and_says_so() {
    let server = server();
    let mut project = modest(&server);
    project.set("budget.tokens_per_day", 6_000);
    project.ingest(&corpus(9));
    let mut run = project.start(&["run"]);
    wait_until("the run says what it waits for", || project.errors().contains("waiting for the next day (UTC)"));
    assert!(run.is_running());
    assert!(project.errors().contains("since budget.tokens_per_day = 6000 is used up"), "{}", project.errors());
    run.signal("TERM");
    assert_eq!(run.wait(), Some(0), "{}", project.errors());
    assert!(spent(&server) <= 6_000);
}

#[test]
fn a_budget_that_is_too_small_for_any_record_ends_the_run_and_says_what_to_do() {
    let server = server();
    let mut project = modest(&server);
    project.set("budget.tokens_per_day", 100);
    project.ingest(&[plain_document(1, 0)]);
    let output = project.execute(&["run"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let said = stderr(&output);
    let least = said.split_once("set budget.tokens_per_day to at least ").and_then(|(_, rest)| rest.split(' ').next());
    let least = least.unwrap_or_else(|| panic!("{said}"));
    assert_eq!(server.seen().len(), 0);
    project.set("budget.tokens_per_day", least);
    project.drain();
    assert!(!server.seen().is_empty(), "so much is enough for it: {least}");
}

/// A killed run has journaled answers that the next run does not pay for: they are not charged to its budget.
#[test]
fn answers_in_the_journal_cost_nothing() {
    let server = ScriptedServer::start(Options { latency: Duration::from_millis(40), ..Options::default() });
    let mut project = modest(&server);
    project.set("generate.questions.level1", 4).set("sampling.levels", "[1]").set("extract.source", "\"document\"");
    project.ingest(&corpus(3));
    let mut command = project.command();
    command.args(["run", "--drain"]).env("SYNTHLLM_FAULT", "commit confirmed:9");
    project.spawn(command).wait();
    let journaled: BTreeSet<u128> = project.logs().journal().into_iter().map(|(key, _)| key.request).collect();
    assert!(!journaled.is_empty());
    let seen = server.seen().len();
    project.set("budget.tokens", 1_000_000);
    drain(&project);
    let paid: Vec<u128> = server.seen()[seen..].iter().map(|seen| seen.content).collect();
    assert!(paid.iter().all(|content| !journaled.contains(content)));
    let run = project.status()["totals"]["run"]["tokens"].clone();
    let counts = server.counts();
    let tokens = paid.iter().map(|content| {
        let completion: Value = serde_json::from_str(&counts[content].completion).expect("a completion");
        completion["usage"]["total_tokens"].as_u64().expect("a count")
    });
    assert_eq!(run.as_u64(), Some(tokens.sum()));
}
