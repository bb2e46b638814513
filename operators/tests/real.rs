//! On real concept sets, nodes, incidences and distinct edges equal a plain recount.

use std::collections::HashSet;
use std::io::BufRead;
use std::path::PathBuf;

use synthllm_operators::id::{ConceptId, Kind};
use synthllm_operators::index::Index;
use synthllm_operators::normal::concept_name;
use synthllm_operators::record::Pointer;
use synthllm_operators::stats::{GraphStats, stats};
use synthllm_operators::upsert::{Content, Entry};

const SHARDS: u32 = 8;

/// The entries of a corpus; `None` where the data is not there.
fn entries(file: &str) -> Option<Vec<Entry>> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data").join(file);
    let Ok(data) = std::fs::File::open(&path) else {
        println!("SKIPPED: {file} is not there");
        return None;
    };
    let lines = std::io::BufReader::new(zstd::stream::read::Decoder::new(data).expect("it is zstd")).lines();
    Some((0..).zip(lines).map(|(number, line)| entry(number, &line.expect("the file is whole"))).collect())
}

fn entry(number: u64, line: &str) -> Entry {
    let document: serde_json::Value = serde_json::from_str(line).expect("lines are JSON");
    let here = Pointer { partition: (number % u64::from(SHARDS)) as u32, offset: number };
    let (topics, key_concepts) = (names(&document["topics"]), names(&document["concepts"]));
    let content = Content { version: here, text: None, topics, key_concepts, capped: false };
    let id = document["id"].as_str().expect("documents have ids").to_owned();
    Entry { document: id, partition: here.partition, offset: here.offset, content: Some(content) }
}

fn names(list: &serde_json::Value) -> Vec<String> {
    let mut seen = HashSet::new();
    let names = list.as_array().into_iter().flatten().filter_map(serde_json::Value::as_str).map(concept_name);
    names.filter(|name| seen.insert(name.clone())).collect()
}

/// Every pair of every document into one set.
fn recount(entries: &[Entry]) -> GraphStats {
    let (mut nodes, mut edges, mut incidences) = (HashSet::new(), HashSet::new(), 0);
    for content in entries.iter().filter_map(|entry| entry.content.as_ref()) {
        let ids = |kind, names: &[String]| names.iter().map(|name| (kind, ConceptId::of(kind, name))).collect::<Vec<_>>();
        let mut own = [ids(Kind::Topic, &content.topics), ids(Kind::KeyConcept, &content.key_concepts)].concat();
        own.sort_by_key(|(kind, id)| (*kind == Kind::KeyConcept, *id));
        incidences += own.len() as u64;
        for (place, node) in own.iter().enumerate() {
            nodes.insert(*node);
            edges.extend(own[place + 1..].iter().map(|other| (*node, *other)));
        }
    }
    let nodes_of = |kind| nodes.iter().filter(|node| node.0 == kind).count() as u64;
    let edges_of = |one, other| edges.iter().filter(|edge| (edge.0.0, edge.1.0) == (one, other)).count() as u64;
    GraphStats {
        documents: entries.len() as u64,
        topics: nodes_of(Kind::Topic),
        key_concepts: nodes_of(Kind::KeyConcept),
        incidences,
        topic_topic_edges: edges_of(Kind::Topic, Kind::Topic),
        topic_concept_edges: edges_of(Kind::Topic, Kind::KeyConcept),
        concept_concept_edges: edges_of(Kind::KeyConcept, Kind::KeyConcept),
    }
}

fn load(index: &mut Index, entries: &[Entry], later: u64) {
    for entry in entries {
        index.upsert(&Entry { offset: entry.offset + later, ..entry.clone() });
    }
}

/// Loads all, removes every third document and brings it back: the counts must be those of a plain recount, each time.
fn assert_counts_of(file: &str, expected: impl Fn(&GraphStats)) {
    let Some(entries) = entries(file) else { return };
    let mut index = Index::new(SHARDS);
    load(&mut index, &entries, 0);
    let all = recount(&entries);
    expected(&all);
    assert_eq!(stats(&index), all);

    let third = |wanted: bool| {
        let chosen = entries.iter().enumerate().filter(move |(number, _)| (number % 3 == 0) == wanted);
        chosen.map(|(_, entry)| entry.clone()).collect::<Vec<_>>()
    };
    let gone: Vec<Entry> = third(true).into_iter().map(|entry| Entry { content: None, ..entry }).collect();
    load(&mut index, &gone, 1_000_000);
    assert_eq!(stats(&index), recount(&third(false)));
    load(&mut index, &third(true), 2_000_000);
    assert_eq!(stats(&index), all);
}

#[test]
fn the_library_counts_like_a_recount() {
    assert_counts_of("concepts-library-cc0.jsonl.zst", |all| {
        assert_eq!(all.documents, 355_775);
        assert!((1_700_000..1_900_000).contains(&all.concept_concept_edges), "{all:?}");
    });
}

#[test]
fn the_mathematics_corpus_counts_like_a_recount() {
    assert_counts_of("corpus-math-mixed.jsonl.zst", |all| {
        assert_eq!(all.documents, 22_364);
        assert!(all.topic_topic_edges > 0, "3,660 documents have two topics: {all:?}");
    });
}
