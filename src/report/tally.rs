//! Whole numbers, counted exactly: quantiles and histograms of lengths.
//!
//! Input: numbers, one at a time. Output: a [`Distribution`]. Law: quantiles are nearest-rank, those of the sorted list of all numbers.
//! Cost: 16 bytes a *distinct* number, which for lengths of texts is a few thousand, however many texts there are.

use std::collections::BTreeMap;

use serde::Serialize;

/// A histogram has at most so many bins beside the last.
const BINS: u64 = 40;

/// How often each number came.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Tally {
    counts: BTreeMap<u64, u64>,
    total: u64,
}

/// Counts in bins of one width.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct Histogram {
    /// Where the first bin begins.
    pub from: f64,
    /// The width of a bin: bin `i` holds the values of at least `from + i * width` and less than `from + (i + 1) * width`.
    pub width: f64,
    /// The values in each bin.
    pub counts: Vec<u64>,
    /// The values beyond the last bin.
    pub above: u64,
}

/// What is known of some numbers.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct Distribution {
    /// How many numbers there are. Without any, what follows is null.
    pub count: u64,
    /// Their mean.
    pub mean: Option<f64>,
    /// The smallest number that a tenth of them does not exceed.
    pub p10: Option<u64>,
    /// The smallest number that half of them do not exceed.
    pub median: Option<u64>,
    /// The smallest number that nine tenths of them do not exceed.
    pub p90: Option<u64>,
    /// The greatest.
    pub most: Option<u64>,
    /// All of them.
    pub histogram: Histogram,
}

/// The lengths of texts.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct Lengths {
    /// In words: runs of letters, digits and `_`; in scripts without spaces, characters.
    pub words: Distribution,
    /// In characters (Unicode scalar values).
    pub characters: Distribution,
}

impl Tally {
    /// Counts a number.
    pub fn add(&mut self, number: u64) {
        self.add_times(number, 1);
    }

    /// Counts a number so many times.
    pub fn add_times(&mut self, number: u64, times: u64) {
        if times > 0 {
            *self.counts.entry(number).or_default() += times;
            self.total += times;
        }
    }

    /// Counts all that another one has counted.
    pub fn add_all(&mut self, other: &Tally) {
        other.counts.iter().for_each(|(number, times)| self.add_times(*number, *times));
    }

    /// The numbers with how often each came, in order.
    pub fn iter(&self) -> impl Iterator<Item = (u64, u64)> {
        self.counts.iter().map(|(number, times)| (*number, *times))
    }

    /// The smallest number that the share `of` of all numbers does not exceed.
    fn quantile(&self, of: f64) -> Option<u64> {
        let rank = ((of * self.total as f64).ceil() as u64).max(1);
        let mut passed = 0;
        self.iter().find_map(|(number, times)| {
            passed += times;
            (passed >= rank).then_some(number)
        })
    }

    /// The width of bins (1, 2 or 5 times a power of ten) that shows 99 % of the numbers.
    pub fn width(&self) -> u64 {
        let shown = self.quantile(0.99).unwrap_or(0) + 1;
        let widths = (0..18).flat_map(|power| [1, 2, 5].map(|digit| digit * 10_u64.pow(power)));
        widths.into_iter().find(|width| shown.div_ceil(*width) <= BINS).unwrap_or(u64::MAX)
    }

    fn histogram(&self, width: u64) -> Histogram {
        let most = self.counts.keys().next_back().map_or(0, |most| most / width + 1);
        let mut counts = vec![0; most.min(BINS) as usize];
        let mut above = 0;
        for (number, times) in self.iter() {
            match counts.get_mut((number / width) as usize) {
                Some(count) => *count += times,
                None => above += times,
            }
        }
        Histogram { from: 0.0, width: width as f64, counts, above }
    }

    /// What is known of the numbers, with bins of this width.
    pub fn distribution(&self, width: u64) -> Distribution {
        let sum: f64 = self.iter().map(|(number, times)| number as f64 * times as f64).sum();
        Distribution {
            count: self.total,
            mean: (self.total > 0).then(|| sum / self.total as f64),
            p10: self.quantile(0.1),
            median: self.quantile(0.5),
            p90: self.quantile(0.9),
            most: self.counts.keys().next_back().copied(),
            histogram: self.histogram(width),
        }
    }
}

/// The distributions of several tallies, with bins of one width, so that they can be laid over each other.
pub fn alike<const N: usize>(tallies: [&Tally; N]) -> [Distribution; N] {
    let mut all = Tally::default();
    tallies.iter().for_each(|tally| all.add_all(tally));
    let width = all.width();
    tallies.map(|tally| tally.distribution(width))
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::prelude::*;

    fn tally(numbers: &[u64]) -> Tally {
        let mut tally = Tally::default();
        numbers.iter().for_each(|number| tally.add(*number));
        tally
    }

    #[test]
    fn nothing_has_no_quantiles_and_an_empty_histogram() {
        let nothing = Tally::default().distribution(Tally::default().width());
        assert_eq!(nothing.mean, None);
        assert_eq!((nothing.p10, nothing.median, nothing.p90, nothing.most), (None, None, None, None));
        assert_eq!((nothing.histogram.counts, nothing.histogram.above), (vec![], 0));
    }

    proptest! {
        #[test]
        fn a_distribution_is_that_of_the_sorted_list(mut numbers in prop::collection::vec(0_u64..3000, 1..200)) {
            let counted = tally(&numbers);
            let width = counted.width();
            let found = counted.distribution(width);
            numbers.sort_unstable();
            // Nearest rank, by the list itself: the first number with enough at or below it.
            let ranked = |per_cent: usize| {
                let not_above = |number: u64| numbers.iter().filter(|other| **other <= number).count();
                numbers.iter().copied().find(|number| 100 * not_above(*number) >= per_cent * numbers.len())
            };
            prop_assert_eq!((found.p10, found.median, found.p90), (ranked(10), ranked(50), ranked(90)));
            prop_assert_eq!(found.most, numbers.last().copied());
            let mean = numbers.iter().sum::<u64>() as f64 / numbers.len() as f64;
            prop_assert!((found.mean.unwrap_or(f64::NAN) - mean).abs() < 1e-9);
            for (bin, count) in found.histogram.counts.iter().enumerate() {
                let inside = numbers.iter().filter(|number| (**number / width) as usize == bin).count();
                prop_assert_eq!(*count as usize, inside);
            }
            let shown: u64 = found.histogram.counts.iter().sum();
            prop_assert_eq!(shown + found.histogram.above, numbers.len() as u64);
            prop_assert!(found.histogram.above * 100 <= numbers.len() as u64, "more than 1 % are not shown");
        }
    }

    #[test]
    fn widths_are_round_and_shared() {
        assert_eq!(tally(&[0, 39]).width(), 1);
        assert_eq!(tally(&[40]).width(), 2);
        assert_eq!(tally(&[399]).width(), 10);
        let [few, many] = alike([&tally(&[1]), &tally(&[399])]);
        assert_eq!((few.histogram.width, many.histogram.width), (10.0, 10.0));
    }
}
