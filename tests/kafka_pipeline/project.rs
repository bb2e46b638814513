//! A pipeline of its own for one test: configuration, topics, model server, documents.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::Arc;

use serde_json::{Value, json};
use synthllm_testkit::kafka::{Broker, unique_prefix};
use synthllm_testkit::scripted::{Options, ScriptedServer};
use tempfile::TempDir;

use crate::kcat::{self, Kcat};
use crate::running::Running;

/// Partitions of each log.
pub const PARTITIONS: u32 = 2;

/// A pipeline of its own.
pub struct Project {
    pub kcat: Kcat,
    pub server: Arc<ScriptedServer>,
    folder: TempDir,
    /// Further settings: dotted key and TOML value.
    settings: BTreeMap<String, String>,
}

impl Project {
    /// Logs that don't exist yet on the broker of all tests. None, with a message, where there is no broker or no judge.
    pub fn new(test: &str) -> Option<Project> {
        Project::with_server(test, Arc::new(ScriptedServer::start(Options::default())))
    }

    /// The same with a model server of the test's choice.
    pub fn with_server(test: &str, server: Arc<ScriptedServer>) -> Option<Project> {
        if !kcat::is_here() {
            return None;
        }
        let broker = Broker::shared()?.bootstrap();
        Some(Project::on(broker, broker, &unique_prefix(test), server))
    }

    /// The same on brokers that the program reaches at one address and the judge at another.
    pub fn on(brokers: &str, judged_at: &str, prefix: &str, server: Arc<ScriptedServer>) -> Project {
        let kcat = Kcat { brokers: judged_at.to_owned(), prefix: prefix.to_owned() };
        let mut project = Project { kcat, server, folder: TempDir::new().unwrap(), settings: BTreeMap::new() };
        for (key, value) in [
            ("app", quoted(project.kcat.prefix.trim_end_matches('.'))),
            ("log.kind", quoted("kafka")),
            ("log.brokers", quoted(brokers)),
            ("log.prefix", quoted(&project.kcat.prefix)),
            ("log.partitions", PARTITIONS.to_string()),
            ("llm.endpoint", quoted(&project.server.endpoint())),
            ("run.commit_interval", quoted("50ms")),
            ("sampling.limit", "{ level1 = 6, level2 = 6, level3 = 12 }".to_owned()),
        ] {
            project = project.set(key, &value);
        }
        project
    }

    /// Sets a key of the configuration to a TOML value.
    pub fn set(mut self, key: &str, value: &str) -> Project {
        self.settings.insert(key.to_owned(), value.to_owned());
        let lines: Vec<String> = self.settings.iter().map(|(key, value)| format!("{key} = {value}\n")).collect();
        std::fs::write(self.path("synthllm.toml"), lines.concat()).unwrap();
        self
    }

    /// The same documents, settings and model on SQLite instead.
    pub fn on_sqlite(self) -> Project {
        self.set("log.kind", &quoted("sqlite"))
    }

    /// Creates the topics.
    pub fn created(self) -> Project {
        self.ok(&["topics", "create"]);
        self
    }

    /// A file of the project.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A command of the real binary in the project's folder, with an environment that names no configuration.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_synthllm"));
        command.args(arguments).current_dir(self.folder.path());
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("SYNTHLLM_") || name == "RUST_LOG") {
            command.env_remove(name);
        }
        command
    }

    /// Runs a short command to its end.
    pub fn output(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs a short command that must succeed, and returns what it printed.
    pub fn ok(&self, arguments: &[&str]) -> String {
        let output = self.output(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Starts a `run`.
    pub fn start(&self, arguments: &[&str]) -> Running {
        self.start_with(&mut self.command(&[&["run"], arguments].concat()))
    }

    /// Starts a prepared command.
    pub fn start_with(&self, command: &mut Command) -> Running {
        let said = tempfile::Builder::new().prefix("said").tempfile_in(self.folder.path()).unwrap();
        Running::start(command, &said.into_temp_path().keep().unwrap())
    }

    /// Runs until everything that stands in `documents` is done.
    pub fn drain(&self) -> String {
        self.start(&["--drain"]).succeeds()
    }

    /// Ingests the documents with these numbers.
    pub fn ingest(&self, numbers: impl IntoIterator<Item = u32>) {
        self.ingest_all(&numbers.into_iter().map(document).collect::<Vec<_>>());
    }

    /// Ingests these documents.
    pub fn ingest_all(&self, documents: &[Value]) {
        let lines: Vec<String> = documents.iter().map(|document| document.to_string() + "\n").collect();
        std::fs::write(self.path("documents.jsonl"), lines.concat()).unwrap();
        self.ok(&["ingest", "documents.jsonl"]);
    }

    /// The live samples as `kcat` reads them, by id.
    pub fn samples(&self) -> BTreeMap<String, Value> {
        let samples = self.kcat.live("samples").into_iter();
        samples.map(|(id, value)| (id, serde_json::from_slice(&value).unwrap())).collect()
    }

    /// The live samples as `export` writes them, by id.
    pub fn exported(&self) -> BTreeMap<String, Value> {
        let samples = self.ok(&["export", "-"]);
        let samples = samples.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        samples.map(|sample| (sample["id"].as_str().unwrap().to_owned(), sample)).collect()
    }
}

/// A text in TOML.
pub fn quoted(text: &str) -> String {
    format!("{text:?}")
}

/// The id of a document.
pub fn id(number: u32) -> String {
    format!("document-{number}")
}

/// A document whose words, and so whose concepts, it shares with others.
pub fn document(number: u32) -> Value {
    const WORDS: [&str; 24] = [
        "matrix",
        "vector",
        "tensor",
        "kernel",
        "module",
        "lattice",
        "integral",
        "gradient",
        "spectrum",
        "operator",
        "manifold",
        "measure",
        "entropy",
        "variance",
        "likelihood",
        "estimator",
        "residual",
        "quadrature",
        "polynomial",
        "recursion",
        "sampling",
        "bootstrap",
        "regression",
        "covariance",
    ];
    let words: BTreeSet<&str> =
        (0..16).map(|step| WORDS[((number * 7 + step * (number % 5 + 1) * 5 + step) % 24) as usize]).collect();
    let words = Vec::from_iter(words).join(" ");
    json!({"id": id(number), "text": format!("Text {number} speaks of {words}."), "source": "tests", "license": "CC0-1.0"})
}

/// The ids of the documents that a sample stands on.
pub fn documents_of(sample: &Value) -> Vec<&str> {
    let documents = sample["provenance"]["documents"].as_array().unwrap();
    documents.iter().map(|document| document["id"].as_str().unwrap()).collect()
}

/// How many samples of each level there are.
pub fn by_level(samples: &BTreeMap<String, Value>) -> [usize; 3] {
    [1, 2, 3].map(|level| samples.values().filter(|sample| sample["level"] == level).count())
}
