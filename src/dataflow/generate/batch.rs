//! What one transaction of a shard writes, and how its records are counted.

use std::collections::BTreeMap;

use synthllm_log::{Append, LogName};
use synthllm_operators::codec;
use synthllm_operators::id::Id;
use synthllm_operators::record::{Held, Origin, Progress, ProgressKey, Provenance, Role};

use super::super::Context;
use super::super::commit::progress_append;
use super::super::inquiry::Spent;
use super::super::shard::Prepared;
use super::answers::Holding;
use super::filters::Reason;
use super::{Candidate, Decision};
use crate::events::{Counter, Outcome};

/// One transaction of a shard.
pub(super) struct Batch<'c> {
    context: &'c Context,
    /// Its number.
    pub(super) number: u32,
    records: Vec<Append>,
    /// The samples that it writes, with what they stand on.
    pub(super) written: Vec<(Id, Provenance)>,
    /// The questions that it holds back, with what they stand on.
    pub(super) held: Vec<(Id, Provenance)>,
    /// The levels of these samples.
    pub(super) levels: Vec<(Id, u8)>,
    /// The samples that it withdraws.
    pub(super) withdrawn: Vec<Id>,
    /// The questions that it frees.
    pub(super) released: Vec<Holding>,
    outcomes: [u64; 4],
    counters: BTreeMap<Counter, u64>,
}

impl<'c> Batch<'c> {
    pub(super) fn new(context: &'c Context, number: u32) -> Self {
        Batch {
            context,
            number,
            records: Vec::new(),
            written: Vec::new(),
            held: Vec::new(),
            levels: Vec::new(),
            withdrawn: Vec::new(),
            released: Vec::new(),
            outcomes: [0; 4],
            counters: BTreeMap::new(),
        }
    }

    /// Every input record has exactly one outcome, however many questions it had. What a review offers anew is none (`counted`).
    pub(super) fn add_all(&mut self, outputs: Vec<(Origin, Decision)>, counted: bool) {
        let mut by_origin: BTreeMap<u64, Vec<Decision>> = BTreeMap::new();
        for (origin, decision) in outputs {
            by_origin.entry(origin.offset).or_default().push(decision);
        }
        for (offset, mut decisions) in by_origin {
            decisions.sort_by_key(|decision| if let Decision::Sampled(it) = decision { it.ordinal } else { 0 });
            let origin = Origin { shard: self.number, offset };
            let outcomes: Vec<Outcome> = decisions.into_iter().map(|decision| self.add(origin, decision)).collect();
            self.outcomes[one_outcome(&outcomes) as usize] += u64::from(counted);
        }
    }

    fn add(&mut self, origin: Origin, decision: Decision) -> Outcome {
        match decision {
            Decision::Asked { level, questions, spent } => {
                self.spend(&spent);
                self.count(Counter::questions(level), questions);
                Outcome::Skipped
            }
            Decision::Unsuitable => self.skip(Counter::Unsuitable),
            Decision::Duplicate { level } => {
                self.count(Counter::duplicates(level), 1);
                self.skip(Counter::Duplicates)
            }
            Decision::Rejected(rejection, candidate) => {
                let counter = rejection.reason.counter();
                if !candidate.held {
                    self.context.counters.rejected(counter, self.number, origin.offset, &rejection.details);
                    self.count(counter, 1);
                }
                self.spend(&candidate.spent);
                if rejection.reason == Reason::Judge {
                    // Until now it held its question.
                    let (question, sample) = (candidate.question, candidate.sample_id);
                    self.released.push(Holding { question, sample, holds: false });
                }
                let held = candidate.held;
                self.hold(candidate.sample_id, &candidate.holding_back(rejection), held);
                Outcome::Skipped
            }
            Decision::OverTarget => self.skip(Counter::OverTarget),
            Decision::NotLive { held, spent } => {
                self.spend(&spent);
                self.released.extend(held.map(|(question, sample)| Holding { question, sample, holds: false }));
                self.skip(Counter::NotLive)
            }
            Decision::Buried { burial, spent } => {
                self.spend(&spent);
                let reason = &burial.reason;
                self.context.counters.dead_letter(Role::Generate, &burial.stage, self.number, origin.offset, reason);
                self.records.push(burial.record(Role::Generate, LogName::Combinations, origin));
                Outcome::DeadLettered
            }
            Decision::Sampled(candidate) => {
                self.write(*candidate);
                Outcome::Written
            }
        }
    }

    fn skip(&mut self, counter: Counter) -> Outcome {
        self.count(counter, 1);
        Outcome::Skipped
    }

    fn write(&mut self, candidate: Candidate) {
        self.spend(&candidate.spent);
        self.count(Counter::Samples, 1);
        if candidate.held {
            self.push(LogName::Held, candidate.sample_id, None);
            self.count(Counter::Released, 1);
        }
        let provenance = candidate.provenance();
        let Candidate { sample_id, sample, .. } = candidate;
        let json = serde_json::to_vec(&sample).expect("a sample holds text, finite numbers and maps with text keys");
        self.push(LogName::Samples, sample_id, Some(json));
        self.push(LogName::Provenance, sample_id, Some(codec::encode(&provenance)));
        self.written.push((sample_id, provenance));
        self.levels.push((sample_id, sample.level));
    }

    /// A question is held back; `again`, with another reason. No id is written twice without a tombstone between.
    pub(super) fn hold(&mut self, sample: Id, held: &Held, again: bool) {
        if again {
            self.push(LogName::Held, sample, None);
        }
        self.push(LogName::Held, sample, Some(codec::encode(held)));
        self.held.push((sample, held.provenance.clone()));
    }

    /// A filter drops a sample that others let pass.
    pub(super) fn demote(&mut self, sample: Id, held: &Held) {
        self.withdraw(&Holding { question: held.provenance.question, sample, holds: false });
        self.hold(sample, held, false);
    }

    /// A document of a question that is held back is gone.
    pub(super) fn forget(&mut self, sample: Id) {
        self.push(LogName::Held, sample, None);
    }

    /// All questions of the shard are judged by the filters with this digest.
    pub(super) fn reviewed(&mut self, digest: u64) {
        self.records.push(progress_append(&ProgressKey::Filters(self.number), &Progress::Filters(digest)));
    }

    pub(super) fn withdraw(&mut self, holding: &Holding) {
        self.push(LogName::Samples, holding.sample, None);
        self.push(LogName::Provenance, holding.sample, None);
        self.released.push(holding.clone());
        self.withdrawn.push(holding.sample);
        self.count(Counter::Withdrawn, 1);
    }

    /// Samples, provenance and held questions lie in the partition of the shard that writes them.
    fn push(&mut self, log: LogName, sample: Id, value: Option<Vec<u8>>) {
        let key = Some(sample.to_string().into_bytes());
        self.records.push(Append { log, partition: Some(self.number), key, value });
    }

    fn spend(&mut self, spent: &Spent) {
        self.count(Counter::Calls, u64::from(spent.usage.calls));
        self.count(Counter::PromptTokens, spent.usage.prompt_tokens);
        self.count(Counter::CompletionTokens, spent.usage.completion_tokens);
        self.count(Counter::CostMicros, (spent.cost * 1e6).round() as u64);
    }

    fn count(&mut self, counter: Counter, more: u64) {
        *self.counters.entry(counter).or_default() += more;
    }

    pub(super) fn prepared(self) -> Prepared {
        let records = self.records;
        Prepared {
            texts: Vec::new(),
            outputs: Box::new(move |_| records),
            placed: None,
            outcomes: self.outcomes,
            counters: self.counters.into_iter().collect(),
        }
    }
}

/// Written if anything was; else a dead letter if anything was; else skipped.
fn one_outcome(outcomes: &[Outcome]) -> Outcome {
    let any = |wanted| outcomes.contains(&wanted).then_some(wanted);
    any(Outcome::Written).or(any(Outcome::DeadLettered)).unwrap_or(Outcome::Skipped)
}
