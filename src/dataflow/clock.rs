//! The clock of epochs, and the barrier at which all workers of a run meet.

use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Result;

use timely::dataflow::operators::{Input, Probe};
use timely::dataflow::{InputHandleVec, ProbeHandle};
use timely::worker::Worker;

use super::Context;

/// Epochs are microseconds since 1970, never going back: one clock for all sources of a run, also across machines, where a
/// skew only delays commits. An epoch is never durable (protocol.md, "Words").
#[derive(Debug)]
pub struct Clock {
    now: u64,
    ticked: Option<Instant>,
}

impl Default for Clock {
    /// A clock that begins at the gate.
    fn default() -> Self {
        Clock { now: Clock::GATE, ticked: None }
    }
}

impl Clock {
    /// The first epoch after the gate; epoch 0 is for the state that is loaded before it opens. It is the same on all workers: one
    /// that waited for an epoch of its own clock would wait for another that is past its gate and busy with the next role.
    pub const GATE: u64 = 1;

    /// The epoch of what is done now: later than all epochs before when the last tick is at least `pace` ago, else the last one
    /// still. Each end of an epoch is told to all workers and wakes them: workers that ended one at every turn would keep each other
    /// awake, and a run that waits would use whole cores.
    pub fn tick(&mut self, pace: Duration) -> u64 {
        if self.ticked.is_none_or(|ticked| ticked.elapsed() >= pace) {
            self.ticked = Some(Instant::now());
            self.now = unix_micros().max(self.now + 1);
        }
        self.now
    }

    /// The epoch after the last one, for what is read behind it in the same turn.
    pub fn next_epoch(&mut self) -> u64 {
        self.now += 1;
        self.now
    }
}

/// Microseconds since 1970; 0 before.
pub fn unix_micros() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_micros() as u64)
}

/// The day in UTC, as days since 1970. In tests `SYNTHLLM_TODAY` stands in for the clock.
pub fn today() -> u64 {
    static SET: OnceLock<Option<u64>> = OnceLock::new();
    let set = SET.get_or_init(|| std::env::var("SYNTHLLM_TODAY").ok()?.parse().ok());
    set.unwrap_or_else(|| unix_micros() / (24 * 60 * 60 * 1_000_000))
}

/// A point that is passed once every worker of the run has arrived, in this process and in the others.
pub struct Barrier {
    input: Option<InputHandleVec<u64, ()>>,
    probe: ProbeHandle<u64>,
}

impl Barrier {
    /// Every worker must create its barriers in the same order.
    pub fn new(worker: &mut Worker) -> Self {
        let mut input = InputHandleVec::new();
        let probe = worker.dataflow(|scope| scope.input_from(&mut input).probe().0);
        Barrier { input: Some(input), probe }
    }

    /// This worker has arrived. Further calls do nothing.
    pub fn arrive(&mut self) {
        self.input = None;
    }

    /// Whether all workers have arrived.
    pub fn passed(&self) -> bool {
        self.probe.done()
    }

    /// Arrives, and steps the worker until all others have.
    pub fn wait(mut self, worker: &mut Worker, context: &Context) -> Result<()> {
        self.arrive();
        while !self.passed() {
            context.step(worker)?;
        }
        Ok(())
    }
}
