//! All figures of the graph, per CPU-second on one worker: `cargo bench -p synthllm-operators --bench graph`.
//!
//! Two corpora: ten concepts a document from Zipf's law, and the concepts of a real corpus in its own sizes. Beside the operators
//! stand the least that a program by hand could do (`minimum.rs`): maps and vectors, no dataflow, no retractions; and what
//! differential dataflow and Pathway make of the same documents (`peers.rs`). The last column tells how many times as fast ours is.

mod corpus;
mod meter;
mod minimum;
mod peers;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use corpus::Corpus;
use meter::{report, report_beside, report_bytes, report_head, resident_bytes};
use minimum::Minimum;
use synthllm_operators::graph::load;
use synthllm_operators::id::{ConceptId, Kind};
use synthllm_operators::index::{Index, Weights};
use synthllm_operators::matching::{Match, best_in_shard, keep_best};
use synthllm_operators::stats::stats;
use synthllm_operators::upsert::Entry;
use synthllm_operators::walk::{Settings, Start, Walker, walk};
use timely::dataflow::InputHandle;
use timely::dataflow::operators::{Input, Inspect, Probe};
use timely::worker::Worker;

const SHARDS: u32 = 8;
const BATCH: usize = 10_000;
const STEPS: usize = 1_000_000;
const MATCHES: usize = 500;
const CORPORA: [&str; 3] = ["zipf", "corpus-math-mixed.jsonl.zst", "concepts-library-cc0.jsonl.zst"];

type Shared<T> = Rc<RefCell<T>>;

/// Each corpus is measured in a process of its own, so that nobody's freed memory is used again.
fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).find(|argument| CORPORA.contains(argument)) {
        Some(corpus) => measure(corpus),
        None if arguments.iter().any(|argument| argument == "--bench") => measure_all(),
        None => println!("only `cargo bench` measures"),
    }
}

fn measure_all() {
    report_head();
    let program = std::env::current_exe().expect("a running program has a path");
    for corpus in CORPORA {
        let status = std::process::Command::new(&program).arg(corpus).status();
        assert!(status.is_ok_and(|status| status.success()), "measuring {corpus} failed");
    }
}

fn measure(corpus: &str) {
    let found = if corpus == "zipf" { Some(Corpus::zipf()) } else { Corpus::file(corpus) };
    match found {
        None => println!("SKIPPED: {corpus} is not there"),
        Some(library) if library.topics.is_empty() => bench_stats(&library),
        Some(corpus) => timely::execute_directly(move |worker| bench(worker, &corpus)),
    }
}

fn bench(worker: &mut Worker, corpus: &Corpus) {
    println!("\n{}", corpus.name);
    let settings = Settings { shards: SHARDS, match_cap: u64::MAX, ..Settings::default() };
    let before = resident_bytes();
    let (index, weights) = million(corpus);
    report_bytes("memory per document at 10^6", resident_bytes().saturating_sub(before) / 1_000_000);
    report("settle 10^6 documents", 1_000_000, || index.borrow_mut().settle());
    let topics = topics(corpus, &index);
    let (walkers, steps) = walk_a_million_steps(worker, &topics, &index, &weights, settings);
    let match_all = || match_all(&index.borrow(), &walkers[..MATCHES], &settings);
    let (matched, matches) = report("exact matches at 10^6", MATCHES, match_all);
    drop((index, weights));
    by_hand_at_a_million(corpus, &walkers, &matched, [steps, matches]);
    let loads = load_and_replace(worker, corpus, settings);
    load_and_replace_by_hand(corpus, loads);
    peers::differential(worker, corpus, loads);
    if corpus.is_made() {
        peers::pathway(corpus, loads);
    }
}

/// Loads 200 k documents through the dataflow, then replaces 100 k of them; returns how many per CPU-second.
fn load_and_replace(worker: &mut Worker, corpus: &Corpus, settings: Settings) -> [f64; 2] {
    let index = Rc::new(RefCell::new(Index::new(SHARDS)));
    let (mut entries, mut starts) = (InputHandle::<u64, _>::new(), InputHandle::<u64, _>::new());
    let probe = worker.dataflow(|scope| {
        let loading = load(scope.input_from(&mut entries), &index, settings, false);
        loading.draw(scope.input_from(&mut starts)).probe().0
    });
    [("load documents", 0, 200_000), ("replace documents", 1, 100_000)].map(|(name, round, count)| {
        let mut documents: Vec<Entry> = corpus.documents(round).take(count).collect();
        let load = || {
            for batch in documents.chunks_mut(BATCH) {
                let mut batch: Vec<Entry> = batch.iter_mut().map(take).collect();
                entries.send_batch(&mut batch);
                entries.advance_to(entries.time() + 1);
                starts.advance_to(*entries.time());
                worker.step_while(|| probe.less_than(entries.time()));
            }
        };
        report(name, count, load).1
    })
}

fn take(entry: &mut Entry) -> Entry {
    let none = Entry { document: String::new(), partition: 0, offset: 0, content: None };
    std::mem::replace(entry, none)
}

fn load_and_replace_by_hand(corpus: &Corpus, [load, replace]: [f64; 2]) {
    let mut minimum = Minimum::default();
    let rounds = [("  by hand: load documents", 200_000, load), ("  by hand: replace documents", 100_000, replace)];
    for (round, (name, count, ours)) in (0..).zip(rounds) {
        let documents: Vec<Entry> = corpus.documents(round).take(count).collect();
        report_beside(name, count, ours, || documents.into_iter().for_each(|entry| minimum.upsert(entry)));
    }
}

/// The index and the owners' weights of a million documents.
fn million(corpus: &Corpus) -> (Shared<Index>, Shared<Weights>) {
    let (mut index, mut weights) = (Index::new(SHARDS), Weights::new(SHARDS, Kind::Topic));
    for (number, entry) in corpus.documents(0).take(1_000_000).enumerate() {
        index.upsert(&entry);
        if number % BATCH == BATCH - 1 {
            index.take_changed().into_iter().for_each(|weight| weights.set(weight));
        }
    }
    (Rc::new(RefCell::new(index)), Rc::new(RefCell::new(weights)))
}

fn topics(corpus: &Corpus, index: &Shared<Index>) -> Vec<ConceptId> {
    let ids = corpus.topics.iter().map(|name| ConceptId::of(Kind::Topic, name));
    ids.filter(|&topic| index.borrow().node(topic).is_some()).collect()
}

/// Walks from the topics, round by round, until a million steps are made; returns the complete walks, and steps per CPU-second.
fn walk_a_million_steps(
    worker: &mut Worker,
    topics: &[ConceptId],
    index: &Shared<Index>,
    weights: &Shared<Weights>,
    settings: Settings,
) -> (Vec<Walker>, f64) {
    let walked = Rc::new(RefCell::new(Vec::<Walker>::new()));
    let mut starts = InputHandle::<u64, _>::new();
    let (sink, steps) = (Rc::clone(&walked), Rc::new(Cell::new(0)));
    let made = Rc::clone(&steps);
    let probe = worker.dataflow(|scope| {
        let walked = walk(scope.input_from(&mut starts), index, weights, settings);
        let take = move |walker: &Walker| {
            made.set(made.get() + walker.nodes().len() - 1);
            sink.borrow_mut().push(walker.clone());
        };
        walked.inspect(take).probe().0
    });
    let ((), rate) = report("typed walk steps at 10^6 (sharded dataflow)", STEPS, || {
        let mut owed = (0..).flat_map(|start| topics.iter().map(move |&node| Start { node, kind: Kind::Topic, start }));
        while steps.get() < STEPS {
            owed.by_ref().take(BATCH).for_each(|start| starts.send(start));
            starts.advance_to(starts.time() + 1);
            worker.step_while(|| probe.less_than(starts.time()));
        }
    });
    let rejections: u32 = walked.borrow().iter().map(|walker| walker.rejections).sum();
    let stuck = walked.borrow().iter().filter(|walker| walker.key_concepts() < settings.min_key_concepts).count();
    println!("    {} walks, {rejections} visited concepts drawn, {stuck} stuck", walked.borrow().len());
    let complete = |walker: &Walker| walker.key_concepts() >= settings.min_key_concepts;
    (walked.take().into_iter().filter(complete).collect(), rate)
}

fn match_all(index: &Index, walkers: &[Walker], settings: &Settings) -> Vec<Vec<Match>> {
    let best = |walker: &Walker| {
        let best = (0..SHARDS).flat_map(|shard| best_in_shard(index, shard, walker.id, walker.nodes(), settings).0);
        let mut best: Vec<Match> = best.collect();
        keep_best(&mut best);
        best
    };
    walkers.iter().map(best).collect()
}

fn by_hand_at_a_million(corpus: &Corpus, walkers: &[Walker], matched: &[Vec<Match>], [steps, matches]: [f64; 2]) {
    let mut minimum = Minimum::default();
    corpus.documents(0).take(1_000_000).for_each(|entry| minimum.upsert(entry));
    report_beside("  by hand: walk steps at 10^6", STEPS, steps, || minimum.walk(STEPS));
    let (some, rows) = (MATCHES / 10, minimum.rows());
    let found = report_beside("  by hand: exact matches at 10^6", some, matches, || {
        walkers[..some].iter().map(|walker| minimum.best(&rows, walker)).collect::<Vec<_>>()
    });
    for (found, matched) in found.iter().zip(matched) {
        let matched: Vec<&str> = matched.iter().map(|matched| matched.document.as_str()).collect();
        assert_eq!(found, &matched, "the matches by hand are the same");
    }
}

fn bench_stats(corpus: &Corpus) {
    println!("\n{}", corpus.name);
    let mut index = Index::new(SHARDS);
    let count = corpus.len();
    let documents: Vec<Entry> = corpus.documents(0).take(count).collect();
    report("load documents (index alone)", count, || {
        for entry in &documents {
            index.upsert(entry);
        }
    });
    let (stats, _) = report("graph stats: distinct edges", 1, || stats(&index));
    println!("    {stats:?}");
}
