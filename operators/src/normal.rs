//! When two texts are the same concept or the same question: Unicode NFKC, case fold, collapsed white space (paper.md, open
//! points). The display form is kept beside it by whoever shows it to a person.

use unicode_normalization::UnicodeNormalization;

/// Folds a text: NFKC, lower case, runs of white space become one space, none at the ends.
///
/// ```
/// assert_eq!(synthllm_operators::normal::fold("  Ｔaylor\u{a0} Series "), "taylor series");
/// ```
pub fn fold(text: &str) -> String {
    if is_folded(text) {
        return text.to_owned();
    }
    let mut folded = String::with_capacity(text.len());
    if text.is_ascii() {
        push_collapsed(&mut folded, text.chars().map(|c| c.to_ascii_lowercase()));
    } else {
        // Lower case first and after: some capitals have a compatibility form that is a capital again.
        push_collapsed(&mut folded, text.nfkc().flat_map(char::to_lowercase).nfkc());
    }
    folded
}

/// Whether a text of ASCII is folded already, as most names are that come from a log of ours.
fn is_folded(text: &str) -> bool {
    let mut before = b' ';
    let stays = |byte: u8| {
        let single = byte != b' ' || before != b' ';
        before = byte;
        single && (b' '..=b'~').contains(&byte) && !byte.is_ascii_uppercase()
    };
    text.bytes().all(stays) && !text.ends_with(' ')
}

/// The name under which a concept is a node of the graph.
pub fn concept_name(display: &str) -> String {
    fold(display)
}

fn push_collapsed(out: &mut String, characters: impl Iterator<Item = char>) {
    let mut gap = false;
    for character in characters {
        if character.is_whitespace() || character.is_control() {
            gap = true;
        } else {
            if gap && !out.is_empty() {
                out.push(' ');
            }
            gap = false;
            out.push(character);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_folded_stays_as_it_is_and_nothing_else_does() {
        for folded in ["", "a", "taylor series", "x^2 + y", "1 2 3"] {
            assert!(folded.is_empty() || is_folded(folded), "{folded:?}");
            assert_eq!(fold(folded), folded);
        }
        for (text, folded) in [
            (" a", "a"),
            ("a ", "a"),
            ("a  b", "a b"),
            ("a\tb", "a b"),
            ("A", "a"),
            ("a\u{7f}b", "a b"),
            ("É", "é"),
            (" ", ""),
        ] {
            assert!(!is_folded(text), "{text:?}");
            assert_eq!(fold(text), folded);
        }
    }
}
