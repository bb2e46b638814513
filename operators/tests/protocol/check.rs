//! What must hold when everything is caught up.

use std::collections::BTreeMap;

use synthllm_operators::record::Role;
use synthllm_operators::revise::Known;

use crate::generate::is_owed_nothing;
use crate::log::{Log, Logs, Value};
use crate::process::input_of;
use crate::rules::Rules;
use crate::server;
use crate::state::State;

/// The live documents, as `extractions` says to its end.
pub fn live(logs: &Logs) -> BTreeMap<u8, Known> {
    let mut live = BTreeMap::new();
    for (_, value) in [0, 1].into_iter().flat_map(|partition| logs.read((Log::Extractions, partition), 0)) {
        match value {
            Value::Extraction(document, Some(known)) => _ = live.insert(*document, *known),
            Value::Extraction(document, None) => _ = live.remove(document),
            _ => (),
        }
    }
    live
}

/// Checks a state in which nothing is left to do.
pub fn check_caught_up(state: &State) -> Result<(), String> {
    let roles = &state.scenario.roles;
    for owner in roles.iter().flat_map(|&role| [(role, 0), (role, 1)]) {
        let (position, end) = (state.logs.progress(owner).0, state.logs.end(input_of(owner)));
        let rest = state.logs.read(input_of(owner), position).count();
        ensure(rest == 0, || format!("no step is left, and {owner:?} stands at {position} of {end}"))?;
    }
    let quiet = state.present.as_ref().is_some_and(|process| process.graph.is_quiet());
    ensure(quiet, || "no step is left, and graph is in a settlement".to_owned())?;
    if roles.contains(&Role::Extract) {
        check_extractions(state)?;
    }
    if roles.contains(&Role::Graph) {
        check_draws(state)?;
    }
    if roles.contains(&Role::Generate) {
        check_samples(state)?;
    }
    Ok(())
}

fn ensure(holds: bool, problem: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(problem()) }
}

/// The live extractions are those of the last record of each document, built from scratch.
fn check_extractions(state: &State) -> Result<(), String> {
    let mut wanted: BTreeMap<u8, u8> = BTreeMap::new();
    for (_, value) in &state.scenario.script {
        match value {
            Value::Document(document, Some(content)) if !server::is_undecodable(*content) && *content != server::FAILS => {
                wanted.insert(*document, *content);
            }
            Value::Document(document, _) => _ = wanted.remove(document),
            _ => (),
        }
    }
    let found: BTreeMap<u8, u8> = live(&state.logs).iter().map(|(id, known)| (*id, known.content_hash as u8)).collect();
    ensure(found == wanted, || format!("invariant 1: {found:?} live, from scratch it would be {wanted:?}"))
}

/// Every start below `starts` has one outcome, and the combinations of a settlement were drawn on one live set.
fn check_draws(state: &State) -> Result<(), String> {
    let mut walked: BTreeMap<_, Vec<u64>> = BTreeMap::new();
    let mut starts = BTreeMap::new();
    for (_, value) in [0, 1].into_iter().flat_map(|partition| state.logs.ever((Log::Progress, partition))) {
        match value {
            Value::Walked(node, start) => walked.entry(*node).or_default().push(*start),
            Value::Starts(node, started) => _ = starts.insert(*node, *started),
            _ => (),
        }
    }
    for (node, started) in starts {
        let mut made = walked.remove(&node).unwrap_or_default();
        made.sort_unstable();
        let wanted: Vec<u64> = (0..started).collect();
        ensure(made == wanted, || format!("starts of {node:?} say {started}, and {made:?} have their outcome"))?;
    }
    let mut sights: BTreeMap<u64, u128> = BTreeMap::new();
    for (_, value) in [0, 1].into_iter().flat_map(|partition| state.logs.ever((Log::Combinations, partition))) {
        if let Value::Combination(combination) = value
            && let Some((settlement, digest)) = combination.drawn
        {
            let first = *sights.entry(settlement).or_insert(digest);
            ensure(first == digest, || format!("invariant 6: settlement {settlement} was drawn on two live sets"))?;
        }
    }
    Ok(())
}

/// The live samples stand on live documents, no two ask the same, and no question is lost to one that failed.
fn check_samples(state: &State) -> Result<(), String> {
    let (live, samples) = (live(&state.logs), &state.ghost.samples);
    let withdraw = state.scenario.withdraw;
    let dead = samples.iter().find(|(_, combination)| !is_owed_nothing(combination, &live, withdraw, Rules::default()));
    ensure(dead.is_none(), || format!("invariant 5: {dead:?} stands on a document that is gone"))?;
    let mut questions = BTreeMap::new();
    for (sample, combination) in samples {
        let earlier = questions.insert(combination.question, sample);
        ensure(earlier.is_none(), || format!("invariant 7: {sample} and {earlier:?} ask the same"))?;
    }
    let ghost = &state.ghost;
    let lost = ghost.dropped.iter().find(|it| ghost.failed.contains(&it.question) && !ghost.sampled.contains(&it.question));
    ensure(lost.is_none(), || format!("{lost:?} was dropped as a duplicate of one that failed"))
}
