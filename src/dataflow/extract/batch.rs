//! One transaction of a shard of extract: of each document only what became of it last.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::Sender;

use synthllm_log::{Append, LogName, Place};
use synthllm_operators::codec;
use synthllm_operators::id::DocumentId;
use synthllm_operators::record::{Extraction, Origin, Pointer, Role, Scored};

use super::super::Context;
use super::super::commit::Placed;
use super::super::inquiry::Spent;
use super::super::shard::Prepared;
use super::decision::{Decision, Gone, Note, mark};
use super::entry::Entry;
use crate::events::{Counter, Outcome};

/// The records of a transaction: of each document only what became of it last. `missing` are documents whose deletion was missed.
pub(super) fn prepare(
    context: &Context,
    number: u32,
    missing: BTreeSet<Vec<u8>>,
    mut outputs: Vec<(Origin, Decision)>,
    scores: &Sender<Note>,
) -> Prepared {
    outputs.sort_by_key(|(origin, _)| origin.offset);
    let mut batch = Batch { keeps_scores: context.keeps_scores(), ..Batch::default() };
    batch.count(Counter::Reconciled, missing.len() as u64);
    missing.into_iter().for_each(|key| batch.remove(key, false));
    for (origin, decision) in outputs {
        batch.add(context, number, origin, decision);
    }
    batch.prepared(scores.clone())
}

/// What became of a document last: what is to be written about it in each log, and whether that is the outcome of its record (and not
/// the tombstones of a dead letter, or of a missed deletion).
#[derive(Default)]
struct Last {
    text: Entry<String>,
    extraction: Entry<Box<Extraction>>,
    scored: Entry<Box<Scored>>,
    written: bool,
}

impl Last {
    /// A log of which the last outcome says nothing keeps what the one before it says.
    fn after(self, before: Last) -> Last {
        Last {
            text: self.text.after(before.text),
            extraction: self.extraction.after(before.extraction),
            scored: self.scored.after(before.scored),
            written: self.written,
        }
    }
}

#[derive(Default)]
struct Batch {
    keeps_scores: bool,
    last: BTreeMap<Vec<u8>, Last>,
    dead_letters: Vec<Append>,
    outcomes: [u64; 4],
    counters: BTreeMap<Counter, u64>,
}

impl Batch {
    fn add(&mut self, context: &Context, number: u32, origin: Origin, decision: Decision) {
        let outcome = match decision {
            Decision::Again { offset, decision } => {
                return self.add_again(context, Origin { shard: number, offset }, *decision);
            }
            Decision::Skipped => Outcome::Skipped,
            Decision::Buried { burial, gone } => {
                context.counters.dead_letter(Role::Extract, &burial.stage, number, origin.offset, &burial.reason);
                self.dead_letters.push(burial.record(Role::Extract, LogName::Documents, origin));
                gone.into_iter().for_each(|gone| self.remove(gone.key, false));
                Outcome::DeadLettered
            }
            Decision::Deleted(Gone { key, .. }) => {
                self.count(Counter::Deletions, 1);
                self.remove(key, true);
                Outcome::Written
            }
            decision => {
                self.write(decision, true);
                Outcome::Written
            }
        };
        self.outcomes[outcome as usize] += 1;
    }

    /// The outcome of a stored document, which is no input record and so has none in the account.
    fn add_again(&mut self, context: &Context, from: Origin, decision: Decision) {
        match decision {
            Decision::Skipped => return,
            Decision::Buried { burial, gone } => {
                context.counters.stored_dead_letter(&burial.stage, from.shard, from.offset, &burial.reason);
                self.dead_letters.push(burial.record(Role::Extract, LogName::Documents, from));
                gone.into_iter().for_each(|gone| self.remove(gone.key, false));
            }
            Decision::Written { .. } => {
                self.count(Counter::ScreenedIn, 1);
                self.write(decision, false);
            }
            Decision::Rejected { .. } => {
                self.count(Counter::ScreenedOut, 1);
                self.write(decision, false);
            }
            decision => self.write(decision, false),
        }
        self.count(Counter::Rescreened, 1);
    }

    fn write(&mut self, decision: Decision, written: bool) {
        let (key, last, charged) = match decision {
            Decision::Written { key, text, extraction, scored, charged } => {
                self.count(Counter::Extractions, 1);
                (key, Last { text, extraction: Entry::New(extraction), scored, written }, charged)
            }
            Decision::Rejected { key, text, scored, stood, charged } => {
                let extraction = if stood { Entry::Gone } else { Entry::Unchanged };
                scored.rejected.into_iter().for_each(|reason| self.count(Counter::screened(reason), 1));
                (key, Last { text, extraction, scored: Entry::New(scored), written }, charged)
            }
            Decision::Kept { key, scored, charged } => {
                (key, Last { scored: Entry::New(scored), written, ..Last::default() }, charged)
            }
            Decision::Skipped | Decision::Deleted(_) | Decision::Buried { .. } | Decision::Again { .. } => return,
        };
        self.count(Counter::Embeddings, u64::from(charged.embedded.usage.calls));
        self.spend(&charged.embedded);
        self.spend(&charged.extracted);
        self.replace(key, last);
    }

    fn remove(&mut self, key: Vec<u8>, written: bool) {
        let scored = if self.keeps_scores { Entry::Gone } else { Entry::Unchanged };
        self.replace(key, Last { text: Entry::Gone, extraction: Entry::Gone, scored, written });
    }

    /// An earlier record of the same document in this transaction was superseded.
    fn replace(&mut self, key: Vec<u8>, last: Last) {
        let earlier = self.last.remove(&key).unwrap_or_default();
        if earlier.written {
            self.outcomes[Outcome::Written as usize] -= 1;
            self.outcomes[Outcome::Superseded as usize] += 1;
        }
        self.last.insert(key, last.after(earlier));
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

    /// `scores` is told where the records of that log lie.
    fn prepared(mut self, scores: Sender<Note>) -> Prepared {
        let (mut texts, mut new_texts, mut scored) = (Vec::new(), Vec::new(), Vec::new());
        for (key, last) in &mut self.last {
            let text = std::mem::take(&mut last.text);
            let new = text.as_new().map(|_| key.clone());
            if let Some(record) = text.record(LogName::Texts, key, |text| codec::compress(&text)) {
                new_texts.push(new);
                texts.push(record);
            }
            if !matches!(last.scored, Entry::Unchanged) {
                let id = DocumentId::of(&String::from_utf8_lossy(key));
                scored.push(last.scored.as_new().map(|record| (id, mark(record))));
            }
        }
        let (last, mut rest) = (self.last, self.dead_letters);
        let outputs = move |places: &[Place]| {
            let new = new_texts.into_iter().zip(places).filter_map(|(key, place)| Some((key?, pointer(place))));
            let places: BTreeMap<Vec<u8>, Pointer> = new.collect();
            let mut first = Vec::new();
            for (key, last) in last {
                let place = places.get(&key).copied();
                first.extend(last.scored.record(LogName::Scores, &key, |scored| scored_with_text(scored, place)));
                rest.extend(last.extraction.record(LogName::Extractions, &key, |extraction| with_text(extraction, place)));
            }
            first.append(&mut rest);
            first
        };
        let placed = move |places: &[Place]| {
            let records = scored.into_iter().zip(places).filter_map(|(record, place)| Some((record?, pointer(place))));
            // Nobody wants to know once the role has ended.
            records.for_each(|((id, mark), place)| _ = scores.send(Note::Placed(id, place, mark)));
        };
        Prepared {
            texts,
            outputs: Box::new(outputs),
            placed: self.keeps_scores.then(|| Box::new(placed) as Placed),
            outcomes: self.outcomes,
            counters: self.counters.into_iter().collect(),
        }
    }
}

/// An extraction with the place of its text, where that is new.
fn with_text(mut extraction: Box<Extraction>, place: Option<Pointer>) -> Vec<u8> {
    extraction.text = place.or(extraction.text);
    codec::encode(&extraction)
}

/// What screening says, likewise.
fn scored_with_text(mut scored: Box<Scored>, place: Option<Pointer>) -> Vec<u8> {
    scored.head.text = place.or(scored.head.text);
    codec::encode(&scored)
}

fn pointer(place: &Place) -> Pointer {
    Pointer { partition: place.partition, offset: place.offset }
}
