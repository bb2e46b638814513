//! Who may be issued where levels have a target: worker 0's part, one credit for all shards and processes.
//!
//! Cost: a letter and a read of `progress` for each combination. What a level lacks is known some time after it was lost or won (a commit of
//! generate, and a turn here), so that in the end, when less than a combination's most is missing, one is issued after the other.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use synthllm_log::{LogName, read_to_end};
use synthllm_operators::passes::Place;
use synthllm_operators::record::{Combination, Role};
use synthllm_operators::target::{Seen, Target};

use super::super::Context;
use super::super::target::Shortage;
use super::documents::{Order, Question};
use super::letters::{Letter, Mail};
use super::queue::Queue;
use super::watch::Watch;

/// Once nothing is left, it is looked again after so long at least, in continuous mode.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// And after so many times the time that the last look took.
const LOOK_PART: u32 = 20;

/// The levels that have a target.
pub(super) struct Targets {
    levels: BTreeMap<u8, Level>,
    /// Combinations that were issued before there was a target: nothing is granted while they are under way.
    before: BTreeMap<u32, u64>,
    /// The level that was last in turn.
    turn: u8,
    /// Whether none needed more when that was last looked at.
    done: bool,
}

struct Level {
    target: Target,
    has_target: bool,
    /// The most samples of a combination.
    full: u64,
    /// Levels 1 and 2: how many combinations `sampling.limit` leaves, and the documents.
    left: Option<u64>,
    queue: Option<Queue>,
    looked: Instant,
    took: Duration,
}

impl Targets {
    /// Level 3 if it has a target, and these of levels 1 and 2, with what `sampling.limit` leaves of them.
    pub(super) fn new(
        context: &Context,
        watch: &Watch,
        peers: usize,
        drawn: &[u8],
        left: impl Fn(u8) -> Option<u64>,
    ) -> Result<Self> {
        let generate = &context.config.generate;
        let third = generate.target.level3.map(|_| 3);
        let level = |level: u8| Level {
            target: Target::new(generate.target.of(level), generate.most_samples(level), watch.granted(level)),
            has_target: generate.target.of(level).is_some(),
            full: u64::from(generate.most_samples(level)),
            left: left(level).filter(|_| level < 3),
            queue: (level < 3).then(|| Queue::new(peers)),
            looked: Instant::now(),
            took: Duration::ZERO,
        };
        let levels: BTreeMap<u8, Level> = drawn.iter().copied().chain(third).map(|of| (of, level(of))).collect();
        let before = if generate.target.is_empty() { BTreeMap::new() } else { issued_before(context, watch)? };
        Ok(Targets { levels, before, turn: 0, done: false })
    }

    /// How many levels are drawn for a target, or were once.
    pub(super) fn len(&self) -> usize {
        self.levels.len()
    }

    /// Which of them is next, of all in turn.
    pub(super) fn next_turn(&mut self) -> u8 {
        let after = (self.turn + 1..=3).chain(1..=3);
        self.turn = after.into_iter().find(|level| self.has(*level)).unwrap_or(3);
        self.turn
    }

    /// Whether a level is one of them.
    pub(super) fn has(&self, level: u8) -> bool {
        self.levels.contains_key(&level)
    }

    /// What is seen of a level that has a target; nothing while generate has not told, or works on what was issued before.
    fn seen(&self, watch: &Watch, level: u8) -> Option<Seen> {
        let known = watch.has_reached(Role::Generate, &self.before);
        watch.seen(level).filter(|_| known)
    }

    /// Samples that may still be granted.
    pub(super) fn credit(&self, watch: &Watch, level: u8) -> u64 {
        let credit = |of: &Level| match self.seen(watch, level) {
            Some(seen) => of.target.credit(seen),
            None if of.has_target => 0,
            None => u64::MAX,
        };
        self.levels.get(&level).map_or(u64::MAX, credit)
    }

    /// How many combinations it takes at least until the target stands; nothing where there is none.
    pub(super) fn combinations_missing(&self, watch: &Watch, level: u8) -> Option<u64> {
        let of = self.levels.get(&level).filter(|of| of.has_target)?;
        Some(self.credit(watch, level).div_ceil(of.full))
    }

    /// Whether a combination of this level may be issued now. For a target only `at_rest`: before, generate may still release what it
    /// holds back for it.
    pub(super) fn may_grant(&self, watch: &Watch, level: u8, at_rest: bool) -> bool {
        let Some(of) = self.levels.get(&level) else { return true };
        let seen = self.seen(watch, level).filter(|_| at_rest);
        !of.has_target || seen.is_some_and(|seen| of.target.next(seen, at_rest).is_some())
    }

    /// Grants a combination that may be issued now: the most samples of it, where that is to be kept to.
    pub(super) fn grant(&mut self, watch: &Watch, level: u8, at_rest: bool) -> Option<u32> {
        let seen = self.seen(watch, level).filter(|_| at_rest)?;
        self.levels.get_mut(&level).filter(|of| of.has_target)?.target.grant(seen, at_rest)
    }

    /// The next document of level 1 or 2 that is issued now, with its worker; letters to ask for more go to `mail`.
    pub(super) fn draw(&mut self, watch: &Watch, level: u8, at_rest: bool, mail: &mut Vec<Mail>) -> Option<(u64, Order)> {
        if !self.may_grant(watch, level, at_rest) {
            return None;
        }
        let of = self.levels.get_mut(&level).filter(|of| of.left != Some(0))?;
        let queue = of.queue.as_mut()?;
        let Some((place, worker)) = queue.pop() else {
            let asks = queue.ask();
            if asks.iter().any(|(_, _, anew)| *anew) {
                of.looked = Instant::now();
            }
            let ask = |(to, round, anew)| Mail { to, letter: Letter::Ask(Question { level, round, anew }) };
            mail.extend(asks.into_iter().map(ask));
            return None;
        };
        of.left = of.left.map(|left| left - 1);
        let most = self.grant(watch, level, at_rest);
        Some((worker, Order { level, place, most }))
    }

    /// An order that can't be carried out: another document is drawn for it.
    pub(super) fn give_back(&mut self, order: Order) {
        if let Some(of) = self.levels.get_mut(&order.level) {
            of.left = of.left.map(|left| left + 1);
            order.most.iter().for_each(|most| of.target.give_back(*most));
        }
    }

    /// A worker tells of its documents.
    pub(super) fn told(&mut self, (worker, round): (u64, u64), level: u8, places: Vec<Place>, more: bool) {
        if let Some(of) = self.levels.get_mut(&level)
            && let Some(queue) = &mut of.queue
        {
            queue.told(worker, round, places, more);
            of.took = of.took.max(of.looked.elapsed());
        }
    }

    /// The documents are looked through anew.
    pub(super) fn look_again(&mut self) {
        self.levels.values_mut().for_each(Level::look_again);
    }

    /// In continuous mode: those levels are, of which no document was left some time ago.
    pub(super) fn look_for_new(&mut self) {
        let is_due = |of: &Level| of.looked.elapsed() >= LOOK_INTERVAL.max(of.took * LOOK_PART);
        self.levels.values_mut().filter(|of| of.is_exhausted() && is_due(of)).for_each(Level::look_again);
    }

    /// Whether nothing is left of the documents of this level, and why; nothing of level 3, whose starts are not known here.
    fn shortage(&self, level: u8) -> Option<Shortage> {
        let of = self.levels.get(&level)?;
        if of.left == Some(0) {
            return Some(Shortage::Limit);
        }
        of.is_exhausted().then_some(Shortage::Exhausted)
    }

    /// Whether a level needs no more draws. `level3` says why level 3 can't have any, if so; `at_rest` that all withdrawals are known.
    fn is_finished(&self, watch: &Watch, level: u8, level3: Option<Shortage>, at_rest: bool) -> bool {
        let short = if level == 3 { level3 } else { self.shortage(level) };
        let met = || {
            let of = self.levels.get(&level).filter(|of| of.has_target);
            at_rest && of.zip(self.seen(watch, level)).is_some_and(|(of, seen)| of.target.is_met(seen))
        };
        short.is_some() || met()
    }

    /// Finds out whether no level needs more draws. Where generate runs elsewhere and this run drains, what can't be granted now is left to the
    /// next run.
    pub(super) fn find_the_end(
        &mut self,
        context: &Context,
        watch: &Watch,
        level3: Option<Shortage>,
        at_rest: bool,
    ) -> bool {
        let alone = context.drain && !context.generates;
        self.done = self.levels.iter().all(|(&level, of)| {
            let waits = alone && of.has_target && !self.may_grant(watch, level, true);
            waits || self.is_finished(watch, level, level3, at_rest)
        });
        self.done
    }

    /// What was found last.
    pub(super) fn is_done(&self) -> bool {
        self.done
    }

    /// Whether a level lacks samples that could be drawn, after all draws of a settlement were made.
    pub(super) fn want_more(&self, watch: &Watch, level3: Option<Shortage>) -> bool {
        let mut levels = self.levels.iter().filter(|(_, of)| of.has_target);
        levels.any(|(&level, _)| {
            let short = if level == 3 { level3 } else { self.shortage(level) };
            short.is_none() && self.credit(watch, level) > 0
        })
    }

    /// Why each level that has a target can't have more draws; where nothing speaks against it, combinations are under way.
    pub(super) fn shortages(&self, level3: Option<Shortage>) -> BTreeMap<u8, Shortage> {
        let short = |level: u8| if level == 3 { level3 } else { self.shortage(level) };
        self.levels.keys().map(|&level| (level, short(level).unwrap_or(Shortage::UnderWay))).collect()
    }
}

impl Level {
    fn is_exhausted(&self) -> bool {
        self.queue.as_ref().is_some_and(Queue::is_exhausted)
    }

    fn look_again(&mut self) {
        (self.looked, self.took) = (Instant::now(), Duration::ZERO);
        self.queue.iter_mut().for_each(Queue::begin);
    }
}

/// Up to where generate must have come so that all combinations that don't say how many samples may come of them have their outcome.
fn issued_before(context: &Context, watch: &Watch) -> Result<BTreeMap<u32, u64>> {
    let (_, shards) = context.partitions;
    let mut from = Vec::new();
    for shard in 0..shards {
        from.push((shard, watch.position(Role::Generate, shard).max(context.log.start(LogName::Combinations, shard)?)));
    }
    let (mut ends, mut failure) = (BTreeMap::new(), None);
    let note = |record: synthllm_log::Record| match Combination::of_record(record.value.as_deref().unwrap_or_default()) {
        Ok((combination, None)) if context.config.generate.target.of(combination.level).is_some() => {
            ends.insert(record.partition, record.offset + 1);
        }
        Ok(_) => (),
        Err(error) => _ = failure.get_or_insert(error),
    };
    read_to_end(&context.log, LogName::Combinations, &from, note, |_, _| ())?;
    failure.map_or(Ok(ends), Err).context("can't read what waits in combinations")
}
