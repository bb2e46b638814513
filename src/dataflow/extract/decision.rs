//! What comes to the stage that decides about documents, and what it gives.

use serde::{Deserialize, Serialize};
use synthllm_operators::decode::{Limits, decode};
use synthllm_operators::id::{self, DocumentId};
use synthllm_operators::journal::Hit;
use synthllm_operators::record::{Document, Extraction, Origin, Pointer, Scored, place_of};
use synthllm_operators::revise::Known;

use super::super::dead_letter::Burial;
use super::super::inquiry::Spent;
use super::super::shard::Made;
use super::entry::Entry;
use super::keeper::Claim;
use super::work::{About, Stored};

/// What comes in.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Incoming {
    pub(super) origin: Origin,
    pub(super) key: Vec<u8>,
    pub(super) value: Value,
    pub(super) hits: Vec<Hit>,
    /// How often the shard has been screened again.
    pub(super) screenings: u64,
}

/// A record of `documents` as it was read, or a stored document: as it was read, or as its last record in `scores` has it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Value {
    Record(Option<Vec<u8>>),
    Stored(Box<Stored>),
    /// `lets_in`: it is to be let in, where nothing else speaks against it.
    Owed {
        lets_in: bool,
    },
}

/// The same, decoded.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Revision {
    pub(super) about: About,
    pub(super) content: Content,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Content {
    Deleted,
    Document(Box<Document>),
    Undecodable { reason: String },
    Stored(Box<Stored>),
    Owed { lets_in: bool },
}

/// What the logs say of a document at the start, or later without a record.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Note {
    /// A record of `extractions`.
    Extracted(DocumentId, Option<Known>),
    /// A record of `scores`.
    Scored(DocumentId, Option<ScoredAt>),
    /// Where a record of `scores` lies, with its [`mark`].
    Placed(DocumentId, Pointer, u128),
    /// It is found to be gone.
    Gone(DocumentId),
}

/// What is remembered of a record of `scores`.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct ScoredAt {
    pub(super) place: Pointer,
    pub(super) text_hash: u128,
    /// Of a document that is rejected.
    pub(super) rejected: Option<Known>,
}

impl Note {
    pub(super) fn id(&self) -> DocumentId {
        match self {
            Note::Extracted(id, _) | Note::Scored(id, _) | Note::Placed(id, ..) | Note::Gone(id) => *id,
        }
    }
}

/// What the stage gives.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Posted {
    Made(Made<Decision>),
    /// For the worker that all texts pass.
    Claim(Claim),
}

impl Posted {
    #[expect(clippy::result_large_err, reason = "both halves of a stream are moved on at once")]
    pub(super) fn claim(self) -> Result<Claim, Made<Decision>> {
        match self {
            Posted::Claim(claim) => Ok(claim),
            Posted::Made(made) => Err(made),
        }
    }
}

/// The outcome of a record.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Decision {
    Skipped,
    Deleted(Gone),
    /// It is let in, and extracted.
    Written {
        key: Vec<u8>,
        text: Entry<String>,
        extraction: Box<Extraction>,
        scored: Entry<Box<Scored>>,
        charged: Charged,
    },
    /// It is not let in; `stood`: it was before.
    Rejected {
        key: Vec<u8>,
        text: Entry<String>,
        scored: Box<Scored>,
        stood: bool,
        charged: Charged,
    },
    /// Screened again, it stays in, or out.
    Kept {
        key: Vec<u8>,
        scored: Box<Scored>,
        charged: Charged,
    },
    Buried {
        burial: Burial,
        gone: Option<Gone>,
    },
    /// Of a stored document, which is no input record; it came from this offset in `documents`.
    Again {
        offset: u64,
        decision: Box<Decision>,
    },
}

/// What its answers have cost with which no outcome before it was charged.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Charged {
    pub(super) embedded: Spent,
    pub(super) extracted: Spent,
}

/// A document that goes, with the number in its last version.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Gone {
    pub(super) key: Vec<u8>,
    pub(super) number: u64,
}

pub(super) fn decoded(incoming: Incoming, limits: &Limits) -> Revision {
    let Incoming { origin, key, value, hits, screenings } = incoming;
    let id = DocumentId::of(&String::from_utf8_lossy(&key));
    let stored = match &value {
        Value::Stored(stored) => Some(place_of(stored.scored.head.version).offset),
        // It is not known yet, and needed only for what is known.
        Value::Owed { .. } => Some(0),
        Value::Record(_) => None,
    };
    let (content, payload) = match value {
        Value::Stored(stored) => (Content::Stored(stored), Vec::new()),
        Value::Owed { lets_in } => (Content::Owed { lets_in }, Vec::new()),
        Value::Record(None) => (Content::Deleted, Vec::new()),
        Value::Record(Some(value)) => match decode(&key, &value, limits) {
            Ok(document) => (Content::Document(Box::new(document)), value),
            Err(rejection) => (Content::Undecodable { reason: rejection.to_string() }, value),
        },
    };
    Revision { about: About { origin, id, key, payload, hits, screenings, stored }, content }
}

/// Two records of a document with the same mark say the same of it.
pub(super) fn mark(scored: &Scored) -> u128 {
    let Scored { head, rejected, by, text_hash, answers, .. } = scored;
    id::digest(format!("{:?} {rejected:?} {by:?} {text_hash} {}", head.version, answers.len()).as_bytes())
}
