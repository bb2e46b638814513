//! What `plan` says before a run holds in the run.

use std::collections::BTreeMap;

use serde_json::Value;
use synthllm_testkit::corpus::{any_document, corpus, plain_document};
use synthllm_testkit::project::Project;
use synthllm_testkit::scripted::ScriptedServer;

use crate::{project, server, sound_samples};

/// Calls, prompt tokens, completion tokens.
type Bill = [u64; 3];

/// What the server has counted, by task.
fn bills(server: &ScriptedServer) -> BTreeMap<&'static str, Bill> {
    let mut bills = BTreeMap::from([("extract", [0; 3]), ("question", [0; 3]), ("answer", [0; 3])]);
    for count in server.counts().values() {
        let task = match count.task.as_str() {
            "extraction" => "extract",
            "answer" => "answer",
            _ => "question",
        };
        let completion: Value = serde_json::from_str(&count.completion).expect("a completion");
        let tokens = |name: &str| completion["usage"][name].as_u64().expect("a count");
        let answered = u64::from(count.answered);
        let more = [answered, answered * tokens("prompt_tokens"), answered * tokens("completion_tokens")];
        let bill = bills.get_mut(task).expect("all tasks are there");
        *bill = std::array::from_fn(|index| bill[index] + more[index]);
    }
    bills
}

fn plan(project: &Project, arguments: &[&str]) -> Value {
    let text = project.succeed(&[&["plan", "--json"], arguments].concat());
    serde_json::from_str(&text).expect("the plan is JSON")
}

fn bounds(range: &Value) -> (f64, f64) {
    (range["low"].as_f64().expect("a number"), range["high"].as_f64().expect("a number"))
}

/// Asserts that what a run has cost lies within its plan, and returns how wide the plan of its tokens was.
fn assert_within(plan: &Value, before: &BTreeMap<&'static str, Bill>, after: &BTreeMap<&'static str, Bill>) -> f64 {
    for (task, bill) in after {
        for (index, name) in ["calls", "prompt_tokens", "completion_tokens"].into_iter().enumerate() {
            let (low, high) = bounds(&plan[task][name]);
            let found = (bill[index] - before[task][index]) as f64;
            assert!(low <= found && found <= high, "{task}: {found} {name}, the plan said {low} to {high}");
        }
    }
    let (low, high) = bounds(&plan["total"]["completion_tokens"]);
    high / low.max(1.0)
}

#[test]
fn a_run_asks_for_what_was_planned_and_later_plans_are_narrower() {
    let server = server();
    let mut project = project(&server);
    project.set("llm.price", "{ prompt = 1.0, completion = 2.0 }");
    project.ingest(&corpus(12));
    let (first, before) = (plan(&project, &[]), bills(&server));
    assert_eq!(server.seen().len(), 0, "a plan asks nobody");
    assert_eq!((&first["documents"]["extract"], &first["documents"]["own_concepts"]), (&4.into(), &8.into()));
    project.drain();
    let wide = assert_within(&first, &before, &bills(&server));
    let (low, high) = bounds(&first["total"]["cost"]);
    let cost = project.status()["totals"]["cost"].as_f64().expect("a cost");
    assert!(low <= cost && cost <= high, "{cost}, the plan said {low} to {high}");

    let more: Vec<_> = (30..42).map(|number| any_document(number, 0)).collect();
    project.ingest(&[more, corpus(3)].concat());
    let (second, before) = (plan(&project, &[]), bills(&server));
    assert_eq!(second["documents"]["unchanged"], 3);
    project.drain();
    let narrow = assert_within(&second, &before, &bills(&server));
    assert!(narrow < wide / 2.0, "{narrow} after {wide}");
    sound_samples(&project);

    let nothing = plan(&project, &[]);
    assert_eq!((&nothing["documents"]["waiting"], &nothing["total"]["calls"]["high"]), (&0.into(), &0.into()));
}

#[test]
fn a_part_of_the_log_stands_for_the_rest_and_files_need_no_log() {
    let server = server();
    let project = project(&server);
    let documents: Vec<_> = (0..60).map(|number| plain_document(number, 0)).collect();
    let file = project.file("plain.jsonl");
    synthllm_testkit::project::write_lines(&file, documents.iter().map(Value::to_string));
    let of_files = plan(&project, &["plain.jsonl"]);
    assert_eq!(of_files["documents"]["extract"], 60);
    assert!(!project.file("synthllm.db").exists(), "a plan makes no log");
    project.ingest(&documents);
    assert_eq!(plan(&project, &[])["documents"]["extract"], 60);
    let (low, high) = bounds(&plan(&project, &[])["extract"]["prompt_tokens"]);
    let part = plan(&project, &["--sample", "12"]);
    assert_eq!(part["documents"]["extract"], 60);
    let (part_low, part_high) = bounds(&part["extract"]["prompt_tokens"]);
    assert!((part_low / low - 1.0).abs() < 0.1 && (part_high / high - 1.0).abs() < 0.1, "{part_low} to {part_high}");
    assert!(part["assumed"].to_string().contains("of the documents that were read stand for the rest"));
}

#[test]
fn several_calls_for_questions_are_planned_for() {
    let server = server();
    let mut project = project(&server);
    project.set("sampling.levels", "[1, 2]").set("generate.calls", "{ level1 = 6, level2 = 3, level3 = 1 }");
    project.set("generate.questions", "{ level1 = 2, level2 = 2, level3 = 3 }");
    project.ingest(&corpus(6));
    let (first, before) = (plan(&project, &[]), bills(&server));
    project.drain();
    assert_within(&first, &before, &bills(&server));
    project.ingest(&[any_document(30, 0), any_document(31, 0), any_document(32, 0)]);
    let (second, before) = (plan(&project, &[]), bills(&server));
    project.drain();
    assert_within(&second, &before, &bills(&server));
}
