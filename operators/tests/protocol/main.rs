//! The commit protocol (protocol.md) as a state machine: a crash is possible between any two steps, and every state that two
//! shards and a small history can reach is visited. The decisions are the implementation's own. Each rule can be left out,
//! and a test says which invariant that breaks.

mod explore;
mod extract;
mod extract_worker;
mod log;

use explore::{breaks, holds};
use extract::{Content, Extract, Record, Rule};

const A: Content = Content::Is(1);
const B: Content = Content::Is(2);

fn extract(first: &[Record], second: &[Record]) -> Extract {
    let documents = [first.to_vec(), second.to_vec()];
    Extract { documents, crashes: 1, failures: 0, compactions: 0, zombies: false, without: None }
}

#[test]
fn documents_that_change_back_are_extracted_whatever_crashes() {
    let model = Extract { crashes: 2, ..extract(&[("d", A), ("d", B), ("d", A)], &[("e", A)]) };
    holds("A, B, A with two crashes", &model, 1);
}

#[test]
fn deletes_undecodable_bytes_and_failed_calls_leave_nothing_old() {
    let model = extract(&[("d", A), ("d", Content::Undecodable), ("d", B)], &[("e", A), ("e", Content::Deleted)]);
    holds("delete, undecodable, failed call", &Extract { failures: 1, ..model }, 1);
}

#[test]
fn a_former_process_that_still_runs_changes_nothing() {
    let model = extract(&[("d", A), ("d", Content::Deleted)], &[("e", A), ("e", B)]);
    holds("a zombie", &Extract { zombies: true, ..model }, 1);
}

#[test]
fn an_answer_is_paid_for_once_also_when_compaction_takes_its_record() {
    let model = extract(&[("d", A), ("d", A), ("f", A)], &[("e", A)]);
    holds("compaction", &Extract { crashes: 2, compactions: 1, ..model }, 1);
}

#[test]
fn a_document_of_two_partitions_does_not_lose_records() {
    let model = Extract { crashes: 1, ..extract(&[("d", A), ("e", A)], &[("f", A), ("f", A), ("f", B)]) };
    holds("independent shards", &model, 1);
}

#[test]
fn without_the_order_of_a_document_a_change_back_is_lost() {
    let model = extract(&[("d", A), ("d", B), ("d", A)], &[]);
    breaks("order", &Extract { without: Some(Rule::InOrder), ..model }, "lost");
}

#[test]
fn without_memory_from_extractions_a_delete_is_lost() {
    let model = extract(&[("d", A), ("d", Content::Deleted)], &[]);
    breaks("memory", &Extract { without: Some(Rule::MemoryFromExtractions), ..model }, "lost");
}

#[test]
fn without_tombstones_a_dead_letter_leaves_the_old_version() {
    for second in [B, Content::Undecodable] {
        let model = extract(&[("d", A), ("d", second)], &[]);
        breaks("dead letter", &Extract { failures: 1, without: Some(Rule::DeadLettersDelete), ..model }, "lost");
    }
}

#[test]
fn without_fencing_all_shards_first_a_delete_is_lost() {
    let model = Extract { zombies: true, ..extract(&[("d", A)], &[("e", A), ("e", Content::Deleted)]) };
    breaks("gate", &Extract { without: Some(Rule::AllFencedFirst), ..model }, "lost");
}

#[test]
fn without_fencing_a_record_has_two_outcomes() {
    let model = Extract { zombies: true, ..extract(&[("d", A)], &[]) };
    breaks("fencing", &Extract { without: Some(Rule::Fencing), ..model }, "1");
}

#[test]
fn without_hits_in_the_low_mark_an_answer_is_paid_for_twice() {
    let model = Extract { crashes: 2, ..extract(&[("d", A), ("f", A), ("g", A)], &[]) };
    breaks("low mark", &Extract { without: Some(Rule::HitsHoldTheLowMark), ..model }, "3");
}

#[test]
fn without_keys_by_document_an_answer_is_paid_for_twice() {
    let model = Extract { compactions: 1, ..extract(&[("f", A), ("d", A), ("d", A)], &[]) };
    breaks("journal key", &Extract { without: Some(Rule::SubjectIsTheDocument), ..model }, "3");
}

#[test]
fn without_confirmed_marks_an_answer_is_trimmed_that_is_needed() {
    let model = extract(&[("d", A), ("f", A)], &[]);
    breaks("trim", &Extract { without: Some(Rule::TrimConfirmed), ..model }, "3");
}

#[test]
fn without_one_snapshot_a_record_has_no_outcome() {
    let model = extract(&[("d", A), ("d", B)], &[]);
    breaks("snapshot", &Extract { without: Some(Rule::OneSnapshot), ..model }, "1");
}
