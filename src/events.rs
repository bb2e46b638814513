//! Every log line with its counter, in one place: a line that is written is counted, and nothing is counted that no line,
//! table or status could tell.
//!
//! error = data lost or work stopped; warn = unexpected, recovered; info = a state that a person would ask about;
//! debug = per epoch, per retry; trace = per record. Labels come from closed enums.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use synthllm_operators::record::Role;
use synthllm_operators::screen::Reason;
use tracing::{debug, info, trace, warn};

/// What becomes of an input record; the order is that of `ShardProgress::outcomes`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// Something was written for it.
    Written,
    /// Nothing was to be done: unchanged, not suitable, its reference gone.
    Skipped,
    /// A later record of the same key came before it was decided.
    Superseded,
    /// It could not be used.
    DeadLettered,
}

impl Outcome {
    /// All outcomes, in order.
    pub const ALL: [Outcome; 4] = [Outcome::Written, Outcome::Skipped, Outcome::Superseded, Outcome::DeadLettered];

    /// The name in tables and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Outcome::Written => "written",
            Outcome::Skipped => "skipped",
            Outcome::Superseded => "superseded",
            Outcome::DeadLettered => "dead_lettered",
        }
    }
}

/// What is counted beside the outcomes. The names are those of `ShardProgress::counters`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Counter {
    /// Calls of the model that were answered.
    Calls,
    /// Calls that were sent again after a transient failure.
    Retries,
    /// Answers taken from the journal instead of a call.
    JournalHits,
    /// Answers that did not fit and were asked for again.
    Repairs,
    /// Tokens of prompts.
    PromptTokens,
    /// Tokens of answers.
    CompletionTokens,
    /// Millionths of the currency of the configured prices.
    CostMicros,
    /// Documents whose content was extracted anew.
    Extractions,
    /// Documents that were deleted.
    Deletions,
    /// Documents with more concepts than `graph.max_concepts`.
    TooManyConcepts,
    /// Combinations of level 1.
    CombinationsLevel1,
    /// Combinations of level 2.
    CombinationsLevel2,
    /// Combinations of level 3.
    CombinationsLevel3,
    /// Starts whose walk was stuck.
    Stuck,
    /// Starts without two documents to stand on.
    WithoutReferences,
    /// Walks or matches that reached their work cap.
    WorkCapped,
    /// Samples written.
    Samples,
    /// Samples withdrawn.
    Withdrawn,
    /// Questions of level 1 that the model wrote.
    QuestionsLevel1,
    /// Questions of level 2 that the model wrote.
    QuestionsLevel2,
    /// Questions of level 3 that the model wrote.
    QuestionsLevel3,
    /// Questions dropped as exact duplicates.
    Duplicates,
    /// Of these, of level 1.
    DuplicatesLevel1,
    /// Of level 2.
    DuplicatesLevel2,
    /// Of level 3.
    DuplicatesLevel3,
    /// Questions dropped because a similar one has a sample.
    NearDuplicates,
    /// Questions dropped for their length.
    RejectedLength,
    /// Questions dropped because they repeat themselves.
    RejectedRepetition,
    /// Questions dropped for their language.
    RejectedLanguage,
    /// Questions dropped because they repeat a benchmark.
    RejectedBenchmark,
    /// Questions held back because the model calls their answer wrong.
    RejectedJudge,
    /// Samples whose questions a filter had held back before it changed.
    Released,
    /// Questions dropped because the target needs no more.
    OverTarget,
    /// Documents that the model calls not suitable for questions.
    Unsuitable,
    /// Combinations and samples dropped because a document changed or went before they were committed.
    NotLive,
    /// Transactions.
    Commits,
    /// Settlements that ended before all their draws were made.
    SettlementsAbandoned,
    /// Counts of nodes and edges written to `graph-updates`.
    GraphUpdates,
    /// Documents taken for deleted because they were not there any more when `documents` was read anew.
    Reconciled,
    /// Documents that were embedded.
    Embeddings,
    /// Documents rejected because they have no text.
    ScreenedEmpty,
    /// Documents rejected because they have too few words.
    ScreenedTooShort,
    /// Documents rejected because they have too many words.
    ScreenedTooLong,
    /// Documents rejected because they repeat themselves.
    ScreenedRepetition,
    /// Documents rejected for their language.
    ScreenedLanguage,
    /// Documents rejected because an earlier one has the same text.
    ScreenedDuplicate,
    /// Documents rejected because an earlier one has a similar text.
    ScreenedNearDuplicate,
    /// Documents rejected for their score.
    ScreenedScore,
    /// Stored documents that were screened again, because the settings of screening have changed, or the documents with equal or
    /// similar texts that stand before them.
    Rescreened,
    /// Of these, documents that are no longer let in.
    ScreenedOut,
    /// Of these, documents that are let in now.
    ScreenedIn,
}

impl Counter {
    /// All counters.
    pub const ALL: [Counter; 51] = [
        Counter::Calls,
        Counter::Retries,
        Counter::JournalHits,
        Counter::Repairs,
        Counter::PromptTokens,
        Counter::CompletionTokens,
        Counter::CostMicros,
        Counter::Extractions,
        Counter::Deletions,
        Counter::TooManyConcepts,
        Counter::CombinationsLevel1,
        Counter::CombinationsLevel2,
        Counter::CombinationsLevel3,
        Counter::Stuck,
        Counter::WithoutReferences,
        Counter::WorkCapped,
        Counter::Samples,
        Counter::Withdrawn,
        Counter::QuestionsLevel1,
        Counter::QuestionsLevel2,
        Counter::QuestionsLevel3,
        Counter::Duplicates,
        Counter::DuplicatesLevel1,
        Counter::DuplicatesLevel2,
        Counter::DuplicatesLevel3,
        Counter::NearDuplicates,
        Counter::RejectedLength,
        Counter::RejectedRepetition,
        Counter::RejectedLanguage,
        Counter::RejectedBenchmark,
        Counter::RejectedJudge,
        Counter::Released,
        Counter::OverTarget,
        Counter::Unsuitable,
        Counter::NotLive,
        Counter::Commits,
        Counter::SettlementsAbandoned,
        Counter::GraphUpdates,
        Counter::Reconciled,
        Counter::Embeddings,
        Counter::ScreenedEmpty,
        Counter::ScreenedTooShort,
        Counter::ScreenedTooLong,
        Counter::ScreenedRepetition,
        Counter::ScreenedLanguage,
        Counter::ScreenedDuplicate,
        Counter::ScreenedNearDuplicate,
        Counter::ScreenedScore,
        Counter::Rescreened,
        Counter::ScreenedOut,
        Counter::ScreenedIn,
    ];

    /// Those of questions that a filter drops, in the order of the filters.
    pub const REJECTED: [Counter; 6] = [
        Counter::RejectedLength,
        Counter::RejectedRepetition,
        Counter::RejectedLanguage,
        Counter::RejectedBenchmark,
        Counter::NearDuplicates,
        Counter::RejectedJudge,
    ];

    /// Those of documents that screening rejects, in the order in which it looks.
    pub const SCREENED: [Counter; 8] = [
        Counter::ScreenedEmpty,
        Counter::ScreenedTooShort,
        Counter::ScreenedTooLong,
        Counter::ScreenedRepetition,
        Counter::ScreenedLanguage,
        Counter::ScreenedDuplicate,
        Counter::ScreenedNearDuplicate,
        Counter::ScreenedScore,
    ];

    /// The counter of documents that screening rejects for this reason.
    pub fn screened(reason: Reason) -> Self {
        match reason {
            Reason::Empty => Counter::ScreenedEmpty,
            Reason::TooShort => Counter::ScreenedTooShort,
            Reason::TooLong => Counter::ScreenedTooLong,
            Reason::Repetition => Counter::ScreenedRepetition,
            Reason::Language => Counter::ScreenedLanguage,
            Reason::Duplicate => Counter::ScreenedDuplicate,
            Reason::NearDuplicate => Counter::ScreenedNearDuplicate,
            Reason::Score | Reason::NoEmbedding => Counter::ScreenedScore,
        }
    }

    /// The name in `progress`, tables and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Counter::Calls => "calls",
            Counter::Retries => "retries",
            Counter::JournalHits => "journal_hits",
            Counter::Repairs => "repairs",
            Counter::PromptTokens => "prompt_tokens",
            Counter::CompletionTokens => "completion_tokens",
            Counter::CostMicros => "cost_micros",
            Counter::Extractions => "extractions",
            Counter::Deletions => "deletions",
            Counter::TooManyConcepts => "too_many_concepts",
            Counter::CombinationsLevel1 => "combinations_level1",
            Counter::CombinationsLevel2 => "combinations_level2",
            Counter::CombinationsLevel3 => "combinations_level3",
            Counter::Stuck => "stuck",
            Counter::WithoutReferences => "without_references",
            Counter::WorkCapped => "work_capped",
            Counter::Samples => "samples",
            Counter::Withdrawn => "withdrawn",
            Counter::QuestionsLevel1 => "questions_level1",
            Counter::QuestionsLevel2 => "questions_level2",
            Counter::QuestionsLevel3 => "questions_level3",
            Counter::Duplicates => "duplicates",
            Counter::DuplicatesLevel1 => "duplicates_level1",
            Counter::DuplicatesLevel2 => "duplicates_level2",
            Counter::DuplicatesLevel3 => "duplicates_level3",
            Counter::NearDuplicates => "near_duplicates",
            Counter::RejectedLength => "rejected_length",
            Counter::RejectedRepetition => "rejected_repetition",
            Counter::RejectedLanguage => "rejected_language",
            Counter::RejectedBenchmark => "rejected_benchmark",
            Counter::RejectedJudge => "rejected_judge",
            Counter::Released => "released",
            Counter::OverTarget => "over_target",
            Counter::Unsuitable => "unsuitable",
            Counter::NotLive => "not_live",
            Counter::Commits => "commits",
            Counter::SettlementsAbandoned => "settlements_abandoned",
            Counter::GraphUpdates => "graph_updates",
            Counter::Reconciled => "reconciled",
            Counter::Embeddings => "embeddings",
            Counter::ScreenedEmpty => "screened_empty",
            Counter::ScreenedTooShort => "screened_too_short",
            Counter::ScreenedTooLong => "screened_too_long",
            Counter::ScreenedRepetition => "screened_repetition",
            Counter::ScreenedLanguage => "screened_language",
            Counter::ScreenedDuplicate => "screened_duplicate",
            Counter::ScreenedNearDuplicate => "screened_near_duplicate",
            Counter::ScreenedScore => "screened_score",
            Counter::Rescreened => "rescreened",
            Counter::ScreenedOut => "screened_out",
            Counter::ScreenedIn => "screened_in",
        }
    }

    /// The counter of the combinations of a level.
    pub fn combinations(level: u8) -> Self {
        match level {
            1 => Counter::CombinationsLevel1,
            2 => Counter::CombinationsLevel2,
            _ => Counter::CombinationsLevel3,
        }
    }

    /// The counter of the questions of a level that the model wrote.
    pub fn questions(level: u8) -> Self {
        match level {
            1 => Counter::QuestionsLevel1,
            2 => Counter::QuestionsLevel2,
            _ => Counter::QuestionsLevel3,
        }
    }

    /// The counter of the exact duplicates of a level.
    pub fn duplicates(level: u8) -> Self {
        match level {
            1 => Counter::DuplicatesLevel1,
            2 => Counter::DuplicatesLevel2,
            _ => Counter::DuplicatesLevel3,
        }
    }
}

/// The counts of one role in this process. Every method may be called from any thread.
#[derive(Debug)]
struct RoleCounters {
    read: AtomicU64,
    outcomes: [AtomicU64; Outcome::ALL.len()],
    named: [AtomicU64; Counter::ALL.len()],
}

impl Default for RoleCounters {
    fn default() -> Self {
        let (outcomes, named) = (Default::default(), std::array::from_fn(|_| AtomicU64::default()));
        RoleCounters { read: AtomicU64::default(), outcomes, named }
    }
}

/// All counts of this process since its start.
#[derive(Debug, Default)]
pub struct Counters {
    roles: [RoleCounters; 3],
}

impl Counters {
    /// Counts input records as read.
    pub fn read(&self, role: Role, records: u64) {
        trace!(role = role.name(), records, "read");
        self.of(role).read.fetch_add(records, Relaxed);
    }

    /// Counts the one outcome of some input records.
    pub fn outcome(&self, role: Role, outcome: Outcome, records: u64) {
        trace!(role = role.name(), outcome = outcome.name(), records, "decided");
        self.of(role).outcomes[outcome as usize].fetch_add(records, Relaxed);
    }

    /// Adds to a counter without a line of its own.
    pub fn add(&self, role: Role, counter: Counter, count: u64) {
        self.of(role).named[counter as usize].fetch_add(count, Relaxed);
    }

    /// A counter's value.
    pub fn value(&self, role: Role, counter: Counter) -> u64 {
        self.of(role).named[counter as usize].load(Relaxed)
    }

    /// A counter's sum over the roles.
    pub fn total(&self, counter: Counter) -> u64 {
        [Role::Extract, Role::Graph, Role::Generate].into_iter().map(|role| self.value(role, counter)).sum()
    }

    /// The account of a role: read = written + skipped + superseded + dead-lettered + in flight, in input records.
    pub fn account(&self, role: Role) -> Account {
        let counters = self.of(role);
        // The outcomes are loaded before the reads, so that a record decided in between never makes `in_flight` negative.
        let outcomes = std::array::from_fn(|index| counters.outcomes[index].load(Relaxed));
        Account { read: counters.read.load(Relaxed), outcomes }
    }

    /// All counters of a role that are not 0, by name.
    pub fn named(&self, role: Role) -> BTreeMap<&'static str, u64> {
        let values = Counter::ALL.iter().map(|&counter| (counter.name(), self.value(role, counter)));
        values.filter(|&(_, value)| value > 0).collect()
    }

    fn of(&self, role: Role) -> &RoleCounters {
        &self.roles[role as usize]
    }
}

/// What was read by a role, and what became of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Account {
    /// Input records read.
    pub read: u64,
    /// Input records by outcome, in the order of [`Outcome::ALL`].
    pub outcomes: [u64; 4],
}

impl Account {
    /// Input records that are not decided yet.
    pub fn in_flight(&self) -> u64 {
        self.read.saturating_sub(self.outcomes.iter().sum())
    }
}

/// The lines of the roles. Each counts what it says.
impl Counters {
    /// A role has its state and begins to read.
    pub fn gate_open(&self, role: Role, shards: usize, loaded: u64) {
        info!(role = role.name(), shards, loaded, "the role has its state and begins");
    }

    /// A transaction is committed.
    pub fn committed(&self, role: Role, shard: u32, records: usize, took: Duration) {
        debug!(role = role.name(), shard, records, took_ms = took.as_millis() as u64, "committed");
        self.add(role, Counter::Commits, 1);
    }

    /// A record could not be used.
    pub fn dead_letter(&self, role: Role, stage: &str, shard: u32, offset: u64, reason: &str) {
        warn!(role = role.name(), stage, shard, offset, reason, "dead letter");
        self.outcome(role, Outcome::DeadLettered, 1);
    }

    /// A filter holds a question back; it is counted with its transaction.
    pub fn rejected(&self, counter: Counter, shard: u32, offset: u64, details: &str) {
        info!(reason = counter.name(), shard, offset, details, "a question is dropped");
    }

    /// The filters have changed since these shards judged their questions.
    pub fn reviewing(&self, shards: &[u32]) {
        info!(?shards, "the filters have changed: samples and held questions are judged anew before new ones are made");
    }

    /// A shard has judged all by the filters of now.
    pub fn reviewed(&self, shard: u32, dropped: u64, offered: u64) {
        info!(shard, dropped, offered, "all samples and held questions are judged by the present filters");
    }

    /// A call is sent again.
    pub fn retry(&self, role: Role, attempt: u32, wait: Duration, reason: &str) {
        debug!(role = role.name(), attempt, wait_ms = wait.as_millis() as u64, reason, "asking again");
        self.add(role, Counter::Retries, 1);
    }

    /// Shards begin to read their documents anew.
    pub fn reconciling(&self, shards: &[u32]) {
        info!(?shards, "deletions may have been forgotten before they were read: the documents are looked through anew");
    }

    /// A shard knows which documents are gone. They are counted with its transaction.
    pub fn reconciled(&self, shard: u32, missing: usize) {
        info!(shard, missing, "documents that are not there any more are taken for deleted");
    }

    /// Shards begin to screen what is stored again. Its documents are counted with their transactions.
    pub fn rescreening(&self, shards: &[u32]) {
        info!(?shards, "the settings of screening have changed: what is stored is screened again before more is read");
    }

    /// They have done so.
    pub fn rescreened(&self) {
        let [all, out, let_in] = [Counter::Rescreened, Counter::ScreenedOut, Counter::ScreenedIn]
            .map(|counter| self.value(Role::Extract, counter));
        info!(documents = all, out, let_in, "what is stored has been screened again");
    }

    /// A stored document that is screened again could not be used. It is no input record, which would have an outcome.
    pub fn stored_dead_letter(&self, stage: &str, shard: u32, offset: u64, reason: &str) {
        warn!(role = Role::Extract.name(), stage, shard, offset, reason, "dead letter of a stored document");
    }

    /// It can't be told how long `documents` keeps deletions.
    pub fn retention_unknown(&self, reason: &str) {
        warn!(reason, "how long documents keeps deletions is unknown: one that was missed while away stays unnoticed");
    }

    /// A settlement can't be resumed: its cut can't be seen any more, or the settings have changed.
    pub fn settlement_abandoned(&self, number: u64) {
        warn!(number, "the settlement can't go on as it began (compaction or changed settings), a new one begins");
        self.add(Role::Graph, Counter::SettlementsAbandoned, 1);
    }

    /// Samples were withdrawn because their documents went.
    pub fn withdrawn(&self, samples: u64) {
        info!(samples, "withdrawn, because a document they stand on is gone");
        self.add(Role::Generate, Counter::Withdrawn, samples);
    }

    /// A role has nothing more to do.
    pub fn drained(&self, role: Role) {
        let account = self.account(role);
        info!(role = role.name(), read = account.read, "drained");
    }
}

/// The lines of a cluster of processes.
pub mod cluster {
    use tracing::{error, info, warn};

    /// All processes are connected.
    pub fn formed(processes: usize, workers: usize) {
        info!(processes, workers, "all processes are there");
    }

    /// A process that wanted to join does not belong here.
    pub fn refused(reason: &str) {
        warn!("a process that wants to join does not belong here: {reason}");
    }

    /// Another process is gone, and so this one ends.
    pub fn lost(process: usize, address: &str, reason: &str) {
        error!("lost process {process} at {address}: {reason}; all processes end, to be started again together");
    }
}

/// Records that nobody needs could not be removed; it is tried again.
pub fn trim_failed(error: &(dyn std::error::Error + 'static)) {
    warn!(error, "can't trim a log, which does no harm but for its size; trying again");
}

/// A stop took longer than it may: what is not committed is done again after the next start.
pub fn stop_timed_out() {
    warn!("the last commits were not confirmed in time; what is not committed is done again at the next start");
}

/// A budget was reached, and the run ends. A warning, so that it is also said where little is.
pub fn budget_reached(message: &str) {
    warn!("{message}");
}

/// A target stands.
pub fn target_met(level: u8, standing: u64, target: u64) {
    info!("target of level {level}: {standing} of {target} samples stand");
}

/// A target does not stand when the run ends. A warning, so that it is also said where little is.
pub fn target_missed(level: u8, standing: u64, target: u64, reason: &str) {
    warn!("target of level {level}: {standing} of {target} samples stand, {} are missing: {reason}", target - standing);
}

/// The lines of `ingest`, which counts what it reports itself.
pub mod ingest {
    use tracing::warn;

    /// A line that is no document.
    pub fn bad_line(file: &str, line: u64, reason: &str) {
        warn!("{file}:{line}: not a document: {reason}");
    }

    /// Lines that are no documents either, beyond those reported.
    pub fn more_bad_lines(file: &str, count: u64) {
        warn!("{file}: {count} more lines are no documents");
    }
}

/// The lines of `redo`.
pub mod redo {
    use tracing::warn;

    /// A live document whose record is no longer in `documents`.
    pub fn no_document(id: &str, redo: u32) {
        warn!("the log has the document {id:?} no longer; ingest it again with the field \"redo\": {redo}");
    }

    /// A document whose deletion waits.
    pub fn deleted(id: &str) {
        warn!("the document {id:?} is deleted, as the next `run` will see");
    }

    /// An id of which nothing was extracted.
    pub fn no_extraction(id: &str) {
        warn!("nothing was extracted from a document {id:?}, so there is nothing to pay for again");
    }
}

pub mod screen;

/// The lines of `delete`.
pub mod delete {
    use tracing::warn;

    /// An id that no live document has.
    pub fn unknown_document(id: &str) {
        warn!("no document has the id {id:?}; its tombstone is written all the same");
    }

    /// Ids that no live document has either, beyond those named.
    pub fn more_unknown_documents(count: usize) {
        warn!("{count} more ids are of no document; their tombstones are written all the same");
    }
}

/// What `report` says.
pub mod report {
    use tracing::info;

    /// The questions that are compared have their embeddings.
    pub fn embedded(questions: usize, spent: &str) {
        info!("the embeddings of {questions} questions are there; {}", spent.trim_end());
    }
}

/// What `export` says.
pub mod export {
    use tracing::warn;

    /// Samples that the shape asked for can't hold.
    pub fn unanswered(count: u64) {
        warn!("samples without an answer are left out: {count}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_stand_at_their_own_index_and_have_names_of_their_own() {
        for (index, counter) in Counter::ALL.into_iter().enumerate() {
            assert_eq!(counter as usize, index, "{}", counter.name());
        }
        let names: std::collections::BTreeSet<_> = Counter::ALL.iter().map(|counter| counter.name()).collect();
        assert_eq!(names.len(), Counter::ALL.len());
    }

    #[test]
    fn what_is_read_and_not_decided_is_in_flight() {
        let counters = Counters::default();
        counters.read(Role::Graph, 5);
        counters.outcome(Role::Graph, Outcome::Written, 2);
        counters.dead_letter(Role::Graph, "decode", 0, 7, "not JSON");
        assert_eq!(counters.account(Role::Graph).in_flight(), 2);
        assert_eq!(counters.account(Role::Extract).in_flight(), 0);
    }
}
