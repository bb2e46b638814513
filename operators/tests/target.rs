//! The law of targets: never more than the target, exactly the target in the end, and the same combinations whatever the timing.

use proptest::prelude::*;
use synthllm_operators::target::{Seen, Target};

/// What is true of a level: combinations under way with their most, samples, and all that was granted.
#[derive(Clone, Default, Debug)]
struct Level {
    under_way: Vec<u32>,
    seen: Seen,
    granted: u64,
}

impl Level {
    /// The combination at `index` has its outcome: so many hundredths of its most.
    fn settle(&mut self, index: usize, part: u32) {
        if !self.under_way.is_empty() {
            let most = self.under_way.remove(index % self.under_way.len());
            self.seen.settled += u64::from(most);
            self.seen.standing += u64::from(most * part / 100);
        }
    }

    fn open(&self) -> u64 {
        self.seen.standing + self.under_way.iter().map(|most| u64::from(*most)).sum::<u64>()
    }
}

/// What happens.
#[derive(Clone, Debug)]
enum Event {
    /// Somebody asks for a combination and sees what was true so many events ago.
    Ask(usize, bool),
    Settle(usize, u32),
    Withdraw(u64),
    /// All but what is durable is forgotten.
    Restart,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => (0..6_usize, any::<bool>()).prop_map(|(age, at_rest)| Event::Ask(age, at_rest)),
        4 => (0..8_usize, 0..=100_u32).prop_map(|(index, part)| Event::Settle(index, part)),
        1 => (0..4_u64).prop_map(Event::Withdraw),
        1 => Just(Event::Restart),
    ]
}

proptest! {
    #[test]
    fn what_stands_and_may_come_is_never_more_than_the_target_and_in_the_end_it_is_met(
        wanted in 0..60_u64,
        full in 1..9_u32,
        events in prop::collection::vec(event(), 0..120),
    ) {
        let mut level = Level::default();
        let mut target = Target::new(Some(wanted), full, 0);
        let mut past = vec![level.seen];
        for event in events {
            match event {
                Event::Ask(age, at_rest) => {
                    let seen = past[past.len().saturating_sub(1 + age)];
                    if let Some(most) = target.grant(seen, at_rest) {
                        prop_assert!(most >= 1 && most <= full);
                        level.under_way.push(most);
                        level.granted += u64::from(most);
                    }
                }
                Event::Settle(index, part) => level.settle(index, part),
                // A withdrawal that is not seen yet is room that is not used yet.
                Event::Withdraw(count) => level.seen.standing = level.seen.standing.saturating_sub(count),
                Event::Restart => target = Target::new(Some(wanted), full, level.granted),
            }
            past.push(level.seen);
            prop_assert!(level.open() <= wanted, "{level:?}");
            prop_assert_eq!(target.under_way(level.seen), level.under_way.iter().map(|most| u64::from(*most)).sum::<u64>());
        }
        // From now on every combination brings what it may.
        while !target.is_met(level.seen) {
            while let Some(most) = target.grant(level.seen, true) {
                level.under_way.push(most);
            }
            prop_assert!(!level.under_way.is_empty(), "nothing is under way, and the target is not met");
            level.settle(0, 100);
        }
        prop_assert_eq!((level.seen.standing, level.under_way.len()), (wanted, 0));
    }

    /// Each combination brings what the list says, at most what it may. Samples are withdrawn when the schedule says so.
    #[test]
    fn which_combinations_are_issued_does_not_depend_on_timing(
        wanted in 1..40_u64,
        full in 1..9_u32,
        brings in prop::collection::vec(0..9_u32, 60),
        before in 0..40_u64,
        withdrawn in 0..10_u64,
        schedules in prop::collection::vec(prop::collection::vec((0..3_u8, 0..8_usize), 40), 2),
    ) {
        let before = before.min(wanted);
        let withdrawn = withdrawn.min(before);
        let issued: Vec<Vec<u32>> =
            schedules.iter().map(|schedule| issue(wanted, full, &brings, (before, withdrawn), schedule)).collect();
        prop_assert_eq!(&issued[0], &issued[1]);
        prop_assert_eq!(&issued[0], &issue(wanted, full, &brings, (before - withdrawn, 0), &[]), "withdrawn before the first");
    }
}

/// The most of each combination that is issued until the target is met, or the combinations are used up.
fn issue(wanted: u64, full: u32, brings: &[u32], (before, mut withdrawn): (u64, u64), schedule: &[(u8, usize)]) -> Vec<u32> {
    let mut target = Target::new(Some(wanted), full, 0);
    let mut seen = Seen { standing: before, settled: 0 };
    let (mut issued, mut under_way) = (Vec::new(), Vec::new());
    let mut schedule = schedule.iter().copied();
    loop {
        let (what, index) = schedule.next().unwrap_or((3, 0));
        if what == 0 || what == 3 {
            while let Some(most) = target.grant(seen, withdrawn == 0).filter(|_| issued.len() < brings.len()) {
                under_way.push((issued.len(), most));
                issued.push(most);
            }
        }
        if what == 1 || what == 3 {
            seen.standing -= std::mem::take(&mut withdrawn);
        }
        if what >= 2 && !under_way.is_empty() {
            let (number, most) = under_way.remove(index % under_way.len());
            seen.settled += u64::from(most);
            seen.standing += u64::from(most.min(brings[number]));
        } else if what == 3 && withdrawn == 0 && (target.is_met(seen) || issued.len() == brings.len()) {
            return issued;
        }
    }
}
