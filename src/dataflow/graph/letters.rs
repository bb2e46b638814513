//! What the workers of graph tell each other, and how: a stream of their own.

use std::collections::HashMap;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use synthllm_log::{LogName, Record};
use synthllm_operators::ask::Case;
use synthllm_operators::codec;
use synthllm_operators::graph::{Outcome as Drawn, auto_start};
use synthllm_operators::id::{DocumentId, Id, Kind};
use synthllm_operators::normal::concept_name;
use synthllm_operators::record::{ExtractionConcepts, Role};
use timely::dataflow::InputHandleVec;
use timely::dataflow::operators::Input;
use timely::worker::Worker;

use super::super::Context;
use super::super::flow::{Inbox, collect};
use super::coordinator::Report;
use crate::config;

/// A letter on its way to a worker, or to the worker of a shard.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Mail {
    pub(super) to: u64,
    pub(super) letter: Letter,
}

/// What workers tell each other.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Letter {
    /// To worker 0: whether I have documents, and any with a topic.
    Topics { documents: bool, topics: bool },
    /// To all: what walks start from.
    Kind(Kind),
    /// To all: load the index up to this cut, or to where `extractions` ends now.
    Settle { cut: Option<Vec<u64>> },
    /// To worker 0: my index stands at the cut.
    AtCut(Report),
    /// To all: the settlement is recorded; the largest id of each limited level.
    Open { largest: Vec<(u8, Option<Id>)> },
    /// To worker 0: may I issue one more of this level?
    Wish { from: u64, case: Case, level: u8 },
    /// To the worker that asked.
    Grant { case: Case, level: u8, granted: bool },
    /// To the worker of the shard that owns the start node.
    Accepted { outcome: Box<Drawn>, settlement: Option<u64> },
    /// To worker 0: so many accepted outcomes are committed.
    Committed { count: u64 },
    /// To worker 0: everything that I read is committed.
    Drained,
    /// To all, where counts are kept: my entries are in the index, the last of them at this epoch.
    Loaded { from: u64, epoch: u64 },
    /// To all, where counts are kept: I read nothing more, and what I read came at epochs up to this one.
    Applied { from: u64, epoch: u64 },
}

/// The letters' dataflow.
pub(super) struct Post {
    pub(super) letters: InputHandleVec<u64, Mail>,
    pub(super) received: Inbox<Mail>,
}

impl Post {
    pub(super) fn new(worker: &mut Worker) -> Self {
        let mut letters = InputHandleVec::new();
        let received = Inbox::default();
        worker.dataflow_named("letters", |scope| {
            let _empty = collect(scope.input_from(&mut letters), |mail: &Mail| mail.to, &received);
        });
        Post { letters, received }
    }

    /// Sends a letter and steps until `enough` of those received are there.
    fn exchange(
        &mut self,
        worker: &mut Worker,
        context: &Context,
        mail: Vec<Mail>,
        enough: impl Fn(&[(u64, Mail)]) -> bool,
    ) -> Result<Vec<Mail>> {
        mail.into_iter().for_each(|mail| self.letters.send(mail));
        // Only the end of an epoch sends on what an exchange has buffered.
        self.letters.advance_to(self.letters.time() + 1);
        while !enough(&self.received.borrow()) {
            context.step(worker)?;
        }
        Ok(self.received.borrow_mut().drain(..).map(|(_, mail)| mail).collect())
    }
}

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
    let from = super::super::from_start_of_mine(worker, &context.log, LogName::Extractions)?;
    let mut topics: HashMap<DocumentId, bool> = HashMap::new();
    let mut failure = None;
    let loading = context.status.loading(Role::Graph);
    synthllm_log::read_to_end(
        &context.log,
        LogName::Extractions,
        &from,
        |record| {
            let document = DocumentId::of(&String::from_utf8_lossy(record.key.as_deref().unwrap_or_default()));
            match has_topic(&record) {
                Ok(Some(any)) => _ = topics.insert(document, any),
                Ok(None) => _ = topics.remove(&document),
                Err(error) => failure = Some(error),
            }
        },
        |read, total| loading.is_at(read, total),
    )?;
    let found = (!topics.is_empty(), topics.values().any(|any| *any));
    failure.map_or(Ok(found), Err)
}

/// Whether a record names a topic; none for a tombstone.
fn has_topic(record: &Record) -> Result<Option<bool>> {
    let Some(value) = &record.value else { return Ok(None) };
    let place = || format!("can't read extractions/{} at offset {}", record.partition, record.offset);
    let concepts: ExtractionConcepts<'_> = codec::decode_beginning(value).with_context(place)?;
    Ok(Some(concepts.topics.iter().any(|(name, _)| !concept_name(name).is_empty())))
}
