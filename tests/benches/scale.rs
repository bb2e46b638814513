//! What a start, a withdrawal and another process cost at scale: a million extractions of ten concepts, a million samples.
//!
//! `cargo bench -p synthllm --bench scale [-- replay|withdrawal|report|cluster] [RECORDS]`. The cluster's part needs Apache Kafka, which it
//! fetches and starts.

#[path = "scale/cluster.rs"]
mod cluster;
#[path = "pipeline/process.rs"]
#[allow(dead_code, reason = "shared with the bench of the pipeline")]
mod process;
#[path = "scale/state.rs"]
mod state;

use std::time::Duration;

use synthllm_log::sqlite::{SqliteLog, SqliteSettings};
use synthllm_testkit::project::{PARTITIONS, Project};

use process::{Measured, measure, measure_at_rest};

/// Nobody listens there: these runs ask the model nothing.
const NO_MODEL: &str = "http://127.0.0.1:9/v1";

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let records: usize = arguments.iter().find_map(|argument| argument.parse().ok()).unwrap_or(1_000_000);
    let parts = ["replay", "withdrawal", "report", "cluster"];
    let named = |part: &str| arguments.iter().any(|argument| argument == part);
    let wanted = |part: &str| named(part) || !parts.iter().any(|part| named(part));
    if wanted("replay") {
        replay(records);
    }
    if wanted("withdrawal") {
        withdrawal(records, records / 10);
    }
    if wanted("report") {
        report(records);
    }
    if wanted("cluster") {
        cluster::memory(records);
    }
}

/// A start over so many extractions, of which all have had their outcome.
fn replay(records: usize) {
    let project = project();
    let bytes = state::extractions(&*log(&project), records);
    let first = drain(&project);
    let second = measure_at_rest(project.command().arg("run"));
    println!("replay of {records} extractions of 10 concepts, {bytes} bytes each on average");
    println!("  the first run, which also reads them for their outputs: {}", words(&first));
    println!("  a start after it: {} (target 15 s of CPU, 1.5 times)", words(&second));
}

/// So many samples on half as many documents, of which some go.
fn withdrawal(samples: usize, deletions: usize) {
    let project = project();
    let documents = samples / 2;
    state::extractions(&*log(&project), documents);
    state::samples(&*log(&project), samples, documents);
    let before = drain(&project);
    let ids: Vec<String> = (0..deletions).map(|number| state::document(number * documents / deletions)).collect();
    std::fs::write(project.file("gone.txt"), ids.join("\n")).expect("the temporary folder is writable");
    let deleting = measure(project.command().args(["delete", "--from-file", "gone.txt"]));
    let after = drain(&project);
    let live = project.export().len();
    let expected = (0..samples)
        .filter(|&sample| state::stands_on(sample, documents).iter().all(|document| !gone(*document, documents, deletions)))
        .count();
    assert_eq!(live, expected, "other samples than those of deleted documents are withdrawn");
    println!("{deletions} of {documents} documents go, on which {samples} samples stand; {} are withdrawn", samples - live);
    println!("  a start with nothing to do: {}", words(&before));
    println!("  `delete --from-file`: {}", words(&deleting));
    println!("  the run that withdraws: {}", words(&after));
}

/// A report on so many samples on half as many documents.
fn report(samples: usize) {
    let project = project();
    state::extractions(&*log(&project), samples / 2);
    state::questions(&*log(&project), samples, samples / 2);
    let measured = measure(project.command().args(["report", "-o", "report.html", "--json", "report.json"]));
    let bytes = |name: &str| std::fs::metadata(project.file(name)).expect("the report is written").len();
    println!("a report on {samples} samples on {} documents of 10 concepts: {}", samples / 2, words(&measured));
    println!("  the page has {} bytes, the JSON {}", bytes("report.html"), bytes("report.json"));
    println!("  {} bytes of memory a sample", measured.peak_bytes / samples.max(1) as u64);
}

/// Whether a document is among those that go.
fn gone(document: usize, documents: usize, deletions: usize) -> bool {
    let number = (document * deletions).div_ceil(documents);
    number < deletions && number * documents / deletions == document
}

/// A pipeline of level 3 that draws nothing.
fn project() -> Project {
    let mut project = Project::new(env!("CARGO_BIN_EXE_synthllm"), NO_MODEL);
    project.set("sampling.levels", "[3]").set("sampling.limit.level3", 0).set("run.commit_interval", "\"200ms\"");
    project.succeed(&["topics", "create"]);
    project
}

fn log(project: &Project) -> std::sync::Arc<dyn synthllm_log::Log> {
    let settings = SqliteSettings::new(&project.file("synthllm.db"), PARTITIONS, PARTITIONS);
    SqliteLog::open_with(settings).expect("the logs were created")
}

fn drain(project: &Project) -> Measured {
    measure(project.command().args(["run", "--drain"]))
}

fn words(measured: &Measured) -> String {
    let Measured { wall, cpu, peak_bytes, last_bytes } = measured;
    let seconds = |time: &Duration| time.as_secs_f64();
    let (peak, last) = (peak_bytes >> 20, last_bytes >> 20);
    let ratio = *peak_bytes as f64 / *last_bytes as f64;
    format!(
        "{:.1} s of CPU, {:.1} s of time, {peak} MiB at most and {last} MiB at the end ({ratio:.2})",
        seconds(cpu),
        seconds(wall)
    )
}
