//! What calls have cost, per day and per run, as it stands among the counters of a shard's `progress`: written in the transaction
//! that makes the answers durable, so that it survives a restart exactly.

use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};

use synthllm_operators::budget::Amount;
use synthllm_operators::record::Answer;

use super::estimate::billionths;

const TOKENS_ON: &str = "tokens_on_";
const COST_ON: &str = "cost_on_";
const RUN: &str = "run";
const RUN_TOKENS: &str = "run_tokens";
const RUN_COST: &str = "run_cost";

/// Days that a shard's `progress` keeps.
const DAYS_KEPT: usize = 2;

type Counters = BTreeMap<String, u64>;

/// What a shard's calls have used and its `progress` does not say yet, by day since 1970.
#[derive(Default, Debug)]
pub struct Bill(BTreeMap<u64, Amount>);

impl Bill {
    /// An answer was paid for on a day.
    pub fn add(&mut self, day: u64, used: Amount) {
        let sum = self.0.entry(day).or_default();
        *sum = sum.plus(used);
    }

    /// Enters it into the counters, in the run of this name.
    pub fn enter(&mut self, run: u64, counters: &mut Counters) {
        for (day, used) in std::mem::take(&mut self.0) {
            let day = day_name(day);
            if counters.get(RUN) != Some(&run) {
                counters.extend([(RUN, run), (RUN_TOKENS, 0), (RUN_COST, 0)].map(|(name, value)| (name.to_owned(), value)));
            }
            for (name, more) in [
                (format!("{TOKENS_ON}{day}"), used.tokens),
                (format!("{COST_ON}{day}"), used.cost),
                (RUN_TOKENS.to_owned(), used.tokens),
                (RUN_COST.to_owned(), used.cost),
            ] {
                *counters.entry(name).or_default() += more;
            }
        }
        [TOKENS_ON, COST_ON].iter().for_each(|prefix| forget_old_days(counters, prefix));
    }
}

/// Names of days sort as days do.
fn forget_old_days(counters: &mut Counters, prefix: &str) {
    let days: Vec<String> = counters.keys().filter(|name| name.starts_with(prefix)).cloned().collect();
    for day in days.iter().rev().skip(DAYS_KEPT) {
        counters.remove(day);
    }
}

/// What an answer has cost.
pub fn of_answer(answer: &Answer) -> Amount {
    let tokens = answer.usage.prompt_tokens + answer.usage.completion_tokens;
    Amount { tokens, cost: billionths(answer.cost) }
}

/// What a shard has spent on a day.
pub fn spent_on(counters: &Counters, day: u64) -> Amount {
    let day = day_name(day);
    let value = |prefix: &str| counters.get(&format!("{prefix}{day}")).copied().unwrap_or(0);
    Amount { tokens: value(TOKENS_ON), cost: value(COST_ON) }
}

/// What a shard has spent in the last run in which it spent anything, and when that run began, in microseconds since 1970.
pub fn spent_in_run(counters: &Counters) -> Option<(u64, Amount)> {
    let value = |name: &str| counters.get(name).copied();
    Some((value(RUN)?, Amount { tokens: value(RUN_TOKENS)?, cost: value(RUN_COST)? }))
}

/// `2026-11-24`, in UTC.
pub fn day_name(day: u64) -> String {
    let midnight = UNIX_EPOCH + Duration::from_secs(day.saturating_mul(24 * 60 * 60));
    humantime::format_rfc3339_seconds(midnight).to_string().chars().take(10).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn amount(tokens: u64) -> Amount {
        Amount { tokens, cost: 10 * tokens }
    }

    #[test]
    fn a_bill_adds_up_per_day_and_per_run_and_forgets_what_is_long_ago() {
        let (mut bill, mut counters) = (Bill::default(), Counters::new());
        for (run, day, tokens) in [(1, 20_000, 5), (1, 20_001, 7), (1, 20_001, 1), (2, 20_001, 2), (2, 20_002, 4)] {
            bill.add(day, amount(tokens));
            bill.enter(run, &mut counters);
        }
        assert_eq!(spent_on(&counters, 20_002), amount(4));
        assert_eq!(spent_on(&counters, 20_001), amount(10));
        assert_eq!(spent_on(&counters, 20_000), amount(0), "older than the day before");
        assert_eq!(spent_in_run(&counters), Some((2, amount(6))));
        let before = counters.clone();
        bill.enter(3, &mut counters);
        assert_eq!(counters, before, "a run that spends nothing leaves no trace");
    }

    #[test]
    fn days_have_the_names_of_the_calendar() {
        assert_eq!((day_name(0).as_str(), day_name(20_786).as_str()), ("1970-01-01", "2026-11-29"));
    }
}
