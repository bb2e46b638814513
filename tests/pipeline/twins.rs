//! Documents with equal or similar texts: of them only the first is let in, whatever came before.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use synthllm_log::{LogName, partition};
use synthllm_operators::screen::Reason;
use synthllm_operators::shingle::{jaccard, shingles};
use synthllm_testkit::project::{PARTITIONS, Project, wait_until, write_lines};
use synthllm_testkit::scripted::{Fault, Options, Rule, ScriptedServer};

use crate::screening::{State, counted, extract_by_small_budgets, let_in, scores, screened, state, text};
use crate::{requests, server, sound_samples, stands_on};

/// The texts of a group, from a base of 60 words: the base, with another last word (0.96 like it), with another word in its midst (0.84), and
/// with two (0.7).
fn variant(group: u64, number: usize) -> String {
    let base = text(60, 12, 5_000 + group);
    let mut words: Vec<&str> = base.split(' ').collect();
    let changed: &[usize] = [&[][..], &[59], &[30], &[15, 45]][number % 4];
    changed.iter().for_each(|at| words[*at] = "changed");
    words.join(" ")
}

fn document(id: &str, text: &str) -> Value {
    json!({"id": id, "text": text, "source": "tests"})
}

/// A project that looks for similar texts, and asks for no embedding.
fn project(server: &ScriptedServer, threshold: f64) -> Project {
    let mut project = crate::project(server);
    project.set("sampling.levels", "[1]").set("screen.near_duplicates", threshold);
    project
}

/// Why each document is rejected, if it is.
fn said(project: &Project) -> BTreeMap<String, Option<Reason>> {
    scores(project).into_iter().map(|(id, scored)| (id, scored.rejected)).collect()
}

/// What the law says of the documents in the log: in the order of their last change (offset, then partition), each for which there is no
/// kept one before it that is equal or similar.
fn expected(project: &Project, threshold: Option<f64>) -> BTreeMap<String, Option<Reason>> {
    let mut live: BTreeMap<String, (u64, u32, String)> = BTreeMap::new();
    for record in project.logs().records(LogName::Documents) {
        let id = String::from_utf8(record.key.expect("a document has a key")).expect("text");
        match record.value.map(|value| serde_json::from_slice::<Value>(&value).expect("JSON")) {
            Some(value) => {
                let text = value["text"].as_str().expect("a text").to_owned();
                live.insert(id, (record.offset, record.partition, text));
            }
            None => _ = live.remove(&id),
        }
    }
    let mut in_order: Vec<_> =
        live.into_iter().map(|(id, (offset, partition, text))| (offset, partition, id, text)).collect();
    in_order.sort_unstable();
    let (mut earlier, mut kept, mut said) = (Vec::new(), Vec::<String>::new(), BTreeMap::new());
    for (_, _, id, text) in in_order {
        let similar = |other: &String| {
            threshold.is_some_and(|threshold| jaccard(&shingles(other, 5), &shingles(&text, 5)) >= threshold)
        };
        let reason = match (earlier.contains(&text), kept.iter().any(similar)) {
            (true, _) => Some(Reason::Duplicate),
            (false, true) => Some(Reason::NearDuplicate),
            (false, false) => None,
        };
        earlier.push(text.clone());
        kept.extend(reason.is_none().then_some(text));
        said.insert(id, reason);
    }
    said
}

fn ids(said: &BTreeMap<String, Option<Reason>>, reason: Option<Reason>) -> BTreeSet<String> {
    said.iter().filter(|(_, found)| **found == reason).map(|(id, _)| id.clone()).collect()
}

/// Five groups of six documents: two are equal, four similar to a different degree.
fn groups() -> Vec<Value> {
    let of_group = |group: u64| (0..6).map(move |number| (group, number));
    let documents = (0..5).flat_map(of_group).map(|(group, number)| {
        let text = variant(group, [0, 1, 2, 3, 0, 2][number]);
        document(&format!("g{group}n{number}"), &text)
    });
    documents.collect()
}

#[test]
fn of_equal_and_similar_documents_only_the_first_is_extracted_and_paid_for() {
    for workers in ["1", "2", "3"] {
        let server = server();
        let mut project = project(&server, 0.8);
        project.set("run.window_records", 100);
        project.ingest(&groups());
        project.succeed(&["run", "--drain", "--workers", workers]);
        let samples = sound_samples(&project);
        let expected = expected(&project, Some(0.8));
        assert_eq!(said(&project), expected, "{workers} workers");
        let first = ids(&expected, None);
        assert!((5..15).contains(&first.len()), "{first:?}");
        assert_eq!(let_in(&project), first);
        assert!(first.iter().all(|id| samples.values().any(|sample| stands_on(sample, id))));
        assert!(samples.values().all(|sample| first.iter().any(|id| stands_on(sample, id))));
        if workers == "1" {
            let listed = project.succeed(&["screen", "list", "--json"]);
            let duplicates = listed.lines().filter(|line| line.contains("\"duplicate\"")).count();
            let similar = listed.lines().filter(|line| line.contains("\"near duplicate\"")).count();
            let of = |reason| ids(&expected, Some(reason)).len();
            assert_eq!((duplicates, similar), (of(Reason::Duplicate), of(Reason::NearDuplicate)), "{listed}");
        }
        let asked = server.seen().len();
        project.drain();
        assert_eq!((server.seen().len(), said(&project)), (asked, expected), "another run changes nothing");
    }
}

#[test]
fn in_one_partition_nothing_is_asked_about_a_document_that_has_a_twin_before_it() {
    let server = server();
    let project = project(&server, 0.8);
    let documents: Vec<Value> = (0..8).map(|number| document(&id_in(0, number), &variant(0, number % 3))).collect();
    project.ingest(&documents);
    project.drain();
    assert_eq!(requests(&server, "extraction"), 1);
    let status = project.status();
    let screened = &status["totals"]["screened"];
    let counts =
        ["screened_duplicate", "screened_near_duplicate", "screened_repetition"].map(|name| screened[name].as_u64());
    assert_eq!(counts, [Some(5), Some(2), None], "{screened}");
}

#[test]
fn equal_texts_are_found_wherever_documents_are_screened_and_need_not_be_read_again() {
    let server = server();
    let mut project = crate::project(&server);
    project.set("sampling.levels", "[1]").set("screen.least_words", 5);
    project.ingest(&groups());
    let textless = |id: &str| json!({"id": id, "topics": ["statistics"], "concepts": ["median"]});
    project.set("screen.least_words", 0).set("screen.most_words", 1000);
    project.ingest(&[textless("one"), textless("other")]);
    project.drain();
    sound_samples(&project);
    let mut said = said(&project);
    assert_eq!((said.remove("one"), said.remove("other")), (Some(None), Some(None)), "no text is like no other");
    assert_eq!(ids(&said, Some(Reason::Duplicate)).len(), 10);
    assert_eq!(ids(&said, None).len(), 20);
    let asked = server.seen().len();
    let first = let_in(&project);
    let one_of = first.iter().find(|id| id.ends_with("n0") || id.ends_with("n4")).expect("one of two").clone();
    project.delete(&[&one_of]);
    project.drain();
    let twin = one_of.replace(&one_of[2..], if one_of.ends_with("n0") { "n4" } else { "n0" });
    let now = let_in(&project);
    assert!(now.contains(&twin) && !now.contains(&one_of), "{one_of} was deleted: {now:?}");
    assert!(server.seen().len() > asked);
}

#[test]
fn deleting_the_first_lets_the_next_in_and_changing_it_does_too() {
    for workers in ["1", "3"] {
        let server = server();
        let project = project(&server, 0.8);
        project.ingest(&(0..4).map(|number| document(&format!("t{number}"), &variant(0, number))).collect::<Vec<_>>());
        let run = || {
            project.succeed(&["run", "--drain", "--workers", workers]);
            (said(&project), sound_samples(&project))
        };
        let mut gone = BTreeSet::new();
        for step in 0..3 {
            let (said, samples) = run();
            let expected = expected(&project, Some(0.8));
            assert_eq!(said, expected, "step {step}");
            let first = ids(&said, None);
            for id in &first {
                assert!(samples.values().any(|sample| stands_on(sample, id)), "{id} has samples of its own");
            }
            assert!(samples.values().all(|sample| !gone.iter().any(|id: &String| stands_on(sample, id))), "{gone:?}");
            let one = first.iter().find(|id| !gone.contains(*id)).expect("one stands").clone();
            if step == 1 {
                project.ingest(&[document(&one, &variant(7, 0))]);
            } else {
                project.delete(&[&one]);
                gone.insert(one);
            }
        }
        let (said, _) = run();
        assert_eq!(said, expected(&project, Some(0.8)));
        assert_eq!(counted(&project, "rescreened"), counted(&project, "screened_in") + counted(&project, "screened_out"));
    }
}

/// An id whose documents lie in this partition.
fn id_in(partition: u32, number: usize) -> String {
    let lies_there = |id: &String| partition::of_key(Some(id.as_bytes()), PARTITIONS) == partition;
    (0..).map(|number| format!("p{number}")).filter(lies_there).nth(number).expect("there are many ids")
}

#[test]
fn a_document_that_comes_late_in_another_partition_displaces_the_one_that_stands_after_it() {
    let server = server();
    let project = project(&server, 0.8);
    let fillers: Vec<Value> = (0..4).map(|number| document(&id_in(0, number), &variant(20 + number as u64, 0))).collect();
    let (late, early) = (id_in(0, 9), id_in(1, 0));
    project.ingest(&[fillers, vec![document(&late, &variant(0, 0))]].concat());
    project.drain();
    let (before, extracted) = (sound_samples(&project), requests(&server, "extraction"));
    assert!(let_in(&project).contains(&late));
    project.ingest(&[document(&early, &variant(0, 1))]);
    project.drain();
    let after = sound_samples(&project);
    assert!(let_in(&project).contains(&early) && !let_in(&project).contains(&late));
    assert_eq!(said(&project)[&late], Some(Reason::NearDuplicate));
    assert!(after.values().all(|sample| !stands_on(sample, &late)));
    assert!(after.values().any(|sample| stands_on(sample, &early)));
    assert_eq!(requests(&server, "extraction"), extracted + 1);

    // It comes back younger than it was, and so do its samples, though the others have not seen it go.
    project.delete(&[&early]);
    project.succeed(&["run", "--drain", "--role", "extract"]);
    project.drain();
    let back = sound_samples(&project);
    assert!(back.values().any(|sample| stands_on(sample, &late)));
    let version = project.logs().extractions()[&late].version;
    assert_eq!(version.offset >> 48, 1);
    assert!(before.iter().filter(|(_, sample)| stands_on(sample, &late)).all(|(id, _)| !back.contains_key(id)));

    // What comes when it has gone is younger, too.
    project.ingest(&[document(&id_in(0, 10), &variant(30, 0))]);
    project.drain();
    assert_eq!(project.logs().extractions()[&id_in(0, 10)].version.offset >> 48, 0, "others keep their number");
    project.delete(&[&late]);
    project.ingest(&[document(&late, &variant(0, 0))]);
    project.drain();
    let again = sound_samples(&project);
    let version = project.logs().extractions()[&late].version;
    assert_eq!(version.offset >> 48, 1);
    assert!(
        again.values().any(|sample| stands_on(sample, &late))
            && again.keys().all(|id| { !stands_on(&again[id], &late) || !back.contains_key(id) })
    );
}

#[test]
fn a_document_that_is_held_back_keeps_what_is_known_of_its_text_through_a_change_of_its_other_fields() {
    let server = server();
    let mut project = screened(&server);
    project.set("screen.threshold", "0.5").set("screen.near_duplicates", 0.8).set("sampling.levels", "[1]");
    let fillers: Vec<Value> = (0..4).map(|number| document(&id_in(0, number), &variant(20 + number as u64, 0))).collect();
    let (late, early) = (id_in(0, 9), id_in(1, 0));
    let mut of_late = document(&late, &variant(0, 0));
    project.ingest(&[fillers, vec![of_late.clone()]].concat());
    project.drain();
    project.ingest(&[document(&early, &variant(0, 1))]);
    project.drain();
    assert_eq!((requests(&server, "embedding"), said(&project)[&late]), (6, Some(Reason::NearDuplicate)));
    let extracted = requests(&server, "extraction");
    of_late["license"] = json!("CC0");
    project.ingest(&[of_late]);
    project.drain();
    assert_eq!(said(&project)[&late], Some(Reason::NearDuplicate));
    project.delete(&[&early]);
    project.drain();
    sound_samples(&project);
    assert!(let_in(&project).contains(&late));
    assert_eq!((requests(&server, "embedding"), requests(&server, "extraction")), (6, extracted));
    assert_eq!(project.logs().extractions()[&late].license.as_deref(), Some("CC0"));
}

#[test]
fn another_threshold_lets_in_and_out_without_asking_about_what_stays() {
    for workers in ["1", "2"] {
        let server = server();
        let mut project = screened(&server);
        project.set("screen.threshold", "0.5").set("screen.near_duplicates", 0.8).set("sampling.levels", "[1]");
        project.ingest(&groups());
        project.drain();
        let (first, samples) = (let_in(&project), sound_samples(&project));
        assert_eq!(said(&project), expected(&project, Some(0.8)));
        let mut asked = (requests(&server, "embedding"), requests(&server, "extraction"));
        for (threshold, way) in [(0.9, "more"), (0.6, "fewer"), (0.8, "as before")] {
            let before = let_in(&project);
            project.set("screen.near_duplicates", threshold);
            project.succeed(&["run", "--drain", "--workers", workers]);
            assert_eq!(said(&project), expected(&project, Some(threshold)), "{way}");
            sound_samples(&project);
            let now = let_in(&project);
            let new = now.difference(&before).count();
            let requests = (requests(&server, "embedding"), requests(&server, "extraction"));
            assert!(requests.0 <= asked.0 + new && requests.1 <= asked.1 + new, "{way}: {new} new, {requests:?} {asked:?}");
            asked = requests;
        }
        assert_eq!(let_in(&project), first);
        let questions = |samples: &crate::Samples| samples.values().map(|it| it.question.clone()).collect::<BTreeSet<_>>();
        assert_eq!(questions(&sound_samples(&project)), questions(&samples));
    }
}

#[test]
fn when_the_first_can_not_be_extracted_the_next_takes_its_place() {
    let rules = vec![Rule::always("unanswerable", Fault::WrongAnswer)];
    let server = ScriptedServer::start(Options { rules, ..Options::default() });
    let project = project(&server, 0.8);
    let ids: Vec<String> = (0..2).map(|number| id_in(0, number)).collect();
    let bad = format!("{} unanswerable", variant(0, 0));
    project.ingest(&[document(&ids[0], &bad), document(&ids[1], &variant(0, 0))]);
    project.drain();
    sound_samples(&project);
    assert_eq!(project.logs().dead_letters().len(), 1);
    assert_eq!(let_in(&project), BTreeSet::from([ids[1].clone()]));
    assert_eq!(said(&project), BTreeMap::from([(ids[1].clone(), None)]));
}

/// What a history does to a project.
fn happens(project: &mut Project, random: &mut fastrand::Rng) -> bool {
    match random.u32(0..12) {
        0..=5 => {
            let number = random.u64(0..16);
            let mut document = document(&format!("r{number}"), &variant(random.u64(0..3), random.usize(0..4)));
            document["license"] = json!(["MIT", "CC0"][random.usize(0..2)]);
            if number.is_multiple_of(2) {
                document["topics"] = json!([{"name": "statistics", "key_concepts": ["matrix", "median", "series"]}]);
            }
            project.ingest(&[document]);
        }
        6 => project.delete(&[&format!("r{}", random.u64(0..16))]),
        7 => _ = project.set("screen.near_duplicates", ["0.6", "0.8", "0.9", "0.0"][random.usize(0..4)]),
        8 => _ = project.set("screen.threshold", ["0.5", "3.0", "6.5"][random.usize(0..3)]),
        _ => return true,
    }
    false
}

/// What a run from scratch makes of the same log of documents, by the same settings.
fn from_scratch(project: &Project) -> State {
    let server = server();
    let mut scratch = screened(&server);
    let settings = std::fs::read_to_string(project.file("synthllm.toml")).expect("the configuration");
    for (key, value) in settings.lines().filter_map(|line| line.split_once(" = ")) {
        if key.starts_with("screen.") {
            scratch.set(key, value);
        }
    }
    for record in project.logs().records(LogName::Documents) {
        let key = record.key.expect("a document has a key");
        scratch.append(&key, record.value.as_deref());
    }
    scratch.drain();
    state(&scratch)
}

#[test]
fn after_any_history_the_logs_are_those_of_a_run_from_scratch() {
    let points =
        ["snapshot taken", "journal produced", "outputs produced", "before commit", "commit confirmed", "state loaded"];
    for seed in 0..6 {
        let server = server();
        let mut random = fastrand::Rng::with_seed(seed);
        let mut project = screened(&server);
        project.set("screen.near_duplicates", 0.8).set("screen.threshold", "0.5").set("sampling.levels", "[1]");
        project.ingest(&[document("r0", &variant(0, 0))]);
        for _ in 0..40 {
            if !happens(&mut project, &mut random) {
                continue;
            }
            let workers = random.u32(1..4).to_string();
            let arguments = ["run", "--drain", "--workers", &workers];
            if random.bool() {
                let mut command = project.command();
                let fault = format!("{}:{}", points[random.usize(0..points.len())], random.u32(1..4));
                // A run of all roles would first end the draws of the one that was killed.
                command.args(arguments).args(["--role", "extract"]).env("SYNTHLLM_FAULT", &fault);
                project.spawn(command).wait();
            } else {
                project.succeed(&arguments);
                sound_samples(&project);
                assert_eq!(state(&project), from_scratch(&project), "seed {seed}");
            }
        }
        project.drain();
        sound_samples(&project);
        assert_eq!(state(&project), from_scratch(&project), "seed {seed}");
    }
}

#[test]
fn a_run_that_goes_on_releases_and_displaces_beside_what_it_reads() {
    let server = server();
    let project = project(&server, 0.8);
    let mut run = project.start(&["run", "--workers", "2"]);
    let stands = |id: &str| let_in(&project).contains(id);
    let (late, early) = (id_in(0, 9), id_in(1, 0));
    let fillers: Vec<Value> = (0..4).map(|number| document(&id_in(0, number), &variant(20 + number as u64, 0))).collect();
    project.ingest(&[fillers, vec![document(&late, &variant(0, 0))]].concat());
    wait_until("the only one is let in", || stands(&late));
    project.ingest(&[document(&early, &variant(0, 1))]);
    wait_until("the earlier one displaces it", || stands(&early) && !stands(&late));
    project.delete(&[&early]);
    project.ingest(&[document("another", &variant(40, 0))]);
    wait_until("it comes back", || stands(&late) && stands("another") && !stands(&early));
    run.signal("TERM");
    assert_eq!(run.wait(), Some(0), "{}", project.errors());
    project.drain();
    sound_samples(&project);
    assert_eq!(said(&project), expected(&project, Some(0.8)));
}

#[test]
fn a_kill_while_documents_are_released_changes_nothing() {
    let run = |fault: Option<&str>| {
        let server = server();
        let mut project = project(&server, 0.8);
        project.set("run.window_records", 1);
        // Each group lies in one partition, so that nothing is paid for that is displaced later.
        let grouped = |number: usize| (id_in(number as u32 % 3, number), variant(number as u64 % 3, number / 3));
        let documents: Vec<Value> = (0..15).map(grouped).map(|(id, text)| document(&id, &text)).collect();
        project.ingest(&documents);
        project.drain();
        let first: Vec<String> = let_in(&project).into_iter().collect();
        let first: Vec<&str> = first.iter().map(String::as_str).collect();
        project.delete(&first);
        if let Some(fault) = fault {
            let mut command = project.command();
            command.args(["run", "--drain"]).env("SYNTHLLM_FAULT", fault);
            assert_eq!(project.spawn(command).wait(), None, "the run was not killed at {fault}");
        }
        project.drain();
        let samples = sound_samples(&project);
        assert_eq!(said(&project), expected(&project, Some(0.8)), "killed at {fault:?}");
        let questions: BTreeSet<String> = samples.into_values().map(|sample| sample.question).collect();
        (state(&project), questions, requests(&server, "extraction"))
    };
    let undisturbed = run(None);
    for point in ["snapshot taken", "journal produced", "outputs produced", "before commit", "commit confirmed"] {
        for number in [1, 4, 7] {
            let fault = format!("{point}:{number}");
            let disturbed = run(Some(&fault));
            assert_eq!((&disturbed.0, &disturbed.1), (&undisturbed.0, &undisturbed.1), "killed at {fault}");
            // What was in flight, or answered and not committed, may be asked again: one document of each shard.
            assert!(disturbed.2 <= undisturbed.2 + 3, "killed at {fault}: {} for {}", disturbed.2, undisturbed.2);
        }
    }
}

/// A run that ends with a kill as soon as this document's concepts are in the journal, while the extraction of another text stalls and
/// so holds back all outputs.
fn killed_behind_a_stall(server: &ScriptedServer, project: &Project, stalled: &str, journaled: &str) {
    let rule = Rule { containing: format!("<document>\\n{stalled}"), times: u32::MAX, fault: Fault::Stall };
    server.add_rule(rule);
    let mut run = project.start(&["run", "--drain", "--workers", "2"]);
    wait_until("the answer is in the journal", || {
        project.logs().journal().iter().any(|(key, _)| (key.task.as_str(), key.subject.as_str()) == ("extract", journaled))
    });
    assert!(run.kill(), "{}", project.errors());
    server.forget_rules();
}

/// How often each request about a text was made.
fn asked_about(server: &ScriptedServer, text: &str) -> Vec<u32> {
    let counts = server.counts();
    let of_extract = |task: &str| ["embedding", "extraction"].contains(&task);
    let about = counts.values().filter(|count| of_extract(&count.task) && count.body.contains(text));
    about.map(|count| count.requests).collect()
}

#[test]
fn what_was_paid_for_a_document_that_a_kill_lets_fall_behind_another_is_kept() {
    let server = server();
    let mut project = screened(&server);
    project.set("screen.threshold", "0.5").set("screen.near_duplicates", 0.8).set("sampling.levels", "[1]");
    let (late, early) = (id_in(0, 9), id_in(1, 0));
    let filler = |number: usize| document(&id_in(0, number), &variant(20 + number as u64, 0));
    project.ingest(&[filler(0), filler(1), document(&late, &variant(0, 0))]);
    killed_behind_a_stall(&server, &project, &variant(20, 0), &late);
    assert!(scores(&project).is_empty(), "nothing is committed but answers");
    project.ingest(&[document(&early, &variant(0, 1))]);
    project.drain();
    assert_eq!(said(&project)[&late], Some(Reason::NearDuplicate));
    project.delete(&[&early]);
    project.drain();
    assert!(let_in(&project).contains(&late));
    assert_eq!(asked_about(&server, &variant(0, 0)), [1, 1], "its embedding, and its concepts");
    sound_samples(&project);

    // Out and in again: that costs nothing, too.
    project.set("screen.threshold", "10.0");
    project.drain();
    assert!(let_in(&project).is_empty());
    project.set("screen.threshold", "0.5");
    project.drain();
    assert_eq!(let_in(&project).len(), 3);
    assert_eq!(asked_about(&server, &variant(0, 0)), [1, 1]);
    let answered = server.counts().into_values().filter(|count| ["embedding", "extraction"].contains(&count.task.as_str()));
    let answered: u64 = answered.map(|count| u64::from(count.answered)).sum();
    assert_eq!(counted(&project, "calls"), answered, "each answer is charged once");
}

#[test]
fn what_was_paid_for_a_document_whose_release_a_kill_undoes_is_kept() {
    let server = server();
    let project = project(&server, 0.8);
    let (late, early) = (id_in(0, 9), id_in(1, 0));
    let filler = |id: &str, group: u64| document(id, &variant(group, 0));
    project.ingest(&[filler(&id_in(0, 0), 20), document(&early, &variant(0, 1))]);
    project.drain();
    project.ingest(&[document(&late, &variant(0, 0))]);
    project.drain();
    assert_eq!((&said(&project)[&late], asked_about(&server, &variant(0, 0))), (&Some(Reason::NearDuplicate), vec![]));

    // It is released on one worker, while the deletion that releases it waits on the other, behind a document whose call stalls.
    project.ingest(&[filler(&id_in(1, 1), 30)]);
    project.delete(&[&early]);
    killed_behind_a_stall(&server, &project, &variant(30, 0), &late);
    assert!(let_in(&project).contains(&early), "nothing is committed but answers");
    project.ingest(&[filler(&id_in(0, 1), 40)]);
    project.succeed(&["run", "--drain", "--workers", "2"]);
    assert!(let_in(&project).contains(&late) && !let_in(&project).contains(&early));
    assert_eq!(asked_about(&server, &variant(0, 0)), [1]);
    sound_samples(&project);
}

#[test]
fn a_budget_ends_what_is_owed_and_the_next_run_goes_on() {
    let server = server();
    let mut project = project(&server, 0.8);
    project.ingest(&groups());
    project.drain();
    let first: Vec<String> = let_in(&project).into_iter().collect();
    project.delete(&first.iter().map(String::as_str).collect::<Vec<_>>());
    extract_by_small_budgets(&mut project);
    assert!(server.counts().values().all(|count| count.requests == 1), "nothing is asked twice");
    assert_eq!(said(&project), expected(&project, Some(0.8)));
}

#[test]
fn a_sample_on_a_document_that_came_back_is_held_and_released_like_any_other() {
    let server = server();
    let mut project = project(&server, 0.8);
    let other = "these are nine words that no question ever repeats";
    write_lines(&project.file("known.jsonl"), [json!({"question": other}).to_string()]);
    project.set("filters.benchmarks", "[{ file = \"known.jsonl\" }]").set("filters.benchmark_words", 9);
    project.ingest(&[document("first", &variant(0, 0)), document("second", &variant(0, 0))]);
    project.drain();
    project.delete(&["first"]);
    project.drain();
    let samples = sound_samples(&project);
    let versions: BTreeSet<&str> =
        samples.values().flat_map(|sample| &sample.provenance.documents).map(|cited| cited.version.as_str()).collect();
    assert!(!samples.is_empty() && versions.iter().all(|version| version.ends_with(".1")), "{versions:?}");

    let of_level_1 = "Given this article, what is the value in case";
    write_lines(&project.file("known.jsonl"), [json!({"question": of_level_1}).to_string()]);
    for _ in 0..2 {
        project.drain();
        assert_eq!((sound_samples(&project).len(), project.logs().held().len()), (0, samples.len()));
    }
    write_lines(&project.file("known.jsonl"), [json!({"question": other}).to_string()]);
    project.drain();
    assert_eq!(sound_samples(&project), samples);
}
