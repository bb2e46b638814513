//! The kill loop: the real program is killed at random moments and at the named points of the commit protocol, started again until
//! it has drained, and judged: the output is that of a run that nobody disturbed, and nothing is paid for twice.
//!
//! `KILL_LOOP_SEEDS=a..b` runs other seeds than `0..100`. A seed fixes the corpus, the moments and the numbers of workers; the
//! scheduling of threads remains the machine's.

mod scenario;
mod victim;
mod watch;

use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use scenario::{Expected, SCENARIOS, Scenario};

/// Runs at the same time. They wait for the disk and the server more than they compute.
const AT_ONCE: usize = 4;

/// What happened in one disturbed run, or in all.
#[derive(Default, Debug)]
struct Figures {
    runs: u64,
    kills: u64,
    aborts: u64,
    documents: u64,
    samples: u64,
    calls: u64,
    /// Calls that repeated one whose answer was in no committed transaction when the program was killed.
    lost_in_flight: u64,
    /// Requests whose answer was seen to be committed, and that must not be repeated.
    watched: u64,
}

impl std::ops::AddAssign for Figures {
    fn add_assign(&mut self, other: Self) {
        self.runs += other.runs;
        self.kills += other.kills;
        self.aborts += other.aborts;
        self.documents += other.documents;
        self.samples += other.samples;
        self.calls += other.calls;
        self.lost_in_flight += other.lost_in_flight;
        self.watched += other.watched;
    }
}

#[test]
fn whenever_it_is_killed_the_samples_are_those_of_an_undisturbed_run() {
    let seeds = seeds();
    let expected: Vec<(Scenario, Expected)> = (0..SCENARIOS).map(Scenario::new).map(|it| (it, it.undisturbed())).collect();
    let next = AtomicU64::new(seeds.start);
    let outcome = Mutex::new((Figures::default(), Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(seed) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|seed| seeds.contains(seed)) {
                    let (scenario, expected) = &expected[(seed % SCENARIOS) as usize];
                    let (figures, wrong) = victim::disturbed(seed, *scenario, expected);
                    let mut outcome = outcome.lock().expect("no run panics while it reports");
                    outcome.0 += figures;
                    outcome.1.extend(wrong.into_iter().map(|wrong| format!("seed {seed}: {wrong}")));
                }
            });
        }
    });
    let (figures, wrong) = outcome.into_inner().expect("no run panics while it reports");
    println!("kill loop: {figures:?}; {} violations", wrong.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(figures.kills + figures.aborts >= figures.runs, "too few runs were disturbed: {figures:?}");
    assert!(2 * figures.watched > figures.calls, "too few answers were seen to be committed: {figures:?}");
}

fn seeds() -> Range<u64> {
    let Ok(text) = std::env::var("KILL_LOOP_SEEDS") else {
        return 0..100;
    };
    let bounds = text.split_once("..").and_then(|(start, end)| Some(start.parse().ok()?..end.parse().ok()?));
    bounds.expect("KILL_LOOP_SEEDS is a range like 100..400")
}
