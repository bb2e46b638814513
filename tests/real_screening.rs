//! Embeddings and a training against a real model behind real servers: shapes, never content.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::mpsc::channel;

use serde_json::Value;
use synthllm_llm::{CallError, EmbeddingRequest, Embeddings, Pool, Task, TaskSettings};
use synthllm_screening::Model as ScreeningModel;
use synthllm_testkit::model::{Model, ModelServer};
use synthllm_testkit::packages::opened;
use synthllm_testkit::project::{Project, write_lines};

const TEXTS: [&str; 4] = [
    "Ridge regression imposes a penalty on the size of the coefficients.",
    "The harvest festival begins with a procession through the old town.",
    "Ridge regression imposes a penalty on the size of the coefficients.",
    "Lasso is a linear model that estimates sparse coefficients.",
];

/// So many documents of the demo are screened.
const CORPUS: usize = 40;

fn embed(pool: &Pool, inputs: &[&str], dimensions: Option<usize>) -> Result<Embeddings, CallError> {
    let (sender, reply) = channel();
    let inputs = inputs.iter().map(|text| (*text).to_owned()).collect();
    pool.embed(&EmbeddingRequest { inputs, dimensions }, move |outcome| sender.send(outcome).expect("the test waits"));
    reply.recv().expect("every call has a reply")
}

fn cosine(one: &[f32], other: &[f32]) -> f32 {
    let product = |one: &[f32], other: &[f32]| one.iter().zip(other).map(|(a, b)| a * b).sum::<f32>();
    product(one, other) / (product(one, one) * product(other, other)).sqrt()
}

#[test]
fn embeddings_have_one_length_and_equal_texts_equal_ones() {
    let Some(server) = ModelServer::start_with_embeddings(Model::SmolLm2) else { return };
    let settings = TaskSettings { attempts: 1, ..TaskSettings::new(&server.endpoint(), Model::SmolLm2.name()) };
    let pool = Pool::new(BTreeMap::from([(Task::Embed, settings)])).expect("the settings are sound");
    let together = embed(&pool, &TEXTS, None).expect("the server answers");
    let dimensions = together.vectors[0].len();
    assert_eq!((together.vectors.len(), dimensions), (4, 576), "SmolLM2-135M has 576 hidden dimensions");
    assert!(together.usage.prompt_tokens > 20 && together.usage.completion_tokens == 0, "{:?}", together.usage);
    let near = cosine(&together.vectors[0], &together.vectors[2]);
    let [of_domain, far] = [3, 1].map(|other: usize| cosine(&together.vectors[0], &together.vectors[other]));
    assert!(near > 0.999 && near > of_domain && near > far, "{near}, {of_domain}, {far}");
    let alone = embed(&pool, &TEXTS[1..2], Some(dimensions)).expect("the server answers");
    assert!(cosine(&alone.vectors[0], &together.vectors[1]) > 0.999, "alone or among others");
    let error = embed(&pool, &TEXTS[..1], Some(64)).expect_err("the model has other dimensions");
    assert!(error.to_string().contains("an embedding of 576 numbers, expected 64"), "{error}");
}

#[test]
fn a_corpus_is_screened_and_becomes_a_data_set() {
    let Some(embeddings) = ModelServer::start_with_embeddings(Model::SmolLm2) else { return };
    let Some(server) = ModelServer::start(Model::SmolLm2) else { return };
    let mut project = Project::new(env!("CARGO_BIN_EXE_synthllm"), &server.endpoint());
    let settings = [
        ("domain", "\"statistics\"".to_owned()),
        ("llm.timeout", "\"300s\"".to_owned()),
        ("llm.max_in_flight", "2".to_owned()),
        ("llm.temperature", "1.0".to_owned()),
        ("llm.seed", "7".to_owned()),
        // A reason and a score of its schema fit into this, a syllabus of one unit mostly; documents are cut by it.
        ("llm.max_tokens", "200".to_owned()),
        ("llm.embed.endpoint", format!("{:?}", embeddings.endpoint())),
        ("screen.train.documents", "24".to_owned()),
        ("screen.train.units", "1".to_owned()),
        ("screen.train.positives", "10".to_owned()),
        ("screen.train.negatives", "12".to_owned()),
        ("screen.train.sample", "24".to_owned()),
        ("screen.train.rounds", "1".to_owned()),
        ("screen.train.trees", "20".to_owned()),
        ("screen.train.cut", "400".to_owned()),
        // So small a model rates nothing high.
        ("screen.train.keep", "1.5".to_owned()),
    ];
    for (key, value) in settings {
        project.set(key, value);
    }
    let demo = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/configs/demo/corpus.jsonl")).expect("it is there");
    let corpus = "corpus.jsonl";
    write_lines(&project.file(corpus), demo.lines().take(CORPUS));
    project.succeed(&["screen", "train", corpus, "-o", "domain.model"]);
    let bytes = fs::read(project.file("domain.model")).expect("the training has written it");
    let model = ScreeningModel::from_bytes(&bytes).expect("what was written is read");
    assert_eq!((model.embedder().dimensions, model.training().documents), (576, 24));
    assert!(model.training().rated_by.starts_with(Model::SmolLm2.name()), "{:?}", model.training());
    let said = project.succeed(&["screen", "train", corpus, "-o", "domain.model"]);
    assert!(said.contains("spent now: 0 calls"), "{said}");
    assert_eq!(fs::read(project.file("domain.model")).expect("it is there"), bytes);

    let said = project.succeed(&[
        "screen",
        "select",
        "domain.model",
        corpus,
        "-o",
        "kept.jsonl",
        "--rejected",
        "others.jsonl",
        "--json",
    ]);
    let said: Value = serde_json::from_str(&said).expect("it is JSON");
    let lines = |name: &str| fs::read_to_string(project.file(name)).expect("it is written").lines().count();
    assert_eq!(
        (said["accepted"].as_u64(), said["read"].as_u64()),
        (Some(lines("kept.jsonl") as u64), Some(CORPUS as u64)),
        "{said}"
    );
    assert_eq!(lines("kept.jsonl") + lines("others.jsonl"), CORPUS);
    drop((server, embeddings));
    become_a_data_set(project);
}

/// The first documents that were kept become samples by a model that can write questions, and a data set that `datasets` opens.
fn become_a_data_set(mut project: Project) {
    let Some(server) = ModelServer::start(Model::Qwen05) else { return };
    let kept = fs::read_to_string(project.file("kept.jsonl")).expect("it is written");
    let first: Vec<&str> = kept.lines().take(3).collect();
    assert!(!first.is_empty(), "nothing is kept");
    write_lines(&project.file("first.jsonl"), &first);
    project.set("llm.endpoint", format!("{:?}", server.endpoint())).set("llm.temperature", "0.0").set("llm.max_tokens", 600);
    project.set("extract.max_prompt_tokens", 400).set("generate.max_prompt_tokens", 400).set("extract.source", "\"model\"");
    project.set("sampling.levels", "[1]").set("generate.questions.level1", 1);
    project.succeed(&["ingest", "--strict", "first.jsonl"]);
    project.drain();
    let samples = project.logs().samples();
    assert!(!samples.is_empty(), "{} dead letters", project.logs().dead_letters().len());
    project.succeed(&["export", "data/", "--format", "parquet"]);
    let Some(opened) = opened(&project, &["data".to_owned()]) else { return };
    for package in ["datasets", "pandas", "duckdb"] {
        let rows = opened["data"][package]["train"].as_array().expect("there are rows");
        let found: BTreeMap<&str, &str> =
            rows.iter().filter_map(|row| Some((row["id"].as_str()?, row["question"].as_str()?))).collect();
        let expected = samples.iter().map(|(id, sample)| (id.as_str(), sample.question.as_str())).collect();
        assert_eq!(found, expected, "{package}");
    }
    let kept: BTreeSet<String> = first.iter().map(|line| id_of(line)).collect();
    let cited = samples.values().flat_map(|sample| &sample.provenance.documents);
    assert!(cited.into_iter().all(|document| kept.contains(&document.id)));
}

fn id_of(line: &str) -> String {
    let document: Value = serde_json::from_str(line).expect("a line is a document");
    document["id"].as_str().expect("it has an id").to_owned()
}
