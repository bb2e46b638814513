//! Screening in a stream: which documents enter and leave the accepted set as documents and the scorer change.
//!
//! Input: a document's embedding when it comes or changes, its going, and at any time a new scorer (another model or another
//! threshold). Output: a [`Change`] of the accepted set. Law: whatever the history, and however far a re-scoring came before the
//! next event, the accepted set is the sum of the changes; and once every document is re-scored it is the set of live documents
//! that the present scorer puts above its threshold. A document that was re-scored already changes nothing when it is again.
//! Cost: one score per document that an event or a new scorer concerns. No model is asked: embeddings are stored.

use serde::{Deserialize, Serialize};

use crate::text_checks::TextProblem;

/// Why a document is not let in, in the order in which it is looked for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Reason {
    /// It has no text.
    Empty,
    /// It has too few words.
    TooShort,
    /// It has too many words.
    TooLong,
    /// It repeats itself.
    Repetition,
    /// It is in another language.
    Language,
    /// An earlier one has the same text.
    Duplicate,
    /// An earlier one is similar.
    NearDuplicate,
    /// Its embedding could not be had.
    NoEmbedding,
    /// It does not score above the threshold.
    Score,
}

impl Reason {
    /// All of them.
    pub const ALL: [Reason; 9] = [
        Reason::Empty,
        Reason::TooShort,
        Reason::TooLong,
        Reason::Repetition,
        Reason::Language,
        Reason::Duplicate,
        Reason::NearDuplicate,
        Reason::NoEmbedding,
        Reason::Score,
    ];

    /// Its name, in files too.
    pub fn name(self) -> &'static str {
        match self {
            Reason::Empty => "empty",
            Reason::TooShort => "too short",
            Reason::TooLong => "too long",
            Reason::Repetition => "repetition",
            Reason::Language => "language",
            Reason::Duplicate => "duplicate",
            Reason::NearDuplicate => "near duplicate",
            Reason::NoEmbedding => "no embedding",
            Reason::Score => "score",
        }
    }

    /// Whether it is a limit that the text breaks, whatever other texts there are, and whatever a model says.
    pub fn is_of_limits(self) -> bool {
        matches!(self, Reason::Empty | Reason::TooShort | Reason::TooLong | Reason::Repetition | Reason::Language)
    }
}

impl From<&TextProblem> for Reason {
    fn from(problem: &TextProblem) -> Self {
        match problem {
            TextProblem::TooShort { .. } => Reason::TooShort,
            TextProblem::TooLong { .. } => Reason::TooLong,
            TextProblem::Repetitive { .. } => Reason::Repetition,
            TextProblem::OtherLanguage { .. } => Reason::Language,
        }
    }
}

/// What scores embeddings: a model with its threshold.
pub trait Scorer {
    /// Which scorer this is. Two that may differ on any embedding, or in their threshold, have different versions.
    fn version(&self) -> u128;

    /// The score of an embedding.
    fn score(&self, embedding: &[f32]) -> f64;

    /// Documents with a greater score are accepted.
    fn threshold(&self) -> f64;
}

/// What is stored of a document.
#[derive(Clone, PartialEq, Debug)]
pub struct Score {
    /// Its embedding, which stays while the document does.
    pub embedding: Vec<f32>,
    /// Its score.
    pub score: f64,
    /// Whether it is in the accepted set. It is stored, not derived: in the midst of a re-scoring some documents are judged by the
    /// old threshold and some by the new one.
    pub accepted: bool,
    /// The version of the scorer that said so.
    pub scorer: u128,
}

/// What happens to the accepted set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
    /// The document enters.
    Insert,
    /// The document stays, with another content.
    Replace,
    /// The document leaves.
    Retract,
    /// Nothing.
    Nothing,
}

impl Change {
    /// The change of a document that was in the accepted set or not, has new content or not, and is accepted now or not.
    pub fn of(before: bool, is_new: bool, now: bool) -> Change {
        match (before, now) {
            (false, true) => Change::Insert,
            (true, false) => Change::Retract,
            (true, true) if is_new => Change::Replace,
            _ => Change::Nothing,
        }
    }
}

/// The score of an embedding, and whether it is accepted.
pub fn judge(embedding: &[f32], scorer: &impl Scorer) -> (f64, bool) {
    let score = scorer.score(embedding);
    (score, score > scorer.threshold())
}

/// A document comes, or comes with another content. `before` is what was stored of it.
///
/// ```
/// use synthllm_operators::screen::{Change, Scorer, put, rescore, remove};
/// struct First(f64);
/// impl Scorer for First {
///     fn version(&self) -> u128 { u128::from(self.0.to_bits()) }
///     fn score(&self, embedding: &[f32]) -> f64 { f64::from(embedding[0]) }
///     fn threshold(&self) -> f64 { self.0 }
/// }
/// let (stored, change) = put(None, vec![7.0], &First(6.5));
/// assert_eq!(change, Change::Insert);
/// let (stored, change) = rescore(stored, &First(8.0));
/// assert_eq!(change, Change::Retract);
/// assert_eq!(remove(&stored), Change::Nothing);
/// ```
pub fn put(before: Option<&Score>, embedding: Vec<f32>, scorer: &impl Scorer) -> (Score, Change) {
    let (score, accepted) = judge(&embedding, scorer);
    let change = Change::of(before.is_some_and(|before| before.accepted), true, accepted);
    (Score { embedding, score, accepted, scorer: scorer.version() }, change)
}

/// A document goes.
pub fn remove(before: &Score) -> Change {
    if before.accepted { Change::Retract } else { Change::Nothing }
}

/// A document is judged by a new scorer. One that this scorer has judged is not scored again.
pub fn rescore(before: Score, scorer: &impl Scorer) -> (Score, Change) {
    if before.scorer == scorer.version() {
        return (before, Change::Nothing);
    }
    let (score, accepted) = judge(&before.embedding, scorer);
    let change = Change::of(before.accepted, false, accepted);
    (Score { score, accepted, scorer: scorer.version(), ..before }, change)
}

/// What a re-scoring did.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Rescored<K> {
    /// Documents that are newly accepted.
    pub inserted: Vec<K>,
    /// Documents that are newly rejected.
    pub retracted: Vec<K>,
    /// The others.
    pub unchanged: usize,
}

/// Re-scores stored documents in their order, in place.
pub fn rescore_all<'a, K: Clone + 'a>(
    stored: impl IntoIterator<Item = (&'a K, &'a mut Score)>,
    scorer: &impl Scorer,
) -> Rescored<K> {
    let mut rescored = Rescored { inserted: Vec::new(), retracted: Vec::new(), unchanged: 0 };
    for (document, score) in stored {
        let taken = std::mem::replace(score, Score { embedding: Vec::new(), score: 0.0, accepted: false, scorer: 0 });
        let (new, change) = rescore(taken, scorer);
        *score = new;
        match change {
            Change::Insert => rescored.inserted.push(document.clone()),
            Change::Retract => rescored.retracted.push(document.clone()),
            Change::Replace | Change::Nothing => rescored.unchanged += 1,
        }
    }
    rescored
}
