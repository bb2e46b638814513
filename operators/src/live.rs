//! Judges whether what is about to be made still stands on live documents.
//!
//! Input: items with references; the live documents as far as `extractions` has been read. Output: items whose reference is
//! live in its version, and items whose reference is stale.
//! Law (protocol.md, "generate"): an item is judged only after `extractions` has been read past the offset of the reference's
//! record; until then it waits and its epoch stays open.
//! Cost: O(1) per item and reference; 56 bytes per live document of this worker's partitions.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use timely::ExchangeData;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::generic::Operator;
use timely::order::TotalOrder;
use timely::progress::Timestamp;
use timely::scheduling::Activator;

use crate::id::DocumentId;
use crate::record::{ExtractionHead, Pointer, Reference, Version};

/// The live documents of some partitions of `extractions`, as far as they have been read.
#[derive(Default)]
pub struct Live {
    documents: HashMap<DocumentId, Incarnation>,
    read: HashMap<u32, u64>,
    watchers: Vec<Activator>,
}

/// Which document lives: its version, and that of its last insert.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize, serde::Deserialize)]
pub struct Incarnation {
    /// Where the content last changed.
    pub version: Version,
    /// Where the document was last inserted.
    pub since: Version,
    /// See [`crate::record::Extraction::redone`].
    pub redone: Version,
}

impl From<ExtractionHead> for Incarnation {
    fn from(head: ExtractionHead) -> Self {
        Incarnation { version: head.version, since: head.since, redone: head.redone }
    }
}

/// What is known about a reference.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// The document lives in this version.
    Live,
    /// It does not any more.
    Stale,
    /// `extractions` has not been read that far.
    Unread,
}

impl Live {
    /// Applies a record of `extractions` and returns what the document was before and is now.
    pub fn apply(
        &mut self,
        document: DocumentId,
        record: Option<ExtractionHead>,
    ) -> (Option<Incarnation>, Option<Incarnation>) {
        let now = record.map(Incarnation::from);
        let before = match now {
            Some(incarnation) => self.documents.insert(document, incarnation),
            None => self.documents.remove(&document),
        };
        (before, now)
    }

    /// The partition has been read up to (not including) this offset: those that wait are judged again.
    pub fn read_to(&mut self, partition: u32, position: u64) {
        self.read.insert(partition, position);
        self.watchers.iter().for_each(Activator::activate);
    }

    /// What is known of a document in a version whose record in `extractions` lies at `record`.
    pub fn judge(&self, document: DocumentId, version: Version, record: Pointer) -> Verdict {
        if self.read.get(&record.partition).is_none_or(|position| *position <= record.offset) {
            return Verdict::Unread;
        }
        match self.documents.get(&document) {
            Some(incarnation) if incarnation.version == version => Verdict::Live,
            _ => Verdict::Stale,
        }
    }

    /// How many documents live.
    pub fn len(&self) -> usize {
        self.documents.len()
    }

    /// Whether none does.
    pub fn is_empty(&self) -> bool {
        self.documents.is_empty()
    }
}

/// Judges one reference of each item, on the worker that reads the reference's partition of `extractions`; see the module.
/// Items for which `reference` gives none pass as live. Returns `(item, live?)`.
pub fn judge<'scope, T, I>(
    items: Stream<'scope, T, Vec<I>>,
    live: &Rc<RefCell<Live>>,
    reference: impl Fn(&I) -> Option<&Reference> + Clone + 'static,
) -> Stream<'scope, T, Vec<(I, bool)>>
where
    T: Timestamp + TotalOrder,
    I: ExchangeData,
{
    let live = Rc::clone(live);
    let partition_of = reference.clone();
    let route = move |item: &I| partition_of(item).map_or(0, |reference| u64::from(reference.extraction.partition));
    let activations = items.scope().activations();
    items.unary(Exchange::new(route), "Judge", move |_, info| {
        live.borrow_mut().watchers.push(Activator::new(info.address, activations));
        let mut waiting = VecDeque::new();
        move |input, output| {
            input.for_each(|capability, data| {
                if let Some(capability) = capability.retain_least(0) {
                    waiting.extend(data.drain(..).map(|item| (capability.clone(), item)));
                }
            });
            for (capability, item) in std::mem::take(&mut waiting) {
                match verdict(&live.borrow(), reference(&item)) {
                    Verdict::Unread => waiting.push_back((capability, item)),
                    verdict => output.session(&capability).give((item, verdict == Verdict::Live)),
                }
            }
        }
    })
}

fn verdict(live: &Live, reference: Option<&Reference>) -> Verdict {
    reference.map_or(Verdict::Live, |reference| {
        live.judge(DocumentId::of(&reference.document), reference.version, reference.extraction)
    })
}
