//! Which samples must be withdrawn because a document they stand on is gone.
//!
//! Input: the citations of all committed samples, and the live documents, as collections. Output: the samples owed a
//! withdrawal, as a collection with one record per dead citation.
//! Law (protocol.md, invariant 5): a citation is owed when its document does not live, or lives in another incarnation
//! ([`Withdraw::Deleted`]), or in another version ([`Withdraw::DeletedOrChanged`]), or was redone since a sample on it alone;
//! independent of the order of arrival.
//! Effects may be caused only by the consolidated collection, at epochs that its frontier has passed: in between, a citation
//! and its live document may arrive apart and cancel.
//! Cost: the antijoin keeps each citation (88 bytes) and each live document (56 bytes) once, arranged by document; 2 to 4
//! times that while batches merge. No text is ever arranged.

use differential_dataflow::VecCollection;
use differential_dataflow::lattice::Lattice;
use serde::{Deserialize, Serialize};
use timely::order::TotalOrder;
use timely::progress::Timestamp;

use crate::id::{DocumentId, Id};
use crate::live::Incarnation;
use crate::record::{Provenance, Version};

/// Which change of a document withdraws the samples that stand on it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Withdraw {
    /// Only its deletion, also when it was inserted again since.
    Deleted,
    /// Its deletion or any change of its content.
    DeletedOrChanged,
}

/// A committed sample that stands on a document.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Citation {
    /// The sample.
    pub sample: Id,
    /// The shard of generate that wrote it, and that withdraws it.
    pub shard: u32,
    /// The hash of its question, which is free again after the withdrawal.
    pub question: Id,
    /// The version of the document it stands on.
    pub version: Version,
    /// The other document that it stands on, if it stands on two: so that one citation names the other.
    pub other: Option<(DocumentId, Version)>,
}

impl Citation {
    /// The citations of a sample, each with its document.
    pub fn all(sample: Id, shard: u32, provenance: &Provenance) -> Vec<(DocumentId, Citation)> {
        let documents: Vec<_> = provenance.documents.iter().map(|(id, version)| (DocumentId::of(id), *version)).collect();
        let other = |index: usize| documents.iter().enumerate().find(|(at, _)| *at != index).map(|(_, other)| *other);
        let cite = |(index, (document, version)): (usize, &(DocumentId, Version))| {
            (*document, Citation { sample, shard, question: provenance.question, version: *version, other: other(index) })
        };
        documents.iter().enumerate().map(cite).collect()
    }

    /// The citations of the same sample, from this one of `document`.
    pub fn siblings(self, document: DocumentId) -> Vec<(DocumentId, Citation)> {
        let mut all = vec![(document, self)];
        if let Some((other, version)) = self.other {
            all.push((other, Citation { version, other: Some((document, self.version)), ..self }));
        }
        all
    }
}

/// The citations whose documents are dead; see the module.
pub fn withdrawals<'scope, T>(
    citations: VecCollection<'scope, T, (DocumentId, Citation), isize>,
    live: VecCollection<'scope, T, (DocumentId, Incarnation), isize>,
    withdraw: Withdraw,
) -> VecCollection<'scope, T, (DocumentId, Citation), isize>
where
    T: Timestamp + Lattice + TotalOrder,
{
    let standing = citations.clone().join_map(live, |document, citation, incarnation| (*document, *citation, *incarnation));
    let standing = standing.filter(move |(_, citation, incarnation)| stands(withdraw, citation, *incarnation));
    citations.concat(standing.map(|(document, citation, _)| (document, citation)).negate()).consolidate()
}

/// Whether a sample stands while the document that it cites lives as `incarnation`. One that stands on this document alone is
/// replaced when the document is redone; one on two documents is not, since no other combination would take its place.
pub fn stands(withdraw: Withdraw, citation: &Citation, incarnation: Incarnation) -> bool {
    let version = citation.version;
    let oldest = if citation.other.is_none() { incarnation.redone } else { incarnation.since };
    match withdraw {
        Withdraw::Deleted => version.partition == oldest.partition && version.offset >= oldest.offset,
        Withdraw::DeletedOrChanged => version == incarnation.version,
    }
}
