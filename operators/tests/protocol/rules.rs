//! The rules of protocol.md that the model can leave out, one at a time, to see that an invariant breaks without it.

/// A rule in force unless it is the one that is left out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rule {
    /// All shards of a role are fenced before any of its state is read; the gate is one for the role.
    OneGate,
    /// Once all shards of a role are fenced, each shard makes sure with a transaction that it is still the owner.
    OwnershipConfirmed,
    /// State is read after `init_transactions`, not before.
    FencedBeforeRead,
    /// A new owner's `init_transactions` fences the former one.
    Fencing,
    /// "To the end" is the high watermark; control records count.
    PositionsCountControlRecords,
    /// The outputs and the position of a transaction are of one snapshot.
    PositionOfTheSnapshot,
    /// So are the outputs and the answers.
    AnswersOfTheSnapshot,
    /// The low mark includes hits.
    HitsHoldTheMark,
    /// Only marks whose commit was confirmed are trimmed below.
    TrimConfirmed,
    /// The subject of an extraction's journal key is the document id only, without the version.
    SubjectWithoutVersion,
    /// The attempt is in the journal key, and the request that it repeats.
    AttemptInKey,
    /// The records of a document are decided each after the outcome of the one before it.
    Turns,
    /// A dead letter of a known document also writes its tombstones.
    BuriedWithTombstones,
    /// A combination is judged only after `extractions` is read past the offsets of its references.
    JudgedAfterReading,
    /// A duplicate waits for the outcome of the holder of its question.
    DuplicateWaits,
    /// Under `withdraw = deleted` a sample is owed a withdrawal when its version is older than the document's `since`.
    SinceOfIncarnation,
    /// `starts` are committed in order.
    StartsInOrder,
    /// A settlement is committed before its first draw.
    SettlementRecorded,
    /// A settlement is resumed only when the digest of the live set is the same.
    SettlementDigest,
}

/// Which rules hold.
#[derive(Clone, Copy, Default, Debug)]
pub struct Rules(Option<Rule>);

impl Rules {
    /// All but this one.
    pub fn without(rule: Rule) -> Self {
        Rules(Some(rule))
    }

    /// Whether a rule holds.
    pub fn hold(self, rule: Rule) -> bool {
        self.0 != Some(rule)
    }
}
