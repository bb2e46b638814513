//! What a pipeline on Kafka must not do, judged by what `kcat` reads committed and by what the model server has counted.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use synthllm_operators::codec;
use synthllm_operators::record::JournalKey;
use synthllm_testkit::scripted::Count;

use crate::project::Project;

/// The counts of the requests whose answers have been seen committed, by content.
#[derive(Default)]
pub struct Paid(pub BTreeMap<u128, u32>);

impl Paid {
    /// What is in the journals now, with nobody running.
    pub fn note(&mut self, project: &Project) {
        for record in ["journal-extract", "journal-generate"].into_iter().flat_map(|log| project.kcat.read(log)) {
            let key: JournalKey = codec::decode(record.key.as_deref().unwrap()).unwrap();
            self.0.entry(key.request).or_insert_with(|| project.server.count(key.request).requests);
        }
    }

    /// Invariant 3: what was asked again though its answer was committed.
    pub fn asked_again(&self, project: &Project) -> Vec<String> {
        let counts = self.0.iter().map(|(request, before)| (before, project.server.count(*request)));
        let again = counts.filter(|(before, now)| now.requests != **before);
        let words = |(before, now): (&u32, Count)| {
            let (task, requests, body) = (now.task, now.requests, now.body);
            format!("3: asked again though its answer was committed: {task}, {before} times, now {requests}: {body}")
        };
        again.map(words).collect()
    }
}

/// Invariant 2: samples written twice without a tombstone between, or withdrawn without being there.
pub fn samples_written_twice(project: &Project) -> Vec<String> {
    let mut live = BTreeSet::new();
    let mut wrong = Vec::new();
    for record in project.kcat.read("samples") {
        let id = record.key_text();
        let sound = if record.value.is_some() { live.insert(id.clone()) } else { live.remove(&id) };
        if !sound {
            let place = format!("{}:{}", record.partition, record.offset);
            wrong.push(format!("2: {id} at {place} is written twice, or withdrawn without being there"));
        }
    }
    wrong
}

/// The samples whose question only one combination can hold, and all questions with their answers, each once (invariant 7).
pub fn settled(samples: &BTreeMap<String, Value>) -> (BTreeMap<&String, &Value>, BTreeSet<String>) {
    let is_shared = |sample: &Value| sample["question"].as_str().unwrap().contains("shared question");
    let own = samples.iter().filter(|(_, sample)| !is_shared(sample)).collect();
    let questions: BTreeSet<String> =
        samples.values().map(|sample| format!("{} {}", sample["question"], sample["answer"])).collect();
    assert_eq!(questions.len(), samples.len(), "7: a question has two live samples");
    (own, questions)
}
