//! A process of extract: what it does between two steps, and what it asks of the implementation.

use std::collections::BTreeMap;

use synthllm_operators::id::DocumentId;
use synthllm_operators::journal::{Hit, Hits, LowMark, low_mark};
use synthllm_operators::record::{Answer, JournalKey, Origin, Usage, Version};
use synthllm_operators::revise::{Known, Memory, Queues, Ruling};

use crate::explore::Next;
use crate::extract::{Content, Extract, Journaled, Progress, Rule, SHARDS, State};
use crate::log::Owner;

/// So many records of a shard are in flight.
const WINDOW: usize = 3;

/// Where a record in flight stands.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Stage {
    Queued,
    Asked(Known),
    Skipped,
    Written(Known),
    Deleted,
    Buried { gone: bool },
}

impl Stage {
    fn is_done(self) -> bool {
        !matches!(self, Stage::Queued | Stage::Asked(_))
    }
}

/// A record in flight.
#[derive(Clone, Hash)]
struct Flying {
    offset: u64,
    stage: Stage,
    /// The answers of earlier runs about it: content and journal offset.
    hits: Vec<(u8, u64)>,
    /// Whether its answer is neither in the journal nor committed as an output.
    unwritten: bool,
}

/// A transaction under way.
#[derive(Clone, Hash)]
struct Transaction {
    progress: Progress,
    outcomes: Vec<(u64, bool)>,
    /// Origin and journal offset.
    answers: Vec<(u64, u64)>,
}

#[derive(Clone, Default, Hash)]
struct Shard {
    owner: Option<Owner>,
    loaded: bool,
    position: u64,
    progress: Progress,
    flying: Vec<Flying>,
    hits: BTreeMap<u64, Journaled>,
    /// What [`LowMark`] knows: which record needs which answer, and where the journal ends.
    needs: Vec<(u64, u64)>,
    journal_end: u64,
    under_way: Option<Transaction>,
    trim: Option<u64>,
}

/// A process.
#[derive(Clone, Default, Hash)]
pub struct Worker {
    remembers: Option<BTreeMap<&'static str, Known>>,
    shards: [Shard; SHARDS],
}

impl Worker {
    /// Everything that it can do next. The former process reads no more, but writes what it has.
    pub fn steps(&self, model: &Extract, state: &State, who: usize, next: &mut Next<State>) {
        if !self.is_open() {
            if who == 0 {
                self.start(model, state, next);
            }
            return;
        }
        for shard in 0..SHARDS {
            let mut step = |what, offset, act: &dyn Fn(&mut Worker, &mut State)| {
                let mut after = state.clone();
                let Some(mut worker) = after.workers[who].take() else { return };
                act(&mut worker, &mut after);
                after.workers[who] = Some(worker);
                next.push(((what, shard, offset), after));
            };
            if who == 0 {
                self.read_and_reply(model, state, shard, &mut step);
            }
            self.write(model, state, who, shard, next);
        }
    }

    fn is_open(&self) -> bool {
        self.shards.iter().all(|shard| shard.loaded)
    }

    /// Fences, then loads; without the rule, each shard for itself.
    fn start(&self, model: &Extract, state: &State, next: &mut Next<State>) {
        let unfenced = self.shards.iter().position(|shard| shard.owner.is_none());
        let unloaded = self.shards.iter().position(|shard| !shard.loaded && shard.owner.is_some());
        let mut after = state.clone();
        let mut worker = self.clone();
        let step = match (unfenced, unloaded) {
            (Some(shard), None) => worker.fence(model, &mut after, shard),
            (Some(shard), Some(_)) if model.keeps(Rule::AllFencedFirst) => worker.fence(model, &mut after, shard),
            (_, Some(shard)) if state.extractions.is_stable() => worker.load(model, &after, shard),
            _ => return,
        };
        after.workers[0] = Some(worker);
        next.push((step, after));
    }

    fn fence(&mut self, model: &Extract, state: &mut State, shard: usize) -> (&'static str, usize, u64) {
        self.shards[shard].owner = Some(state.fence(shard, model.keeps(Rule::Fencing)));
        ("fence", shard, 0)
    }

    /// The memory once, and the shard's own progress and journal (`shard::open`, `read_journal`).
    fn load(&mut self, model: &Extract, state: &State, number: usize) -> (&'static str, usize, u64) {
        let known = if model.keeps(Rule::MemoryFromExtractions) { state.live() } else { BTreeMap::new() };
        self.remembers.get_or_insert(known);
        let progress = state.progress[number];
        let shard = &mut self.shards[number];
        (shard.loaded, shard.position, shard.progress) = (true, progress.position, progress);
        shard.journal_end = state.journal[number].end();
        for (offset, answer) in state.journal[number].committed().filter(|(offset, _)| *offset >= progress.low_mark) {
            if answer.origin >= progress.position && model.keeps(Rule::HitsHoldTheLowMark) {
                shard.needs.push((answer.origin, offset));
            }
            shard.hits.insert(offset, answer.clone());
        }
        ("load", number, 0)
    }

    fn read_and_reply(
        &self,
        model: &Extract,
        state: &State,
        number: usize,
        step: &mut impl FnMut(&'static str, u64, &dyn Fn(&mut Worker, &mut State)),
    ) {
        let shard = &self.shards[number];
        if let Some(offset) = model.record(state, number, shard.position).filter(|_| shard.flying.len() < WINDOW) {
            step("read", offset, &|worker, after| worker.read(model, after, number, offset));
        }
        for (index, flying) in shard.flying.iter().enumerate() {
            let Stage::Asked(known) = flying.stage else { continue };
            step("answer", flying.offset, &|worker, after| {
                worker.shards[number].flying[index].unwritten = true;
                worker.written(model, number, index, known);
                worker.begin_all(model, after, number);
            });
            if state.failures > 0 {
                step("the call fails", flying.offset, &|worker, after| {
                    after.failures -= 1;
                    worker.bury(model, number, index);
                    worker.begin_all(model, after, number);
                });
            }
        }
    }

    /// `Flow::read` with `Shard::hits_for`.
    fn read(&mut self, model: &Extract, state: &mut State, number: usize, offset: u64) {
        let shard = &mut self.shards[number];
        let mut hits = Hits::default();
        shard.hits.iter().for_each(|(&offset, answer)| hits.insert(hit(number, offset, answer)));
        let about = hits.about(&subject(model, number, offset));
        if model.keeps(Rule::HitsHoldTheLowMark) {
            shard.needs.extend(about.iter().map(|hit| (offset, hit.offset)));
        }
        let hits = about.iter().map(|hit| (hit.key.request as u8, hit.offset)).collect();
        shard.flying.push(Flying { offset, stage: Stage::Queued, hits, unwritten: false });
        shard.position = offset + 1;
        self.begin_all(model, state, number);
    }

    /// Begins the records whose turn it is, until none is left.
    fn begin_all(&mut self, model: &Extract, state: &mut State, number: usize) {
        while let Some(index) = self.turn(model, number) {
            self.begin(model, state, number, index);
        }
    }

    /// A queued record that may begin, as [`Queues`] says.
    fn turn(&self, model: &Extract, number: usize) -> Option<usize> {
        let flying = &self.shards[number].flying;
        let queued = |index: &usize| flying[*index].stage == Stage::Queued;
        if !model.keeps(Rule::InOrder) {
            return (0..flying.len()).find(queued);
        }
        let document = |index: usize| DocumentId::of(model.documents[number][flying[index].offset as usize].0);
        let mut queues = Queues::default();
        let mut begun: Vec<usize> = (0..flying.len()).filter_map(|index| queues.enter(document(index), index)).collect();
        let done = (0..flying.len()).filter(|index| flying[*index].stage.is_done());
        begun.extend(done.filter_map(|index| queues.leave(document(index))));
        begun.into_iter().find(queued)
    }

    /// `Revise::begin`.
    fn begin(&mut self, model: &Extract, state: &mut State, number: usize, index: usize) {
        let offset = self.shards[number].flying[index].offset;
        let (key, content) = model.documents[number][offset as usize];
        let version = Version { partition: number as u32, offset };
        let ruled = match content {
            Content::Undecodable => return self.bury(model, number, index),
            Content::Deleted => None,
            Content::Is(content) => Some((u128::from(content), 0)),
        };
        match self.memory().rule(DocumentId::of(key), version, ruled) {
            Ruling::Unchanged | Ruling::Absent => self.shards[number].flying[index].stage = Stage::Skipped,
            Ruling::Delete => {
                self.remember(key, None);
                self.shards[number].flying[index].stage = Stage::Deleted;
            }
            Ruling::Foreign { .. } => self.bury(model, number, index),
            Ruling::Revise(known) => self.revise(model, state, number, index, known),
        }
    }

    /// A hit replaces the call. A call whose answer is in the journal must not be made.
    fn revise(&mut self, model: &Extract, state: &mut State, number: usize, index: usize, known: Known) {
        let content = known.content_hash as u8;
        let flying = &self.shards[number].flying[index];
        if flying.hits.iter().any(|hit| hit.0 == content) {
            return self.written(model, number, index, known);
        }
        let key = model.documents[number][flying.offset as usize].0;
        let progress = state.progress[number].position;
        let same = |answer: &Journaled| answer.content == content && answer.subject.starts_with(key);
        if state.journal[number].ever_committed().any(|answer| same(answer) && answer.origin >= progress) {
            state.broken = Some("3: a request whose answer is in the journal is sent again");
        }
        self.shards[number].flying[index].stage = Stage::Asked(known);
    }

    fn written(&mut self, model: &Extract, number: usize, index: usize, known: Known) {
        let flying = &mut self.shards[number].flying[index];
        flying.stage = Stage::Written(known);
        let key = model.documents[number][flying.offset as usize].0;
        self.remember(key, Some(known));
    }

    /// `Revise::bury`.
    fn bury(&mut self, model: &Extract, number: usize, index: usize) {
        let key = model.documents[number][self.shards[number].flying[index].offset as usize].0;
        let version = Version { partition: number as u32, offset: 0 };
        let lives = self.memory().rule(DocumentId::of(key), version, None) == Ruling::Delete;
        let gone = lives && model.keeps(Rule::DeadLettersDelete);
        if gone {
            self.remember(key, None);
        }
        self.shards[number].flying[index].stage = Stage::Buried { gone };
    }

    fn memory(&self) -> Memory {
        let mut memory = Memory::default();
        for (key, known) in self.remembers.iter().flatten() {
            memory.outcome(DocumentId::of(key), Some(*known));
        }
        memory
    }

    fn remember(&mut self, key: &'static str, known: Option<Known>) {
        let remembers = self.remembers.get_or_insert_default();
        match known {
            Some(known) => remembers.insert(key, known),
            None => remembers.remove(key),
        };
    }

    /// `Shard::commit` and `Ledger::carry_out`, and the trimmer.
    fn write(&self, model: &Extract, state: &State, who: usize, number: usize, next: &mut Next<State>) {
        let shard = &self.shards[number];
        let mut after = state.clone();
        let mut worker = self.clone();
        if let Some(below) = shard.trim {
            let (mut after, mut worker) = (after.clone(), self.clone());
            after.journal[number].trim(below);
            worker.shards[number].trim = None;
            after.workers[who] = Some(worker);
            next.push((("trim", number, below), after));
        }
        let Some(owner) = shard.owner else { return };
        let what = if shard.under_way.is_some() { "commit" } else { "produce" };
        if shard.under_way.is_none() && !shard.is_due() {
            return;
        }
        if model.keeps(Rule::Fencing) && owner.1 != state.epochs[number] {
            after.workers[who] = None;
            next.push((("fenced", number, 0), after));
            return;
        }
        match worker.shards[number].under_way.take() {
            Some(transaction) => worker.shards[number].commit(&mut after, owner, transaction),
            None => worker.shards[number].produce(model, &mut after, owner),
        }
        after.workers[who] = Some(worker);
        next.push(((what, number, shard.position), after));
    }
}

impl Shard {
    fn is_due(&self) -> bool {
        self.prefix() > 0 || self.flying.iter().any(|flying| flying.unwritten)
    }

    /// How many records the frontier has passed.
    fn prefix(&self) -> usize {
        self.flying.iter().take_while(|flying| flying.stage.is_done()).count()
    }

    /// Writes the outputs of the records that the frontier has passed, and the answers of those beyond.
    fn produce(&mut self, model: &Extract, state: &mut State, owner: Owner) {
        let count = self.prefix();
        let outputs: Vec<Flying> = self.flying.drain(..count).collect();
        let written = if model.keeps(Rule::OneSnapshot) { count } else { count.saturating_sub(1) };
        let mut progress = self.progress;
        progress.position = outputs.last().map_or(progress.position, |flying| flying.offset + 1);
        let mark = self.low_mark();
        let lowest_open = mark.lowest_open(progress.position);
        self.forget_below(lowest_open.unwrap_or(mark.end()));
        let mut answers = Vec::new();
        for flying in self.flying.iter_mut().filter(|flying| flying.unwritten) {
            let Stage::Written(known) = flying.stage else { continue };
            flying.unwritten = false;
            let (subject, content) = (subject(model, owner.0, flying.offset), known.content_hash as u8);
            let answer = Journaled { subject, content, origin: flying.offset };
            answers.push((flying.offset, state.journal[owner.0].append(owner, answer)));
        }
        let first_new = answers.first().map(|(_, offset)| *offset);
        progress.low_mark = low_mark(lowest_open, first_new, mark.end()).max(progress.low_mark);
        for (key, known) in last_of_each(model, owner.0, &outputs[..written]) {
            state.extractions.append(owner, (key, known));
        }
        let buried = |flying: &Flying| (flying.offset, matches!(flying.stage, Stage::Buried { .. }));
        let outcomes = outputs[..written].iter().map(buried).collect();
        self.trim = if model.keeps(Rule::TrimConfirmed) { self.trim } else { Some(progress.low_mark) };
        self.under_way = Some(Transaction { progress, outcomes, answers });
    }

    /// The broker commits, and the shard takes note.
    fn commit(&mut self, state: &mut State, owner: Owner, transaction: Transaction) {
        let Transaction { progress, outcomes, answers } = transaction;
        state.extractions.end_transaction(owner, true);
        state.journal[owner.0].end_transaction(owner, true);
        state.progress[owner.0] = progress;
        state.outcomes[owner.0].extend(outcomes);
        self.needs.extend(answers);
        self.journal_end = self.low_mark().end();
        self.needs.retain(|(origin, _)| *origin >= progress.position);
        self.forget_below(progress.low_mark);
        self.trim = (progress.low_mark > self.progress.low_mark).then_some(progress.low_mark).or(self.trim);
        self.progress = progress;
    }

    fn low_mark(&self) -> LowMark {
        let mut mark = LowMark::new(self.journal_end);
        self.needs.iter().for_each(|&(origin, offset)| mark.needs(origin, offset));
        mark
    }

    /// As [`Hits::forget_below`], which the model's hits follow.
    fn forget_below(&mut self, low_mark: u64) {
        let mut hits = Hits::default();
        self.hits.iter().for_each(|(&offset, answer)| hits.insert(hit(0, offset, answer)));
        hits.forget_below(low_mark);
        self.hits.retain(|offset, answer| hits.about(&answer.subject).iter().any(|hit| hit.offset == *offset));
    }
}

/// Of each document only what became of it last (`extract/batch.rs`).
fn last_of_each(model: &Extract, shard: usize, outputs: &[Flying]) -> BTreeMap<&'static str, Option<Known>> {
    let mut last = BTreeMap::new();
    for flying in outputs {
        let key = model.documents[shard][flying.offset as usize].0;
        match flying.stage {
            Stage::Written(known) => _ = last.insert(key, Some(known)),
            Stage::Deleted | Stage::Buried { gone: true } => _ = last.insert(key, None),
            _ => (),
        }
    }
    last
}

fn subject(model: &Extract, shard: usize, offset: u64) -> String {
    let key = model.documents[shard][offset as usize].0;
    if model.keeps(Rule::SubjectIsTheDocument) { key.to_owned() } else { format!("{key}@{offset}") }
}

fn hit(shard: usize, offset: u64, answer: &Journaled) -> Hit {
    let key = JournalKey {
        task: "extract".to_owned(),
        subject: answer.subject.clone(),
        question: 0,
        candidate: 0,
        attempt: 0,
        redo: 0,
        request: u128::from(answer.content),
    };
    let origin = Origin { shard: shard as u32, offset: answer.origin };
    let (text, model) = (String::new(), String::new());
    Hit { key, offset, answer: Answer { origin, text, truncated: false, model, usage: Usage::default(), cost: 0.0 } }
}
