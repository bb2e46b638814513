//! The documents that wait: of the log beyond what extract has read, and of files that may be ingested.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use serde::Serialize;
use synthllm_llm::Prompts;
use synthllm_llm::request::{approximate_tokens, cut};
use synthllm_log::{Log, LogName};
use synthllm_operators::decode::{content_hash, decode};
use synthllm_operators::record::Document;
use synthllm_operators::subsets::Origins;
use synthllm_operators::upsert::Naming;

use super::super::ingest;
use super::known::Known;
use super::plain_extract;
use crate::config::{Config, Source};
use crate::dataflow::screen::Screen;

/// How long one look into the log may take before the next.
const PATIENCE: Duration = Duration::from_millis(200);

/// What is to be done about a document.
enum Class {
    Unchanged,
    Deleted,
    Unusable,
    /// Screening does not let it in, whatever its embedding.
    Rejected,
    /// Its own concepts count.
    Own(Concepts),
    /// The model is asked, with a prompt of so many tokens as estimated.
    Extract(f64),
}

/// The nodes that a document brings.
struct Concepts {
    topics: BTreeSet<String>,
    key_concepts: BTreeSet<String>,
    has_text: bool,
}

/// All documents that wait. Where the log has too many to read all, everything is scaled up.
#[derive(Default)]
pub struct Backlog {
    pub counts: Counts,
    /// Documents with a text whose own concepts count, and those of them with two key concepts.
    pub own: [f64; 2],
    /// The tokens of all prompts of extract, as estimated.
    pub prompt_tokens: f64,
    /// Documents with a text, and the tokens of those texts as questions see them: alone, and as one of two.
    pub texts: Texts,
    /// How many of the documents bring each node, by kind: topics, key concepts.
    pub nodes: [BTreeMap<String, f64>; 2],
    /// The share of the waiting documents that was read.
    pub read: f64,
}

/// What waits, in documents.
#[derive(Default, Serialize)]
pub struct Counts {
    pub waiting: u64,
    pub extract: u64,
    pub own_concepts: u64,
    pub unchanged: u64,
    pub deleted: u64,
    pub unusable: u64,
    /// By the limits of texts; what a model rejects is not known before.
    #[serde(skip_serializing_if = "is_none")]
    pub rejected: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands over references")]
fn is_none(count: &u64) -> bool {
    *count == 0
}

/// A sum over texts.
#[derive(Clone, Copy, Default)]
pub struct Texts {
    pub count: f64,
    pub alone: f64,
    pub as_one_of_two: f64,
    /// Texts to be embedded, and their tokens.
    pub embedded: f64,
    pub embedded_tokens: f64,
}

impl Texts {
    /// Adds a text.
    pub fn add(&mut self, text: &str, longest: usize) {
        self.count += 1.0;
        self.alone += approximate_tokens(cut(text.trim(), longest)) as f64;
        self.as_one_of_two += approximate_tokens(cut(text.trim(), longest / 2)) as f64;
    }

    fn scaled(self, factor: f64) -> Self {
        Texts {
            count: self.count * factor,
            alone: self.alone * factor,
            as_one_of_two: self.as_one_of_two * factor,
            embedded: self.embedded * factor,
            embedded_tokens: self.embedded_tokens * factor,
        }
    }
}

/// Reads what waits.
pub struct Reader<'a> {
    pub config: &'a Config,
    pub prompts: &'a Prompts,
    pub screen: &'a Screen,
    pub known: &'a Known,
}

impl Reader<'_> {
    /// At most `sample` documents of the log, and all of the files.
    pub fn read(&self, log: Option<&Arc<dyn Log>>, files: &[PathBuf], sample: u64) -> anyhow::Result<Backlog> {
        let mut last = HashMap::new();
        let mut texts = Texts::default();
        let read = log.map_or(Ok(1.0), |log| self.of_log(log, sample, &mut last, &mut texts))?;
        let mut backlog = Backlog::default();
        last.drain().for_each(|(_, class)| backlog.add(class));
        backlog.scale(1.0 / read);
        texts = texts.scaled(1.0 / read);
        ingest::documents(files, &self.config.document_limits(), |document| {
            match document {
                Some((key, value)) => {
                    let class = self.class(key.as_bytes(), Some(&value), &mut texts);
                    last.insert(key.into_bytes(), class);
                }
                None => backlog.add(Class::Unusable),
            }
            Ok(())
        })?;
        last.into_values().for_each(|class| backlog.add(class));
        (backlog.texts, backlog.read) = (texts, read);
        Ok(backlog)
    }

    fn of_log(
        &self,
        log: &Arc<dyn Log>,
        sample: u64,
        last: &mut HashMap<Vec<u8>, Class>,
        texts: &mut Texts,
    ) -> anyhow::Result<f64> {
        let (mut waiting, mut seen) = (0, 0);
        let partitions = self.known.positions.len().max(1) as u64;
        for &(partition, from) in &self.known.positions {
            let end = log.end(LogName::Documents, partition)?;
            let most = sample.div_ceil(partitions);
            let mut reader = log.reader(LogName::Documents, &[(partition, from)]).context("can't read documents")?;
            let mut position = from;
            while position < end && position - from < most {
                let batch =
                    reader.poll((most - (position - from)).min(1_000) as usize, PATIENCE).context("can't read documents")?;
                for record in batch.records.into_iter().filter(|record| record.offset < end) {
                    let key = record.key.unwrap_or_default();
                    let class = self.class(&key, record.value.as_deref(), texts);
                    last.insert(key, class);
                }
                position = batch.positions.first().map_or(position, |(_, position)| *position);
            }
            waiting += end.saturating_sub(from);
            seen += position.min(end) - from;
        }
        Ok(if waiting == 0 { 1.0 } else { seen as f64 / waiting as f64 })
    }

    fn class(&self, key: &[u8], value: Option<&[u8]>, texts: &mut Texts) -> Class {
        let Some(value) = value else { return Class::Deleted };
        let Ok(document) = decode(key, value, &self.config.document_limits()) else { return Class::Unusable };
        let live = self.known.documents.get(key);
        if live.is_some_and(|(hash, redo)| *hash == content_hash(&document) && *redo >= document.redo) {
            return Class::Unchanged;
        }
        if self.screen.check(document.text.as_deref()).is_some() {
            return Class::Rejected;
        }
        if let Some(text) = document.text.as_deref().and_then(|text| self.screen.cut(text)) {
            texts.embedded += 1.0;
            texts.embedded_tokens += approximate_tokens(text) as f64;
        }
        let source = self.config.extract.source;
        let own = !document.topics.is_empty() || !document.concepts.is_empty();
        if let Some(text) = &document.text {
            texts.add(text, self.config.generate.max_prompt_tokens);
        }
        match &document.text {
            _ if source == Source::Document || (own && source == Source::DocumentOrModel) => {
                Class::Own(concepts(&String::from_utf8_lossy(key), &document, &self.config.graph.naming()))
            }
            Some(text) => Class::Extract(plain_extract(self.prompts, text)),
            None => Class::Unusable,
        }
    }
}

fn concepts(id: &str, document: &Document, naming: &Naming<'_>) -> Concepts {
    let (source, license) = (document.source.as_deref(), document.license.as_deref());
    let subset = naming.subsets.of(&Origins { document: id, source, license });
    let node = |name: &str| naming.node(subset.as_deref(), name);
    let under_topics = document.topics.iter().flat_map(|topic| &topic.key_concepts);
    Concepts {
        topics: document.topics.iter().filter_map(|topic| node(&topic.name)).collect(),
        key_concepts: under_topics.chain(&document.concepts).filter_map(|name| node(name)).collect(),
        has_text: document.text.is_some(),
    }
}

impl Backlog {
    fn add(&mut self, class: Class) {
        self.counts.waiting += 1;
        match class {
            Class::Unchanged => self.counts.unchanged += 1,
            Class::Deleted => self.counts.deleted += 1,
            Class::Unusable => self.counts.unusable += 1,
            Class::Rejected => self.counts.rejected += 1,
            Class::Extract(tokens) => {
                self.counts.extract += 1;
                self.prompt_tokens += tokens;
            }
            Class::Own(concepts) => self.add_own(concepts),
        }
    }

    fn add_own(&mut self, concepts: Concepts) {
        self.counts.own_concepts += 1;
        self.own[0] += f64::from(u8::from(concepts.has_text));
        self.own[1] += f64::from(u8::from(concepts.has_text && concepts.key_concepts.len() >= 2));
        for (nodes, names) in self.nodes.iter_mut().zip([concepts.topics, concepts.key_concepts]) {
            names.into_iter().for_each(|name| *nodes.entry(name).or_default() += 1.0);
        }
    }

    /// What was read stands for what was not.
    fn scale(&mut self, factor: f64) {
        let counts = &mut self.counts;
        for count in [&mut counts.waiting, &mut counts.extract, &mut counts.own_concepts, &mut counts.unchanged]
            .into_iter()
            .chain([&mut counts.deleted, &mut counts.unusable, &mut counts.rejected])
        {
            *count = (*count as f64 * factor).round() as u64;
        }
        self.own = self.own.map(|count| count * factor);
        self.prompt_tokens *= factor;
        self.nodes.iter_mut().flat_map(BTreeMap::values_mut).for_each(|documents| *documents *= factor);
    }
}
