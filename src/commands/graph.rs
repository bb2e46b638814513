//! `graph`: the concept graph of the live documents, built from `extractions` alone and asked for counts, neighbours, draws.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use anyhow::{Context, bail};
use serde::Serialize;
use synthllm_log::LogName;
use synthllm_operators::codec;
use synthllm_operators::graph::{Found, Outcome};
use synthllm_operators::id::{ConceptId, Kind, walk_combination};
use synthllm_operators::index::Index;
use synthllm_operators::record::{Extraction, Node, Pointer};
use synthllm_operators::schedule::Quota;
use synthllm_operators::settle::draw_all;
use synthllm_operators::stats::{self, GraphStats};
use synthllm_operators::subsets::{concept_of, node_name, subset_of};
use synthllm_operators::upsert::{Entry, Naming};
use synthllm_operators::walk::Settings;

use super::{count, print, print_json};
use crate::cli::{DrawArgs, JsonArgs, NeighborsArgs};
use crate::config::{Config, Start};
use crate::logs;

/// `graph stats`: exact counts of nodes and distinct edges.
pub fn stats(config: &Config, args: &JsonArgs) -> anyhow::Result<()> {
    let (entries, shards) = entries(config, &config.graph.naming())?;
    let all = stats::stats(&index_of(&entries, shards));
    let by_subset = by_subset(&entries).into_iter();
    let subsets: BTreeMap<_, _> =
        by_subset.map(|(name, entries)| (name, stats::stats(&index_of(entries, shards)))).collect();
    if args.json {
        return print_json(&Counted { all, subsets });
    }
    let mut text = described(&all)?;
    for (name, stats) in &subsets {
        write!(text, "\nsubset {name:?}\n{}", described(stats)?)?;
    }
    print(&text)
}

/// The whole graph, and that of each subset, where there are any.
#[derive(Serialize)]
struct Counted {
    #[serde(flatten)]
    all: GraphStats,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    subsets: BTreeMap<String, GraphStats>,
}

fn described(stats: &GraphStats) -> Result<String, std::fmt::Error> {
    let rows = [
        ("documents", stats.documents),
        ("topics", stats.topics),
        ("key concepts", stats.key_concepts),
        ("incidences", stats.incidences),
        ("topic-topic edges", stats.topic_topic_edges),
        ("topic-concept edges", stats.topic_concept_edges),
        ("concept-concept edges", stats.concept_concept_edges),
    ];
    let mut text = String::new();
    for (name, value) in rows {
        writeln!(text, "{name:<22}{value:>12}")?;
    }
    Ok(text)
}

/// The documents of each subset, where there are any. One without concepts is in none.
fn by_subset(entries: &[Entry]) -> BTreeMap<String, Vec<&Entry>> {
    let mut subsets = BTreeMap::<_, Vec<&Entry>>::new();
    for entry in entries {
        if let Some(subset) = subset(entry) {
            subsets.entry(subset.to_owned()).or_default().push(entry);
        }
    }
    subsets
}

fn subset(entry: &Entry) -> Option<&str> {
    let content = entry.content.as_ref()?;
    content.topics.iter().chain(&content.key_concepts).next().and_then(|node| subset_of(node))
}

/// A concept with those that occur together with it.
#[derive(Serialize)]
struct Neighborhood {
    #[serde(skip_serializing_if = "Option::is_none")]
    subset: Option<String>,
    concept: Node,
    documents: u64,
    topics: Vec<Neighbor>,
    key_concepts: Vec<Neighbor>,
}

#[derive(Serialize)]
struct Neighbor {
    name: String,
    documents: u64,
}

/// `graph neighbors`: of the topic and of the key concept of that name, whichever exist, in each subset.
pub fn neighbors(config: &Config, args: &NeighborsArgs) -> anyhow::Result<()> {
    let (entries, shards) = entries(config, &config.graph.naming())?;
    let index = index_of(&entries, shards);
    let name = config.graph.aliases.name(&args.concept);
    let subsets: BTreeSet<Option<&str>> = entries.iter().map(subset).collect();
    let nodes = subsets.into_iter().map(|subset| node_name(subset, &name));
    let kinds = nodes.flat_map(|node| [(Kind::Topic, node.clone()), (Kind::KeyConcept, node)]);
    let found: Vec<_> = kinds.filter_map(|(kind, node)| neighborhood(&index, shards, kind, &node, args.limit)).collect();
    if found.is_empty() {
        bail!("no live document mentions {:?}", args.concept);
    }
    if args.json { print_json(&found) } else { print(&describe(&found)?) }
}

fn neighborhood(index: &Index, shards: u32, kind: Kind, name: &str, limit: usize) -> Option<Neighborhood> {
    let id = ConceptId::of(kind, name);
    let concept = index.node(id)?;
    let all = index.neighbours(id);
    let of_kind = |kind| {
        let neighbors = all.iter().filter(|(node, _)| node.kind == kind).take(limit);
        neighbors
            .map(|(node, documents)| Neighbor { name: concept_of(&node.name).to_owned(), documents: *documents })
            .collect()
    };
    let documents = (0..shards).map(|shard| index.weight(id, kind, shard).documents).sum();
    let (topics, key_concepts) = (of_kind(Kind::Topic), of_kind(Kind::KeyConcept));
    let subset = subset_of(name).map(str::to_owned);
    Some(Neighborhood { subset, concept: concept.without_subset(), documents, topics, key_concepts })
}

fn describe(found: &[Neighborhood]) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    for Neighborhood { subset, concept, documents, topics, key_concepts } in found {
        let kind = if concept.kind == Kind::Topic { "topic" } else { "key concept" };
        let of = subset.as_ref().map(|subset| format!(" of the subset {subset:?}")).unwrap_or_default();
        writeln!(text, "{} ({kind} of {}{of})", concept.name, count(*documents, "document"))?;
        for (title, neighbors) in [("topics", topics), ("key concepts", key_concepts)] {
            writeln!(text, "  {title}:{}", if neighbors.is_empty() { " none" } else { "" })?;
            neighbors.iter().try_for_each(|neighbor| writeln!(text, "{:>8}  {}", neighbor.documents, neighbor.name))?;
        }
    }
    Ok(text)
}

/// A combination of `graph draw`.
#[derive(Serialize)]
struct Drawn {
    id: String,
    topics: Vec<String>,
    key_concepts: Vec<String>,
    walk: Vec<Node>,
    documents: Vec<DrawnDocument>,
    start: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    subset: Option<String>,
}

#[derive(Serialize)]
struct DrawnDocument {
    id: String,
    jaccard: f64,
}

/// `graph draw`: combinations of level 3 in the settled order, over all documents, with or without text.
pub fn draw(config: &Config, args: &DrawArgs) -> anyhow::Result<()> {
    let (entries, shards) = entries(config, &config.graph.naming())?;
    let settings = Settings {
        shards,
        seed: config.sampling.seed,
        starts: starts(config.sampling.start, &entries),
        min_key_concepts: config.graph.min_key_concepts,
        ..Settings::default()
    };
    let quota = Quota { epochs: config.sampling.epochs, starts_per_document: config.sampling.starts_per_document };
    let mut text = String::new();
    for outcome in draw_all(entries, settings, quota, Some(args.count)) {
        if let Some(drawn) = drawn(outcome, settings.seed) {
            writeln!(text, "{}", serde_json::to_string(&drawn)?)?;
        }
    }
    print(&text)
}

fn starts(start: Start, entries: &[Entry]) -> Kind {
    let has_topics = || entries.iter().filter_map(|entry| entry.content.as_ref()).any(|content| !content.topics.is_empty());
    match start {
        Start::Topic => Kind::Topic,
        Start::Auto if has_topics() => Kind::Topic,
        Start::KeyConcept | Start::Auto => Kind::KeyConcept,
    }
}

fn drawn(outcome: Outcome, seed: u64) -> Option<Drawn> {
    let Found::Combination { walk, references } = outcome.result else { return None };
    let subset = walk.first().and_then(|node| subset_of(&node.name)).map(str::to_owned);
    let walk: Vec<Node> = walk.into_iter().map(Node::without_subset).collect();
    let names = |kind| walk.iter().filter(|node| node.kind == kind).map(|node| node.name.clone()).collect();
    let documents =
        references.iter().map(|found| DrawnDocument { id: found.document.clone(), jaccard: found.similarity.jaccard() });
    Some(Drawn {
        id: walk_combination(seed, outcome.node, outcome.start).to_string(),
        topics: names(Kind::Topic),
        key_concepts: names(Kind::KeyConcept),
        documents: documents.collect(),
        start: outcome.start,
        subset,
        walk,
    })
}

/// The live documents with their nodes, and P.
pub(super) fn entries(config: &Config, naming: &Naming<'_>) -> anyhow::Result<(Vec<Entry>, u32)> {
    let log = logs::open(config)?;
    let mut entries = Vec::new();
    for (key, record) in logs::live(&log, LogName::Extractions)? {
        let place = Pointer { partition: record.partition, offset: record.offset };
        let name = || format!("can't read extractions/{} at offset {}", place.partition, place.offset);
        let extraction: Extraction = codec::decode(&record.value.unwrap_or_default()).with_context(name)?;
        let document = String::from_utf8(key).with_context(name)?;
        entries.push(Entry::of(&document, place, Some((&extraction).into()), naming));
    }
    // The index takes a shard's entries in the order of their offsets, and an earlier one for a repetition.
    entries.sort_unstable_by_key(|entry| (entry.partition, entry.offset));
    Ok((entries, log.partitions(LogName::Extractions)?))
}

fn index_of<'a>(entries: impl IntoIterator<Item = &'a Entry>, shards: u32) -> Index {
    let mut index = Index::new(shards);
    for entry in entries {
        index.upsert(entry);
    }
    index
}
