//! Of documents with equal or similar texts only the first is let in: all texts pass one worker, the first (see [`super::keeper`]).
//!
//! A document whose text keeps the limits claims its place there, and goes on with the verdict. Its own calls make nobody wait:
//! the verdict depends on texts alone. When a document comes late that stands before others, or one goes, those on which the verdict
//! has changed are decided again (see [`super::owed`]).

use std::cell::Cell;
use std::rc::Rc;

use anyhow::Result;
use synthllm_log::{LogName, Record};
use synthllm_operators::ask::Mailbox;
use synthllm_operators::codec;
use synthllm_operators::id::{self, DocumentId};
use synthllm_operators::near::Settings;
use synthllm_operators::near::twins::Text;
use synthllm_operators::record::{ExtractionHead, Progress, ProgressKey, Role, ScoredHead};
use synthllm_operators::shingle::shingles;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::generic::Operator;
use timely::dataflow::operators::{Concat, Input, Probe};
use timely::dataflow::{InputHandleVec, ProbeHandle, Scope, Stream};
use timely::worker::Worker;

use super::super::Context;
use super::super::clock::{Barrier, Clock};
use super::super::estimate::OfDocuments;
use super::super::flow::{self, Flow, Inbox};
use super::decision::{Decision, Incoming};
use super::errands::{Brought, Errand};
use super::keeper::{Claim, Keeper, Said, Told};
use super::owed::Owed;
use super::reconcile::beginning;
use super::rescreen::screened_by;

/// The worker that all texts pass.
const WORKER: u64 = 0;

/// The role's part in it.
pub(super) struct Twins {
    /// What does not come from a document under way.
    claims: InputHandleVec<u64, Claim>,
    told: Inbox<Told>,
    mailbox: Mailbox<Errand, Brought>,
    pub(super) owed: Owed,
    near: Option<Settings>,
    /// Whether some documents were last judged by other settings, so that their texts must be looked at.
    is_stale: bool,
    /// On [`WORKER`], how many are owed a decision on all workers.
    outstanding: Rc<Cell<u64>>,
    /// All input is read and committed, on all workers: from then on only what is owed can make more owed.
    all_read: Barrier,
}

impl Twins {
    /// Nothing where documents are not screened.
    pub(super) fn new(
        worker: &mut Worker,
        context: &Context,
        standing: &[(ProgressKey, Progress)],
        needs: OfDocuments,
        mailbox: &Mailbox<Errand, Brought>,
    ) -> Option<Self> {
        if context.screen.is_off() {
            return None;
        }
        let digest = context.screen.digest();
        let is_stale = standing.iter().any(|(key, progress)| match (key, progress) {
            (ProgressKey::Shard(Role::Extract, _), Progress::Shard(shard)) => {
                shard.position > 0 && screened_by(shard) != digest
            }
            _ => false,
        });
        Some(Twins {
            claims: InputHandleVec::new(),
            told: Inbox::default(),
            mailbox: mailbox.clone(),
            owed: Owed::new(context, needs),
            near: context.screen.near(),
            is_stale,
            outstanding: Rc::default(),
            all_read: Barrier::new(worker),
        })
    }

    /// Builds its part of the dataflow: `claims` are those of documents under way.
    pub(super) fn build<'scope>(
        &mut self,
        context: &Context,
        scope: Scope<'scope, u64>,
        claims: Stream<'scope, u64, Vec<Claim>>,
        probe: &ProbeHandle<u64>,
    ) {
        let claims = claims.concat(scope.input_from(&mut self.claims));
        let mut keeper = Keeper::new(&context.screen, &self.outstanding);
        let told =
            claims.unary::<CapacityContainerBuilder<Vec<Told>>, _, _, _>(Exchange::new(|_| WORKER), "Twins", |_, _| {
                move |input, output| {
                    input.for_each(|time, data| {
                        let mut session = output.session(&time);
                        data.drain(..).for_each(|claim| keeper.take(claim, |told| session.give(told)));
                    });
                }
            });
        let route = |told: &Told| match told {
            Told::Verdict { document, .. } => document.0,
            Told::Owed { shard, .. } => u64::from(*shard),
        };
        flow::collect(told, route, &self.told).probe_with(probe);
    }

    /// The texts are read at the start where similar ones are looked for, or must be looked at by other limits.
    pub(super) fn reads_texts(&self) -> bool {
        self.near.is_some() || self.is_stale
    }

    /// At the start: a record of `extractions`, `scores` or `texts`.
    pub(super) fn load(&mut self, context: &Context, log: LogName, record: &Record) -> Result<()> {
        let key = record.key.clone().unwrap_or_default();
        let document = DocumentId::of(&String::from_utf8_lossy(&key));
        let claim = match log {
            LogName::Texts => {
                let text = record.value.as_deref().map(codec::decompress).transpose()?;
                let passes = !self.is_stale || context.screen.check(text.as_deref()).is_none();
                Claim::Text { document, text: text.map(|text| self.text(id::digest(text.as_bytes()), &text)), passes }
            }
            LogName::Scores => {
                let said = beginning::<ScoredHead>(log, record)?.map(Said::from);
                Claim::Stored { document, key, in_scores: true, said }
            }
            _ => {
                let said = beginning::<ExtractionHead>(log, record)?.map(Said::from);
                Claim::Stored { document, key, in_scores: false, said }
            }
        };
        self.claims.send(claim);
        Ok(())
    }

    fn text(&self, hash: u128, text: &str) -> Text {
        let shingles = self.near.map(|settings| shingles(text, settings.shingle)).unwrap_or_default();
        Text { hash, shingles }
    }

    /// All of this worker's share is loaded, on all workers.
    pub(super) fn loaded(&mut self, worker: &Worker) {
        if worker.index() as u64 == WORKER {
            self.claims.send(Claim::Loaded);
        }
    }

    pub(super) fn advance_to(&mut self, now: u64) {
        if *self.claims.time() < now {
            self.claims.advance_to(now);
        }
    }

    /// A document is found to be gone.
    pub(super) fn left(&mut self, document: DocumentId) {
        self.claims.send(Claim::Left(document));
    }

    /// Brings what is told to where it belongs. Returns how much.
    pub(super) fn receive(&mut self) -> usize {
        let told: Vec<(u64, Told)> = self.told.borrow_mut().drain(..).collect();
        let count = told.len();
        for (_, told) in told {
            match told {
                Told::Verdict { case, verdict, .. } => self.mailbox.deliver(case, Brought::Verdict(verdict)),
                Told::Owed { shard, key, lets_in } => self.owed.add(shard, key, lets_in),
            }
        }
        count
    }

    /// Puts in what is owed, and reports what is settled. Returns how many.
    pub(super) fn turn(&mut self, flow: &mut Flow<Incoming, Decision>, clock: &mut Clock) -> usize {
        let put_in = self.owed.turn(flow, clock);
        let settled = self.owed.settled();
        if settled > 0 {
            self.claims.send(Claim::Settled(settled));
        }
        put_in
    }

    /// Whether nothing is owed any more, nor ever will be, as far as this worker knows, which has drained: a worker alone can't
    /// know, but the first does not say so before all are settled.
    pub(super) fn has_drained(&mut self) -> bool {
        if !self.owed.is_settled() {
            return false;
        }
        self.all_read.arrive();
        self.all_read.passed() && self.outstanding.get() == 0
    }
}
