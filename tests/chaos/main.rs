//! The fault suite: three real brokers, up to three processes, and a scripted model server, under seeded schedules of faults, judged
//! by `kcat` and by the server's counts.
//!
//! A schedule brings documents, then changes; each part is run under faults and then drained. `make chaos` runs more schedules
//! than the tests do: `CHAOS_SEEDS=a..b` names them, `CHAOS_RESULTS=FILE` keeps a line of JSON for each, and one that has its line
//! there is not run again; `CHAOS_MINUTES` ends it before the next schedule. A seed fixes the schedule; the scheduling of threads
//! remains the machine's.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod figures;
mod fleet;
mod schedule;
mod story;
mod verdict;
mod world;

#[path = "../kafka_pipeline/kcat.rs"]
mod kcat;
#[path = "../kafka_pipeline/project.rs"]
#[allow(dead_code, reason = "shared with the tests on Kafka, which need more of it")]
mod project;
#[path = "../kafka_pipeline/running.rs"]
#[allow(dead_code, reason = "shared with the tests on Kafka, which need more of it")]
mod running;
#[path = "../kafka_pipeline/verdict.rs"]
mod verdict_on_logs;

use std::ops::Range;
use std::time::{Duration, Instant};

use figures::{Figures, Results};
use world::World;

/// So many schedules belong to the tests.
const FEW: Range<u64> = 0..6;

/// And so long they may take together: no schedule begins after it.
const MINUTES: u64 = 10;

#[test]
fn whatever_breaks_the_invariants_stand() {
    let Some(world) = World::new() else { return };
    let (seeds, mut results) = (seeds(), Results::open(std::env::var_os("CHAOS_RESULTS")));
    let deadline = Instant::now() + Duration::from_secs(60 * number("CHAOS_MINUTES").unwrap_or(MINUTES));
    let mut passed = 0;
    for seed in seeds.clone() {
        if results.has(seed) {
            continue;
        }
        if passed > 0 && Instant::now() >= deadline {
            eprintln!("chaos: out of time before schedule {seed}");
            break;
        }
        let figures = story::run(&world, seed);
        eprintln!("chaos: schedule {seed}: {figures}");
        assert!(figures.violations.is_empty(), "schedule {seed}:\n{}", figures.violations.join("\n"));
        results.add(&figures);
        passed += 1;
    }
    let total = results.all().into_iter().fold(Figures::default(), Figures::plus);
    eprintln!("chaos: {passed} schedules of {seeds:?} passed now; all that stand in the results: {total}");
    assert!(results.any(), "no schedule was run");
}

fn seeds() -> Range<u64> {
    let Ok(text) = std::env::var("CHAOS_SEEDS") else { return FEW };
    let bounds = text.split_once("..").and_then(|(start, end)| Some(start.parse().ok()?..end.parse().ok()?));
    bounds.expect("CHAOS_SEEDS is a range like 0..200")
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("CHAOS_MINUTES is a number"))
}
