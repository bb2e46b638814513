//! Visits every state that a model can reach, depth first, each once; a fault is possible between any two steps.

use std::collections::HashSet;
use std::hash::Hash;

use xxhash_rust::xxh3::Xxh3;

/// A step, for the path to a broken state: what was done, in which shard, about which record.
pub type Step = (&'static str, usize, u64);

/// The steps that can be taken in a state, each with the state after it.
pub type Next<S> = Vec<(Step, S)>;

/// A protocol as a state machine.
pub trait Model {
    /// Everything durable, and the processes.
    type State: Hash;

    /// The state at first.
    fn first(&self) -> Self::State;

    /// The steps of the protocol. A state without any is final.
    fn steps(&self, state: &Self::State, next: &mut Next<Self::State>);

    /// What may go wrong now.
    fn faults(&self, state: &Self::State, next: &mut Next<Self::State>);

    /// Which invariant is broken, if one is.
    fn judge(&self, state: &Self::State, is_final: bool) -> Result<(), &'static str>;
}

/// What was found.
pub struct Report {
    /// Distinct states that were visited.
    pub states: usize,
    /// Those without a next step.
    pub finals: usize,
    /// The first broken invariant, with the steps that led to it.
    pub broken: Option<(&'static str, Vec<Step>)>,
}

/// Explores until all states are visited or one is broken.
pub fn explore<M: Model>(model: &M) -> Report {
    let mut report = Report { states: 0, finals: 0, broken: None };
    let (mut seen, mut path) = (HashSet::new(), Vec::new());
    let mut stack = vec![(0, ("first", 0, 0), model.first())];
    while let Some((depth, step, state)) = stack.pop() {
        if !seen.insert(fingerprint(&state)) {
            continue;
        }
        path.truncate(depth);
        path.push(step);
        let mut next = Vec::new();
        model.steps(&state, &mut next);
        report.finals += usize::from(next.is_empty());
        if let Err(what) = model.judge(&state, next.is_empty()) {
            report.broken = Some((what, path));
            break;
        }
        model.faults(&state, &mut next);
        stack.extend(next.into_iter().map(|(step, state)| (depth + 1, step, state)));
    }
    report.states = seen.len();
    report
}

fn fingerprint(state: &impl Hash) -> u128 {
    let mut hasher = Xxh3::new();
    state.hash(&mut hasher);
    hasher.digest128()
}

/// Explores a model whose rules all hold: nothing may break, and at least so many states must have been visited.
pub fn holds(name: &str, model: &impl Model, at_least: usize) {
    let report = explore(model);
    println!("{name}: {} states, {} of them final", report.states, report.finals);
    assert!(report.broken.is_none(), "{name}: {:?}", report.broken);
    assert!(report.finals > 0, "{name} never ends");
    assert!(report.states >= at_least, "{name}: only {} states", report.states);
}

/// Explores a model without one rule: this invariant must break.
pub fn breaks(name: &str, model: &impl Model, invariant: &str) {
    let report = explore(model);
    let Some((what, path)) = report.broken else {
        panic!("{name}: nothing broke in {} states", report.states);
    };
    println!("{name}: {what} after {} states: {path:?}", report.states);
    assert!(what.starts_with(invariant), "{name}: {what}: {path:?}");
}
