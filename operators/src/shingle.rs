//! A text as words, runs of words, and a set of shingles; and how similar two such sets are.
//!
//! Input: any text. Output: its words; its runs of n words; the sorted hashes of its runs, each once.
//! Law: words are the longest runs of letters, digits and `_` of the text under [`fold`] (NFKC, lower case, collapsed white
//! space), so signs and punctuation do not count: `x + 1` and `x - 1` have the same words. In scripts that put no
//! space between words (Chinese, Japanese, Thai, Lao, Burmese, Khmer) each character is a word. A text of fewer than n words has one run, all of them; one without words has none, and is similar to nothing.
//! Cost: linear in the text, n log n in its runs; 8 bytes per shingle.

use std::cmp::Ordering;

use crate::id;
use crate::normal::fold;

/// The words of a text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Words {
    /// The words, with one space between them.
    text: String,
    /// Where each word begins in `text`, and, last, where one more would.
    starts: Vec<usize>,
}

impl Words {
    /// The words of `text`.
    ///
    /// ```
    /// use synthllm_operators::shingle::Words;
    /// let words = Words::of("Solve  x²+y_1=25,\nnow!");
    /// assert_eq!(words.iter().collect::<Vec<_>>(), ["solve", "x2", "y_1", "25", "now"]);
    /// assert_eq!(words.runs(4).collect::<Vec<_>>(), ["solve x2 y_1 25", "x2 y_1 25 now"]);
    /// ```
    pub fn of(text: &str) -> Self {
        let folded = fold(text);
        let mut words = Words { text: String::with_capacity(folded.len() + 1), starts: vec![0] };
        for character in folded.chars() {
            let alone = stands_alone(character);
            if alone || !is_of_word(character) {
                words.end_word();
            }
            if is_of_word(character) {
                words.text.push(character);
            }
            if alone {
                words.end_word();
            }
        }
        words.end_word();
        words
    }

    fn end_word(&mut self) {
        if self.text.len() > self.starts[self.starts.len() - 1] {
            self.text.push(' ');
            self.starts.push(self.text.len());
        }
    }

    /// How many words there are.
    pub fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The words, in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).map(|at| self.run(at, 1))
    }

    /// The `length` words from word `at`, with one space between them.
    ///
    /// # Panics
    /// If there are not so many.
    pub fn run(&self, at: usize, length: usize) -> &str {
        &self.text[self.starts[at]..self.starts[at + length] - 1]
    }

    /// All runs of `length` words, in order; see the module for a text that has fewer.
    pub fn runs(&self, length: usize) -> impl Iterator<Item = &str> {
        let length = length.min(self.len());
        let count = if length == 0 { 0 } else { self.len() - length + 1 };
        (0..count).map(move |at| self.run(at, length))
    }
}

fn is_of_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// Whether the character belongs to a script without spaces between words.
fn stands_alone(character: char) -> bool {
    let spaceless = matches!(character,
        '\u{0e00}'..='\u{0eff}' // Thai, Lao
        | '\u{1000}'..='\u{109f}' // Burmese
        | '\u{1780}'..='\u{17ff}' // Khmer
        | '\u{3005}'..='\u{3007}' | '\u{3040}'..='\u{30ff}' // kana
        | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}' // Han
    );
    spaceless && character.is_alphabetic()
}

/// The shingles of a text: the hashes of its runs of `length` words, sorted, each once.
pub fn shingles(text: &str, length: usize) -> Box<[u64]> {
    let mut shingles: Vec<u64> = Words::of(text).runs(length).map(id::words).collect();
    shingles.sort_unstable();
    shingles.dedup();
    shingles.into_boxed_slice()
}

/// The share of all shingles of two texts that they have in common; 0 if there are none at all.
///
/// ```
/// use synthllm_operators::shingle::{jaccard, shingles};
/// let [one, other] = ["a b c d e f", "a b c d e g"].map(|text| shingles(text, 5));
/// assert_eq!(jaccard(&one, &other), 1.0 / 3.0);
/// ```
pub fn jaccard(one: &[u64], other: &[u64]) -> f64 {
    let common = common(one, other);
    let all = one.len() + other.len() - common;
    if all == 0 { 0.0 } else { common as f64 / all as f64 }
}

/// How many elements two sorted slices share.
fn common(one: &[u64], other: &[u64]) -> usize {
    let (mut here, mut there, mut common) = (0, 0, 0);
    while here < one.len() && there < other.len() {
        match one[here].cmp(&other[there]) {
            Ordering::Less => here += 1,
            Ordering::Greater => there += 1,
            Ordering::Equal => {
                common += 1;
                here += 1;
                there += 1;
            }
        }
    }
    common
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_letters_digits_and_underscores_in_lower_case() {
        for (text, expected) in [
            ("", vec![]),
            (" .,; ", vec![]),
            ("It's 3.5 km²", vec!["it", "s", "3", "5", "km2"]),
            ("ＡＢＣ ÉCOLE", vec!["abc", "école"]),
            ("素数は何 個", vec!["素", "数", "は", "何", "個"]),
            ("x=素y", vec!["x", "素", "y"]),
        ] {
            assert_eq!(Words::of(text).iter().collect::<Vec<_>>(), expected, "{text:?}");
        }
    }

    #[test]
    fn a_short_text_has_one_shingle_and_an_empty_one_none() {
        assert_eq!(*shingles("How many?", 5), [id::words("how many")]);
        assert!(shingles("?!", 5).is_empty());
        assert!(jaccard(&shingles("", 5), &shingles("", 5)) < f64::EPSILON, "nothing is similar to nothing");
    }

    #[test]
    fn a_repeated_run_counts_once() {
        assert_eq!(shingles("a b a b a b", 2).len(), 2);
    }
}
