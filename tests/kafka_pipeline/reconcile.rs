//! Deletions that the broker has compacted away before they were read, in a topic of somebody else.

use std::collections::BTreeSet;

use synthllm_log::kafka::{KafkaLog, KafkaSettings};
use synthllm_log::{Log, partition};

use crate::project::{PARTITIONS, Project, documents_of, id, quoted};

/// The topic of documents, with more partitions than our logs have.
const FEED: &str = "feed.documents";
const FEED_PARTITIONS: u32 = PARTITIONS + 1;

/// A project that reads a topic of somebody else, which keeps tombstones for so many milliseconds.
fn forgetful(test: &str, milliseconds: u32) -> Option<Project> {
    let project = Project::new(test)?;
    let mut settings = KafkaSettings::new(&project.kcat.brokers, &format!("{}feed.", project.kcat.prefix));
    (settings.documents_partitions, settings.partitions) = (FEED_PARTITIONS, 1);
    let eager = [("segment.ms", "100"), ("min.cleanable.dirty.ratio", "0.01"), ("file.delete.delay.ms", "100")];
    settings.topic_overrides.extend(eager.map(|(name, value)| (name.to_owned(), value.to_owned())));
    settings.topic_overrides.insert("delete.retention.ms".to_owned(), milliseconds.to_string());
    KafkaLog::new(settings).unwrap().create().unwrap();
    let topic = quoted(&format!("{}{FEED}", project.kcat.prefix));
    Some(project.set("log.documents", &topic).set("sampling.levels", "[1, 2]").created())
}

/// Deletes a document, and writes to its partition until the broker has taken every trace of it.
fn delete_without_trace(project: &Project, document: &str) {
    project.kcat.produce(FEED, document, None);
    let of_document = partition::of_key(Some(document.as_bytes()), FEED_PARTITIONS);
    let keys = (0..).map(|number| format!("nobody-{number}"));
    let mut keys = keys.filter(|key| partition::of_key(Some(key.as_bytes()), FEED_PARTITIONS) == of_document);
    crate::running::eventually(
        "the tombstone is compacted away",
        || {
            project.kcat.produce(FEED, &keys.next().unwrap(), None);
            project.kcat.read(FEED).iter().all(|record| record.key_text() != document).then_some(())
        },
        || "the broker keeps it".to_owned(),
    );
}

/// The samples' ids, all of them and those that don't stand on a document.
fn samples(project: &Project, document: &str) -> (BTreeSet<String>, BTreeSet<String>) {
    let samples = project.samples();
    let others = samples.iter().filter(|(_, sample)| !documents_of(sample).contains(&document));
    (samples.keys().cloned().collect(), others.map(|(id, _)| id.clone()).collect())
}

#[test]
fn a_deletion_that_the_broker_has_forgotten_is_noticed_at_the_next_start() {
    let Some(project) = forgetful("reconcile", 1) else { return };
    let said = project.ok(&["check", "--connect"]);
    assert!(said.contains("deletions are kept for 1ms: a run that is away for longer reconciles"), "{said}");
    assert!(said.contains(&format!("{FEED_PARTITIONS} partitions of documents and {PARTITIONS} of the others")), "{said}");
    project.ingest(0..8);
    project.drain();
    let (all, others) = samples(&project, &id(3));
    assert!(others.len() < all.len(), "no sample stands on the document");
    let asked = project.server.counts();
    delete_without_trace(&project, &id(3));
    let said = project.start(&["--drain", "-w", "2"]).succeeds();
    assert!(said.contains("documents that are not there any more are taken for deleted"), "{said}");
    let (after, _) = samples(&project, &id(3));
    assert_eq!(after, others);
    assert!(!project.kcat.live("extractions").contains_key(&id(3)));
    assert_eq!(project.kcat.live("extractions").len(), 7);
    assert_eq!(project.server.counts(), asked, "somebody was asked about what was known");
}

#[test]
fn a_deletion_that_was_forgotten_while_a_run_stood_still_is_noticed_when_it_goes_on() {
    let Some(project) = forgetful("stood-still", 3_000) else { return };
    project.ingest(0..6);
    let mut run = project.start(&[]);
    let stands = || project.samples().values().any(|sample| documents_of(sample).contains(&id(2).as_str()));
    run.until("the document has samples", || stands().then_some(()));
    run.until("all documents are extracted", || (project.kcat.live("extractions").len() == 6).then_some(()));
    run.signal("STOP");
    delete_without_trace(&project, &id(2));
    run.signal("CONT");
    run.until("the samples go", || (!stands()).then_some(()));
    assert_eq!(project.kcat.live("extractions").len(), 5);
    run.signal("TERM");
    run.succeeds();
}
