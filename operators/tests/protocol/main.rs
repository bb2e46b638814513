//! The commit protocol as a state machine, with a crash possible between any two steps (protocol.md).
//!
//! Logs with transactions, fences, two kinds of ends, trimming and compaction; the three roles with two shards each; a scripted
//! model server; up to three crashes, one of which may leave a zombie that goes on. All states of small histories are looked at,
//! and random ways through larger ones. The decisions are the implementation's own functions (each role's file says which).
//! Every invariant holds in every state; and with a rule left out, one breaks.

mod check;
mod explore;
mod extract;
mod generate;
mod graph;
mod log;
mod process;
mod rules;
mod scenarios;
mod server;
mod spelled;
mod state;

use std::collections::BTreeSet;

use synthllm_operators::draw::{Choice, Draw, WalkId};
use synthllm_operators::id::ConceptId;
use synthllm_operators::provenance::Withdraw;
use synthllm_operators::record::Role;

use explore::{explore, walk};
use rules::{Rule, Rules};
use scenarios::{combination, combinations, documents, extraction, extractions, sample};
use state::{Event, Scenario, Zombies};

/// So many random ways.
const WALKS: u64 = 1_000;

/// Explores a scenario to its end, and finds nothing broken. At least so many states, and the faults it is about, so that the
/// search can't shrink unseen.
fn holds(scenario: Scenario, at_least: usize) -> BTreeSet<Event> {
    let found = explore(&scenario, Rules::default());
    println!("{}: {} states, {} of them at an end; {:?}", scenario.name, found.states, found.ends, found.events);
    assert!(found.broken.is_none(), "{}: {}", scenario.name, found.broken.unwrap_or_default());
    assert!(found.states >= at_least && found.ends > 0, "{}: only {} states", scenario.name, found.states);
    let mut wanted = BTreeSet::new();
    wanted.extend((scenario.crashes > 0).then_some([Event::Kill, Event::Expiry]).into_iter().flatten());
    wanted.extend((scenario.zombies != Zombies::Never).then_some([Event::Freeze, Event::Refusal]).into_iter().flatten());
    wanted.extend((scenario.compactions > 0).then_some(Event::Compaction));
    assert!(found.events.is_superset(&wanted), "{}: only {:?} have happened", scenario.name, found.events);
    found.events
}

#[test]
fn records_of_one_document_have_their_outcomes_in_order() {
    holds(Scenario { crashes: 2, ..documents("A, B, A", &["dA", "dB", "dA"]) }, 2_000);
    holds(Scenario { crashes: 1, zombies: Zombies::Always, ..documents("A, B", &["dA", "dB"]) }, 2_000);
    holds(Scenario { crashes: 1, zombies: Zombies::Always, ..documents("A, x", &["dA", "xA"]) }, 70_000);
}

#[test]
fn answers_are_not_paid_for_again() {
    let events = holds(Scenario { crashes: 2, compactions: 1, ..documents("A, A, e", &["dA", "dA", "eA"]) }, 5_000);
    assert!(events.contains(&Event::Trim), "nothing was trimmed");
    holds(Scenario { crashes: 2, ..documents("repair", &["dR", "xA"]) }, 130_000);
    holds(Scenario { crashes: 2, ..documents("three documents", &["dA", "eA", "fA"]) }, 25_000);
}

#[test]
fn dead_letters_and_deletes_leave_nothing_alive() {
    holds(Scenario { crashes: 1, ..documents("undecodable", &["dA", "d?", "dA"]) }, 450);
    holds(Scenario { crashes: 1, ..documents("failed call, delete", &["dA", "dF", "dB", "d-"]) }, 1_100);
}

/// Two documents in two partitions.
fn two() -> Vec<(log::Place, log::Value)> {
    vec![extraction(b'd', Some((0, 0, 0))), extraction(b'e', Some((1, 1, 1)))]
}

/// The same, and later a new version of the first one.
fn update() -> Scenario {
    let mut script = two();
    script.push(extraction(b'd', Some((2, 2, 0))));
    Scenario { crashes: 1, compactions: 1, before: 2, ..extractions("update below the cut", script) }
}

#[test]
fn draws_of_a_settlement_are_made_on_one_live_set() {
    holds(Scenario { crashes: 2, ..extractions("draws", two()) }, 300_000);
    holds(update(), 450_000);
}

/// Two combinations that ask the same, on two documents.
fn duplicates(question: u8) -> Vec<(log::Place, log::Value)> {
    let combinations = [combination(0, 0, question, (b'd', 0, 0)), combination(1, 1, question, (b'e', 1, 0))];
    two().into_iter().chain(combinations).collect()
}

/// A document is deleted, and inserted again.
fn reinsert() -> Scenario {
    let again = [extraction(b'd', None), extraction(b'd', Some((0, 2, 2))), combination(1, 1, 1, (b'd', 2, 2))];
    let script = two()[..1].iter().cloned().chain([combination(0, 0, 1, (b'd', 0, 0))]).chain(again).collect();
    Scenario { crashes: 1, before: 2, ..combinations("delete, insert", script) }
}

/// Two processes that start together.
fn together() -> Scenario {
    Scenario { crashes: 1, zombies: Zombies::InStart, window: 1, ..combinations("together", duplicates(1)) }
}

/// A document with a sample is deleted, whose question two combinations of another document ask.
fn takeover() -> Scenario {
    let mut script = vec![extraction(b'd', Some((0, 0, 0))), sample(0, 0, 1, (b'd', 0, 0))];
    script.extend([extraction(b'd', None), extraction(b'e', Some((1, 1, 1)))]);
    script.extend([combination(1, 1, 1, (b'e', 1, 0)), combination(0, 2, 1, (b'e', 1, 0))]);
    Scenario { crashes: 1, window: 1, ..combinations("a question passes on", script) }
}

#[test]
fn samples_stand_on_live_documents_and_ask_different_questions() {
    holds(Scenario { crashes: 1, ..combinations("duplicate", duplicates(1)) }, 16_000);
    holds(Scenario { crashes: 1, zombies: Zombies::AtWork, ..combinations("duplicate, zombie", duplicates(1)) }, 35_000);
    holds(Scenario { crashes: 1, ..combinations("the holder fails", duplicates(server::FAILS)) }, 12_000);
    holds(reinsert(), 19_000);
    holds(Scenario { withdraw: Withdraw::DeletedOrChanged, name: "delete, insert, or changed", ..reinsert() }, 19_000);
    holds(takeover(), 6_000);
}

#[test]
fn processes_that_start_together_break_nothing() {
    holds(together(), 800_000);
}

/// Three roles on a history of documents.
fn pipeline(seed: u64) -> Scenario {
    let draw = |index: u64, below: u64| {
        let walk = WalkId { seed, node: ConceptId(1), start: index };
        Draw::new(walk, 0, 0, Choice::Plan).below(below) as usize
    };
    let history: Vec<String> = (0..8)
        .map(|at| {
            format!("{}{}", ["d", "e", "x"][draw(2 * at, 3)], ["A", "B", "C", "R", "F", "?", "-"][draw(2 * at + 1, 7)])
        })
        .collect();
    let history: Vec<&str> = history.iter().map(String::as_str).collect();
    let roles = vec![Role::Extract, Role::Graph, Role::Generate];
    let (crashes, zombies, compactions, before) = (3, Zombies::Always, 2, 0);
    Scenario { roles, crashes, zombies, compactions, before, window: 3, ..documents("pipeline", &history) }
}

#[test]
fn random_ways_through_the_whole_pipeline_end_well() {
    let mut steps = 0;
    for seed in 0..WALKS {
        steps += walk(&pipeline(seed), Rules::default(), seed).unwrap_or_else(|problem| panic!("{problem}"));
    }
    println!("{WALKS} random ways, {steps} steps");
    assert!(steps as u64 > 100 * WALKS, "only {steps} steps");
}

/// The rule is needed: without it this invariant breaks, and with it none, however the scenario goes on.
fn breaks(rule: Rule, scenario: Scenario, invariant: &str) {
    shows(rule, &scenario, invariant);
    let ruled = explore(&scenario, Rules::default());
    println!("with {rule:?}: {} states, {} of them at an end", ruled.states, ruled.ends);
    assert!(ruled.ends > 0 && ruled.broken.is_none(), "with {rule:?}: {:?}", ruled.broken);
}

/// Without the rule this invariant breaks; another test shows that with it none does.
fn shows(rule: Rule, scenario: &Scenario, invariant: &str) {
    let found = explore(scenario, Rules::without(rule));
    let broken = found.broken.unwrap_or_else(|| panic!("without {rule:?} nothing breaks in {} states", found.states));
    println!("without {rule:?}, after {} states: {}", found.states, broken.lines().next().unwrap_or_default());
    assert!(broken.contains(invariant), "{broken}");
}

#[test]
fn without_one_gate_for_the_role_two_samples_ask_the_same() {
    let scenario = Scenario { crashes: 1, zombies: Zombies::AtWork, ..combinations("gate", duplicates(1)) };
    shows(Rule::OneGate, &scenario, "invariant 7");
}

#[test]
fn of_two_processes_that_start_together_each_may_own_one_shard() {
    shows(Rule::OwnershipConfirmed, &together(), "invariant 7");
}

#[test]
fn without_the_fence_before_reading_an_outcome_is_written_twice() {
    let scenario = Scenario { crashes: 1, zombies: Zombies::Always, ..documents("unfenced", &["dA"]) };
    breaks(Rule::FencedBeforeRead, scenario, "invariant 1");
}

#[test]
fn without_fencing_an_outcome_is_written_twice() {
    let scenario = Scenario { crashes: 1, zombies: Zombies::Always, ..documents("no fence", &["dA"]) };
    breaks(Rule::Fencing, scenario, "invariant 1");
}

#[test]
fn without_counting_control_records_a_start_never_ends() {
    let scenario = Scenario { crashes: 1, ..documents("control records", &["dA"]) };
    breaks(Rule::PositionsCountControlRecords, scenario, "no step is left");
}

#[test]
fn with_the_position_of_another_snapshot_a_record_has_no_outcome() {
    breaks(Rule::PositionOfTheSnapshot, documents("position", &["dA", "eA"]), "passes record");
}

#[test]
fn with_the_answers_of_another_snapshot_one_is_in_no_transaction() {
    breaks(Rule::AnswersOfTheSnapshot, documents("answers", &["dA", "eA"]), "invariant 3");
}

#[test]
fn without_hits_in_the_low_mark_an_answer_is_paid_for_again() {
    let scenario = Scenario { crashes: 2, window: 3, ..documents("hits", &["dA", "eA", "fA"]) };
    breaks(Rule::HitsHoldTheMark, scenario, "invariant 3");
}

#[test]
fn trimming_below_an_unconfirmed_mark_loses_an_answer() {
    let scenario = Scenario { crashes: 1, zombies: Zombies::Always, ..documents("trim", &["dA", "eA"]) };
    breaks(Rule::TrimConfirmed, scenario, "invariant 3");
}

#[test]
fn with_the_version_in_the_journal_key_an_answer_is_paid_for_again() {
    let scenario = Scenario { crashes: 1, compactions: 1, ..documents("version", &["eA", "dA", "dA"]) };
    breaks(Rule::SubjectWithoutVersion, scenario, "invariant 3");
}

#[test]
fn without_the_attempt_in_the_journal_key_a_repaired_document_is_lost() {
    breaks(Rule::AttemptInKey, Scenario { crashes: 1, ..documents("attempt", &["eA", "dR"]) }, "from scratch");
}

#[test]
fn without_turns_an_update_is_lost() {
    breaks(Rule::Turns, documents("turns", &["dA", "dB", "dA"]), "from scratch");
}

#[test]
fn a_dead_letter_without_tombstones_leaves_the_old_content_alive() {
    breaks(Rule::BuriedWithTombstones, documents("tombstones", &["dA", "d?"]), "from scratch");
}

#[test]
fn judged_before_extractions_are_read_a_combination_is_lost() {
    let script = vec![extraction(b'd', Some((0, 0, 0))), combination(0, 0, 1, (b'd', 0, 0))];
    breaks(Rule::JudgedAfterReading, Scenario { before: 0, ..combinations("unread", script) }, "skipped");
}

#[test]
fn a_duplicate_that_does_not_wait_is_lost_with_its_holder() {
    breaks(Rule::DuplicateWaits, combinations("holder", duplicates(server::FAILS)), "dropped as a duplicate");
}

#[test]
fn without_since_a_sample_of_a_deleted_document_stays() {
    breaks(Rule::SinceOfIncarnation, Scenario { crashes: 1, ..reinsert() }, "invariant 5");
}

#[test]
fn starts_that_are_committed_out_of_order_are_lost() {
    breaks(Rule::StartsInOrder, Scenario { crashes: 1, ..extractions("order", two()) }, "starts of");
}

#[test]
fn draws_before_the_settlement_is_recorded_are_made_on_two_live_sets() {
    shows(Rule::SettlementRecorded, &update(), "invariant 6");
}

#[test]
fn a_settlement_resumed_without_its_digest_is_drawn_on_two_live_sets() {
    shows(Rule::SettlementDigest, &update(), "invariant 6");
}
