//! When two answers to a question say the same: their final answers, compared as mathematics where they are such.
//!
//! Input: the text of an answer. Output: a [`Verdict`] that equal answers share. The final answer is what stands in the last
//! `\boxed{}`, behind `####`, behind the last "answer is", or the last line.
//! Law: numbers, fractions, percentages and simple expressions (`+ - * / ^`, roots, variables; plain or LaTeX) are equal when they are
//! equal as rational expressions; anything else is equal when its folded text is. An approximation is not equal to what it
//! approximates. Cost: linear in the text.
//!
//! An expression is compared by its value at one point that is drawn by the names of its variables, modulo the prime 2^61 - 1 (the
//! lemma of Schwartz and Zippel): equal expressions have equal values; that different ones of degree d have, happens with
//! probability d / 2^61.

mod expression;
mod field;

pub use field::Number;

use crate::normal::fold;

/// What an answer says in the end. Equal ones say the same.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Verdict {
    /// The values of one expression or of a list of them, modulo 2^61 - 1.
    Values(Vec<Number>),
    /// A text, folded.
    Text(String),
}

/// The most characters of a final answer that are read as an expression; longer ones are prose.
const LONGEST_EXPRESSION: usize = 200;

/// Reads what an answer says in the end.
///
/// ```
/// use synthllm_operators::final_answer::verdict;
/// assert_eq!(verdict("So half of them, \\boxed{\\frac{1}{2}}."), verdict("The answer is 0.5"));
/// assert_ne!(verdict("0.33"), verdict("1/3"));
/// ```
pub fn verdict(answer: &str) -> Verdict {
    let said = final_answer(answer);
    let values = || parts(said).into_iter().map(expression::value).collect::<Option<Vec<Number>>>();
    let values = if said.len() > LONGEST_EXPRESSION { None } else { values() };
    values.map_or_else(|| Verdict::Text(words(said)), Verdict::Values)
}

/// An answer in words, folded.
fn words(said: &str) -> String {
    let said = said.trim_end_matches('.');
    let plain = said.strip_prefix("\\text{").and_then(|inner| inner.strip_suffix('}'));
    fold(plain.unwrap_or(said))
}

/// The index of the answer that most agree with, the earliest of equals, and how many say the same; none of no answers.
///
/// ```
/// use synthllm_operators::final_answer::majority;
/// assert_eq!(majority(&["It is 3.", "So it is \\(\\frac{4}{2}\\)", "= 2"]), Some((1, 2)));
/// ```
pub fn majority<S: AsRef<str>>(answers: &[S]) -> Option<(usize, usize)> {
    let verdicts: Vec<Verdict> = answers.iter().map(|answer| verdict(answer.as_ref())).collect();
    let votes = |index: usize| verdicts.iter().filter(|verdict| **verdict == verdicts[index]).count();
    let counted = (0..verdicts.len()).map(|index| (index, votes(index)));
    counted.reduce(|best, next| if next.1 > best.1 { next } else { best })
}

/// The part of an answer in which it says what it comes to.
fn final_answer(answer: &str) -> &str {
    if let Some(boxed) = last_boxed(answer) {
        return boxed.trim();
    }
    let last_line = answer.trim().lines().next_back().unwrap_or_default();
    let behind = ["####", "answer is", "answer:", "it is", "result is"];
    let place = behind.iter().filter_map(|words| find_last(last_line, words)).max();
    let said = place.map_or(last_line, |place| &last_line[place..]);
    said.trim().trim_start_matches(':').trim()
}

/// Where a text ends behind the last occurrence of ASCII words, whatever their case.
fn find_last(text: &str, words: &str) -> Option<usize> {
    let lower = text.to_ascii_lowercase();
    lower.rfind(words).map(|at| at + words.len())
}

/// What stands in the braces of the last `\boxed{}`.
fn last_boxed(answer: &str) -> Option<&str> {
    let start = answer.rfind("\\boxed{")? + "\\boxed{".len();
    let mut depth = 1_usize;
    for (at, character) in answer[start..].char_indices() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(&answer[start..start + at]);
        }
    }
    None
}

/// The expressions of a final answer: one, or those of a list like `(1, 2)`. A comma before three digits belongs to a number.
fn parts(said: &str) -> Vec<&str> {
    let (said, inner) = (said.trim(), bare(said));
    let bytes = inner.as_bytes();
    let (mut parts, mut start, mut depth) = (Vec::new(), 0, 0_i32);
    for (at, byte) in inner.bytes().enumerate() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth -= 1,
            b',' if depth == 0 && !groups_digits(bytes, at) => {
                parts.push(&inner[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    if parts.is_empty() {
        return vec![said];
    }
    parts.push(&inner[start..]);
    parts
}

/// A list without the brackets around all of it, and without marks of mathematics.
fn bare(said: &str) -> &str {
    let said = said.trim().trim_end_matches('.').trim_matches('$').trim();
    let pairs = [("\\(", "\\)"), ("\\[", "\\]"), ("(", ")"), ("[", "]"), ("\\{", "\\}"), ("{", "}")];
    let inside = |(open, close): &(&str, &str)| {
        let inner = said.strip_prefix(open)?.strip_suffix(close)?;
        (!inner.contains(open) && inner.contains(',')).then_some(inner)
    };
    pairs.iter().find_map(inside).unwrap_or(said)
}

fn groups_digits(bytes: &[u8], comma: usize) -> bool {
    let digit = |at: Option<usize>| at.and_then(|at| bytes.get(at)).is_some_and(u8::is_ascii_digit);
    let three = (1..=3).all(|ahead| digit(Some(comma + ahead)));
    digit(comma.checked_sub(1)) && three && !digit(Some(comma + 4))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_mathematics_in_other_words_is_the_same() {
        for (one, other) in [
            ("1/2", "0.5"),
            ("\\boxed{\\frac{3}{4}}", "75%"),
            ("\\dfrac12", "50\\%"),
            ("1,234,567", "1234567"),
            ("-3", "\u{2212}3"),
            ("$18", "18 dollars"),
            ("2(x+1)", "2x + 2"),
            ("x^2 - 1", "(x-1)(x+1)"),
            ("\\sqrt{8}", "2\\sqrt{2}"),
            ("\\sqrt{2}/2", "1/\\sqrt{2}"),
            ("x = 5", "5"),
            ("\\pi/2", "0.5 \\pi"),
            ("3 \\times 10^4", "30000"),
            ("2^{10}", "1024"),
            ("(1, 2)", "( 1 , 4/2 )"),
            ("The answer is: 7.", "Hence\n#### 7"),
            ("\\text{yes}", "Yes."),
            ("x^{-1}", "1/x"),
            ("\\sqrt{6}", "\\sqrt{2} \\sqrt 3"),
            ("\\sqrt{12}/\\sqrt{3}", "2"),
            ("i^2", "-1"),
            ("2xy", "2 y x"),
        ] {
            assert_eq!(verdict(one), verdict(other), "{one:?} and {other:?}");
        }
    }

    #[test]
    fn different_answers_differ() {
        for (one, other) in [
            ("1/3", "0.33"),
            ("2", "-2"),
            ("(1, 2)", "(2, 1)"),
            ("1,234", "1, 234"),
            ("x + y", "x - y"),
            ("\\sqrt{2}", "\\sqrt{3}"),
            ("yes", "no"),
            ("1/0", "0"),
            ("2^3", "3^2"),
            ("the dog eats the cat", "the cat eats the dog"),
            ("\\sqrt{3}", "-\\sqrt{3}"),
        ] {
            assert_ne!(verdict(one), verdict(other), "{one:?} and {other:?}");
        }
    }

    #[test]
    fn the_earliest_of_the_most_frequent_is_elected() {
        assert_eq!(majority::<&str>(&[]), None);
        assert_eq!(majority(&["1"]), Some((0, 1)));
        assert_eq!(majority(&["1", "2"]), Some((0, 1)));
        assert_eq!(majority(&["a", "0.5", "b", "1/2"]), Some((1, 2)));
    }

    #[test]
    fn hostile_texts_end_in_bounded_time() {
        for text in ["(".repeat(190), "^".repeat(190), "2^".repeat(90) + "9", "\\frac".repeat(30), "\\boxed{".repeat(50)] {
            let _ = verdict(&text);
        }
        assert_eq!(verdict(&"(".repeat(190)), Verdict::Text("(".repeat(190)));
    }
}
