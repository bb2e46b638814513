//! One schedule from its first document to the verdict.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;
use synthllm_testkit::kafka::unique_prefix;
use synthllm_testkit::proxy::Link;
use synthllm_testkit::scripted::{Fault as ModelFault, Options, RetryAfter, Rule, ScriptedServer};

use crate::figures::Figures;
use crate::fleet::{Fleet, until};
use crate::kcat::Record;
use crate::project::{Project, by_level, id, quoted};
use crate::running::Running;
use crate::schedule::{Fault, Layout, Schedule, Step};
use crate::verdict;
use crate::verdict_on_logs::Paid;
use crate::world::World;

/// A start that nothing befalls ends well; brokers that have just come back may spoil some.
const ATTEMPTS: u32 = 4;

/// A fault that waits for requests comes after so long all the same.
const AT_THE_LATEST: Duration = Duration::from_secs(8);

/// The calls that a process may have under way: the default of `llm.max_in_flight`.
const PERMITS: u32 = 16;

/// What a process that was replaced must not change.
const COMMITTED: [&str; 4] = ["samples", "progress", "extractions", "combinations"];

/// The broker gives up a transaction after the transaction timeout, and looks every ten seconds for such.
const MARKERS: Duration = Duration::from_secs(60);

type Samples = BTreeMap<String, Value>;

/// How many samples of each level are to stand, where there are targets.
const TARGETS: [usize; 3] = [13, 9, 10];

fn server(schedule: &Schedule) -> Arc<ScriptedServer> {
    // Which combination holds a question that several ask is a matter of timing, and so would be what is drawn for a target.
    let duplicate_rate = if schedule.targets { 0.0 } else { 0.15 };
    // The latency lets faults meet calls under way.
    let latency = Duration::from_millis(15);
    Arc::new(ScriptedServer::start(Options { duplicate_rate, latency, ..Options::default() }))
}

fn settings(project: Project, schedule: &Schedule) -> Project {
    let withdraw = if schedule.withdraw_changed { "deleted-or-changed" } else { "deleted" };
    let project = project.set("generate.withdraw", &quoted(withdraw)).set("run.peer_timeout", &quoted("4s"));
    let project = project.set("log.partitions", "3").set("log.transaction_timeout", &quoted("40s"));
    let project = if schedule.targets {
        let [level1, level2, level3] = TARGETS;
        let targets = format!("{{ level1 = {level1}, level2 = {level2}, level3 = {level3} }}");
        project.set("sampling.limit", "{}").set("sampling.epochs", "6").set("generate.target", &targets)
    } else {
        project
    };
    project.set("log.replication", "3").set("run.stop_timeout", &quoted("5s"))
}

/// Brings about what a part begins with, and says how many documents that were.
fn begin(project: &Project, part: usize) -> u64 {
    if part == 0 {
        project.ingest(0..14);
        return 14;
    }
    project.ingest(14..17);
    // Document 3 changes: its text is another one's; 4 and 5 go, and 5 comes back.
    project.kcat.produce(
        "documents",
        &id(3),
        Some(crate::project::document(3).to_string().replace("Text", "A text").as_bytes()),
    );
    project.kcat.produce("documents", &id(4), None);
    project.kcat.produce("documents", &id(5), None);
    project.ingest(5..6);
    project.kcat.produce("documents", "bad", Some(b"no document"));
    8
}

/// The samples after each part of a run that nothing befalls, by the way of withdrawing.
fn expected(schedule: &Schedule, world: &World) -> [Samples; 2] {
    static KNOWN: OnceLock<Mutex<BTreeMap<(bool, bool), [Samples; 2]>>> = OnceLock::new();
    let mut known = KNOWN.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
    let calm = || {
        let brokers = world.broker.bootstrap();
        let project = settings(Project::on(brokers, brokers, &unique_prefix("calm"), server(schedule)), schedule).created();
        [0, 1].map(|part| {
            begin(&project, part);
            project.drain();
            project.samples()
        })
    };
    known.entry((schedule.withdraw_changed, schedule.targets)).or_insert_with(calm).clone()
}

/// Runs a schedule.
pub fn run(world: &World, seed: u64) -> Figures {
    let started = Instant::now();
    let schedule = Schedule::of(seed);
    let expected = (!schedule.continuous).then(|| expected(&schedule, world));
    let prefix = unique_prefix(&format!("chaos-{seed}"));
    let project = Project::on(&world.broker.proxied(), world.broker.bootstrap(), &prefix, server(&schedule));
    let project = settings(project, &schedule).created();
    let mut figures = Figures { seed, schedules: 1, ..Figures::default() };
    let mut paid = Paid::default();
    for part in 0..2 {
        figures.documents += begin(&project, part);
        let mut zombies = Vec::new();
        for step in &schedule.parts[part] {
            let wrong = befall(world, &project, step, !schedule.continuous, &mut figures, &mut zombies);
            figures.violations.extend(wrong);
            paid.note(&project);
        }
        if let Err(stalled) = finish(&project, schedule.last[part], &mut figures) {
            // What is not finished can't be judged.
            figures.violations.push(stalled);
            break;
        }
        note_all(&project, &mut paid);
        let expected = expected.as_ref().map(|expected| &expected[part]);
        figures.violations.extend(verdict::of(&project, expected, part == 1, schedule.withdraw_changed));
        if schedule.targets && by_level(&project.samples()) != TARGETS {
            figures.violations.push(format!("{:?} samples stand, not {TARGETS:?}", by_level(&project.samples())));
        }
        figures.violations.extend(paid.asked_again(&project));
        let most = PERMITS * zombies.len() as u32;
        figures.violations.extend(wake(&project, zombies, schedule.continuous));
        let sent = sent_by_zombies(&project, &mut paid);
        if sent > most {
            figures.violations.push(format!(
                "3: replaced processes sent {sent} calls anew, more than the {most} that they held permits for"
            ));
        }
    }
    world.replace_lost();
    let counts = project.server.counts();
    figures.calls = counts.values().map(|count| u64::from(count.requests)).sum();
    figures.lost_in_flight = counts.values().map(|count| u64::from(count.answered.saturating_sub(1))).sum();
    figures.watched = paid.0.len() as u64;
    figures.samples = project.samples().len() as u64;
    figures.seconds = started.elapsed().as_secs();
    figures
}

/// Nothing is left to do, so everything that was asked is committed. Document 5 goes and comes back, which is paid again; and who
/// asks a question first, and so has it answered, may change.
fn note_all(project: &Project, paid: &mut Paid) {
    paid.note(project);
    for (request, count) in project.server.counts() {
        paid.0.entry(request).or_insert(count.requests);
    }
    let returns = |request: &u128| {
        let count = project.server.count(*request);
        count.task == "answer" || count.body.contains("Text 5 ")
    };
    paid.0.retain(|request, _| !returns(request));
}

/// One start with its fault. A process that stalls, or outlives one that is lost, is a violation.
fn befall(
    world: &World,
    project: &Project,
    step: &Step,
    drain: bool,
    figures: &mut Figures,
    zombies: &mut Vec<Running>,
) -> Option<String> {
    let end_at = match &step.fault {
        Fault::EndAt { process, point, nth } => Some((*process, format!("{point}:{nth}"))),
        _ => None,
    };
    figures.starts += step.layout.processes as u64;
    figures.kills += u64::from(step.fault.kills());
    *figures.faults.entry(step.fault.kind().to_owned()).or_default() += 1;
    let wanted = project.server.seen().len() + step.after;
    let mut fleet = Fleet::start(project, step.layout, drain, end_at);
    fleet.wait_until(AT_THE_LATEST, || project.server.seen().len() >= wanted);
    apply(world, project, &mut fleet, &step.fault, zombies);
    if !drain {
        // Without a drain it goes on for ever: it is told to stop once the fault is over.
        fleet.wait_until(Duration::from_secs(3), || false);
        fleet.stop();
    }
    if matches!(step.fault, Fault::RefusingModel { .. }) {
        // Where one call is made after the other, and each waits longer than the last, all its refusals would take very long.
        fleet.wait_until(AT_THE_LATEST, || false);
        project.server.forget_rules();
    }
    let outcome = fleet.wait();
    world.mend();
    outcome.err().map(|stalled| format!("{:?} of {:?}: {stalled}", step.fault, step.layout))
}

/// Lets the fault happen, and lifts those that have a length.
fn apply(world: &World, project: &Project, fleet: &mut Fleet, fault: &Fault, zombies: &mut Vec<Running>) {
    let link = |node: u32| &world.links[node as usize - 1];
    let count = fleet.runs.len();
    match fault {
        Fault::EndAt { .. } => {}
        Fault::Kill { process } => fleet.runs[process % count].kill(),
        Fault::Freeze { process } => {
            let mut run = fleet.runs.remove(process % count);
            if owns_its_shards(&mut run) {
                run.signal("STOP");
                zombies.push(run);
            }
        }
        Fault::Stop { process } => {
            let run = &mut fleet.runs[process % count];
            if run.ended().is_none() {
                run.signal("TERM");
            }
        }
        Fault::KillBroker { node } => {
            world.broker.kill(*node, "KILL");
            fleet.wait_until(Duration::from_secs(2), || false);
            world.broker.up(*node);
        }
        Fault::FreezeBroker { node, length } => {
            world.broker.kill(*node, "STOP");
            fleet.wait_until(*length, || false);
            world.broker.kill(*node, "CONT");
        }
        Fault::FillBroker { node } => {
            world.broker.fill(*node);
            world.broker.up(*node);
        }
        Fault::LoseBroker { node } => world.lose(*node),
        Fault::CutBroker { node, length } => {
            link(*node).set(Link::Cut);
            fleet.wait_until(*length, || false);
            link(*node).set(Link::Open);
        }
        Fault::SlowBroker { node, delay } => link(*node).set(Link::Slow(*delay)),
        Fault::CutLink { from, to } => break_link(fleet, (*from, *to), Link::Cut),
        Fault::FreezeLink { from, to } => break_link(fleet, (*from, *to), Link::Frozen),
        Fault::SilentModel { length } => {
            project.server.pause();
            fleet.wait_until(*length, || false);
            project.server.resume();
        }
        Fault::RefusingModel { status: 429, times } => {
            project.server.add_rule(Rule::first(*times, ModelFault::TooManyRequests(Some(RetryAfter::Seconds(0)))));
        }
        Fault::RefusingModel { status, times } => {
            project.server.add_rule(Rule::first(*times, ModelFault::Status(*status, "scripted".into())));
        }
    }
}

/// Waits until a process has begun a role. One that is frozen before is a late start when it wakes, not a zombie: it is killed instead.
fn owns_its_shards(run: &mut Running) -> bool {
    let begins = |run: &Running| run.said().contains("the role has its state and begins");
    until(AT_THE_LATEST, || begins(run) || run.ended().is_some()) && begins(run) && run.ended().is_none()
}

/// A link between two processes breaks for longer than their patience, and is mended.
fn break_link(fleet: &mut Fleet, (from, to): (usize, usize), how: Link) {
    fleet.set_link(from, to, how);
    fleet.wait_until(Duration::from_secs(8), || false);
    fleet.set_link(from, to, Link::Open);
}

/// Starts until one start ends well.
fn finish(project: &Project, layout: Layout, figures: &mut Figures) -> Result<(), String> {
    let mut said = String::new();
    for _ in 0..ATTEMPTS {
        figures.starts += layout.processes as u64;
        let mut fleet = Fleet::start(project, layout, true, None);
        let ended = fleet.wait()?;
        if ended.iter().all(std::process::ExitStatus::success) {
            return Ok(());
        }
        said = fleet.runs.iter().map(Running::said).collect();
    }
    Err(format!("no start of {ATTEMPTS} ends well: {said}"))
}

/// What was asked again by processes that woke: calls that were under way when they froze may time out then, and are sent anew before
/// the next commit tells that they were replaced (invariant 3 allows a zombie what it held permits for). From now on it counts as asked.
fn sent_by_zombies(project: &Project, paid: &mut Paid) -> u32 {
    let mut sent = 0;
    for (request, before) in &mut paid.0 {
        let now = project.server.count(*request).requests;
        sent += now - std::mem::replace(before, now);
    }
    sent
}

/// A process that was replaced wakes up: it must end, and nothing that is committed may change.
fn wake(project: &Project, zombies: Vec<Running>, continuous: bool) -> Vec<String> {
    let mut wrong = Vec::new();
    let committed = |project: &Project| COMMITTED.map(|log| project.kcat.read(log));
    for zombie in zombies {
        // A commit is known to the writer before all partitions have its marker: what came before must not look like the zombie's.
        if !until(MARKERS, || COMMITTED.iter().all(|log| project.kcat.is_decided(log))) {
            wrong.push("4: a transaction stays open after its writer was replaced".to_owned());
        }
        let before = committed(project);
        zombie.signal("CONT");
        if continuous {
            // It may have done all there was before it froze. Then only something to commit, here an unchanged document, tells it.
            project.ingest(0..1);
        }
        let mut fleet = Fleet::of(vec![zombie]);
        match fleet.wait() {
            Ok(ended) if ended.iter().all(|status| !status.success()) => {}
            Ok(_) => wrong.push(format!("4: a replaced process ended well: {}", fleet.runs[0].said())),
            Err(stalled) => wrong.push(format!("4: a replaced process goes on: {stalled}")),
        }
        for ((log, before), after) in COMMITTED.iter().zip(before).zip(committed(project)) {
            let more: Vec<_> = after.iter().filter(|record| !before.contains(record)).collect();
            let may_go = |record: &Record| *log == "combinations" && is_trimmed(record, &after);
            let less = before.iter().filter(|record| !after.contains(record) && !may_go(record)).count();
            if !more.is_empty() || less > 0 {
                wrong.push(format!("4: a replaced process wrote to {log}: {less} records fewer and {more:?}"));
            }
        }
    }
    wrong
}

/// Whether a record that is gone was removed from the front of its partition. That is no commit: a process that wakes may still trim
/// `combinations` below what generate has committed, as its owner did before.
fn is_trimmed(gone: &Record, after: &[Record]) -> bool {
    after.iter().all(|record| record.partition != gone.partition || record.offset > gone.offset)
}
