//! Documents that are screened before they are extracted, and again when the settings change.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use synthllm_log::LogName;
use synthllm_operators::codec;
use synthllm_operators::record::{Role, Scored, ScoredBy, Topic};
use synthllm_operators::screen::Reason;
use synthllm_screening::Model;
use synthllm_testkit::project::{Project, stderr};
use synthllm_testkit::screening::{model, numbers};
use synthllm_testkit::scripted::{DOMAIN_WORDS, Fault, Options, Rule, ScriptedServer};

use crate::{requests, server, sound_samples, stands_on};

/// Words of another field than the domain's.
const OTHER_WORDS: [&str; 8] = ["river", "castle", "harvest", "emperor", "violin", "mountain", "recipe", "cathedral"];
const PLAIN_WORDS: [&str; 6] = ["the", "with", "where", "given", "each", "which"];

/// A text of so many words, of which up to a third are of the domain: so many sixteenths of them.
pub(crate) fn text(words: usize, sixteenths: usize, seed: u64) -> String {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut word = |place: usize| match (place % 3, place / 3 % 16 < sixteenths) {
        (0, true) => *random.choice(&DOMAIN_WORDS).expect("there are words"),
        (0, false) => *random.choice(&OTHER_WORDS).expect("there are words"),
        _ => *random.choice(&PLAIN_WORDS).expect("there are words"),
    };
    (0..words).map(&mut word).collect::<Vec<_>>().join(" ")
}

fn id(number: u64) -> String {
    format!("d{number}")
}

/// A document; every second one is for the model to extract. Some revisions are short, and some are about another field.
fn document(number: u64, revision: u64) -> Value {
    let seed = 100 * number + revision;
    let words = if seed.is_multiple_of(7) { 20 } else { 60 };
    let mut document = json!({"id": id(number), "text": text(words, (seed * 5 % 17) as usize, seed), "source": "tests"});
    if number.is_multiple_of(2) {
        let topic = json!({"name": "statistics", "key_concepts": ["matrix", "median", "series"]});
        document["topics"] = json!([topic]);
    }
    document
}

/// A model that rates a text by its words of the domain, or by the others.
fn train(project: &Project, name: &str, prefers_domain: bool) {
    let rated = |(seed, part): (u64, usize)| {
        let rating = 1.0 + 9.0 * (if prefers_domain { part } else { 16 - part }) as f64 / 16.0;
        (text(60, part, seed), rating)
    };
    let model = model(&(0..170).map(|number| (9000 + number as u64, number % 17)).map(rated).collect::<Vec<_>>());
    std::fs::write(project.file(name), model.to_bytes()).expect("the folder is writable");
}

/// A project that can screen by `domain.model` or `other.model`, and does not yet.
pub(crate) fn project(server: &ScriptedServer) -> Project {
    let mut project = crate::project(server);
    project.set("sampling.levels", "[1, 2]").set("llm.embed.model", "\"small\"");
    train(&project, "domain.model", true);
    train(&project, "other.model", false);
    project
}

/// A project that screens by `domain.model`.
pub(crate) fn screened(server: &ScriptedServer) -> Project {
    let mut project = project(server);
    project.set("screen.model", "\"domain.model\"");
    project
}

pub(crate) fn documents(count: u64) -> Vec<Value> {
    (0..count).map(|number| document(number, 0)).collect()
}

/// What screening says of each document: why it is rejected, its score, by which settings.
pub(crate) type Verdicts = BTreeMap<String, (Option<&'static str>, Option<f64>, ScoredBy)>;

pub(crate) fn scores(project: &Project) -> BTreeMap<String, Scored> {
    let decoded = |value: Vec<u8>| codec::decode(&value).expect("a record of scores");
    project.logs().live(LogName::Scores).into_iter().map(|(id, value)| (id, decoded(value))).collect()
}

pub(crate) fn verdicts(project: &Project) -> Verdicts {
    let verdict = |scored: Scored| (scored.rejected.map(Reason::name), scored.score, scored.by);
    scores(project).into_iter().map(|(id, scored)| (id, verdict(scored))).collect()
}

/// Everything that stands in the logs of extract, without places and versions, which depend on the history.
#[derive(PartialEq, Debug)]
pub(crate) struct State {
    verdicts: Verdicts,
    extractions: BTreeMap<String, (Vec<Topic>, Vec<String>, u128, Option<String>)>,
    texts: BTreeMap<String, String>,
}

pub(crate) fn state(project: &Project) -> State {
    let logs = project.logs();
    for (id, scored) in scores(project) {
        let extraction = logs.extractions().remove(&id);
        assert_eq!(extraction.is_some(), scored.rejected.is_none(), "{id}");
        assert!(extraction.is_none_or(|it| it.version == scored.head.version && it.text == scored.head.text), "{id}");
    }
    let extractions = logs.extractions().into_iter();
    let texts = logs.live(LogName::Texts).into_iter();
    State {
        verdicts: verdicts(project),
        extractions: extractions.map(|(id, it)| (id, (it.topics, it.key_concepts, it.content_hash, it.license))).collect(),
        texts: texts.map(|(id, it)| (id, codec::decompress(&it).expect("a text"))).collect(),
    }
}

/// The ids of rejected documents.
pub(crate) fn rejected(project: &Project) -> BTreeSet<String> {
    verdicts(project).into_iter().filter(|(_, (reason, ..))| reason.is_some()).map(|(id, _)| id).collect()
}

pub(crate) fn let_in(project: &Project) -> BTreeSet<String> {
    project.logs().extractions().into_keys().collect()
}

pub(crate) fn counted(project: &Project, name: &str) -> u64 {
    project.logs().counted(Role::Extract, name)
}

#[test]
fn what_is_rejected_is_not_extracted_and_is_counted_and_listed_with_its_reason() {
    for workers in ["1", "3"] {
        let server = server();
        let mut project = screened(&server);
        project.set("screen.least_words", 30);
        let mut documents = documents(24);
        documents.push(json!({"id": "empty", "topics": ["statistics"], "concepts": ["median"]}));
        project.ingest(&documents);
        project.succeed(&["run", "--drain", "--workers", workers]);
        let samples = sound_samples(&project);

        let model = Model::from_bytes(&std::fs::read(project.file("domain.model")).expect("the model")).expect("a model");
        let mut expected = BTreeMap::from([("empty".to_owned(), (Some("empty"), None))]);
        for document in &documents[..24] {
            let text = document["text"].as_str().expect("a text");
            let score = model.scores(&[&numbers(text)]).expect("numbers of the model's length")[0];
            let said = match (text.split(' ').count() < 30, score > 6.5) {
                (true, _) => (Some("too short"), None),
                (false, true) => (None, Some(score)),
                (false, false) => (Some("score"), Some(score)),
            };
            expected.insert(document["id"].as_str().expect("an id").to_owned(), said);
        }
        let found: BTreeMap<_, _> =
            verdicts(&project).into_iter().map(|(id, (reason, score, _))| (id, (reason, score))).collect();
        assert_eq!(found, expected);
        let of = |reason| expected.values().filter(|(said, _)| *said == reason).count();
        let (in_, short, score) = (of(None), of(Some("too short")), of(Some("score")));
        assert!(in_ > 3 && short > 1 && score > 3, "{in_} {short} {score}");
        assert_eq!(let_in(&project).len(), in_);
        assert_eq!(requests(&server, "embedding"), in_ + score);
        assert!(requests(&server, "extraction") <= in_);
        assert!(samples.values().all(|sample| !rejected(&project).iter().any(|id| stands_on(sample, id))));

        let counters =
            ["screened_empty", "screened_too_short", "screened_score", "embeddings"].map(|name| counted(&project, name));
        assert_eq!(counters, [1, short as u64, score as u64, (in_ + score) as u64]);
        let status = project.status();
        assert_eq!(status["totals"]["screened"]["screened_score"], json!(score));
        assert_eq!(status["totals"]["calls"], json!(server.seen().len()));
        let listed = project.succeed(&["screen", "list", "--json"]);
        let listed: BTreeMap<String, (String, Option<f64>)> = listed
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).expect("a line is JSON"))
            .map(|line| {
                (
                    line["id"].as_str().expect("an id").to_owned(),
                    (line["reason"].as_str().expect("a reason").to_owned(), line["score"].as_f64()),
                )
            })
            .collect();
        let wanted = expected.iter().filter_map(|(id, (reason, score))| Some((id.clone(), ((*reason)?.to_owned(), *score))));
        assert_eq!(listed, wanted.collect());
        let said = project.succeed(&["screen", "list"]);
        assert!(
            said.contains(&format!("rejected: {} documents", 1 + short + score))
                && said.contains(&format!("  score: {score}")),
            "{said}"
        );
    }
}

#[test]
fn a_run_without_a_change_asks_and_writes_nothing_and_without_screening_there_is_nothing() {
    let server = server();
    let project = screened(&server);
    project.ingest(&documents(12));
    project.drain();
    let (before, asked) = (project.logs().records(LogName::Scores), server.seen().len());
    project.ingest(&documents(12));
    project.drain();
    assert_eq!((project.logs().records(LogName::Scores), server.seen().len()), (before, asked));
    sound_samples(&project);

    let plain = self::project(&server);
    plain.ingest(&documents(6));
    plain.drain();
    assert!(plain.logs().records(LogName::Scores).is_empty() && let_in(&plain).len() == 6);
    let names: Vec<String> = plain.logs().shard(Role::Extract, 0).counters.into_keys().collect();
    assert!(names.iter().all(|name| !name.contains("screen")), "{names:?}");
}

#[test]
fn another_model_or_threshold_lets_in_and_out_without_asking_for_what_stays() {
    for workers in ["1", "2"] {
        let server = server();
        let mut project = screened(&server);
        project.ingest(&documents(30));
        project.drain();
        let (first, first_samples) = (let_in(&project), sound_samples(&project));
        let (embedded, extracted) = (requests(&server, "embedding"), requests(&server, "extraction"));
        assert_eq!(embedded, 30);
        let plain = |ids: &BTreeSet<String>| ids.iter().filter(|id| id.ends_with(['1', '3', '5', '7', '9'])).count();

        project.set("screen.threshold", "3.0");
        project.succeed(&["run", "--drain", "--workers", workers]);
        let (second, samples) = (let_in(&project), sound_samples(&project));
        assert!(first.is_subset(&second) && second.len() > first.len() && second.len() < 30);
        let new: BTreeSet<String> = second.difference(&first).cloned().collect();
        assert_eq!(requests(&server, "embedding"), embedded);
        assert_eq!(requests(&server, "extraction"), extracted + plain(&new));
        assert!(first_samples.iter().all(|(id, sample)| samples.get(id) == Some(sample)), "what stays keeps its samples");
        assert!(new.iter().any(|id| samples.values().any(|sample| stands_on(sample, id))));
        assert_eq!((counted(&project, "screened_in"), counted(&project, "rescreened")), (new.len() as u64, 30));

        project.set("screen.model", "\"other.model\"").set("screen.threshold", "6.5");
        project.succeed(&["run", "--drain", "--workers", workers]);
        let (third, samples) = (let_in(&project), sound_samples(&project));
        assert!(!third.is_empty() && third.intersection(&second).count() < second.len());
        assert_eq!(requests(&server, "embedding"), embedded);
        assert!(samples.values().all(|sample| third.iter().any(|id| stands_on(sample, id))), "others are withdrawn");

        // Back again: what comes back is as it was, with samples of its own. Its concepts are known.
        let extracted = requests(&server, "extraction");
        project.set("screen.model", "\"domain.model\"");
        project.succeed(&["run", "--drain", "--workers", workers]);
        assert_eq!((let_in(&project), requests(&server, "embedding")), (first.clone(), embedded));
        assert_eq!(requests(&server, "extraction"), extracted);
        let back = sound_samples(&project);
        let questions = |samples: &crate::Samples| samples.values().map(|it| it.question.clone()).collect::<BTreeSet<_>>();
        assert_eq!(questions(&back), questions(&first_samples));
        let asked = server.seen().len();
        project.drain();
        assert_eq!(server.seen().len(), asked);
    }
}

#[test]
fn a_document_that_went_out_and_came_back_unseen_by_the_others_has_samples_of_its_new_life_only() {
    let server = server();
    let mut project = screened(&server);
    project.set("sampling.levels", "[1]");
    project.ingest(&documents(16));
    project.drain();
    let (ids, before) = (let_in(&project), sound_samples(&project));
    let mut away = ids.clone();
    for name in ["other.model", "domain.model"] {
        project.set("screen.model", format!("{name:?}"));
        project.succeed(&["run", "--drain", "--role", "extract"]);
        away.retain(|id| name == "domain.model" || !let_in(&project).contains(id));
    }
    assert_eq!(let_in(&project), ids);
    assert!(!away.is_empty() && before.values().any(|sample| away.iter().any(|id| stands_on(sample, id))));
    project.drain();
    let after = sound_samples(&project);
    let questions = |samples: &crate::Samples| samples.values().map(|it| it.question.clone()).collect::<BTreeSet<_>>();
    assert_eq!(questions(&after), questions(&before));
    for (id, sample) in &before {
        let stays = away.iter().all(|document| !stands_on(sample, document));
        assert_eq!(after.contains_key(id), stays, "{sample:?}");
    }
    // Where a document is in `documents` is said as it is, with the number of its life.
    let version = |sample: &synthllm_operators::record::Sample| sample.provenance.documents[0].version.clone();
    let versions = |samples: &crate::Samples| samples.values().map(version).collect::<BTreeSet<_>>();
    let in_next_life = |version: String| format!("{version}.2");
    assert_eq!(versions(&after), versions(&before).into_iter().map(in_next_life).collect());
}

#[test]
fn screening_that_is_turned_on_judges_what_is_there_and_turned_off_lets_all_in() {
    let server = server();
    let mut project = project(&server);
    project.ingest(&documents(20));
    project.drain();
    assert_eq!((let_in(&project).len(), requests(&server, "embedding")), (20, 0));
    project.set("screen.model", "\"domain.model\"");
    project.drain();
    sound_samples(&project);
    assert_eq!((let_in(&project).len() + rejected(&project).len(), requests(&server, "embedding")), (20, 20));
    assert_eq!(verdicts(&project).len(), 20);
    assert!(rejected(&project).len() > 3);

    let extracted = requests(&server, "extraction");
    let with = std::fs::read_to_string(project.file("synthllm.toml")).expect("the configuration");
    let without: Vec<&str> = with.lines().filter(|line| !line.starts_with("screen.")).collect();
    for _ in 0..2 {
        std::fs::write(project.file("synthllm.toml"), without.join("\n")).expect("the folder is writable");
        project.drain();
        sound_samples(&project);
        assert_eq!((let_in(&project).len(), rejected(&project).len()), (20, 0));
        // Turned on again: nothing is embedded or extracted again, and turned off again neither.
        let before = verdicts(&project).len();
        std::fs::write(project.file("synthllm.toml"), &with).expect("the folder is writable");
        project.drain();
        sound_samples(&project);
        assert!(rejected(&project).len() > 3 && before == 20);
        assert_eq!((requests(&server, "embedding"), requests(&server, "extraction")), (20, extracted));
    }
    std::fs::write(project.file("synthllm.toml"), without.join("\n")).expect("the folder is writable");
    project.drain();
    let asked = server.seen().len();
    project.delete(&["d0"]);
    project.drain();
    assert_eq!((let_in(&project).len(), server.seen().len()), (19, asked));
    assert!(!scores(&project).contains_key("d0"));
}

#[test]
fn embeddings_outlive_a_time_without_their_model() {
    let server = server();
    let project = screened(&server);
    project.ingest(&documents(12));
    project.drain();
    let (first, asked) = (let_in(&project), (requests(&server, "embedding"), requests(&server, "extraction")));
    let with = std::fs::read_to_string(project.file("synthllm.toml")).expect("the configuration");
    let without: Vec<&str> = with.lines().filter(|line| !line.starts_with("screen.model")).collect();
    let limits = [without.join("\n"), "screen.most_words = 1000".to_owned()].join("\n");
    std::fs::write(project.file("synthllm.toml"), limits).expect("the folder is writable");
    project.drain();
    assert!(rejected(&project).is_empty() && let_in(&project).len() == 12);
    let extracted = requests(&server, "extraction");
    std::fs::write(project.file("synthllm.toml"), with).expect("the folder is writable");
    project.drain();
    assert_eq!(let_in(&project), first);
    assert_eq!((requests(&server, "embedding"), requests(&server, "extraction")), (asked.0, extracted));
}

#[test]
fn a_rejected_document_can_change_go_and_be_written_again() {
    let server = server();
    let project = screened(&server);
    let good = |license: &str| json!({"id": "x", "text": text(60, 16, 1), "license": license, "topics": ["statistics"], "concepts": ["median"]});
    let bad = json!({"id": "x", "text": text(60, 0, 2)});
    let step = |document: &Value| {
        project.ingest(std::slice::from_ref(document));
        project.drain();
        sound_samples(&project);
        (let_in(&project).contains("x"), rejected(&project).contains("x"), requests(&server, "embedding"))
    };
    assert_eq!(step(&bad), (false, true, 1));
    let records = |project: &Project| project.logs().records(LogName::Extractions).len();
    assert_eq!(records(&project), 0, "what was never let in needs no tombstone");
    assert_eq!(step(&bad), (false, true, 1), "an unchanged one costs nothing");
    assert_eq!(step(&good("MIT")), (true, false, 2));
    assert_eq!(step(&good("CC0")), (true, false, 2), "the text is the same");
    assert_eq!(step(&bad), (false, true, 3));
    project.delete(&["x"]);
    project.drain();
    for log in [LogName::Scores, LogName::Texts, LogName::Extractions] {
        assert!(project.logs().live(log).is_empty(), "{log:?}");
    }
    assert_eq!(project.logs().samples().len(), 0);
    assert_eq!(step(&good("MIT")), (true, false, 4));
    assert_eq!(project.succeed(&["delete", "x", "y"]), "deleted 2 documents (1 of them unknown)\n");
    project.drain();
    assert_eq!(step(&bad), (false, true, 5));
    assert_eq!(project.succeed(&["delete", "x"]), "deleted 1 document\n");
}

/// What a history does to a project.
fn happens(project: &mut Project, random: &mut fastrand::Rng, live: &mut BTreeMap<u64, Value>) -> bool {
    match random.u32(0..11) {
        0..=4 => {
            let (number, revision) = (random.u64(0..14), random.u64(0..3));
            let mut document = document(number, revision);
            document["license"] = json!(["MIT", "CC0"][random.usize(0..2)]);
            project.ingest(std::slice::from_ref(&document));
            live.insert(number, document);
        }
        5 => {
            let number = random.u64(0..14);
            project.delete(&[&id(number)]);
            live.remove(&number);
        }
        6 => _ = project.set("screen.model", ["\"domain.model\"", "\"other.model\""][random.usize(0..2)]),
        7 => _ = project.set("screen.threshold", ["3.0", "5.0", "6.5", "8.0"][random.usize(0..4)]),
        8 => _ = project.set("screen.least_words", [0, 30][random.usize(0..2)]),
        _ => return true,
    }
    false
}

#[test]
fn after_any_history_the_logs_are_those_of_a_run_from_scratch_and_no_text_is_embedded_twice() {
    for seed in 0..6 {
        let server = server();
        let mut random = fastrand::Rng::with_seed(seed);
        let mut project = if seed % 2 == 0 { screened(&server) } else { self::project(&server) };
        let mut live: BTreeMap<u64, Value> = (0..14).map(|number| (number, document(number, 0))).collect();
        project.ingest(&live.values().cloned().collect::<Vec<_>>());
        let mut deleted_or_changed = 0;
        for _ in 0..24 {
            let before = live.clone();
            if happens(&mut project, &mut random, &mut live) {
                let workers = random.u32(1..4).to_string();
                project.succeed(&["run", "--drain", "--workers", &workers]);
                sound_samples(&project);
            }
            let text = |document: Option<&Value>| document.map(|it| it["text"].clone());
            deleted_or_changed += (0..14).filter(|number| text(before.get(number)) != text(live.get(number))).count();
        }
        project.set("screen.model", "\"other.model\"");
        project.drain();
        sound_samples(&project);

        let scratch_server = self::server();
        let mut scratch = screened(&scratch_server);
        let settings = std::fs::read_to_string(project.file("synthllm.toml")).expect("the configuration");
        for (key, value) in settings.lines().filter_map(|line| line.split_once(" = ")) {
            if key.starts_with("screen.") {
                scratch.set(key, value);
            }
        }
        scratch.ingest(&live.values().cloned().collect::<Vec<_>>());
        scratch.drain();
        assert_eq!(state(&project), state(&scratch), "seed {seed}");
        // A text is embedded when it comes, or the first time that it passes the limits: never because of a model or a threshold.
        let embedded = requests(&server, "embedding");
        assert!(embedded <= 14 + deleted_or_changed, "seed {seed}: {embedded} embeddings, {deleted_or_changed} changes");
    }
}

#[test]
fn a_kill_while_what_is_stored_is_screened_again_changes_nothing() {
    let run = |fault: Option<&str>| {
        let server = server();
        let mut project = screened(&server);
        project.set("run.window_records", 2).set("llm.max_in_flight", 2);
        project.ingest(&documents(24));
        project.drain();
        project.set("screen.model", "\"other.model\"");
        project.ingest(&[document(40, 1), document(3, 1)]);
        if let Some(fault) = fault {
            let mut command = project.command();
            command.args(["run", "--drain"]).env("SYNTHLLM_FAULT", fault);
            assert_eq!(project.spawn(command).wait(), None, "the run was not killed at {fault}");
        }
        project.drain();
        let samples = sound_samples(&project);
        let questions: BTreeSet<String> = samples.into_values().map(|sample| sample.question).collect();
        let embedded = server.counts().values().filter(|count| count.task == "embedding").map(|it| it.requests).max();
        (state(&project), questions, requests(&server, "extraction"), embedded)
    };
    let undisturbed = run(None);
    assert_eq!(undisturbed.3, Some(1));
    let points = ["snapshot taken", "journal produced", "outputs produced", "before commit", "commit confirmed"];
    let faults = points.iter().flat_map(|point| [format!("{point}:1"), format!("{point}:5")]);
    for fault in faults.chain(["state loaded:1".to_owned()]) {
        let disturbed = run(Some(&fault));
        assert_eq!((&disturbed.0, &disturbed.1), (&undisturbed.0, &undisturbed.1), "killed at {fault}");
        // What was in flight may be asked again: two calls at a time.
        assert!(disturbed.2 <= undisturbed.2 + 2, "killed at {fault}: {} for {}", disturbed.2, undisturbed.2);
    }
}

/// Runs extract as often as it takes, where a run has enough for one extraction at a time; it takes several.
pub(crate) fn extract_by_small_budgets(project: &mut Project) {
    // Alone, extract has half of it.
    project.set("llm.max_tokens", 200).set("budget.tokens", 14_600);
    let mut runs = 0;
    loop {
        // Alone, extract has half of it: enough for one extraction at a time.
        let output = project.execute(&["run", "--drain", "--role", "extract"]);
        assert!(output.status.success(), "{}", stderr(&output));
        runs += 1;
        if !stderr(&output).contains("budget.tokens") {
            break;
        }
        assert!(runs < 60, "it comes to no end: {}", stderr(&output));
    }
    assert!(runs > 1, "the budget was enough");
}

#[test]
fn a_budget_ends_a_new_screening_and_the_next_run_goes_on() {
    let server = server();
    let mut project = screened(&server);
    project.set("sampling.levels", "[1]");
    project.ingest(&documents(24));
    project.drain();
    let embedded = requests(&server, "embedding");
    project.set("screen.model", "\"other.model\"");
    extract_by_small_budgets(&mut project);
    assert_eq!(requests(&server, "embedding"), embedded);
    assert!(server.counts().values().all(|count| count.requests == 1), "nothing is asked twice");
    let scratch_server = self::server();
    let mut scratch = screened(&scratch_server);
    scratch.set("screen.model", "\"other.model\"");
    scratch.ingest(&documents(24));
    scratch.drain();
    assert_eq!(state(&project), state(&scratch));
}

#[test]
fn a_document_that_can_not_be_embedded_is_a_dead_letter() {
    let rules = vec![Rule::always("unembeddable", Fault::Status(400, "the input is too long".into()))];
    let server = ScriptedServer::start(Options { rules, ..Options::default() });
    let project = screened(&server);
    project.ingest(&[document(0, 0), json!({"id": "odd", "text": "unembeddable ".repeat(9)})]);
    project.drain();
    sound_samples(&project);
    let letters = project.logs().dead_letters();
    assert_eq!((letters.len(), letters[0].stage.as_str(), letters[0].key.as_deref()), (1, "embed", Some("odd")));
    assert!(letters[0].reason.contains("the input is too long"), "{}", letters[0].reason);
    assert_eq!(verdicts(&project).len(), 1);
}

#[test]
fn a_stored_document_that_can_not_be_extracted_is_a_dead_letter_from_where_it_came() {
    let rules = vec![Rule::always("<document>\\nunanswerable", Fault::WrongAnswer)];
    let server = ScriptedServer::start(Options { rules, ..Options::default() });
    let mut project = project(&server);
    project.set("screen.most_words", 4);
    let document = json!({"text": "unanswerable words of a text", "source": "tests", "id": "odd"});
    project.ingest(&[json!({"id": "short", "text": "four words are fine", "topics": ["statistics"]}), document.clone()]);
    project.drain();
    assert_eq!(rejected(&project), BTreeSet::from(["odd".to_owned()]));
    project.set("screen.most_words", 100);
    project.drain();
    sound_samples(&project);
    let letters = project.logs().dead_letters();
    assert_eq!((letters.len(), letters[0].stage.as_str(), letters[0].key.as_deref()), (1, "extract", Some("odd")));
    let records = project.logs().records(LogName::Documents);
    let record = records.iter().find(|record| record.key.as_deref() == Some(b"odd")).expect("its record");
    assert_eq!((letters[0].partition, letters[0].offset), (record.partition, record.offset));
    let payload = base64::Engine::decode(&base64::prelude::BASE64_STANDARD, &letters[0].payload).expect("base64");
    let payload: Value = serde_json::from_slice(&payload).expect("JSON");
    assert_eq!((&payload["text"], &payload["source"]), (&document["text"], &document["source"]));
    for log in [LogName::Scores, LogName::Texts, LogName::Extractions] {
        assert!(project.logs().live(log).into_keys().eq(["short"]), "{log:?}");
    }
}

#[test]
fn a_model_that_does_not_fit_is_refused_before_anything_starts() {
    let server = server();
    let mut project = screened(&server);
    project.ingest(&documents(2));
    project.set("llm.embed.model", "\"another\"");
    let refused = project.execute(&["run", "--drain"]);
    let said = stderr(&refused);
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(said.contains("the model needs embeddings of \"small\", `llm.embed.model` is \"another\""), "{said}");
    let said = project.execute(&["check"]);
    assert!(!said.status.success() && String::from_utf8_lossy(&said.stdout).contains("failed  screening"), "{said:?}");
    project.set("llm.embed.model", "\"small\"").set("screen.model", "\"none.model\"");
    let refused = project.execute(&["run", "--drain"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(
        stderr(&refused).contains("`screen.model`: there is no file \"none.model\", expected a screening model"),
        "{}",
        stderr(&refused)
    );
    assert!(server.seen().is_empty());
    project.set("screen.model", "\"domain.model\"");
    let said = project.succeed(&["check", "--connect"]);
    assert!(said.contains("ok      screening: domain.model (version") && said.contains("64 numbers each"), "{said}");
}

#[test]
fn a_plan_counts_embeddings_and_what_comes_of_them_lies_within_it() {
    let server = server();
    let mut project = screened(&server);
    project.set("screen.least_words", 30);
    project.ingest(&documents(24));
    let plan = || serde_json::from_str::<Value>(&project.succeed(&["plan", "--json"])).expect("the plan is JSON");
    let planned = plan();
    assert!(server.seen().is_empty(), "a plan asks nobody");
    project.drain();
    let within = |row: &Value, found: usize| {
        let bound = |name: &str| row["calls"][name].as_u64().expect("a number") as usize;
        assert!(bound("low") <= found && found <= bound("high"), "{found} calls, the plan said {row}");
    };
    assert_eq!(planned["embed"]["calls"]["low"], planned["embed"]["calls"]["high"]);
    within(&planned["embed"], requests(&server, "embedding"));
    within(&planned["extract"], requests(&server, "extraction"));
    within(&planned["total"], server.seen().len());
    assert_eq!(planned["documents"]["rejected"], json!(counted(&project, "screened_too_short")));
    project.ingest(&documents(24));
    let planned = plan();
    assert_eq!((&planned["documents"]["unchanged"], &planned["total"]["calls"]["high"]), (&json!(24), &json!(0)));
}
