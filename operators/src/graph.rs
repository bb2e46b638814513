//! The concept graph as one dataflow fragment: entries and starts in, outcomes out.
//!
//! Input: [`Entry`]s, and [`Start`]s that usually follow from the [`Frequency`]s that come out on the way. Output: one [`Outcome`] for
//! each start, at the start's epoch, on the worker of the start node's owner; and, when asked for, the documents with their
//! concepts as a differential collection.
//! Law: the walks and matches of epoch e see exactly the entries of epochs up to e: those of e+1 are applied once the
//! outcomes of e are all out. Hence the caller's rule: the starts of an epoch must end, or the entries of the next one wait.
//! Cost: that of [`crate::index`], [`crate::walk`] and [`crate::matching`].

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use serde::{Deserialize, Serialize};
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::generic::operator::Operator;
use timely::dataflow::operators::vec::Map;
use timely::dataflow::operators::{Capability, Concat, ConnectLoop, Feedback, OkErr, feedback};
use timely::progress::Antichain;

use crate::draw::WalkId;
use crate::id::{ConceptId, Kind};
use crate::index::{Index, Weight, Weights};
use crate::matching::{Match, REFERENCES, best_in_shard, keep_best};
use crate::record::Node;
use crate::upsert::{Entry, Mentions};
use crate::walk::{Part, Settings, Start, Walker, owner_of, walk};

/// Weights that are looked up together.
const READ_AHEAD: usize = 32;

/// How many live documents have a start node; told by its owner after every epoch that changed it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Frequency {
    /// A concept of the kind [`Settings::starts`].
    pub node: ConceptId,
    /// Documents, over all shards.
    pub documents: u64,
}

/// What came of a start.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Outcome {
    /// Where the walk started.
    pub node: ConceptId,
    /// Which walk from there.
    pub start: u64,
    /// What it found.
    pub result: Found,
    /// Whether a work cap cut the exact weights of a step, or the search for documents, short.
    pub capped: bool,
    /// Which parts of the walk were stuck, in the order of [`Part::ALL`].
    pub stuck: [bool; 3],
    /// Visited concepts that were drawn on the way.
    pub rejections: u32,
}

/// What a walk found.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Found {
    /// A combination.
    Combination {
        /// The nodes, in the order visited.
        walk: Vec<Node>,
        /// The two most similar documents, best first.
        references: Vec<Match>,
    },
    /// The walk has too few key concepts.
    Stuck,
    /// Fewer than two documents could be matched.
    NoReference,
}

/// The index as it follows the entries; [`Loading::draw`] completes the fragment.
#[must_use = "the fragment is complete only with `draw`"]
pub struct Loading<'scope> {
    /// Changed document counts of start nodes, at their owners.
    pub frequencies: Stream<'scope, u64, Vec<Frequency>>,
    /// Documents with their concepts as updates with retractions; empty unless asked for. See [`crate::edges`].
    pub mentions: Stream<'scope, u64, Vec<(Mentions, u64, isize)>>,
    drawn: feedback::Handle<'scope, u64, Vec<()>>,
    index: Rc<RefCell<Index>>,
    weights: Rc<RefCell<Weights>>,
    settings: Settings,
}

/// Loads the entries of every epoch into this worker's part of the index.
pub fn load<'scope>(
    entries: Stream<'scope, u64, Vec<Entry>>,
    index: &Rc<RefCell<Index>>,
    settings: Settings,
    with_mentions: bool,
) -> Loading<'scope> {
    let (drawn, done) = entries.scope().feedback(1);
    let (changes, mentions) = apply(entries, done, index, with_mentions);
    let weights = Rc::new(RefCell::new(Weights::new(settings.shards, settings.starts)));
    let frequencies = weigh(changes, &weights, settings);
    Loading { frequencies, mentions, drawn, index: Rc::clone(index), weights, settings }
}

impl<'scope> Loading<'scope> {
    /// Walks from the starts and matches what was found. A start may be under way only once at a time.
    pub fn draw(self, starts: Stream<'scope, u64, Vec<Start>>) -> Stream<'scope, u64, Vec<Outcome>> {
        let Loading { frequencies, drawn, index, weights, settings, .. } = self;
        let ready = hold(starts, frequencies, settings);
        let walked = walk(ready, &index, &weights, settings);
        let (complete, stuck) = walked.ok_err(move |walker| {
            if walker.key_concepts() >= settings.min_key_concepts {
                Ok(walker)
            } else {
                Err(outcome_of(walker, Found::Stuck, false))
            }
        });
        let outcomes = merge(find(complete, &index, settings), settings).concat(route_home(stuck, settings));
        outcomes.clone().flat_map(|_| None::<()>).connect_loop(drawn);
        outcomes
    }
}

type Changes<'scope> = (Stream<'scope, u64, Vec<Weight>>, Stream<'scope, u64, Vec<(Mentions, u64, isize)>>);

/// Entries of an epoch, kept until they may be applied, with the capabilities to tell of it.
struct Waiting {
    entries: Vec<Entry>,
    weights: Capability<u64>,
    mentions: Capability<u64>,
}

/// Applies the entries of an epoch once they are complete and the outcomes of the epochs before are out.
fn apply<'scope>(
    entries: Stream<'scope, u64, Vec<Entry>>,
    done: Stream<'scope, u64, Vec<()>>,
    index: &Rc<RefCell<Index>>,
    with_mentions: bool,
) -> Changes<'scope> {
    let mut builder = OperatorBuilder::new("Index".to_owned(), entries.scope());
    let mut input = builder.new_input(entries, Exchange::new(|entry: &Entry| u64::from(entry.partition)));
    let mut done = builder.new_input_connection(done, Pipeline, []);
    let unchanged = [(0, Antichain::from_elem(0))];
    let (weights_output, weights) = builder.new_output_connection(unchanged.clone());
    let (mentions_output, mentions) = builder.new_output_connection(unchanged);
    let (mut weights_output, mut mentions_output) =
        (OutputBuilder::from(weights_output), OutputBuilder::from(mentions_output));
    let index = Rc::clone(index);
    builder.build(move |_capabilities| {
        let mut waiting = BTreeMap::<u64, Waiting>::new();
        move |frontiers| {
            done.for_each(|_capability, _nothing| {});
            input.for_each(|capability, batch| {
                let epoch = *capability.least().expect("entries carry an epoch");
                let waiting = waiting.entry(epoch).or_insert_with(|| Waiting {
                    entries: Vec::new(),
                    weights: capability.delayed(&epoch, 0),
                    mentions: capability.delayed(&epoch, 1),
                });
                waiting.entries.append(batch);
            });
            let (mut weights, mut mentions) = (weights_output.activate(), mentions_output.activate());
            while let Some(entry) = waiting.first_entry() {
                if frontiers.iter().any(|frontier| frontier.less_equal(entry.key())) {
                    break;
                }
                let (epoch, ready) = entry.remove_entry();
                let mut index = index.borrow_mut();
                let mut mentions = mentions.session(&ready.mentions);
                apply_epoch(&mut index, ready.entries, with_mentions, |change, diff| mentions.give((change, epoch, diff)));
                weights.session(&ready.weights).give_iterator(index.take_changed().into_iter());
            }
        }
    });
    (weights, mentions)
}

/// Partitions may come interleaved in any way; within one, the offsets decide.
fn apply_epoch(index: &mut Index, mut entries: Vec<Entry>, with_mentions: bool, mut give: impl FnMut(Mentions, isize)) {
    entries.sort_by_key(|entry| (entry.partition, entry.offset));
    for entry in &entries {
        if with_mentions {
            upsert_with_mentions(index, entry, &mut give);
        } else {
            index.upsert(entry);
        }
    }
}

fn upsert_with_mentions(index: &mut Index, entry: &Entry, mut give: impl FnMut(Mentions, isize)) {
    let before = index.mentions_of(entry.partition, &entry.document);
    index.upsert(entry);
    let after = index.mentions_of(entry.partition, &entry.document);
    if before != after {
        if let Some(before) = before {
            give(before, -1);
        }
        if let Some(after) = after {
            give(after, 1);
        }
    }
}

/// Keeps the owners' weights, and tells the document counts of start nodes once an epoch's reports are complete.
fn weigh<'scope>(
    changes: Stream<'scope, u64, Vec<Weight>>,
    weights: &Rc<RefCell<Weights>>,
    settings: Settings,
) -> Stream<'scope, u64, Vec<Frequency>> {
    let weights = Rc::clone(weights);
    let route = Exchange::new(move |weight: &Weight| owner_of(weight.concept, settings.shards));
    changes.unary_frontier(route, "Weights", move |_capability, _info| {
        let mut changed = BTreeMap::<u64, (Capability<u64>, Vec<ConceptId>)>::new();
        move |(input, frontier), output| {
            input.for_each(|capability, batch| {
                let epoch = *capability.least().expect("weights carry an epoch");
                let (_, nodes) = changed.entry(epoch).or_insert_with(|| (capability.delayed(&epoch, 0), Vec::new()));
                nodes.extend(batch.iter().filter(|weight| weight.kind == settings.starts).map(|weight| weight.concept));
                let mut weights = weights.borrow_mut();
                for few in batch.chunks(READ_AHEAD) {
                    weights.read_ahead(few.iter().map(|weight| weight.concept));
                    few.iter().for_each(|&weight| weights.set(weight));
                }
            });
            while let Some(entry) = changed.first_entry() {
                if frontier.less_equal(entry.key()) {
                    break;
                }
                let (capability, mut nodes) = entry.remove();
                nodes.sort_unstable();
                nodes.dedup();
                let weights = weights.borrow();
                let frequencies = nodes.into_iter().map(|node| Frequency { node, documents: weights.documents(node) });
                output.session(&capability).give_iterator(frequencies);
            }
        }
    })
}

/// Holds the starts of an epoch until all weights of the epoch are with their owners.
fn hold<'scope>(
    starts: Stream<'scope, u64, Vec<Start>>,
    frequencies: Stream<'scope, u64, Vec<Frequency>>,
    settings: Settings,
) -> Stream<'scope, u64, Vec<Start>> {
    let route = Exchange::new(move |start: &Start| owner_of(start.node, settings.shards));
    starts.binary_frontier(frequencies, route, Pipeline, "Hold", move |_capability, _info| {
        let mut held = BTreeMap::<u64, (Capability<u64>, Vec<Start>)>::new();
        move |(starts, _), (frequencies, loaded), output| {
            frequencies.for_each(|_capability, batch| batch.clear());
            starts.for_each(|capability, batch| {
                let epoch = *capability.least().expect("starts carry an epoch");
                let (_, held) = held.entry(epoch).or_insert_with(|| (capability.delayed(&epoch, 0), Vec::new()));
                held.append(batch);
            });
            while let Some(entry) = held.first_entry() {
                if loaded.less_equal(entry.key()) {
                    break;
                }
                let (capability, starts) = entry.remove();
                output.session(&capability).give_iterator(starts.into_iter());
            }
        }
    })
}

/// A walk on its way to one shard, to be matched there.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Query {
    shard: u32,
    walker: Walker,
}

/// What one shard found for a walk.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Partial {
    walker: Walker,
    matches: Vec<Match>,
    capped: bool,
    /// The nodes whose names this shard was asked for, by their place in the walk.
    names: Vec<(usize, Node)>,
}

/// Asks every shard for its best documents.
fn find<'scope>(
    walkers: Stream<'scope, u64, Vec<Walker>>,
    index: &Rc<RefCell<Index>>,
    settings: Settings,
) -> Stream<'scope, u64, Vec<Partial>> {
    let index = Rc::clone(index);
    let queries =
        walkers.flat_map(move |walker| (0..settings.shards).map(move |shard| Query { shard, walker: walker.clone() }));
    let route = Exchange::new(|query: &Query| u64::from(query.shard));
    queries.unary(route, "Match", move |_capability, _info| {
        move |input, output| {
            let index = index.borrow();
            input.for_each_stamp(|capability, batches| {
                let queries = batches.flat_map(|batch| batch.drain(..));
                output.session(&capability).give_iterator(queries.map(|query| find_in_shard(&index, query, &settings)));
            });
        }
    })
}

fn find_in_shard(index: &Index, Query { shard, walker }: Query, settings: &Settings) -> Partial {
    let (matches, capped) = best_in_shard(index, shard, walker.id, walker.nodes(), settings);
    let visits = walker.visits().enumerate().filter(|(_, (_, known_by))| *known_by == shard);
    let names =
        visits.map(|(place, (concept, _))| (place, index.node(concept).expect("the walk came by this shard"))).collect();
    Partial { walker, matches, capped, names }
}

/// Merges what the shards found, at the owner of the start node.
fn merge(partials: Stream<'_, u64, Vec<Partial>>, settings: Settings) -> Stream<'_, u64, Vec<Outcome>> {
    let route = Exchange::new(move |partial: &Partial| owner_of(partial.walker.id.node, settings.shards));
    partials.unary(route, "Merge", move |_capability, _info| {
        let mut open = HashMap::<WalkId, (u32, Partial)>::new();
        move |input, output| {
            input.for_each_stamp(|capability, batches| {
                let mut outcomes = output.session(&capability);
                for partial in batches.flat_map(|batch| batch.drain(..)) {
                    let id = partial.walker.id;
                    let (told, merged) = match open.remove(&id) {
                        Some((told, merged)) => (told + 1, both(merged, partial)),
                        None => (1, partial),
                    };
                    if told == settings.shards {
                        outcomes.give(concluded(merged));
                    } else {
                        open.insert(id, (told, merged));
                    }
                }
            });
        }
    })
}

fn both(mut one: Partial, other: Partial) -> Partial {
    one.matches.extend(other.matches);
    keep_best(&mut one.matches);
    one.names.extend(other.names);
    one.capped |= other.capped;
    one
}

fn concluded(mut partial: Partial) -> Outcome {
    keep_best(&mut partial.matches);
    partial.names.sort_unstable_by_key(|(place, _)| *place);
    let found = if partial.matches.len() < REFERENCES {
        Found::NoReference
    } else {
        let walk = partial.names.into_iter().map(|(_, node)| node).collect();
        Found::Combination { walk, references: partial.matches }
    };
    outcome_of(partial.walker, found, partial.capped)
}

fn outcome_of(walker: Walker, result: Found, capped: bool) -> Outcome {
    let capped = capped || walker.capped;
    let stuck = Part::ALL.map(|part| walker.is_stuck(part));
    Outcome { node: walker.id.node, start: walker.id.start, result, capped, stuck, rejections: walker.rejections }
}

fn route_home(outcomes: Stream<'_, u64, Vec<Outcome>>, settings: Settings) -> Stream<'_, u64, Vec<Outcome>> {
    use timely::dataflow::operators::Exchange as _;
    outcomes.exchange(move |outcome: &Outcome| owner_of(outcome.node, settings.shards))
}

/// A start node's kind under `sampling.start = auto`: topics, or key concepts where the corpus has no topics.
pub fn auto_start(any_topics: bool) -> Kind {
    if any_topics { Kind::Topic } else { Kind::KeyConcept }
}
