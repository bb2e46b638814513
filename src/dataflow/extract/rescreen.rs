//! Screens what is stored again when the settings of screening have changed: another model, another threshold, other limits, or none.
//!
//! Input: the digest of the settings by which each shard has screened last, as its `progress` says; the records of `scores`, and
//! those of `extractions` that have none. Output: these documents, as [`Stored`], for the stage that decides about documents.
//! Law: after it, what is let in is what a run from scratch with the present settings would let in. Each document is judged by what
//! is stored of it: nothing is embedded again that the same model has embedded, and nothing is extracted again that ever was.
//! Cost: nothing where the settings are the same; else both logs are read once.
//!
//! It comes before any input is read (see [`super::stored`]). It may end anywhere. What was committed by then says by which settings it
//! was judged, and is passed over by the next start; the shard's `progress` says that it is not done.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use anyhow::{Context as _, Result};
use synthllm_log::{LogName, Reader, Record};
use synthllm_operators::budget::Amount;
use synthllm_operators::codec;
use synthllm_operators::record::{Extraction, ExtractionHead, Pointer, Role, Scored, ScoredBy, ScoredHead, ShardProgress};

use super::super::Context;
use super::super::clock::Clock;
use super::super::estimate::OfDocuments;
use super::super::status::Loading;
use super::decision::Value;
use super::lives::SCREENINGS;
use super::reconcile::beginning;
use super::stored::{Documents, put_in};
use super::work::Stored;

/// In a shard's `progress`: the digest of the settings by which all its documents are judged; 0 where all pass unlooked at.
const SCREENED_BY: &str = "screened_by";
/// The digest of the settings by which they are being judged again.
const SCREENING_BY: &str = "screening_by";
/// Instead of a digest while it is not done.
const UNDER_WAY: u64 = u64::MAX;

/// Records are read in batches of at most so many: each may hold an embedding.
const READ_AT_ONCE: usize = 1_000;

/// A digest of the settings by which all documents of a shard are judged.
pub fn screened_by(progress: &ShardProgress) -> u64 {
    progress.counters.get(SCREENED_BY).copied().unwrap_or(0)
}

/// The re-screening of the shards of a worker.
pub(super) struct Rescreener {
    digest: u64,
    shards: BTreeSet<u32>,
    stage: Stage,
    needs: Option<OfDocuments>,
}

enum Stage {
    /// Both logs are read, and what must be judged again is handed on.
    Reading(Scan),
    /// What is on its way is being committed.
    Emptying,
    /// These shards have yet to say that they are done.
    Marking(BTreeSet<u32>),
    Done,
}

/// A log that is read to where it ended.
struct Scan {
    log: LogName,
    reader: Box<dyn Reader>,
    positions: BTreeMap<u32, u64>,
    ends: BTreeMap<u32, u64>,
    records: VecDeque<Record>,
    loading: Loading,
    read: u64,
}

/// A document to be judged again, with its key.
type Found = (Vec<u8>, Stored);

impl Rescreener {
    /// Finds out which shards have screened by other settings. A shard that knows no document has nothing to screen again.
    pub(super) fn start(context: &Context, flow: &mut Documents, needs: OfDocuments) -> Result<Self> {
        let digest = context.screen.digest();
        let mut shards = BTreeSet::new();
        for (number, shard) in &mut flow.shards {
            let counters = &mut shard.progress.counters;
            let said = |name: &str| counters.get(name).copied().unwrap_or(0);
            let (done, begun) = (said(SCREENED_BY), said(SCREENING_BY));
            if done == digest {
                continue;
            }
            if shard.progress.position == 0 {
                counters.insert(SCREENED_BY.to_owned(), digest);
                continue;
            }
            if done != UNDER_WAY || begun != digest {
                *counters.entry(SCREENINGS.to_owned()).or_default() += 1;
                counters.extend([(SCREENED_BY.to_owned(), UNDER_WAY), (SCREENING_BY.to_owned(), digest)]);
            }
            shards.insert(*number);
        }
        let stage = if shards.is_empty() {
            Stage::Done
        } else {
            context.counters.rescreening(&shards.iter().copied().collect::<Vec<_>>());
            Stage::Reading(Scan::new(context, LogName::Scores)?)
        };
        let needs = context.purse.is_limited().then_some(needs);
        Ok(Rescreener { digest, shards, stage, needs })
    }

    /// Whether nothing may be read for its outputs.
    pub(super) fn is_under_way(&self) -> bool {
        !matches!(self.stage, Stage::Done)
    }

    /// One turn. Returns how much has moved.
    pub(super) fn turn(&mut self, context: &Context, flow: &mut Documents, clock: &mut Clock) -> Result<usize> {
        let moved = match &mut self.stage {
            Stage::Reading(scan) if !context.stopping() => {
                hand_on(context, scan, &self.shards, self.needs.as_ref(), (flow, clock))?
            }
            _ => 0,
        };
        self.stage = match std::mem::replace(&mut self.stage, Stage::Done) {
            Stage::Reading(scan) if scan.is_done() => match scan.log {
                // Where every document passes, those that were never screened have passed.
                LogName::Scores if !context.screen.is_off() => Stage::Reading(Scan::new(context, LogName::Extractions)?),
                _ => Stage::Emptying,
            },
            Stage::Emptying if self.shards.iter().all(|number| flow.shards[number].is_empty()) => {
                Stage::Marking(self.shards.clone())
            }
            Stage::Marking(shards) if shards.is_empty() && self.shards.iter().all(|number| flow.shards[number].idle()) => {
                context.counters.rescreened();
                Stage::Done
            }
            stage => stage,
        };
        Ok(moved)
    }

    /// The shards that have something to commit without any output.
    pub(super) fn owing(&self) -> BTreeSet<u32> {
        if let Stage::Marking(shards) = &self.stage { shards.clone() } else { BTreeSet::new() }
    }

    /// A shard's next transaction: says that it is done, if it is.
    pub(super) fn commit(&mut self, number: u32, progress: &mut ShardProgress) {
        if let Stage::Marking(shards) = &mut self.stage
            && shards.remove(&number)
        {
            progress.counters.insert(SCREENED_BY.to_owned(), self.digest);
        }
    }
}

/// Hands on what the window has room for, and the budget.
fn hand_on(
    context: &Context,
    scan: &mut Scan,
    shards: &BTreeSet<u32>,
    needs: Option<&OfDocuments>,
    (flow, clock): (&mut Documents, &mut Clock),
) -> Result<usize> {
    let (now, is_off) = (context.screen.by(), context.screen.is_off());
    let mut moved = scan.fill()?;
    while flow.room() > 0 {
        let Some(record) = scan.records.pop_front() else { break };
        let head = head(scan.log, &record)?.filter(|head| shards.contains(&head.head.version.partition));
        // Where every document passes, what was let in stays.
        let is_stale = |head: &ScoredHead| head.by != now && !(is_off && head.rejected.is_none());
        let Some(head) = head.filter(is_stale) else { continue };
        let number = head.head.version.partition;
        if let (Some(needs), Some(shard)) = (needs, flow.shards.get_mut(&number))
            && !shard.reserve_aside(need(needs, &head, now))
        {
            scan.records.push_front(record);
            break;
        }
        let (key, stored) = found(scan.log, record)?;
        let bytes = key.len() + 4 * stored.scored.embedding.len();
        put_in(flow, clock, number, (key, Value::Stored(Box::new(stored))), bytes);
        moved += 1;
    }
    Ok(moved)
}

/// What the calls of a document may need: of one that is let in already none extracts it.
fn need(needs: &OfDocuments, head: &ScoredHead, now: ScoredBy) -> Amount {
    let embeds = now.embedder != 0 && head.embedded_by != now.embedder;
    needs.of_stored(embeds, head.rejected.is_some())
}

/// What is known of a document, from a record of either log.
fn head(log: LogName, record: &Record) -> Result<Option<ScoredHead>> {
    if log == LogName::Scores {
        return beginning(log, record);
    }
    let head = beginning::<ExtractionHead>(log, record)?;
    Ok(head.map(|head| ScoredHead {
        head,
        rejected: None,
        by: ScoredBy::default(),
        text_hash: 0,
        score: None,
        embedded_by: 0,
    }))
}

fn found(log: LogName, record: Record) -> Result<Found> {
    let place = || format!("can't read {}/{} at offset {}", log.name(), record.partition, record.offset);
    let value = record.value.as_deref().unwrap_or_default();
    let stored = if log == LogName::Scores {
        let at = Pointer { partition: record.partition, offset: record.offset };
        Stored { place: Some(at), scored: codec::decode::<Scored>(value).with_context(place)? }
    } else {
        Stored::of_extraction(codec::decode::<Extraction>(value).with_context(place)?)
    };
    Ok((record.key.unwrap_or_default(), stored))
}

impl Scan {
    fn new(context: &Context, log: LogName) -> Result<Self> {
        let all: Vec<u32> = (0..context.partitions.1).collect();
        let ends = context.ends_now(log, &all)?;
        let from = super::super::from_start(&context.log, log)?;
        let reader = context.log.reader(log, &from)?;
        let (loading, positions) = (context.status.loading(Role::Extract), from.into_iter().collect());
        Ok(Scan { log, reader, positions, ends, records: VecDeque::new(), loading, read: 0 })
    }

    /// Reads on when nothing is left of what was read. What has come since the start is judged by the present settings already.
    fn fill(&mut self) -> Result<usize> {
        if !self.records.is_empty() || self.has_read_all() {
            return Ok(0);
        }
        let name = self.log.name();
        let batch = self.reader.poll(READ_AT_ONCE, Duration::ZERO).with_context(|| format!("can't read {name} anew"))?;
        self.records.extend(batch.records);
        self.positions.extend(batch.positions);
        self.read += self.records.len() as u64;
        self.loading.is_at(self.read, self.ends.values().sum::<u64>().max(self.read + 1));
        Ok(self.records.len())
    }

    fn has_read_all(&self) -> bool {
        self.ends.iter().all(|(partition, end)| self.positions[partition] >= *end)
    }

    fn is_done(&self) -> bool {
        self.records.is_empty() && self.has_read_all()
    }
}
