//! `run --drain` on Kafka: what it gives, what it doesn't do twice, and what becomes of bad records.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value;
use synthllm_log::partition;
use synthllm_testkit::scripted::{Options, ScriptedServer};

use crate::project::{PARTITIONS, Project, by_level, document, documents_of, id};

#[test]
fn topics_are_created_once_and_a_run_without_them_says_so() {
    let Some(project) = Project::new("topics") else { return };
    let refused = project.output(&["run", "--drain"]);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("samples") && said.contains("synthllm topics create"), "{said}");
    let created = project.ok(&["topics", "create"]);
    assert!(created.contains("samples") && created.contains("progress"), "{created}");
    let again = project.ok(&["topics", "create"]);
    assert!(again.contains("nothing to do"), "{again}");
}

#[test]
fn a_drained_run_gives_samples_of_all_levels_and_a_second_one_pays_for_nothing() {
    let Some(project) = Project::new("drain").map(Project::created) else { return };
    project.ingest(0..12);
    project.drain();
    let samples = project.samples();
    let levels = by_level(&samples);
    assert!(levels.iter().all(|count| *count > 0), "{levels:?}");
    assert_eq!(samples, project.exported(), "export and kcat disagree");
    let live: BTreeSet<String> = (0..12).map(id).collect();
    for sample in samples.values() {
        assert!(documents_of(sample).into_iter().all(|document| live.contains(document)), "{sample}");
        assert!(sample["answer"].is_string(), "{sample}");
    }
    let asked = project.server.counts();
    assert!(asked.values().all(|count| count.requests == 1), "{asked:?}");
    project.drain();
    assert_eq!(project.server.counts(), asked, "the second run asked again");
    assert_eq!(project.samples(), samples);
}

#[test]
fn a_report_counts_the_samples_and_says_the_same_twice() {
    let Some(project) = Project::new("report").map(Project::created) else { return };
    project.ingest(0..8);
    project.drain();
    let json = project.ok(&["report", "--json", "-"]);
    let report: Value = serde_json::from_str(&json).unwrap();
    let samples = project.samples();
    assert_eq!(report["totals"]["samples"], samples.len());
    assert_eq!(report["totals"]["documents"], 8);
    for (found, count) in report["levels"].as_array().unwrap().iter().zip(by_level(&samples)) {
        assert_eq!(found["samples"], count);
    }
    assert_eq!(project.ok(&["report", "--json", "-"]), json);
}

#[test]
fn limits_are_kept_over_runs_and_the_result_is_that_of_sqlite() {
    let server = Arc::new(ScriptedServer::start(Options::default()));
    let Some(project) = Project::with_server("limits", server.clone()).map(Project::created) else { return };
    let Some(reference) = Project::with_server("limits-sqlite", server).map(Project::on_sqlite) else { return };
    for numbers in [0..10, 10..14] {
        for project in [&project, &reference] {
            project.ingest(numbers.clone());
            project.drain();
        }
        let samples = project.samples();
        let combinations = |level: u32| {
            let of_level = samples.values().filter(|sample| sample["level"] == level);
            of_level.map(|sample| sample["provenance"]["combination"].as_str().unwrap()).collect::<BTreeSet<_>>().len()
        };
        assert_eq!([1, 2, 3].map(combinations), [6, 6, 12]);
        assert_eq!(samples, reference.exported(), "Kafka and SQLite disagree");
    }
}

#[test]
fn two_workers_give_the_samples_of_one() {
    let server = Arc::new(ScriptedServer::start(Options::default()));
    let Some(one) = Project::with_server("one-worker", server.clone()).map(Project::created) else { return };
    let Some(two) = Project::with_server("two-workers", server).map(Project::created) else { return };
    one.ingest(0..12);
    one.drain();
    two.ingest(0..12);
    two.start(&["--drain", "-w", "2"]).succeeds();
    assert_eq!(one.samples(), two.samples());
}

#[test]
fn deleting_a_document_withdraws_only_its_samples() {
    let Some(project) = Project::new("delete").map(Project::created) else { return };
    project.ingest(0..12);
    project.drain();
    let before = project.samples();
    let victim = documents_of(before.values().find(|sample| sample["level"] == 3).unwrap())[0].to_owned();
    let stands_on_it = |sample: &Value| documents_of(sample).contains(&victim.as_str());
    project.kcat.produce("documents", &victim, None);
    project.drain();
    let kept: BTreeSet<&String> = before.iter().filter(|(_, sample)| !stands_on_it(sample)).map(|(id, _)| id).collect();
    let after = project.samples();
    assert!(kept.len() < before.len());
    assert_eq!(after.keys().collect::<BTreeSet<_>>(), kept);
    assert_eq!(after, project.exported());
    assert_eq!(project.kcat.live("provenance").keys().collect::<BTreeSet<_>>(), kept);
}

#[test]
fn bad_records_of_others_become_dead_letters_and_the_run_goes_on() {
    let Some(project) = Project::new("bad-records").map(Project::created) else { return };
    project.ingest(0..8);
    project.kcat.produce("documents", "plain", Some(b"not JSON at all"));
    project.kcat.produce("documents", "no-utf8", Some(b"{\"text\": \"\xff\xfe\"}"));
    project.kcat.produce("documents", "never-seen", None);
    // A live document that becomes unreadable is gone.
    project.kcat.produce("documents", &id(0), Some(b"{"));
    project.drain();
    let letters: Vec<Value> = project
        .kcat
        .read("dead-letters")
        .iter()
        .map(|it| serde_json::from_slice(it.value.as_deref().unwrap()).unwrap())
        .collect();
    let keys: BTreeSet<&str> = letters.iter().filter_map(|letter| letter["key"].as_str()).collect();
    assert!(keys.is_superset(&BTreeSet::from(["plain", "no-utf8", "document-0"])), "{letters:#?}");
    assert!(!keys.contains("never-seen"), "{letters:#?}");
    assert!(letters.iter().all(|letter| !letter["reason"].as_str().unwrap().is_empty()), "{letters:#?}");
    let samples = project.samples();
    assert!(!samples.is_empty());
    assert!(samples.values().all(|sample| !documents_of(sample).contains(&"document-0")), "a broken document is live");
}

#[test]
fn documents_of_other_producers_land_where_ours_do() {
    let Some(project) = Project::new("murmur2").map(Project::created) else { return };
    for number in 0..8 {
        project.kcat.produce("documents", &id(number), Some(document(number).to_string().as_bytes()));
    }
    project.ingest(0..8);
    let records = project.kcat.read("documents");
    assert_eq!(records.len(), 16);
    for record in &records {
        assert_eq!(record.partition, partition::of_key(record.key.as_deref(), PARTITIONS), "{}", record.key_text());
    }
    assert!(records.iter().any(|record| record.partition == 0) && records.iter().any(|record| record.partition == 1));
    project.drain();
    let extractions = project.server.counts().into_values().filter(|count| count.task == "extraction");
    assert_eq!(extractions.map(|count| count.requests).collect::<Vec<_>>(), [1; 8], "an unchanged document was asked again");
}
