//! Runs the graph fragment on some workers, and histories to run it on.
#![allow(dead_code, reason = "each test uses the part of the harness that it needs")]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use synthllm_operators::edges::{Element, counts};
use synthllm_operators::graph::{Frequency, Outcome, load};
use synthllm_operators::id::{ConceptId, Kind};
use synthllm_operators::index::Index;
use synthllm_operators::record::{Node, Pointer};
use synthllm_operators::upsert::{Content, Entry};
use synthllm_operators::walk::{Settings, Start};
use timely::dataflow::InputHandle;
use timely::dataflow::operators::{Input, Inspect, Probe};
use timely::progress::Stamp;

pub const SHARDS: u32 = 3;

/// What is fed in at one epoch.
#[derive(Clone, Default, Debug)]
pub struct Epoch {
    pub entries: Vec<Entry>,
    pub starts: Vec<Start>,
}

/// What came out, by epoch; the outcomes in order of their starts.
#[derive(Clone, Default, PartialEq, Debug)]
pub struct Output {
    pub outcomes: BTreeMap<u64, Vec<Outcome>>,
    pub frequencies: BTreeMap<u64, BTreeMap<ConceptId, u64>>,
    /// Counts of nodes and edges after each epoch that changed them: (element, epoch, difference).
    pub changes: Vec<(Element, u64, isize)>,
}

/// Feeds all epochs at once: what keeps them apart is the fragment alone.
pub fn run(workers: usize, epochs: &[Epoch], settings: Settings) -> Output {
    let (epochs, output) = (epochs.to_vec(), Arc::new(Mutex::new(Output::default())));
    let shared = Arc::clone(&output);
    let guards = timely::execute(timely::Config::process(workers), move |worker| {
        let index = Rc::new(RefCell::new(Index::of_worker(settings.shards, worker.index(), worker.peers())));
        let (mut entries, mut starts) = (InputHandle::<u64, _>::new(), InputHandle::<u64, _>::new());
        let output = Arc::clone(&shared);
        let probe = worker.dataflow(|scope| {
            let loading = load(scope.input_from(&mut entries), &index, settings, true);
            let (told, changed) = (Arc::clone(&output), Arc::clone(&output));
            loading.frequencies.clone().inspect_core(move |event| {
                let Ok((stamp, batch)) = event else { return };
                let mut output = told.lock().expect("no worker panicked");
                for &Frequency { node, documents } in batch {
                    let before = output.frequencies.entry(epoch_of(stamp)).or_default().insert(node, documents);
                    assert_eq!(before, None, "one owner tells of a node, once an epoch");
                }
            });
            counts(loading.mentions.clone()).inspect(move |change| {
                changed.lock().expect("no worker panicked").changes.push(change.clone());
            });
            let outcomes = loading.draw(scope.input_from(&mut starts)).inspect_core(move |event| {
                let Ok((stamp, batch)) = event else { return };
                output
                    .lock()
                    .expect("no worker panicked")
                    .outcomes
                    .entry(epoch_of(stamp))
                    .or_default()
                    .extend_from_slice(batch);
            });
            outcomes.probe().0
        });
        if worker.index() == 0 {
            for epoch in &epochs {
                entries.send_batch(&mut epoch.entries.clone());
                starts.send_batch(&mut epoch.starts.clone());
                entries.advance_to(entries.time() + 1);
                starts.advance_to(starts.time() + 1);
            }
        }
        entries.close();
        starts.close();
        worker.step_or_park_while(None, || !probe.done());
    });
    guards.expect("timely starts").join().into_iter().for_each(|joined| joined.expect("no worker panicked"));
    let mut output = output.lock().expect("no worker panicked").clone();
    output.outcomes.values_mut().for_each(|outcomes| outcomes.sort_by_key(|outcome| (outcome.node, outcome.start)));
    output.changes.sort();
    output
}

fn epoch_of(stamp: &Stamp<u64>) -> u64 {
    *stamp.iter().next().expect("batches carry an epoch")
}

/// `count` starts from each of the nodes.
pub fn starts<'a>(nodes: impl IntoIterator<Item = &'a Node>, count: u64) -> Vec<Start> {
    let each = |node: &Node| (ConceptId::of(node.kind, &node.name), node.kind);
    nodes.into_iter().map(each).flat_map(|(node, kind)| (0..count).map(move |start| Start { node, kind, start })).collect()
}

/// Entries of documents with few ids and few concepts, so that everything collides; a document's partition follows from its id.
pub fn history(changes: usize) -> impl Strategy<Value = Vec<Entry>> {
    let names = |prefix: &'static str, most| {
        let name = move |set: std::collections::BTreeSet<u8>| set.iter().map(|name| format!("{prefix}{name}")).collect();
        prop::collection::btree_set(0..9u8, 0..most).prop_map(name)
    };
    let content = prop::option::weighted(0.75, (names("t", 4), names("k", 8), any::<bool>()));
    prop::collection::vec((0..12u8, content), 0..changes).prop_map(|changes| {
        let mut offsets = [0; SHARDS as usize];
        changes.into_iter().map(|(document, content)| change(document, content, &mut offsets)).collect()
    })
}

fn change(document: u8, content: Option<(Vec<String>, Vec<String>, bool)>, offsets: &mut [u64]) -> Entry {
    let partition = u32::from(document) % SHARDS;
    let here = Pointer { partition, offset: offsets[partition as usize] };
    offsets[partition as usize] += 1;
    let content = content.map(|(topics, key_concepts, has_text)| Content {
        version: here,
        text: has_text.then_some(here),
        topics,
        key_concepts,
        capped: false,
    });
    Entry { document: format!("d{document}"), partition, offset: here.offset, content }
}

/// All nodes that [`history`] can mention.
pub fn all_nodes(kind: Kind) -> Vec<Node> {
    let prefix = if kind == Kind::Topic { "t" } else { "k" };
    (0..9).map(|name| Node { kind, name: format!("{prefix}{name}") }).collect()
}
