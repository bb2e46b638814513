//! How many more combinations a level needs until its target of samples stands (protocol.md, "Settled draws").
//!
//! Input: how many samples stand, and how much of what was granted has its outcome. Output: the most samples that the next combination
//! may bring, or nothing while none may be issued.
//! Law: samples that stand, and what combinations under way may still bring, are together never more than the target, as long as it was
//! not lowered; however late the counts are seen. Which combinations are issued with which most depends only on what each brings,
//! not on when: so a combination that may bring less than others is issued only when nothing else is under way.
//! Cost: O(1).
//!
//! ```
//! use synthllm_operators::target::{Seen, Target};
//! let mut target = Target::new(Some(4), 3, 0);
//! assert_eq!(target.grant(Seen::default(), true), Some(3));
//! assert_eq!(target.grant(Seen::default(), true), None, "one more might be too many");
//! let seen = Seen { standing: 2, settled: 3 };
//! assert_eq!(target.grant(seen, true), Some(2), "one of the three was dropped");
//! ```

/// What is seen of a level: counts of `generate`, of one moment for each of its shards, perhaps some time ago.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Seen {
    /// Samples that stand.
    pub standing: u64,
    /// Of what was ever granted, that of combinations which have their outcome.
    pub settled: u64,
}

/// The target of a level.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Target {
    wanted: Option<u64>,
    full: u32,
    granted: u64,
}

impl Target {
    /// So many samples are wanted (`None`: as many as there can be) of combinations that bring `full` each at most; `granted` is what
    /// was ever granted.
    pub fn new(wanted: Option<u64>, full: u32, granted: u64) -> Self {
        Target { wanted, full: full.max(1), granted }
    }

    /// Samples that may still be granted.
    pub fn credit(&self, seen: Seen) -> u64 {
        let open = seen.standing.saturating_add(self.under_way(seen));
        self.wanted.map_or(u64::MAX, |wanted| wanted.saturating_sub(open))
    }

    /// What combinations under way may still bring.
    pub fn under_way(&self, seen: Seen) -> u64 {
        self.granted.saturating_sub(seen.settled)
    }

    /// The most samples of the next combination, if one may be issued now. `at_rest` says that no samples will be withdrawn for what is
    /// known by now; without it none is issued that may bring less than others.
    pub fn next(&self, seen: Seen, at_rest: bool) -> Option<u32> {
        let credit = self.credit(seen);
        if credit >= u64::from(self.full) {
            return Some(self.full);
        }
        let rest = u32::try_from(credit).unwrap_or(self.full);
        (rest > 0 && at_rest && self.under_way(seen) == 0).then_some(rest)
    }

    /// Grants the next combination, if one may be issued now.
    pub fn grant(&mut self, seen: Seen, at_rest: bool) -> Option<u32> {
        let most = self.next(seen, at_rest)?;
        self.granted += u64::from(most);
        Some(most)
    }

    /// A combination that was granted is not issued after all.
    pub fn give_back(&mut self, most: u32) {
        self.granted -= u64::from(most);
    }

    /// Whether nothing more is to be issued for the target as it is seen: it stands, or, where as many as there can be are wanted,
    /// never.
    pub fn is_met(&self, seen: Seen) -> bool {
        self.wanted.is_some_and(|wanted| seen.standing >= wanted) && self.under_way(seen) == 0
    }
}
