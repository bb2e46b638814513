//! Levels 1 and 2: one document, one combination each, for every live extraction with a text.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use serde::{Deserialize, Serialize};
use synthllm_operators::ask::{Case, Stage, Turn};
use synthllm_operators::id::{self, Id, Kind};
use synthllm_operators::index::Index;
use synthllm_operators::record::{Combination, Node, Origin, Reference};
use synthllm_operators::subsets::concept_of;
use synthllm_operators::upsert::{Content, Entry, is_superseded};

use super::super::Context;
use super::super::shard::{Made, What};
use crate::config::When;

/// A level 2 question joins at least two key concepts.
const LEAST_KEY_CONCEPTS: usize = 2;

/// A record of `extractions` on its way to its combinations.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Incoming {
    pub(super) origin: Origin,
    pub(super) entry: Entry,
}

/// What becomes of a record of `extractions`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Issued {
    pub(super) combinations: Vec<Combination>,
    /// Whether it was no longer the last record of its document.
    pub(super) stale: bool,
    /// Whether the document has more concepts than count.
    pub(super) capped: bool,
}

/// Asks whether a level's limit allows one more combination.
pub(super) struct Ask {
    pub(super) level: u8,
}

/// The answer.
pub(super) struct Granted {
    pub(super) level: u8,
    pub(super) granted: bool,
}

/// What the stage and the worker's loop both see.
#[derive(Default)]
pub(super) struct Shared {
    /// Up to where the index was loaded before records were read for their outputs.
    pub(super) loaded: BTreeMap<u32, u64>,
    /// Which of levels 1 and 2 are not issued as records are read, since they are drawn for a target.
    pub(super) drawn: Vec<u8>,
    /// In settled mode, the largest id of each limited level that is issued; without any, none is.
    pub(super) largest: HashMap<u8, Option<Id>>,
}

/// The stage.
pub(super) struct Levels {
    index: Rc<RefCell<Index>>,
    shared: Rc<RefCell<Shared>>,
    levels: Vec<u8>,
    limited: Vec<u8>,
    settled: bool,
    seed: u64,
    open: HashMap<Case, Asked>,
}

struct Asked {
    origin: Origin,
    capped: bool,
    candidates: Vec<Combination>,
    granted: Vec<Combination>,
}

type Output<'t> = &'t mut Turn<Ask, Made<Issued>>;

impl Stage for Levels {
    type Item = Incoming;
    type Note = ();
    type Call = Ask;
    type Reply = Granted;
    type Output = Made<Issued>;

    fn open(&mut self, case: Case, item: Incoming, turn: Output<'_>) {
        let Incoming { origin, entry } = item;
        let capped = entry.content.as_ref().is_some_and(|content| content.capped);
        if entry.content.is_some() && self.is_stale(&entry) {
            return finish(case, origin, Issued { combinations: Vec::new(), stale: true, capped }, turn);
        }
        let candidates = candidates(&entry, &self.levels, self.seed);
        let (candidates, granted) = if self.settled {
            let shared = self.shared.borrow();
            (Vec::new(), candidates.into_iter().filter(|it| is_among(&shared.largest, it)).collect())
        } else {
            candidates.into_iter().partition(|candidate| self.limited.contains(&candidate.level))
        };
        if candidates.is_empty() {
            return finish(case, origin, Issued { combinations: granted, stale: false, capped }, turn);
        }
        candidates.iter().for_each(|candidate| turn.ask(case, Ask { level: candidate.level }));
        self.open.insert(case, Asked { origin, capped, candidates, granted });
    }

    fn reply(&mut self, case: Case, reply: Granted, turn: Output<'_>) {
        let Some(mut asked) = self.open.remove(&case) else { return };
        let (answered, rest) = asked.candidates.into_iter().partition(|candidate| candidate.level == reply.level);
        asked.candidates = rest;
        if reply.granted {
            asked.granted.extend::<Vec<_>>(answered);
        }
        if asked.candidates.is_empty() {
            let Asked { origin, capped, granted, .. } = asked;
            finish(case, origin, Issued { combinations: granted, stale: false, capped }, turn);
        } else {
            self.open.insert(case, asked);
        }
    }

    fn note(&mut self, (): ()) {}
}

impl Levels {
    pub(super) fn new(context: &Context, index: &Rc<RefCell<Index>>, shared: &Rc<RefCell<Shared>>) -> Self {
        let sampling = &context.config.sampling;
        let drawn = shared.borrow().drawn.clone();
        Levels {
            index: Rc::clone(index),
            shared: Rc::clone(shared),
            levels: document_levels(context, &drawn),
            limited: limited_levels(context, &drawn),
            settled: sampling.when(context.drain) == When::Settled,
            seed: sampling.seed,
            open: HashMap::new(),
        }
    }

    /// A record that was loaded, and is not the last of its document, has no outputs.
    fn is_stale(&self, entry: &Entry) -> bool {
        let loaded = self.shared.borrow().loaded.get(&entry.partition).copied().unwrap_or(0);
        is_superseded(entry.offset, loaded, self.index.borrow().offset_of(entry.partition, &entry.document))
    }
}

/// Which of levels 1 and 2 are issued as records are read.
pub(super) fn document_levels(context: &Context, drawn: &[u8]) -> Vec<u8> {
    let levels = context.config.sampling.levels.iter().copied();
    levels.filter(|level| *level < 3 && !drawn.contains(level)).collect()
}

/// Which of them have a limit.
pub(super) fn limited_levels(context: &Context, drawn: &[u8]) -> Vec<u8> {
    let limit = &context.config.sampling.limit;
    document_levels(context, drawn).into_iter().filter(|level| limit.of(*level).is_some()).collect()
}

/// The combinations of an extraction, were there no limit.
pub(super) fn candidates(entry: &Entry, levels: &[u8], seed: u64) -> Vec<Combination> {
    let Some(content) = &entry.content else { return Vec::new() };
    let levels = levels.iter().copied().filter(|level| enough(*level, content.key_concepts.len()));
    levels.filter_map(|level| combination(entry, content, level, seed)).collect()
}

/// Whether a document has enough key concepts for a level.
pub(super) fn enough(level: u8, key_concepts: usize) -> bool {
    level == 1 || key_concepts >= LEAST_KEY_CONCEPTS
}

fn combination(entry: &Entry, content: &Content, level: u8, seed: u64) -> Option<Combination> {
    let reference = Reference {
        document: entry.document.clone(),
        version: content.version,
        text: content.text?,
        extraction: synthllm_operators::record::Pointer { partition: entry.partition, offset: entry.offset },
        jaccard: 1.0,
    };
    let node = |kind: Kind| move |name: &String| Node { kind, name: concept_of(name).to_owned() };
    let topics = content.topics.iter().map(node(Kind::Topic));
    Some(Combination {
        id: id::document_combination(level, &entry.document, content.version, 0),
        level,
        walk: topics.chain(content.key_concepts.iter().map(node(Kind::KeyConcept))).collect(),
        references: vec![reference],
        seed,
        start: None,
        settlement: None,
    })
}

fn is_among(largest: &HashMap<u8, Option<Id>>, combination: &Combination) -> bool {
    match largest.get(&combination.level) {
        None => true,
        Some(largest) => largest.is_some_and(|largest| combination.id <= largest),
    }
}

fn finish(case: Case, origin: Origin, issued: Issued, turn: Output<'_>) {
    turn.give(case, Made { origin, what: What::Output(issued) });
    turn.close(case);
}
