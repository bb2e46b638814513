//! The commands as users run them: the real binary, on SQLite, each test in a folder of its own.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use serde_json::Value;
use synthllm_log::sqlite::SqliteLog;
use synthllm_log::{Append, Log, LogName, Writer};
use synthllm_operators::codec;
use synthllm_operators::record::{Extraction, Pointer, Sample, SampleProvenance, Topic, Usage};
use tempfile::TempDir;

/// A folder in which commands run, with an environment that names no configuration.
struct Place(TempDir);

/// What a command did.
struct Done {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Place {
    fn new() -> Self {
        Place(TempDir::new().unwrap())
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_synthllm"));
        command.args(arguments).current_dir(self.0.path());
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("SYNTHLLM_") || name == "RUST_LOG") {
            command.env_remove(name);
        }
        command
    }

    fn run(&self, arguments: &[&str]) -> Done {
        Done::of(self.command(arguments).output().unwrap())
    }

    /// Runs a command that must succeed, and returns what it printed.
    fn ok(&self, arguments: &[&str]) -> String {
        let done = self.run(arguments);
        assert_eq!(done.code, 0, "{arguments:?}: {}", done.stderr);
        done.stdout
    }

    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.ok(arguments)).unwrap()
    }

    fn log(&self) -> Arc<dyn Log> {
        let log = SqliteLog::open(&self.path("synthllm.db"), 8, 8).unwrap();
        log.create().unwrap();
        log
    }

    /// The ids of `documents` with their values, as they stand in the log.
    fn documents(&self) -> Vec<(String, Option<String>)> {
        let log = self.log();
        let from: Vec<_> = (0..8).map(|partition| (partition, 0)).collect();
        let mut documents = Vec::new();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let each = |record: synthllm_log::Record| documents.push((text(record.key.unwrap()), record.value.map(text)));
        synthllm_log::read_to_end(&log, LogName::Documents, &from, each, |_, _| {}).unwrap();
        documents.sort();
        documents
    }
}

impl Done {
    fn of(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Done { code: output.status.code().unwrap(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

fn append(writer: &mut dyn Writer, log: LogName, key: &str, value: Option<Vec<u8>>) {
    writer.append(vec![Append { log, partition: None, key: Some(key.into()), value }]).unwrap();
}

fn extraction(topics: &[(&str, &[&str])]) -> Vec<u8> {
    extraction_from(None, topics)
}

fn extraction_from(source: Option<&str>, topics: &[(&str, &[&str])]) -> Vec<u8> {
    let place = Pointer { partition: 0, offset: 0 };
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    codec::encode(&Extraction {
        text: None,
        version: place,
        since: place,
        redo: 0,
        redone: place,
        content_hash: 0,
        level: None,
        subject: None,
        topics: topics
            .iter()
            .map(|(name, key_concepts)| Topic { name: (*name).into(), key_concepts: names(key_concepts) })
            .collect(),
        key_concepts: Vec::new(),
        source: source.map(str::to_owned),
        url: None,
        license: None,
        model: None,
        prompt: None,
        usage: Usage::default(),
        cost: 0.0,
    })
}

/// Three documents, one of them deleted again.
fn seed_extractions(place: &Place) {
    let log = place.log();
    let mut writer = log.writer("test").unwrap();
    append(
        &mut *writer,
        LogName::Extractions,
        "a",
        Some(extraction(&[("Algebra", &["Group", "Ring"]), ("Geometry", &["Circle"])])),
    );
    append(&mut *writer, LogName::Extractions, "b", Some(extraction(&[("algebra", &["group", "Field"])])));
    append(&mut *writer, LogName::Extractions, "c", Some(extraction(&[("History", &["Rome"])])));
    append(&mut *writer, LogName::Extractions, "c", None);
    writer.commit().unwrap();
}

fn sample(id: &str) -> Vec<u8> {
    let provenance = SampleProvenance {
        combination: "0".repeat(32),
        walk: Vec::new(),
        documents: Vec::new(),
        models: BTreeMap::new(),
        prompts: BTreeMap::new(),
    };
    serde_json::to_vec(&Sample {
        id: id.into(),
        level: 1,
        question: format!("question {id}"),
        answer: Some("answer".into()),
        concepts: Vec::new(),
        topics: Vec::new(),
        provenance,
        scores: BTreeMap::new(),
        usage: Usage::default(),
        cost: 0.0,
    })
    .unwrap()
}

#[test]
fn lines_go_in_from_plain_and_compressed_files_and_standard_input() {
    let place = Place::new();
    place.write("plain.jsonl", "{\"id\":\"a\",\"text\":\"x\"}\n\n{\"text\":\"y\"}");
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gz.write_all(b"{\"id\":\"b\",\"text\":\"x\"}\n").unwrap();
    place.write("lines.jsonl.gz", gz.finish().unwrap());
    place.write("lines.jsonl.zst", zstd::encode_all(&b"{\"id\":\"c\",\"text\":\"x\"}\n"[..], 1).unwrap());
    assert_eq!(
        place.ok(&["ingest", "plain.jsonl", "lines.jsonl.gz", "lines.jsonl.zst"]),
        "ingested 4 documents from 3 files\n"
    );

    let mut command = place.command(&["ingest", "-"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"{\"id\":\"d\",\"text\":\"x\"}").unwrap();
    assert!(child.wait_with_output().unwrap().status.success());

    let ids: Vec<_> = place.documents().into_iter().map(|(id, _)| id).collect();
    assert_eq!(ids.len(), 5);
    assert!(["a", "b", "c", "d"].iter().all(|id| ids.iter().any(|found| found == id)), "{ids:?}");
    assert!(ids.contains(&synthllm_operators::id::document_key_of_text("y")), "{ids:?}");
}

#[test]
fn texts_of_a_folder_go_in_under_their_relative_paths() {
    let place = Place::new();
    place.write("notes/one.txt", "first");
    place.write("notes/deep/two.md", "second");
    place.write("notes/.hidden.txt", "no");
    place.write("notes/picture.png", "no");
    assert_eq!(place.ok(&["ingest", "notes"]), "ingested 2 documents from 2 files\n");
    let documents = place.documents();
    assert_eq!(documents.iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>(), ["deep/two.md", "one.txt"]);
    let value: Value = serde_json::from_str(documents[1].1.as_ref().unwrap()).unwrap();
    assert_eq!(value["text"], "first");
}

#[test]
fn a_bad_line_is_reported_with_its_number_and_the_rest_goes_in() {
    let place = Place::new();
    place.write(
        "bad.jsonl",
        b"{\"id\":\"a\",\"text\":\"x\"}\nnot json\n{\"id\":\"b\",\"text\":7}\n{}\n\xff\n{\"id\":\"c\",\"text\":\"x\"}\n",
    );
    let done = place.run(&["ingest", "bad.jsonl"]);
    assert_eq!(done.code, 0);
    assert_eq!(done.stdout, "ingested 2 documents from 1 file\nskipped 4 lines that are no documents\n");
    for number in [2, 3, 4, 5] {
        assert!(done.stderr.contains(&format!("bad.jsonl:{number}: not a document")), "{}", done.stderr);
    }
    assert_eq!(place.run(&["ingest", "--strict", "bad.jsonl"]).code, 1);
    assert_eq!(place.documents().len(), 4);
}

#[test]
fn a_file_that_is_not_there_stops_ingest_before_anything_goes_in() {
    let place = Place::new();
    place.write("good.jsonl", "{\"id\":\"a\",\"text\":\"x\"}");
    let done = place.run(&["ingest", "good.jsonl", "missing.jsonl"]);
    assert_eq!(done.code, 1);
    assert!(done.stderr.contains("can't read missing.jsonl"), "{}", done.stderr);
    assert!(!place.path("synthllm.db").exists());
}

#[test]
fn export_writes_the_live_samples_sorted_and_replaces_the_file_whole() {
    let place = Place::new();
    let log = place.log();
    assert_eq!(place.ok(&["export", "samples.jsonl"]), "exported 0 samples to samples.jsonl\n");
    let mut writer = log.writer("test").unwrap();
    for id in ["b", "a", "c"] {
        append(&mut *writer, LogName::Samples, id, Some(sample(id)));
    }
    append(&mut *writer, LogName::Samples, "b", None);
    writer.commit().unwrap();
    assert_eq!(place.ok(&["export", "samples.jsonl"]), "exported 2 samples to samples.jsonl\n");
    let text = fs::read_to_string(place.path("samples.jsonl")).unwrap();
    let ids: Vec<_> = text.lines().map(|line| serde_json::from_str::<Sample>(line).unwrap().id).collect();
    assert_eq!(ids, ["a", "c"]);
    assert_eq!(place.ok(&["export", "-"]), text);
    let left = fs::read_dir(place.0.path())
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().ends_with(".part"));
    assert_eq!(left.count(), 0);
}

#[test]
fn a_record_that_is_no_sample_stops_export_with_its_place_and_leaves_the_file_alone() {
    let place = Place::new();
    place.write("samples.jsonl", "before");
    let log = place.log();
    let mut writer = log.writer("test").unwrap();
    append(&mut *writer, LogName::Samples, "a", Some(b"{}".to_vec()));
    writer.commit().unwrap();
    let done = place.run(&["export", "samples.jsonl"]);
    assert_eq!(done.code, 1);
    assert!(done.stderr.contains("samples/") && done.stderr.contains("at offset 0"), "{}", done.stderr);
    assert_eq!(fs::read_to_string(place.path("samples.jsonl")).unwrap(), "before");
}

#[test]
fn delete_writes_tombstones_and_names_unknown_ids() {
    let place = Place::new();
    place.write("d.jsonl", "{\"id\":\"a\",\"text\":\"x\"}\n{\"id\":\"b\",\"text\":\"x\"}\n{\"id\":\"c\",\"text\":\"x\"}");
    place.write("ids", "b\n\nunknown\n");
    place.ok(&["ingest", "d.jsonl"]);
    let done = place.run(&["delete", "a", "--from-file", "ids"]);
    assert_eq!(done.stdout, "deleted 3 documents (1 of them unknown)\n", "{}", done.stderr);
    assert!(done.stderr.contains("\"unknown\""), "{}", done.stderr);
    let gone: Vec<_> = place.documents().into_iter().filter(|(_, value)| value.is_none()).map(|(id, _)| id).collect();
    assert_eq!(gone, ["a", "b", "unknown"]);
    assert_eq!(place.run(&["delete"]).code, 2);
}

/// Extracted documents of two sources, and others that no run has read yet.
fn seed_sources(place: &Place) {
    let log = place.log();
    let mut writer = log.writer("test").unwrap();
    let records = [
        ("extracted", Some("wiki")),
        ("another", Some("books")),
        ("none", None),
        ("moved", Some("wiki")),
        ("moved", Some("books")),
        ("came", Some("books")),
        ("came", Some("wiki")),
        ("gone", Some("wiki")),
        ("changes", Some("wiki")),
    ];
    for (key, source) in records {
        append(&mut *writer, LogName::Extractions, key, Some(extraction_from(source, &[])));
    }
    append(&mut *writer, LogName::Extractions, "gone", None);
    writer.commit().unwrap();
    let line = |id: &str, source: &str| format!("{{\"id\":\"{id}\",\"text\":\"x\",\"source\":\"{source}\"}}\n");
    place.write("d.jsonl", line("waits", "wiki") + &line("other", "wiki/2") + &line("changes", "books"));
    place.ok(&["ingest", "d.jsonl"]);
}

#[test]
fn delete_by_source_takes_the_live_documents_of_that_source_alone() {
    let place = Place::new();
    seed_sources(&place);
    place.write("ids", "another\nwaits\n");
    assert_eq!(place.ok(&["delete", "--source", "wiki", "--dry-run"]), "came\nextracted\nwaits\n");
    let tombstones =
        || -> Vec<String> { place.documents().into_iter().filter(|(_, value)| value.is_none()).map(|(id, _)| id).collect() };
    assert_eq!(tombstones(), Vec::<String>::new());
    assert_eq!(place.ok(&["delete", "--source", "no such source"]), "deleted 0 documents\n");
    let done = place.ok(&["delete", "none", "--from-file", "ids", "--source", "wiki"]);
    assert_eq!(done, "deleted 5 documents\n");
    assert_eq!(tombstones(), ["another", "came", "extracted", "none", "waits"]);
    assert_eq!(place.ok(&["delete", "--source", "wiki"]), "deleted 0 documents\n");
}

#[test]
fn many_unknown_ids_are_counted_and_not_all_named() {
    let place = Place::new();
    place.ok(&["topics", "create"]);
    place.write("ids", (0..100).map(|number| format!("id-{number:03}")).collect::<Vec<_>>().join("\n"));
    let done = place.run(&["delete", "--from-file", "ids"]);
    assert_eq!(done.stdout, "deleted 100 documents (100 of them unknown)\n");
    assert_eq!(done.stderr.matches("no document has the id").count(), 20);
    assert!(done.stderr.contains("80 more ids are of no document"), "{}", done.stderr);
    assert_eq!(place.documents().len(), 100);
}

#[test]
fn status_counts_what_waits() {
    let place = Place::new();
    place.write("d.jsonl", "{\"id\":\"a\",\"text\":\"x\"}\n{\"id\":\"b\",\"text\":\"x\"}");
    place.ok(&["ingest", "d.jsonl"]);
    seed_extractions(&place);
    let status = place.json(&["status", "--json"]);
    assert_eq!(status["totals"]["documents"], 2);
    assert_eq!(status["totals"]["waiting"], serde_json::json!({"combinations": 0, "documents": 2, "extractions": 4}));
    assert_eq!(status["shards"].as_array().unwrap().len(), 3 * 8);
    assert!(place.ok(&["status"]).contains("2 documents extracted, 0 samples, 0 questions held back, 0 dead letters"));
}

#[test]
fn graph_stats_are_exact_and_neighbors_are_counted() {
    let place = Place::new();
    seed_extractions(&place);
    let stats = place.json(&["graph", "stats", "--json"]);
    let expected = serde_json::json!({
        "documents": 2, "topics": 2, "key_concepts": 4, "incidences": 8,
        "topic_topic_edges": 1, "topic_concept_edges": 7, "concept_concept_edges": 4,
    });
    assert_eq!(stats, expected);
    insta::assert_snapshot!(place.ok(&["graph", "neighbors", " ALGEBRA "]), @r"
    algebra (topic of 2 documents)
      topics:
           1  geometry
      key concepts:
           2  group
           1  circle
           1  field
           1  ring
    ");
    let done = place.run(&["graph", "neighbors", "rome"]);
    assert_eq!((done.code, done.stderr.as_str()), (1, "error: no live document mentions \"rome\"\n"));
}

#[test]
fn graph_draw_is_the_same_every_time_and_asks_no_model() {
    let place = Place::new();
    seed_extractions(&place);
    let drawn = place.ok(&["graph", "draw", "3"]);
    assert_eq!(drawn, place.ok(&["graph", "draw", "3"]));
    assert!(drawn.lines().count() <= 3);
    for line in drawn.lines() {
        let combination: Value = serde_json::from_str(line).unwrap();
        assert!(combination["key_concepts"].as_array().unwrap().len() >= 3, "{line}");
        assert_eq!(combination["documents"].as_array().unwrap().len(), 2, "{line}");
    }
    assert!(drawn.lines().count() > 0);
}

#[test]
fn a_plan_says_what_it_assumes_and_which_budget_is_too_small() {
    let place = Place::new();
    let settings = "app = 'maths'\nextract.source = 'document-or-model'\nbudget.tokens = 9000\n\
                    llm.price = { prompt = 0.5, completion = 1.5 }\n";
    place.write("synthllm.toml", settings);
    let own = |id: u32| {
        let topics = ["algebra".to_owned(), format!("topic {id}")];
        serde_json::json!({"id": id, "text": "Groups act on sets.", "topics": topics, "concepts": ["group", "action"]})
    };
    let plain = |id: u32| serde_json::json!({"id": id, "text": "A circle has one centre, and no corner."});
    let documents = (0..4).map(own).chain((4..7).map(plain)).chain([serde_json::json!({})]);
    place.write("d.jsonl", documents.map(|document| document.to_string()).collect::<Vec<_>>().join("\n"));
    insta::assert_snapshot!(place.ok(&["plan", "d.jsonl"]), @r"
    what `run --drain` of maths would ask of the models now

    documents     8 waiting: 3 to extract, 4 with concepts of their own, 0 unchanged, 0 deletions, 1 unusable
    combinations  level 1: 6 to 7, level 2: 6 to 7, level 3: 5 to 100

    task                     calls             prompt tokens         completion tokens                  cost
    extract                 3 to 4               660 to 1766                90 to 1981      0.0005 to 0.0039
    question             18 to 126             4183 to 73118              225 to 63559      0.0024 to 0.1319
    answer               15 to 407            1667 to 144486              75 to 407000      0.0009 to 0.6827
    total                36 to 536            6511 to 219368             391 to 472538      0.0038 to 0.8185

    assumed:
    - 4 bytes are a token, from 20 % fewer to 25 % more; the model's own tokenizer is not known
    - an extraction has 30 to 600 tokens and 1 to 5 topics, of which 10 to 100 % are new
    - a combination has from one question (level 1: one in two has none) to the configured most
    - a question has 15 to 150 tokens, an answer 5 to 1000, never more than `max_tokens`
    - 20 to 100 % of the starts of level 3 make a combination
    - up to one call in ten is repeated, because its answer does not fit

    budget.tokens = 9000 may end the run before that
    ");
    assert_eq!(place.run(&["plan"]).code, 1, "there are no logs");
}

#[test]
fn topics_create_creates_once() {
    let place = Place::new();
    let first = place.ok(&["topics", "create"]);
    assert!(first.starts_with("created in synthllm.db:\n") && first.lines().count() == 14, "{first}");
    assert_eq!(place.ok(&["topics", "create"]), "nothing to do: all 13 logs exist in synthllm.db\n");
}

#[test]
fn looking_at_logs_that_do_not_exist_makes_none_and_says_what_to_do() {
    let place = Place::new();
    for arguments in [
        &["status"][..],
        &["export", "x.jsonl"],
        &["report", "-o", "x.html"],
        &["graph", "stats"],
        &["dead-letters", "list"],
        &["delete", "a"],
    ] {
        let done = place.run(arguments);
        assert_eq!(done.code, 1, "{arguments:?}");
        assert!(done.stderr.contains("synthllm.db") && done.stderr.contains("hint: "), "{}", done.stderr);
    }
    assert_eq!(fs::read_dir(place.0.path()).unwrap().count(), 0);
}

#[test]
fn a_wrong_configuration_is_told_whole_and_starts_nothing() {
    let place = Place::new();
    place.write("synthllm.toml", "[log]\nkind = 'redis'\n\n[sampling]\nlevels = []\n");
    let done = place.run(&["ingest", "missing.jsonl"]);
    assert_eq!(done.code, 2);
    insta::assert_snapshot!(done.stderr, @r"
    error: the configuration has 2 problems
      synthllm.toml:2: `log.kind`: unknown variant `redis`, expected `sqlite` or `kafka`
      synthllm.toml:5: `sampling.levels`: found [], expected one or more of 1, 2, 3, each once
    hint: configs/reference.toml explains every key with its default
    ");
    let done = place.run(&["--config", "other.toml", "check"]);
    assert_eq!(done.code, 2);
    assert!(done.stderr.contains("other.toml"), "{}", done.stderr);
}

#[test]
fn check_connect_names_everything_that_fails() {
    let place = Place::new();
    // Port 9 of this machine has no server.
    place.write("synthllm.toml", "llm.endpoint = 'http://127.0.0.1:9/v1'\n");
    assert_eq!(place.ok(&["check"]), "ok      configuration: synthllm.toml\n");
    let done = place.run(&["check", "--connect"]);
    assert!(done.stdout.contains("ok      logs: synthllm.db is not there yet; `ingest` makes it"), "{}", done.stdout);
    place.write("one.jsonl", "{\"id\": \"a\", \"text\": \"A text.\"}\n");
    place.ok(&["ingest", "one.jsonl"]);
    place.write("synthllm.toml", "llm.endpoint = 'http://127.0.0.1:9/v1'\nlog.partitions = 5\n");
    for command in [&["status"][..], &["export", "out.jsonl"], &["ingest", "one.jsonl"], &["held", "list"]] {
        let done = place.run(command);
        assert!(done.code == 1 && done.stderr.contains("partitions, the configuration says 5"), "{}", done.stderr);
    }
    let done = place.run(&["check", "--connect"]);
    assert_eq!(done.code, 1);
    assert!(done.stdout.contains("failed  logs: "), "{}", done.stdout);
    assert!(done.stdout.contains("failed  model of extract, question, answer: http://127.0.0.1:9/v1"), "{}", done.stdout);
    assert!(done.stderr.contains("2 of 3 checks failed"), "{}", done.stderr);
}

#[test]
fn a_key_that_is_missing_fails_the_check_and_is_named() {
    let place = Place::new();
    place.write("synthllm.toml", "llm.endpoint = 'http://127.0.0.1:9/v1'\nllm.api_key_env = 'NOBODY_SETS_THIS'\n");
    let done = place.run(&["check"]);
    assert!(done.code == 1 && done.stdout.contains("failed  keys: "), "{}", done.stdout);
    assert!(done.stdout.contains("NOBODY_SETS_THIS"), "{}", done.stdout);
}

#[test]
fn check_connect_finds_the_model_of_an_endpoint() {
    let server = synthllm_testkit::scripted::ScriptedServer::start(synthllm_testkit::scripted::Options::default());
    let place = Place::new();
    place.ok(&["topics", "create"]);
    place.write("synthllm.toml", format!("llm.endpoint = '{}'\n", server.endpoint()));
    let report = place.ok(&["check", "--connect"]);
    assert_eq!(report.lines().filter(|line| line.starts_with("ok ")).count(), 4, "{report}");
    assert!(report.contains("ok      deletions: deletions are kept for 30 days: "), "{report}");
}

#[test]
fn a_key_in_the_wrong_place_never_shows() {
    let place = Place::new();
    for text in ["llm.api_key = 'sk-hidden'", "llm.api_key_env = 'sk-hidden'", "llm.endpoint = 'http://u:sk-hidden@h/v1'"] {
        place.write("synthllm.toml", text);
        for arguments in [&["check"][..], &["check", "--connect"], &["-vvv", "run", "--drain"]] {
            let done = place.run(arguments);
            assert_eq!(done.code, 2, "{text}");
            assert!(!done.stderr.contains("hidden") && !done.stdout.contains("hidden"), "{}", done.stderr);
        }
    }
    place.write("synthllm.toml", "llm.endpoint = 'http://127.0.0.1:9/v1'\n");
    let done =
        Done::of(place.command(&["-vvv", "check", "--connect"]).env("SYNTHLLM_API_KEY", "sk-hidden").output().unwrap());
    assert!(!done.stderr.contains("hidden") && !done.stdout.contains("hidden"), "{}", done.stderr);
}

#[test]
fn a_variable_that_the_configuration_names_must_be_set() {
    let place = Place::new();
    place.ok(&["topics", "create"]);
    place.write("synthllm.toml", "llm.api_key_env = 'SYNTHLLM_NO_SUCH_KEY'\n");
    let done = place.run(&["check", "--connect"]);
    assert!(done.stdout.contains("the environment variable SYNTHLLM_NO_SUCH_KEY is not set"), "{}", done.stdout);
    assert_eq!(done.code, 1);
}

#[test]
fn dead_letters_are_listed_for_people_and_for_programs() {
    let place = Place::new();
    let letter = r#"{"role":"extract","stage":"decode","log":"documents","partition":2,"offset":7,"key":"a","reason":"value: not JSON","payload":"eA==","answer":null}"#;
    let log = place.log();
    let mut writer = log.writer("test").unwrap();
    append(&mut *writer, LogName::DeadLetters, "extract/2/7", Some(letter.into()));
    writer.commit().unwrap();
    insta::assert_snapshot!(place.ok(&["dead-letters", "list"]), @r#"
    documents/2 at offset 7, key "a"
      decode of extract: value: not JSON
    1 dead letter
    "#);
    assert_eq!(place.json(&["dead-letters", "list", "--json"]), serde_json::from_str::<Value>(letter).unwrap());
}

#[test]
fn the_words_of_the_command_line() {
    let place = Place::new();
    insta::with_settings!({ snapshot_path => Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots"), prepend_module_to_snapshot => false }, {
        let commands: [&[&str]; 27] = [
            &[], &["ingest"], &["run"], &["export"], &["delete"], &["redo"], &["graph"], &["graph", "stats"], &["graph", "neighbors"],
            &["graph", "draw"], &["graph", "merge"], &["plan"], &["scaling"], &["scaling", "fit"], &["scaling", "predict"],
            &["scaling", "plot"], &["screen"], &["screen", "train"], &["screen", "eval"], &["screen", "select"], &["screen", "list"], &["report"], &["status"], &["check"], &["dead-letters", "list"], &["topics", "create"], &["completions"],
        ];
        for command in commands {
            let help = place.ok(&[command, &["-h"]].concat());
            insta::assert_snapshot!(["help", &command.join("-")].join("-").trim_end_matches('-'), help);
        }
    });
}

#[test]
fn wrong_usage_exits_with_2() {
    let place = Place::new();
    let wrong: [&[&str]; 8] = [
        &["frobnicate"],
        &["ingest"],
        &["run", "--role", "cook"],
        &["run", "-n", "2"],
        &["run", "-n", "2", "-p", "2", "--hosts", "hosts"],
        &["-v", "-q", "status"],
        &["graph", "merge"],
        &["graph", "merge", "-o", "merges.toml", "--threshold", "1.5"],
    ];
    for arguments in wrong {
        assert_eq!(place.run(arguments).code, 2, "{arguments:?}");
    }
}

#[test]
fn completions_need_no_configuration() {
    let place = Place::new();
    place.write("synthllm.toml", "nonsense = 1");
    assert!(place.ok(&["completions", "bash"]).contains("dead-letters"));
}
