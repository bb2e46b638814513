//! The configuration: what is loaded, what is refused, and that everything wrong is said at once with its place.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use proptest::prelude::*;
use synthllm::config::{self, Config, LogKind, REFERENCE, Source, Start, When, Withdraw, from_text};
use synthllm_llm::{Structured, Task};
use synthllm_operators::id::Kind;
use synthllm_operators::record::{Node, Sample, SampleDocument, SampleProvenance, Usage};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("configs")
}

fn load(text: &str) -> Result<Config, String> {
    load_with(text, &[])
}

fn load_with(text: &str, variables: &[(&str, &str)]) -> Result<Config, String> {
    let variables = variables.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
    from_text("synthllm.toml", text, variables).map_err(|problems| problems.to_string())
}

#[test]
fn every_file_in_configs_loads() {
    let mut loaded = Vec::new();
    for entry in std::fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            config::from_text(&path.display().to_string(), &std::fs::read_to_string(&path).unwrap(), []).unwrap();
            loaded.push(path.file_stem().unwrap().to_string_lossy().into_owned());
        }
    }
    for name in ["quickstart", "kafka", "cluster", "paper-math", "science", "code", "general", "reference"] {
        assert!(loaded.iter().any(|loaded| loaded == name), "configs/{name}.toml is missing");
    }
}

#[test]
fn the_reference_is_the_defaults_and_the_defaults_are_these() {
    let config = Config::default();
    let mut said = load(REFERENCE).unwrap();
    // A variable that a file names must be set; the default need not be.
    let llm = &mut said.llm;
    for task in [&mut llm.extract, &mut llm.question, &mut llm.answer, &mut llm.judge, &mut llm.rate, &mut llm.embed] {
        assert!(std::mem::take(&mut task.api_key.required));
    }
    assert_eq!(said, config);
    assert_eq!((config.log.kind, config.log.path.as_path()), (LogKind::Sqlite, Path::new("synthllm.db")));
    assert_eq!((config.log.prefix.as_str(), config.log.partitions), ("synthllm.", 8));
    assert_eq!((config.extract.source, config.generate.withdraw), (Source::Model, Withdraw::Deleted));
    assert_eq!((config.sampling.levels.as_slice(), config.sampling.epochs), ([1, 2, 3].as_slice(), 5));
    assert_eq!((config.sampling.start, config.sampling.limit.of(3)), (Start::Auto, None));
    assert_eq!((config.generate.answers, config.generate.questions), (1, [5, 5, 3]));
    assert_eq!((config.graph.max_concepts, config.graph.min_key_concepts), (200, 3));
    assert!(!config.graph.updates);
    let train = &config.screen.train;
    assert_eq!((train.rounds, train.keep, &train.examples), (2, 6.5, &None));
    let limits = &config.screen.limits;
    assert_eq!((limits.least_words, limits.most_repeated_runs, config.screen.near_duplicates), (0, 1.0, None));
    assert_eq!(config.run.commit_interval, Duration::from_millis(200));
    assert_eq!(config.llm.of(Task::Extract).settings.structured, Structured::JsonSchema);
}

#[test]
fn draws_are_settled_with_drain_and_continuous_without_unless_it_is_said() {
    let sampling = Config::default().sampling;
    assert_eq!((sampling.when(true), sampling.when(false)), (When::Settled, When::Continuous));
    let said = load("sampling.when = 'continuous'").unwrap().sampling;
    assert_eq!((said.when(true), said.when(false)), (When::Continuous, When::Continuous));
}

/// A key that is commented out in the reference means something by its absence; what it shows must be a key all the same.
#[test]
fn keys_that_the_reference_comments_out_are_keys() {
    let is_key = |line: &str| line.strip_prefix("# ").is_some_and(|rest| rest.split(' ').nth(1) == Some("="));
    let said: Vec<_> = REFERENCE.lines().map(|line| if is_key(line) { &line[2..] } else { line }).collect();
    let properties = tempfile::NamedTempFile::new().unwrap();
    let text = said.join("\n").replace("\"client.properties\"", &format!("{:?}", properties.path()));
    let text = text.replace("prompts = \"prompts\"", &format!("prompts = {:?}", folder().join("prompts")));
    let text = text.replace("\"statistics.model\"", &format!("{:?}", properties.path()));
    let text = text.replace("\"merges.toml\"", &format!("{:?}", properties.path()));
    let text = text.replace("\"my-examples.jsonl\"", &format!("{:?}", folder().join("demo/corpus.jsonl")));
    assert!(REFERENCE.lines().filter(|line| is_key(line)).count() >= 9);
    let config = load(&text).unwrap();
    assert_eq!(config.sampling.limit.of(1), Some(1000));
    assert_eq!(config.log.replication, Some(3));
    assert_eq!((config.screen.threshold, config.screen.model.as_deref()), (Some(6.5), Some(properties.path())));
}

#[test]
fn everything_wrong_is_said_at_once_with_line_and_key() {
    let text = "app = 'a b'\n\n[log]\nkind = 'redis'\npth = 'x'\n\n[llm]\ntimeout = 'soon'\nmax_in_flight = 0\n\n\
                [llm.answer]\ntemperature = 9.0\n\n[sampling]\nlevels = [1, 4]\nlimit = { level9 = 1 }\n";
    insta::assert_snapshot!(load(text).unwrap_err(), @r#"
    the configuration has 8 problems
      synthllm.toml:1: `app`: found "a b", expected a name of 1 to 64 letters, digits, `.`, `_` and `-`
      synthllm.toml:4: `log.kind`: unknown variant `redis`, expected `sqlite` or `kafka`
      synthllm.toml:5: `log.pth`: unknown key `pth`, expected one of `kind`, `path`, `brokers`, `prefix`, `partitions`, `documents`, `replication`, `properties`, `properties_file`, `transaction_timeout`
      synthllm.toml:8: `llm.timeout`: invalid value: string "soon", expected a duration
      synthllm.toml:9: `llm.max_in_flight`: found 0, expected 1 to 100000
      synthllm.toml:12: `llm.answer.temperature`: found 9, expected 0 to 2
      synthllm.toml:15: `sampling.levels`: found [1, 4], expected one or more of 1, 2, 3, each once
      synthllm.toml:16: `sampling.limit.level9`: unknown key `level9`, expected one of `level1`, `level2`, `level3`
    "#);
}

#[test]
fn a_syntax_error_names_its_line() {
    let problems = load("app = 'a'\n[log\nkind = 'kafka'").unwrap_err();
    assert!(problems.contains("synthllm.toml:2"), "{problems}");
}

#[test]
fn the_environment_overrides_the_file_and_is_named_when_it_is_wrong() {
    let variables =
        [("SYNTHLLM_LOG__PATH", "/tmp/x.db"), ("SYNTHLLM_SAMPLING__LIMIT", "{ level3 = 4 }"), ("SYNTHLLM_APP", "b")];
    let config = load_with("app = 'a'\nlog.path = 'y.db'", &variables).unwrap();
    assert_eq!((config.app.as_str(), config.log.path.as_path()), ("b", Path::new("/tmp/x.db")));
    assert_eq!(config.sampling.limit.of(3), Some(4));
    let problems = load_with("", &[("SYNTHLLM_LOG__PARTITIONS", "many")]).unwrap_err();
    assert!(problems.contains("environment variable SYNTHLLM_LOG__PARTITIONS: `log.partitions`"), "{problems}");
}

#[test]
fn a_task_overrides_what_llm_says_and_inherits_the_rest() {
    let text = "[llm]\nmodel = 'a'\nmax_tokens = 7\n[llm.answer]\nmodel = 'b'\ntimeout = '30s'";
    let llm = load(text).unwrap().llm;
    let of = |task| {
        let settings = &llm.of(task).settings;
        (settings.model.as_str(), settings.max_tokens, settings.timeout.as_secs())
    };
    assert_eq!(of(Task::Question), ("a", 7, 120));
    assert_eq!(of(Task::Answer), ("b", 7, 30));
}

#[test]
fn a_budget_is_more_than_nothing_and_one_of_cost_needs_every_price() {
    let text = "[budget]\ntokens = 0\ncost = -1.0\ntokens_per_day = -5\ncost_per_day = inf\nextract_share = 1.5\n\n\
                [llm]\nprice = { prompt = 1.0, completion = 1.0 }\n";
    insta::assert_snapshot!(load(text).unwrap_err(), @r"
    the configuration has 5 problems
      synthllm.toml:2: `budget.tokens`: found 0, expected at least 1
      synthllm.toml:3: `budget.cost`: found -1, expected more than 0 and at most 1000000000
      synthllm.toml:4: `budget.tokens_per_day`: invalid value: integer `-5`, expected u64
      synthllm.toml:5: `budget.cost_per_day`: found inf, expected more than 0 and at most 1000000000
      synthllm.toml:6: `budget.extract_share`: found 1.5, expected 0 to 1
    ");
    let text = "budget.cost = 2.0\nllm.price.prompt = 0.5\n[llm.answer]\nprice = { prompt = 1.0, completion = 1.0 }\n";
    insta::assert_snapshot!(load(text).unwrap_err(), @r"
    the configuration has a problem
      synthllm.toml:1: `budget.cost`: there is no price to count by: llm.price.completion is not set (hint: a model that costs nothing has a price of 0.0, which must be said)
    ");
    let free = "price = { prompt = 0.0, completion = 0.0 }";
    assert!(load(&format!("{text}[llm.question]\n{free}\n[llm.extract]\n{free}")).is_ok());
    let config =
        load("budget.cost = 0.25\nbudget.tokens_per_day = 7\nllm.price = { prompt = 0.0, completion = 0.0 }").unwrap();
    let limits = config.budget.limits();
    assert_eq!((limits.cost, limits.tokens_per_day, limits.tokens), (Some(250_000_000), Some(7), None));
    assert!(Config::default().budget.limits().is_empty());
}

#[test]
fn a_variable_for_the_key_must_be_set_only_where_the_configuration_names_it() {
    let required = |text| load(text).unwrap().llm.answer.api_key.required;
    assert!(!required("llm.model = 'm'"));
    assert!(required("llm.api_key_env = 'K'"));
    assert!(required("llm.answer.api_key_env = 'K'"));
}

#[test]
fn a_secret_in_the_file_is_refused_and_never_repeated() {
    let secrets = [
        "[llm]\napi_key = 'sk-hidden'",
        "[llm]\napi_key_env = 'sk-hidden'",
        "[llm]\nendpoint = 'http://user:hidden@host/v1'",
        "[llm.extra]\napi_key = 'sk-hidden'",
        "[log]\nproperties = { 'sasl.password' = 'hidden' }",
    ];
    for text in secrets {
        let problems = load(text).unwrap_err();
        assert!(!problems.contains("hidden"), "{problems}");
        assert!(problems.contains("synthllm.toml:"), "{problems}");
    }
    let properties = [("SYNTHLLM_LOG__PROPERTIES", "{ 'sasl.password' = 'hidden' }")];
    let config = load_with("", &properties).unwrap();
    assert!(!format!("{config:?}").contains("hidden"));
}

#[test]
fn a_sample_has_the_keys_of_its_schema_and_no_others() {
    let schema: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(folder().join("sample.schema.json")).unwrap()).unwrap();
    let sample = serde_json::to_value(sample()).unwrap();
    let provenance = &schema["properties"]["provenance"];
    let document = &provenance["properties"]["documents"]["items"];
    let node = &provenance["properties"]["walk"]["items"];
    assert_keys(&sample, &schema);
    assert_keys(&sample["provenance"], provenance);
    assert_keys(&sample["provenance"]["documents"][0], document);
    assert_keys(&sample["provenance"]["walk"][0], node);
    assert_keys(&sample["usage"], &schema["properties"]["usage"]);
    assert!(node["properties"]["kind"]["enum"].as_array().unwrap().contains(&sample["provenance"]["walk"][0]["kind"]));
}

/// The object has exactly the properties of its schema, all of which are required.
fn assert_keys(object: &serde_json::Value, schema: &serde_json::Value) {
    let keys: Vec<_> = object.as_object().unwrap().keys().collect();
    let properties: Vec<_> = schema["properties"].as_object().unwrap().keys().collect();
    assert_eq!(keys, properties);
    let mut required: Vec<_> = schema["required"].as_array().unwrap().iter().map(|key| key.as_str().unwrap()).collect();
    required.sort_unstable();
    assert_eq!(keys, required);
}

fn sample() -> Sample {
    Sample {
        id: "0".repeat(32),
        level: 3,
        question: "Why?".into(),
        answer: None,
        concepts: vec!["group".into()],
        topics: vec![],
        provenance: SampleProvenance {
            combination: "1".repeat(32),
            walk: vec![Node { kind: Kind::KeyConcept, name: "group".into() }],
            documents: vec![SampleDocument {
                id: "a".into(),
                version: "0:1".into(),
                jaccard: 0.5,
                source: None,
                license: None,
            }],
            models: BTreeMap::new(),
            prompts: BTreeMap::new(),
        },
        scores: BTreeMap::new(),
        usage: Usage::default(),
        cost: 0.0,
    }
}

/// Keys as users write and miswrite them.
fn key() -> impl Strategy<Value = String> {
    let known = [
        "app",
        "log",
        "path",
        "kind",
        "llm",
        "answer",
        "timeout",
        "sampling",
        "limit",
        "levels",
        "price",
        "extra",
        "properties",
    ];
    prop_oneof![4 => prop::sample::select(known.to_vec()).prop_map(str::to_owned), 1 => "[a-z_\"'.]{0,6}"]
}

fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("1".to_owned()),
        Just("-1".to_owned()),
        Just("1e400".to_owned()),
        Just("nan".to_owned()),
        Just("true".to_owned()),
        Just("'text'".to_owned()),
        Just("[1, 'a', [2]]".to_owned()),
        Just("{ a = 1, b = { c = [] } }".to_owned()),
        Just("1979-05-27".to_owned()),
        Just("99999999999999999999".to_owned()),
        "\\PC{0,12}",
    ]
}

fn line() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => (prop::collection::vec(key(), 1..4), value()).prop_map(|(keys, value)| format!("{} = {value}", keys.join("."))),
        1 => prop::collection::vec(key(), 1..3).prop_map(|keys| format!("[{}]", keys.join("."))),
    ]
}

proptest! {
    #[test]
    fn no_text_and_no_environment_make_a_panic_and_every_problem_says_what_is_wrong(
        lines in prop::collection::vec(line(), 0..8),
        variables in prop::collection::vec((prop::collection::vec(key(), 1..4), value()), 0..4),
    ) {
        let variables = variables.into_iter().map(|(keys, value)| {
            (OsString::from(format!("SYNTHLLM_{}", keys.join("__").to_uppercase())), OsString::from(value.replace('\0', "")))
        });
        if let Err(problems) = from_text("f.toml", &lines.join("\n"), variables) {
            prop_assert!(!problems.0.is_empty());
            for problem in problems.0 {
                prop_assert!(!problem.message.is_empty());
                prop_assert!(problem.place.is_some(), "no place: {problem}");
            }
        }
    }

    #[test]
    fn no_bytes_make_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        _ = from_text("f.toml", &String::from_utf8_lossy(&bytes), []);
    }
}

/// A configuration whose `graph.merges` is a file with this text, with something else in front.
fn load_with_merges(merges: &str, before: &str) -> Result<Config, String> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), merges).unwrap();
    let loaded = load(&format!("{before}\n[graph]\nmerges = '{}'\n", file.path().display()));
    loaded.map_err(|problems| problems.replace(&file.path().display().to_string(), "merges.toml"))
}

#[test]
fn the_table_wins_over_the_file_of_merges_and_both_are_one() {
    let aliases = |merges: &str, table: &str| {
        let config = load_with_merges(merges, &format!("[graph.aliases]\n{table}\n")).unwrap();
        config.graph.aliases.iter().map(|(alias, name)| format!("{alias} = {name}")).collect::<Vec<_>>().join(", ")
    };
    assert_eq!(aliases("", "a = 'b'"), "a = b");
    assert_eq!(aliases("'C' = 'd'  # 0.9; 1, 2, 0", "a = 'b'"), "a = b, c = d");
    assert_eq!(aliases("a = 'c'", "a = 'b'"), "a = b");
    assert_eq!(aliases("b = 'c'\nx = 'a'", "a = 'b'"), "a = c, b = c, x = c");
    let config = load_with_merges("b = 'c'", "[graph.aliases]\na = 'b'").unwrap();
    assert_eq!(config.graph.table.iter().collect::<Vec<_>>(), [("a", "b")]);
}

#[test]
fn a_file_of_merges_that_makes_no_sense_is_refused_with_the_reason() {
    let refused = |merges: &str, table: &str| load_with_merges(merges, &format!("[graph.aliases]\n{table}\n")).unwrap_err();
    let problem = |(merges, table)| refused(merges, table).lines().nth(1).unwrap_or_default().trim().to_owned();
    let wrong = [
        ("a = 'b'\nb = 1", ""),
        ("a = 'b'\nb = ", ""),
        ("a = 'b'\nb = 'c'", ""),
        ("a = ' '", ""),
        ("b = 'c'\nd = 'a'", "a = 'b'\nc = 'd'"),
    ];
    insta::assert_snapshot!(wrong.map(problem).join("\n"), @r#"
    synthllm.toml:5: `graph.merges`: merges.toml:2: invalid type: integer `1`, expected a string; expected lines such as `SVM = "support vector machine"`
    synthllm.toml:5: `graph.merges`: merges.toml:2: string values must be quoted, expected literal string; expected lines such as `SVM = "support vector machine"`
    synthllm.toml:5: `graph.merges`: merges.toml: "a" stands for "b", which stands for "c": name that one
    synthllm.toml:5: `graph.merges`: merges.toml: the alias "a" of " " has an empty side
    synthllm.toml:6: `graph.merges`: merges.toml: "b" and "d" stand for each other: take out one of the lines that say so
    "#);
    let problems = load("graph.merges = 'nowhere.toml'").unwrap_err();
    assert!(problems.contains("`graph.merges`: found \"nowhere.toml\", expected a file of merges (hint: "), "{problems}");
}

#[test]
fn processes_compare_the_contents_of_the_file_of_merges_and_not_its_name() {
    let graph = |merges| load_with_merges(merges, "").unwrap().fingerprints()["[graph]"];
    assert_eq!(graph("a = 'b'"), graph("# the same\n'A' = 'b'"));
    assert_ne!(graph("a = 'b'"), graph("a = 'c'"));
}
