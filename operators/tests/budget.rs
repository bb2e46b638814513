//! The law of the ledger: never more than the limit is spent and reserved, nothing is negative, and accounts are exact.

use proptest::prelude::*;
use synthllm_operators::budget::{Amount, Kind, Ledger, Limits, Refusal, Reservation};

/// What happens to a ledger. Numbers of records count those that are open, from the oldest, round and round.
#[derive(Clone, Debug)]
enum Event {
    Begin(Amount),
    /// A part of what the record has left, in hundredths.
    Use(usize, u64),
    End(usize),
    NextDay,
}

fn amount(most: u64) -> impl Strategy<Value = Amount> {
    (0..=most, 0..=most).prop_map(|(tokens, cost)| Amount { tokens, cost })
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => amount(60).prop_map(Event::Begin),
        4 => (0..8_usize, 0..=100_u64).prop_map(|(record, part)| Event::Use(record, part)),
        3 => (0..8_usize).prop_map(Event::End),
        1 => Just(Event::NextDay),
    ]
}

fn limits() -> impl Strategy<Value = Limits> {
    let limit = || prop::option::of(0..200_u64);
    (limit(), limit(), limit(), limit()).prop_map(|(tokens, cost, tokens_per_day, cost_per_day)| Limits {
        tokens,
        cost,
        tokens_per_day,
        cost_per_day,
    })
}

/// An open record beside the ledger: its reservation, and what it may still use.
type Open = Vec<(Reservation, Amount)>;

fn within(ledger: &Ledger, limits: &Limits) -> Result<(), TestCaseError> {
    for kind in Kind::ALL {
        if let Some(limit) = limits.of(kind) {
            let held = ledger.spent(kind) + kind.of(ledger.reserved());
            prop_assert!(held <= limit.max(ledger.spent(kind)), "{kind:?}: {held} of {limit}");
        }
    }
    Ok(())
}

fn sum(open: &Open) -> Amount {
    open.iter().fold(Amount::default(), |sum, (_, left)| sum.plus(*left))
}

proptest! {
    #[test]
    fn spent_and_reserved_never_exceed_a_limit_and_are_exact(
        limits in limits(),
        before in amount(40),
        events in prop::collection::vec(event(), 0..80),
    ) {
        // What earlier runs have spent today may exceed a limit that was lowered since.
        let mut ledger = Ledger::new(limits, 7, before);
        let (mut open, mut run, mut today) = (Open::new(), Amount::default(), before);
        for event in events {
            match event {
                Event::Begin(need) => if let Ok(reservation) = ledger.reserve(need) {
                    open.push((reservation, need));
                },
                Event::Use(record, part) if !open.is_empty() => {
                    let at = record % open.len();
                    let (reservation, left) = &mut open[at];
                    let used = Amount { tokens: left.tokens * part / 100, cost: left.cost * part / 100 };
                    ledger.draw(reservation, used);
                    (*left, run, today) = (left.minus(used), run.plus(used), today.plus(used));
                }
                Event::End(record) if !open.is_empty() => {
                    let (reservation, _) = open.remove(record % open.len());
                    ledger.settle(reservation);
                }
                Event::NextDay => {
                    ledger.begin_day(ledger.day() + 1);
                    today = Amount::default();
                }
                Event::Use(..) | Event::End(_) => (),
            }
            within(&ledger, &limits)?;
            prop_assert_eq!(ledger.reserved(), sum(&open));
            prop_assert_eq!(Kind::ALL.map(|kind| ledger.spent(kind)), [run.tokens, run.cost, today.tokens, today.cost]);
        }
        open.into_iter().for_each(|(reservation, _)| ledger.settle(reservation));
        prop_assert_eq!(ledger.reserved(), Amount::default());
    }

    #[test]
    fn a_refusal_says_whether_waiting_helps(limits in limits(), needs in prop::collection::vec(amount(60), 1..12)) {
        let mut ledger = Ledger::new(limits, 0, Amount::default());
        let mut open = Vec::new();
        for need in needs {
            match ledger.reserve(need) {
                Ok(reservation) => open.push(reservation),
                Err(Refusal::Later) => {
                    let mut alone = Ledger::new(limits, 0, Amount::default());
                    prop_assert!(!open.is_empty() && alone.reserve(need).is_ok());
                }
                Err(Refusal::Reached(kind)) => prop_assert!(limits.of(kind).is_some_and(|limit| kind.of(need) > limit)),
            }
        }
    }

    #[test]
    fn shares_are_the_whole_and_nearly_equal(whole in 0..10_000_u64, parts in 1..9_u64) {
        let limits = Limits { tokens: Some(whole), ..Limits::default() };
        let shares: Vec<u64> = (0..parts).filter_map(|part| limits.share(part, parts).tokens).collect();
        prop_assert_eq!(shares.iter().sum::<u64>(), whole);
        prop_assert!(shares.iter().max().zip(shares.iter().min()).is_some_and(|(most, least)| most - least <= 1));
    }
}

#[test]
fn what_is_used_beyond_a_reservation_is_spent_and_stops_what_comes_after() {
    let mut ledger = Ledger::new(Limits { cost: Some(100), ..Limits::default() }, 0, Amount::default());
    let tokens_only = Amount { tokens: 1_000, cost: 0 };
    let mut reservation = ledger.reserve(Amount { tokens: 0, cost: 60 }).expect("there is enough");
    ledger.draw(&mut reservation, Amount { tokens: 5, cost: 130 });
    ledger.settle(reservation);
    assert_eq!((ledger.spent(Kind::Cost), ledger.reserved()), (130, Amount::default()));
    assert_eq!(ledger.reserve(Amount { tokens: 0, cost: 1 }), Err(Refusal::Reached(Kind::Cost)));
    assert!(ledger.reserve(tokens_only).is_ok(), "what costs nothing passes");
}

#[test]
fn a_new_day_frees_what_the_day_before_has_spent_and_an_earlier_one_nothing() {
    let mut ledger = Ledger::new(Limits { tokens_per_day: Some(10), ..Limits::default() }, 5, Amount::default());
    ledger.spend(Amount { tokens: 10, cost: 0 });
    ledger.begin_day(4);
    assert_eq!(ledger.spent(Kind::TokensPerDay), 10);
    ledger.begin_day(6);
    assert_eq!((ledger.spent(Kind::TokensPerDay), ledger.spent(Kind::Tokens)), (0, 10));
}
