//! The whole pipeline on SQLite against a scripted model server in another process: calls per second of CPU time against a bare
//! loop with the same HTTP client, and the share of the ideal time when each call takes a second.
//!
//! `cargo bench -p synthllm --bench pipeline [-- instant|latency] [DOCUMENTS]`

#[path = "pipeline/bare.rs"]
mod bare;
#[path = "pipeline/process.rs"]
#[allow(dead_code, reason = "shared with the bench of the state")]
mod process;
#[path = "pipeline/server.rs"]
mod server;

use std::time::Duration;

use serde_json::{Value, json};
use synthllm_testkit::project::Project;

use process::{Measured, measure};
use server::{Served, Server};

/// A document makes a call for its extraction, and three for each of its two combinations: a question call and two answers.
const CALLS_PER_DOCUMENT: usize = 7;

/// The share of combinations of level 3 among the documents.
const WALKS_PER_DOCUMENT: f64 = 0.4;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some(mode) = arguments.iter().position(|argument| argument == "serve") {
        return server::serve(&arguments[mode + 1]);
    }
    let documents: Option<usize> = arguments.iter().find_map(|argument| argument.parse().ok());
    let only =
        |part: &str| !arguments.iter().any(|it| it == "instant" || it == "latency") || arguments.iter().any(|it| it == part);
    if only("instant") {
        instant(documents.unwrap_or(600));
    }
    if only("latency") {
        slow(documents.unwrap_or(360));
    }
}

/// How much of a CPU a call costs when the model costs nothing.
fn instant(documents: usize) {
    let in_flight = 64;
    let (run, served) = run(documents, Duration::ZERO, in_flight);
    let calls = served.arrivals.len();
    let pipeline = calls as f64 / run.cpu.as_secs_f64();
    println!(
        "instant server, {documents} documents, {in_flight} in flight: {calls} calls of {} bytes in {:.2} s of CPU and {:.2} s of \
         time, {} MiB at most",
        served.mean_bytes,
        run.cpu.as_secs_f64(),
        run.wall.as_secs_f64(),
        run.peak_bytes >> 20,
    );
    let bare = bare::calls_per_cpu_second(4 * calls, served.mean_bytes, in_flight);
    println!(
        "calls per CPU-second: pipeline {pipeline:.0}, bare loop {bare:.0}, ratio {:.3} (target 0.25)",
        pipeline / bare
    );
}

/// How well the calls fill the time when each takes a second.
fn slow(documents: usize) {
    let (latency, in_flight) = (Duration::from_secs(1), 256);
    let (run, served) = run(documents, latency, in_flight);
    let calls = served.arrivals.len();
    let ideal = |calls: f64| latency.as_secs_f64() * calls / in_flight as f64;
    let total = ideal(calls as f64) / run.wall.as_secs_f64();
    let (first, last) = (calls / 10, calls * 9 / 10);
    let steady = ideal((last - first) as f64) / served.arrivals[last].saturating_sub(served.arrivals[first]).as_secs_f64();
    println!(
        "1 s latency, {documents} documents, {in_flight} in flight (most seen: {}): {calls} calls in {:.2} s of time and {:.2} s of \
         CPU, {} MiB at most",
        served.most_open,
        run.wall.as_secs_f64(),
        run.cpu.as_secs_f64(),
        run.peak_bytes >> 20,
    );
    println!(
        "share of the ideal {:.2} s: {total:.3} (target 0.95), from 10 % to 90 % of the calls {steady:.3}",
        ideal(calls as f64)
    );
    println!("calls that arrived in each second: {}", by_second(&served.arrivals));
}

/// Ingests the corpus, and runs the program until nothing is left.
fn run(documents: usize, latency: Duration, in_flight: usize) -> (Measured, Served) {
    let server = Server::start(&latency.as_millis().to_string());
    let mut project = Project::new(env!("CARGO_BIN_EXE_synthllm"), &server.endpoint);
    project.set("log.partitions", 8).set("extract.source", "\"model\"").set("run.commit_interval", "\"200ms\"");
    project.set("llm.max_in_flight", in_flight).set("llm.timeout", "\"120s\"").set("sampling.epochs", 5);
    project.set("sampling.limit.level3", (documents as f64 * WALKS_PER_DOCUMENT) as usize);
    project.ingest(&corpus(documents));
    let mut command = project.command();
    let measured = measure(command.args(["run", "--drain"]));
    let served = server.stop();
    assert!(served.arrivals.len() >= documents * CALLS_PER_DOCUMENT, "{} calls only", served.arrivals.len());
    (measured, served)
}

/// Documents of 2 KB of words from a common vocabulary, so that concepts occur in many of them.
fn corpus(documents: usize) -> Vec<Value> {
    let mut random = fastrand::Rng::with_seed(1);
    let vocabulary: Vec<String> = (0..2_000).map(|_| word(&mut random)).collect();
    (0..documents)
        .map(|number| {
            let mut text = String::new();
            while text.len() < 2_000 {
                text.extend([vocabulary[random.usize(..vocabulary.len())].as_str(), " "]);
            }
            json!({"id": format!("document-{number}"), "text": text})
        })
        .collect()
}

fn word(random: &mut fastrand::Rng) -> String {
    (0..random.usize(5..10)).map(|_| random.lowercase()).collect()
}

fn by_second(arrivals: &[Duration]) -> String {
    let first = arrivals.first().copied().unwrap_or_default();
    let mut counts = vec![0_usize; 1];
    for arrival in arrivals {
        let second = arrival.saturating_sub(first).as_secs() as usize;
        counts.resize(counts.len().max(second + 1), 0);
        counts[second] += 1;
    }
    counts.iter().map(usize::to_string).collect::<Vec<_>>().join(" ")
}
