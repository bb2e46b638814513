//! Errors, by what the caller can do.

/// Why a forest can't be fitted. The caller must bring other examples or settings.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
pub enum FitError {
    /// There is too little to learn from.
    #[error("{found} examples are too few to learn from, at least {least} are needed")]
    TooFew {
        /// The examples that there are.
        found: usize,
        /// The fewest that will do.
        least: usize,
    },
    /// All examples have one and the same target.
    #[error("all {examples} examples have the same target, {target}: there is nothing to tell apart")]
    OneTarget {
        /// The examples.
        examples: usize,
        /// Their target.
        target: f64,
    },
    /// An embedding is not like the others.
    #[error("example {example} has an embedding of {found} numbers, expected {expected}")]
    Dimensions {
        /// Which example, from 0.
        example: usize,
        /// Its numbers.
        found: usize,
        /// The numbers of the first one.
        expected: usize,
    },
    /// An embedding or a target is not a number.
    #[error("example {example} holds a value that is no number")]
    NotFinite {
        /// Which example, from 0.
        example: usize,
    },
    /// The forest refused, for a reason that is not known here.
    #[error("the forest can't be fitted: {0}")]
    Refused(String),
}

/// Why a file holds no model that can be used. The caller must take another file, or another program.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ModelError {
    /// It is something else.
    #[error("it is no screening model")]
    NoModel,
    /// It comes from a program with another format.
    #[error("it has format {found}, this program reads format {expected}")]
    Format {
        /// Its format.
        found: u32,
        /// The one that is read here.
        expected: u32,
    },
    /// Its content is not what was written.
    #[error("it is damaged: {0}")]
    Damaged(String),
    /// An embedding has other dimensions than the model was trained with.
    #[error("the embedding has {found} numbers, the model was trained with {expected}")]
    Dimensions {
        /// The embedding's numbers.
        found: usize,
        /// The model's.
        expected: usize,
    },
}
