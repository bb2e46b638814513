//! The role `generate`: combinations in, samples out, and withdrawals (protocol.md, "generate").
//!
//! ```text
//! combinations ► live? ► fetch texts ► ask questions ► filter ┬► one of similar ones ► one holder per question ► ask answers ► judge ► live? ► samples, provenance
//! held, what passes when the filters have changed ──────────────┘
//! extractions ─► live documents ─┬─► antijoin ► withdrawals
//! provenance ────────────────────┘
//! ```

mod answers;
mod asked;
mod batch;
mod fetch;
mod filters;
mod grounding;
mod judgements;
mod near;
mod owed;
mod questions;
mod review;
mod standing;
mod withdrawals;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use synthllm_llm::Task;
use synthllm_log::{LogName, Writer};
use synthllm_operators::ask::{Case, Mailbox, ask};
use synthllm_operators::id::Id;
use synthllm_operators::journal::Hit;
use synthllm_operators::live::{Live, judge};
use synthllm_operators::record::{Answer, Combination, Held, JournalKey, Origin, Provenance, Reference, Role, Sample};
use timely::dataflow::operators::core::OkErr;
use timely::dataflow::operators::vec::Map;
use timely::dataflow::operators::{Concat, Input};
use timely::dataflow::{InputHandleVec, ProbeHandle};
use timely::worker::Worker;

use self::answers::{Answers, Holding};
use self::batch::Batch;
pub use self::filters::Filters;
use self::filters::{Reason, Rejection};
use self::judgements::Judgements;
use self::near::NearDuplicates;
use self::questions::{Posted, Questions};
use self::review::Review;
use self::standing::{Granted, Standing};
use self::withdrawals::Withdrawals;
use super::clock::{Barrier, Clock};
use super::dead_letter::Burial;
use super::desk::Desk;
use super::estimate::OfCombinations;
use super::flow::{self, Flow, Inbox};
use super::inquiry::{Call, Replied, Spent};
use super::shard::{self, Made, What};
use super::{Context, Phase, target};

/// At least so many combinations may be in flight on a worker.
const LEAST_WINDOW: usize = 64;

/// A combination on its way.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Work {
    origin: Origin,
    combination: Combination,
    /// Whether all references judged so far are live.
    live: bool,
    /// The most samples that may come of it, where its level has a target.
    most: Option<u32>,
    hits: Vec<Hit>,
}

/// A question on its way to an answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Candidate {
    origin: Origin,
    /// The number of the question among those of its combination.
    ordinal: u32,
    /// Which time it is paid for on purpose.
    redo: u32,
    sample_id: Id,
    question: Id,
    /// Its claim, where near-duplicates are looked for.
    claim: Option<Case>,
    sample: Box<Sample>,
    references: Vec<Reference>,
    live: bool,
    hits: Vec<Hit>,
    spent: Spent,
    /// Whether it lies in `held`.
    held: bool,
}

/// What became of a combination, or of one of its questions.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum Decision {
    /// The model was asked for questions, and wrote so many.
    Asked { level: u8, questions: u64, spent: Spent },
    /// A reference has changed or gone, before or while the sample was made.
    NotLive { held: Option<(Id, Id)>, spent: Spent },
    /// The model calls the document not suitable for questions.
    Unsuitable,
    /// Another sample asks the same.
    Duplicate { level: u8 },
    /// A filter holds it back.
    Rejected(Rejection, Box<Candidate>),
    /// The combination has as many samples as it may have.
    OverTarget,
    /// It could not be used.
    Buried { burial: Burial, spent: Spent },
    /// A sample.
    Sampled(Box<Candidate>),
}

/// The role on this worker.
pub struct Generate {
    flow: Flow<Work, Decision>,
    holdings: InputHandleVec<u64, Holding>,
    questions: Desk<questions::Call, questions::Reply>,
    answers: Desk<Call, Replied>,
    judgements: Desk<Call, Replied>,
    near: Option<NearDuplicates>,
    withdrawals: Withdrawals,
    review: Review,
    standing: Option<Standing>,
    granted: Granted,
    live: Rc<RefCell<Live>>,
    clock: Clock,
    done: Barrier,
    after_graph: bool,
}

impl Generate {
    /// Starts the role, whose shards are fenced: reads where it stands, builds the dataflow, loads provenance and live documents, opens the
    /// gate. With `after_graph`, its input ends when graph, in this process, has drained.
    pub fn start(
        worker: &mut Worker,
        context: &Arc<Context>,
        writers: Vec<(u32, Box<dyn Writer>)>,
        after_graph: bool,
    ) -> Result<Self> {
        let (shards, standing) = shard::open(context, Role::Generate, writers, Some(LogName::JournalGenerate))?;
        let numbers: Vec<u32> = shards.iter().map(|shard| shard.number).collect();
        let ends = if after_graph { None } else { context.ends(LogName::Combinations, &numbers)? };

        let mut input = InputHandleVec::new();
        let mut holdings = InputHandleVec::new();
        let (asked, answered, verdicts) = (Mailbox::default(), Mailbox::default(), Mailbox::default());
        let live = Rc::new(RefCell::new(Live::default()));
        let (inbox, probe) = (Inbox::default(), ProbeHandle::new());
        let mut withdrawals = Withdrawals::new(context);
        let mut near = NearDuplicates::new(worker, context);
        let mut review = Review::new(context, &numbers, &standing.progress);
        worker.dataflow_named("generate", |scope| {
            let combinations = scope.input_from(&mut input);
            let holdings = scope.input_from(&mut holdings);
            let nothing = Vec::<()>::new();
            let no_notes = timely::dataflow::operators::vec::ToStream::to_stream(nothing, scope);
            let judges = context.config.generate.judges().then(|| Judgements::new(context));

            let first = judge(combinations, &live, |work: &Work| work.reference(0)).map(Work::judged);
            let judged = judge(first, &live, |work: &Work| work.reference(1)).map(Work::judged);
            let shard_of = |work: &Work| u64::from(work.origin.shard);
            let posted = ask(judged, no_notes.clone(), "Questions", shard_of, |()| 0, Questions::new(context), &asked);
            let (candidates, mut rest) = posted.ok_err(Posted::candidate);
            let mut candidates = candidates.concat(scope.input_from(&mut review.released));
            if let Some(near) = &mut near {
                let notes = near.build(scope);
                let posted = ask(candidates, notes, "Near", |_| near::WORKER, |_| near::WORKER, near.stage(), &near.mailbox);
                let (first, others) = posted.ok_err(Posted::candidate);
                (candidates, rest) = (first, rest.concat(others));
            }

            let by_question = |candidate: &Candidate| candidate.question.0 as u64;
            let by_holding = |holding: &Holding| holding.question.0 as u64;
            let answers = Answers::new(context);
            let posted = ask(candidates, holdings, "Answers", by_question, by_holding, answers, &answered);
            let (mut finished, others) = posted.ok_err(Posted::candidate);
            if let Some(near) = &near {
                flow::collect(others.clone().flat_map(Posted::ended), |_| near::WORKER, &near.ended);
            }

            if let Some(stage) = judges {
                let posted = ask(finished, no_notes, "Judgements", by_question, |()| 0, stage, &verdicts);
                let (passed, held) = posted.ok_err(Posted::candidate);
                (finished, rest) = (passed, rest.concat(held));
            }

            let first = judge(finished, &live, |it: &Candidate| it.reference(0)).map(Candidate::judged);
            let judged = judge(first, &live, |it: &Candidate| it.reference(1)).map(Candidate::judged);
            let sampled = judged.map(Candidate::decided);
            flow::sink(sampled.concat(rest.concat(others).flat_map(Posted::made)), &inbox, &probe);
            withdrawals.build(scope, &probe);
        });

        let mut flow = Flow::open(context, Role::Generate, LogName::Combinations, shards, input, ends)?;
        (flow.inbox, flow.probe) = (inbox, probe);
        let combinations = OfCombinations::new(&context.config, &context.generate_prompts);
        flow.reserve(context, move |record| combinations.need(record));
        // Each combination in flight holds its texts: a few for each call that may be made at once.
        flow.narrow(LEAST_WINDOW.max(2 * context.settings(Task::Question).max_in_flight));
        let mut role = Generate {
            flow,
            holdings,
            questions: questions::desk(context, asked),
            answers: context.model_desk(answered),
            judgements: context.model_desk(verdicts),
            near,
            withdrawals,
            review,
            standing: Standing::new(context),
            granted: Granted::default(),
            live,
            clock: Clock::default(),
            done: Barrier::new(worker),
            after_graph,
        };
        let loaded = role.load(worker, context)?;
        context.counters.gate_open(Role::Generate, numbers.len(), loaded);
        crate::fault::point("gate open");
        Ok(role)
    }

    /// Provenance and the live documents, to the end, everywhere, before anything is judged or withdrawn.
    fn load(&mut self, worker: &mut Worker, context: &Context) -> Result<u64> {
        let mine: Vec<u32> = self.flow.shards.keys().copied().collect();
        let Generate { withdrawals, holdings, near, review, standing, live, .. } = self;
        let loaded = withdrawals.load_samples(worker, context, &mine, holdings)?;
        let held = withdrawals.load_held(worker, context, &mine)?;
        let of_near = (mine.as_slice(), &held);
        near.iter_mut().try_for_each(|near| near.load(worker, context, of_near, |shard| review.is_due(shard)))?;
        review.load(worker, context, &mine, held)?;
        standing.iter_mut().try_for_each(|standing| standing.load(worker, context, &mine))?;
        withdrawals.load_documents(worker, context, &mine, live)?;
        let gate = Clock::GATE;
        self.advance_to(gate);
        while self.flow.frontier() < gate {
            context.step(worker)?;
        }
        self.near.iter_mut().for_each(NearDuplicates::begin);
        crate::fault::point("state loaded");
        Ok(loaded)
    }

    fn advance_to(&mut self, now: u64) {
        self.flow.advance_to(now);
        self.withdrawals.advance_to(now);
        if *self.holdings.time() < now {
            self.holdings.advance_to(now);
        }
        if *self.review.released.time() < now {
            self.review.released.advance_to(now);
        }
        self.near.iter_mut().for_each(|near| near.advance_to(now));
    }

    /// One turn: reads, carries calls and replies, commits. `graph_done` says that graph, in this process, has drained.
    pub fn turn(&mut self, context: &Context, pace: Duration, graph_done: bool) -> Result<Phase> {
        let now = self.clock.tick(pace);
        self.advance_to(now);
        let mut moved = self.withdrawals.read(now, &mut self.live.borrow_mut())?;
        moved += self.review.turn(context, &mut self.flow, (&self.withdrawals, self.near.as_mut()), &mut self.clock)?;
        if !context.stopping() && self.review.is_over() {
            let Generate { flow, clock, granted, .. } = self;
            moved += flow.read(clock, &context.counters, |shard, origin, record| {
                let work = incoming(shard, origin, &record)?;
                let level = work.combination.level;
                work.most.iter().for_each(|most| granted.read((origin.shard, origin.offset), level, *most));
                Ok(work)
            })?;
        }
        moved += self.questions.turn()
            + self.answers.turn()
            + self.judgements.turn()
            + self.near.as_mut().map_or(0, NearDuplicates::turn);
        self.commit(context)?;
        self.find_the_end(context, graph_done)?;
        Ok(Phase::of(moved, self.flow.quiet()))
    }

    /// Whether the role has drained on all workers.
    pub fn is_done(&self) -> bool {
        self.done.passed()
    }

    /// Whether `extractions` is read up to these positions, and the withdrawals that follow are committed, as far as this worker knows.
    pub fn has_withdrawn(&self, read: &BTreeMap<u32, u64>) -> bool {
        self.review.is_over() && self.withdrawals.has_settled(read) && self.flow.shards.values().all(shard::Shard::idle)
    }

    fn commit(&mut self, context: &Context) -> Result<()> {
        let Generate { flow, withdrawals, holdings, near, review, standing, granted, .. } = self;
        withdrawals.settle();
        let mut owed = withdrawals.owed_shards();
        owed.append(&mut review.owing(flow));
        owed.extend(flow.shards.keys().filter(|shard| standing.as_ref().is_some_and(|standing| standing.owes(**shard))));
        flow.commit(
            |shard| owed.contains(&shard),
            |number, progress, outputs| {
                near.iter_mut().for_each(|near| near.confirmed(number));
                let mut batch = Batch::new(context, number);
                review.settle(number, outputs.iter().map(|(origin, _)| origin.offset));
                batch.add_all(outputs, review.is_apart());
                for (sample, provenance) in batch.written.drain(..) {
                    withdrawals.written(sample, number, &provenance);
                }
                for (sample, provenance) in batch.held.drain(..) {
                    withdrawals.hold(sample, number, &provenance);
                }
                let (withdrawn, forgotten) = withdrawals.take(number);
                withdrawn.iter().for_each(|holding| batch.withdraw(holding));
                forgotten.into_iter().for_each(|sample| batch.forget(sample));
                review.commit(context, &mut batch, withdrawals, (&withdrawn, near));
                granted.settle(number, progress.position, &mut progress.counters);
                match standing {
                    Some(standing) => {
                        batch.withdrawn.iter().for_each(|sample| standing.withdrawn(number, *sample));
                        batch.levels.iter().for_each(|(sample, level)| standing.written(number, *sample, *level));
                        standing.tell(number, &mut progress.counters);
                    }
                    None => target::forget_standing(&mut progress.counters),
                }
                for holding in batch.released.drain(..) {
                    near.iter_mut().for_each(|near| near.released(number, holding.question));
                    holdings.send(holding);
                }
                // A question that a redone document asks again must find it free.
                holdings.flush();
                Ok(batch.prepared())
            },
        )?;
        if let Some(near) = near {
            flow.shards.values().filter(|shard| shard.idle()).for_each(|shard| near.confirmed(shard.number));
        }
        Ok(())
    }

    /// The input ends when graph has ended; the role ends when it has read it and owes no withdrawal.
    fn find_the_end(&mut self, context: &Context, graph_done: bool) -> Result<()> {
        if context.drain && self.after_graph && graph_done {
            let mine: Vec<u32> = self.flow.shards.keys().copied().collect();
            self.flow.end_at(context.ends_now(LogName::Combinations, &mine)?);
            self.withdrawals.end_now(context)?;
            self.after_graph = false;
        }
        let Generate { review, flow, withdrawals, near, .. } = self;
        if review.is_over() && flow.drained() && withdrawals.drained() {
            let rests = near.as_mut().is_none_or(|near| near.rest(|sample| withdrawals.holds(sample)));
            if rests {
                self.done.arrive();
            }
        }
        Ok(())
    }
}

fn incoming(shard: &mut shard::Shard<Decision>, origin: Origin, record: &synthllm_log::Record) -> Result<Work> {
    let place = || format!("can't read combinations/{} at offset {}", origin.shard, origin.offset);
    let (combination, most) = Combination::of_record(record.value.as_deref().unwrap_or_default()).with_context(place)?;
    let hits = shard.hits_for(origin.offset, &combination.id.to_string());
    Ok(Work { origin, combination, live: true, most, hits })
}

impl Work {
    /// A reference to be judged, unless one was found stale already.
    fn reference(&self, index: usize) -> Option<&Reference> {
        self.combination.references.get(index).filter(|_| self.live)
    }

    fn judged((mut work, live): (Work, bool)) -> Work {
        work.live &= live;
        work
    }
}

impl Candidate {
    /// A reference to be judged. What was held back is not: like a sample it stands until it is withdrawn.
    fn reference(&self, index: usize) -> Option<&Reference> {
        self.references.get(index).filter(|_| self.live && !self.held)
    }

    fn judged((mut candidate, live): (Candidate, bool)) -> Candidate {
        candidate.live &= live;
        candidate
    }

    /// What a task has cost goes to the sample, beside its share of the question's cost.
    fn account(&mut self, task: Task, cost: &Spent) {
        let Candidate { spent, sample, .. } = self;
        spent.usage += cost.usage;
        spent.cost += cost.cost;
        sample.usage += cost.usage;
        sample.cost += cost.cost;
        if cost.usage.calls > 0 {
            sample.provenance.models.insert(task.name().to_owned(), cost.model.clone());
        }
    }

    /// What it stands on.
    fn provenance(&self) -> Provenance {
        let documents = self.references.iter().map(|reference| (reference.document.clone(), reference.version)).collect();
        Provenance { documents, question: self.question }
    }

    /// A filter holds it back.
    fn rejected(self, rejection: Rejection) -> Made<Decision> {
        Made { origin: self.origin, what: What::Output(Decision::Rejected(rejection, Box::new(self))) }
    }

    /// Another sample asks the same. For a new question that is final; one that was held back stays so.
    fn duplicate(self) -> Made<Decision> {
        if self.held {
            let details = "a sample asks the same".to_owned();
            return self.rejected(Rejection { reason: Reason::Duplicate, details });
        }
        Made { origin: self.origin, what: What::Output(Decision::Duplicate { level: self.sample.level }) }
    }

    /// Its record in `held`.
    fn holding_back(self, rejection: Rejection) -> Held {
        let provenance = self.provenance();
        let Rejection { reason, details } = rejection;
        let mut answers = self.unused_answers();
        // One that could not be judged is judged anew.
        answers.retain(|(key, _)| reason != Reason::Judge || key.task != Task::Judge.name());
        Held { reason: reason.name().to_owned(), details, sample: *self.sample, provenance, answers }
    }

    /// What earlier runs have of its calls, and the sample has not, under the keys that it has when it is released.
    fn unused_answers(&self) -> Vec<(JournalKey, Answer)> {
        let Candidate { sample, hits, .. } = self;
        let is_used = |task: &str| match task {
            task if task == Task::Answer.name() => sample.answer.is_some(),
            _ => sample.scores.contains_key(judgements::SCORE),
        };
        let unused = hits.iter().filter(|hit| !is_used(&hit.key.task));
        let question = Candidate::ordinal_of(self.sample_id);
        unused.map(|hit| (JournalKey { question, redo: 0, ..hit.key.clone() }, hit.answer.clone())).collect()
    }

    /// Stands for the ordinal of a question that is released, in its journal keys: which it was among those of its combination is not
    /// known any more.
    fn ordinal_of(sample_id: Id) -> u32 {
        sample_id.0 as u32
    }

    fn decided(self) -> Made<Decision> {
        let origin = self.origin;
        let decision = if self.live {
            Decision::Sampled(Box::new(self))
        } else {
            Decision::NotLive { held: Some((self.question, self.sample_id)), spent: self.spent }
        };
        Made { origin, what: What::Output(decision) }
    }
}
