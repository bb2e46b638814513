//! Counts in buckets that double: 0, 1, 2 to 3, 4 to 7, and so on. For numbers of which most are small and some very great.

use serde::Serialize;

use crate::tally::Tally;

/// One bucket.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Bucket {
    /// The least number that falls into it.
    pub from: u64,
    /// The greatest.
    pub to: u64,
    /// How many fall into it.
    pub count: u64,
}

/// All buckets up to that of the greatest number, in order; none without numbers.
pub type Buckets = Vec<Bucket>;

/// The numbers of a tally in buckets.
pub(crate) fn buckets(tally: &Tally) -> Buckets {
    let mut buckets = Buckets::new();
    for (number, times) in tally.iter() {
        while buckets.last().is_none_or(|last| last.to < number) {
            let from = buckets.last().map_or(0, |last| last.to + 1);
            buckets.push(Bucket { from, to: (2 * from).saturating_sub(1).max(from), count: 0 });
        }
        if let Some(last) = buckets.last_mut() {
            last.count += times;
        }
    }
    buckets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_double_and_hold_everything_once() {
        let mut tally = Tally::default();
        (0..=9).for_each(|number| tally.add(number));
        let found: Vec<_> = buckets(&tally).into_iter().map(|bucket| (bucket.from, bucket.to, bucket.count)).collect();
        assert_eq!(found, [(0, 0, 1), (1, 1, 1), (2, 3, 2), (4, 7, 4), (8, 15, 2)]);
        assert!(buckets(&Tally::default()).is_empty());
        let mut few = Tally::default();
        few.add(5);
        assert_eq!(buckets(&few).iter().map(|bucket| bucket.count).collect::<Vec<_>>(), [0, 0, 0, 1]);
    }
}
