//! Whatever compaction has taken while nobody read: after reconciliation and the records that are left, what is known is what
//! lives.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;
use synthllm_operators::reconcile::{Reconciliation, is_due};
use synthllm_operators::record::Version;

const PARTITION: u32 = 2;

/// A record of `documents`: which document, whether it has a value, and whether compaction would like to take it.
type Event = (u8, bool, bool);

fn key(document: u8) -> Vec<u8> {
    format!("d{document}").into_bytes()
}

/// The documents that live after these records.
fn live<'a>(records: impl IntoIterator<Item = &'a Event>) -> BTreeSet<u8> {
    let mut live = BTreeSet::new();
    for (document, has_value, _) in records {
        if *has_value {
            live.insert(*document)
        } else {
            live.remove(document)
        };
    }
    live
}

/// What compaction leaves: it takes superseded records, and a tombstone once nothing stands before it of the same document.
fn compacted(history: &[Event]) -> Vec<(usize, Event)> {
    let mut left = BTreeMap::new();
    for (offset, event) in history.iter().enumerate() {
        let (document, has_value, takes) = *event;
        let is_last = !history[offset + 1..].iter().any(|later| later.0 == document);
        let stands_before = left.values().any(|before: &Event| before.0 == document);
        let may_go = if has_value { !is_last } else { !stands_before };
        if !(may_go && takes) {
            left.insert(offset, *event);
        }
    }
    left.into_iter().collect()
}

proptest! {
    #[test]
    fn what_is_known_after_it_is_what_lives(
        history in prop::collection::vec((0..6u8, any::<bool>(), prop::bool::weighted(0.8)), 0..40),
        position in 0..40usize,
        elsewhere in prop::collection::btree_set(10..14u8, 0..3),
    ) {
        let position = position.min(history.len());
        let left = compacted(&history);
        let mut reconciliation = Reconciliation::new(PARTITION);
        for (_, (document, has_value, _)) in &left {
            reconciliation.document(&key(*document), *has_value);
        }
        // What has been extracted: the records below the position, as they were read before compaction.
        for (offset, (document, has_value, _)) in (0..).zip(&history[..position]) {
            reconciliation.known(&key(*document), has_value.then_some(Version { partition: PARTITION, offset }));
        }
        for document in &elsewhere {
            reconciliation.known(&key(*document), Some(Version { partition: PARTITION + 1, offset: 0 }));
        }
        let owed = reconciliation.owed();
        let lives = live(&history);
        let known = live(&history[..position]);
        for document in &known {
            let is_owed = owed.contains(&key(*document));
            prop_assert!(!(is_owed && lives.contains(document)), "{} lives and is taken for deleted", document);
        }
        prop_assert!(owed.len() <= known.len(), "what is not known here is owed nothing");
        // Tombstones first, then the records that are left behind the position.
        let kept = known.into_iter().filter(|document| !owed.contains(&key(*document))).map(|document| (document, true, false));
        let behind = left.into_iter().filter(|(offset, _)| *offset >= position).map(|(_, event)| event);
        let records: Vec<Event> = kept.chain(behind).collect();
        prop_assert_eq!(live(&records), lives);
    }

    #[test]
    fn it_is_due_once_the_log_may_have_forgotten_a_deletion(caught_up_at in 0..1000u64, later in 0..1000u64, limit in 0..1000u64) {
        let now = caught_up_at + later;
        prop_assert_eq!(is_due(caught_up_at, now, Some(Duration::from_secs(limit))), later > limit);
        prop_assert!(!is_due(caught_up_at, now, None), "a log that forgets nothing, or everything, is not asked");
        prop_assert!(!is_due(now + 1, now, Some(Duration::from_secs(limit))), "clocks may differ");
    }
}
