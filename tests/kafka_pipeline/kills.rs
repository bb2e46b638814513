//! The kill loop on Kafka, judged by what `kcat` reads committed and by what the model server has counted.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use synthllm_operators::codec;
use synthllm_operators::record::JournalKey;
use synthllm_testkit::scripted::{Options, ScriptedServer};

use crate::project::{Project, documents_of, id};

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

/// The counts of the requests whose answers have been seen committed.
#[derive(Default)]
struct Paid(BTreeMap<u128, u32>);

impl Paid {
    /// What is in the journals now, with nobody running.
    fn note(&mut self, project: &Project) {
        for record in ["journal-extract", "journal-generate"].into_iter().flat_map(|log| project.kcat.read(log)) {
            let key: JournalKey = codec::decode(record.key.as_deref().unwrap()).unwrap();
            self.0.entry(key.request).or_insert_with(|| project.server.count(key.request).requests);
        }
    }

    fn was_not_asked_again(&self, project: &Project) {
        for (request, count) in &self.0 {
            let now = project.server.count(*request);
            assert_eq!(now.requests, *count, "asked again though its answer was committed: {}", now.extract);
        }
    }
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

/// No sample is written twice without a tombstone between.
fn nothing_is_there_twice(project: &Project) {
    let mut live = BTreeSet::new();
    for record in project.kcat.read("samples") {
        let id = record.key_text();
        let sound = if record.value.is_some() { live.insert(id.clone()) } else { live.remove(&id) };
        assert!(sound, "{id} at {}:{} is written twice, or withdrawn without being there", record.partition, record.offset);
    }
}

/// The samples whose question only one combination can hold, and all questions with their answers.
fn settled(samples: &BTreeMap<String, Value>) -> (BTreeMap<&String, &Value>, BTreeSet<String>) {
    let is_shared = |sample: &Value| sample["question"].as_str().unwrap().contains("shared question");
    let own = samples.iter().filter(|(_, sample)| !is_shared(sample)).collect();
    let questions: BTreeSet<String> =
        samples.values().map(|sample| format!("{} {}", sample["question"], sample["answer"])).collect();
    assert_eq!(questions.len(), samples.len(), "a question has two live samples");
    (own, questions)
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
        nothing_is_there_twice(&project);
        paid.was_not_asked_again(&project);
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
    nothing_is_there_twice(project);
}

#[test]
fn pipelines_killed_at_any_moment_come_to_the_same_end_and_pay_for_nothing_twice() {
    disturb(0..5);
}

#[test]
fn pipelines_killed_at_other_moments_do_too() {
    disturb(5..10);
}
