//! What logs hold after a long run, written without one.

use serde_json::json;
use synthllm_log::{Append, Log, LogName};
use synthllm_operators::codec;
use synthllm_operators::id::{self, Id};
use synthllm_operators::record::{Extraction, Pointer, Provenance, Topic, Usage};

/// Records of one transaction.
const AT_ONCE: usize = 10_000;

/// Names of concepts; smaller numbers come more often.
const VOCABULARY: f64 = 200_000.0;

/// The id of a document.
pub fn document(number: usize) -> String {
    format!("document-{number}")
}

/// The two documents on which a sample stands.
pub fn stands_on(sample: usize, documents: usize) -> [usize; 2] {
    [sample % documents, (sample * 7 + 3) % documents]
}

/// Writes so many extractions, and returns their mean length in bytes.
pub fn extractions(log: &dyn Log, count: usize) -> usize {
    let mut random = fastrand::Rng::with_seed(3);
    let mut bytes = 0;
    write(log, count, |number| {
        let value = codec::encode(&extraction(number, &mut random));
        bytes += value.len();
        vec![keyed(LogName::Extractions, document(number), value)]
    });
    bytes / count
}

/// Writes so many samples with their provenance.
pub fn samples(log: &dyn Log, count: usize, documents: usize) {
    let partitions = log.partitions(LogName::Samples).expect("the logs were created");
    write(log, count, |number| {
        let id = Id(id::digest(&number.to_le_bytes()));
        let partition = Some(number as u32 % partitions);
        let of = |value, log| Append { log, partition, key: Some(id.to_string().into_bytes()), value: Some(value) };
        let documents = stands_on(number, documents).map(|number| (document(number), version(number)));
        let provenance = Provenance { documents: documents.to_vec(), question: Id(id.0 ^ 1) };
        let sample = json!({
            "id": id.to_string(), "level": 3, "question": "q".repeat(200), "answer": "a".repeat(600), "concepts": [], "topics": [],
            "provenance": {"combination": "", "walk": [], "documents": [], "models": {}, "prompts": {}},
            "scores": {}, "usage": Usage::default(), "cost": 0.0,
        });
        vec![of(sample.to_string().into_bytes(), LogName::Samples), of(codec::encode(&provenance), LogName::Provenance)]
    });
}

/// Writes so many samples of all levels, whose questions have 20 to 70 words of a Zipf law; one in fifty nearly repeats another.
pub fn questions(log: &dyn Log, count: usize, documents: usize) {
    let partitions = log.partitions(LogName::Samples).expect("the logs were created");
    let mut random = fastrand::Rng::with_seed(5);
    let mut before = String::new();
    write(log, count, |number| {
        let id = Id(id::digest(&number.to_le_bytes())).to_string();
        let mut words =
            |least, most| (0..random.usize(least..most)).map(|_| word(&mut random)).collect::<Vec<_>>().join(" ");
        let (fresh, answer) = (words(20, 70), words(60, 300));
        let question = if number % 50 == 49 { format!("{before} please") } else { fresh };
        before.clone_from(&question);
        let level = number % 3 + 1;
        let cited = stands_on(number, documents).into_iter().take(if level == 3 { 2 } else { 1 });
        let cited: Vec<_> = cited
            .map(|number| json!({"id": document(number), "version": "0@0", "jaccard": 1.0, "source": null, "license": "CC0-1.0"}))
            .collect();
        let names = |kind: &str, random: &mut fastrand::Rng| format!("{kind} {}", rank(VOCABULARY, random));
        let sample = json!({
            "id": id, "level": level, "question": question, "answer": answer,
            "concepts": [names("concept", &mut random), names("concept", &mut random)], "topics": [names("topic", &mut random)],
            "provenance": {"combination": id, "walk": [], "documents": cited, "models": {}, "prompts": {}},
            "scores": {"agreement": 1.0}, "usage": Usage { calls: 2, prompt_tokens: 900, completion_tokens: 400 }, "cost": 0.001,
        });
        let (key, value) = (Some(id.into_bytes()), Some(sample.to_string().into_bytes()));
        vec![Append { log: LogName::Samples, partition: Some(number as u32 % partitions), key, value }]
    });
}

/// A word of a language of 30,000.
fn word(random: &mut fastrand::Rng) -> String {
    let mut rest = rank(30_000.0, random);
    let mut word = String::new();
    while rest > 0 {
        word += ["ra", "ne", "ti", "so", "lu", "ke", "mo"][rest % 7];
        rest /= 7;
    }
    word
}

/// A Zipf law by its inverse: the rank is the vocabulary to a uniform power.
fn rank(vocabulary: f64, random: &mut fastrand::Rng) -> usize {
    vocabulary.powf(random.f64()) as usize
}

fn extraction(number: usize, random: &mut fastrand::Rng) -> Extraction {
    let mut name = |kind: &str| format!("{kind} {}", rank(VOCABULARY, random));
    let mut topic = || Topic { name: name("topic"), key_concepts: (0..4).map(|_| name("concept")).collect() };
    Extraction {
        text: Some(Pointer { partition: 0, offset: number as u64 }),
        version: version(number),
        since: version(number),
        redo: 0,
        redone: version(number),
        content_hash: id::digest(&number.to_le_bytes()),
        level: Some("university".to_owned()),
        subject: Some("mathematics".to_owned()),
        topics: vec![topic(), topic()],
        key_concepts: Vec::new(),
        source: None,
        url: None,
        license: Some("CC0-1.0".to_owned()),
        model: Some("model".to_owned()),
        prompt: Some("0123456789abcdef".to_owned()),
        usage: Usage { calls: 1, prompt_tokens: 700, completion_tokens: 90 },
        cost: 0.0,
    }
}

/// Where in `documents` a document would have stood.
fn version(number: usize) -> Pointer {
    Pointer { partition: number as u32 % 3, offset: number as u64 }
}

fn keyed(log: LogName, key: String, value: Vec<u8>) -> Append {
    Append { log, partition: None, key: Some(key.into_bytes()), value: Some(value) }
}

fn write(log: &dyn Log, count: usize, mut records: impl FnMut(usize) -> Vec<Append>) {
    let mut writer = log.writer("bench").expect("nobody else writes");
    for first in (0..count).step_by(AT_ONCE) {
        let batch = (first..count.min(first + AT_ONCE)).flat_map(&mut records).collect();
        writer.append(batch).expect("the logs can be written");
        writer.commit().expect("the logs can be written");
    }
}
