//! The invariants of protocol.md, judged on what `kcat` reads. Numbers are those of the protocol.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use synthllm_operators::aliases::Aliases;
use synthllm_operators::codec;
use synthllm_operators::record::{Extraction, Pointer, Progress, ProgressKey, Provenance, Role, ShardProgress, Version};
use synthllm_operators::subsets::Subsets;
use synthllm_operators::upsert::{Entry, Naming};

use crate::kcat::Record;
use crate::project::Project;
use crate::verdict_on_logs::{samples_written_twice, settled};

/// All that a drained pipeline breaks.
pub fn of(
    project: &Project,
    expected: Option<&BTreeMap<String, Value>>,
    changed: bool,
    withdraw_changed: bool,
) -> Vec<String> {
    let extractions = project.kcat.read("extractions");
    let samples = project.samples();
    let mut wrong = samples_written_twice(project);
    wrong.extend(records_without_outcome(project, &extractions));
    wrong.extend(dead_references(project, &extractions, withdraw_changed));
    wrong.extend(graph_differs(project, &extractions));
    let (own, questions) = settled(&samples);
    if let Some(expected) = expected {
        let (expected_own, expected_questions) = settled(expected);
        if own != expected_own {
            let differ = |one: &BTreeMap<&String, &Value>, other: &BTreeMap<&String, &Value>| {
                one.iter().filter(|(id, sample)| other.get(*id) != Some(*sample)).count()
            };
            let (extra, lost) = (differ(&own, &expected_own), differ(&expected_own, &own));
            wrong.push(format!("6: {lost} samples are lost or different, {extra} are extra or different"));
        }
        // Once a holder may have gone with its document, who held a shared question decides whether it is still asked.
        if !changed && questions != expected_questions {
            wrong.push("6: the questions are not those of an undisturbed run".to_owned());
        }
    }
    wrong
}

/// 1: every record has exactly one counted outcome. Documents and extractions are counted in their logs; combinations, which are
/// trimmed, by those who write them.
fn records_without_outcome(project: &Project, extractions: &[Record]) -> Vec<String> {
    let progress = progress(project);
    let outcomes = |role: Role| -> u64 {
        progress.iter().filter(|((of, _), _)| *of == role).map(|(_, it)| it.outcomes.iter().sum::<u64>()).sum()
    };
    let counted = |role: Role, name: &str| -> u64 {
        let shards = progress.iter().filter(|((of, _), _)| *of == role);
        shards.map(|(_, it)| it.counters.get(name).copied().unwrap_or(0)).sum()
    };
    let combinations: u64 = (1..=3).map(|level| counted(Role::Graph, &format!("combinations_level{level}"))).sum();
    let documents = project.kcat.read("documents").len() as u64;
    let inputs = [(Role::Extract, documents), (Role::Graph, extractions.len() as u64), (Role::Generate, combinations)];
    let wrong = inputs.into_iter().filter(|(role, records)| outcomes(*role) != *records);
    wrong.map(|(role, records)| format!("1: {} has {} outcomes of {records} records", role.name(), outcomes(role))).collect()
}

fn progress(project: &Project) -> BTreeMap<(Role, u32), ShardProgress> {
    let records = project.kcat.live("progress").into_iter();
    let shards = records.filter_map(|(key, value)| match (key.parse(), codec::decode(&value)) {
        (Ok(ProgressKey::Shard(role, shard)), Ok(Progress::Shard(progress))) => Some(((role, shard), progress)),
        _ => None,
    });
    shards.collect()
}

/// 5: live samples stand on live documents, and every version that was ever cited was live once.
fn dead_references(project: &Project, extractions: &[Record], withdraw_changed: bool) -> Vec<String> {
    let (mut live, mut ever) = (BTreeMap::new(), BTreeSet::<(String, Version)>::new());
    for record in extractions {
        match &record.value {
            Some(value) => {
                let extraction: Extraction = codec::decode(value).unwrap();
                ever.insert((record.key_text(), extraction.version));
                live.insert(record.key_text(), extraction);
            }
            None => _ = live.remove(&record.key_text()),
        }
    }
    let mut wrong = Vec::new();
    for record in project.kcat.read("provenance").iter().filter(|record| record.value.is_some()) {
        let provenance: Provenance = codec::decode(record.value.as_deref().unwrap()).unwrap();
        let unknown = provenance.documents.iter().filter(|cited| !ever.contains(*cited));
        wrong.extend(unknown.map(|(document, version)| format!("5: {document} was never live at {version:?}")));
    }
    let provenance = project.kcat.live("provenance");
    if !provenance.keys().eq(project.kcat.live("samples").keys()) {
        wrong.push("the keys of samples and provenance differ".to_owned());
    }
    for (sample, value) in provenance {
        let provenance: Provenance = codec::decode(&value).unwrap();
        let dead = provenance.documents.iter().filter(|(document, version)| {
            let fine = |now: &Extraction| if withdraw_changed { *version == now.version } else { *version >= now.since };
            !live.get(document).is_some_and(fine)
        });
        wrong.extend(dead.map(|(document, version)| format!("5: sample {sample} stands on {document} at {version:?}")));
    }
    wrong
}

/// The graph of the live documents, as the program counts it, is the recount.
fn graph_differs(project: &Project, extractions: &[Record]) -> Vec<String> {
    let naming = Naming { max_concepts: 200, aliases: &Aliases::default(), subsets: Subsets::None };
    let mut live: BTreeMap<String, Option<Entry>> = BTreeMap::new();
    for record in extractions {
        let place = Pointer { partition: record.partition, offset: record.offset };
        let extraction: Option<Extraction> = record.value.as_deref().map(|value| codec::decode(value).unwrap());
        let entry = extraction.map(|extraction| Entry::of(&record.key_text(), place, Some((&extraction).into()), &naming));
        live.insert(record.key_text(), entry);
    }
    let contents = || live.values().flatten().filter_map(|entry| entry.content.as_ref());
    let mut pairs: [BTreeSet<(String, String)>; 3] = Default::default();
    let (mut topics, mut concepts, mut incidences) = (BTreeSet::new(), BTreeSet::new(), 0);
    for content in contents() {
        incidences += content.topics.len() + content.key_concepts.len();
        topics.extend(&content.topics);
        concepts.extend(&content.key_concepts);
        pairs[0].extend(ordered(&content.topics));
        pairs[1].extend(
            content
                .topics
                .iter()
                .flat_map(|topic| content.key_concepts.iter().map(move |concept| (topic.clone(), concept.clone()))),
        );
        pairs[2].extend(ordered(&content.key_concepts));
    }
    let stats: Value = serde_json::from_str(&project.ok(&["graph", "stats", "--json"])).unwrap();
    let recount = [
        ("documents", contents().count()),
        ("topics", topics.len()),
        ("key_concepts", concepts.len()),
        ("incidences", incidences),
        ("topic_topic_edges", pairs[0].len()),
        ("topic_concept_edges", pairs[1].len()),
        ("concept_concept_edges", pairs[2].len()),
    ];
    let wrong = recount.into_iter().filter(|(name, count)| stats[*name] != *count as u64);
    wrong.map(|(name, count)| format!("the graph has {} {name}, a recount {count}", stats[name])).collect()
}

fn ordered(names: &[String]) -> BTreeSet<(String, String)> {
    let pairs = names.iter().flat_map(|one| names.iter().map(move |other| (one.clone(), other.clone())));
    pairs.filter(|(one, other)| one < other).collect()
}
