//! How many calls an endpoint bears: additive increase, multiplicative decrease.
//!
//! Law: the limit stays within `1..=max`; it halves at most once for all calls that were in flight together; it doubles per round
//! of answers up to half of what last was too much, and grows by one per round beyond. What was too much is the limit at the
//! first failure after an answer: an outage, in which nothing is answered, is no measure of what the endpoint bears.

/// The adaptive limit of one endpoint.
#[derive(Clone, Debug)]
pub struct Limit {
    current: f64,
    threshold: f64,
    max: f64,
    generation: u64,
    answered: bool,
}

impl Limit {
    /// Starts at the most that is allowed: an endpoint that bears less says so.
    pub fn new(max: usize) -> Self {
        let max = max.max(1) as f64;
        Limit { current: max, threshold: max, max, generation: 0, answered: true }
    }

    /// The most calls that may be in flight now.
    pub fn allowed(&self) -> usize {
        self.current as usize
    }

    /// The number of decreases so far; a call remembers the one at its start.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// A call was answered.
    pub fn answered(&mut self) {
        self.answered = true;
        let step = if self.current < self.threshold { 1.0 } else { self.current.recip() };
        self.current = (self.current + step).min(self.max);
    }

    /// A call that started in this generation met an overloaded endpoint.
    pub fn overloaded(&mut self, generation: u64) {
        if generation == self.generation {
            self.decrease_to((self.current / 2.0).max(1.0));
        }
    }

    /// The endpoint is down: one call at a time, to see when it is back.
    pub fn collapse(&mut self) {
        self.decrease_to(1.0);
    }

    fn decrease_to(&mut self, limit: f64) {
        if self.answered {
            self.threshold = (self.current / 2.0).max(1.0);
        }
        self.answered = false;
        self.generation += 1;
        self.current = limit;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn one_round_of_overload_halves_the_limit_once() {
        let mut limit = Limit::new(16);
        let generation = limit.generation();
        (0..16).for_each(|_| limit.overloaded(generation));
        assert_eq!(limit.allowed(), 8);
        limit.overloaded(limit.generation());
        assert_eq!(limit.allowed(), 4);
    }

    #[test]
    fn answers_bring_the_limit_back_to_its_maximum() {
        let mut limit = Limit::new(16);
        limit.collapse();
        assert_eq!(limit.allowed(), 1);
        (0..7).for_each(|_| limit.answered());
        assert_eq!(limit.allowed(), 8, "up to the threshold each answer adds one");
        (0..8).for_each(|_| limit.answered());
        assert_eq!(limit.allowed(), 8, "beyond it a round of answers adds one");
        (0..200).for_each(|_| limit.answered());
        assert_eq!(limit.allowed(), 16);
    }

    proptest! {
        #[test]
        fn the_limit_stays_in_its_bounds(max in 1_usize..500, events in prop::collection::vec(0_u8..3, 0..400)) {
            let mut limit = Limit::new(max);
            for event in events {
                match event {
                    0 => limit.answered(),
                    1 => limit.overloaded(limit.generation()),
                    _ => limit.collapse(),
                }
                prop_assert!((1..=max).contains(&limit.allowed()));
            }
        }
    }
}
