//! What walks start from, where `sampling.start` leaves it to the corpus.

use std::collections::HashSet;

use anyhow::{Context as _, Result};
use synthllm_log::{LogName, Record, read_to_end};
use synthllm_operators::codec;
use synthllm_operators::graph::auto_start;
use synthllm_operators::id::{DocumentId, Kind};
use synthllm_operators::normal::concept_name;
use synthllm_operators::record::{ExtractionConcepts, Role};
use timely::worker::Worker;

use super::super::Context;
use super::letters::{Letter, Mail, Post};
use crate::config;

/// So many witnesses are nearly always enough: all of them would have to change or go.
const WITNESSES: usize = 1_000;

/// What walks start from. `auto` asks all workers whether any document has a topic.
pub(super) fn start_kind(worker: &mut Worker, context: &Context, post: &mut Post) -> Result<Kind> {
    match context.config.sampling.start {
        config::Start::Topic => return Ok(Kind::Topic),
        config::Start::KeyConcept => return Ok(Kind::KeyConcept),
        config::Start::Auto => (),
    }
    let peers = worker.peers() as u64;
    let (documents, topics) = any_topics(worker, context)?;
    let mut mail = vec![Mail { to: 0, letter: Letter::Topics { documents, topics } }];
    if worker.index() == 0 {
        let all_told = |received: &[(u64, Mail)]| received.len() as u64 == peers;
        let told = post.exchange(worker, context, mail, all_told)?;
        let any = |wanted: fn(bool, bool) -> bool| {
            told.iter().any(|mail| matches!(mail.letter, Letter::Topics { documents, topics } if wanted(documents, topics)))
        };
        // A corpus that is still empty is expected to have topics.
        let kind = auto_start(any(|_, topics| topics) || !any(|documents, _| documents));
        mail = (0..peers).map(|to| Mail { to, letter: Letter::Kind(kind) }).collect();
    }
    let received = post.exchange(worker, context, mail, |received| !received.is_empty())?;
    let kind = received.iter().find_map(|mail| if let Letter::Kind(kind) = mail.letter { Some(kind) } else { None });
    kind.context("a worker was told something else than what walks start from")
}

/// Whether this worker's partitions have live documents, and any with a topic.
fn any_topics(worker: &Worker, context: &Context) -> Result<(bool, bool)> {
    let few = look_for_topics(worker, context, WITNESSES)?;
    let (documents, topics) = if few.is_some() { few } else { look_for_topics(worker, context, usize::MAX)? }
        .context("a search that keeps all witnesses is conclusive")?;
    Ok((documents, topics))
}

/// The same from at most so many witnesses; none where they do not tell.
fn look_for_topics(worker: &Worker, context: &Context, most: usize) -> Result<Option<(bool, bool)>> {
    let from = super::super::from_start_of_mine(worker, &context.log, LogName::Extractions)?;
    let (mut documents, mut topics) = (Witnesses::new(most), Witnesses::new(most));
    let mut failure = None;
    let loading = context.status.loading(Role::Graph);
    read_to_end(
        &context.log,
        LogName::Extractions,
        &from,
        |record| {
            let document = DocumentId::of(&String::from_utf8_lossy(record.key.as_deref().unwrap_or_default()));
            documents.see(document, || record.value.is_some());
            topics.see(document, || has_topic(&record).unwrap_or_else(|error| failure.replace(error).is_some()));
        },
        |read, total| loading.is_at(read, total),
    )?;
    failure.map_or(Ok(documents.any().zip(topics.any())), Err)
}

/// Whether a record names a topic.
fn has_topic(record: &Record) -> Result<bool> {
    let Some(value) = &record.value else { return Ok(false) };
    let place = || format!("can't read extractions/{} at offset {}", record.partition, record.offset);
    let concepts: ExtractionConcepts<'_> = codec::decode_beginning(value).with_context(place)?;
    Ok(concepts.topics.iter().any(|(name, _)| !concept_name(name).is_empty()))
}

/// A few documents whose last record, as far as a log was read, holds a property: enough to tell whether any does, in bounded memory.
struct Witnesses {
    documents: HashSet<DocumentId>,
    most: usize,
    /// Whether a record was passed over that might have made one more.
    missed: bool,
}

impl Witnesses {
    fn new(most: usize) -> Self {
        Witnesses { documents: HashSet::new(), most, missed: false }
    }

    /// The next record of a document; whether it holds the property is asked only where that matters.
    fn see(&mut self, document: DocumentId, holds: impl FnOnce() -> bool) {
        if self.documents.contains(&document) {
            if !holds() {
                self.documents.remove(&document);
            }
        } else if self.documents.len() == self.most {
            self.missed = true;
        } else if holds() {
            self.documents.insert(document);
        }
    }

    /// Whether any document holds it; none when those that were passed over would have to be asked.
    fn any(&self) -> Option<bool> {
        let any = !self.documents.is_empty();
        (any || !self.missed).then_some(any)
    }
}

#[cfg(test)]
mod tests {
    use super::{DocumentId, Witnesses};

    /// Documents by number, each time with whether they hold the property from then on.
    fn any_of(most: usize, records: &[(u32, bool)]) -> Option<bool> {
        let mut witnesses = Witnesses::new(most);
        records.iter().for_each(|(number, holds)| witnesses.see(DocumentId::of(&number.to_string()), || *holds));
        witnesses.any()
    }

    #[test]
    fn a_few_witnesses_tell_what_all_would_or_that_they_can_not() {
        assert_eq!(any_of(1, &[]), Some(false));
        assert_eq!(any_of(1, &[(1, false), (1, true)]), Some(true));
        assert_eq!(any_of(1, &[(1, true), (2, true)]), Some(true));
        assert_eq!(any_of(1, &[(1, true), (1, false)]), Some(false));
        assert_eq!(any_of(1, &[(1, true), (2, true), (1, false)]), None);
        assert_eq!(any_of(9, &[(1, true), (2, true), (1, false)]), Some(true));
    }
}
