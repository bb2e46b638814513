//! Where similar texts meet: the keys under which a text is filed, so that two similar texts share one.
//!
//! Input: the shingles of a text. Output: 32-bit keys. What two texts share a key by chance is found out by comparing them.
//! Law, bands off: any two texts whose Jaccard similarity reaches the threshold share a key. The keys are the first
//! shingles by hash value: who shares `o` of `n` shingles misses `n - o`, so of the first `n - o + 1` at least one is shared
//! by both (prefix filtering).
//! Law, with b bands: two texts of similarity s share a key with probability 1 - (1 - s^r)^b over the seeds. Rows r are the most
//! that find a pair at the threshold with [`SURE`]: at 0.8 and 16 bands r = 6, and s = 0.8 is found with 99.2 %,
//! 0.85 with 99.95 %, while 0.5 is compared in 22 % and 0.3 in 1.2 % of cases.
//! Cost: b keys of b * r multiplications per shingle; or (1 - threshold) * n + 1 keys, which costs no multiplication, but shingles that very many
//! texts share make many comparisons.

use super::Settings;
use crate::{draw, id};

/// How surely a pair at the threshold is found.
pub const SURE: f64 = 0.99;

/// More rows than this are never needed.
const MOST_ROWS: u32 = 16;

/// How texts are filed.
#[derive(Clone, PartialEq, Debug)]
pub struct Meeting {
    threshold: f64,
    rows: usize,
    /// Of each hash function of the signature: what is added, and by what is multiplied. Empty without bands.
    functions: Vec<(u64, u64)>,
}

impl Meeting {
    /// The way of filing that `settings` ask for.
    ///
    /// # Panics
    /// If the threshold is not in `(0, 1]`.
    pub fn new(settings: &Settings) -> Self {
        let Settings { threshold, bands, seed, .. } = *settings;
        assert!(threshold > 0.0 && threshold <= 1.0, "a threshold of {threshold} is not in (0, 1]");
        let rows = rows(threshold, bands);
        let coefficient = |index| draw::minhash(seed, index);
        let function = |index| (coefficient(2 * index), coefficient(2 * index + 1) | 1);
        Meeting { threshold, rows: rows as usize, functions: (0..u64::from(bands * rows)).map(function).collect() }
    }

    /// The keys of a text, sorted, each once; none for a text without shingles.
    pub fn keys(&self, shingles: &[u64]) -> Vec<u32> {
        if shingles.is_empty() {
            return Vec::new();
        }
        let mut keys: Vec<u32> = if self.functions.is_empty() {
            shingles[..prefix(shingles.len(), self.threshold)].iter().map(|&shingle| shingle as u32).collect()
        } else {
            let minima = self.minima(shingles);
            (0..).zip(minima.chunks(self.rows)).map(|(band, minima)| id::band(band, minima) as u32).collect()
        };
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    /// The signature: of each hash function, its minimum over the shingles.
    fn minima(&self, shingles: &[u64]) -> Vec<u64> {
        let mut minima = vec![u64::MAX; self.functions.len()];
        for shingle in shingles {
            for (minimum, (add, multiply)) in minima.iter_mut().zip(&self.functions) {
                *minimum = (*minimum).min((shingle ^ add).wrapping_mul(*multiply));
            }
        }
        minima
    }
}

/// With how many of its first shingles a text of `count` meets every similar one.
fn prefix(count: usize, threshold: f64) -> usize {
    let reaches = |common: usize| common as f64 / count as f64 >= threshold;
    // The quotient decides, as it does when two texts are compared; the product is only where to begin.
    let mut least = ((threshold * count as f64) as usize).min(count);
    while least > 1 && reaches(least - 1) {
        least -= 1;
    }
    while !reaches(least) {
        least += 1;
    }
    count - least + 1
}

/// The probability that two texts of this similarity share a key.
pub fn found(similarity: f64, bands: u32, rows: u32) -> f64 {
    1.0 - (1.0 - similarity.powi(rows.cast_signed())).powi(bands.cast_signed())
}

/// The rows of a band; see the module.
pub fn rows(threshold: f64, bands: u32) -> u32 {
    (1..=MOST_ROWS).rev().find(|rows| found(threshold, bands, *rows) >= SURE).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_follow_from_the_threshold() {
        let rows = [0.1, 0.5, 0.6, 0.8, 0.9, 1.0].map(|threshold| rows(threshold, 16));
        assert_eq!(rows, [1, 1, 2, 6, 13, 16]);
        assert!((found(0.8, 16, 6) - 0.992).abs() < 0.001);
    }

    #[test]
    fn the_prefix_leaves_out_no_more_than_two_similar_texts_must_share() {
        for (count, threshold, expected) in
            [(1, 0.8, 1), (4, 0.8, 1), (5, 0.8, 2), (10, 0.7, 4), (10, 0.8, 3), (7, 1.0, 1), (3, 0.001, 3)]
        {
            assert_eq!(prefix(count, threshold), expected, "{count} shingles at {threshold}");
        }
    }
}
