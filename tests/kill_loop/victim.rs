//! One run that is killed again and again.

use std::time::{Duration, Instant};

use fastrand::Rng;
use synthllm_testkit::judge;
use synthllm_testkit::project::Project;

use crate::Figures;
use crate::scenario::{Expected, Part, Scenario, State};
use crate::watch::Watch;

/// The points at which the program can be told to abort.
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

/// Runs a scenario with kills by seed. Returns what happened, and everything that was wrong.
pub fn disturbed(seed: u64, scenario: Scenario, expected: &Expected) -> (Figures, Vec<String>) {
    let mut random = Rng::with_seed(seed);
    let server = scenario.server();
    let project = scenario.project(&server);
    let mut watch = Watch::new(&server, &project, &expected.contested);
    let mut figures = Figures { runs: 1, documents: scenario.documents() + 2, ..Figures::default() };
    let mut wrong = Vec::new();
    for (part, expected_state) in Part::ALL.into_iter().zip(&expected.states) {
        scenario.begin(part, &project);
        for _ in 0..random.u32(1..4) {
            match disturb(&project, &mut random, expected.took) {
                Disturbed::Killed => figures.kills += 1,
                Disturbed::Aborted => figures.aborts += 1,
                Disturbed::Ended => {}
                Disturbed::Failed(errors) => wrong.push(errors),
            }
            watch.look();
        }
        let last = project.execute(&["run", "--drain", "--workers", &workers(&mut random)]);
        if !last.status.success() {
            wrong.push(format!("{part:?}: the last run failed: {}", synthllm_testkit::project::stderr(&last)));
            return (figures, wrong);
        }
        watch.look();
        wrong
            .extend(judge::violations(&project.logs(), scenario.withdraw()).into_iter().map(|it| format!("{part:?}: {it}")));
        wrong.extend(differences(part, &Scenario::state(part, &project, &expected.contested), expected_state));
    }
    figures.samples = project.logs().samples().len() as u64;
    (figures.calls, figures.lost_in_flight) = watch.calls();
    figures.watched = watch.watched();
    wrong.extend(watch.paid_twice);
    (figures, wrong)
}

enum Disturbed {
    Killed,
    Aborted,
    Ended,
    Failed(String),
}

/// Starts the program and ends it at a random moment, or lets it abort at a named point.
fn disturb(project: &Project, random: &mut Rng, usual: Duration) -> Disturbed {
    let workers = workers(random);
    let mut command = project.command();
    command.args(["run", "--drain", "--workers", &workers]);
    if random.u32(0..3) == 0 {
        let point = random.choice(POINTS).expect("there are points");
        command.env("SYNTHLLM_FAULT", format!("{point}:{}", random.u32(1..16)));
        let output = command.output().expect("the program starts");
        return match output.status.code() {
            Some(0) => Disturbed::Ended,
            None => Disturbed::Aborted,
            Some(code) => Disturbed::Failed(format!("exit code {code}: {}", synthllm_testkit::project::stderr(&output))),
        };
    }
    let moment = usual.mul_f64(random.f64());
    let mut run = project.spawn(command);
    let started = Instant::now();
    // The moment is the disturbance itself: nothing waits for anything here.
    while started.elapsed() < moment && run.is_running() {
        std::thread::sleep(Duration::from_millis(1));
    }
    if run.kill() { Disturbed::Killed } else { Disturbed::Ended }
}

fn workers(random: &mut Rng) -> String {
    random.u32(1..4).to_string()
}

/// Where a state is not the one of the undisturbed run.
fn differences(part: Part, found: &State, expected: &State) -> Vec<String> {
    let mut wrong = Vec::new();
    for (question, sample) in &expected.samples {
        match found.samples.get(question) {
            None => wrong.push(format!("{part:?}: lost: {question}")),
            Some(other) if other != sample => wrong.push(format!("{part:?}: not the same: {other:?} instead of {sample:?}")),
            Some(_) => {}
        }
    }
    let more = found.samples.keys().filter(|question| !expected.samples.contains_key(*question));
    wrong.extend(more.map(|question| format!("{part:?}: nobody else asks: {question}")));
    for (id, combination) in &expected.combinations {
        if found.combinations.get(id) != Some(combination) {
            wrong.push(format!("{part:?}: combination {id}: {:?} instead of {combination:?}", found.combinations.get(id)));
        }
    }
    let more = found.combinations.keys().filter(|id| !expected.combinations.contains_key(*id));
    wrong.extend(more.map(|id| format!("{part:?}: nobody else draws combination {id}")));
    wrong
}
