//! How the memory of a process falls as processes are added: the same state on a Kafka broker, read by one, two and four.

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use synthllm_log::Log;
use synthllm_log::kafka::{KafkaLog, KafkaSettings};
use synthllm_testkit::kafka::Broker;

use crate::process::{Measured, measure_all};
use crate::{NO_MODEL, state, words};

/// Partitions, so that eight workers at most share a role.
const PARTITIONS: u32 = 8;

/// Processes, of one worker each.
const PROCESSES: [usize; 3] = [1, 2, 4];

/// Starts over so many extractions, half as many samples, on 1, 2 and 4 processes.
pub fn memory(records: usize) {
    let Some(broker) = Broker::start() else { return };
    let folder = tempfile::TempDir::new().expect("the system gives a temporary folder");
    configure(folder.path(), broker.bootstrap());
    let log = KafkaLog::new(settings(broker.bootstrap())).expect("the broker answers");
    log.create().expect("topics can be created");
    state::extractions(&*log, records);
    state::samples(&*log, records / 2, records);
    run(folder.path(), 1);
    println!("{records} extractions and {} samples on Kafka; memory of the largest process", records / 2);
    for processes in PROCESSES {
        let measured = run(folder.path(), processes);
        let cpu: f64 = measured.iter().map(|it| it.cpu.as_secs_f64()).sum();
        let largest = measured.into_iter().max_by_key(|it| it.peak_bytes).expect("there is a process");
        println!("  {processes} processes, {cpu:.1} s of CPU in all: {}", words(&largest));
    }
}

fn settings(brokers: &str) -> KafkaSettings {
    KafkaSettings { documents_partitions: PARTITIONS, partitions: PARTITIONS, ..KafkaSettings::new(brokers, "scale.") }
}

fn configure(folder: &Path, brokers: &str) {
    let lines = [
        "app = \"scale\"".to_owned(),
        "log.kind = \"kafka\"".to_owned(),
        format!("log.brokers = {brokers:?}"),
        "log.prefix = \"scale.\"".to_owned(),
        format!("log.partitions = {PARTITIONS}"),
        format!("llm.endpoint = {NO_MODEL:?}"),
        "sampling.levels = [3]".to_owned(),
        "sampling.limit.level3 = 0".to_owned(),
    ];
    std::fs::write(folder.join("synthllm.toml"), lines.join("\n")).expect("the temporary folder is writable");
}

/// Runs until nothing is left to do, which is at once.
fn run(folder: &Path, processes: usize) -> Vec<Measured> {
    let free = |_| TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let listeners: Vec<TcpListener> = (0..processes).map(free).collect();
    let address = |listener: &TcpListener| listener.local_addr().expect("it listens").to_string();
    let hosts: Vec<String> = listeners.iter().map(address).collect();
    drop(listeners);
    std::fs::write(folder.join("hosts"), hosts.join("\n")).expect("the temporary folder is writable");
    let mut commands: Vec<Command> = (0..processes).map(|process| command(folder, process, processes)).collect();
    measure_all(&mut commands)
}

fn command(folder: &Path, process: usize, processes: usize) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_synthllm"));
    command.args(["run", "--drain"]).current_dir(folder);
    if processes > 1 {
        command.args(["-n", &processes.to_string(), "-p", &process.to_string(), "--hosts", "hosts"]);
    }
    command
}
