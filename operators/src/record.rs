//! The records of the logs, and the types that two stages share (design.md §2). Which log holds which is said at each type.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use crate::codec::{self, CodecError};
use crate::id::{Id, Kind};
use crate::passes::Pass;
use crate::screen::Reason;
use crate::subsets;

/// A place in a log: partition and offset.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Pointer {
    /// Partition, from 0.
    pub partition: u32,
    /// Offset inside the partition, from 0.
    pub offset: u64,
}

/// The version of a document: the place in `documents` at which its content last changed.
///
/// Screening can take a document out and let it in again with nothing new in `documents`. What comes back must be younger than
/// all that stood on it before, and older than whatever comes next, or a sample could be taken for one of its former life. So
/// above the place, in the upper 16 bits of the offset, stands the number of the re-screening since which it lives
/// ([`version`]), or a greater one than in its life before: 0 where nothing was ever screened again, and never falling for a document.
pub type Version = Pointer;

/// How many bits of a version's offset are its place.
const PLACE_BITS: u32 = 48;

/// The version of a record of `documents` at `place`, after so many re-screenings of its shard.
///
/// ```
/// use synthllm_operators::record::{Pointer, place_of, version};
/// let place = Pointer { partition: 1, offset: 7 };
/// assert_eq!(version(place, 0), place);
/// let again = version(place, 1);
/// assert!(again > version(Pointer { offset: 900, ..place }, 0) && again < version(Pointer { offset: 8, ..place }, 1));
/// assert_eq!(place_of(again), place);
/// ```
pub fn version(place: Pointer, screenings: u64) -> Version {
    Version { offset: (screenings << PLACE_BITS) | place_of(place).offset, ..place }
}

/// Of a version, after how many re-screenings.
pub fn screenings_of(version: Version) -> u64 {
    version.offset >> PLACE_BITS
}

/// The most re-screenings that a version can tell.
pub const MOST_SCREENINGS: u64 = u64::MAX >> PLACE_BITS;

/// The place in `documents` of a version.
pub fn place_of(version: Version) -> Pointer {
    Pointer { offset: version.offset & ((1 << PLACE_BITS) - 1), ..version }
}

/// The roles of the pipeline. Each is one dataflow.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Documents to extractions.
    Extract,
    /// Extractions to combinations.
    Graph,
    /// Combinations to samples.
    Generate,
}

impl Role {
    /// The name in owner ids, keys and messages.
    pub fn name(self) -> &'static str {
        match self {
            Role::Extract => "extract",
            Role::Graph => "graph",
            Role::Generate => "generate",
        }
    }
}

/// Where a record came from; it travels with everything made from it (protocol.md, "Words").
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Origin {
    /// The shard, which is the input partition.
    pub shard: u32,
    /// The offset of the input record.
    pub offset: u64,
}

/// Tokens and requests that something cost.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Usage {
    /// Calls of the model that were answered.
    pub calls: u32,
    /// Tokens of the prompts.
    pub prompt_tokens: u64,
    /// Tokens of the answers.
    pub completion_tokens: u64,
}

impl std::ops::AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        self.calls += other.calls;
        self.prompt_tokens += other.prompt_tokens;
        self.completion_tokens += other.completion_tokens;
    }
}

/// A document as it stands in `documents`, decoded and checked (design.md §2). Key: the id.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Document {
    /// The text; without one the document is in the graph but never a reference.
    pub text: Option<String>,
    /// The document's own topics, with the key concepts nested under each.
    pub topics: Vec<Topic>,
    /// The document's own key concepts without topic.
    pub concepts: Vec<String>,
    /// Where it is from, for the reader of a sample.
    pub source: Option<String>,
    /// Its address.
    pub url: Option<String>,
    /// Its licence.
    pub license: Option<String>,
    /// Which time the user pays for it on purpose, from 0; see [`Extraction::redo`].
    pub redo: u32,
    /// All other fields, as they came (JSON text each, so that the record crosses workers in bincode).
    pub metadata: BTreeMap<String, String>,
}

/// A topic with its key concepts, in display form.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Topic {
    /// The topic.
    pub name: String,
    /// The key concepts under it.
    pub key_concepts: Vec<String>,
}

/// What is known of a live document: a record of `extractions`. Key: the document id.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Extraction {
    /// The document's text in `texts`, unless it has none.
    pub text: Option<Pointer>,
    /// Where in `documents` the content last changed.
    pub version: Version,
    /// The version of the last insert after a delete.
    pub since: Version,
    /// The greatest redo number that a record of the document has had since its last insert; it is part of what is asked anew.
    pub redo: u32,
    /// The version at which that number was raised last, else that of the insert: samples that stand on an older version of
    /// this document alone have been replaced.
    pub redone: Version,
    /// xxh3-128 of all fields used (text, topics, concepts, source, url, license).
    pub content_hash: u128,
    /// The level of education, as the model judged it.
    pub level: Option<String>,
    /// The subject, as the model judged it.
    pub subject: Option<String>,
    /// Topics with their key concepts, in display form.
    pub topics: Vec<Topic>,
    /// Key concepts without topic, in display form.
    pub key_concepts: Vec<String>,
    /// The document's source.
    pub source: Option<String>,
    /// The document's address.
    pub url: Option<String>,
    /// The document's licence.
    pub license: Option<String>,
    /// The model that extracted, unless the concepts are the document's own.
    pub model: Option<String>,
    /// The version of the prompt, likewise.
    pub prompt: Option<String>,
    /// What the extraction cost in tokens.
    pub usage: Usage,
    /// What the extraction cost, in the currency of the configured prices.
    pub cost: f64,
}

/// A node on a walk: a concept by its kind and normalised name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Node {
    /// Topic or key concept.
    pub kind: Kind,
    /// The normalised name. Inside the graph that of the subset's node (see [`crate::subsets`]); elsewhere the concept's.
    pub name: String,
}

impl Node {
    /// The concept of a node, whatever its subset.
    #[must_use]
    pub fn without_subset(self) -> Node {
        let name = subsets::concept_of(&self.name).to_owned();
        Node { name, ..self }
    }
}

/// A document that a combination is grounded on.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Reference {
    /// The document's id (the key of its records).
    pub document: String,
    /// The version that was matched.
    pub version: Version,
    /// Its text in `texts`.
    pub text: Pointer,
    /// Its record in `extractions`.
    pub extraction: Pointer,
    /// Jaccard similarity of the combination and the document's concepts; 1 for levels 1 and 2.
    pub jaccard: f64,
}

/// A request for questions: a record of `combinations`. Key: the id.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Combination {
    /// The id, see [`crate::id`].
    pub id: Id,
    /// 1, 2 or 3.
    pub level: u8,
    /// The nodes in the order visited (level 3), or the document's concepts (levels 1 and 2).
    pub walk: Vec<Node>,
    /// One document (levels 1 and 2) or two (level 3), best first.
    pub references: Vec<Reference>,
    /// The seed of the draw.
    pub seed: u64,
    /// Level 3: which walk from the first node this is, from 0.
    pub start: Option<u64>,
    /// Level 3 in settled mode: the number of the settlement.
    pub settlement: Option<u64>,
}

impl Combination {
    /// As it is issued: the value of a record of `combinations`. Where its level has a target, it says behind the combination how many
    /// samples may come of it at most.
    pub fn to_record(&self, most: Option<u32>) -> Vec<u8> {
        most.map_or_else(|| codec::encode(self), |most| codec::encode(&(self, most)))
    }

    /// The combination of a record of `combinations`, and how many samples may come of it at most, if that is said.
    pub fn of_record(value: &[u8]) -> Result<(Self, Option<u32>), CodecError> {
        // Neither form is the beginning of the other: none may have bytes behind it.
        match codec::decode(value) {
            Ok(combination) => Ok((combination, None)),
            Err(error) => match codec::decode(value) {
                Ok((combination, most)) => Ok((combination, Some(most))),
                Err(_) => Err(error),
            },
        }
    }
}

/// What an [`Extraction`] begins with: all that is to be known of a document by who does not draw from it. Read without the rest, by
/// [`crate::codec::decode_beginning`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ExtractionHead {
    /// See [`Extraction::text`].
    pub text: Option<Pointer>,
    /// See [`Extraction::version`].
    pub version: Version,
    /// See [`Extraction::since`].
    pub since: Version,
    /// See [`Extraction::redo`].
    pub redo: u32,
    /// See [`Extraction::redone`].
    pub redone: Version,
    /// See [`Extraction::content_hash`].
    pub content_hash: u128,
}

/// An [`Extraction`] as far as the graph needs it: the concepts, and where the document is from. Read without the rest, as texts that lie
/// in the record.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub struct ExtractionConcepts<'record> {
    /// What stands before the concepts.
    pub head: ExtractionHead,
    /// See [`Extraction::level`].
    pub level: Option<&'record str>,
    /// See [`Extraction::subject`].
    pub subject: Option<&'record str>,
    /// See [`Extraction::topics`]: name and key concepts.
    #[serde(borrow)]
    pub topics: Vec<(&'record str, Vec<&'record str>)>,
    /// See [`Extraction::key_concepts`].
    pub key_concepts: Vec<&'record str>,
    /// See [`Extraction::source`].
    pub source: Option<&'record str>,
    /// See [`Extraction::url`].
    pub url: Option<&'record str>,
    /// See [`Extraction::license`].
    pub license: Option<&'record str>,
}

impl From<&Extraction> for ExtractionHead {
    fn from(extraction: &Extraction) -> Self {
        let &Extraction { text, version, since, redo, redone, content_hash, .. } = extraction;
        ExtractionHead { text, version, since, redo, redone, content_hash }
    }
}

impl<'record> From<&'record Extraction> for ExtractionConcepts<'record> {
    fn from(extraction: &'record Extraction) -> Self {
        let texts = |texts: &'record [String]| texts.iter().map(String::as_str).collect();
        ExtractionConcepts {
            head: extraction.into(),
            level: extraction.level.as_deref(),
            subject: extraction.subject.as_deref(),
            topics: extraction.topics.iter().map(|topic| (topic.name.as_str(), texts(&topic.key_concepts))).collect(),
            key_concepts: texts(&extraction.key_concepts),
            source: extraction.source.as_deref(),
            url: extraction.url.as_deref(),
            license: extraction.license.as_deref(),
        }
    }
}

/// What screening says of a document: a record of `scores`. Key: the document id.
///
/// It has all that is needed to judge the document anew, and to let it in without its record in `documents`: its embedding, the place of
/// its text, and its other fields.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Scored {
    /// What is known of the document, as an [`Extraction`] says it of one that is let in.
    pub head: ExtractionHead,
    /// Why it is rejected; nothing when it is let in.
    pub rejected: Option<Reason>,
    /// By which settings.
    pub by: ScoredBy,
    /// A hash of the text.
    pub text_hash: u128,
    /// Its score, if it came to that.
    pub score: Option<f64>,
    /// The digest of the model and the cut that made the embedding (see [`ScoredBy::embedder`]); 0 without one.
    pub embedded_by: u64,
    /// The embedding of its text; empty when it was rejected before.
    pub embedding: Vec<f32>,
    /// Its fields, without the text and what is not used.
    pub document: Document,
    /// What a model said of its concepts when it was let in: it is not asked again when the document is let in again.
    pub extracted: Option<Extracted>,
    /// What a model has answered and no extraction has used, with what was asked, for the same reason.
    pub answers: Vec<(JournalKey, Answer)>,
}

/// What a model said of a document's concepts.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Extracted {
    /// The hash of the request (see [`JournalKey::request`]), where it is known: another record with the same text makes the same.
    pub request: Option<u128>,
    /// See [`Extraction::level`].
    pub level: Option<String>,
    /// See [`Extraction::subject`].
    pub subject: Option<String>,
    /// See [`Extraction::topics`].
    pub topics: Vec<Topic>,
    /// See [`Extraction::model`].
    pub model: String,
    /// See [`Extraction::prompt`].
    pub prompt: String,
    /// See [`Extraction::usage`].
    pub usage: Usage,
    /// See [`Extraction::cost`].
    pub cost: f64,
}

impl Extraction {
    /// What a model said, unless the concepts are the document's own.
    pub fn extracted(&self) -> Option<Extracted> {
        let Extraction { level, subject, topics, model, prompt, usage, cost, .. } = self;
        Some(Extracted {
            request: None,
            level: level.clone(),
            subject: subject.clone(),
            topics: topics.clone(),
            model: model.clone()?,
            prompt: prompt.clone().unwrap_or_default(),
            usage: *usage,
            cost: *cost,
        })
    }
}

/// What a [`Scored`] begins with. Read without the rest, by [`crate::codec::decode_beginning`].
#[derive(Clone, Copy, PartialEq, Debug, Deserialize)]
pub struct ScoredHead {
    /// See [`Scored::head`].
    pub head: ExtractionHead,
    /// See [`Scored::rejected`].
    pub rejected: Option<Reason>,
    /// See [`Scored::by`].
    pub by: ScoredBy,
    /// See [`Scored::text_hash`].
    pub text_hash: u128,
    /// See [`Scored::score`].
    pub score: Option<f64>,
    /// See [`Scored::embedded_by`].
    pub embedded_by: u64,
}

/// Digests of the settings by which a document was judged: what differs must be done anew.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct ScoredBy {
    /// Of the limits that texts must keep.
    pub checks: u64,
    /// Of the embedding model, and how texts are cut for it.
    pub embedder: u64,
    /// Of the screening model and the threshold.
    pub judge: u64,
}

/// Which documents a sample stands on: a record of `provenance`. Key: the sample id.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Provenance {
    /// Each document with its version, and the place of its record in `extractions`.
    pub documents: Vec<(String, Version)>,
    /// See [`crate::id::question`].
    pub question: Id,
}

/// A question that a filter holds back: a record of `held`. Key: the sample id that it has when it passes.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Held {
    /// The filter that holds it back, e.g. `length`.
    pub reason: String,
    /// What is wrong with it, for a person.
    pub details: String,
    /// The sample; it has an answer when it was one before the filters changed.
    pub sample: Sample,
    /// What it stands on.
    pub provenance: Provenance,
    /// What a model has answered to it that is not in the sample, with what was asked: that is not paid for again when it passes, and
    /// no outcome was charged with it.
    pub answers: Vec<(JournalKey, Answer)>,
}

/// A finished sample as JSON: a record of `samples`, and a line of `export` (design.md §7). Key: the sample id.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Sample {
    /// 32 hexadecimal digits.
    pub id: String,
    /// 1, 2 or 3.
    pub level: u8,
    /// The question.
    pub question: String,
    /// The answer; null when only questions were asked for.
    pub answer: Option<String>,
    /// The key concepts that the question joins, in display form.
    pub concepts: Vec<String>,
    /// The topics, in display form.
    pub topics: Vec<String>,
    /// What the sample was made from, and by what.
    pub provenance: SampleProvenance,
    /// Scores by name.
    pub scores: BTreeMap<String, f64>,
    /// The tokens of the calls that made this sample; a question call is shared evenly by its questions.
    pub usage: Usage,
    /// The cost of the same calls, in the currency of the configured prices.
    pub cost: f64,
}

/// The `provenance` object of a [`Sample`].
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct SampleProvenance {
    /// The combination's id.
    pub combination: String,
    /// The nodes of the walk, in order.
    pub walk: Vec<Node>,
    /// The documents it is grounded on.
    pub documents: Vec<SampleDocument>,
    /// The model of each task, by task name.
    pub models: BTreeMap<String, String>,
    /// The version of each prompt, by task name.
    pub prompts: BTreeMap<String, String>,
}

/// A document in the provenance of a [`Sample`].
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct SampleDocument {
    /// The document's id.
    pub id: String,
    /// The version that was used, as `partition@offset` of `documents`, with `.n` in the `n`th life after the first: readers that guess types take a colon for a time of the day.
    pub version: String,
    /// Jaccard similarity of the combination and the document's concepts.
    pub jaccard: f64,
    /// The document's source.
    pub source: Option<String>,
    /// The document's licence.
    pub license: Option<String>,
}

/// A record that could not be used: a record of `dead-letters`, as JSON. Key: the origin.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct DeadLetter {
    /// The role that gave it up.
    pub role: String,
    /// The stage that gave it up, e.g. `decode`, `extract`, `question`, `answer`.
    pub stage: String,
    /// The log it was read from.
    pub log: String,
    /// The place in that log.
    pub partition: u32,
    /// The place in that log.
    pub offset: u64,
    /// The key of the record, if it is text.
    pub key: Option<String>,
    /// Why, for a person.
    pub reason: String,
    /// The original bytes in base64.
    pub payload: String,
    /// The raw answer of the model, if it is about one.
    pub answer: Option<String>,
}

/// The key of an answer in a journal (protocol.md, "Journal").
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct JournalKey {
    /// The task: `extract`, `question`, `answer`.
    pub task: String,
    /// The document id (extract), or the combination id (generate).
    pub subject: String,
    /// Which question (answers only).
    pub question: u32,
    /// Which candidate (answers only).
    pub candidate: u32,
    /// Which attempt: a repair is another request.
    pub attempt: u32,
    /// The redo number: above 0 the user pays again on purpose.
    pub redo: u32,
    /// xxh3-128 of the canonical request.
    pub request: u128,
}

/// An answer of the model: the value of a record of `journal-extract` and `journal-generate`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Answer {
    /// The record for which it was asked.
    pub origin: Origin,
    /// The text, reasoning stripped.
    pub text: String,
    /// Whether the model stopped for length.
    pub truncated: bool,
    /// The model as the endpoint named it.
    pub model: String,
    /// Tokens.
    pub usage: Usage,
    /// Cost in the currency of the configured prices.
    pub cost: f64,
}

/// A value of `progress`. Its key is made by [`ProgressKey`].
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Progress {
    /// Of `role/shard`.
    Shard(ShardProgress),
    /// Of `starts/node`: starts `0..n` have their outcome.
    Starts(u64),
    /// Of `settlement`.
    Settlement(Settlement),
    /// Of `filters/shard`: the digest of the filters by which the shard's questions were judged last.
    Filters(u64),
    /// Of `pass/level/shard`.
    Pass(Pass),
}

/// How far a shard has come.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct ShardProgress {
    /// The next input offset; counts gaps and control records.
    pub position: u64,
    /// The journal's low mark: no open answer lies below it.
    pub low_mark: u64,
    /// N and P when this was written; another number now is refused.
    pub partitions: (u32, u32),
    /// Seconds since 1970 when the shard was last at the end of `documents` (extract only).
    pub caught_up_at: u64,
    /// Input records by outcome, since the first start of the app: written, skipped, superseded, dead-lettered.
    pub outcomes: [u64; 4],
    /// Named counters since the first start of the app, e.g. `withdrawn`, `stuck`, `calls`.
    pub counters: BTreeMap<String, u64>,
}

/// A settlement: the cut at which draws are made (protocol.md, "Settled draws").
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Settlement {
    /// From 0.
    pub number: u64,
    /// The next offset of each partition of `extractions`.
    pub cut: Vec<u64>,
    /// A digest of the live set below the cut.
    pub digest: u128,
    /// A digest of the settings that draws depend on (seed, quotas, limits, P).
    pub settings: u128,
    /// Combinations issued per level when it began.
    pub issued: [u64; 3],
    /// Whether its draws are all committed.
    pub closed: bool,
}

/// A key of `progress`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum ProgressKey {
    /// `role/shard`
    Shard(Role, u32),
    /// `starts/node`, the node's concept id in hexadecimal.
    Starts(crate::id::ConceptId),
    /// `settlement`
    Settlement,
    /// `filters/shard`, of generate.
    Filters(u32),
    /// `pass/level/shard`, where level 1 or 2 has, or had, a target.
    Pass(u8, u32),
}

impl std::fmt::Display for ProgressKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ProgressKey::Shard(role, shard) => write!(f, "{}/{shard}", role.name()),
            ProgressKey::Starts(node) => write!(f, "starts/{:016x}", node.0),
            ProgressKey::Settlement => write!(f, "settlement"),
            ProgressKey::Filters(shard) => write!(f, "filters/{shard}"),
            ProgressKey::Pass(level, shard) => write!(f, "pass/{level}/{shard}"),
        }
    }
}

/// A key of `progress` that this program does not know.
#[derive(Debug, thiserror::Error)]
#[error("expected role/shard, starts/node, settlement, filters/shard or pass/level/shard")]
pub struct UnknownProgressKey;

impl std::str::FromStr for ProgressKey {
    type Err = UnknownProgressKey;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "settlement" {
            return Ok(ProgressKey::Settlement);
        }
        let (kind, rest) = text.split_once('/').ok_or(UnknownProgressKey)?;
        let shard = |role| rest.parse().map(|shard| ProgressKey::Shard(role, shard)).map_err(|_| UnknownProgressKey);
        match kind {
            "extract" => shard(Role::Extract),
            "graph" => shard(Role::Graph),
            "generate" => shard(Role::Generate),
            "filters" => rest.parse().map(ProgressKey::Filters).map_err(|_| UnknownProgressKey),
            "starts" => u64::from_str_radix(rest, 16)
                .map(|node| ProgressKey::Starts(crate::id::ConceptId(node)))
                .map_err(|_| UnknownProgressKey),
            "pass" => {
                let (level, shard) = rest.split_once('/').ok_or(UnknownProgressKey)?;
                let pass = level.parse().and_then(|level| Ok(ProgressKey::Pass(level, shard.parse()?)));
                pass.map_err(|_| UnknownProgressKey)
            }
            _ => Err(UnknownProgressKey),
        }
    }
}
