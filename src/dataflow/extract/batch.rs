//! One transaction of a shard of extract: of each document only what became of it last.

use std::collections::{BTreeMap, BTreeSet};

use synthllm_log::{Append, LogName, Place};
use synthllm_operators::codec;
use synthllm_operators::record::{Extraction, Origin, Pointer, Role};

use super::super::Context;
use super::super::shard::Prepared;
use super::revise::Decision;
use crate::events::{Counter, Outcome};

/// The records of a transaction: of each document only what became of it last. `missing` are documents whose deletion was missed.
pub(super) fn prepare(
    context: &Context,
    number: u32,
    missing: BTreeSet<Vec<u8>>,
    mut outputs: Vec<(Origin, Decision)>,
) -> Prepared {
    outputs.sort_by_key(|(origin, _)| origin.offset);
    let mut batch = Batch::default();
    batch.count(Counter::Reconciled, missing.len() as u64);
    missing.into_iter().for_each(|key| batch.replace(key, None, false));
    for (origin, decision) in outputs {
        batch.add(context, number, origin, decision);
    }
    batch.prepared()
}

/// What became of a document last, and whether that is the outcome of its record (and not the tombstones of a dead letter, or of a
/// missed deletion).
struct Last {
    value: Option<(Option<String>, Box<Extraction>)>,
    written: bool,
}

#[derive(Default)]
struct Batch {
    last: BTreeMap<Vec<u8>, Last>,
    dead_letters: Vec<Append>,
    outcomes: [u64; 4],
    counters: BTreeMap<Counter, u64>,
}

impl Batch {
    fn add(&mut self, context: &Context, number: u32, origin: Origin, decision: Decision) {
        let outcome = match decision {
            Decision::Skipped => Outcome::Skipped,
            Decision::Deleted { key } => {
                self.count(Counter::Deletions, 1);
                self.replace(key, None, true);
                Outcome::Written
            }
            Decision::Written { key, text, extraction } => {
                self.spend(&extraction);
                self.replace(key, Some((text, extraction)), true);
                Outcome::Written
            }
            Decision::Buried { burial, gone } => {
                context.counters.dead_letter(Role::Extract, &burial.stage, number, origin.offset, &burial.reason);
                self.dead_letters.push(burial.record(Role::Extract, LogName::Documents, origin));
                if let Some(key) = gone {
                    self.replace(key, None, false);
                }
                Outcome::DeadLettered
            }
        };
        self.outcomes[outcome as usize] += 1;
    }

    /// An earlier record of the same document in this transaction was superseded.
    fn replace(&mut self, key: Vec<u8>, value: Option<(Option<String>, Box<Extraction>)>, written: bool) {
        if self.last.insert(key, Last { value, written }).is_some_and(|earlier| earlier.written) {
            self.outcomes[Outcome::Written as usize] -= 1;
            self.outcomes[Outcome::Superseded as usize] += 1;
        }
    }

    fn spend(&mut self, extraction: &Extraction) {
        self.count(Counter::Extractions, 1);
        self.count(Counter::Calls, u64::from(extraction.usage.calls));
        self.count(Counter::PromptTokens, extraction.usage.prompt_tokens);
        self.count(Counter::CompletionTokens, extraction.usage.completion_tokens);
        self.count(Counter::CostMicros, (extraction.cost * 1e6).round() as u64);
    }

    fn count(&mut self, counter: Counter, more: u64) {
        *self.counters.entry(counter).or_default() += more;
    }

    fn prepared(self) -> Prepared {
        let texts = self.last.iter().map(|(key, last)| {
            let text = last.value.as_ref().and_then(|(text, _)| text.as_deref());
            keyed(LogName::Texts, key, text.map(codec::compress))
        });
        let texts = texts.collect();
        let (last, mut rest) = (self.last, self.dead_letters);
        let outputs = move |places: &[Place]| {
            for ((key, last), place) in last.into_iter().zip(places) {
                let value = last.value.map(|(text, mut extraction)| {
                    extraction.text = text.map(|_| Pointer { partition: place.partition, offset: place.offset });
                    codec::encode(&extraction)
                });
                rest.push(keyed(LogName::Extractions, &key, value));
            }
            rest
        };
        Prepared {
            texts,
            outputs: Box::new(outputs),
            outcomes: self.outcomes,
            counters: self.counters.into_iter().collect(),
        }
    }
}

fn keyed(log: LogName, key: &[u8], value: Option<Vec<u8>>) -> Append {
    Append { log, partition: None, key: Some(key.to_vec()), value }
}
