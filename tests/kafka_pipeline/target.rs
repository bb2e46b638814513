//! A target over several processes: one credit for all of them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use synthllm_testkit::scripted::{Options, ScriptedServer};

use crate::cluster::start;
use crate::project::{Project, by_level, documents_of};

#[test]
fn several_processes_meet_a_target_together_also_after_a_kill_and_after_deletions() {
    let server = Arc::new(ScriptedServer::start(Options { latency: Duration::from_millis(10), ..Options::default() }));
    let Some(project) = Project::with_server("target", server) else { return };
    let project = project.set("log.partitions", "4").set("sampling.limit", "{}").set("sampling.epochs", "6");
    let project = project.set("generate.target", "{ level1 = 13, level2 = 9, level3 = 10 }").created();
    project.ingest(0..16);
    let mut runs = start(&project, 2, &["--drain", "-w", "2"]);
    project.server.wait_until(|seen| seen.iter().filter(|seen| seen.task == "answer").count() >= 8);
    runs[1].kill();
    runs[0].wait();
    drop(runs);
    let mut gone: BTreeSet<String> = BTreeSet::new();
    for processes in [2, 3, 1] {
        for run in start(&project, processes, &["--drain", "-w", "1"]) {
            run.succeeds();
        }
        let samples = project.samples();
        assert_eq!(by_level(&samples), [13, 9, 10], "{processes} processes");
        assert_eq!(project.exported(), samples);
        assert!(samples.values().all(|sample| documents_of(sample).iter().all(|document| !gone.contains(*document))));
        let first: BTreeSet<&str> = samples.values().map(|sample| documents_of(sample)[0]).take(2).collect();
        project.ok(&[vec!["delete"], first.iter().copied().collect()].concat());
        gone.extend(first.into_iter().map(str::to_owned));
    }
}
