//! The figures of the questions' quality, per CPU-second on one worker: `cargo bench -p synthllm-operators --bench quality`.
//!
//! 100,000 questions, each three sentences of GSM8K's; every tenth is an earlier one with one word changed. Beside `Near` stands brute
//! force on the first 2,000: each question compared with all kept before it. `-- merge` measures merges of names alone.

mod merge;
#[path = "../graph/meter.rs"]
#[allow(dead_code, reason = "the graph's bench uses the rest")]
mod meter;

use std::hint::black_box;
use std::path::PathBuf;

use meter::{report, report_beside, report_bytes, resident_bytes};
use synthllm_operators::decontaminate::{self, Benchmarks, Entry};
use synthllm_operators::near::{Near, Settings, similarity};
use synthllm_operators::shingle::{Words, shingles};
use synthllm_operators::text_checks::{TextLimits, measure};

const QUESTIONS: usize = 100_000;
const BY_HAND: usize = 2_000;
const BANDS: [u32; 2] = [16, 0];

/// Each way is measured in a process of its own, so that nobody's freed memory is used again.
fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if !arguments.iter().any(|argument| argument == "--bench") {
        return println!("only `cargo bench` measures");
    }
    if arguments.iter().any(|argument| argument == "merge") {
        return merge::bench();
    }
    let Some(lines) = benchmark() else { return println!("SKIPPED: benchmark-gsm8k-mit.jsonl is not there") };
    match arguments.iter().find_map(|argument| argument.parse().ok()) {
        Some(bands) => bench_near(&made(&lines), bands),
        None => measure_all(&lines),
    }
}

fn measure_all(lines: &[String]) {
    println!("{:<54} {:>9} {:>8} {:>14} {:>11}", "one thread", "count", "CPU s", "per CPU-second", "ours to it");
    let program = std::env::current_exe().expect("a running program has a path");
    for bands in BANDS {
        let status = std::process::Command::new(&program).args(["--bench", &bands.to_string()]).status();
        assert!(status.is_ok_and(|status| status.success()), "measuring {bands} bands failed");
    }
    bench_checks(lines, &made(lines));
    merge::bench();
}

fn benchmark() -> Option<Vec<String>> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/benchmark-gsm8k-mit.jsonl");
    let text = std::fs::read_to_string(path).ok()?;
    let question = |line: &str| {
        let line: serde_json::Value = serde_json::from_str(line).expect("lines are JSON");
        line["question"].as_str().expect("each has a question").to_owned()
    };
    Some(text.lines().map(question).collect())
}

/// Questions of sentences drawn at random; every tenth repeats an earlier one but for one word.
fn made(lines: &[String]) -> Vec<String> {
    let sentences: Vec<&str> = lines.iter().flat_map(|line| line.split_inclusive(['.', '?'])).map(str::trim).collect();
    let mut seed = 1_u64;
    let mut below = |bound: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % bound
    };
    let mut questions: Vec<String> = Vec::with_capacity(QUESTIONS);
    for number in 0..QUESTIONS {
        let question = if number % 10 == 9 {
            let mut words: Vec<&str> = questions[below(number)].split(' ').collect();
            let changed = below(words.len());
            words[changed] = "otherwise";
            words.join(" ")
        } else {
            [0; 3].map(|_| sentences[below(sentences.len())]).join(" ")
        };
        questions.push(question);
    }
    questions
}

fn bench_near(questions: &[String], bands: u32) {
    let settings = Settings { bands, ..Settings::default() };
    println!("\n{}", if bands == 0 { "bands off".to_owned() } else { format!("{bands} bands") });
    let words: usize = questions.iter().map(|question| Words::of(question).len()).sum();
    println!("    {} words a question", words / questions.len());
    let before = resident_bytes();
    let mut near = Near::new(settings);
    let (held, rate) = report("insert questions", questions.len(), || insert(&mut near, questions, settings));
    println!("    {held} held back");
    report_bytes("memory per question", resident_bytes().saturating_sub(before) / questions.len() as u64);
    report("look for similar ones", questions.len() / 10, || {
        for question in questions.iter().step_by(10) {
            black_box(near.similar(&shingles(question, settings.shingle)));
        }
    });
    let (released, _) = report("remove questions", questions.len() / 10, || {
        (0..questions.len()).step_by(10).map(|question| near.remove(question).kept.len()).sum::<usize>()
    });
    println!("    {released} released");
    report_beside("  brute force", BY_HAND, rate, || brute_force(&questions[..BY_HAND], settings));
}

fn insert(near: &mut Near<usize>, questions: &[String], settings: Settings) -> usize {
    let insert = |(number, question): (usize, &String)| near.insert(number, shingles(question, settings.shingle)).held.len();
    questions.iter().enumerate().map(insert).sum()
}

fn brute_force(questions: &[String], settings: Settings) -> usize {
    let mut kept: Vec<Box<[u64]>> = Vec::new();
    for question in questions {
        let set = shingles(question, settings.shingle);
        if !kept.iter().any(|earlier| similarity(earlier, &set, settings.threshold).is_some()) {
            kept.push(set);
        }
    }
    questions.len() - kept.len()
}

fn bench_checks(lines: &[String], questions: &[String]) {
    println!("\nother checks");
    let entry =
        |(line, text): (usize, &String)| Entry { benchmark: "gsm8k".to_owned(), id: line.to_string(), text: text.clone() };
    let benchmarks = Benchmarks::new(decontaminate::Settings::default(), lines.iter().enumerate().map(entry));
    let (hits, _) = report("decontaminate questions against GSM8K", questions.len(), || {
        questions.iter().map(|question| benchmarks.hits(question).len()).sum::<usize>()
    });
    println!("    {hits} hits");
    let limits = TextLimits { languages: vec!["eng".to_owned()], ..TextLimits::default() };
    let (problems, _) = report("length, repetition and language", questions.len() / 10, || {
        questions[..questions.len() / 10].iter().map(|question| measure(question).problems(&limits).len()).sum::<usize>()
    });
    println!("    {problems} problems");
}
