//! What the roles have counted since the first start of the app, as `progress` has it. All numbers are sums over the shards.

use std::collections::BTreeMap;

use serde::Serialize;

/// What became of the records that a role has read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Outcomes {
    /// Something was written for them.
    pub written: u64,
    /// Nothing was to be done.
    pub skipped: u64,
    /// A later record of the same key came before they were decided.
    pub superseded: u64,
    /// They could not be used.
    pub dead_lettered: u64,
}

/// What the roles have counted.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct Counted {
    /// Records of `documents`.
    pub extract: Outcomes,
    /// Records of `extractions`.
    pub graph: Outcomes,
    /// Combinations.
    pub generate: Outcomes,
    /// Combinations issued, by level.
    pub combinations: [u64; 3],
    /// Starts of level 3 whose walk found too few concepts.
    pub stuck: u64,
    /// Starts of level 3 without two documents to stand on.
    pub without_references: u64,
    /// Documents that the model called not suitable for questions.
    pub unsuitable: u64,
    /// Questions that the model wrote, by level.
    pub questions: [u64; 3],
    /// Questions that a filter dropped: `length`, `repetition`, `language`, `benchmark`, in the order of the filters.
    pub rejected: Vec<(String, u64)>,
    /// Questions dropped because another sample asks the same (equal folded text), by level.
    pub duplicates: [u64; 3],
    /// Combinations and samples dropped because a document changed or went before they were committed.
    pub not_live: u64,
    /// Samples ever written.
    pub samples: u64,
    /// Of these withdrawn.
    pub withdrawn: u64,
    /// Calls of the models that were answered, of all tasks.
    pub calls: u64,
    /// Tokens of their prompts.
    pub prompt_tokens: u64,
    /// Tokens of their answers.
    pub completion_tokens: u64,
    /// Their cost in the currency of the configured prices.
    pub cost: f64,
    /// Records in `dead-letters`, by the stage that gave them up.
    pub dead_letters: BTreeMap<String, u64>,
}

impl Outcomes {
    /// All records that were decided.
    pub fn sum(&self) -> u64 {
        self.written + self.skipped + self.superseded + self.dead_lettered
    }
}
