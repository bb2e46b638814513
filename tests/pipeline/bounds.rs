//! What comes in without end, or finds no room, does no harm.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread::{JoinHandle, spawn};

use synthllm_log::sqlite::{SqliteLog, SqliteSettings};
use synthllm_log::{Append, Log, LogName};
use synthllm_testkit::corpus::corpus;
use synthllm_testkit::project::{API_KEY, PARTITIONS, Project, wait_until};

use crate::{project, server, sound_samples};

/// The input of the test, far more than the program may hold.
const DOCUMENTS: usize = 3_000;
const DOCUMENT_BYTES: usize = 64 << 10;

/// What the program may hold: itself, the windows, a batch (16 MiB) of each reader.
const BOUND: u64 = 128 << 20;

/// `journal_size_limit` of the file: a checkpoint that nobody holds up cuts the write-ahead log back to it.
const MOST_AHEAD: u64 = 64 << 20;

#[test]
fn endless_input_before_a_stalled_model_stays_within_the_window() {
    let server = server();
    server.pause();
    let mut project = project(&server);
    project.set("run.window_bytes", 1 << 20).set("extract.source", "\"model\"").set("llm.timeout", "\"120s\"");
    project.succeed(&["topics", "create"]);
    let mut run = project.start(&["run"]);
    feed(&project).join().expect("the documents are written");
    wait_until("the run names the age of its oldest call", || project.errors().contains("(oldest "));
    let peak = run.peak_bytes();
    assert!(peak < BOUND, "{} MiB for {} MiB of input", peak >> 20, (DOCUMENTS * DOCUMENT_BYTES) >> 20);
    server.resume();
    server.wait_until(|seen| seen.len() > 200);
    run.signal("TERM");
    assert_eq!(run.wait(), Some(0), "{}", project.errors());
}

/// Writes documents while the program reads.
fn feed(project: &Project) -> JoinHandle<()> {
    let settings = SqliteSettings::new(&project.file("synthllm.db"), PARTITIONS, PARTITIONS);
    let log: Arc<dyn Log> = SqliteLog::open_with(settings).expect("the logs were created");
    spawn(move || {
        let mut appender = log.appender().expect("the file takes an appender");
        for number in 0..DOCUMENTS {
            let text = format!("matrix {number} ").repeat(DOCUMENT_BYTES / 12);
            let value = serde_json::json!({"text": text}).to_string().into_bytes();
            let key = Some(format!("document-{number}").into_bytes());
            let record = Append { log: LogName::Documents, partition: None, key, value: Some(value) };
            appender.append(record).expect("the record fits");
        }
        appender.flush().expect("the records are durable");
    })
}

/// Who reads an export slowly holds neither the run nor the write-ahead log, and gets what stood when the export began.
#[test]
fn a_reader_that_stands_still_holds_up_nobody() {
    let server = server();
    let project = project(&server);
    project.ingest(&corpus(40));
    project.drain();
    let stood = project.logs().samples().len();
    let mut command = project.command();
    let mut export = command.args(["export", "-"]).stdout(Stdio::piped()).spawn().expect("the program starts");
    let mut lines = BufReader::with_capacity(1, export.stdout.take().expect("it is piped")).lines();
    // The rest does not fit into the pipe.
    lines.next().expect("there are samples").expect("they are text");
    project.ingest(&corpus(44));
    project.drain();
    assert!(project.logs().samples().len() > stood);
    feed(&project).join().expect("the documents are written");
    let size = |name: &str| std::fs::metadata(project.file(name)).map_or(0, |file| file.len());
    let (file, ahead) = (size("synthllm.db"), size("synthllm.db-wal"));
    assert!(file > 2 * MOST_AHEAD, "{} MiB are no test", file >> 20);
    assert!(ahead <= MOST_AHEAD, "{} MiB are written ahead of {} MiB", ahead >> 20, file >> 20);
    assert!(export.try_wait().expect("it is a child").is_none(), "the export fitted into the pipe");
    let rest: Vec<String> = lines.collect::<Result<_, _>>().expect("they are text");
    assert_eq!(1 + rest.len(), stood);
    assert!(export.wait().expect("it is a child").success());
}

#[test]
fn a_full_disk_ends_the_run_with_its_reason_and_the_next_run_goes_on() {
    let server = server();
    let undisturbed = project(&server);
    let disturbed = project(&server);
    for project in [&undisturbed, &disturbed] {
        project.ingest(&corpus(8));
    }
    undisturbed.drain();
    let size = std::fs::metadata(disturbed.file("synthllm.db")).expect("there is a file").len();
    let mut run = disturbed.spawn(with_room(&disturbed, size + (64 << 10)));
    assert_eq!(run.wait(), Some(1), "{}", disturbed.errors());
    assert!(disturbed.errors().contains("can't write"), "{}", disturbed.errors());
    disturbed.drain();
    assert_eq!(sound_samples(&disturbed), sound_samples(&undisturbed));
}

/// A `run` whose files may not grow beyond so many bytes: it stands in for a full disk, which only root could make.
fn with_room(project: &Project, bytes: u64) -> Command {
    let run = project.command();
    let mut command = Command::new("bash");
    command.args(["-c", "trap '' XFSZ; ulimit -f \"$1\"; shift; exec \"$@\"", "bash", &(bytes >> 10).to_string()]);
    command.arg(run.get_program()).args(run.get_args()).args(["run", "--drain"]);
    command.env(API_KEY.0, API_KEY.1);
    command
}
