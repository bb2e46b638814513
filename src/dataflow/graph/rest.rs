//! When everything that generate withdraws is known, in a run that drains both roles: until then no target is taken for met, and no
//! combination is issued that may bring less than others.
//!
//! All workers of generate say twice that they have read `extractions` and owe nothing. After the first time nothing is left to be read,
//! so what one still owes to another's reading is there before the second; then `progress` is read to its end.

use std::collections::BTreeMap;

use anyhow::Result;
use synthllm_log::LogName;
use timely::worker::Worker;

use super::super::Context;
use super::super::clock::Barrier;
use super::watch::Watch;

/// The two times; nothing where nobody waits.
pub(super) struct Rest(Option<Times>);

struct Times {
    first: Barrier,
    second: Barrier,
    /// Where `progress` ended after the second.
    ends: Option<BTreeMap<u32, u64>>,
}

impl Rest {
    /// Every worker must make it in the same place of its start.
    pub(super) fn new(worker: &mut Worker, context: &Context) -> Self {
        let waits = context.drain && context.generates && !context.config.generate.target.is_empty();
        Rest(waits.then(|| Times { first: Barrier::new(worker), second: Barrier::new(worker), ends: None }))
    }

    /// Whether generate, on this worker, has withdrawn what it must, as far as it knows.
    pub(super) fn turn(&mut self, context: &Context, withdrawn: bool) -> Result<()> {
        let Some(times) = self.0.as_mut().filter(|times| times.ends.is_none()) else { return Ok(()) };
        if times.second.passed() {
            let partitions: Vec<u32> = (0..context.log.partitions(LogName::Progress)?).collect();
            times.ends = Some(context.ends_now(LogName::Progress, &partitions)?);
        } else if withdrawn {
            if times.first.passed() { times.second.arrive() } else { times.first.arrive() }
        }
        Ok(())
    }

    /// Whether it is known.
    pub(super) fn is_known(&self, watch: &Watch) -> bool {
        let known = |times: &Times| times.ends.as_ref().is_some_and(|ends| watch.has_read(ends));
        self.0.as_ref().is_none_or(known)
    }
}
