//! What the roles tell the status line: how far they are with reading their state, and how long their commits take.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use synthllm_operators::record::Role;

/// Written by the workers, read by the status line.
#[derive(Default)]
pub struct Board {
    /// Of all workers; one that is dropped has read what it had to.
    loaders: Mutex<Vec<Weak<Share>>>,
    committers: Mutex<Vec<Weak<Commits>>>,
    missing: Mutex<Option<String>>,
}

/// A worker's share of a role's state, while it is read.
struct Share {
    role: Role,
    since: Instant,
    read: AtomicU64,
    total: AtomicU64,
}

/// With this a worker tells how far it is; the share counts until it is dropped.
pub struct Loading(Arc<Share>);

impl Loading {
    /// So many records were read, of how many.
    pub fn is_at(&self, read: u64, total: u64) {
        self.0.read.store(read, Relaxed);
        self.0.total.store(total, Relaxed);
    }
}

/// How far a role is with its state, over all workers of the process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Loaded {
    /// The role.
    pub role: Role,
    /// Records read.
    pub read: u64,
    /// Of so many.
    pub total: u64,
    /// How long the rest takes at the pace so far.
    pub left: Option<Duration>,
}

/// The commits of a role on a worker.
struct Commits {
    role: Role,
    under_way: Mutex<Option<Instant>>,
}

/// With this a worker tells since when its oldest commit is under way; it counts until it is dropped.
pub struct Committing(Arc<Commits>);

impl Committing {
    /// The oldest commit is under way since then, if one is.
    pub fn since(&self, began: Option<Instant>) {
        *self.0.under_way.lock().unwrap_or_else(PoisonError::into_inner) = began;
    }
}

impl Board {
    /// A worker begins to read its share of a role's state.
    pub fn loading(&self, role: Role) -> Loading {
        let share = Share { role, since: Instant::now(), read: AtomicU64::new(0), total: AtomicU64::new(0) };
        let share = Arc::new(share);
        self.loaders().push(Arc::downgrade(&share));
        Loading(share)
    }

    /// What is being loaded, if something is.
    pub fn now_loading(&self) -> Option<Loaded> {
        let mut loaders = self.loaders();
        loaders.retain(|loader| loader.strong_count() > 0);
        let shares: Vec<Arc<Share>> = loaders.iter().filter_map(Weak::upgrade).collect();
        let role = shares.iter().find(|share| share.total.load(Relaxed) > 0)?.role;
        let shares = || shares.iter().filter(|share| share.role == role);
        let read = shares().map(|share| share.read.load(Relaxed)).sum();
        let total = shares().map(|share| share.total.load(Relaxed)).sum();
        let elapsed = shares().map(|share| share.since.elapsed()).max()?;
        Some(Loaded { role, read, total, left: time_left(elapsed, read, total) })
    }

    /// A worker begins to commit for a role.
    pub fn committing(&self, role: Role) -> Committing {
        let commits = Arc::new(Commits { role, under_way: Mutex::default() });
        self.committers().push(Arc::downgrade(&commits));
        Committing(commits)
    }

    /// The role whose commit has been under way for the longest time, if one is.
    pub fn oldest_commit(&self) -> Option<(Role, Duration)> {
        let mut committers = self.committers();
        committers.retain(|commits| commits.strong_count() > 0);
        let ages = committers.iter().filter_map(Weak::upgrade).filter_map(|commits| {
            let began = *commits.under_way.lock().unwrap_or_else(PoisonError::into_inner);
            Some((commits.role, began?.elapsed()))
        });
        ages.max_by_key(|(_, age)| *age)
    }

    fn committers(&self) -> MutexGuard<'_, Vec<Weak<Commits>>> {
        self.committers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn loaders(&self) -> MutexGuard<'_, Vec<Weak<Share>>> {
        self.loaders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Which processes of the cluster are waited for, before it has formed.
    pub fn missing(&self, processes: Option<String>) {
        *self.missing.lock().unwrap_or_else(PoisonError::into_inner) = processes;
    }

    /// See [`Board::missing`].
    pub fn is_missing(&self) -> Option<String> {
        self.missing.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn time_left(elapsed: Duration, read: u64, total: u64) -> Option<Duration> {
    (read > 0).then(|| elapsed.mul_f64(total.saturating_sub(read) as f64 / read as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loading_is_told_over_all_workers_until_they_are_done() {
        let board = Board::default();
        let shares = [board.loading(Role::Graph), board.loading(Role::Graph)];
        assert_eq!(board.now_loading(), None);
        shares[0].is_at(10, 40);
        shares[1].is_at(20, 20);
        let loaded = board.now_loading().expect("a share is being read");
        assert_eq!((loaded.role, loaded.read, loaded.total), (Role::Graph, 30, 60));
        assert!(loaded.left.is_some());
        drop(shares);
        assert_eq!(board.now_loading(), None);
    }

    #[test]
    fn the_oldest_commit_is_told_while_it_is_under_way() {
        let (board, now) = (Board::default(), Instant::now());
        let (extract, graph) = (board.committing(Role::Extract), board.committing(Role::Graph));
        assert_eq!(board.oldest_commit(), None);
        graph.since(Some(now));
        extract.since(Some(now.checked_sub(Duration::from_secs(9)).expect("the machine runs for longer")));
        assert!(board.oldest_commit().is_some_and(|(role, age)| role == Role::Extract && age.as_secs() >= 9));
        extract.since(None);
        assert!(board.oldest_commit().is_some_and(|(role, _)| role == Role::Graph));
        drop(graph);
        assert_eq!(board.oldest_commit(), None);
    }

    #[test]
    fn the_time_left_goes_by_the_pace_so_far() {
        let second = Duration::from_secs(1);
        assert_eq!(time_left(second, 0, 100), None);
        assert_eq!(time_left(2 * second, 20, 100), Some(8 * second));
    }
}
