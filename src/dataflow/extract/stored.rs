//! How a stored document comes into the dataflow, which is no input record.
//!
//! Law: its origin is the offset at which reading goes on, so that its answers stay in the journal until that is passed. So nothing may be
//! read before it is committed; and at the next start it must come again before anything is read (see [`super::rescreen`] and
//! [`super::owed`]). Cost: O(answers about it) each.

use synthllm_operators::record::Origin;

use super::super::clock::Clock;
use super::super::flow::Flow;
use super::decision::{Decision, Incoming, Value};
use super::lives::screenings;

/// The records of the role on their way.
pub(super) type Documents = Flow<Incoming, Decision>;

/// Puts a stored document of a shard in. `bytes` is what it takes of the window.
pub(super) fn put_in(flow: &mut Documents, clock: &mut Clock, number: u32, (key, value): (Vec<u8>, Value), bytes: usize) {
    let Some(shard) = flow.shards.get_mut(&number) else { return };
    let origin = Origin { shard: number, offset: shard.progress.position };
    let hits = shard.hits_for(origin.offset, &String::from_utf8_lossy(&key));
    let screenings = screenings(&shard.progress);
    flow.put_in(clock, number, bytes, Incoming { origin, key, value, hits, screenings });
}
