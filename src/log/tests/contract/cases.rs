//! The suite. Each case gets logs of its own.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::backends::{Backend, N, P, Place, append};
use crate::child::{Running, say};
use synthllm_log::LogName::{
    Combinations, DeadLetters, Documents, Extractions, JournalExtract, JournalGenerate, Progress, Provenance, Samples, Texts,
};
use synthllm_log::{Append, DocumentsRetention, Fetched, Log, LogError, LogName, Pointer, Record, partition, read_to_end};

const SOON: Duration = Duration::from_secs(30);

pub fn logs_are_created_once_and_verified(backend: &Backend) {
    backend.log.verify().unwrap();
    assert!(backend.log.create().unwrap().is_empty(), "all logs were there");
    let counts = LogName::ALL.map(|name| backend.log.partitions(name).unwrap());
    for (name, count) in LogName::ALL.into_iter().zip(counts) {
        let expected = if matches!(name, Documents | JournalExtract) { N } else { P };
        assert_eq!(count, expected, "{name:?}");
        assert_eq!(backend.log.end(name, count - 1).unwrap(), 0, "{name:?}");
    }
}

pub fn documents_that_we_create_keep_deletions_for_thirty_days(backend: &Backend) {
    let retention = backend.log.retention_of_documents().unwrap();
    let month = Some(Duration::from_secs(30 * 24 * 60 * 60));
    assert_eq!(retention, DocumentsRetention { compacted: true, tombstones_for: month, expiry: None });
    assert_eq!(retention.absence_means_deleted_after(), month);
}

pub fn every_problem_of_logs_that_do_not_fit_is_named(backend: &Backend) {
    let mut place = backend.place.clone();
    match &mut place {
        Place::Sqlite(settings) => (settings.documents_partitions, settings.partitions) = (N + 1, P + 1),
        Place::Kafka(settings) => (settings.documents_partitions, settings.partitions) = (N + 1, P + 1),
    }
    let Err(LogError::Unfit { problems }) = place.open().verify() else { panic!("other numbers of partitions fit") };
    for name in LogName::ALL {
        assert!(problems.iter().any(|problem| problem.contains(name.name())), "{name:?} is not in {problems:?}");
    }
}

pub fn a_record_goes_to_the_partition_it_names_or_that_of_its_key(backend: &Backend) {
    let keyed = |key: &str| Append { partition: None, ..append(Texts, 0, key, Some("by key")) };
    let keys = ["a", "foobar", "21", "a-little-bit-long-string"];
    let mut records = keys.map(keyed).to_vec();
    records.push(append(Texts, 2, "a", Some("by number")));
    let places = backend.commit("x", records);
    for (key, place) in keys.iter().zip(&places) {
        assert_eq!(place.partition, partition::of_key(Some(key.as_bytes()), P), "{key}");
    }
    assert_eq!(places[4].partition, 2);
    let refused = backend.log.writer(&backend.owner("y")).unwrap().append(vec![append(Texts, P, "a", None)]);
    assert!(matches!(refused, Err(LogError::OutOfRange { .. })), "{refused:?}");
}

pub fn a_transaction_over_several_logs_is_all_or_nothing(backend: &Backend) {
    let records =
        |value: &str| [Texts, Extractions, JournalExtract, Progress].map(|log| append(log, 1, "key", Some(value))).to_vec();
    let mut writer = backend.log.writer(&backend.owner("extract")).unwrap();
    writer.append(records("aborted")).unwrap();
    writer.abort().unwrap();
    writer.append(records("first half")).unwrap();
    writer.append(records("second half")).unwrap();
    writer.commit().unwrap();
    writer.commit().unwrap(); // Nothing is open: nothing happens.
    writer.append(records("never committed")).unwrap();
    drop(writer);
    backend.log.writer(&backend.owner("extract")).unwrap();
    for log in [Texts, Extractions, JournalExtract, Progress] {
        assert_eq!(backend.values(log, 1), ["first half", "second half"], "{log:?}");
    }
}

pub fn offsets_are_known_before_the_commit_and_hold_after_it(backend: &Backend) {
    let mut writer = backend.log.writer(&backend.owner("extract")).unwrap();
    let mut places = Vec::new();
    for round in 0..3 {
        places.extend(writer.append(vec![append(Texts, 0, &format!("text {round}"), Some("text"))]).unwrap());
        let pointer = places.last().unwrap().offset.to_string();
        writer.append(vec![append(Extractions, 0, &format!("text {round}"), Some(&pointer))]).unwrap();
        let before = backend.log.fetch(Texts, 0, places[round].offset, format!("text {round}").as_bytes());
        assert_eq!(before.unwrap(), Fetched::NotYet);
        writer.commit().unwrap();
    }
    assert!(places.is_sorted_by(|a, b| a.offset < b.offset), "{places:?}");
    for (record, pointer) in backend.read(Texts, 0).0.iter().zip(backend.values(Extractions, 0)) {
        assert_eq!(record.offset.to_string(), pointer);
    }
}

pub fn a_partition_is_read_from_an_offset(backend: &Backend) {
    let records = (0..50).map(|n| append(Samples, 1, &n.to_string(), Some(&n.to_string()))).collect();
    let places = backend.commit("generate", records);
    let mut reader = backend.log.reader(Samples, &[(1, places[20].offset), (2, 0)]).unwrap();
    let mut read: Vec<Record> = Vec::new();
    let deadline = Instant::now() + SOON;
    while read.len() < 30 && Instant::now() < deadline {
        let batch = reader.poll(7, Duration::from_millis(200)).unwrap();
        assert!(batch.records.len() <= 7);
        if let Some(record) = batch.records.last() {
            let position = batch.positions.iter().find(|position| position.0 == record.partition).unwrap();
            assert!(position.1 > record.offset);
        }
        read.extend(batch.records);
    }
    let numbers: Vec<String> = (20..50).map(|n| n.to_string()).collect();
    let keys: Vec<String> = read.into_iter().map(|record| String::from_utf8(record.key.unwrap()).unwrap()).collect();
    assert_eq!(keys, numbers);
}

pub fn reading_to_the_end_leaves_out_what_an_open_transaction_does_not_commit(backend: &Backend) {
    backend.commit("first", vec![append(Texts, 0, "a", Some("committed"))]);
    for ends_in_commit in [false, true] {
        let mut writer = backend.log.writer(&backend.owner("second")).unwrap();
        let value = format!("open, commit: {ends_in_commit}");
        writer.append(vec![append(Texts, 0, "b", Some(&value))]).unwrap();
        let seen = std::thread::scope(|scope| {
            let reading = scope.spawn(|| backend.values(Texts, 0));
            if ends_in_commit {
                writer.commit().unwrap();
            } else {
                writer.abort().unwrap();
            }
            reading.join().unwrap()
        });
        // The read may have begun after the commit; then it has to show the record. It never shows the aborted one.
        assert_eq!(seen[0], "committed");
        assert!(!seen.contains(&"open, commit: false".to_owned()), "{seen:?}");
    }
    assert_eq!(backend.values(Texts, 0), ["committed", "open, commit: true"]);
}

pub fn a_partition_that_ends_in_aborted_records_is_read_to_its_end(backend: &Backend) {
    let mut writer = backend.log.writer(&backend.owner("x")).unwrap();
    for round in 0..3 {
        writer.append(vec![append(Texts, 0, "a", Some("kept"))]).unwrap();
        writer.commit().unwrap();
        for _ in 0..=round {
            writer.append(vec![append(Texts, 0, "a", Some("aborted")), append(Texts, 1, "a", Some("aborted"))]).unwrap();
            writer.abort().unwrap();
        }
    }
    for partition in 0..P {
        let (records, position) = backend.read(Texts, partition);
        assert_eq!(records.len(), if partition == 0 { 3 } else { 0 });
        assert_eq!(position, backend.log.end(Texts, partition).unwrap(), "partition {partition}");
    }
    // Starting at the end is at the end.
    let from: Vec<(u32, u64)> = (0..P).map(|p| (p, backend.log.end(Texts, p).unwrap())).collect();
    let positions = read_to_end(&backend.log, Texts, &from, |record| panic!("{record:?}"), |_, _| {}).unwrap();
    assert_eq!(positions, from);
}

pub fn a_reader_is_told_of_a_commit_while_it_waits(backend: &Backend) {
    let mut reader = backend.log.reader(Combinations, &[(0, 0), (1, 0)]).unwrap();
    assert!(reader.poll(10, Duration::ZERO).unwrap().records.is_empty());
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let deadline = Instant::now() + SOON;
            loop {
                let batch = reader.poll(10, SOON).unwrap();
                if !batch.records.is_empty() || Instant::now() > deadline {
                    return (batch.records, deadline.saturating_duration_since(Instant::now()));
                }
            }
        });
        backend.commit("graph", vec![append(Combinations, 1, "a", Some("news"))]);
        let (records, left) = waiting.join().unwrap();
        assert_eq!(records.len(), 1);
        assert!(left > SOON / 2, "the reader slept through the commit");
    });
}

pub fn a_fetch_checks_offset_and_key(backend: &Backend) {
    let places = backend.commit("x", vec![append(Texts, 0, "a", Some("one")), append(Texts, 0, "b", Some("two"))]);
    assert_eq!(backend.fetch(Texts, places[0], "a"), Fetched::Found(Some(b"one".to_vec())));
    assert_eq!(backend.fetch(Texts, places[1], "b"), Fetched::Found(Some(b"two".to_vec())));
    assert_eq!(backend.fetch(Texts, places[0], "b"), Fetched::Gone);
    let fetch = |offset: u64, key: &str| backend.log.fetch(Texts, 0, offset, key.as_bytes()).unwrap();
    assert_eq!(fetch(backend.log.end(Texts, 0).unwrap(), "a"), Fetched::NotYet);
    assert_eq!(fetch(1_000_000, "a"), Fetched::NotYet);
    let mut writer = backend.log.writer(&backend.owner("y")).unwrap();
    let open = writer.append(vec![append(Texts, 0, "c", Some("three"))]).unwrap()[0];
    assert_eq!(fetch(open.offset, "c"), Fetched::NotYet);
    writer.commit().unwrap();
    assert_eq!(backend.fetch(Texts, open, "c"), Fetched::Found(Some(b"three".to_vec())));
}

pub fn many_pointers_are_fetched_in_the_order_asked(backend: &Backend) {
    let records = (0..900).map(|n| append(Texts, n % P, &n.to_string(), Some(&n.to_string()))).collect();
    let places = backend.commit("x", records);
    for last in [897, 898, 899] {
        assert_ne!(backend.fetch(Texts, places[last], &last.to_string()), Fetched::NotYet);
    }
    let asked = [899_usize, 3, 0, 3, 450, 451, 898, 1];
    let mut pointers: Vec<Pointer> = asked
        .iter()
        .map(|n| Pointer { partition: places[*n].partition, offset: places[*n].offset, key: n.to_string().into_bytes() })
        .collect();
    pointers.push(Pointer { key: b"another".to_vec(), ..pointers[0].clone() });
    pointers.push(Pointer { offset: 1_000_000, ..pointers[0].clone() });
    let mut expected: Vec<Fetched> = asked.iter().map(|n| Fetched::Found(Some(n.to_string().into_bytes()))).collect();
    expected.extend([Fetched::Gone, Fetched::NotYet]);
    assert_eq!(backend.log.fetch_many(Texts, &pointers).unwrap(), expected);
}

pub fn compaction_keeps_the_last_record_of_each_key(backend: &Backend) {
    let backend = backend.compacting();
    let old = backend.commit("x", vec![append(Texts, 0, "a", Some("old")), append(Texts, 0, "b", Some("kept"))]);
    backend.commit("x", vec![append(Texts, 0, "a", Some("new")), append(Texts, 0, "c", Some("gone"))]);
    backend.commit("x", vec![append(Texts, 0, "c", None)]);
    let deadline = Instant::now() + SOON;
    while backend.fetch(Texts, old[0], "a") != Fetched::Gone {
        assert!(Instant::now() < deadline, "nothing was compacted");
        backend.compact();
    }
    let records = backend.read(Texts, 0).0;
    let last = |key: &str| records.iter().rev().find(|r| r.key.as_deref() == Some(key.as_bytes())).unwrap().value.clone();
    assert_eq!(last("a"), Some(b"new".to_vec()));
    assert_eq!(last("b"), Some(b"kept".to_vec()));
    assert_eq!(last("c"), None, "a tombstone stays for those who have not read it");
    assert_eq!(backend.fetch(Texts, old[1], "b"), Fetched::Found(Some(b"kept".to_vec())));
    assert_eq!(backend.log.start(Texts, 0).unwrap(), 0, "a compacted log can be read from its beginning");
}

pub fn trimming_removes_what_lies_below_and_offsets_never_go_back(backend: &Backend) {
    let records = (0..10).map(|n| append(JournalGenerate, 0, &n.to_string(), Some("answer"))).collect();
    let places = backend.commit("generate", records);
    backend.log.trim(JournalGenerate, 0, places[4].offset).unwrap();
    assert_eq!(backend.log.start(JournalGenerate, 0).unwrap(), places[4].offset);
    assert_eq!(backend.read(JournalGenerate, 0).0[0].offset, places[4].offset);
    assert_eq!(backend.log.fetch(JournalGenerate, 0, places[3].offset, b"3").unwrap(), Fetched::Gone);
    let mut reader = backend.log.reader(JournalGenerate, &[(0, places[3].offset)]).unwrap();
    let refused = (0..30).find_map(|_| reader.poll(10, Duration::from_secs(1)).err());
    assert!(matches!(refused, Some(LogError::OutOfRange { .. })), "{refused:?}");
    // Below the start nothing happens; beyond the end all goes.
    backend.log.trim(JournalGenerate, 0, places[1].offset).unwrap();
    let end = backend.log.end(JournalGenerate, 0).unwrap();
    backend.log.trim(JournalGenerate, 0, end + 1000).unwrap();
    assert_eq!(backend.log.start(JournalGenerate, 0).unwrap(), end);
    let (records, position) = backend.read(JournalGenerate, 0);
    assert_eq!((records, position), (vec![], end));
    let next = backend.commit("generate", vec![append(JournalGenerate, 0, "10", Some("answer"))]);
    assert!(next[0].offset >= end, "offset {} was used again", next[0].offset);
}

pub fn only_trimmed_logs_can_be_trimmed(backend: &Backend) {
    backend.commit("x", vec![append(Samples, 0, "a", Some("sample")), append(DeadLetters, 0, "a", Some("letter"))]);
    for log in [Samples, DeadLetters] {
        assert!(matches!(backend.log.trim(log, 0, 1), Err(LogError::Backend { .. })), "{log:?}");
        assert_eq!(backend.read(log, 0).0.len(), 1);
    }
}

pub fn a_former_owner_is_fenced_before_its_transaction(backend: &Backend) {
    let owner = backend.owner("graph.0");
    let mut former = backend.log.writer(&owner).unwrap();
    former.append(vec![append(Progress, 0, "graph/0", Some("1"))]).unwrap();
    former.commit().unwrap();
    let mut other = backend.log.writer(&backend.owner("graph.1")).unwrap();
    let mut owner_now = backend.log.writer(&owner).unwrap();
    let refused = former.append(vec![append(Progress, 0, "graph/0", Some("2"))]).and_then(|_| former.commit());
    assert!(matches!(&refused, Err(LogError::Fenced { owner: named }) if *named == owner), "{refused:?}");
    for (writer, value) in [(&mut owner_now, "3"), (&mut other, "4")] {
        writer.append(vec![append(Progress, 0, "graph/0", Some(value))]).unwrap();
        writer.commit().unwrap();
    }
    assert_eq!(backend.values(Progress, 0), ["1", "3", "4"]);
}

pub fn a_former_owner_is_fenced_in_the_middle_of_its_transaction(backend: &Backend) {
    let owner = backend.owner("generate.0");
    let mut former = backend.log.writer(&owner).unwrap();
    former.append(vec![append(Samples, 0, "a", Some("of the former")), append(Provenance, 0, "a", Some("too"))]).unwrap();
    let mut owner_now = backend.log.writer(&owner).unwrap();
    // The new owner can read to the end: the former one's transaction has been aborted for it.
    assert!(backend.values(Samples, 0).is_empty());
    owner_now.append(vec![append(Samples, 0, "a", Some("of the new"))]).unwrap();
    owner_now.commit().unwrap();
    let refused = former.commit();
    assert!(matches!(refused, Err(LogError::Fenced { .. })), "{refused:?}");
    assert_eq!(backend.values(Samples, 0), ["of the new"]);
    assert!(backend.values(Provenance, 0).is_empty());
}

pub fn the_owner_of_a_shard_can_be_killed_and_replaced(backend: &Backend) {
    let owner = backend.owner("extract.1");
    let mut child = Running::start("hold a transaction open", &backend.place, &owner);
    child.expect("committed");
    child.expect("appended");
    child.kill();
    let mut writer = backend.log.writer(&owner).unwrap();
    assert_eq!(backend.values(Texts, 1), ["committed"]);
    writer.append(vec![append(Texts, 1, "a", Some("of the next owner"))]).unwrap();
    writer.commit().unwrap();
    assert_eq!(backend.values(Texts, 1), ["committed", "of the next owner"]);
}

/// The child of the case above.
pub fn hold_a_transaction_open(log: &Arc<dyn Log>, owner: &str) {
    let mut writer = log.writer(owner).unwrap();
    writer.append(vec![append(Texts, 1, "a", Some("committed"))]).unwrap();
    writer.commit().unwrap();
    say("committed");
    writer.append(vec![append(Texts, 1, "a", Some("never committed"))]).unwrap();
    say("appended");
    crate::child::wait_for_the_parent();
}

pub fn records_of_a_megabyte_come_back_whole(backend: &Backend) {
    // Bytes that don't compress: a multiplicative generator is enough.
    let mut state = 1_u64;
    let mut bytes = |length: usize| -> Vec<u8> {
        let next = |_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        };
        (0..length).map(next).collect()
    };
    let values: Vec<Vec<u8>> = (0..5).map(|n| bytes((1 << 20) + n * 300_000)).collect();
    let record = |value: &Vec<u8>| Append { value: Some(value.clone()), ..append(Texts, 0, "large", None) };
    let places = backend.commit("x", values.iter().map(record).collect());
    let read: Vec<Vec<u8>> = backend.read(Texts, 0).0.into_iter().map(|record| record.value.unwrap()).collect();
    assert!(read == values, "{:?}", read.iter().map(Vec::len).collect::<Vec<_>>());
    assert!(backend.fetch(Texts, places[3], "large") == Fetched::Found(Some(values[3].clone())));
}

pub fn a_plain_writer_needs_no_owner(backend: &Backend) {
    let mut appender = backend.log.appender().unwrap();
    for n in 0..2500 {
        let key = format!("document {n}");
        appender.append(Append { partition: None, ..append(Documents, 0, &key, Some("{}")) }).unwrap();
    }
    appender.flush().unwrap();
    let mut keys = BTreeSet::new();
    for partition in 0..N {
        for record in backend.read(Documents, partition).0 {
            assert_eq!(partition, partition::of_key(record.key.as_deref(), N));
            keys.insert(record.key);
        }
    }
    assert_eq!(keys.len(), 2500);
    appender.flush().unwrap();
}

pub fn a_tombstone_is_not_an_empty_value(backend: &Backend) {
    let keyless = Append { key: None, partition: None, ..append(DeadLetters, 0, "", Some("letter")) };
    let places = backend.commit("x", vec![append(Texts, 0, "a", Some("")), append(Texts, 0, "b", None), keyless]);
    let records = backend.read(Texts, 0).0;
    assert_eq!(records[0].value, Some(vec![]));
    assert_eq!(records[1].value, None);
    assert_eq!(backend.fetch(Texts, places[1], "b"), Fetched::Found(None));
    assert_eq!(places[2].partition, 0);
    assert_eq!(backend.read(DeadLetters, 0).0[0].key, None);
}
