//! What the workers of graph tell each other, and how: a stream of their own.

use anyhow::Result;
use serde::{Deserialize, Serialize};
use synthllm_operators::ask::Case;
use synthllm_operators::graph::Outcome as Drawn;
use synthllm_operators::id::{Id, Kind};
use synthllm_operators::passes::Place;
use timely::dataflow::InputHandleVec;
use timely::dataflow::operators::Input;
use timely::worker::Worker;

use super::super::Context;
use super::super::flow::{Inbox, collect};
use super::coordinator::Report;
use super::documents::{Order, Question};

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
    /// To the worker of the shard that owns the start node; with the most samples of its combination, where there is a target.
    Accepted { outcome: Box<Drawn>, settlement: Option<u64>, most: Option<u32> },
    /// To all: which documents can you draw?
    Ask(Question),
    /// To worker 0: these, in order, and whether there are more.
    Documents { from: u64, level: u8, round: u64, places: Vec<Place>, more: bool },
    /// To the worker that told of it: this one is to be issued.
    Draw(Order),
    /// To worker 0: it is not issued, since the document has changed.
    Void(Order),
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
    pub(super) fn exchange(
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
