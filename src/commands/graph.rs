//! `graph`: the concept graph of the live documents, built from `extractions` alone and asked for counts, neighbours, draws.

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
use synthllm_operators::stats;
use synthllm_operators::upsert::Entry;
use synthllm_operators::walk::Settings;

use super::{count, print, print_json};
use crate::cli::{DrawArgs, JsonArgs, NeighborsArgs};
use crate::config::{Config, GraphConfig, Start};
use crate::logs;

/// `graph stats`: exact counts of nodes and distinct edges.
pub fn stats(config: &Config, args: &JsonArgs) -> anyhow::Result<()> {
    let (entries, shards) = entries(config)?;
    let stats = stats::stats(&index_of(&entries, shards));
    if args.json {
        return print_json(&stats);
    }
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
    print(&text)
}

/// A concept with those that occur together with it.
#[derive(Serialize)]
struct Neighborhood {
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

/// `graph neighbors`: of the topic and of the key concept of that name, whichever exist.
pub fn neighbors(config: &Config, args: &NeighborsArgs) -> anyhow::Result<()> {
    let (entries, shards) = entries(config)?;
    let index = index_of(&entries, shards);
    let name = config.graph.aliases.name(&args.concept);
    let kinds = [Kind::Topic, Kind::KeyConcept].into_iter();
    let found: Vec<_> = kinds.filter_map(|kind| neighborhood(&index, shards, kind, &name, args.limit)).collect();
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
        neighbors.map(|(node, documents)| Neighbor { name: node.name.clone(), documents: *documents }).collect()
    };
    let documents = (0..shards).map(|shard| index.weight(id, kind, shard).documents).sum();
    Some(Neighborhood { concept, documents, topics: of_kind(Kind::Topic), key_concepts: of_kind(Kind::KeyConcept) })
}

fn describe(found: &[Neighborhood]) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    for Neighborhood { concept, documents, topics, key_concepts } in found {
        let kind = if concept.kind == Kind::Topic { "topic" } else { "key concept" };
        writeln!(text, "{} ({kind} of {})", concept.name, count(*documents, "document"))?;
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
}

#[derive(Serialize)]
struct DrawnDocument {
    id: String,
    jaccard: f64,
}

/// `graph draw`: combinations of level 3 in the settled order, over all documents, with or without text.
pub fn draw(config: &Config, args: &DrawArgs) -> anyhow::Result<()> {
    let (entries, shards) = entries(config)?;
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
    let names = |kind| walk.iter().filter(|node| node.kind == kind).map(|node| node.name.clone()).collect();
    let documents =
        references.iter().map(|found| DrawnDocument { id: found.document.clone(), jaccard: found.similarity.jaccard() });
    Some(Drawn {
        id: walk_combination(seed, outcome.node, outcome.start).to_string(),
        topics: names(Kind::Topic),
        key_concepts: names(Kind::KeyConcept),
        documents: documents.collect(),
        start: outcome.start,
        walk,
    })
}

/// The live documents as the graph sees them, and P.
fn entries(config: &Config) -> anyhow::Result<(Vec<Entry>, u32)> {
    let log = logs::open(config)?;
    let mut entries = Vec::new();
    for (key, record) in logs::live(&log, LogName::Extractions)? {
        let place = Pointer { partition: record.partition, offset: record.offset };
        let name = || format!("can't read extractions/{} at offset {}", place.partition, place.offset);
        let extraction: Extraction = codec::decode(&record.value.unwrap_or_default()).with_context(name)?;
        let document = String::from_utf8(key).with_context(name)?;
        let GraphConfig { max_concepts, aliases, .. } = &config.graph;
        entries.push(Entry::of(&document, place, Some((&extraction).into()), *max_concepts, aliases));
    }
    // The index takes a shard's entries in the order of their offsets, and an earlier one for a repetition.
    entries.sort_unstable_by_key(|entry| (entry.partition, entry.offset));
    Ok((entries, log.partitions(LogName::Extractions)?))
}

fn index_of(entries: &[Entry], shards: u32) -> Index {
    let mut index = Index::new(shards);
    for entry in entries {
        index.upsert(entry);
    }
    index
}
