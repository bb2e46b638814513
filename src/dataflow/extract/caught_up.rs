//! When the shards were last at the end of `documents`: it tells whether the log may have forgotten a deletion since.
//!
//! A shard is at the end of the moment at which the end was asked once its committed position has reached that end. That time
//! counts only if no tombstone can have gone on the way: else the shard must be reconciled first.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use synthllm_log::LogName;
use synthllm_operators::reconcile::is_due;
use synthllm_operators::record::ShardProgress;

use super::super::Context;
use super::super::clock::unix_micros;

/// The ends are asked for at most so often, and four times in the life of a tombstone at least.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);
/// How often the retention is asked for: it can be changed while a run goes on.
const RETENTION_INTERVAL: Duration = Duration::from_secs(60);
/// A shard without other news commits the time so often, or eight times in the life of a tombstone; but not every moment.
const COMMIT_INTERVAL: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(60 * 60));

/// Of all shards of this worker.
pub(super) struct CaughtUp {
    forgets_after: Option<Duration>,
    asked: Instant,
    looked: Option<Instant>,
    shards: BTreeMap<u32, Shard>,
}

struct Shard {
    /// Seconds since 1970.
    at: u64,
    /// An end that is not reached yet, and when it was asked for.
    look: Option<(u64, u64)>,
}

impl CaughtUp {
    /// From what is committed. A shard that has never committed has missed nothing: it knows no document.
    pub(super) fn start<'a>(context: &Context, shards: impl Iterator<Item = (u32, &'a ShardProgress)>) -> Self {
        let at = |progress: &ShardProgress| {
            let is_new = progress.position == 0 && progress.caught_up_at == 0;
            if is_new { now() } else { progress.caught_up_at }
        };
        let shards = shards.map(|(number, progress)| (number, Shard { at: at(progress), look: None })).collect();
        let mut caught_up = CaughtUp { forgets_after: None, asked: Instant::now(), looked: None, shards };
        caught_up.ask_retention(context);
        caught_up
    }

    /// Where it can't be told, nothing is taken for deleted.
    fn ask_retention(&mut self, context: &Context) {
        self.asked = Instant::now();
        match context.log.retention_of_documents() {
            Ok(retention) => self.forgets_after = retention.absence_means_deleted_after(),
            Err(error) => context.counters.retention_unknown(&error.to_string()),
        }
    }

    /// Asks the log for its ends, now and then.
    pub(super) fn look(&mut self, context: &Context) {
        if self.asked.elapsed() >= RETENTION_INTERVAL {
            self.ask_retention(context);
        }
        let interval = self.forgets_after.map_or(LOOK_INTERVAL, |time| LOOK_INTERVAL.min(time / 4));
        if self.looked.is_some_and(|looked| looked.elapsed() < interval.max(context.config.run.commit_interval)) {
            return;
        }
        self.looked = Some(Instant::now());
        for (&number, shard) in self.shards.iter_mut().filter(|(_, shard)| shard.look.is_none()) {
            let at = now();
            // A broker that does not answer now is asked again.
            shard.look = context.log.end(LogName::Documents, number).ok().map(|end| (at, end));
        }
    }

    /// A shard commits this position: when it was last at the end.
    pub(super) fn commits(&mut self, number: u32, position: u64) -> u64 {
        let Some(shard) = self.shards.get_mut(&number) else { return 0 };
        if let Some((at, end)) = shard.look
            && position >= end
            && !is_due(shard.at, now(), self.forgets_after)
        {
            (shard.at, shard.look) = (at, None);
        }
        shard.at
    }

    /// A shard has been reconciled with what stood at this time.
    pub(super) fn reconciled(&mut self, number: u32, at: u64) {
        self.shards.insert(number, Shard { at, look: None });
    }

    /// The shards that may have missed a deletion.
    pub(super) fn due(&self) -> Vec<u32> {
        let now = now();
        let due = self.shards.iter().filter(|(_, shard)| is_due(shard.at, now, self.forgets_after));
        due.map(|(number, _)| *number).collect()
    }

    /// Whether the time that a shard has committed is old, and there is a better one.
    pub(super) fn has_news(&mut self, number: u32, progress: &ShardProgress) -> bool {
        let Some(time) = self.forgets_after.filter(|_| progress.position > 0) else { return false };
        let interval = (time / 8).clamp(COMMIT_INTERVAL.0, COMMIT_INTERVAL.1);
        self.commits(number, progress.position) > progress.caught_up_at.saturating_add(interval.as_secs())
    }
}

/// Seconds since 1970.
pub(super) fn now() -> u64 {
    unix_micros() / 1_000_000
}
