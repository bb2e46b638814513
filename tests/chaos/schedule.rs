//! What is done to a pipeline, as a function of the seed.

use std::time::Duration;

use crate::world::BROKERS;

/// The named points of the commit protocol at which a process can be ended.
pub const POINTS: [&str; 9] = [
    "fenced",
    "state loaded",
    "gate open",
    "snapshot taken",
    "outputs produced",
    "journal produced",
    "before commit",
    "commit confirmed",
    "trimmed",
];

/// How many processes with how many workers each.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    pub processes: usize,
    pub workers: usize,
}

/// A fault. Times are lengths of the fault, not of anything that is judged.
#[derive(Clone, Debug)]
pub enum Fault {
    /// A process ends at a named point, the so-many-th time that it is reached.
    EndAt { process: usize, point: &'static str, nth: u64 },
    /// `kill -9` of a process.
    Kill { process: usize },
    /// A process stands still, is replaced, and wakes when the others have finished.
    Freeze { process: usize },
    /// `SIGTERM` of a process.
    Stop { process: usize },
    /// `kill -9` of a broker, which comes back.
    KillBroker { node: u32 },
    /// A broker stands still for so long that the others give it up.
    FreezeBroker { node: u32, length: Duration },
    /// A broker's disk is full, so that it ends; it comes back with more room.
    FillBroker { node: u32 },
    /// A broker is lost with its data, until the schedule is over.
    LoseBroker { node: u32 },
    /// No process reaches a broker.
    CutBroker { node: u32, length: Duration },
    /// All processes reach a broker slowly.
    SlowBroker { node: u32, delay: Duration },
    /// Two processes don't reach each other.
    CutLink { from: usize, to: usize },
    /// Nothing passes between two processes.
    FreezeLink { from: usize, to: usize },
    /// The model server answers nobody for a while.
    SilentModel { length: Duration },
    /// The model server refuses so many requests.
    RefusingModel { status: u16, times: u32 },
}

impl Fault {
    /// For the figures.
    pub fn kind(&self) -> &'static str {
        match self {
            Fault::EndAt { .. } => "process ended at a point",
            Fault::Kill { .. } => "process killed",
            Fault::Freeze { .. } => "process frozen",
            Fault::Stop { .. } => "process stopped",
            Fault::KillBroker { .. } => "broker killed",
            Fault::FreezeBroker { .. } => "broker frozen",
            Fault::FillBroker { .. } => "broker's disk full",
            Fault::LoseBroker { .. } => "broker lost for good",
            Fault::CutBroker { .. } => "broker cut off",
            Fault::SlowBroker { .. } => "broker slow",
            Fault::CutLink { .. } => "processes cut off",
            Fault::FreezeLink { .. } => "link frozen",
            Fault::SilentModel { .. } => "model silent",
            Fault::RefusingModel { status: 429, .. } => "429 storm",
            Fault::RefusingModel { .. } => "model down",
        }
    }

    /// Whether it ends a process the hard way.
    pub fn kills(&self) -> bool {
        matches!(self, Fault::EndAt { .. } | Fault::Kill { .. } | Fault::Freeze { .. })
    }
}

/// One start of the program, and what befalls it.
#[derive(Clone, Debug)]
pub struct Step {
    pub layout: Layout,
    pub fault: Fault,
    /// The fault comes when the model server has seen so many more requests.
    pub after: usize,
}

/// What a seed stands for.
pub struct Schedule {
    /// The steps of each part: documents, changes.
    pub parts: [Vec<Step>; 2],
    /// The last start of each part, which nothing befalls.
    pub last: [Layout; 2],
    /// Whether draws are made while documents arrive; then only the invariants are judged.
    pub continuous: bool,
    /// Whether changes withdraw, too.
    pub withdraw_changed: bool,
    /// Whether each level has a target of samples.
    pub targets: bool,
}

impl Schedule {
    /// The schedule of a seed.
    pub fn of(seed: u64) -> Schedule {
        let mut random = fastrand::Rng::with_seed(seed ^ 0x5eed_0000);
        // Each kind has its turn: the first fault of a schedule goes by its number.
        let first = step(&mut random, seed);
        let mut parts = [vec![first], Vec::new()];
        for part in &mut parts {
            for _ in 0..random.usize(1..3) {
                let kind = random.u64(..);
                part.push(step(&mut random, kind));
            }
        }
        let last = [layout(&mut random), layout(&mut random)];
        if seed % 5 == 4 {
            // It comes last: a second broker that goes while this one is away is one too many for two replicas in sync.
            parts[1].push(broker_goes(&mut random, seed / 5));
        }
        let (continuous, withdraw_changed) = (seed % 4 == 3, seed % 2 == 1);
        Schedule { parts, last, continuous, withdraw_changed, targets: seed % 3 == 2 }
    }
}

fn layout(random: &mut fastrand::Rng) -> Layout {
    Layout { processes: random.usize(1..=3), workers: random.usize(1..=2) }
}

fn step(random: &mut fastrand::Rng, kind: u64) -> Step {
    let mut layout = layout(random);
    let fault = fault(random, kind);
    if matches!(fault, Fault::CutLink { .. } | Fault::FreezeLink { .. }) {
        layout.processes = 3;
    }
    Step { layout, fault, after: random.usize(0..24) }
}

fn broker_goes(random: &mut fastrand::Rng, turn: u64) -> Step {
    let node = random.u32(1..=BROKERS);
    let fault = if turn.is_multiple_of(2) { Fault::FillBroker { node } } else { Fault::LoseBroker { node } };
    Step { layout: layout(random), fault, after: random.usize(0..24) }
}

fn fault(random: &mut fastrand::Rng, kind: u64) -> Fault {
    let node = random.u32(1..=BROKERS);
    let process = random.usize(0..3);
    let length = Duration::from_millis(random.u64(500..4_000));
    let (from, to) = *random.choice([(1, 0), (2, 0), (2, 1)].iter()).expect("there are three links");
    match kind % 15 {
        0..=2 => {
            let (point, nth) = (POINTS[random.usize(..POINTS.len())], random.u64(1..6));
            Fault::EndAt { process, point, nth }
        }
        3 | 4 => Fault::Kill { process },
        5 => Fault::Freeze { process },
        6 => Fault::Stop { process },
        7 => Fault::KillBroker { node },
        8 => Fault::FreezeBroker { node, length: length + Duration::from_secs(7) },
        9 => Fault::CutBroker { node, length },
        10 => Fault::SlowBroker { node, delay: Duration::from_millis(random.u64(5..60)) },
        11 => Fault::CutLink { from, to },
        12 => Fault::FreezeLink { from, to },
        13 => Fault::SilentModel { length },
        _ if random.bool() => Fault::RefusingModel { status: 429, times: random.u32(5..60) },
        _ => Fault::RefusingModel { status: 503, times: random.u32(5..30) },
    }
}
