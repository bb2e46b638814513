//! What others make of the same documents: differential dataflow, which counts every node and edge and keeps nothing else, and
//! Pathway, which keeps the counts, where a Python has it.

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use synthllm_operators::edges::counts;
use synthllm_operators::id::{DocumentId, Kind};
use synthllm_operators::record::Node;
use synthllm_operators::upsert::{Content, Entry, Mentions};
use timely::dataflow::InputHandle;
use timely::dataflow::operators::{Input, Probe};
use timely::worker::Worker;

use crate::BATCH;
use crate::corpus::Corpus;
use crate::meter::{report_beside, report_seconds};

/// What the figures of `load_in_pathway.py` were made with.
const PATHWAY: &str = "pathway==0.33.0";

const LOADED: usize = 50_000;
const REPLACED: usize = 25_000;

/// Loads and replaces documents as updates of a differential collection; we did so many per CPU-second.
pub fn differential(worker: &mut Worker, corpus: &Corpus, [load, replace]: [f64; 2]) {
    let mut input = InputHandle::<u64, _>::new();
    let probe = worker.dataflow(|scope| counts(scope.input_from(&mut input)).inner.probe().0);
    let (first, second) = (mentions(corpus, 0, LOADED), mentions(corpus, 1, REPLACED));
    let replacements = first[..REPLACED].iter().cloned().map(|old| (old, -1)).zip(second.into_iter().map(|new| (new, 1)));
    let replacements: Vec<(Mentions, isize)> = replacements.flat_map(|(old, new)| [old, new]).collect();
    let documents: Vec<(Mentions, isize)> = first.into_iter().map(|new| (new, 1)).collect();
    let mut feed = |updates: Vec<(Mentions, isize)>, batch: usize| {
        let mut updates = updates.into_iter().peekable();
        while updates.peek().is_some() {
            let epoch = *input.time();
            updates.by_ref().take(batch).for_each(|(mentions, diff)| input.send((mentions, epoch, diff)));
            input.advance_to(epoch + 1);
            worker.step_while(|| probe.less_than(input.time()));
        }
    };
    report_beside("  differential: load documents", LOADED, load, || feed(documents, BATCH));
    report_beside("  differential: replace documents", REPLACED, replace, || feed(replacements, 2 * BATCH));
}

fn mentions(corpus: &Corpus, round: u64, count: usize) -> Vec<Mentions> {
    let mentions = |entry: Entry| {
        let content = entry.content.expect("the corpora delete nothing");
        (DocumentId::of(&entry.document), nodes(&content))
    };
    corpus.documents(round).take(count).map(mentions).collect()
}

fn nodes(content: &Content) -> Vec<Node> {
    let of_kind = |kind, names: &[String]| names.iter().map(|name| Node { kind, name: name.clone() }).collect::<Vec<_>>();
    [of_kind(Kind::Topic, &content.topics), of_kind(Kind::KeyConcept, &content.key_concepts)].concat()
}

/// Loads and replaces documents in Pathway, where the Python that `PATHWAY_PYTHON` names, or `python3`, has it.
#[expect(clippy::disallowed_methods, reason = "a bench may be told by the environment where Pathway is")]
pub fn pathway(corpus: &Corpus, rates: [f64; 2]) {
    let python = std::env::var("PATHWAY_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let found = Command::new(&python).args(["-c", "import pathway"]).output();
    if found.is_ok_and(|output| output.status.success()) {
        load_in_pathway(&python, corpus, rates);
    } else {
        println!("  SKIPPED: Pathway; {python} cannot import it. Install {PATHWAY} and name its Python in PATHWAY_PYTHON");
    }
}

fn load_in_pathway(python: &str, corpus: &Corpus, [load, replace]: [f64; 2]) {
    let files = [(0, LOADED), (1, REPLACED)].map(|(round, count)| write(corpus, round, count));
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/graph/load_in_pathway.py");
    let output = Command::new(python).arg(script).args(&files).env("PATHWAY_THREADS", "1").output();
    let output = output.expect("the Python was there a moment ago");
    assert!(output.status.success(), "Pathway failed: {}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).expect("the script prints text");
    let lines: Vec<Vec<f64>> = lines.lines().map(numbers).collect();
    let [first, both] = &lines[..] else { panic!("the script prints two lines") };
    assert_eq!(both[1..], recount(corpus), "Pathway counts the same");
    report_seconds("  Pathway: load documents", LOADED, first[0], Some(load));
    report_seconds("  Pathway: replace documents", REPLACED, both[0] - first[0], Some(replace));
}

fn numbers(line: &str) -> Vec<f64> {
    line.split_whitespace().map(|number| number.parse().expect("the script prints numbers")).collect()
}

/// The documents of a round, a line each: id and concepts, separated by tabs.
fn write(corpus: &Corpus, round: u64, count: usize) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("documents-{round}.tsv"));
    let mut file = BufWriter::new(File::create(&path).expect("the target folder can be written"));
    for entry in corpus.documents(round).take(count) {
        let names = concepts(&entry);
        writeln!(file, "{}\t{}", entry.document, names.join("\t")).expect("the target folder can be written");
    }
    file.flush().expect("the target folder can be written");
    path
}

fn concepts(entry: &Entry) -> Vec<String> {
    let content = entry.content.as_ref().expect("the corpora delete nothing");
    content.topics.iter().chain(&content.key_concepts).cloned().collect()
}

/// Different nodes and edges after the replacements, and the sum of their counts.
fn recount(corpus: &Corpus) -> [f64; 2] {
    let (mut elements, mut sum) = (HashSet::new(), 0usize);
    for entry in corpus.documents(1).take(REPLACED).chain(corpus.documents(0).take(LOADED).skip(REPLACED)) {
        let mut names = concepts(&entry);
        names.sort_unstable();
        sum += names.len() * (names.len() + 1) / 2;
        for (place, name) in names.iter().enumerate() {
            elements.extend(names[place..].iter().map(|other| (name.clone(), other.clone())));
        }
    }
    [elements.len() as f64, sum as f64]
}
