//! Cheap judgements of a text: its length, how much it repeats itself, its language.
//!
//! Input: a text; what is allowed. Output: scores, which are stored; and what is wrong with them, so that a changed limit is applied to the scores alone.
//! Law: scores depend on the text alone, problems on the scores and the limits.
//! A language counts only where it is told reliably: mathematics is left out of sight, and what remains too short to tell passes.
//! Cost: linear in the text, but for the sorting of its runs of words; nearly all of it is the telling of the language, about 100
//! microseconds for 40 words.

use serde::{Deserialize, Serialize};
use whatlang::Lang;

use crate::id;
use crate::shingle::Words;

/// The words of a run by which repetition is measured.
const RUN: usize = 4;

/// What is measured of a text.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct TextScores {
    /// Its words (see [`crate::shingle`]).
    pub words: usize,
    /// Its characters.
    pub characters: usize,
    /// The share of its runs of four words that stood in it before, 0 to 1.
    pub repeated_runs: f64,
    /// The share of its lines that stood in it before, 0 to 1; empty lines don't count.
    pub repeated_lines: f64,
    /// The ISO 639-3 code of its language, where that can be told.
    pub language: Option<String>,
}

/// What is allowed.
#[derive(Clone, PartialEq, Debug)]
pub struct TextLimits {
    /// The fewest words.
    pub least_words: usize,
    /// The most words.
    pub most_words: usize,
    /// The most characters.
    pub most_characters: usize,
    /// The greatest share of repeated runs of words.
    pub most_repeated_runs: f64,
    /// The greatest share of repeated lines.
    pub most_repeated_lines: f64,
    /// The ISO 639-3 codes of the languages that may pass; empty: all.
    pub languages: Vec<String>,
}

impl Default for TextLimits {
    fn default() -> Self {
        TextLimits {
            least_words: 3,
            most_words: 1_000,
            most_characters: 10_000,
            most_repeated_runs: 0.3,
            most_repeated_lines: 0.3,
            languages: Vec::new(),
        }
    }
}

/// What is wrong with a text.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
pub enum TextProblem {
    /// It has too few words.
    #[error("{words} words are fewer than {least}")]
    TooShort {
        /// Its words.
        words: usize,
        /// The fewest allowed.
        least: usize,
    },
    /// It has too many words or characters.
    #[error("{length} {unit} are more than {most}")]
    TooLong {
        /// Its length.
        length: usize,
        /// Of what.
        unit: &'static str,
        /// The most allowed.
        most: usize,
    },
    /// It repeats itself.
    #[error("{:.0} % of its {unit} are repeated, more than {:.0} %", share * 100.0, most * 100.0)]
    Repetitive {
        /// How much of it.
        share: f64,
        /// Of what.
        unit: &'static str,
        /// The greatest share allowed.
        most: f64,
    },
    /// It is in another language.
    #[error("its language is {language:?}, expected {}", expected.join(" or "))]
    OtherLanguage {
        /// The language.
        language: String,
        /// The ones allowed.
        expected: Vec<String>,
    },
}

/// Measures a text.
///
/// ```
/// use synthllm_operators::text_checks::{TextLimits, measure};
/// let limits = TextLimits { languages: vec!["eng".to_owned()], ..TextLimits::default() };
/// assert!(measure("How many primes are there below one hundred?").problems(&limits).is_empty());
/// let german = measure("Wie viele Primzahlen liegen zwischen hundert und zweihundert, und welche davon sind Zwillinge?");
/// assert_eq!(german.problems(&limits)[0].to_string(), "its language is \"deu\", expected eng");
/// ```
pub fn measure(text: &str) -> TextScores {
    let words = Words::of(text);
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    TextScores {
        words: words.len(),
        characters: text.chars().count(),
        repeated_runs: repeated(words.runs(RUN).map(id::words)),
        repeated_lines: repeated(lines.map(id::words)),
        language: language(text).map(|language| language.code().to_owned()),
    }
}

impl TextScores {
    /// Everything that is wrong.
    pub fn problems(&self, limits: &TextLimits) -> Vec<TextProblem> {
        let short = (self.words < limits.least_words)
            .then_some(TextProblem::TooShort { words: self.words, least: limits.least_words });
        let lengths = [(self.words, "words", limits.most_words), (self.characters, "characters", limits.most_characters)];
        let long = lengths.into_iter().filter(|(length, _, most)| length > most);
        let long = long.map(|(length, unit, most)| TextProblem::TooLong { length, unit, most });
        let shares = [
            (self.repeated_runs, "runs of four words", limits.most_repeated_runs),
            (self.repeated_lines, "lines", limits.most_repeated_lines),
        ];
        let repetitive = shares.into_iter().filter(|(share, _, most)| share > most);
        let repetitive = repetitive.map(|(share, unit, most)| TextProblem::Repetitive { share, unit, most });
        let expected = &limits.languages;
        let language = self.language.clone().filter(|language| !expected.is_empty() && !expected.contains(language));
        let other = language.map(|language| TextProblem::OtherLanguage { language, expected: expected.clone() });
        short.into_iter().chain(long).chain(repetitive).chain(other).collect()
    }
}

/// Whether a language is one that can be told, by its ISO 639-3 code.
pub fn is_known(language: &str) -> bool {
    Lang::from_code(language).is_some()
}

/// The share of the items that came before.
fn repeated(items: impl Iterator<Item = u64>) -> f64 {
    let mut items: Vec<u64> = items.collect();
    let all = items.len();
    items.sort_unstable();
    items.dedup();
    if all == 0 { 0.0 } else { (all - items.len()) as f64 / all as f64 }
}

fn language(text: &str) -> Option<Lang> {
    let told = whatlang::detect(&prose(text))?;
    told.is_reliable().then(|| told.lang())
}

/// The text without formulas between `$`, commands after `\`, and digits: their letters are of no language.
fn prose(text: &str) -> String {
    let mut prose = String::with_capacity(text.len());
    for (number, part) in text.split('$').enumerate() {
        // A last `$` that nothing closes is one of money.
        let is_formula = number % 2 == 1 && text.matches('$').count() > number;
        if !is_formula {
            push_without_commands(&mut prose, part);
        }
        prose.push(' ');
    }
    prose
}

fn push_without_commands(prose: &mut String, text: &str) {
    let mut in_command = false;
    for character in text.chars() {
        in_command = character == '\\' || in_command && character.is_ascii_alphabetic();
        if !in_command && !character.is_ascii_digit() {
            prose.push(character);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reasons(text: &str, limits: &TextLimits) -> Vec<&'static str> {
        let reason = |problem: &TextProblem| match problem {
            TextProblem::TooShort { .. } => "too-short",
            TextProblem::TooLong { .. } => "too-long",
            TextProblem::Repetitive { .. } => "repetitive",
            TextProblem::OtherLanguage { .. } => "language",
        };
        measure(text).problems(limits).iter().map(reason).collect()
    }

    #[test]
    fn a_text_is_bounded_on_both_sides() {
        let limits = TextLimits { least_words: 2, most_words: 4, most_characters: 20, ..TextLimits::default() };
        assert_eq!(reasons("one", &limits), ["too-short"]);
        assert!(reasons("one two", &limits).is_empty() && reasons("one two six ten", &limits).is_empty());
        assert_eq!(reasons("a b c d e", &limits), ["too-long"]);
        assert_eq!(reasons("extraordinarily long words", &limits), ["too-long"]);
    }

    #[test]
    fn what_is_said_again_and_again_is_repetitive() {
        let scores = measure("the sum is odd\nthe sum is odd\n\nthe sum is even\nthe sum is odd");
        assert!((scores.repeated_lines - 0.5).abs() < 1e-9);
        assert!((scores.repeated_runs - 5.0 / 13.0).abs() < 1e-9, "{scores:?}");
        assert_eq!(scores.problems(&TextLimits::default()).len(), 2);
        assert!(measure("").repeated_runs.abs() < f64::EPSILON);
    }

    #[test]
    fn formulas_have_no_language() {
        let limits = TextLimits { languages: vec!["eng".to_owned()], ..TextLimits::default() };
        for text in [
            r"Find $\int_0^\infty e^{-x^2} dx$ and $\sin(x + y)$ for $x, y \in \mathbb{R}$, and explain your steps.",
            "x = 3, y = 4, z = ?",
            "Tom pays $5 for the apples and $7 for the pears. How much money does he pay for all of the fruit together?",
        ] {
            assert!(reasons(text, &limits).is_empty(), "{:?}", measure(text));
        }
        let prose = prose(r"cost \alpha 12 b $x$ c $5");
        assert_eq!(prose.split_whitespace().collect::<Vec<_>>(), ["cost", "b", "c"]);
        assert!(is_known("eng") && !is_known("en"));
    }
}
