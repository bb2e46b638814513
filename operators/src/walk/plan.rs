//! A walker: where it was, and which steps it still has to make.
//!
//! Law: a plan has one or two steps from topic to topic (numbers 0 and 1), one to a key concept (2), three or four between key
//! concepts (3 to 6), uniform by seed; a stuck part ends, and the next part goes on from the last node.

use serde::{Deserialize, Serialize};

use super::{Start, Step};
use crate::draw::{Choice, Draw, WalkId};
use crate::id::{ConceptId, Kind};

/// Start, two topics, and five key concepts.
const MAX_NODES: usize = 8;
const TO_CONCEPT: u8 = 2;
const FIRST_BETWEEN: u8 = 3;

/// A part of a walk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    /// From topic to topic.
    Topics = 1,
    /// To the first key concept.
    Descent = 2,
    /// Between key concepts.
    Concepts = 4,
}

impl Part {
    /// All parts, in the order in which they are walked.
    pub const ALL: [Part; 3] = [Part::Topics, Part::Descent, Part::Concepts];
}

/// A walk under way, or done.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Walker {
    /// Which walk.
    pub id: WalkId,
    /// The kind of the start node.
    pub kind: Kind,
    /// Whether the work cap cut exact weights short.
    pub capped: bool,
    /// Visited concepts that were drawn, over all steps.
    pub rejections: u32,
    pub(crate) attempt: u32,
    path: [ConceptId; MAX_NODES],
    shards: [u32; MAX_NODES],
    length: u8,
    key_concepts: u8,
    next: u8,
    first_after_topics: u8,
    end: u8,
    stuck: u8,
}

impl Walker {
    /// A walker at its start, with its plan.
    pub fn new(seed: u64, start: Start) -> Self {
        let id = WalkId { seed, node: start.node, start: start.start };
        let mut draw = Draw::new(id, 0, 0, Choice::Plan);
        let first_after_topics = 1 + draw.below(2) as u8;
        let end = FIRST_BETWEEN + 3 + draw.below(2) as u8;
        let from_topic = start.kind == Kind::Topic;
        let mut path = [ConceptId(0); MAX_NODES];
        path[0] = start.node;
        Walker {
            id,
            kind: start.kind,
            capped: false,
            rejections: 0,
            attempt: 0,
            path,
            shards: [0; MAX_NODES],
            length: 1,
            key_concepts: u8::from(!from_topic),
            next: if from_topic { 0 } else { FIRST_BETWEEN },
            first_after_topics,
            end,
            stuck: 0,
        }
    }

    /// The nodes visited, in order.
    pub fn nodes(&self) -> &[ConceptId] {
        &self.path[..self.length as usize]
    }

    /// The nodes visited, each with a shard that knows it.
    pub fn visits(&self) -> impl Iterator<Item = (ConceptId, u32)> + '_ {
        self.nodes().iter().copied().zip(self.shards)
    }

    /// How many of the nodes are key concepts.
    pub fn key_concepts(&self) -> usize {
        usize::from(self.key_concepts)
    }

    /// Whether a part of the walk was stuck.
    pub fn is_stuck(&self, part: Part) -> bool {
        self.stuck & part as u8 != 0
    }

    /// Where the walker is.
    pub(crate) fn at(&self) -> ConceptId {
        self.path[self.length as usize - 1]
    }

    /// The number of the next step, for its random numbers.
    pub(crate) fn number(&self) -> u16 {
        u16::from(self.next)
    }

    /// The next step of the plan; `None` when the walk is done.
    pub(crate) fn step(&self) -> Option<Step> {
        match self.next {
            next if next >= self.end => None,
            next if next < TO_CONCEPT => Some(Step::TopicTopic),
            TO_CONCEPT => Some(Step::TopicConcept),
            _ => Some(Step::ConceptConcept),
        }
    }

    /// Makes the next step.
    pub(crate) fn arrive(&mut self, concept: ConceptId, shard: u32) {
        if self.length == 1 {
            self.shards[0] = shard;
        }
        self.key_concepts += u8::from(self.next >= TO_CONCEPT);
        self.path[self.length as usize] = concept;
        self.shards[self.length as usize] = shard;
        self.length += 1;
        self.attempt = 0;
        self.next += 1;
        if self.next == self.first_after_topics {
            self.next = TO_CONCEPT;
        }
    }

    /// Skips the rest of the part that is stuck. Without a first key concept nothing is left to walk.
    pub(crate) fn skip(&mut self) {
        self.attempt = 0;
        let (part, next) = match self.step() {
            Some(Step::TopicTopic) => (Part::Topics, TO_CONCEPT),
            Some(Step::TopicConcept) => (Part::Descent, self.end),
            Some(Step::ConceptConcept) | None => (Part::Concepts, self.end),
        };
        self.stuck |= part as u8;
        self.next = next;
    }
}
