//! The ledger of a budget: what is spent, and what is reserved for calls that are still to be made.
//!
//! Input: what records may need at most, what their calls have truly used, and the day. Output: whether a record may begin.
//! Law: as long as no record uses more than it has reserved, spent + reserved <= limit for every budget at all times; spent is
//! the sum of what was used, and when all records are settled nothing is reserved. Nothing is ever negative.
//! Cost: O(1).
//!
//! ```
//! use synthllm_operators::budget::{Amount, Kind, Ledger, Limits, Refusal};
//! let mut ledger = Ledger::new(Limits { tokens: Some(100), ..Limits::default() }, 0, Amount::default());
//! let need = Amount { tokens: 80, cost: 0 };
//! let mut reservation = ledger.reserve(need).unwrap();
//! assert_eq!(ledger.reserve(need).unwrap_err(), Refusal::Later, "what is reserved may come back");
//! ledger.draw(&mut reservation, Amount { tokens: 30, cost: 0 });
//! ledger.settle(reservation);
//! assert_eq!(ledger.reserve(need).unwrap_err(), Refusal::Reached(Kind::Tokens), "what is spent does not");
//! ```

use serde::{Deserialize, Serialize};

/// Tokens and money.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Amount {
    /// Tokens of prompts and answers together.
    pub tokens: u64,
    /// Billionths of the currency of the configured prices.
    pub cost: u64,
}

impl Amount {
    /// Both together.
    #[must_use]
    pub fn plus(self, other: Amount) -> Amount {
        Amount { tokens: self.tokens.saturating_add(other.tokens), cost: self.cost.saturating_add(other.cost) }
    }

    /// So many times.
    #[must_use]
    pub fn times(self, count: u64) -> Amount {
        Amount { tokens: self.tokens.saturating_mul(count), cost: self.cost.saturating_mul(count) }
    }

    /// What is left without the other, at least nothing.
    #[must_use]
    pub fn minus(self, other: Amount) -> Amount {
        Amount { tokens: self.tokens.saturating_sub(other.tokens), cost: self.cost.saturating_sub(other.cost) }
    }

    /// As much of it as the other has.
    #[must_use]
    pub fn at_most(self, other: Amount) -> Amount {
        Amount { tokens: self.tokens.min(other.tokens), cost: self.cost.min(other.cost) }
    }

    /// Part `part` of `parts` that are as equal as can be, and together the whole.
    #[must_use]
    pub fn share(self, part: u64, parts: u64) -> Amount {
        Amount { tokens: share(self.tokens, part, parts), cost: share(self.cost, part, parts) }
    }
}

/// The budgets that there can be.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Kind {
    /// Tokens of a run.
    Tokens,
    /// Cost of a run.
    Cost,
    /// Tokens of a day.
    TokensPerDay,
    /// Cost of a day.
    CostPerDay,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 4] = [Kind::Tokens, Kind::Cost, Kind::TokensPerDay, Kind::CostPerDay];

    /// Whether a new day gives more.
    pub fn is_per_day(self) -> bool {
        matches!(self, Kind::TokensPerDay | Kind::CostPerDay)
    }

    /// The part of an amount that this budget counts.
    pub fn of(self, amount: Amount) -> u64 {
        if self.counts_tokens() { amount.tokens } else { amount.cost }
    }

    /// Whether it counts tokens, and not money.
    pub fn counts_tokens(self) -> bool {
        matches!(self, Kind::Tokens | Kind::TokensPerDay)
    }
}

/// The limits of all budgets; none where absent. Cost in billionths.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Limits {
    /// Tokens of a run.
    pub tokens: Option<u64>,
    /// Cost of a run.
    pub cost: Option<u64>,
    /// Tokens of a day.
    pub tokens_per_day: Option<u64>,
    /// Cost of a day.
    pub cost_per_day: Option<u64>,
}

impl Limits {
    /// The limit of a budget.
    pub fn of(&self, kind: Kind) -> Option<u64> {
        match kind {
            Kind::Tokens => self.tokens,
            Kind::Cost => self.cost,
            Kind::TokensPerDay => self.tokens_per_day,
            Kind::CostPerDay => self.cost_per_day,
        }
    }

    /// Whether there is no limit at all.
    pub fn is_empty(&self) -> bool {
        Kind::ALL.iter().all(|kind| self.of(*kind).is_none())
    }

    /// Part `part` of `parts`, for a process of several; the parts together are the whole.
    #[must_use]
    pub fn share(&self, part: u64, parts: u64) -> Limits {
        let share = |whole: Option<u64>| whole.map(|whole| share(whole, part, parts));
        Limits {
            tokens: share(self.tokens),
            cost: share(self.cost),
            tokens_per_day: share(self.tokens_per_day),
            cost_per_day: share(self.cost_per_day),
        }
    }
}

fn share(whole: u64, part: u64, parts: u64) -> u64 {
    whole / parts + u64::from(part < whole % parts)
}

/// Which roles a budget is for. Roles that run apart know nothing of each other's spending before it is committed, so each has a part
/// of its own.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Part {
    /// All that ask a model.
    Whole,
    /// `extract` alone, with this share from 0 to 1.
    Extract(f64),
    /// `generate` alone; `extract` has this share.
    Generate(f64),
}

impl Part {
    /// The part of each limit; the parts of both roles are together the whole.
    pub fn of(self, whole: &Limits) -> Limits {
        let part = |whole: Option<u64>| whole.map(|whole| self.of_number(whole));
        Limits {
            tokens: part(whole.tokens),
            cost: part(whole.cost),
            tokens_per_day: part(whole.tokens_per_day),
            cost_per_day: part(whole.cost_per_day),
        }
    }

    fn of_number(self, whole: u64) -> u64 {
        let extract = |share: f64| ((whole as f64 * share) as u64).min(whole);
        match self {
            Part::Whole => whole,
            Part::Extract(share) => extract(share),
            Part::Generate(share) => whole - extract(share),
        }
    }

    /// What counts as spent of a part when these roles have spent `own` of a whole of which `all` is spent. It is more than `own`
    /// where the roles ran together before and one of them used what would now be the other's part: together they never exceed
    /// the whole.
    pub fn spent(self, whole: u64, own: u64, all: u64) -> u64 {
        own.max((self.of_number(whole) + all).saturating_sub(whole))
    }
}

/// What a record that is under way may still use.
#[derive(PartialEq, Eq, Debug)]
#[must_use = "what is reserved must be settled"]
pub struct Reservation(Amount);

impl Reservation {
    /// Both as one.
    pub fn plus(self, other: Reservation) -> Reservation {
        Reservation(self.0.plus(other.0))
    }
}

/// Why a record may not begin.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// There is enough, but others have reserved it, and may give it back.
    Later,
    /// Not even what others have reserved would be enough.
    Reached(Kind),
}

/// What is spent and reserved.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ledger {
    limits: Limits,
    run: Amount,
    today: Amount,
    day: u64,
    reserved: Amount,
}

impl Ledger {
    /// A ledger for a new run on a day, of which something may have been spent by earlier runs.
    pub fn new(limits: Limits, day: u64, today: Amount) -> Self {
        Ledger { limits, run: Amount::default(), today, day, reserved: Amount::default() }
    }

    /// Begins a day, unless it has begun. Days never go back.
    pub fn begin_day(&mut self, day: u64) {
        if day > self.day {
            (self.day, self.today) = (day, Amount::default());
        }
    }

    /// Sets aside what a record may need at most, for all budgets or for none. What needs nothing always passes.
    pub fn reserve(&mut self, need: Amount) -> Result<Reservation, Refusal> {
        let mut later = false;
        for kind in Kind::ALL {
            let (Some(limit), needed) = (self.limits.of(kind), kind.of(need)) else { continue };
            let free = limit.saturating_sub(self.spent(kind));
            if needed > free {
                return Err(Refusal::Reached(kind));
            }
            later |= needed > 0 && needed > free.saturating_sub(kind.of(self.reserved));
        }
        if later {
            return Err(Refusal::Later);
        }
        self.reserved = self.reserved.plus(need);
        Ok(Reservation(need))
    }

    /// Something was used by a record that has reserved it; what it uses beyond is spent all the same.
    pub fn draw(&mut self, reservation: &mut Reservation, used: Amount) {
        let taken = used.at_most(reservation.0);
        reservation.0 = reservation.0.minus(taken);
        self.reserved = self.reserved.minus(taken);
        self.spend(used);
    }

    /// Something was used that nobody has reserved.
    pub fn spend(&mut self, used: Amount) {
        self.run = self.run.plus(used);
        self.today = self.today.plus(used);
    }

    /// A record has its outcome: what it did not use is free again.
    pub fn settle(&mut self, reservation: Reservation) {
        self.reserved = self.reserved.minus(reservation.0);
    }

    /// What is spent of a budget.
    pub fn spent(&self, kind: Kind) -> u64 {
        kind.of(if kind.is_per_day() { self.today } else { self.run })
    }

    /// What records under way may still use.
    pub fn reserved(&self) -> Amount {
        self.reserved
    }

    /// The day that is counted.
    pub fn day(&self) -> u64 {
        self.day
    }
}
