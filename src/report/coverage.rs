//! Which concepts of the live documents the samples name.
//!
//! A sample names its `concepts` as key concepts and its `topics` as topics, each once, by the names that are nodes of the graph. Law: a node is covered
//! at a level if some sample of that level names it. Samples of level 1 name no key concepts, and those of levels 1 and 2 name the
//! topics of their document. Cost: about 100 bytes a node that is named.

use std::collections::{BTreeSet, HashMap};

use serde::Serialize;
use synthllm_operators::id::{ConceptId, Kind};
use synthllm_operators::normal::concept_name;
use synthllm_operators::record::Sample;

use crate::buckets::{Buckets, buckets};
use crate::graph::Nodes;
use crate::tally::Tally;
use crate::{level_index, share};

/// So many of the nodes that are named most are listed.
const LISTED: usize = 20;

/// How much of the nodes of one kind is named.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize)]
pub struct Coverage {
    /// Nodes that live documents have.
    pub nodes: u64,
    /// Of these, named by some sample.
    pub named: u64,
    /// Of these, named by none.
    pub never: u64,
    /// `named / nodes`; null without nodes.
    pub share: Option<f64>,
    /// Names in samples that no live document has any more.
    pub outside: u64,
}

/// A node that many samples name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
pub struct MostUsed {
    /// Its normalised name.
    pub name: String,
    /// How many samples name it.
    pub samples: u64,
    /// How many live documents have it.
    pub documents: u64,
}

/// The nodes of one kind that samples name.
#[derive(Debug, Default)]
pub(crate) struct Named(HashMap<ConceptId, Uses>);

#[derive(Debug)]
struct Uses {
    name: Box<str>,
    samples: [u32; 3],
}

/// The nodes that samples name: topics, then key concepts.
#[derive(Debug, Default)]
pub(crate) struct AllNamed(pub(crate) [Named; 2]);

impl AllNamed {
    pub(crate) fn add(&mut self, sample: &Sample) {
        let [topics, key_concepts] = &mut self.0;
        topics.add(Kind::Topic, sample.level, &sample.topics);
        key_concepts.add(Kind::KeyConcept, sample.level, &sample.concepts);
    }
}

impl Named {
    fn add(&mut self, kind: Kind, level: u8, display: &[String]) {
        let names: BTreeSet<String> =
            display.iter().map(|name| concept_name(name)).filter(|name| !name.is_empty()).collect();
        for name in names {
            let uses = self.0.entry(ConceptId::of(kind, &name));
            let uses = uses.or_insert_with(|| Uses { name: name.into_boxed_str(), samples: [0; 3] });
            uses.samples[level_index(level)] += 1;
        }
    }

    /// The coverage by samples of one level.
    pub(crate) fn at(&self, level: u8, nodes: &Nodes) -> Coverage {
        self.covered(nodes, |uses| uses.samples[level_index(level)] > 0)
    }

    /// The coverage by all samples.
    pub(crate) fn overall(&self, nodes: &Nodes) -> Coverage {
        self.covered(nodes, |_| true)
    }

    fn covered(&self, nodes: &Nodes, counts: impl Fn(&Uses) -> bool) -> Coverage {
        let named = self.0.iter().filter(|(_, uses)| counts(uses));
        let (inside, outside): (Vec<_>, Vec<_>) = named.map(|(id, _)| nodes.contains_key(id)).partition(|inside| *inside);
        let (nodes, named) = (nodes.len() as u64, inside.len() as u64);
        Coverage { nodes, named, never: nodes - named, share: share(named, nodes), outside: outside.len() as u64 }
    }

    /// How many samples name a node, over all nodes that live documents have.
    pub(crate) fn uses(&self, nodes: &Nodes) -> Buckets {
        let mut tally = Tally::default();
        nodes.keys().for_each(|id| tally.add(self.0.get(id).map_or(0, Uses::all)));
        buckets(&tally)
    }

    /// The nodes that most samples name; of equals, those first in the alphabet.
    pub(crate) fn most_used(&self, nodes: &Nodes) -> Vec<MostUsed> {
        let mut all: Vec<(&ConceptId, &Uses)> = self.0.iter().collect();
        all.sort_unstable_by(|(_, one), (_, other)| (other.all(), &one.name).cmp(&(one.all(), &other.name)));
        let listed = all.into_iter().take(LISTED);
        let documents = |id| nodes.get(id).copied().map_or(0, u64::from);
        listed
            .map(|(id, uses)| MostUsed { name: uses.name.to_string(), samples: uses.all(), documents: documents(id) })
            .collect()
    }
}

impl Uses {
    fn all(&self) -> u64 {
        self.samples.iter().copied().map(u64::from).sum()
    }
}
