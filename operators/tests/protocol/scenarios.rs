//! The histories that are explored.

use synthllm_operators::id::Id;
use synthllm_operators::provenance::Withdraw;
use synthllm_operators::record::{Pointer, Role, Version};
use synthllm_operators::revise::Known;

use crate::extract::home_of;
use crate::generate::sample_of;
use crate::log::{Combination, Log, Place, Value};
use crate::state::{Scenario, Zombies};

/// A scenario of one role, without faults.
fn of(name: &'static str, role: Role, script: Vec<(Place, Value)>) -> Scenario {
    let (roles, withdraw) = (vec![role], Withdraw::Deleted);
    let (before, window, starts) = (script.len(), 2, 2);
    Scenario { name, roles, script, before, window, crashes: 0, zombies: Zombies::Never, compactions: 0, withdraw, starts }
}

/// Two documents in partition 0 of `documents`, one in partition 1.
fn document(document: u8, content: Option<u8>) -> (Place, Value) {
    ((Log::Documents, u32::from(document == b'x')), Value::Document(document, content))
}

/// A history of `documents`: `d`, `e` lie in partition 0, `x` in partition 1; `-` deletes.
pub fn documents(name: &'static str, history: &[&str]) -> Scenario {
    let record = |text: &&str| {
        let bytes = text.as_bytes();
        document(bytes[0], (bytes[1] != b'-').then_some(bytes[1]))
    };
    of(name, Role::Extract, history.iter().map(record).collect())
}

/// A document's state with content, the offset of its version, and that of its last insert.
fn known(content: u8, version: u64, since: u64) -> Known {
    let at = |offset: u64| Version { partition: 0, offset };
    Known { content_hash: content.into(), version: at(version), since: at(since), redo: 0, redone: at(since) }
}

/// A record of `extractions`: content, version, since; or a tombstone.
pub fn extraction(document: u8, state: Option<(u8, u64, u64)>) -> (Place, Value) {
    (home_of(document), Value::Extraction(document, state.map(|(content, version, since)| known(content, version, since))))
}

/// A record of partition `shard` of `combinations`: its number, its question, its document, the version of that, and the offset
/// of its extraction.
pub fn combination(shard: u32, number: u8, question: u8, reference: (u8, u64, u64)) -> (Place, Value) {
    let (document, version, offset) = reference;
    let place = Pointer { partition: home_of(document).1, offset };
    let references = vec![(document, Version { partition: 0, offset: version }, place)];
    let fails = question == crate::server::FAILS && number == 0;
    let id = Id(number.into());
    ((Log::Combinations, shard), Value::Combination(Combination { id, references, question, fails, drawn: None }))
}

/// The sample of such a combination.
pub fn sample(shard: u32, number: u8, question: u8, reference: (u8, u64, u64)) -> (Place, Value) {
    let (_, value) = combination(shard, number, question, reference);
    let Value::Combination(combination) = value else { unreachable!("a combination was made") };
    ((Log::Samples, shard), Value::Sample(sample_of(&combination), Some(combination)))
}

/// A history of `extractions`, for graph.
pub fn extractions(name: &'static str, script: Vec<(Place, Value)>) -> Scenario {
    of(name, Role::Graph, script)
}

/// A history of `extractions` and `combinations`, for generate.
pub fn combinations(name: &'static str, script: Vec<(Place, Value)>) -> Scenario {
    of(name, Role::Generate, script)
}
