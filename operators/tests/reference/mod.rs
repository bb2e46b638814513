//! Plain sequential programs that say what the operators must do: no shards, no epochs, no retractions.
#![allow(dead_code, reason = "each test uses the part of the reference that it is about")]

use std::collections::{BTreeMap, BTreeSet};

use synthllm_operators::draw::{WalkId, preference};
use synthllm_operators::id::{ConceptId, DocumentId, Kind};
use synthllm_operators::record::{Node, Pointer};
use synthllm_operators::stats::GraphStats;
use synthllm_operators::upsert::{Content, Entry};
use synthllm_operators::walk::Step;

/// The live documents by id: the last offset of each partition wins.
pub type Live = BTreeMap<String, (Pointer, Content)>;

pub fn topic(name: &str) -> Node {
    Node { kind: Kind::Topic, name: name.to_owned() }
}

pub fn concept(name: &str) -> Node {
    Node { kind: Kind::KeyConcept, name: name.to_owned() }
}

pub fn id(node: &Node) -> ConceptId {
    ConceptId::of(node.kind, &node.name)
}

/// An entry with these concepts; the version tells of the offset, the text is there.
pub fn entry(document: &str, partition: u32, offset: u64, topics: &[&str], key_concepts: &[&str]) -> Entry {
    let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    let here = Pointer { partition, offset };
    let content =
        Content { version: here, text: Some(here), topics: names(topics), key_concepts: names(key_concepts), capped: false };
    Entry { document: document.to_owned(), partition, offset, content: Some(content) }
}

pub fn live(history: &[Entry]) -> Live {
    let mut last = BTreeMap::<String, &Entry>::new();
    for entry in history {
        let slot = last.entry(entry.document.clone()).or_insert(entry);
        if slot.offset <= entry.offset {
            *slot = entry;
        }
    }
    let place = |entry: &Entry| Pointer { partition: entry.partition, offset: entry.offset };
    last.into_iter().filter_map(|(key, entry)| Some((key, (place(entry), entry.content.clone()?)))).collect()
}

pub fn nodes(content: &Content) -> BTreeSet<Node> {
    content.topics.iter().map(|name| topic(name)).chain(content.key_concepts.iter().map(|name| concept(name))).collect()
}

/// What nodes and edges count, by document.
pub fn counts(live: &Live) -> (BTreeMap<Node, u64>, BTreeMap<(Node, Node), u64>) {
    let (mut node_counts, mut edge_counts) = (BTreeMap::new(), BTreeMap::new());
    for (_, content) in live.values() {
        let nodes: Vec<Node> = nodes(content).into_iter().collect();
        for (place, node) in nodes.iter().enumerate() {
            *node_counts.entry(node.clone()).or_default() += 1;
            for other in &nodes[place + 1..] {
                *edge_counts.entry((node.clone(), other.clone())).or_default() += 1;
            }
        }
    }
    (node_counts, edge_counts)
}

pub fn stats(live: &Live) -> GraphStats {
    let (node_counts, edge_counts) = counts(live);
    let mut stats =
        GraphStats { documents: live.len() as u64, incidences: node_counts.values().sum(), ..GraphStats::default() };
    for node in node_counts.keys() {
        *(if node.kind == Kind::Topic { &mut stats.topics } else { &mut stats.key_concepts }) += 1;
    }
    for (one, other) in edge_counts.keys() {
        *match (one.kind, other.kind) {
            (Kind::Topic, Kind::Topic) => &mut stats.topic_topic_edges,
            (Kind::KeyConcept, Kind::KeyConcept) => &mut stats.concept_concept_edges,
            _ => &mut stats.topic_concept_edges,
        } += 1;
    }
    stats
}

/// What a step can reach, each with its weight: the number of documents that `from` shares with it, visited ones left out. This
/// *is* the law: a document by `|X_d \ V|`, then uniform in it, is proportional to the count of shared documents.
pub fn step_weights(live: &Live, from: &Node, step: Step, visited: &[Node]) -> BTreeMap<Node, u64> {
    let target = if step == Step::TopicTopic { Kind::Topic } else { Kind::KeyConcept };
    let mut weights = BTreeMap::new();
    for (_, content) in live.values() {
        let nodes = nodes(content);
        if nodes.contains(from) {
            for node in nodes.into_iter().filter(|node| node.kind == target && !visited.contains(node)) {
                *weights.entry(node).or_default() += 1;
            }
        }
    }
    weights
}

/// Every walk with its probability: 1 or 2, 1, and 3 or 4 steps, stuck parts skipped; from a key concept the last ones only.
pub fn walks(live: &Live, start: &Node) -> BTreeMap<Vec<Node>, f64> {
    let mut walks = BTreeMap::new();
    let topic_steps: &[usize] = if start.kind == Kind::Topic { &[1, 2] } else { &[0] };
    let plans = topic_steps.len();
    for &topic_steps in topic_steps {
        for concept_steps in [3, 4] {
            let plan = [(Step::TopicTopic, topic_steps), (Step::TopicConcept, 1), (Step::ConceptConcept, concept_steps)];
            let plan = if start.kind == Kind::Topic { &plan[..] } else { &plan[2..] };
            let share = 0.5 / plans as f64;
            follow(live, vec![start.clone()], plan, share, &mut walks);
        }
    }
    walks
}

fn follow(live: &Live, path: Vec<Node>, plan: &[(Step, usize)], probability: f64, walks: &mut BTreeMap<Vec<Node>, f64>) {
    let Some((&(step, left), rest)) = plan.split_first() else {
        *walks.entry(path).or_default() += probability;
        return;
    };
    if left == 0 {
        return follow(live, path, rest, probability, walks);
    }
    let from = path.last().expect("a path has a start").clone();
    let weights = step_weights(live, &from, step, &path);
    if weights.is_empty() {
        let rest = if step == Step::TopicConcept { &[] } else { rest };
        return follow(live, path, rest, probability, walks);
    }
    let total: u64 = weights.values().sum();
    let mut plan = plan.to_vec();
    plan[0].1 -= 1;
    for (node, weight) in weights {
        let longer = path.iter().cloned().chain([node]).collect();
        follow(live, longer, &plan, probability * weight as f64 / total as f64, walks);
    }
}

/// All documents by similarity to the nodes, best first: (document, shared, union).
pub fn best(live: &Live, walk: WalkId, query: &[Node], need_text: bool) -> Vec<(String, u32, u32)> {
    let query: BTreeSet<Node> = query.iter().cloned().collect();
    let mut found: Vec<(String, u32, u32)> = live
        .iter()
        .filter(|(_, (_, content))| content.text.is_some() || !need_text)
        .map(|(key, (_, content))| {
            let nodes = nodes(content);
            (key.clone(), query.intersection(&nodes).count() as u32, query.union(&nodes).count() as u32)
        })
        .filter(|(_, shared, _)| *shared > 0)
        .collect();
    found.sort_by_key(|(key, shared, union)| {
        // Fractions with small numbers: exact in units of 1/lcm would do as well.
        let fraction = u64::from(*shared) * 1_000_000_000_000 / u64::from(*union);
        (std::cmp::Reverse(fraction), preference(walk, DocumentId::of(key)))
    });
    found
}
