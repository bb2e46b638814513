//! Whatever the log says at the start and however the counts change: what is written makes the log right, and nothing else is.

use std::collections::BTreeMap;

use proptest::prelude::*;
use synthllm_operators::graph_updates::Owed;

const SHARDS: u32 = 2;

/// What happens to the counts and to the log.
#[derive(Clone, Debug)]
enum Event {
    /// A count grows or falls by one; it never falls below 0.
    Change { key: u8, grows: bool },
    /// At most so many records of a shard are written.
    Write { shard: u32, most: usize },
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        4 => (0..6u8, any::<bool>()).prop_map(|(key, grows)| Event::Change { key, grows }),
        1 => (0..SHARDS, 1..4usize).prop_map(|(shard, most)| Event::Write { shard, most }),
    ];
    prop::collection::vec(event, 0..60)
}

fn shard_of(key: u8) -> u32 {
    u32::from(key) % SHARDS
}

/// Writes, and checks that every record changes the log.
fn write(owed: &mut Owed, shard: u32, most: usize, log: &mut BTreeMap<String, u64>) {
    let records = owed.take(shard, most);
    assert!(records.len() <= most);
    for (key, count) in records {
        let before = match count {
            Some(count) => log.insert(key.clone(), count),
            None => log.remove(&key),
        };
        assert_ne!(before, count, "{key} was right already");
        assert_ne!(count, Some(0), "a count of 0 is a tombstone");
    }
}

proptest! {
    #[test]
    fn what_is_written_makes_the_log_right_and_nothing_is_written_that_is_right(
        former in prop::collection::vec((0..6u8, prop::option::of(1..4u64)), 0..12),
        recount in prop::collection::vec(0..4u64, 6),
        events in events(),
    ) {
        let (mut owed, mut log, mut counts) = (Owed::default(), BTreeMap::new(), BTreeMap::new());
        for (key, count) in former {
            owed.stands(shard_of(key), &key.to_string(), count);
            match count {
                Some(count) => log.insert(key.to_string(), count),
                None => log.remove(&key.to_string()),
            };
        }
        for (key, count) in (0..6u8).zip(recount) {
            (0..count).for_each(|_| owed.change(shard_of(key), &key.to_string(), 1));
            counts.insert(key, count);
        }
        for event in events {
            match event {
                Event::Change { key, grows } => {
                    let count = counts.get_mut(&key).expect("every key has a count");
                    if grows || *count > 0 {
                        *count = if grows { *count + 1 } else { *count - 1 };
                        owed.change(shard_of(key), &key.to_string(), if grows { 1 } else { -1 });
                    }
                }
                Event::Write { shard, most } => write(&mut owed, shard, most, &mut log),
            }
        }
        for shard in 0..SHARDS {
            write(&mut owed, shard, usize::MAX, &mut log);
        }
        prop_assert!(owed.is_empty());
        counts.retain(|_, count| *count > 0);
        prop_assert_eq!(log, counts.into_iter().map(|(key, count)| (key.to_string(), count)).collect::<BTreeMap<_, _>>());
    }
}
