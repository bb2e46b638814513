//! Searches the states of a scenario: all of them, or those on random ways.

use std::collections::{BTreeSet, HashSet};

use synthllm_operators::draw::{Choice, Draw, WalkId};
use synthllm_operators::id::ConceptId;

use crate::check::check_caught_up;
use crate::rules::Rules;
use crate::state::{Event, Scenario, State, Step, Text};

/// What a search has found.
#[derive(Debug)]
pub struct Found {
    /// States that were looked at, and those of them in which everything was caught up.
    pub states: usize,
    pub ends: usize,
    /// What has happened on the ways between them.
    pub events: BTreeSet<Event>,
    /// The first broken invariant, with the steps to it.
    pub broken: Option<String>,
}

/// Looks at all states, or until an invariant is broken.
pub fn explore(scenario: &Scenario, rules: Rules) -> Found {
    let mut found = Found { states: 0, ends: 0, events: BTreeSet::new(), broken: None };
    let first = State::new(scenario.clone(), rules);
    let mut text = Text::default();
    let mut seen = HashSet::from([first.fingerprint(&mut text)]);
    let mut path: Vec<Visit> = vec![visit(None, first, &mut found)];
    while let Some((_, state, steps)) = path.last_mut() {
        let Some(step) = steps.pop() else {
            path.pop();
            continue;
        };
        let next = state.take(step).and_then(|next| {
            found.events.extend(State::event(step, &next));
            if !seen.insert(next.fingerprint(&mut text)) {
                return Ok(None);
            }
            let entry = visit(Some(step), next, &mut found);
            let caught_up = if entry.1.steps().is_empty() { check_caught_up(&entry.1) } else { Ok(()) };
            caught_up.map(|()| Some(entry))
        });
        match next {
            Ok(Some(entry)) => path.push(entry),
            Ok(None) => (),
            Err(problem) => {
                let steps = path.iter().filter_map(|(step, ..)| *step).chain([step]);
                let way: Vec<String> = steps.map(|step| format!("{step:?}")).collect();
                found.broken = Some(format!("{problem}\n  after {}", way.join("\n        ")));
                return found;
            }
        }
    }
    found
}

/// The step that was taken to a state, and the steps that are still to be taken from there.
type Visit = (Option<Step>, State, Vec<Step>);

fn visit(step: Option<Step>, state: State, found: &mut Found) -> Visit {
    found.states += 1;
    let mut steps = state.steps();
    found.ends += usize::from(steps.is_empty());
    steps.extend(state.faults());
    (step, state, steps)
}

/// Goes one random way until everything is caught up. Returns how many steps it took.
pub fn walk(scenario: &Scenario, rules: Rules, seed: u64) -> Result<usize, String> {
    let mut state = State::new(scenario.clone(), rules);
    let mut count: u64 = 0;
    loop {
        let mut draw = Draw::new(WalkId { seed, node: ConceptId(0), start: count }, 0, 0, Choice::Plan);
        let (steps, faults) = (state.steps(), state.faults());
        if steps.is_empty() {
            return check_caught_up(&state).map(|()| count as usize).map_err(|problem| format!("{problem} (seed {seed})"));
        }
        let choices = if !faults.is_empty() && draw.below(40) == 0 { faults } else { steps };
        let step = choices[draw.below(choices.len() as u64) as usize];
        state = state.take(step).map_err(|problem| format!("{problem} (seed {seed}, after {count} steps)"))?;
        count += 1;
        assert!(count < 100_000, "no end in sight, seed {seed}");
    }
}
