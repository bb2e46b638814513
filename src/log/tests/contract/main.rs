//! The contract of the logs: one suite, run against a SQLite file and against a real Kafka broker.
//!
//! `cases` holds the suite, `backends` what it runs against; `sqlite` and `kafka` hold what only one of them can show.
#![allow(missing_docs, clippy::unwrap_used)]

mod backends;
mod cases;
mod child;
mod kafka;
mod sqlite;

/// One `#[test]` per case and backend.
macro_rules! contract {
    ($($case:ident),* $(,)?) => {
        mod on_sqlite {
            $(#[test] fn $case() { crate::cases::$case(&crate::backends::Backend::sqlite()); })*
        }
        mod on_kafka {
            $(#[test] fn $case() {
                if let Some(backend) = crate::backends::Backend::kafka(stringify!($case)) {
                    crate::cases::$case(&backend);
                }
            })*
        }
    };
}

contract! {
    logs_are_created_once_and_verified,
    documents_that_we_create_keep_deletions_for_thirty_days,
    every_problem_of_logs_that_do_not_fit_is_named,
    a_record_goes_to_the_partition_it_names_or_that_of_its_key,
    a_transaction_over_several_logs_is_all_or_nothing,
    offsets_are_known_before_the_commit_and_hold_after_it,
    a_partition_is_read_from_an_offset,
    reading_to_the_end_leaves_out_what_an_open_transaction_does_not_commit,
    a_partition_that_ends_in_aborted_records_is_read_to_its_end,
    a_reader_is_told_of_a_commit_while_it_waits,
    a_fetch_checks_offset_and_key,
    many_pointers_are_fetched_in_the_order_asked,
    compaction_keeps_the_last_record_of_each_key,
    trimming_removes_what_lies_below_and_offsets_never_go_back,
    only_trimmed_logs_can_be_trimmed,
    a_former_owner_is_fenced_before_its_transaction,
    a_former_owner_is_fenced_in_the_middle_of_its_transaction,
    the_owner_of_a_shard_can_be_killed_and_replaced,
    records_of_a_megabyte_come_back_whole,
    a_plain_writer_needs_no_owner,
    a_tombstone_is_not_an_empty_value,
}
