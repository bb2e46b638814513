//! The laws of `schedule` and `limit`: what is owed is issued once, fewest starts first; a limit accepts a prefix of that order.

mod reference;

use std::collections::BTreeMap;

use proptest::prelude::*;
use reference::entry;
use synthllm_operators::graph::{Found, Outcome};
use synthllm_operators::id::ConceptId;
use synthllm_operators::limit::{Limit, starts};
use synthllm_operators::schedule::{Order, Quota, Schedule};
use synthllm_operators::settle::draw_all;
use synthllm_operators::upsert::Entry;
use synthllm_operators::walk::Settings;

#[derive(Clone, Debug)]
enum Change {
    Documents(u64, u64),
    Issue(u8),
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let change = prop_oneof![
        (0..6u64, 0..9u64).prop_map(|(node, documents)| Change::Documents(node, documents)),
        (0..4u8).prop_map(Change::Issue)
    ];
    prop::collection::vec(change, 0..60)
}

fn outcomes() -> impl Strategy<Value = Vec<Outcome>> {
    prop::collection::btree_map((0..6u64, 0..5u64), any::<bool>(), 0..30).prop_map(|outcomes| {
        let result =
            |is_found| if is_found { Found::Combination { walk: vec![], references: vec![] } } else { Found::Stuck };
        let outcome = |((node, start), is_found)| Outcome {
            node: ConceptId(node),
            start,
            result: result(is_found),
            capped: false,
            stuck: [false; 3],
            rejections: 0,
        };
        outcomes.into_iter().map(outcome).collect()
    })
}

fn is_combination(outcome: &Outcome) -> bool {
    matches!(outcome.result, Found::Combination { .. })
}

fn order(outcome: &Outcome) -> Order {
    Order::of(3, outcome.node, outcome.start)
}

proptest! {
    #[test]
    fn issued_is_what_is_owed_whatever_the_order_of_arrival(changes in changes(), epochs in 0..4u32, per_document in 0.0..1.5f64) {
        let quota = Quota { epochs, starts_per_document: per_document };
        let mut schedule = Schedule::new(3, quota);
        let (mut documents, mut issued) = (BTreeMap::<u64, u64>::new(), BTreeMap::<u64, u64>::new());
        let open = |documents: &BTreeMap<u64, u64>, issued: &BTreeMap<u64, u64>| {
            let owes = |(&node, &count): (&u64, &u64)| {
                let start = issued.get(&node).copied().unwrap_or(0);
                (start < quota.of(count)).then(|| Order::of(3, ConceptId(node), start))
            };
            documents.iter().filter_map(owes).min()
        };
        for change in changes.into_iter().chain([Change::Issue(u8::MAX)]) {
            match change {
                Change::Documents(node, count) => {
                    schedule.set_documents(ConceptId(node), count);
                    documents.insert(node, count);
                }
                Change::Issue(count) => for _ in 0..count {
                    let expected = open(&documents, &issued);
                    prop_assert_eq!(schedule.next(), expected);
                    let Some(order) = expected else { break };
                    issued.insert(order.node.0, order.start + 1);
                },
            }
        }
        prop_assert_eq!(schedule.is_done(), open(&documents, &issued).is_none());
    }

    #[test]
    fn a_limit_accepts_a_prefix_in_whatever_batches_outcomes_come(outcomes in outcomes(), limit in prop::option::of(0..12u64), cuts in prop::collection::vec(0..30usize, 0..4), stop_after in 0..30usize) {
        let limit_of_all = limit;
        let mut expected: Vec<Outcome> = outcomes.clone();
        expected.sort_by_key(order);
        let mut left = limit;
        let taken = expected.iter().take_while(|outcome| {
            let goes_on = left != Some(0);
            left = left.map(|left| left.saturating_sub(u64::from(goes_on && is_combination(outcome))));
            goes_on
        }).count();
        expected.truncate(taken);

        let mut limit = Limit::new(3, limit);
        for outcome in &outcomes {
            limit.offer(outcome.clone());
        }
        let mut accepted = Vec::new();
        let mut sorted = outcomes.clone();
        sorted.sort_by_key(order);
        let mut cuts: Vec<_> = cuts.into_iter().filter_map(|cut| sorted.get(cut).map(order)).collect();
        cuts.sort();
        for complete in cuts.into_iter().map(Some).chain([None]) {
            accepted.extend(limit.accept(complete));
            prop_assert!(accepted.iter().all(|outcome| complete.is_none_or(|complete| order(outcome) < complete)));
        }
        prop_assert_eq!(&accepted, &expected);

        let mut singly = Limit::new(3, limit_of_all);
        outcomes.iter().for_each(|outcome| singly.offer(outcome.clone()));
        let mut one_by_one = Vec::new();
        while one_by_one.len() < stop_after && singly.accept_one(None, &mut one_by_one) {
            prop_assert!(one_by_one.last().is_some_and(is_combination));
        }
        prop_assert!(expected.starts_with(&one_by_one));
        for (node, first) in singly.give_back() {
            let left = sorted[one_by_one.len()..].iter().filter(|outcome| outcome.node == node);
            prop_assert_eq!(left.map(|outcome| outcome.start).min(), Some(first));
        }
        prop_assert!(singly.is_empty());

        for (node, next) in starts(&accepted) {
            prop_assert_eq!(Some(next), accepted.iter().filter(|outcome| outcome.node == node).map(|outcome| outcome.start + 1).max());
        }
    }
}

#[test]
fn starts_loaded_from_progress_are_not_issued_again() {
    let mut schedule = Schedule::new(3, Quota { epochs: 3, starts_per_document: 0.0 });
    schedule.set_started(ConceptId(1), 2);
    schedule.set_documents(ConceptId(1), 5);
    assert_eq!(schedule.next(), Some(Order::of(3, ConceptId(1), 2)));
    assert_eq!(schedule.next(), None);
}

#[test]
fn a_quota_counts_whole_starts_and_only_where_documents_are() {
    let quota = Quota { epochs: 2, starts_per_document: 0.3 };
    assert_eq!([0, 1, 9, 10, 100].map(|documents| quota.of(documents)), [0, 2, 2, 3, 30]);
}

#[test]
fn a_smaller_limit_draws_a_prefix() {
    let entries: Vec<Entry> = (0..40u64)
        .map(|number| {
            let name = |prefix: &str, count: u64| format!("{prefix}{}", number % count);
            let (topic, names) = (name("t", 7), [name("k", 5), name("l", 3), name("m", 2), name("n", 4)]);
            entry(&format!("d{number}"), (number % 8) as u32, number / 8, &[&topic], &names.each_ref().map(String::as_str))
        })
        .collect();
    let quota = Quota { epochs: 30, starts_per_document: 0.0 };
    let all = draw_all(entries.clone(), Settings::default(), quota, None);
    assert_eq!(all.len(), 7 * 30);
    assert!(all.is_sorted_by_key(|outcome| Order::of(0, outcome.node, outcome.start)));
    for limit in [0, 1, 5, 150] {
        let some = draw_all(entries.clone(), Settings::default(), quota, Some(limit));
        assert_eq!(some, all[..some.len()]);
        assert_eq!(some.iter().filter(|outcome| is_combination(outcome)).count() as u64, limit);
        assert!(some.last().is_none_or(is_combination));
    }
}
