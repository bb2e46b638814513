//! Concepts that are one under several names.
//!
//! Input: a name as a document writes it. Output: the normalised name of the node that it belongs to. Law: a name that the table has stands for the
//! one that it names, every other for itself ([`concept_name`]); what a name stands for is no alias of another, so no order of looking up
//! matters. Cost: O(log aliases), nothing without any.

use std::collections::BTreeMap;

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
pub struct Aliases(BTreeMap<String, String>);

impl Aliases {
    /// A table of aliases and what they stand for, in display form.
    pub fn new<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, AliasProblem> {
        let mut aliases = BTreeMap::new();
        for (alias, name) in pairs {
            let (from, to) = (concept_name(alias), concept_name(name));
            if from.is_empty() || to.is_empty() {
                return Err(AliasProblem::Empty { alias: alias.to_owned(), name: name.to_owned() });
            }
            if from == to {
                continue;
            }
            if let Some(one) = aliases.insert(from.clone(), to.clone()).filter(|one| *one != to) {
                return Err(AliasProblem::Ambiguous { alias: from, one, other: to });
            }
        }
        let next = aliases.iter().find_map(|(alias, name)| Some((alias, name, aliases.get(name)?)));
        match next.map(|(alias, name, next)| (alias.clone(), name.clone(), next.clone())) {
            Some((alias, name, next)) => Err(AliasProblem::Chain { alias, name, next }),
            None => Ok(Aliases(aliases)),
        }
    }

    /// The normalised name of the node that a display name belongs to.
    pub fn name(&self, display: &str) -> String {
        let name = concept_name(display);
        if self.0.is_empty() { name } else { self.0.get(&name).cloned().unwrap_or(name) }
    }

    /// The aliases with what they stand for, normalised, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(alias, name)| (alias.as_str(), name.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_says_one_thing_of_each_name() {
        let twice = Aliases::new([("SVM", "a"), ("svm", "A")]).expect("they say the same");
        assert_eq!(twice.iter().collect::<Vec<_>>(), [("svm", "a")]);
        assert_eq!(Aliases::new([("same", " Same ")]), Ok(Aliases::default()));
        assert!(matches!(Aliases::new([("svm", "a"), ("SVM", "b")]), Err(AliasProblem::Ambiguous { .. })));
        assert!(matches!(Aliases::new([("a", "b"), ("b", "c")]), Err(AliasProblem::Chain { .. })));
        assert!(matches!(Aliases::new([("a", "b"), ("b", "a")]), Err(AliasProblem::Chain { .. })));
        assert!(matches!(Aliases::new([(" ", "b")]), Err(AliasProblem::Empty { .. })));
    }
}
