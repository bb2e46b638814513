//! A broker that stands still.

use std::sync::Arc;
use std::time::Duration;

use synthllm_testkit::kafka::{Broker, unique_prefix};
use synthllm_testkit::scripted::{Options, ScriptedServer};

use crate::kcat;
use crate::project::Project;

#[test]
fn a_run_that_waits_for_a_broker_says_so_and_goes_on_when_it_answers_again() {
    if !kcat::is_here() {
        return;
    }
    let Some(broker) = Broker::start() else { return };
    let latency = Duration::from_millis(50);
    let server = Arc::new(ScriptedServer::start(Options { latency, ..Options::default() }));
    let project = Project::on(broker.bootstrap(), broker.bootstrap(), &unique_prefix("stall"), server).created();
    project.ingest(0..14);
    let mut run = project.start(&["--drain"]);
    run.wait_for(|| project.server.seen().len() > 3);
    broker.kill(1, "STOP");
    run.until_said("waiting for the log to commit what ");
    broker.kill(1, "CONT");
    run.succeeds();
    assert!(!project.samples().is_empty());
}
