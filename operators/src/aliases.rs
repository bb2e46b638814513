//! Concepts that are one under several names.
//!
//! Input: a name as a document writes it. Output: the normalised name of the node that it belongs to. Law: a name that the table has stands for the
//! one that it names, every other for itself ([`concept_name`]); what a name stands for is no alias of another, so no order of looking up
//! matters. Of two tables that are laid over each other one wins ([`Aliases::over`]). Cost: O(log aliases), nothing without any.

use std::collections::{BTreeMap, BTreeSet};

use crate::normal::concept_name;

/// A table that makes no sense.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AliasProblem {
    /// A name without a letter or digit.
    #[error("the alias {alias:?} of {name:?} has an empty side")]
    Empty {
        /// The left side.
        alias: String,
        /// The right side.
        name: String,
    },
    /// Two sides of the table are the same name when case and white space don't count, and stand for different ones.
    #[error("{alias:?} stands for both {one:?} and {other:?}")]
    Ambiguous {
        /// The name, normalised.
        alias: String,
        /// What it stands for.
        one: String,
        /// What else.
        other: String,
    },
    /// What a name stands for is itself an alias.
    #[error("{alias:?} stands for {name:?}, which stands for {next:?}: name that one")]
    Chain {
        /// The name.
        alias: String,
        /// What it stands for.
        name: String,
        /// What that stands for.
        next: String,
    },
    /// Names of two tables stand for each other in a circle.
    #[error("{alias:?} and {name:?} stand for each other: take out one of the lines that say so")]
    Circle {
        /// A name of the circle.
        alias: String,
        /// The next one.
        name: String,
    },
}

/// The table.
///
/// ```
/// use synthllm_operators::aliases::Aliases;
/// let aliases = Aliases::new([("SVM", "support vector machine")]).unwrap();
/// assert_eq!(aliases.name("svm"), "support vector machine");
/// assert_eq!(aliases.name("Kernel  Trick"), "kernel trick");
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Default, Debug)]
pub struct Aliases {
    names: BTreeMap<String, String>,
    /// Names that the table says stand for themselves: another table has no say in them.
    themselves: BTreeSet<String>,
}

impl Aliases {
    /// A table of aliases and what they stand for, in display form.
    pub fn new<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, AliasProblem> {
        let (mut aliases, mut themselves) = (BTreeMap::new(), BTreeSet::new());
        for (alias, name) in pairs {
            let (from, to) = (concept_name(alias), concept_name(name));
            if from.is_empty() || to.is_empty() {
                return Err(AliasProblem::Empty { alias: alias.to_owned(), name: name.to_owned() });
            }
            if from == to {
                themselves.insert(from);
                continue;
            }
            if let Some(one) = aliases.insert(from.clone(), to.clone()).filter(|one| *one != to) {
                return Err(AliasProblem::Ambiguous { alias: from, one, other: to });
            }
        }
        if let Some((alias, other)) = aliases.iter().find(|(alias, _)| themselves.contains(*alias)) {
            return Err(AliasProblem::Ambiguous { alias: alias.clone(), one: alias.clone(), other: other.clone() });
        }
        let next = aliases.iter().find_map(|(alias, name)| Some((alias, name, aliases.get(name)?)));
        match next.map(|(alias, name, next)| (alias.clone(), name.clone(), next.clone())) {
            Some((alias, name, next)) => Err(AliasProblem::Chain { alias, name, next }),
            None => Ok(Aliases { names: aliases, themselves }),
        }
    }

    /// This table and another one, whose word counts where this one says nothing: a name stands for what it comes to when it is looked up again and
    /// again. What the other one says of a name that this one has on the left is left out, and so is that a name stands for its own alias. A name
    /// that this one gives to itself stays alone, on either side.
    ///
    /// ```
    /// use synthllm_operators::aliases::Aliases;
    /// let own = Aliases::new([("svm", "support vector machine"), ("knn", "nearest neighbours")]).unwrap();
    /// let merges = Aliases::new([("svms", "svm"), ("support vector machine", "svm"), ("nearest neighbours", "neighbours")]).unwrap();
    /// let both = own.over(&merges).unwrap();
    /// assert_eq!(["svms", "svm"].map(|name| both.name(name)), ["support vector machine"; 2]);
    /// assert_eq!(both.name("knn"), "neighbours");
    /// ```
    pub fn over(&self, other: &Aliases) -> Result<Self, AliasProblem> {
        let mut links = self.names.clone();
        for (alias, name) in &other.names {
            let name = self.names.get(name).unwrap_or(name);
            let is_alone = self.themselves.contains(alias) || self.themselves.contains(name);
            if alias != name && !self.names.contains_key(alias) && !is_alone {
                links.insert(alias.clone(), name.clone());
            }
        }
        let end = |alias: &String| end_of(&links, alias).map(|end| (alias.clone(), end.clone()));
        let names = links.keys().map(end).collect::<Result<_, _>>()?;
        Ok(Aliases { names, themselves: self.themselves.clone() })
    }

    /// The normalised name of the node that a display name belongs to.
    pub fn name(&self, display: &str) -> String {
        let name = concept_name(display);
        if self.names.is_empty() { name } else { self.names.get(&name).cloned().unwrap_or(name) }
    }

    /// The aliases with what they stand for, normalised, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.names.iter().map(|(alias, name)| (alias.as_str(), name.as_str()))
    }
}

/// Where a name comes to. A way of more steps than there are links goes in a circle.
fn end_of<'a>(links: &'a BTreeMap<String, String>, alias: &'a String) -> Result<&'a String, AliasProblem> {
    let mut end = alias;
    for _ in 0..=links.len() {
        match links.get(end) {
            Some(next) => end = next,
            None => return Ok(end),
        }
    }
    let name = links.get(end).unwrap_or(end);
    Err(AliasProblem::Circle { alias: end.clone(), name: name.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_says_one_thing_of_each_name() {
        let twice = Aliases::new([("SVM", "a"), ("svm", "A")]).expect("they say the same");
        assert_eq!(twice.iter().collect::<Vec<_>>(), [("svm", "a")]);
        assert_eq!(Aliases::new([("same", " Same ")]).expect("it says nothing").iter().count(), 0);
        assert!(matches!(Aliases::new([("svm", "SVM"), ("SVM", "b")]), Err(AliasProblem::Ambiguous { .. })));
        assert!(matches!(Aliases::new([("svm", "a"), ("SVM", "b")]), Err(AliasProblem::Ambiguous { .. })));
        assert!(matches!(Aliases::new([("a", "b"), ("b", "c")]), Err(AliasProblem::Chain { .. })));
        assert!(matches!(Aliases::new([("a", "b"), ("b", "a")]), Err(AliasProblem::Chain { .. })));
        assert!(matches!(Aliases::new([(" ", "b")]), Err(AliasProblem::Empty { .. })));
    }

    #[test]
    fn of_two_tables_one_wins_and_chains_over_both_have_an_end() {
        let table = |pairs: &[(&str, &str)]| Aliases::new(pairs.iter().copied()).expect("it makes sense");
        let over = |own: &[(&str, &str)], other: &[(&str, &str)]| table(own).over(&table(other));
        assert_eq!(over(&[("a", "b")], &[("a", "c")]), Ok(table(&[("a", "b")])), "the first one wins");
        assert_eq!(over(&[("a", "b")], &[("b", "a")]), Ok(table(&[("a", "b")])), "it wins about which name counts, too");
        assert_eq!(over(&[("a", "b")], &[("b", "c")]), Ok(table(&[("a", "c"), ("b", "c")])));
        assert_eq!(over(&[("b", "c")], &[("a", "b")]), Ok(table(&[("a", "c"), ("b", "c")])));
        let long = over(&[("a", "b"), ("c", "d")], &[("b", "c"), ("d", "e")]);
        assert_eq!(long, Ok(table(&[("a", "e"), ("b", "e"), ("c", "e"), ("d", "e")])));
        let circle = over(&[("a", "b"), ("c", "d")], &[("b", "c"), ("d", "a")]);
        assert!(matches!(circle, Err(AliasProblem::Circle { .. })), "{circle:?}");
        assert_eq!(over(&[], &[("a", "b")]), Ok(table(&[("a", "b")])));
        let alone = over(&[("a", "A")], &[("a", "b"), ("c", "b")]).expect("it makes sense");
        assert_eq!(alone.iter().collect::<Vec<_>>(), [("c", "b")]);
        let alone = over(&[("b", "b")], &[("a", "b"), ("c", "d")]).expect("it makes sense");
        assert_eq!(alone.iter().collect::<Vec<_>>(), [("c", "d")], "no other counts as one that stays alone");
    }
}
