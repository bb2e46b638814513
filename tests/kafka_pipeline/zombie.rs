//! A process that was taken for dead comes back.

use std::sync::Arc;

use synthllm_testkit::project::wait_until;
use synthllm_testkit::scripted::{Options, ScriptedServer};

use crate::project::Project;

#[test]
fn a_run_that_was_frozen_and_replaced_ends_when_it_wakes_and_writes_nothing() {
    let server = Arc::new(ScriptedServer::start(Options::default()));
    let Some(project) = Project::with_server("zombie", server.clone()).map(Project::created) else { return };
    project.ingest(0..8);
    server.pause();
    let mut zombie = project.start(&["--drain"]);
    server.wait_until(|seen| seen.len() >= 4);
    zombie.signal("STOP");
    server.resume();
    project.drain();
    // A commit is known to the writer before all partitions have its marker.
    wait_until("all is decided", || {
        ["samples", "progress", "journal-extract"].iter().all(|log| project.kcat.is_decided(log))
    });
    let committed: Vec<_> = ["samples", "progress", "journal-extract"].map(|log| project.kcat.read(log)).into();
    zombie.signal("CONT");
    let status = zombie.wait();
    assert_eq!(status.code(), Some(1), "{}", zombie.said());
    assert!(zombie.said().contains("has taken over"), "{}", zombie.said());
    let after: Vec<_> = ["samples", "progress", "journal-extract"].map(|log| project.kcat.read(log)).into();
    assert_eq!(committed, after, "a fenced process wrote");
    let asked = server.counts();
    project.drain();
    assert_eq!(server.counts(), asked);
}
