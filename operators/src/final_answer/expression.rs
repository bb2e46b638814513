//! Reads a simple expression, plain or LaTeX, as its value modulo a prime.
//!
//! ```text
//! equation   = [name "="] sum [unit]
//! sum        = ["+" | "-"] product { ("+" | "-") product }
//! product    = power { ["*" | "/"] power }            juxtaposition multiplies
//! power      = atom ["^" exponent] ["%"]
//! atom       = number | name | "(" sum ")" | "\frac" atom atom | "\sqrt" atom
//! ```

use super::field::{Number, PRIME};
use crate::id::digest;

/// Deeper nests of brackets are prose.
const DEEPEST: u32 = 24;

/// Larger exponents are not worked out.
const LARGEST_EXPONENT: u64 = 1 << 20;

/// Names of money, which a number may carry.
const MONEY: [&str; 4] = ["dollars", "dollar", "usd", "euros"];

/// The value of an expression; none when it is not a simple one.
pub(super) fn value(text: &str) -> Option<Number> {
    let plain = plain(text);
    let right = match plain.split_once('=') {
        Some((left, right)) if is_name(left.trim()) => right,
        Some(("", right)) => right,
        _ => plain.as_str(),
    };
    let tokens = tokens(right.trim())?;
    if tokens.iter().any(|token| matches!(token, Token::Name(name) if is_word(name))) {
        return None;
    }
    let mut parser = Parser { tokens: &tokens, depth: 0 };
    let value = parser.sum()?;
    parser.tokens.is_empty().then_some(value)
}

/// LaTeX that only changes how a formula looks is taken out; what has a plain sign becomes it.
fn plain(text: &str) -> String {
    let mut plain = text.trim().trim_end_matches('.').to_owned();
    for (latex, sign) in [
        ("\\dfrac", "\\frac"),
        ("\\tfrac", "\\frac"),
        ("\\left", ""),
        ("\\right", ""),
        ("\\cdot", "*"),
        ("\\times", "*"),
        ("\\div", "/"),
        ("\\%", "%"),
        ("\\$", ""),
        ("\\,", ""),
        ("\\;", ""),
        ("\\!", ""),
        ("\\ ", " "),
        ("\\(", ""),
        ("\\)", ""),
        ("\\[", ""),
        ("\\]", ""),
        ("\\pi", " pi "),
        ("\u{3c0}", " pi "),
        ("\u{2212}", "-"),
        ("\u{d7}", "*"),
        ("\u{b7}", "*"),
        ("\u{f7}", "/"),
        ("\u{221a}", "\\sqrt "),
        ("**", "^"),
        ("$", ""),
        ("\u{20ac}", ""),
    ] {
        plain = plain.replace(latex, sign);
    }
    let lower = plain.to_lowercase();
    let without = MONEY.iter().find_map(|money| lower.trim_end().strip_suffix(money));
    without.map_or(plain, |number| number.trim_end().to_owned())
}

/// A name of several letters is an answer in words.
fn is_word(name: &str) -> bool {
    name != "pi" && name.chars().filter(|c| c.is_alphabetic()).count() > 1
}

fn is_name(text: &str) -> bool {
    let mut characters = text.chars();
    characters.next().is_some_and(char::is_alphabetic) && characters.all(|c| c.is_alphanumeric() || c == '_')
}

#[derive(Clone, PartialEq, Debug)]
enum Token {
    Number(Number),
    Name(String),
    Fraction,
    Root,
    Sign(char),
}

fn tokens(mut text: &str) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    while let Some(first) = text.chars().next() {
        let (token, rest) = match first {
            _ if first.is_whitespace() => (None, &text[first.len_utf8()..]),
            '0'..='9' | '.' => number(text, tokens.last())?,
            '\\' => command(text)?,
            '+' | '-' | '*' | '/' | '^' | '%' | '(' | ')' | '{' | '}' => (Some(Token::Sign(first)), &text[1..]),
            _ if first.is_alphabetic() => name(text),
            _ => return None,
        };
        tokens.extend(token);
        text = rest;
    }
    Some(tokens)
}

type Taken<'t> = (Option<Token>, &'t str);

/// A number as a value; directly behind `\frac` or its first digit, a single digit.
fn number<'t>(text: &'t str, before: Option<&Token>) -> Option<Taken<'t>> {
    if before == Some(&Token::Fraction) {
        let digit = text.chars().next()?.to_digit(10)?;
        return Some((Some(Token::Number(Number::real(u64::from(digit)))), &text[1..]));
    }
    let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == ',')).unwrap_or(text.len());
    let written = text[..end].trim_end_matches(',');
    let (whole, decimals) = written.split_once('.').unwrap_or((written, ""));
    let digits = whole.replace(',', "") + decimals;
    if digits.is_empty() || decimals.contains(['.', ',']) {
        return None;
    }
    let ten = Number::real(10);
    let shifted = |value: Number, digit: u8| value.times(ten).plus(Number::real(u64::from(digit - b'0')));
    let value = digits.bytes().fold(Number::real(0), shifted);
    let scale = ten.power(decimals.len() as u64).inverse()?;
    Some((Some(Token::Number(value.times(scale))), &text[written.len()..]))
}

fn command(text: &str) -> Option<Taken<'_>> {
    if let Some(rest) = text.strip_prefix("\\frac") {
        return Some((Some(Token::Fraction), rest));
    }
    text.strip_prefix("\\sqrt").map(|rest| (Some(Token::Root), rest))
}

/// A variable; only of the usual three, `xyz` is a product.
fn name(text: &str) -> Taken<'_> {
    let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(text.len());
    let end = if text[..end].bytes().all(|byte| (b'x'..=b'z').contains(&byte)) { 1 } else { end };
    let word = &text[..end];
    (Some(if word == "sqrt" { Token::Root } else { Token::Name(word.to_owned()) }), &text[end..])
}

struct Parser<'t> {
    tokens: &'t [Token],
    depth: u32,
}

impl Parser<'_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.first()
    }

    fn take(&mut self) -> Option<Token> {
        let (first, rest) = self.tokens.split_first()?;
        self.tokens = rest;
        Some(first.clone())
    }

    fn takes(&mut self, sign: char) -> bool {
        let found = self.peek() == Some(&Token::Sign(sign));
        if found {
            self.tokens = &self.tokens[1..];
        }
        found
    }

    fn sum(&mut self) -> Option<Number> {
        let negative = self.takes('-');
        if !negative {
            self.takes('+');
        }
        let first = self.product()?;
        let mut sum = if negative { first.negated() } else { first };
        loop {
            if self.takes('+') {
                sum = sum.plus(self.product()?);
            } else if self.takes('-') {
                sum = sum.plus(self.product()?.negated());
            } else {
                return Some(sum);
            }
        }
    }

    fn product(&mut self) -> Option<Number> {
        let mut product = self.power()?;
        loop {
            if self.takes('*') {
                product = product.times(self.power()?);
            } else if self.takes('/') {
                product = product.times(self.power()?.inverse()?);
            } else if self.begins_factor() {
                product = product.times(self.power()?);
            } else {
                return Some(product);
            }
        }
    }

    /// Two numbers beside each other are no product.
    fn begins_factor(&self) -> bool {
        matches!(self.peek(), Some(Token::Name(_) | Token::Fraction | Token::Root | Token::Sign('(' | '{')))
    }

    fn power(&mut self) -> Option<Number> {
        let mut value = self.atom()?;
        if self.takes('^') {
            value = self.raised(value)?;
        }
        if self.takes('%') {
            value = value.times(Number::real(100).inverse()?);
        }
        Some(value)
    }

    fn raised(&mut self, base: Number) -> Option<Number> {
        let braced = self.takes('{');
        let negative = self.takes('-');
        let Some(Token::Number(exponent)) = self.take() else { return None };
        if exponent.re > LARGEST_EXPONENT || (braced && !self.takes('}')) {
            return None;
        }
        let raised = base.power(exponent.re);
        if negative { raised.inverse() } else { Some(raised) }
    }

    fn atom(&mut self) -> Option<Number> {
        match self.take()? {
            Token::Number(value) => Some(value),
            Token::Name(name) => Some(if name == "i" { Number::I } else { variable(&name) }),
            Token::Fraction => {
                let above = self.nested(Self::atom)?;
                let below = self.nested(Self::atom)?;
                Some(above.times(below.inverse()?))
            }
            Token::Root => self.nested(Self::atom).map(root),
            Token::Sign(open @ ('(' | '{')) => {
                let value = self.nested(Self::sum)?;
                self.takes(if open == '(' { ')' } else { '}' }).then_some(value)
            }
            Token::Sign(_) => None,
        }
    }

    fn nested(&mut self, read: fn(&mut Self) -> Option<Number>) -> Option<Number> {
        if self.depth == DEEPEST {
            return None;
        }
        self.depth += 1;
        let value = read(self);
        self.depth -= 1;
        value
    }
}

/// The point at which a variable is looked at.
fn variable(name: &str) -> Number {
    Number::real(digest(name.as_bytes()) as u64 % PRIME)
}

/// A square root. That of a small whole number is the product of those of its prime factors, so that roots multiply as they should;
/// that of anything else is a variable of its own.
fn root(value: Number) -> Number {
    const MOST: u64 = 1_000_000;
    if value.im != 0 || value.re >= MOST {
        return variable(&format!("root of {} and {}", value.re, value.im));
    }
    let (mut product, mut rest, mut factor) = (Number::ONE, value.re, 2);
    while factor * factor <= rest {
        while rest.is_multiple_of(factor * factor) {
            (rest, product) = (rest / (factor * factor), product.times(Number::real(factor)));
        }
        if rest.is_multiple_of(factor) {
            (rest, product) = (rest / factor, product.times(Number::root_of(factor)));
        }
        factor += 1;
    }
    product.times(Number::root_of(rest))
}
