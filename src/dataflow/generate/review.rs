//! Judges anew, when the filters have changed, what was judged by others: a sample that they drop is held back, and a question held
//! back that they let pass goes on to its answer, unless it has one.
//!
//! At a start each shard compares the digest of the filters with the one of its last review in `progress`. Where they differ, two
//! logs are read through before any new combination: `samples`, then `held`. What a transaction drops leaves `samples` and
//! `provenance` and enters `held`, answer included; what passes is offered to the role's dataflow behind the filters, so that a
//! similar or equal question and a failing model mean what they always mean. What is held back is cited like a sample, and
//! forgotten when a sample would be withdrawn; so it does not matter whether a document changes before the filters or after.
//! With a judge that was not there before, samples that it has not judged are held back, and offered at once; what is like a sample comes
//! after them, on each worker.
//! Of levels with a target no more is released than samples are missing at the start, since exactly so many are to stand; nothing that is
//! like a sample; and no sample is judged that stands. A start that drains releases what is missing also when nothing has changed. Graph
//! draws for a target only when all shards have come to the end of this.
//! Law: after a review the live samples pass the filters of now, and `held` has what a filter drops, what is like a sample, and what
//! could not be answered. It is the same as if the filters had always been there, but for which of similar questions stays: of samples that
//! stand, the first in the order of their questions' ids.
//! In a run, a question that is like a sample goes on when that sample is withdrawn: then no combinations are read until those under
//! way have ended, it is offered, and what came of it is committed.
//! A crash costs nothing: that it is under way is committed with the first change and the digest when all is done, so that no filters pass
//! for those of the last review; what was dropped or released is not found again, and answers are in the journal. Their origins are the
//! places of combinations yet to be read, so that they are kept until then.
//! Cost: two passes over `samples` and four over `held`, when the digest differs; two over `held` at every start, and one whenever samples
//! are withdrawn that hold questions back; the window in memory. Where samples are missing for a target, two more over `held` of all shards.

mod room;
mod scan;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use serde::Deserialize;
use synthllm_llm::Task;
use synthllm_log::{LogName, Record};
use synthllm_operators::budget::Amount;
use synthllm_operators::codec;
use synthllm_operators::id::{self, Id};
use synthllm_operators::journal::Hit;
use synthllm_operators::record::{
    Held, Origin, Pointer, Progress, ProgressKey, Provenance, Reference, Sample, SampleDocument, Version,
};
use timely::dataflow::InputHandleVec;
use timely::worker::Worker;

use self::room::Room;
use self::scan::{Book, Freed, Scan};
use super::super::Context;
use super::super::clock::Clock;
use super::super::estimate::OfCombinations;
use super::super::flow::Flow;
use super::super::inquiry::Spent;
use super::super::shard::Shard;
use super::answers::Holding;
use super::batch::Batch;
use super::filters::{Filters, Reason, Rejection};
use super::grounding::version_of;
use super::judgements::{SCORE, is_wrong};
use super::near::NearDuplicates;
use super::withdrawals::{Tombstones, Withdrawals, place};
use super::{Candidate, Decision, Work};

/// Instead of a digest of filters while it is not done.
const UNDER_WAY: u64 = u64::MAX;

/// Why a question is held back that all filters let pass, but whose level has a target.
const FOR_TARGET: &str = "target";

/// Reading pauses while so many verdicts wait for a transaction.
const MOST_VERDICTS: usize = 5_000;

type Combinations = Flow<Work, Decision>;

/// The review that may be under way on a worker.
pub(super) struct Review {
    /// What passes, on its way behind the filters.
    pub released: InputHandleVec<u64, Candidate>,
    filters: Arc<Filters>,
    /// Whether answers are judged.
    judges: bool,
    /// Where levels have targets.
    room: Room,
    /// What a question may spend at most, where there is a budget: its answers with their judgement, and the judgement alone.
    need: Option<[Amount; 2]>,
    stage: Stage,
    /// The shards, of all, that were last judged by other filters.
    changed: BTreeSet<u32>,
    /// Whether similar questions are looked for.
    compares: bool,
    /// The shards that have not committed the digest.
    due: BTreeMap<u32, Account>,
    verdicts: BTreeMap<u32, Vec<Verdict>>,
    /// What the window or the budget does not allow yet.
    waiting: VecDeque<(u32, Id, Box<Held>)>,
    /// Of `samples` and of `held`.
    books: [Book; 2],
    /// Where `held` ended before anything was dropped.
    dropped_from: BTreeMap<u32, u64>,
    /// What was withdrawn since the books were made.
    withdrawn: HashSet<Id>,
    /// The questions whose samples are too like another, once they are known.
    too_many: Option<HashMap<Id, Rejection>>,
}

enum Stage {
    /// `samples` is read, then `held`. In between all workers come to know, by this epoch, what was dropped.
    Samples(Scan),
    Dropped(u64),
    Held(Scan),
    /// `held` is read for what is like a sample: what stood before it comes first.
    Similar(Scan),
    /// `held` is read for what a withdrawn sample no longer holds back, while the combinations under way end.
    Freed(Freed),
    /// What was offered is in flight.
    Offered,
    /// All is committed but the digest.
    Ending,
    /// Combinations may be read. Where there was nothing to review, the digest is left to the next transaction.
    Over,
}

/// What a shard has found.
#[derive(Default)]
struct Account {
    /// Whether `progress` says that it is under way.
    has_begun: bool,
    dropped: u64,
    offered: u64,
    /// The origins of what was offered and is not committed: the first places from the position on that are free, so that the
    /// journal keeps its answers for as few combinations as can be.
    under_way: BTreeSet<u64>,
}

/// What is to be committed.
enum Verdict {
    /// A sample is held back.
    Drop(Id, Box<Held>),
    /// Another filter holds a question back than the one that did.
    Again(Id, Box<Held>),
}

impl Review {
    /// Decides which shards are due, by what `progress` says.
    pub fn new(context: &Context, shards: &[u32], standing: &[(ProgressKey, Progress)]) -> Self {
        let digest = context.filters.digest();
        let judged = |shard: u32| standing.contains(&(ProgressKey::Filters(shard), Progress::Filters(digest)));
        let changed: BTreeSet<u32> = (0..context.partitions.1).filter(|shard| !judged(*shard)).collect();
        let due = shards.iter().filter(|shard| changed.contains(shard)).map(|shard| (*shard, Account::default())).collect();
        let need = || {
            let combinations = OfCombinations::new(&context.config, &context.generate_prompts);
            [combinations.of_one_question(), combinations.of_one_judgement()]
        };
        Review {
            released: InputHandleVec::new(),
            filters: Arc::clone(&context.filters),
            judges: context.config.generate.judges(),
            room: Room::new(context, standing),
            need: context.purse.is_limited().then(need),
            stage: Stage::Over,
            changed,
            compares: context.config.filters.near_duplicates.is_some(),
            due,
            verdicts: BTreeMap::new(),
            waiting: VecDeque::new(),
            books: Default::default(),
            dropped_from: BTreeMap::new(),
            withdrawn: HashSet::new(),
            too_many: None,
        }
    }

    /// Whether the samples of a shard are to be looked through.
    pub fn is_due(&self, shard: u32) -> bool {
        self.due.contains_key(&shard)
    }

    /// Looks at what there is to review, once `held` is loaded; before anything is written on any worker.
    pub fn load(&mut self, worker: &mut Worker, context: &Context, mine: &[u32], held: Tombstones) -> Result<()> {
        let mut room = std::mem::take(&mut self.room);
        let may_pass = |shard: u32, held: &Held| {
            if !self.changed.contains(&shard) {
                return context.drain && held.reason == FOR_TARGET;
            }
            let is_out = is_called_wrong(self.judges, held) || self.is_similar(held);
            !is_out && self.filters.rejection(&held.sample.question).is_none()
        };
        let shards = room.find(worker, context, mine, may_pass)?;
        self.room = room;
        for shard in shards {
            self.due.entry(shard).or_default();
        }
        let due: Vec<u32> = self.due.keys().copied().collect();
        let ends = [context.ends_now(LogName::Samples, &due)?, context.ends_now(LogName::Held, &due)?];
        if ends.iter().flatten().all(|(_, end)| *end == 0) {
            return Ok(());
        }
        context.counters.reviewing(&due);
        let [of_samples, of_held] = ends;
        let samples = Tombstones::read(worker, context, LogName::Samples, &due)?;
        self.books = [Book { tombstones: samples, ends: of_samples }, Book { tombstones: held, ends: of_held }];
        self.stage = Stage::Samples(self.books[0].scan(context, LogName::Samples)?);
        self.dropped_from.clone_from(&self.books[1].ends);
        Ok(())
    }

    /// Whether it is known what there is to review, and that is done. Then combinations may be read: the journal keeps the answers to what
    /// was offered until then only.
    pub fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Over) && self.too_many.is_some()
    }

    /// Whether what comes out is that of combinations, and not of what was offered.
    pub fn is_apart(&self) -> bool {
        matches!(self.stage, Stage::Over | Stage::Freed(_))
    }

    /// One turn. Returns how much has moved.
    pub fn turn(
        &mut self,
        context: &Context,
        flow: &mut Combinations,
        (withdrawals, mut near): (&Withdrawals, Option<&mut NearDuplicates>),
        clock: &mut Clock,
    ) -> Result<usize> {
        if self.too_many.is_none() {
            self.too_many = near.as_mut().map_or_else(|| Some(HashMap::new()), |near| near.too_many());
        }
        if context.stopping() {
            return Ok(0);
        }
        if self.is_over() {
            return near.map_or(Ok(0), |near| self.look_for_freed(context, flow, withdrawals, near));
        }
        let moved = self.read(withdrawals)? + self.offer(flow, clock);
        let committed = self.verdicts.is_empty() && self.due.keys().all(|shard| flow.shards[shard].is_empty());
        self.stage = match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Samples(scan) if committed && withdrawals.settled() && scan.has_reached(&self.books[0].ends) => {
                Stage::Dropped(clock.next_epoch())
            }
            Stage::Dropped(epoch) if flow.frontier() > epoch => {
                let due: Vec<u32> = self.due.keys().copied().collect();
                self.books[1].ends = context.ends_now(LogName::Held, &due)?;
                Stage::Held(self.books[1].scan(context, LogName::Held)?)
            }
            Stage::Held(scan) if committed && self.waiting.is_empty() && scan.has_reached(&self.books[1].ends) => {
                Stage::Similar(self.books[1].scan(context, LogName::Held)?)
            }
            Stage::Similar(scan) if scan.has_reached(&self.books[1].ends) => Stage::Offered,
            Stage::Freed(freed) if freed.has_all() && flow.shards.values().all(Shard::is_empty) => {
                self.waiting.extend(freed.take(context, withdrawals));
                Stage::Offered
            }
            Stage::Offered if committed && self.waiting.is_empty() => {
                if self.due.is_empty() {
                    Stage::Over
                } else {
                    Stage::Ending
                }
            }
            stage => stage,
        };
        Ok(moved)
    }

    /// The shards that have something to commit without any output of a combination.
    pub fn owing(&self, flow: &Combinations) -> BTreeSet<u32> {
        if self.is_apart() {
            return BTreeSet::new();
        }
        let frontier = flow.frontier();
        let ending = matches!(self.stage, Stage::Ending);
        let owes = |shard: &u32| ending || self.verdicts.contains_key(shard) || flow.shards[shard].has_outputs(frontier);
        self.due.keys().copied().filter(owes).collect()
    }

    /// What was offered under these origins is being committed.
    pub fn settle(&mut self, shard: u32, origins: impl Iterator<Item = u64>) {
        if let Some(account) = self.due.get_mut(&shard).filter(|account| !account.under_way.is_empty()) {
            origins.for_each(|origin| _ = account.under_way.remove(&origin));
        }
    }

    /// A shard's next transaction, in which these samples are withdrawn.
    pub fn commit(
        &mut self,
        context: &Context,
        batch: &mut Batch<'_>,
        withdrawals: &mut Withdrawals,
        (withdrawn, near): (&[Holding], &mut Option<NearDuplicates>),
    ) {
        let number = batch.number;
        if matches!(self.stage, Stage::Samples(_)) {
            self.withdrawn.extend(withdrawn.iter().map(|holding| holding.sample));
        }
        for verdict in self.verdicts.remove(&number).unwrap_or_default() {
            match verdict {
                Verdict::Drop(sample, held) if !self.withdrawn.contains(&sample) => {
                    batch.demote(sample, &held);
                    withdrawals.demoted(sample);
                    near.iter_mut().for_each(|near| near.demoted(sample, number, &held));
                }
                Verdict::Again(sample, held) if withdrawals.holds(sample) => batch.hold(sample, &held, true),
                Verdict::Drop(..) | Verdict::Again(..) => (),
            }
        }
        let ending = matches!(self.stage, Stage::Ending);
        let begins = !ending && !self.is_apart();
        if let Some(account) = self.due.get_mut(&number).filter(|account| begins && !account.has_begun) {
            account.has_begun = true;
            batch.reviewed(UNDER_WAY);
        }
        if (ending || self.is_apart())
            && let Some(Account { dropped, offered, .. }) = self.due.remove(&number)
        {
            batch.reviewed(self.filters.digest());
            if ending {
                context.counters.reviewed(number, dropped, offered);
                self.stage = if self.due.is_empty() { Stage::Over } else { Stage::Ending };
            }
        }
    }

    /// Begins to look for what a withdrawn sample no longer holds back, if there is any and all that is held is in the log.
    fn look_for_freed(
        &mut self,
        context: &Context,
        flow: &Combinations,
        withdrawals: &Withdrawals,
        near: &mut NearDuplicates,
    ) -> Result<usize> {
        if !flow.shards.values().all(Shard::idle) {
            return Ok(0);
        }
        if flow.shards.values().all(Shard::is_empty) {
            near.forget_freed(|sample| withdrawals.holds(sample));
        }
        let wanted = near.take_freed(|sample| withdrawals.holds(sample), MOST_VERDICTS);
        if wanted.is_empty() {
            return Ok(0);
        }
        let mine: Vec<u32> = flow.shards.keys().copied().collect();
        self.stage = Stage::Freed(Freed::start(context, &mine, wanted)?);
        Ok(1)
    }

    fn read(&mut self, withdrawals: &Withdrawals) -> Result<usize> {
        let verdicts: usize = self.verdicts.values().map(Vec::len).sum();
        if verdicts.max(self.waiting.len()) >= MOST_VERDICTS || self.too_many.is_none() {
            return Ok(0);
        }
        let records = match &mut self.stage {
            Stage::Samples(scan) => scan.read(LogName::Samples)?,
            Stage::Held(scan) | Stage::Similar(scan) => scan.read(LogName::Held)?,
            Stage::Freed(freed) => return freed.read(),
            _ => return Ok(0),
        };
        let of_samples = matches!(self.stage, Stage::Samples(_));
        for record in &records {
            if of_samples { self.judge_sample(record)? } else { self.judge_held(record, withdrawals)? }
        }
        Ok(records.len())
    }

    fn judge_sample(&mut self, record: &Record) -> Result<()> {
        let is_changed = self.changed.contains(&record.partition);
        let Some(id) = self.books[0].live(LogName::Samples, record)?.filter(|_| is_changed) else { return Ok(()) };
        let at = || place(LogName::Samples, record);
        let value = record.value.as_deref().unwrap_or_default();
        let Asked { question } = serde_json::from_slice(value).with_context(at)?;
        let too_many = || self.too_many.as_ref()?.get(&id::question(&question)).cloned();
        let rejection = self.filters.rejection(&question).or_else(too_many);
        if rejection.is_none() && !self.judges {
            return Ok(());
        }
        let sample: Sample = serde_json::from_slice(value).with_context(at)?;
        let Some(Rejection { reason, details }) = rejection.or_else(|| self.judgement(&sample)) else { return Ok(()) };
        let provenance = provenance(&sample).with_context(at)?;
        let held = Held { reason: reason.name().to_owned(), details, sample, provenance, answers: Vec::new() };
        self.account(record.partition).dropped += 1;
        self.verdicts.entry(record.partition).or_default().push(Verdict::Drop(id, Box::new(held)));
        Ok(())
    }

    /// Whether it is held back since it is like a sample, where that is looked for, or equal to one.
    fn is_similar(&self, held: &Held) -> bool {
        held.reason == Reason::Duplicate.name() || self.compares && held.reason == Reason::NearDuplicate.name()
    }

    /// What the judge says of a sample, if it was asked, or what it is held back for until it is.
    fn judgement(&self, sample: &Sample) -> Option<Rejection> {
        let details = match sample.scores.get(SCORE) {
            Some(score) if is_wrong(*score) => "its answer was called wrong",
            None if sample.answer.is_some() && !self.room.has_target(sample.level) => {
                "it was answered before there was a judge"
            }
            _ => return None,
        };
        Some(Rejection { reason: Reason::Judge, details: details.to_owned() })
    }

    fn judge_held(&mut self, record: &Record, withdrawals: &Withdrawals) -> Result<()> {
        let live = self.books[1].live(LogName::Held, record)?;
        let Some(id) = live.filter(|id| withdrawals.holds(*id)) else { return Ok(()) };
        let value = record.value.as_deref().unwrap_or_default();
        let held: Held = codec::decode(value).with_context(|| place(LogName::Held, record))?;
        let was_dropped_now = self.dropped_from.get(&record.partition).is_some_and(|end| record.offset >= *end);
        let is_turn = self.is_similar(&held) == matches!(self.stage, Stage::Similar(_));
        let is_changed = self.changed.contains(&record.partition);
        if !is_turn || was_dropped_now && held.reason != Reason::Judge.name() || !is_changed && held.reason != FOR_TARGET {
            return Ok(());
        }
        let level = held.sample.level;
        let rejection = match self.filters.rejection(&held.sample.question) {
            None if is_called_wrong(self.judges, &held) || self.room.has_target(level) && self.is_similar(&held) => {
                return Ok(());
            }
            None if self.room.take(record.partition, level) => {
                self.waiting.push_back((record.partition, id, Box::new(held)));
                return Ok(());
            }
            None => (FOR_TARGET, format!("the filters let it pass now, but as many as level {level} is to have stand")),
            Some(Rejection { reason, details }) => (reason.name(), details),
        };
        if rejection != (held.reason.as_str(), held.details.clone()) {
            let again = Held { reason: rejection.0.to_owned(), details: rejection.1, ..held };
            self.verdicts.entry(record.partition).or_default().push(Verdict::Again(id, Box::new(again)));
        }
        Ok(())
    }

    /// Sends on what passes, as far as the window and the budget allow. Returns how many.
    fn offer(&mut self, flow: &mut Combinations, clock: &mut Clock) -> usize {
        let mut offered = 0;
        while flow.room() > 0
            && let Some((number, _, held)) = self.waiting.front()
            && let Some(shard) = flow.shards.get_mut(number)
        {
            let (number, is_answered) = (*number, held.sample.answer.is_some());
            let is_done = is_answered && (!self.judges || held.sample.scores.contains_key(SCORE));
            // Each has an origin of its own, which is that of no combination that is read before all are committed.
            let under_way = &self.due.entry(number).or_default().under_way;
            let mut offset = shard.progress.position;
            while under_way.contains(&offset) {
                offset += 1;
            }
            let need = self.need.filter(|_| !is_done).map(|[all, judgement]| if is_answered { judgement } else { all });
            if need.is_some_and(|need| !shard.reserve(offset, need)) {
                break;
            }
            let Some((_, id, mut held)) = self.waiting.pop_front() else { break };
            let account = self.account(number);
            account.offered += 1;
            account.under_way.insert(offset);
            let epoch = clock.next_epoch();
            shard.has_read(epoch, shard.progress.position, 1, held.sample.question.len());
            let hits = shard.hits_for(offset, &held.sample.provenance.combination);
            let ordinal = Candidate::ordinal_of(id);
            let hits = hits.into_iter().filter(|hit| hit.key.task != Task::Question.name() && hit.key.question == ordinal);
            let kept = std::mem::take(&mut held.answers).into_iter();
            let hits = kept.map(|(key, answer)| Hit { key, offset: 0, answer }).chain(hits).collect();
            let candidate = Candidate { hits, ..Candidate::released(id, *held, Origin { shard: number, offset }) };
            self.released.advance_to(epoch);
            self.released.send(candidate);
            offered += 1;
        }
        offered
    }

    fn account(&mut self, shard: u32) -> &mut Account {
        self.due.entry(shard).or_default()
    }
}

/// Whether it is held back by its judgement, where there is a judge.
fn is_called_wrong(judges: bool, held: &Held) -> bool {
    judges && held.reason == Reason::Judge.name() && held.sample.scores.contains_key(SCORE)
}

/// What a sample says of its question.
#[derive(Deserialize)]
struct Asked {
    question: String,
}

impl Candidate {
    /// A question that passes again.
    fn released(sample_id: Id, held: Held, origin: Origin) -> Self {
        let Held { sample, provenance, .. } = held;
        let nowhere = Pointer { partition: 0, offset: 0 };
        // What was held back is neither judged nor asked about its texts: their places are not known and not needed.
        let reference = |((document, version), told): (&(String, Version), &SampleDocument)| Reference {
            document: document.clone(),
            version: *version,
            text: nowhere,
            extraction: nowhere,
            jaccard: told.jaccard,
        };
        Candidate {
            origin,
            ordinal: Candidate::ordinal_of(sample_id),
            redo: 0,
            sample_id,
            question: provenance.question,
            claim: None,
            references: provenance.documents.iter().zip(&sample.provenance.documents).map(reference).collect(),
            sample: Box::new(sample),
            live: true,
            hits: Vec::new(),
            spent: Spent::default(),
            held: true,
        }
    }
}

/// What a sample stands on, as its record of `provenance` says.
fn provenance(sample: &Sample) -> Result<Provenance> {
    let version = |text: &str| version_of(text).with_context(|| format!("{text:?} is no version of a document"));
    let cited = |document: &SampleDocument| Ok((document.id.clone(), version(&document.version)?));
    let documents = sample.provenance.documents.iter().map(cited).collect::<Result<_>>()?;
    Ok(Provenance { documents, question: id::question(&sample.question) })
}
