//! Whether an answer that was committed is ever asked for again (protocol.md, invariant 3).
//!
//! An answer is committed when it stands in a journal, or when what came of it stands in a log: the extraction or the score of a document, or a
//! sample of a question. Contents are the hashes of requests: the same in the journal's keys and at the server.

use std::collections::{BTreeMap, BTreeSet};

use synthllm_log::LogName;
use synthllm_operators::codec::{self, CodecError};
use synthllm_operators::record::{Extraction, Pointer, Sample, Scored, Version, place_of};
use synthllm_testkit::project::Project;
use synthllm_testkit::records::journal_record;
use synthllm_testkit::scripted::{Count, ScriptedServer};

use crate::scenario::is_contested;

/// Looks at server and logs between the runs of a program.
pub struct Watch<'a> {
    server: &'a ScriptedServer,
    project: &'a Project,
    contested: &'a BTreeSet<String>,
    /// Committed contents with their requests when they were first seen to be committed.
    committed: BTreeMap<u128, u32>,
    /// One sentence for each content that was asked again.
    pub paid_twice: Vec<String>,
}

impl<'a> Watch<'a> {
    pub fn new(server: &'a ScriptedServer, project: &'a Project, contested: &'a BTreeSet<String>) -> Self {
        Watch { server, project, contested, committed: BTreeMap::new(), paid_twice: Vec::new() }
    }

    /// While no program runs: compares the counts with those at the look before, and takes note of what is committed now.
    pub fn look(&mut self) {
        let counts = self.server.counts();
        for (content, before) in &mut self.committed {
            let count = &counts[content];
            if count.requests > *before {
                let (now, task, about) = (count.requests, &count.task, &count.extract);
                let said = format!("is committed, and was asked {now} times after {before}: {about:?}");
                self.paid_twice.push(format!("3: {task} {content:032x} {said}"));
                *before = count.requests;
            }
        }
        for content in self.committed_now(&counts) {
            if let Some(count) = counts.get(&content).filter(|count| !self.is_contested(count)) {
                self.committed.entry(content).or_insert(count.requests);
            }
        }
    }

    /// All requests, and those of them that repeated one that was lost in flight.
    pub fn calls(&self) -> (u64, u64) {
        let counts = self.server.counts();
        let unambiguous =
            counts.values().filter(|count| !count.body.contains("shared question") && !self.is_contested(count));
        let repeated = unambiguous.map(|count| u64::from(count.requests.saturating_sub(1))).sum();
        (counts.values().map(|count| u64::from(count.requests)).sum(), repeated)
    }

    /// How many requests are known to be committed.
    pub fn watched(&self) -> u64 {
        self.committed.len() as u64
    }

    /// Whether several combinations may make this request.
    fn is_contested(&self, count: &Count) -> bool {
        is_contested(&count.body, self.contested)
            || self.contested.iter().any(|question| count.body.contains(question) || count.completion.contains(question))
    }

    fn committed_now(&self, counts: &BTreeMap<u128, Count>) -> BTreeSet<u128> {
        let mut committed: BTreeSet<u128> = self.journaled();
        let questions = self.questions_of_samples();
        let texts =
            self.texts_of(LogName::Extractions, |value| codec::decode::<Extraction>(value).map(|it| Some(it.version)));
        // One that is held back for another with a similar text is not embedded.
        let embedded = |scored: Scored| (!scored.embedding.is_empty()).then_some(scored.head.version);
        let scored = self.texts_of(LogName::Scores, |value| codec::decode::<Scored>(value).map(embedded));
        for (content, count) in counts {
            let done = match count.task.as_str() {
                "extraction" => texts.iter().any(|text| count.body.contains(text)),
                "embedding" => scored.iter().any(|text| count.body.contains(text)),
                "answer" => questions.iter().any(|question| count.body.contains(question)),
                _ => questions.iter().any(|question| count.completion.contains(question)),
            };
            if done {
                committed.insert(*content);
            }
        }
        committed
    }

    /// The contents of all answers that were ever in a journal.
    fn journaled(&self) -> BTreeSet<u128> {
        let now = self.project.logs().journal().into_iter().map(|(key, _)| key.request);
        let journals = [LogName::JournalExtract, LogName::JournalGenerate];
        let trimmed = journals.into_iter().flat_map(|name| self.project.kept(name));
        now.chain(trimmed.map(|(key, value)| journal_record(&key, &value).0.request)).collect()
    }

    /// The questions of all samples that were ever written, the contested ones aside.
    fn questions_of_samples(&self) -> BTreeSet<String> {
        let values = self.project.logs().records(LogName::Samples).into_iter().filter_map(|record| record.value);
        let questions = values.map(|value| serde_json::from_slice::<Sample>(&value).expect("a sample is JSON").question);
        questions.filter(|question| !is_contested(question, self.contested)).collect()
    }

    /// The beginnings of the texts of all documents that were ever in this log; no two are the same.
    fn texts_of(&self, log: LogName, version: impl Fn(&[u8]) -> Result<Option<Version>, CodecError>) -> BTreeSet<String> {
        let logs = self.project.logs();
        let documents: BTreeMap<(u32, u64), Vec<u8>> = logs
            .records(LogName::Documents)
            .into_iter()
            .filter_map(|record| Some(((record.partition, record.offset), record.value?)))
            .collect();
        let records = logs.records(log).into_iter().filter_map(|record| record.value);
        let versions = records.filter_map(|value| version(&value).expect("the record of a document"));
        let places = versions.map(place_of);
        places.map(|Pointer { partition, offset }| beginning(&documents[&(partition, offset)])).collect()
    }
}

fn beginning(document: &[u8]) -> String {
    let document: serde_json::Value = serde_json::from_slice(document).expect("an extracted document is JSON");
    let text = document["text"].as_str().unwrap_or_default();
    text.split_inclusive(':').next().unwrap_or_default().to_owned()
}
