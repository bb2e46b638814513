//! The budget of this process: one ledger for all its shards, and the clock's day.
//!
//! Several processes have equal shares of each budget, and roles that run apart have a part each, so that together they never exceed
//! it. What an endpoint charges for calls that it did not answer is not known here.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::Result;
use synthllm_operators::budget::{Amount, Kind, Ledger, Limits, Part, Refusal, Reservation};

use super::bill::day_name;
use super::clock::{today, unix_micros};

/// The money of this process.
pub struct Purse {
    /// Of all processes and roles together, as configured.
    limits: Limits,
    /// The roles of this run.
    part: Part,
    /// Which process this is, of how many.
    share: (u64, u64),
    /// When this run began, in microseconds since 1970; the name of the run in `progress`.
    run: u64,
    state: Mutex<State>,
    /// Whether a budget was ever reached.
    refused: AtomicBool,
}

struct State {
    ledger: Ledger,
    is_open: bool,
    reached: Option<Reached>,
}

/// A budget that does not allow one more record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reached {
    /// Which.
    pub kind: Kind,
    /// What the next record may need of it.
    pub need: u64,
}

impl Purse {
    /// For these roles on process `process` of `processes`.
    pub fn new(limits: Limits, part: Part, process: usize, processes: usize) -> Self {
        let share = (process as u64, processes.max(1) as u64);
        let ledger = Ledger::new(part.of(&limits).share(share.0, share.1), today(), Amount::default());
        let state = Mutex::new(State { ledger, is_open: false, reached: None });
        Purse { limits, part, share, run: unix_micros(), state, refused: AtomicBool::new(false) }
    }

    /// Takes over what earlier runs have spent today, once, when all shards of this run are fenced: the roles of this run, and all.
    pub fn open(&self, spent_on: impl FnOnce(u64) -> Result<[Amount; 2]>) -> Result<()> {
        let mut state = self.state();
        if !state.is_open && Kind::ALL.iter().any(|kind| kind.is_per_day() && self.limits.of(*kind).is_some()) {
            let (process, processes) = self.share;
            let day = today();
            let spent = self.spent(spent_on(day)?).share(process, processes);
            state.ledger = Ledger::new(self.part.of(&self.limits).share(process, processes), day, spent);
        }
        state.is_open = true;
        Ok(())
    }

    /// What is spent of the day's part of these roles.
    fn spent(&self, [own, all]: [Amount; 2]) -> Amount {
        let spent = |kind: Kind| match self.limits.of(kind) {
            Some(whole) => self.part.spent(whole, kind.of(own), kind.of(all)),
            None => kind.of(own),
        };
        Amount { tokens: spent(Kind::TokensPerDay), cost: spent(Kind::CostPerDay) }
    }

    /// Whether there is any budget.
    pub fn is_limited(&self) -> bool {
        !self.limits.is_empty()
    }

    /// The name of this run in `progress`.
    pub fn run(&self) -> u64 {
        self.run
    }

    /// Sets aside what a record may need at most; nothing when it must wait, or when a budget is reached.
    pub fn reserve(&self, need: Amount) -> Option<Reservation> {
        let mut state = self.state();
        state.begin_day(today());
        if state.reached.is_some() && need != Amount::default() {
            return None;
        }
        match state.ledger.reserve(need) {
            Ok(reservation) => Some(reservation),
            Err(Refusal::Later) => None,
            Err(Refusal::Reached(kind)) => {
                state.reached = Some(Reached { kind, need: kind.of(need) });
                self.refused.store(true, Ordering::Relaxed);
                None
            }
        }
    }

    /// An answer was paid for by a record with this reservation. Returns the day to which it is charged.
    pub fn draw(&self, reservation: Option<&mut Reservation>, used: Amount) -> u64 {
        let mut state = self.state();
        state.begin_day(today());
        match reservation {
            Some(reservation) => state.ledger.draw(reservation, used),
            None => state.ledger.spend(used),
        }
        state.ledger.day()
    }

    /// A record has its outcome.
    pub fn settle(&self, reservation: Reservation) {
        self.state().ledger.settle(reservation);
    }

    /// Whether the run ends because a budget is reached: the records that were begun have had their calls, and no new day is
    /// waited for.
    pub fn has_ended(&self, drain: bool) -> bool {
        if !self.refused.load(Ordering::Relaxed) {
            return false;
        }
        let state = self.state();
        let settled = state.ledger.reserved() == Amount::default();
        state.reached.is_some_and(|reached| settled && (drain || !self.waits_for_tomorrow(reached)))
    }

    /// What the status line says while a new day is waited for.
    pub fn waits_for(&self) -> Option<String> {
        let reached = self.state().reached.filter(|reached| self.waits_for_tomorrow(*reached))?;
        Some(format!("the next day (UTC), since {} is used up", self.budget(reached.kind)))
    }

    /// Which budget was reached, what was spent, and what to do.
    pub fn message(&self) -> Option<String> {
        let state = self.state();
        let Reached { kind, need } = state.reached?;
        let least = if kind.is_per_day() { state.ledger.spent(kind) + need } else { need };
        let (spent, least) = (shown(kind, state.ledger.spent(kind)), shown(kind, least));
        let (name, need) = (name(kind), shown(kind, need));
        let when =
            if kind.is_per_day() { format!("on {} (UTC)", day_name(state.ledger.day())) } else { "in this run".into() };
        let advice = if self.limit_of_this_process(kind) < state.reached.map_or(0, |reached| reached.need) {
            // What a share lacks is not said of the whole.
            let is_whole = matches!(self.part, Part::Whole) && self.share.1 == 1;
            let enough = if is_whole { format!("set {name} to at least {least}") } else { format!("raise {name}") };
            format!("{enough}, or lower `max_tokens`, `max_prompt_tokens` or `generate.questions`")
        } else if kind.is_per_day() {
            format!("the rest is done by a `run` on another day, or with a larger {name}")
        } else {
            format!("the rest is done by the next `run`; with a larger {name} it goes further")
        };
        let budget = self.budget(kind);
        Some(format!("{budget} is reached: {spent} spent {when}, and the next record may need up to {need}; {advice}"))
    }

    /// The budget with its limit, and whose share it is.
    fn budget(&self, kind: Kind) -> String {
        let limit = format!("{} = {}", name(kind), plain(kind, self.limits.of(kind).unwrap_or(0)));
        let limit = match self.part {
            Part::Whole => limit,
            Part::Extract(_) => format!("the part of extract (budget.extract_share) of {limit}"),
            Part::Generate(_) => format!("the part of generate (budget.extract_share) of {limit}"),
        };
        let (_, processes) = self.share;
        if processes == 1 { limit } else { format!("this process' share of {limit}, one of {processes},") }
    }

    fn waits_for_tomorrow(&self, reached: Reached) -> bool {
        reached.kind.is_per_day() && reached.need <= self.limit_of_this_process(reached.kind)
    }

    fn limit_of_this_process(&self, kind: Kind) -> u64 {
        self.part.of(&self.limits).share(self.share.0, self.share.1).of(kind).unwrap_or(u64::MAX)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// With a new day, budgets per day begin anew.
    fn begin_day(&mut self, day: u64) {
        if day > self.ledger.day() {
            self.ledger.begin_day(day);
            self.reached = self.reached.filter(|reached| !reached.kind.is_per_day());
        }
    }
}

/// The key of a budget.
pub fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::Tokens => "budget.tokens",
        Kind::Cost => "budget.cost",
        Kind::TokensPerDay => "budget.tokens_per_day",
        Kind::CostPerDay => "budget.cost_per_day",
    }
}

/// Tokens as they are, cost in the currency of the prices.
pub fn shown(kind: Kind, value: u64) -> String {
    if kind.counts_tokens() { format!("{value} tokens") } else { plain(kind, value) }
}

/// The same without its unit.
pub fn plain(kind: Kind, value: u64) -> String {
    if kind.counts_tokens() { value.to_string() } else { format!("{:.4}", value as f64 / 1e9) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_per_day_ends_a_drain_and_holds_up_a_run_until_the_next_day() {
        let limits = Limits { tokens_per_day: Some(100), ..Limits::default() };
        let purse = Purse::new(limits, Part::Whole, 0, 1);
        let need = Amount { tokens: 60, cost: 0 };
        purse.state().ledger = Ledger::new(limits, today() - 1, Amount::default());
        let mut reservation = purse.state().ledger.reserve(need).expect("yesterday had enough");
        purse.state().ledger.draw(&mut reservation, need);
        purse.state().reached = Some(Reached { kind: Kind::TokensPerDay, need: 60 });
        purse.refused.store(true, Ordering::Relaxed);
        assert_eq!((purse.has_ended(true), purse.has_ended(false)), (true, false));
        assert!(purse.waits_for().is_some_and(|reason| reason.contains("budget.tokens_per_day = 100")));
        let again = purse.reserve(need).expect("it is another day");
        assert_eq!((purse.has_ended(true), purse.waits_for()), (false, None));
        purse.settle(again);
    }

    #[test]
    fn processes_share_what_the_day_has_left() {
        let limits = Limits { tokens_per_day: Some(101), ..Limits::default() };
        let left = |process: usize| left_of(&Purse::new(limits, Part::Whole, process, 3), [50, 50]);
        assert_eq!((0..3).map(left).sum::<usize>(), 51);
    }

    #[test]
    fn roles_that_run_apart_share_what_the_day_has_left() {
        let limits = Limits { tokens_per_day: Some(101), ..Limits::default() };
        let left = |part: Part, own: u64, all: u64| left_of(&Purse::new(limits, part, 0, 1), [own, all]);
        for (of_extract, of_generate) in [(0, 0), (10, 40), (90, 0), (0, 90), (50, 51)] {
            let all = of_extract + of_generate;
            let extract = left(Part::Extract(0.3), of_extract, all);
            let generate = left(Part::Generate(0.3), of_generate, all);
            assert!(extract + generate + all as usize <= 101, "{of_extract} and {of_generate} were spent");
            assert_eq!(
                (extract, generate),
                match (of_extract, of_generate) {
                    (0, 0) => (30, 71),
                    (10, 40) => (20, 31),
                    (90, 0) => (0, 11),
                    (0, 90) => (11, 0),
                    _ => (0, 0),
                }
            );
        }
    }

    /// How many tokens may still be spent, after these and all roles have spent so many.
    fn left_of(purse: &Purse, spent: [u64; 2]) -> usize {
        purse.open(|_| Ok(spent.map(|tokens| Amount { tokens, cost: 0 }))).expect("progress is read");
        (0..1_000).take_while(|_| purse.reserve(Amount { tokens: 1, cost: 0 }).is_some()).count()
    }
}
