//! Stored documents of this worker's shards that are to be decided again: because one with an equal or similar text has come before
//! them, or gone; and at a start those whose calls of the run before have answers that no outcome has used.
//!
//! Law: each is put in with the last word on it, when nothing that was read is in flight, and nothing is read until all are
//! committed (see [`super::stored`]).
//! Cost: what was read must come to its end first. So a few are let wait, for a while.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::super::Context;
use super::super::clock::Clock;
use super::super::estimate::OfDocuments;
use super::super::shard::Shard;
use super::decision::{Decision, Value};
use super::stored::{Documents, put_in};

/// So many make reading pause,
const MANY: usize = 256;
/// and any that has waited so long.
const PATIENCE: Duration = Duration::from_secs(2);

/// See the module.
pub(super) struct Owed {
    /// By shard and key: those about which the journal has answers that were asked for where reading goes on. Whether they are still owed
    /// a decision may depend on what other shards had yet to commit; so what was paid for them is kept with them, before it is passed.
    paid: BTreeSet<(u32, Vec<u8>)>,
    /// Those that are to go out, which needs no budget, and those that are to be let in.
    out: BTreeSet<(u32, Vec<u8>)>,
    back: BTreeSet<(u32, Vec<u8>)>,
    since: Option<Instant>,
    /// Whether some are put in and not committed.
    under_way: bool,
    /// How many have come and are not reported to be settled.
    unreported: u64,
    screen_embeds: bool,
    needs: Option<OfDocuments>,
}

impl Owed {
    pub(super) fn new(context: &Context, needs: OfDocuments) -> Self {
        Owed {
            paid: BTreeSet::new(),
            out: BTreeSet::new(),
            back: BTreeSet::new(),
            since: None,
            under_way: false,
            unreported: 0,
            screen_embeds: context.screen.embeds(),
            needs: context.purse.is_limited().then_some(needs),
        }
    }

    /// A document is to be decided again.
    pub(super) fn add(&mut self, shard: u32, key: Vec<u8>, lets_in: bool) {
        let place = (shard, key);
        let (into, from) = if lets_in { (&mut self.back, &mut self.out) } else { (&mut self.out, &mut self.back) };
        from.remove(&place);
        into.insert(place);
        self.since.get_or_insert_with(Instant::now);
        self.unreported += 1;
    }

    /// Where the shards stand at the start.
    pub(super) fn look_at(&mut self, shards: &BTreeMap<u32, Shard<Decision>>) {
        let subjects = |(&number, shard): (&u32, &Shard<Decision>)| {
            shard.subjects_here().into_iter().map(move |subject| (number, subject.into_bytes()))
        };
        self.paid.extend(shards.iter().flat_map(subjects));
    }

    /// Whether all is put in and committed.
    pub(super) fn is_settled(&self) -> bool {
        !self.under_way && self.waiting() == 0
    }

    /// Whether nothing may be read.
    pub(super) fn holds_reading(&self) -> bool {
        let is_urgent = || self.since.is_some_and(|since| since.elapsed() >= PATIENCE);
        self.under_way || !self.paid.is_empty() || self.waiting() >= MANY || is_urgent()
    }

    fn waiting(&self) -> usize {
        self.paid.len() + self.out.len() + self.back.len()
    }

    /// How many are settled that were not reported before.
    pub(super) fn settled(&mut self) -> u64 {
        if self.is_settled() { std::mem::take(&mut self.unreported) } else { 0 }
    }

    /// Puts in what the window has room for, and the budget, once nothing is in flight; at a start before anything is read, since
    /// the journal keeps the answers to what was under way until then only. Returns how many.
    pub(super) fn turn(&mut self, flow: &mut Documents, clock: &mut Clock) -> usize {
        let nothing_in_flight = flow.shards.values().all(Shard::is_empty);
        self.under_way &= !nothing_in_flight;
        let mut put_in = 0;
        while (self.under_way || nothing_in_flight) && flow.room() > 0 {
            let next = self.paid.pop_first().or_else(|| self.out.pop_first()).map(|place| (place, false));
            let Some((place, lets_in)) = next.or_else(|| Some((self.back.pop_first()?, true))) else { break };
            if !self.put_in(flow, clock, (place.0, &place.1), lets_in) {
                self.back.insert(place);
                break;
            }
            put_in += 1;
        }
        self.under_way |= put_in > 0;
        if self.waiting() == 0 {
            self.since = None;
        }
        put_in
    }

    /// False when the budget does not allow it yet.
    fn put_in(&self, flow: &mut Documents, clock: &mut Clock, (number, key): (u32, &[u8]), lets_in: bool) -> bool {
        let Some(shard) = flow.shards.get_mut(&number) else { return true };
        if let Some(needs) = self.needs.as_ref().filter(|_| lets_in)
            && !shard.reserve_aside(needs.of_stored(self.screen_embeds, true))
        {
            return false;
        }
        put_in(flow, clock, number, (key.to_vec(), Value::Owed { lets_in }), key.len());
        true
    }
}
