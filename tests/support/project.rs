//! A project of a user: a folder with a configuration, the real program, and its SQLite logs.
//!
//! Every method panics when what it was told to do can't be done: a test can't go on then.
#![allow(clippy::missing_panics_doc)]

use std::collections::BTreeMap;
use std::fmt::Display;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use serde_json::Value;
use synthllm_log::sqlite::SqliteLog;
use synthllm_log::{Append, Log, LogName};
use tempfile::TempDir;

use crate::records::Logs;

/// P and N of all projects.
pub const PARTITIONS: u32 = 3;

/// The variable that holds the key for the model, and the key of all projects.
pub const API_KEY: (&str, &str) = ("TESTS_API_KEY", "sk-tests");

/// How long anything may take that a test waits for.
const PATIENCE: Duration = Duration::from_secs(120);

/// A folder with a configuration, and the program that runs there.
pub struct Project {
    program: PathBuf,
    folder: TempDir,
    settings: BTreeMap<String, String>,
}

impl Project {
    /// A new project whose model is at `endpoint`. `program` is `env!("CARGO_BIN_EXE_synthllm")` of the test.
    pub fn new(program: &str, endpoint: &str) -> Self {
        let folder = TempDir::new().expect("the system gives a temporary folder");
        let mut project = Project { program: program.into(), folder, settings: BTreeMap::new() };
        let path = format!("\"{}\"", project.file("synthllm.db").display());
        let settings = [
            ("app", "\"tests\""),
            ("log.kind", "\"sqlite\""),
            ("log.path", &path),
            ("log.partitions", &PARTITIONS.to_string()),
            ("llm.endpoint", &format!("{endpoint:?}")),
            ("llm.model", "\"scripted\""),
            ("llm.api_key_env", &format!("{:?}", API_KEY.0)),
            ("llm.timeout", "\"10s\""),
            ("extract.source", "\"document-or-model\""),
            ("sampling.epochs", "1"),
            ("run.commit_interval", "\"20ms\""),
        ];
        for (key, value) in settings {
            project.set(key, value);
        }
        project
    }

    /// Sets a key of the configuration, e.g. `sampling.limit.level3`, to a value as TOML writes it.
    pub fn set(&mut self, key: &str, value: impl Display) -> &mut Self {
        self.settings.insert(key.to_owned(), value.to_string());
        write_lines(&self.file("synthllm.toml"), self.settings.iter().map(|(key, value)| format!("{key} = {value}")));
        self
    }

    /// A file of the folder.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The program with its configuration, ready for arguments.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--config").arg(self.file("synthllm.toml"));
        command.env(API_KEY.0, API_KEY.1).env_remove("SYNTHLLM_FAULT");
        command.current_dir(self.folder.path()).stdin(Stdio::null());
        command
    }

    /// Runs the program to its end.
    pub fn execute(&self, arguments: &[&str]) -> Output {
        self.command().args(arguments).output().expect("the program starts")
    }

    /// Runs the program to its end, which must be success, and returns its standard output.
    pub fn succeed(&self, arguments: &[&str]) -> String {
        let output = self.execute(arguments);
        assert!(output.status.success(), "{arguments:?} ended with {}: {}", output.status, stderr(&output));
        String::from_utf8(output.stdout).expect("the program prints UTF-8")
    }

    /// Runs until everything that is there has become samples.
    pub fn drain(&self) {
        self.succeed(&["run", "--drain"]);
    }

    /// Starts the program and leaves it running, its standard error in the file `run.err`.
    pub fn start(&self, arguments: &[&str]) -> Running {
        let mut command = self.command();
        command.args(arguments);
        self.spawn(command)
    }

    /// The same of a command of this project.
    pub fn spawn(&self, mut command: Command) -> Running {
        let errors = std::fs::File::create(self.file("run.err")).expect("the temporary folder is writable");
        let child = command.stdout(Stdio::null()).stderr(errors).spawn();
        Running(child.expect("the program starts"))
    }

    /// What the program that was started last has said.
    pub fn errors(&self) -> String {
        std::fs::read_to_string(self.file("run.err")).unwrap_or_default()
    }

    /// Ingests documents, in order.
    pub fn ingest(&self, documents: &[Value]) {
        let file = self.file("documents.jsonl");
        write_lines(&file, documents.iter().map(Value::to_string));
        self.succeed(&["ingest", "--strict", &path(&file)]);
    }

    /// Deletes documents.
    pub fn delete(&self, ids: &[&str]) {
        self.succeed(&[&["delete"], ids].concat());
    }

    /// Appends a record to `documents` as somebody else's producer might, whatever its bytes.
    pub fn append(&self, key: &[u8], value: Option<&[u8]>) {
        self.append_to(LogName::Documents, key, value);
    }

    /// Appends a record to a log.
    pub fn append_to(&self, log: LogName, key: &[u8], value: Option<&[u8]>) {
        let mut appender = self.open().appender().expect("the file takes an appender");
        let (key, value) = (Some(key.to_vec()), value.map(<[u8]>::to_vec));
        appender.append(Append { log, partition: None, key, value }).expect("the record fits");
        appender.flush().expect("the record is durable");
    }

    /// The lines that `export` writes.
    pub fn export(&self) -> Vec<Value> {
        let lines = self.succeed(&["export", "-"]);
        lines.lines().map(|line| serde_json::from_str(line).expect("an exported line is JSON")).collect()
    }

    /// What `status --json` prints.
    pub fn status(&self) -> Value {
        serde_json::from_str(&self.succeed(&["status", "--json"])).expect("the status is JSON")
    }

    /// The logs, to be looked at directly.
    pub fn logs(&self) -> Logs {
        Logs::new(self.open())
    }

    /// From now on, what is trimmed from the journals and from `combinations` is kept beside them for [`Project::kept`].
    pub fn keep_trimmed(&self) {
        self.open();
        let statements = "CREATE TABLE kept (name TEXT, key BLOB, value BLOB);
            CREATE TRIGGER keep BEFORE DELETE ON records BEGIN
                INSERT INTO kept SELECT name, OLD.key, OLD.value FROM logs WHERE log = OLD.log;
            END;";
        self.connect().execute_batch(statements).expect("the file takes a trigger");
    }

    /// The records that were removed from a log since [`Project::keep_trimmed`], as keys and values.
    pub fn kept(&self, log: LogName) -> Vec<(Vec<u8>, Vec<u8>)> {
        let connection = self.connect();
        let mut statement = connection
            .prepare("SELECT key, value FROM kept WHERE name = ?1 AND value IS NOT NULL")
            .expect("there is a table");
        let rows = statement.query_map([log.name()], |row| Ok((row.get(0)?, row.get(1)?))).expect("the table can be read");
        rows.collect::<Result<_, _>>().expect("the table can be read")
    }

    /// Removes the tombstones of a log and what they were written over, as compaction does in the end.
    pub fn forget_tombstones(&self, log: LogName) {
        let gone = "WITH the AS (SELECT log FROM logs WHERE name = ?1),
            dead AS (SELECT key FROM records JOIN latest USING (log, partition, offset, key) JOIN the USING (log) WHERE value IS NULL)
            DELETE FROM records WHERE log = (SELECT log FROM the) AND key IN dead";
        let removed = self.connect().execute(gone, [log.name()]).expect("the table can be written");
        assert!(removed > 0, "{} has no tombstones", log.name());
    }

    fn connect(&self) -> Connection {
        let connection = Connection::open(self.file("synthllm.db")).expect("the file opens");
        connection.busy_timeout(PATIENCE).expect("a timeout can be set");
        connection
    }

    fn open(&self) -> std::sync::Arc<dyn Log> {
        let log = SqliteLog::open(&self.file("synthllm.db"), PARTITIONS, PARTITIONS).expect("the file opens");
        log.create().expect("the tables are there or can be made");
        log
    }
}

/// A running program. Dropping it kills it.
pub struct Running(Child);

impl Running {
    /// Sends a signal by name, e.g. `TERM`.
    pub fn signal(&self, name: &str) {
        let pid = self.0.id().to_string();
        let status = Command::new("kill").args(["-s", name, &pid]).status().expect("there is a kill");
        assert!(status.success(), "can't send {name} to {pid}");
    }

    /// Whether it has not ended yet.
    pub fn is_running(&mut self) -> bool {
        self.0.try_wait().expect("a child can be waited for").is_none()
    }

    /// The most memory that it has had so far, as Linux tells it.
    pub fn peak_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id())).expect("the program runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a process has memory");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("Linux counts in KiB") << 10
    }

    /// `kill -9`, and waits until the process is gone. Says whether it was still running.
    pub fn kill(&mut self) -> bool {
        let running = self.is_running();
        let _gone = self.0.kill();
        self.0.wait().expect("a child can be waited for");
        running
    }

    /// Waits for the end and returns the exit code; none after a signal.
    pub fn wait(&mut self) -> Option<i32> {
        let mut status = None;
        wait_until("the program ends", || {
            status = self.0.try_wait().expect("a child can be waited for");
            status.is_some()
        });
        status.and_then(|status| status.code())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Looks again and again until `done`, for two minutes at most.
pub fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let started = Instant::now();
    while !done() {
        assert!(started.elapsed() < PATIENCE, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Standard error as text.
pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Writes a file line by line.
pub fn write_lines(file: &Path, lines: impl IntoIterator<Item = impl AsRef<[u8]>>) {
    let mut output = std::fs::File::create(file).expect("the temporary folder is writable");
    for line in lines {
        output.write_all(&[line.as_ref(), b"\n"].concat()).expect("the temporary folder is writable");
    }
}

fn path(file: &Path) -> String {
    file.to_str().expect("temporary folders have names in UTF-8").to_owned()
}
