//! The layers of a configuration, merged key by key: built-in defaults, then the file, then the environment.
//!
//! Every value remembers where it was written. The texts of all layers are laid end to end on one line of byte positions,
//! so that a span alone (all that a TOML error tells) names the layer and the line.

use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Variables with this prefix set configuration keys; `__` stands for the dot.
pub const ENVIRONMENT_PREFIX: &str = "SYNTHLLM_";

/// The keys outside of all tables, which the environment can set without `__`.
const TOP_LEVEL_KEYS: [&str; 2] = ["app", "domain"];

/// Where a layer comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Origin {
    /// The built-in `configs/reference.toml`.
    Defaults,
    /// A file, by the name the user gave.
    File(String),
    /// An environment variable.
    Variable(String),
}

/// A place in a layer, as it stands in messages.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Place {
    /// A line of a file, from 1.
    Line(String, usize),
    /// An environment variable.
    Variable(String),
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Place::Line(file, line) => write!(f, "{file}:{line}"),
            Place::Variable(name) => write!(f, "environment variable {name}"),
        }
    }
}

/// A syntax error of a layer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SyntaxError {
    /// Where.
    pub place: Option<Place>,
    /// What was found or expected.
    pub message: String,
}

struct Source<'t> {
    origin: Origin,
    text: &'t str,
    base: usize,
}

/// The merged tables of all layers so far.
pub struct Layers<'t> {
    sources: Vec<Source<'t>>,
    defaults: DeTable<'t>,
    user: DeTable<'t>,
}

impl<'t> Layers<'t> {
    /// Begins with the defaults, which must be valid TOML.
    pub fn new(defaults: &'t str) -> Self {
        let mut layers = Layers { sources: Vec::new(), defaults: DeTable::new(), user: DeTable::new() };
        let base = layers.add_source(Origin::Defaults, defaults);
        let (table, errors) = DeTable::parse_recoverable(defaults);
        debug_assert!(errors.is_empty(), "the built-in defaults are TOML: {errors:?}");
        layers.defaults = shift_table(table.into_inner(), base);
        layers
    }

    /// Lays a file over what is there.
    pub fn add_file(&mut self, name: &str, text: &'t str) -> Result<(), Vec<SyntaxError>> {
        let base = self.add_source(Origin::File(name.to_owned()), text);
        let (table, errors) = DeTable::parse_recoverable(text);
        if errors.is_empty() {
            merge(&mut self.user, shift_table(table.into_inner(), base));
            return Ok(());
        }
        Err(errors.iter().map(|error| self.syntax_error(base, error)).collect())
    }

    /// Lays an environment variable over what is there, if it is one of ours. Its value is TOML, or else a plain string.
    pub fn add_variable(&mut self, name: &str, text: &'t str) {
        let Some(path) = key_of_variable(name) else { return };
        let base = self.add_source(Origin::Variable(name.to_owned()), text);
        let value = match DeValue::parse(text) {
            Ok(value) => shift(value, base),
            Err(_) => Spanned::new(base..base + text.len(), DeValue::String(text.into())),
        };
        let (last, tables) = path.split_last().expect("splitting a string gives at least one part");
        let mut table = DeTable::new();
        table.insert(Spanned::new(value.span(), last.clone().into()), value);
        for key in tables.iter().rev() {
            let span = base..base;
            let inner = Spanned::new(span.clone(), DeValue::Table(table));
            table = DeTable::new();
            table.insert(Spanned::new(span, key.clone().into()), inner);
        }
        merge(&mut self.user, table);
    }

    /// The defaults with everything the user said laid over them.
    pub fn merged(&self) -> Spanned<DeTable<'t>> {
        let mut table = self.defaults.clone();
        merge(&mut table, self.user.clone());
        Spanned::new(0..0, table)
    }

    /// The key whose name or value is at a span, as the user wrote it.
    pub fn key_at(&self, span: &Range<usize>) -> Option<Vec<String>> {
        find(&self.user, span)
    }

    /// Forgets what the user said about a key, so that its default holds again.
    pub fn forget(&mut self, path: &[String]) {
        let Some((last, tables)) = path.split_last() else { return };
        let mut table = &mut self.user;
        for key in tables {
            match table.get_mut(key.as_str()).map(Spanned::get_mut) {
                Some(DeValue::Table(inner)) => table = inner,
                _ => return,
            }
        }
        table.remove(last.as_str());
    }

    /// Whether the user said something about exactly this key.
    pub fn is_said(&self, key: &str) -> bool {
        let mut table = Some(&self.user);
        let mut said = false;
        for part in key.split('.') {
            let value = table.and_then(|table| table.get(part));
            said = value.is_some();
            table = value.and_then(|value| value.get_ref().as_table());
        }
        said
    }

    /// Where the user said something about a key, or about the table that it is missing in; nothing where the default holds.
    pub fn place(&self, key: &str) -> Option<Place> {
        let mut table = &self.user;
        let mut place = None;
        for part in key.split('.') {
            let Some((name, value)) = table.get_key_value(part) else { break };
            place = self.place_at(name.span().start);
            match value.get_ref() {
                DeValue::Table(inner) => table = inner,
                _ => break,
            }
        }
        place
    }

    /// The place of a byte position.
    pub fn place_at(&self, position: usize) -> Option<Place> {
        let source = self.sources.iter().rev().find(|source| source.base <= position)?;
        match &source.origin {
            Origin::Defaults => None,
            Origin::Variable(name) => Some(Place::Variable(name.clone())),
            Origin::File(name) => {
                let before = source.text.as_bytes().iter().take(position - source.base);
                Some(Place::Line(name.clone(), 1 + before.filter(|&&byte| byte == b'\n').count()))
            }
        }
    }

    fn add_source(&mut self, origin: Origin, text: &'t str) -> usize {
        let base = self.sources.last().map_or(0, |source| source.base + source.text.len() + 1);
        self.sources.push(Source { origin, text, base });
        base
    }

    fn syntax_error(&self, base: usize, error: &toml::de::Error) -> SyntaxError {
        let place = error.span().and_then(|span| self.place_at(base + span.start));
        SyntaxError { place, message: error.message().to_owned() }
    }
}

/// The key that a variable sets: `SYNTHLLM_LOG__PATH` is `log.path`. Other variables are none of ours.
pub fn key_of_variable(name: &str) -> Option<Vec<String>> {
    let key = name.strip_prefix(ENVIRONMENT_PREFIX)?.to_ascii_lowercase();
    let path: Vec<String> = key.split("__").map(str::to_owned).collect();
    (path.len() > 1 || TOP_LEVEL_KEYS.contains(&key.as_str())).then_some(path)
}

/// Lays `over` over `under`: tables key by key, everything else whole.
fn merge<'t>(under: &mut DeTable<'t>, over: DeTable<'t>) {
    for (key, value) in over {
        let merged = match (under.remove_entry(key.get_ref().as_ref()), value) {
            (Some((_, old)), value) if old.get_ref().is_table() && value.get_ref().is_table() => merge_tables(old, value),
            (_, value) => value,
        };
        under.insert(key, merged);
    }
}

fn merge_tables<'t>(old: Spanned<DeValue<'t>>, new: Spanned<DeValue<'t>>) -> Spanned<DeValue<'t>> {
    let span = new.span();
    match (old.into_inner(), new.into_inner()) {
        (DeValue::Table(mut under), DeValue::Table(over)) => {
            merge(&mut under, over);
            Spanned::new(span, DeValue::Table(under))
        }
        (_, new) => Spanned::new(span, new),
    }
}

fn find(table: &DeTable<'_>, span: &Range<usize>) -> Option<Vec<String>> {
    for (key, value) in table {
        let inner = match value.get_ref() {
            DeValue::Table(inner) => find(inner, span),
            _ => None,
        };
        if let Some(mut path) = inner {
            path.insert(0, key.get_ref().to_string());
            return Some(path);
        }
        if key.span() == *span || value.span() == *span || encloses(&value.span(), span) {
            return Some(vec![key.get_ref().to_string()]);
        }
    }
    None
}

fn encloses(outer: &Range<usize>, inner: &Range<usize>) -> bool {
    outer.start <= inner.start && inner.end <= outer.end && !outer.is_empty()
}

fn shift_table(table: DeTable<'_>, base: usize) -> DeTable<'_> {
    let entries = table.into_iter();
    entries.map(|(key, value)| (Spanned::new(move_by(&key.span(), base), key.into_inner()), shift(value, base))).collect()
}

/// The same value with its spans moved behind the layers before it.
fn shift(value: Spanned<DeValue<'_>>, base: usize) -> Spanned<DeValue<'_>> {
    let span = move_by(&value.span(), base);
    let value = match value.into_inner() {
        DeValue::Table(table) => DeValue::Table(shift_table(table, base)),
        DeValue::Array(array) => DeValue::Array(array.into_iter().map(|item| shift(item, base)).collect()),
        scalar => scalar,
    };
    Spanned::new(span, value)
}

fn move_by(span: &Range<usize>, base: usize) -> Range<usize> {
    span.start + base..span.end + base
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_double_underscore_is_a_dot_and_other_variables_are_left_alone() {
        let path = |name| key_of_variable(name).map(|path| path.join("."));
        assert_eq!(path("SYNTHLLM_LOG__PATH").as_deref(), Some("log.path"));
        assert_eq!(path("SYNTHLLM_LLM__ANSWER__MAX_IN_FLIGHT").as_deref(), Some("llm.answer.max_in_flight"));
        assert_eq!(path("SYNTHLLM_APP").as_deref(), Some("app"));
        assert_eq!(path("SYNTHLLM_CONFIG"), None);
        assert_eq!(path("LOG__PATH"), None);
    }

    #[test]
    fn a_key_is_found_at_the_line_where_it_was_last_said() {
        let mut layers = Layers::new("[log]\npath = 'a'\nkind = 'b'\n");
        layers.add_file("f.toml", "\n[log]\n\npath = 'c'\n").unwrap();
        assert_eq!(layers.place("log.path"), Some(Place::Line("f.toml".into(), 4)));
        assert_eq!(layers.place("log.kind"), Some(Place::Line("f.toml".into(), 2)));
        assert!(layers.is_said("log.path") && !layers.is_said("log.kind") && !layers.is_said("log.path.x"));
        layers.add_variable("SYNTHLLM_LOG__PATH", "d");
        assert_eq!(layers.place("log.path"), Some(Place::Variable("SYNTHLLM_LOG__PATH".into())));
    }
}
