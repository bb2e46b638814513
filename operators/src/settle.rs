//! Draws at a fixed state of the graph, in order, up to a limit: `graph draw`, and the law that settled draws obey.
//!
//! Input: the live entries, and what to draw. Output: outcomes in the order (start number, hash(seed, node)).
//! Law: a function of the live documents, the settings and the seed; a smaller limit gives a prefix.
//! Cost: at most two batches more than the limit needs.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::mpsc;

use timely::dataflow::InputHandle;
use timely::dataflow::operators::{Input, Inspect, Probe};
use timely::worker::Worker;

use crate::graph::{Outcome, load};
use crate::index::Index;
use crate::limit::Limit;
use crate::schedule::{Quota, Schedule};
use crate::upsert::Entry;
use crate::walk::{Settings, Start};

/// Starts are drawn in batches of at least this many.
const SMALLEST_BATCH: u64 = 64;

/// Loads the entries, and draws until the quotas are used up or `limit` combinations are found, in one thread.
pub fn draw_all(entries: Vec<Entry>, settings: Settings, quota: Quota, limit: Option<u64>) -> Vec<Outcome> {
    timely::execute_directly(move |worker| draw_on(worker, entries, settings, quota, limit))
}

fn draw_on(
    worker: &mut Worker,
    mut entries: Vec<Entry>,
    settings: Settings,
    quota: Quota,
    limit: Option<u64>,
) -> Vec<Outcome> {
    let index = Rc::new(RefCell::new(Index::new(settings.shards)));
    let mut entry_input = InputHandle::<u64, _>::new();
    let mut start_input = InputHandle::<u64, _>::new();
    let (frequency_sender, frequencies) = mpsc::channel();
    let (outcome_sender, outcomes) = mpsc::channel();
    let probe = worker.dataflow(|scope| {
        let loading = load(scope.input_from(&mut entry_input), &index, settings, false);
        loading.frequencies.clone().inspect(move |frequency| send(&frequency_sender, *frequency));
        let starts = scope.input_from(&mut start_input);
        let (probe, _) =
            loading.draw(starts).inspect(move |outcome: &Outcome| send(&outcome_sender, outcome.clone())).probe();
        probe
    });
    entry_input.send_batch(&mut entries);
    entry_input.close();
    start_input.advance_to(1);
    worker.step_while(|| probe.less_than(&1));

    let mut schedule = Schedule::new(settings.seed, quota);
    for frequency in frequencies.try_iter() {
        schedule.set_documents(frequency.node, frequency.documents);
    }
    let mut accepting = Limit::new(settings.seed, limit);
    let mut accepted = Vec::new();
    while !accepting.is_reached() && !schedule.is_done() {
        let batch = accepting.remaining().map_or(u64::MAX, |remaining| (2 * remaining).max(SMALLEST_BATCH));
        for order in std::iter::from_fn(|| schedule.next()).take(usize::try_from(batch).unwrap_or(usize::MAX)) {
            start_input.send(Start { node: order.node, kind: settings.starts, start: order.start });
        }
        start_input.advance_to(start_input.time() + 1);
        worker.step_while(|| probe.less_than(start_input.time()));
        for outcome in outcomes.try_iter() {
            accepting.offer(outcome);
        }
        accepted.extend(accepting.accept(schedule.peek()));
    }
    accepted
}

fn send<T>(sender: &mpsc::Sender<T>, value: T) {
    sender.send(value).expect("the receiver lives as long as the dataflow");
}
