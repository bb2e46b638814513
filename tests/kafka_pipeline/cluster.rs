//! Several processes as one run: they give what one process gives, start only together, and end together.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::Arc;

use synthllm_operators::record::{Combination, Reference};
use synthllm_testkit::scripted::{Options, ScriptedServer};

use crate::project::Project;
use crate::running::Running;

/// A hosts file with free ports.
pub fn hosts(project: &Project, processes: usize) -> String {
    let listeners: Vec<TcpListener> = (0..processes).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let lines: Vec<String> = listeners.iter().map(|it| format!("{}\n", it.local_addr().unwrap())).collect();
    std::fs::write(project.path("hosts"), lines.concat()).unwrap();
    "hosts".to_owned()
}

/// The arguments of one process of a cluster.
pub fn arguments<'a>(processes: &'a str, process: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["-n", processes, "-p", process, "--hosts", "hosts"], more].concat()
}

/// Starts all processes of a cluster.
pub fn start(project: &Project, processes: usize, more: &[&str]) -> Vec<Running> {
    hosts(project, processes);
    let count = processes.to_string();
    (0..processes).map(|process| project.start(&arguments(&count, &process.to_string(), more))).collect()
}

fn projects(names: [&str; 2]) -> Option<[Project; 2]> {
    let server = Arc::new(ScriptedServer::start(Options::default()));
    let [one, other] = names.map(|name| Project::with_server(name, server.clone()).map(Project::created));
    Some([one?, other?])
}

#[test]
fn two_processes_with_two_workers_give_the_samples_of_one_and_a_restart_with_three_goes_on() {
    let Some([alone, together]) = projects(["alone", "together"]) else { return };
    for (documents, processes, workers) in [(0..12, 2, "2"), (12..18, 3, "1"), (18..20, 1, "1")] {
        alone.ingest(documents.clone());
        alone.drain();
        together.ingest(documents);
        if processes == 1 {
            together.drain();
        } else {
            for run in start(&together, processes, &["--drain", "-w", workers]) {
                run.succeeds();
            }
        }
        assert_eq!(alone.samples(), together.samples(), "{processes} processes");
    }
}

#[test]
fn settled_combinations_are_the_same_on_one_two_and_four_workers_in_one_and_two_processes() {
    let layouts = [(1, "1"), (1, "2"), (1, "4"), (2, "1"), (2, "2")];
    let drawn = layouts.map(|(processes, workers)| {
        let project = Project::new(&format!("settled-{processes}-{workers}"))?.set("log.partitions", "4").created();
        project.ingest(0..12);
        // Without generate no combination is trimmed away.
        let arguments = ["--role", "extract,graph", "--drain", "-w", workers];
        let runs = if processes == 1 { vec![project.start(&arguments)] } else { start(&project, processes, &arguments) };
        runs.into_iter().for_each(|run| _ = run.succeeds());
        Some(combinations(&project))
    });
    let Some(on_one) = &drawn[0] else { return };
    assert!(on_one.values().any(|(level, ..)| *level == 3));
    for (layout, drawn) in layouts.iter().zip(&drawn) {
        assert_eq!(drawn.as_ref(), Some(on_one), "{layout:?} processes and workers");
    }
}

/// The combinations by id: level, walk, and the documents with their similarity.
fn combinations(project: &Project) -> BTreeMap<String, (u8, String, Vec<(String, u64)>)> {
    let combinations = project.kcat.read("combinations").into_iter();
    let combinations = combinations.map(|record| Combination::of_record(&record.value.unwrap()).unwrap().0);
    let documents = |references: Vec<Reference>| {
        references.into_iter().map(|reference| (reference.document, reference.jaccard.to_bits())).collect()
    };
    let of = |it: Combination| (it.id.to_string(), (it.level, format!("{:?}", it.walk), documents(it.references)));
    combinations.map(of).collect()
}

#[test]
fn when_one_process_is_killed_the_others_end_at_once_and_name_it_and_a_restart_goes_on() {
    let Some([calm, killed]) = projects(["cluster-calm", "cluster-killed"]) else { return };
    for project in [&calm, &killed] {
        project.ingest(0..12);
    }
    calm.drain();
    killed.server.pause();
    let mut runs = start(&killed, 3, &["--drain"]);
    let asked = killed.server.seen().len();
    killed.server.wait_until(|seen| seen.len() >= asked + 4);
    runs[1].kill();
    for survivor in [0, 2] {
        let status = runs[survivor].wait();
        let said = runs[survivor].said();
        assert_eq!(status.code(), Some(1), "{said}");
        assert!(said.contains("lost process 1 at 127.0.0.1"), "{said}");
        assert!(!said.contains("panicked"), "{said}");
    }
    killed.server.resume();
    for run in start(&killed, 3, &["--drain"]) {
        run.succeeds();
    }
    assert_eq!(calm.samples(), killed.samples());
}

/// The end of one that ended for the loss may be seen before the loss itself.
#[test]
fn a_process_that_learns_last_of_a_loss_names_the_one_that_died() {
    let Some(project) = Project::new("cluster-late").map(Project::created) else { return };
    project.ingest(0..6);
    project.server.pause();
    let mut runs = start(&project, 3, &["--drain"]);
    let asked = project.server.seen().len();
    project.server.wait_until(|seen| seen.len() > asked);
    runs[0].signal("STOP");
    runs[1].kill();
    assert_eq!(runs[2].wait().code(), Some(1));
    runs[0].signal("CONT");
    let (status, said) = (runs[0].wait(), runs[0].said());
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("lost process 1 at 127.0.0.1"), "{said}");
    project.server.resume();
}

#[test]
fn a_process_that_fails_tells_the_others_why() {
    let Some(project) = Project::new("cluster-fails").map(Project::created) else { return };
    project.ingest(0..4);
    hosts(&project, 2);
    let mut well = project.start(&arguments("2", "0", &[]));
    let mut command = project.command(&[&["run"], &arguments("2", "1", &[])[..]].concat());
    // A model that doesn't exist there is no reason to wait, but to end.
    let mut ill =
        project.start_with(command.env("SYNTHLLM_LLM__ENDPOINT", format!("{}/nowhere", project.server.endpoint())));
    let (status, said) = (ill.wait(), ill.said());
    assert_eq!(status.code(), Some(1), "{said}");
    let (status, said) = (well.wait(), well.said());
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("lost process 1 at") && said.contains("it has ended: "), "{said}");
}

#[test]
fn processes_that_differ_are_refused_with_the_reason_and_the_cluster_still_forms() {
    let Some(project) = Project::new("cluster-differs").map(Project::created) else { return };
    project.ingest(0..2);
    hosts(&project, 2);
    let mut first = project.start(&arguments("2", "0", &["--drain"]));
    for (more, variable, expected) in [
        (&["--drain", "-w", "2"][..], None, "it was started with --workers 2, this with 1"),
        (&["--drain"][..], Some(("SYNTHLLM_SAMPLING__SEED", "9")), "its [sampling] differs"),
        (&["--drain", "--role", "graph"][..], None, "its roles differs"),
    ] {
        let mut command = project.command(&[&["run"], &arguments("2", "1", more)[..]].concat());
        let mut other = project.start_with(command.envs(variable));
        let (status, said) = (other.wait(), other.said());
        assert_eq!(status.code(), Some(1), "{said}");
        assert!(said.contains("refuses this process") && said.contains(expected) && said.contains("hint:"), "{said}");
    }
    assert!(first.ended().is_none(), "{}", first.said());
    project.start(&arguments("2", "1", &["--drain"])).succeeds();
    first.succeeds();
    assert!(!project.samples().is_empty());
}

#[test]
fn processes_share_a_budget_and_all_end_when_the_share_of_one_is_used_up() {
    let Some(project) = Project::new("cluster-budget").map(Project::created) else { return };
    let budget = 20_000;
    let project = project
        .set("budget.tokens", &budget.to_string())
        .set("llm.max_tokens", "200")
        .set("generate.max_prompt_tokens", "100");
    project.ingest(0..12);
    let said: Vec<String> = start(&project, 2, &["--drain"]).into_iter().map(Running::succeeds).collect();
    let share = "this process' share of budget.tokens = 20000, one of 2, is reached";
    assert!(said.iter().any(|said| said.contains(share)), "{said:?}");
    let counts = project.server.counts();
    let tokens = counts.values().map(|count| {
        let completion: serde_json::Value = serde_json::from_str(&count.completion).unwrap_or_default();
        u64::from(count.answered) * completion["usage"]["total_tokens"].as_u64().unwrap_or(0)
    });
    let spent: u64 = tokens.sum();
    assert!(spent > 0 && spent <= budget, "{spent} tokens were spent");
    let project = project.set("budget.tokens", "1_000_000");
    project.drain();
    let after = project.server.counts();
    assert!(counts.iter().all(|(request, count)| after[request] == *count), "what was paid for is not paid for again");
    assert!(after.len() > counts.len());
}

#[test]
fn a_stop_of_one_process_is_a_stop_of_all_and_what_was_asked_is_not_paid_again() {
    let Some(project) = Project::new("cluster-stop").map(Project::created) else { return };
    project.ingest(0..8);
    project.server.pause();
    let runs = start(&project, 2, &[]);
    project.server.wait_until(|seen| seen.len() >= 4);
    runs[1].signal("TERM");
    project.server.resume();
    for run in runs {
        run.succeeds();
    }
    let asked = project.server.counts();
    project.drain();
    let again = project.server.counts();
    for (request, count) in asked {
        assert_eq!(again[&request], count, "asked again after a stop");
    }
}

#[test]
fn a_lone_process_says_whom_it_waits_for_and_stops_when_told() {
    let Some(project) = Project::new("cluster-lone").map(Project::created) else { return };
    hosts(&project, 3);
    let mut first = project.start(&arguments("3", "0", &[]));
    let mut second = project.start(&arguments("3", "1", &[]));
    first.until_said("waiting for process 2 at");
    second.until_said("waiting for the other processes");
    for run in [&first, &second] {
        run.signal("TERM");
    }
    assert!(first.wait().success() && second.wait().success());
}
