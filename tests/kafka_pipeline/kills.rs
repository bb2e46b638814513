//! The kill loop on Kafka, judged by what `kcat` reads committed and by what the model server has counted.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use synthllm_testkit::scripted::{Options, ScriptedServer};

use crate::project::{Project, documents_of, id};
use crate::verdict::{Paid, samples_written_twice, settled};

/// The named points of the commit protocol.
const POINTS: [&str; 8] = [
    "fenced",
    "state loaded",
    "snapshot taken",
    "journal produced",
    "outputs produced",
    "before commit",
    "commit confirmed",
    "trimmed",
];

/// How often a pipeline is killed before it may finish.
const KILLS: u64 = 4;

/// Where a process is killed.
#[derive(Debug)]
enum Moment {
    /// At a named point, the so-many-th time that it is reached.
    Point(&'static str, u64),
    /// When the model server has seen so many more requests.
    Requests(usize),
}

impl Moment {
    /// Every point has its turn; half of the kills come whenever.
    fn of(seed: u64, kill: u64) -> Moment {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (kill + 1).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        state = (state ^ (state >> 31)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let drawn = state >> 33;
        if kill.is_multiple_of(2) {
            Moment::Requests((drawn % 24) as usize)
        } else {
            Moment::Point(POINTS[(seed * KILLS / 2 + kill / 2) as usize % POINTS.len()], drawn % 6 + 1)
        }
    }
}

fn server() -> Arc<ScriptedServer> {
    // The latency lets kills meet calls under way.
    let latency = Duration::from_millis(20);
    Arc::new(ScriptedServer::start(Options { duplicate_rate: 0.2, latency, ..Options::default() }))
}

/// A pipeline with a history of inserts, changes and deletions that nobody has read yet.
fn prepared(test: &str) -> Option<Project> {
    let project = Project::with_server(test, server())?.created();
    project.ingest(0..12);
    project.kcat.produce("documents", &id(3), None);
    project.kcat.produce("documents", &id(4), None);
    project.ingest(3..4);
    Some(project)
}

/// Starts a run and kills it at the moment, unless it has ended before.
fn kill(project: &Project, moment: &Moment) {
    let mut command = project.command(&["run", "--drain"]);
    match moment {
        Moment::Point(name, at) => {
            let mut run = project.start_with(command.env("SYNTHLLM_FAULT", format!("{name}:{at}")));
            run.wait();
            let said = run.said();
            assert!(!said.contains("error:"), "{moment:?}: {said}");
        }
        Moment::Requests(more) => {
            let wanted = project.server.seen().len() + more;
            let mut run = project.start_with(&mut command);
            run.wait_for(|| project.server.seen().len() >= wanted);
            run.kill();
        }
    }
}

/// Kills pipelines with these seeds, and compares each with one that nobody disturbs.
fn disturb(seeds: impl IntoIterator<Item = u64>) {
    let Some(calm) = prepared("calm") else { return };
    calm.drain();
    let expected = calm.samples();
    assert!(expected.len() > 20, "{}", expected.len());
    for seed in seeds {
        let Some(project) = prepared(&format!("killed-{seed}")) else { return };
        let mut paid = Paid::default();
        for moment in (0..KILLS).map(|number| Moment::of(seed, number)) {
            kill(&project, &moment);
            paid.note(&project);
        }
        project.drain();
        let samples = project.samples();
        assert_eq!(settled(&samples), settled(&expected), "seed {seed}");
        assert_eq!(samples_written_twice(&project), Vec::<String>::new());
        assert_eq!(paid.asked_again(&project), Vec::<String>::new());
        withdraw(&project, &samples);
    }
}

/// A deletion whose run is killed withdraws all the same, and pays for nothing.
fn withdraw(project: &Project, samples: &BTreeMap<String, Value>) {
    let asked = project.server.counts();
    let victim = documents_of(samples.values().next().unwrap())[0].to_owned();
    project.kcat.produce("documents", &victim, None);
    kill(project, &Moment::Point("before commit", 2));
    project.drain();
    let kept = samples.iter().filter(|(_, sample)| !documents_of(sample).contains(&victim.as_str()));
    assert_eq!(project.samples(), kept.map(|(id, sample)| (id.clone(), sample.clone())).collect());
    assert_eq!(project.server.counts(), asked, "a finished pipeline asked again");
    assert_eq!(samples_written_twice(project), Vec::<String>::new());
}

#[test]
fn pipelines_killed_at_any_moment_come_to_the_same_end_and_pay_for_nothing_twice() {
    disturb(0..5);
}

#[test]
fn pipelines_killed_at_other_moments_do_too() {
    disturb(5..10);
}
