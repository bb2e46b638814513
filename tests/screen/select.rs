//! `screen select`: what a model keeps of files, and how another model changes what the stream stands on.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use synthllm_operators::provenance::Withdraw;
use synthllm_testkit::judge;
use synthllm_testkit::scripted::embedding;

use super::*;

/// Documents with more and more words of the domain, so that their ratings go from 1 to 10.
fn graded(count: usize) -> Vec<Value> {
    let document = |number: usize| {
        let mut random = fastrand::Rng::with_seed(1000 + number as u64);
        let mut word = |place: usize| match (place % 3, place / 3 < number % 16) {
            (0, true) => *random.choice(&DOMAIN_WORDS).unwrap(),
            (0, false) => *random.choice(&OTHER_WORDS).unwrap(),
            _ => *random.choice(&PLAIN_WORDS).unwrap(),
        };
        let text: Vec<&str> = (0..60).map(&mut word).collect();
        json!({"id": format!("d{number}"), "text": text.join(" ")})
    };
    (0..count).map(document).collect()
}

/// Selects into `accepted.jsonl` and `rejected.jsonl`.
fn select(project: &Project, files: &[&str]) -> Value {
    let to = ["-o", "accepted.jsonl", "--rejected", "rejected.jsonl", "--json"];
    let arguments = [&["screen", "select", "domain.model"], files, &to].concat();
    serde_json::from_str(&project.succeed(&arguments)).unwrap()
}

fn lines(file: &Path) -> Vec<String> {
    fs::read_to_string(file).unwrap().lines().map(str::to_owned).collect()
}

fn field<'a>(line: &'a Value, name: &str) -> &'a str {
    line[name].as_str().unwrap()
}

/// The rejected documents by their ids.
fn rejected(project: &Project) -> BTreeMap<String, Value> {
    let read = |line: String| serde_json::from_str::<Value>(&line).unwrap();
    let read = lines(&project.file("rejected.jsonl")).into_iter().map(read);
    read.map(|line| (field(&line, "id").to_owned(), line)).collect()
}

fn accepted_ids(project: &Project) -> BTreeSet<String> {
    let id = |line: String| field(&serde_json::from_str(&line).unwrap(), "id").to_owned();
    lines(&project.file("accepted.jsonl")).into_iter().map(id).collect()
}

#[test]
fn what_scores_above_the_threshold_is_written_as_it_came_and_nothing_is_asked_twice() {
    let server = ScriptedServer::start(Options::default());
    let project = project(&server);
    project.succeed(&TRAIN);
    let written: Vec<String> =
        graded(120).iter().map(|it| format!("{{ \"x\":[1e2,\"\\u00e9\"], {}", &it.to_string()[1..])).collect();
    write_lines(&project.file("new.jsonl"), &written);
    let summary = select(&project, &["new.jsonl"]);

    let model = model(&project);
    let score = |line: &String| {
        let text = field(&serde_json::from_str(line).unwrap(), "text").to_owned();
        let numbers: Vec<f32> = embedding(&text).into_iter().map(|number| number as f32).collect();
        model.scores(&[&numbers]).unwrap()[0]
    };
    let (kept, others): (Vec<&String>, Vec<&String>) = written.iter().partition(|line| score(line) > model.threshold());
    assert!(kept.len() > 10 && others.len() > 10, "{} are kept", kept.len());
    assert_eq!(lines(&project.file("accepted.jsonl")).iter().collect::<Vec<_>>(), kept);
    let rejected = rejected(&project);
    assert_eq!(rejected.len(), others.len());
    for line in others {
        let rejected = &rejected[field(&serde_json::from_str(line).unwrap(), "id")];
        assert_eq!(rejected["reason"], "score");
        assert!((rejected["score"].as_f64().unwrap() - score(line)).abs() < 1e-9, "{rejected}");
    }
    assert_eq!((&summary["read"], &summary["accepted"]), (&json!(120), &json!(kept.len())));
    assert_eq!(summary["calls"], 120 / 8);

    let (calls, before) = (answered(&server), lines(&project.file("accepted.jsonl")));
    let again = select(&project, &["new.jsonl"]);
    assert_eq!((answered(&server), &again["calls"], &again["cost"]), (calls, &json!(0), &json!(0.0)));
    assert_eq!(lines(&project.file("accepted.jsonl")), before);
}

#[test]
fn every_rejected_document_has_its_reason_and_only_what_passes_is_embedded() {
    let rules = vec![Rule::always("unembeddable", Fault::Status(400, "the input is too long".into()))];
    let server = ScriptedServer::start(Options { rules, ..Options::default() });
    let mut project = project(&server);
    project.succeed(&TRAIN);
    project.set("screen.least_words", 5).set("screen.most_words", 100).set("screen.most_repetition", 0.5);
    project.set("screen.languages", "[\"eng\"]").set("screen.near_duplicates", 0.8);

    let first = "For each estimator of a regression the variance is given by the kernel, and the sample is large enough for a test \
                 of the hypothesis that the classifier has no bias; the likelihood then follows from the prior and the posterior.";
    let german = "Wie viele Primzahlen liegen zwischen hundert und zweihundert, und welche davon sind Zwillinge? Begründe deine \
                  Antwort mit einem Satz über die Teiler jeder dieser Zahlen.";
    let castle = "The old castle by the river was built by an emperor who loved violin music, and the harvest of the orchids was \
                  celebrated every year with a carnival where a bakery sold bread in the shape of a dragon.";
    let long: Vec<String> = (0..101).map(|number| format!("longword{number}")).collect();
    let documents = [
        ("first", first.to_owned(), None),
        ("empty", " \n".into(), Some("empty")),
        ("short", "Tiny words only".into(), Some("too short")),
        ("long", long.join(" "), Some("too long")),
        ("again", "the sum is odd ".repeat(20), Some("repetition")),
        ("german", german.into(), Some("language")),
        ("copy", first.to_uppercase().replace(' ', "  "), Some("duplicate")),
        ("near", format!("{first} Indeed"), Some("near duplicate")),
        (
            "broken",
            format!(
                "unembeddable {}",
                castle.replace("river", "railway").replace("bread", "cakes").replace("who loved", "with his")
            ),
            Some("no embedding"),
        ),
        ("castle", castle.into(), Some("score")),
        ("twice", german.into(), None),
        (
            "twice",
            format!("Twice is the last one that counts, and it says something else about rivers: {}", &castle[90..]),
            Some("score"),
        ),
    ];
    let line = |(id, text, _): &(&str, String, _)| json!({"id": id, "text": text, "concepts": ["sum"]}).to_string();
    write_lines(&project.file("new.jsonl"), documents.iter().map(line).chain(["no document".to_owned()]));
    fs::create_dir(project.file("notes")).unwrap();
    let note = "A weather railway through the mountain was described by the pirate in a recipe for football players with a cathedral.";
    fs::write(project.file("notes/pirate.md"), note).unwrap();
    let seen = server.seen().len();
    let summary = select(&project, &["new.jsonl", "notes"]);

    assert_eq!(accepted_ids(&project), BTreeSet::from(["first".to_owned()]));
    let rejected = rejected(&project);
    let expected = documents.iter().filter_map(|(id, _, reason)| Some((*id, (*reason)?))).chain([("pirate.md", "score")]);
    let expected: BTreeMap<&str, &str> = expected.collect();
    let found = rejected.iter().map(|(id, line)| (id.as_str(), field(line, "reason")));
    assert_eq!(found.collect::<BTreeMap<_, _>>(), expected);
    assert!(rejected.values().all(|line| line["score"].is_f64() == (line["reason"] == "score")), "{rejected:?}");

    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    expected.values().for_each(|reason| *counts.entry(reason).or_default() += 1);
    assert_eq!(summary["rejected"], json!(counts));
    let rest = ["read", "accepted", "superseded", "no_documents"].map(|key| summary[key].as_u64().unwrap());
    assert_eq!(rest, [13, 1, 1, 1]);
    assert_eq!(rest[0], rest[1] + rest[2] + counts.values().sum::<u64>());
    let asked: Vec<String> = server.counts().into_values().map(|count| count.body).collect();
    for unpaid in ["Tiny words", "longword1", "the sum is odd", "Primzahlen", "ESTIMATOR", "Indeed"] {
        assert!(asked.iter().all(|body| !body.contains(unpaid)), "{unpaid}");
    }
    // One call for all, and, since that failed, one for each.
    assert_eq!(server.seen().len() - seen, 6);
    let said = project.succeed(&["screen", "select", "domain.model", "new.jsonl", "notes", "-o", "accepted.jsonl"]);
    for words in
        ["read 13 documents: accepted 1, rejected 11, superseded", "near duplicate: 1", "score: 3", "spent now: 0 calls"]
    {
        assert!(said.contains(words), "{said}");
    }
}

#[test]
fn what_cannot_be_selected_is_refused_and_leaves_no_file() {
    let server = ScriptedServer::start(Options::default());
    let mut project = project(&server);
    project.succeed(&TRAIN);
    let refused = |project: &Project, arguments: &[&str], words: &str| {
        let output = project.execute(&[&["screen", "select", "domain.model"], arguments].concat());
        let said = stderr(&output);
        assert!(output.status.code() == Some(2) && said.contains(words), "{said}");
        assert!(!project.file("accepted.jsonl").exists());
    };
    let to = ["corpus.jsonl", "-o", "accepted.jsonl"];
    let calls = answered(&server);
    refused(&project, &["-", "-o", "accepted.jsonl"], "standard input can't be read again");
    refused(&project, &[&to[..], &["--rejected", "accepted.jsonl"]].concat(), "both what is kept and what is not");
    project.set("llm.embed.model", "\"another\"");
    refused(&project, &to, "the model needs embeddings of \"small\", `llm.embed.model` is \"another\"");
    assert_eq!(answered(&server), calls);

    let rules = vec![Rule::always("\"input\"", Fault::Truncated)];
    let half = ScriptedServer::start(Options { rules, ..Options::default() });
    project.set("llm.embed.model", "\"small\"").set("llm.endpoint", format!("{:?}", half.endpoint()));
    let elsewhere = [&to[..], &["--work", "new.work"]].concat();
    refused(&project, &elsewhere, "the model needs embeddings of 64 numbers, those of `llm.embed` have 32");
    assert_eq!(answered(&half), 1);
}

#[test]
fn another_model_brings_its_insertions_and_retractions_to_the_stream_without_a_call() {
    let server = ScriptedServer::start(Options::default());
    let mut project = project_with(&server, graded(160));
    write_lines(&project.file("new.jsonl"), graded(208).iter().skip(160).map(Value::to_string));
    project.set("sampling.levels", "[1, 2]");
    let mut before = BTreeSet::new();
    for (number, keep) in [6.5, 8.5, 4.0].into_iter().enumerate() {
        project.set("screen.train.keep", keep);
        project.succeed(&TRAIN);
        let calls = answered(&server);
        select(&project, &["new.jsonl"]);
        assert_eq!(answered(&server) > calls, number == 0, "only the first model pays for embeddings");
        let accepted = accepted_ids(&project);
        assert_eq!(accepted.len() + rejected(&project).len(), 48);
        match number {
            0 => assert!(!accepted.is_empty()),
            1 => assert!(accepted.is_subset(&before) && accepted.len() < before.len(), "{accepted:?}"),
            _ => assert!(accepted.is_superset(&before) && accepted.len() > before.len(), "{accepted:?}"),
        }
        let extractions = || server.seen().iter().filter(|seen| seen.task == "extraction").count();
        let paid = extractions();
        project.succeed(&["ingest", "accepted.jsonl"]);
        project.succeed(&["delete", "--from-file", "rejected.jsonl"]);
        project.drain();
        assert_eq!(extractions() - paid, accepted.difference(&before).count(), "what was accepted before costs nothing");
        let logs = project.logs();
        assert_eq!(judge::violations(&logs, Withdraw::Deleted), Vec::<String>::new());
        let cited = logs.samples().into_values().flat_map(|sample| sample.provenance.documents);
        assert_eq!(cited.map(|document| document.id).collect::<BTreeSet<_>>(), accepted);
        before = accepted;
    }
}
