//! The invariants of the commit protocol, judged on the logs of a pipeline that has drained.
//!
//! Numbers are those of the protocol. The third is judged with the counts of the scripted server, the fourth by the contract of
//! the logs, the sixth by comparing runs.
#![allow(clippy::missing_panics_doc)]

use std::collections::{BTreeMap, BTreeSet};

use synthllm_log::{LogName, Record};
use synthllm_operators::id;
use synthllm_operators::provenance::Withdraw;
use synthllm_operators::record::{Provenance, Role, Sample};

use crate::records::Logs;

/// Everything that the logs of a drained pipeline break; empty when all is well.
pub fn violations(logs: &Logs, withdraw: Withdraw) -> Vec<String> {
    [
        records_without_one_outcome(logs),
        samples_written_twice(&logs.records(LogName::Samples)),
        samples_of_dead_documents(logs, withdraw),
        held_that_is_a_sample_or_dead(logs, withdraw),
        questions_held_twice(&logs.samples()),
        samples_without_provenance(logs),
    ]
    .concat()
}

/// 1: every record below `progress` has exactly one counted outcome, and all records lie below it.
pub fn records_without_one_outcome(logs: &Logs) -> Vec<String> {
    let roles =
        [(Role::Extract, LogName::Documents), (Role::Graph, LogName::Extractions), (Role::Generate, LogName::Combinations)];
    let mut wrong = Vec::new();
    for (role, input) in roles {
        for (shard, end) in (0..).zip(logs.ends(input)) {
            let progress = logs.shard(role, shard);
            let outcomes: u64 = progress.outcomes.iter().sum();
            if progress.position != end || outcomes != end {
                let (position, name) = (progress.position, role.name());
                wrong.push(format!("1: {name}/{shard} stands at {position} of {end} with {outcomes} outcomes"));
            }
        }
    }
    wrong
}

/// 2: no sample is written twice without a tombstone between.
pub fn samples_written_twice(records: &[Record]) -> Vec<String> {
    let mut live = BTreeSet::new();
    let mut wrong = Vec::new();
    for record in records {
        let key = (record.partition, record.key.clone());
        let twice = if record.value.is_some() { !live.insert(key) } else { !live.remove(&key) };
        if twice {
            let key = String::from_utf8_lossy(record.key.as_deref().unwrap_or_default());
            wrong.push(format!("2: sample {key} is written or withdrawn twice, at offset {}", record.offset));
        }
    }
    wrong
}

/// 5: the live samples stand on live documents only.
pub fn samples_of_dead_documents(logs: &Logs, withdraw: Withdraw) -> Vec<String> {
    let provenance = logs.provenance();
    dead_citations(logs, withdraw, "sample", provenance.iter())
}

/// What filters hold back is no sample, and stands on live documents only.
fn held_that_is_a_sample_or_dead(logs: &Logs, withdraw: Withdraw) -> Vec<String> {
    let (held, samples) = (logs.held(), logs.samples());
    let both = held.keys().filter(|id| samples.contains_key(*id)).map(|id| format!("sample {id} is held back, too"));
    let dead = dead_citations(logs, withdraw, "held", held.iter().map(|(id, held)| (id, &held.provenance)));
    both.chain(dead).collect()
}

fn dead_citations<'p>(
    logs: &Logs,
    withdraw: Withdraw,
    what: &str,
    provenance: impl Iterator<Item = (&'p String, &'p Provenance)>,
) -> Vec<String> {
    let live = logs.extractions();
    let citations = provenance.flat_map(|(sample, it)| {
        let alone = it.documents.len() == 1;
        it.documents.iter().map(move |cited| (sample, alone, cited))
    });
    let dead = citations.filter(|(_, alone, (document, version))| {
        live.get(document).is_none_or(|now| match withdraw {
            Withdraw::Deleted => *version < if *alone { now.redone } else { now.since },
            Withdraw::DeletedOrChanged => *version != now.version,
        })
    });
    dead.map(|(sample, _, (document, version))| format!("5: {what} {sample} stands on {document} at {version:?}")).collect()
}

/// 7: no two live samples ask the same question.
pub fn questions_held_twice(samples: &BTreeMap<String, Sample>) -> Vec<String> {
    let mut holders = BTreeMap::new();
    let mut wrong = Vec::new();
    for (key, sample) in samples {
        if let Some(other) = holders.insert(id::question(&sample.question), key) {
            wrong.push(format!("7: samples {other} and {key} both ask {:?}", sample.question));
        }
    }
    wrong
}

/// Samples and provenance are written together.
fn samples_without_provenance(logs: &Logs) -> Vec<String> {
    let (samples, provenance) = (logs.live(LogName::Samples), logs.live(LogName::Provenance));
    let same = samples.keys().eq(provenance.keys());
    if same { Vec::new() } else { vec!["the keys of samples and provenance differ".to_owned()] }
}

/// What two runs must agree upon: the questions, and the whole sample where a question is not contested. Which of several
/// combinations holds a contested question is a matter of timing (protocol.md, invariant 6).
pub fn comparable(samples: &BTreeMap<String, Sample>, contested: impl Fn(&str) -> bool) -> BTreeMap<String, Option<Sample>> {
    let whole = |sample: &Sample| (!contested(&sample.question)).then(|| sample.clone());
    samples.values().map(|sample| (sample.question.clone(), whole(sample))).collect()
}
