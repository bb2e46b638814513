//! `screen` as users run it: the real binary, on files and logs, with a scripted model server.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod select;

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};
use synthllm_screening::Model;
use synthllm_testkit::project::{API_KEY, Project, stderr, write_lines};
use synthllm_testkit::scripted::{DOMAIN_WORDS, Fault, Options, Rule, ScriptedServer};

const OTHER_WORDS: [&str; 16] = [
    "river",
    "castle",
    "harvest",
    "emperor",
    "violin",
    "mountain",
    "recipe",
    "cathedral",
    "football",
    "pirate",
    "orchid",
    "railway",
    "weather",
    "carnival",
    "dragon",
    "bakery",
];
const PLAIN_WORDS: [&str; 8] = ["the", "with", "where", "given", "each", "which", "because", "follows"];

/// Half of the documents are of the domain, and a field says which.
fn corpus(count: u64) -> Vec<Value> {
    let document = |number: u64| {
        let mut random = fastrand::Rng::with_seed(number);
        let of_domain = number.is_multiple_of(2);
        let own = if of_domain { &DOMAIN_WORDS } else { &OTHER_WORDS };
        let mut word =
            |place| if place % 3 == 0 { random.choice(own).unwrap() } else { random.choice(&PLAIN_WORDS).unwrap() };
        let text: Vec<&str> = (0..60).map(|place| *word(place)).collect();
        json!({"id": format!("d{number}"), "text": text.join(" "), "label": of_domain})
    };
    (0..count).map(document).collect()
}

/// A project with a corpus of 160 documents in `corpus.jsonl` and a small training.
fn project(server: &ScriptedServer) -> Project {
    project_with(server, corpus(160))
}

fn project_with(server: &ScriptedServer, corpus: Vec<Value>) -> Project {
    let mut project = Project::new(env!("CARGO_BIN_EXE_synthllm"), &server.endpoint());
    let settings = [
        ("domain", "\"statistics\""),
        ("llm.max_in_flight", "4"),
        ("llm.embed.model", "\"small\""),
        ("screen.train.positives", "30"),
        ("screen.train.negatives", "60"),
        ("screen.train.sample", "40"),
        ("screen.train.selected", "30"),
        ("screen.train.trees", "40"),
        ("screen.train.batch", "8"),
    ];
    for (key, value) in settings {
        project.set(key, value);
    }
    write_lines(&project.file("corpus.jsonl"), corpus.iter().map(Value::to_string));
    project
}

const TRAIN: [&str; 5] = ["screen", "train", "corpus.jsonl", "-o", "domain.model"];

fn model(project: &Project) -> Model {
    Model::from_bytes(&fs::read(project.file("domain.model")).unwrap()).unwrap()
}

fn eval(project: &Project, arguments: &[&str]) -> Value {
    let arguments = [&["screen", "eval", "domain.model", "--json"], arguments].concat();
    serde_json::from_str(&project.succeed(&arguments)).unwrap()
}

fn answered(server: &ScriptedServer) -> u32 {
    server.counts().values().map(|count| count.answered).sum()
}

fn asked(server: &ScriptedServer, task: &str) -> usize {
    server.counts().values().filter(|count| count.task == task).count()
}

#[test]
fn a_training_learns_to_select_the_domain_and_measures_it() {
    let server = ScriptedServer::start(Options::default());
    let project = project(&server);
    let said = project.succeed(&TRAIN);
    assert!(said.contains("round 2: learnt from") && said.contains("written to domain.model"), "{said}");
    assert_eq!((asked(&server, "syllabus"), asked(&server, "answer")), (1, 30));
    let rated = asked(&server, "rating");
    assert!((70..=140).contains(&rated), "{rated} documents were rated");

    let model = model(&project);
    assert_eq!((model.domain(), model.threshold()), ("statistics", 6.5));
    assert_eq!((model.embedder().model.as_str(), model.embedder().dimensions), ("small", 64));
    let training = model.training();
    assert_eq!((training.rounds.len(), training.documents, training.rated_by.as_str()), (3, 160, "scripted"));
    assert!(training.rounds[1..].iter().all(|round| (70..=90).contains(&round.selected)), "{:?}", training.rounds);
    let held_out = &training.rounds[2].held_out;
    assert!(held_out.examples > 5 && held_out.ratings.is_some_and(|it| it.rmse < it.rmse_of_mean), "{held_out:?}");

    let measured = &eval(&project, &["corpus.jsonl"])["measured"];
    assert_eq!((&measured["documents"], &measured["figures"]["examples"]), (&json!(160), &json!(160)));
    for figure in [&measured["precision"], &measured["recall"], &measured["figures"]["roc"]["area"]] {
        assert!(figure.as_f64().unwrap() > 0.95, "{measured}");
    }
}

#[test]
fn a_training_that_is_repeated_asks_nothing_and_gives_the_same_bytes() {
    let server = ScriptedServer::start(Options::default());
    let project = project(&server);
    project.succeed(&TRAIN);
    let (bytes, calls) = (fs::read(project.file("domain.model")).unwrap(), answered(&server));
    let said = project.succeed(&TRAIN);
    assert!(said.contains("spent now: 0 calls"), "{said}");
    assert_eq!((fs::read(project.file("domain.model")).unwrap(), answered(&server)), (bytes, calls));
}

#[test]
fn a_training_that_is_killed_goes_on_and_pays_again_only_for_what_was_in_flight() {
    let undisturbed = ScriptedServer::start(Options::default());
    let reference = project(&undisturbed);
    reference.succeed(&TRAIN);

    let server = ScriptedServer::start(Options { latency: Duration::from_millis(10), ..Options::default() });
    let project = project(&server);
    let kills = [8, 40, 45, 70];
    for requests in kills {
        let mut running = project.start(&TRAIN);
        server.wait_until(|seen| seen.len() >= requests);
        server.pause();
        assert!(running.kill(), "it was still at work");
        server.resume();
    }
    project.succeed(&TRAIN);
    assert_eq!(fs::read(project.file("domain.model")).unwrap(), fs::read(reference.file("domain.model")).unwrap());
    let (twice, once) = (answered(&server), answered(&undisturbed));
    // At most four calls are in flight.
    assert!((once..=once + 4 * kills.len() as u32).contains(&twice), "{twice} answers, {once} without kills");
    let contents = |server: &ScriptedServer| server.counts().into_keys().collect::<Vec<_>>();
    let unknown = contents(&server).into_iter().filter(|content| undisturbed.count(*content).requests == 0).count();
    // Batches of texts differ where some of their texts were known; nothing else does.
    assert!(unknown <= asked(&server, "embedding"), "{unknown} requests are of no undisturbed training");
}

#[test]
fn a_budget_ends_a_training_and_the_next_one_goes_on() {
    let undisturbed = ScriptedServer::start(Options::default());
    let reference = project(&undisturbed);
    reference.succeed(&TRAIN);

    let server = ScriptedServer::start(Options::default());
    let mut project = project(&server);
    project.set("budget.tokens", 25_000).set("llm.max_tokens", 300);
    let mut ends = 0;
    loop {
        let output = project.execute(&TRAIN);
        if output.status.success() {
            break;
        }
        let said = stderr(&output);
        assert!(said.contains("budget.tokens = 25000 leaves no room for the next call"), "{said}");
        ends += 1;
        assert!(ends < 50, "it comes to no end: {said}");
    }
    assert!(ends > 0, "the budget was enough");
    assert_eq!(answered(&server), answered(&undisturbed));
}

#[test]
fn documents_in_the_log_are_the_corpus_where_no_file_is_named() {
    let server = ScriptedServer::start(Options::default());
    let project = project(&server);
    project.succeed(&TRAIN);
    project.succeed(&["ingest", "corpus.jsonl"]);
    project.succeed(&["screen", "train", "-o", "of-log.model", "--work", "domain.model.work"]);
    assert_eq!(fs::read(project.file("of-log.model")).unwrap(), fs::read(project.file("domain.model")).unwrap());
    project.succeed(&["delete", "d0", "d1", "d2"]);
    project.succeed(&["screen", "train", "-o", "of-log.model", "--work", "domain.model.work"]);
    let model = Model::from_bytes(&fs::read(project.file("of-log.model")).unwrap()).unwrap();
    assert_eq!(model.training().documents, 157);
}

#[test]
fn own_examples_stand_in_for_documents_that_the_model_writes() {
    let server = ScriptedServer::start(Options::default());
    let mut project = project(&server);
    let examples = corpus(280).into_iter().skip(200).filter(|document| document["label"] == true);
    write_lines(&project.file("mine.jsonl"), examples.map(|document| document.to_string()));
    project.set("screen.train.examples", format!("{:?}", project.file("mine.jsonl")));
    project.succeed(&TRAIN);
    assert_eq!((asked(&server, "syllabus"), asked(&server, "answer")), (0, 0));
    assert!(eval(&project, &["corpus.jsonl"])["measured"]["precision"].as_f64().unwrap() > 0.95);
}

#[test]
fn a_document_that_cannot_be_rated_or_embedded_is_counted_and_left_out() {
    let mut documents = corpus(160);
    documents.push(json!({"id": "long", "text": "unembeddable ".repeat(9)}));
    documents.push(json!({"id": "odd", "text": "unratable ".repeat(9)}));
    let rules = vec![
        Rule::always("unembeddable", Fault::Status(400, "the input is too long".into())),
        Rule::always("<document>\\nunratable", Fault::WrongAnswer),
    ];
    let server = ScriptedServer::start(Options { rules, ..Options::default() });
    let mut project = project_with(&server, documents);
    project.set("screen.train.sample", 200).set("screen.train.rounds", 1);
    let output = project.execute(&TRAIN);
    let said = stderr(&output);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("left out: 1; the last reason: the endpoint refused the request with status 400"), "{said}");
    assert!(said.contains("\"odd\" is left out, it can't be rated: it is not valid JSON"), "{said}");
    let training = model(&project).training().clone();
    assert_eq!((training.documents, training.rounds[0].failed, training.rounds[1].failed), (161, 1, 1));
    // Asked once, and twice more with what was wrong.
    let counts = server.counts();
    let of_odd = counts.values().filter(|count| count.body.contains("<document>\\nunratable"));
    assert_eq!(of_odd.map(|count| count.requests).sum::<u32>(), 3);
}

#[test]
fn an_endpoint_without_sound_embeddings_ends_the_training_with_what_was_wrong() {
    let wrong = [
        (r#"{"data":[]}"#, "the response has 0 embeddings for 1 texts"),
        (r#"{"data":[{"embedding":[1,null]}]}"#, "holds something that is no finite number"),
        (r#"{"choices":[]}"#, "the response holds no embeddings"),
    ];
    for (body, words) in wrong {
        let rules = vec![Rule::always("\"input\"", Fault::Says(body.into()))];
        let server = ScriptedServer::start(Options { rules, ..Options::default() });
        let mut project = project(&server);
        project.set("llm.attempts", 2);
        let output = project.execute(&TRAIN);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("no embeddings can be had from") && said.contains(words), "{said}");
    }
    // From the second call on the length is known; one text that breaks it does not end the training.
    let rules = vec![Rule::always("d0-marker", Fault::Truncated)];
    let server = ScriptedServer::start(Options { rules, ..Options::default() });
    let mut documents = corpus(160);
    documents[0]["text"] = json!("d0-marker ".repeat(5));
    let mut project = project_with(&server, documents);
    project.set("llm.attempts", 1);
    let output = project.execute(&TRAIN);
    let said = stderr(&output);
    assert!(output.status.success() && said.contains("an embedding of 32 numbers, expected 64"), "{said}");
}

#[test]
fn a_refused_key_ends_the_training_and_is_shown_nowhere() {
    let server = ScriptedServer::start(Options { api_key: Some("another".into()), ..Options::default() });
    let project = project(&server);
    let output = project.execute(&TRAIN);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(&format!("check the key in the environment variable {}", API_KEY.0)), "{said}");
    let kept = fs::read_to_string(project.file("domain.model.work/answers.jsonl")).unwrap();
    for shown in [said, String::from_utf8(output.stdout).unwrap(), kept] {
        assert!(!shown.contains(API_KEY.1), "{shown}");
    }
}

#[test]
fn eval_shows_what_is_known_rates_on_demand_and_draws() {
    let server = ScriptedServer::start(Options::default());
    let mut project = project(&server);
    project.succeed(&TRAIN);
    let said = project.succeed(&["screen", "eval", "domain.model"]);
    for words in
        ["screening model", "cold start: learnt from", "held out:", "area under the ROC curve", "above 6.5: precision"]
    {
        assert!(said.contains(words), "{said}");
    }
    write_lines(&project.file("new.jsonl"), corpus(260).iter().skip(200).map(Value::to_string));
    let before = answered(&server);
    let report = eval(&project, &["new.jsonl", "--rate", "20", "--plot", "roc.svg"]);
    let measured = &report["measured"];
    assert_eq!((&measured["documents"], &measured["figures"]["examples"]), (&json!(20), &json!(20)));
    assert!(measured["figures"]["ratings"]["correlation"].as_f64().unwrap() > 0.8, "{measured}");
    assert_eq!(measured["calls"].as_u64().unwrap() as u32, answered(&server) - before);
    let svg = fs::read_to_string(project.file("roc.svg")).unwrap();
    assert!(svg.contains("statistics, measured") && svg.contains("20 examples"), "{svg}");
    assert_eq!(eval(&project, &["new.jsonl", "--rate", "20"])["measured"]["calls"], 0, "all answers are kept");

    project.set("llm.embed.model", "\"another\"");
    let output = project.execute(&["screen", "eval", "domain.model", "new.jsonl"]);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("the model needs embeddings of \"small\", `llm.embed.model` is \"another\""), "{said}");
    let said = stderr(&project.execute(&["screen", "eval", "corpus.jsonl"]));
    assert!(said.contains("can't read corpus.jsonl") && said.contains("it is no screening model"), "{said}");
}

#[test]
fn a_corpus_that_is_too_small_is_refused_before_anything_is_paid() {
    let server = ScriptedServer::start(Options::default());
    let project = project_with(&server, corpus(19));
    let said = stderr(&project.execute(&TRAIN));
    assert!(said.contains("corpus.jsonl has 19 documents with a text, at least 20 are needed"), "{said}");
    assert!(server.seen().is_empty());
}

#[test]
fn an_endpoint_that_answers_nobody_is_named_while_it_is_waited_for() {
    let server = ScriptedServer::start(Options::default());
    let mut project = project(&server);
    project.set("llm.endpoint", "\"http://127.0.0.1:9/v1\"");
    let mut training = project.start(&["screen", "train", "corpus.jsonl", "-o", "domain.model"]);
    synthllm_testkit::project::wait_until("it says what it waits for", || {
        project.errors().contains("waiting for http://127.0.0.1:9")
    });
    training.kill();
}
