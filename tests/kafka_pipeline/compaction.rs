//! What compaction removes is not needed: a restart on compacted logs stands where it stood.

use synthllm_log::Log;
use synthllm_log::kafka::{KafkaLog, KafkaSettings};

use crate::kcat::Record;
use crate::project::{PARTITIONS, Project, document, id};

/// Creates topics that are compacted as soon as the broker can.
fn compacting(test: &str) -> Option<Project> {
    let project = Project::new(test)?;
    let mut settings = KafkaSettings::new(&project.kcat.brokers, &project.kcat.prefix);
    (settings.documents_partitions, settings.partitions) = (PARTITIONS, PARTITIONS);
    let eager = [("segment.ms", "100"), ("min.cleanable.dirty.ratio", "0.01"), ("file.delete.delay.ms", "100")];
    settings.topic_overrides.extend(eager.map(|(name, value)| (name.to_owned(), value.to_owned())));
    KafkaLog::new(settings).unwrap().create().unwrap();
    Some(project)
}

/// Whether a record that stood in a log is gone.
fn is_gone(project: &Project, log: &str, record: &Record) -> bool {
    !project.kcat.read(log).contains(record)
}

#[test]
fn a_restart_on_compacted_logs_stands_where_it_stood() {
    let Some(project) = compacting("compaction") else { return };
    project.ingest(0..8);
    project.drain();
    let changed = |round: u32| {
        let mut changed = document(0);
        changed["text"] = format!("{} Changed {round} times.", changed["text"].as_str().unwrap()).into();
        changed.to_string()
    };
    let first = |log| project.kcat.read(log).into_iter().find(|record| record.key_text() == id(0)).unwrap();
    let old = ["documents", "texts", "extractions"].map(|log| (log, first(log)));
    let mut run = project.start(&[]);
    let mut round = 0;
    // Each change closes a segment; the cleaner then takes the version before it.
    run.until("the first version is compacted away", || {
        round += 1;
        project.kcat.produce("documents", &id(0), Some(changed(round).as_bytes()));
        old.iter().all(|(log, record)| is_gone(&project, log, record)).then_some(())
    });
    run.signal("TERM");
    run.succeeds();
    project.drain();
    assert_eq!(project.kcat.live("documents").len(), 8);
    assert_eq!(project.kcat.live("extractions").len(), 8);
    let (samples, asked) = (project.samples(), project.server.counts());
    let graph = project.ok(&["graph", "stats", "--json"]);
    project.drain();
    assert_eq!(project.samples(), samples);
    assert_eq!(project.server.counts(), asked, "a restart on compacted logs asked again");
    let reference = Project::with_server("compaction-reference", project.server.clone()).unwrap().on_sqlite();
    reference.ingest(1..8);
    let last = reference.path("last.jsonl");
    std::fs::write(&last, changed(round)).unwrap();
    reference.ok(&["ingest", last.to_str().unwrap()]);
    reference.drain();
    assert_eq!(graph, reference.ok(&["graph", "stats", "--json"]), "the graph is not that of the live documents");
}
