//! What earlier runs have left behind: how far they came, what they still owe, and how the models have answered so far.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use anyhow::Context;
use synthllm_llm::request::approximate_tokens;
use synthllm_llm::{Prompt, Prompts};
use synthllm_log::{Fetched, Log, LogName, Pointer};
use synthllm_operators::codec;
use synthllm_operators::id::{self, ConceptId, Kind};
use synthllm_operators::passes::Pass;
use synthllm_operators::record::{
    self, Combination, Extraction, Progress, ProgressKey, Role, Sample, ScoredHead, ShardProgress,
};
use synthllm_operators::upsert::{Content, Entry};

use super::backlog::Texts;
use super::plain_extract;
use crate::config::Config;
use crate::dataflow::extract::screened_by;
use crate::dataflow::generate::Filters;
use crate::dataflow::screen::Screen;
use crate::events::Counter;
use crate::logs;

/// At most so many texts are read to learn from.
const TEXTS: usize = 200;

/// What is there.
#[derive(Default)]
pub struct Known {
    /// The content hash and the redo number of each live document.
    pub documents: HashMap<Vec<u8>, (u128, u32)>,
    /// How many live documents have each node, by kind: topics, key concepts.
    pub nodes: [BTreeMap<String, f64>; 2],
    /// Live documents with a text of which graph has still to decide, and those of them with two key concepts.
    pub owed: [f64; 2],
    /// Live samples, by level.
    pub standing: [f64; 3],
    /// Up to where documents are drawn, by level and shard, where there is or was a target.
    passes: HashMap<(u8, u32), Pass>,
    /// Combinations that generate has not read, by level.
    pub waiting: [f64; 3],
    /// Starts that have their outcome.
    pub started: HashMap<ConceptId, u64>,
    /// Combinations ever issued, by level.
    pub issued: [u64; 3],
    /// Whether the next run screens what is stored again.
    pub rescreens: bool,
    /// Whether the next run reviews the samples and what is held back, since the filters, the judge or the targets have changed.
    pub reviews: bool,
    /// Where extract reads next.
    pub positions: Vec<(u32, u64)>,
    pub habits: Habits,
}

/// What is to be expected of the models, as far as they have answered.
#[derive(Default)]
pub struct Habits {
    /// True tokens of a prompt for each estimated one.
    pub ratio: Option<f64>,
    /// Tokens of an extraction.
    pub extraction: Option<f64>,
    /// Topics and key concepts of an extracted document, and the share of its topics that are new.
    pub concepts: Option<[f64; 3]>,
    /// Questions of a combination, by level.
    pub questions: [Option<f64>; 3],
    /// Tokens of a question, and of an answer.
    pub question: Option<f64>,
    pub answer: Option<f64>,
    /// Combinations of a start of level 3.
    pub yields: Option<f64>,
    /// Some live texts.
    pub texts: Texts,
}

/// Reads it all.
pub fn read(config: &Config, prompts: &Prompts, screen: &Screen, log: &Arc<dyn Log>) -> anyhow::Result<Known> {
    let filters = Filters::load(config)?;
    let mut known = Known { positions: logs::starts(log, LogName::Documents)?, ..Known::default() };
    let mut shards: HashMap<(Role, u32), ShardProgress> = HashMap::new();
    for (key, record) in logs::live(log, LogName::Progress)? {
        let place = || format!("can't read progress/{} at offset {}", record.partition, record.offset);
        let key: ProgressKey = String::from_utf8(key).with_context(place)?.parse().with_context(place)?;
        match (key, codec::decode(record.value.as_deref().unwrap_or_default()).with_context(place)?) {
            (ProgressKey::Shard(role, shard), Progress::Shard(progress)) => _ = shards.insert((role, shard), progress),
            (ProgressKey::Starts(node), Progress::Starts(count)) => _ = known.started.insert(node, count),
            (ProgressKey::Pass(level, shard), Progress::Pass(pass)) => _ = known.passes.insert((level, shard), pass),
            (ProgressKey::Filters(_), Progress::Filters(digest)) => known.reviews |= digest != filters.digest(),
            _ => (),
        }
    }
    let position = |role, shard| shards.get(&(role, shard)).map_or(0, |progress: &ShardProgress| progress.position);
    for (partition, start) in &mut known.positions {
        *start = position(Role::Extract, *partition).max(*start);
    }
    known.count(&shards);
    let of_extract = shards.iter().filter(|((role, _), shard)| *role == Role::Extract && shard.position > 0);
    known.rescreens = of_extract.map(|(_, shard)| shard).any(|shard| screened_by(shard) != screen.digest());
    known.read_scores(log)?;
    known.read_combinations(log, |shard| position(Role::Generate, shard))?;
    known.read_samples(log)?;
    known.read_extractions(config, prompts, log, |shard| position(Role::Graph, shard))?;
    Ok(known)
}

impl Known {
    fn count(&mut self, shards: &HashMap<(Role, u32), ShardProgress>) {
        let counted = |counter: Counter| shards.values().filter_map(|shard| shard.counters.get(counter.name())).sum::<u64>();
        self.issued = [1, 2, 3].map(|level| counted(Counter::combinations(level)));
        let drawn = self.issued[2] + counted(Counter::Stuck) + counted(Counter::WithoutReferences);
        self.habits.yields = mean(self.issued[2] as f64, drawn as f64);
    }

    /// What is rejected and comes again unchanged is nothing new.
    fn read_scores(&mut self, log: &Arc<dyn Log>) -> anyhow::Result<()> {
        logs::read_all(log, LogName::Scores, |record| {
            let (key, value) = (record.key.unwrap_or_default(), record.value.as_deref());
            let head = value.map(codec::decode_beginning::<ScoredHead>).transpose()?;
            match head.filter(|head| head.rejected.is_some()) {
                Some(ScoredHead { head, .. }) => _ = self.documents.insert(key, (head.content_hash, head.redo)),
                None => _ = self.documents.remove(&key),
            }
            Ok(())
        })
    }

    fn read_combinations(&mut self, log: &Arc<dyn Log>, position: impl Fn(u32) -> u64) -> anyhow::Result<()> {
        let mut from = logs::starts(log, LogName::Combinations)?;
        from.iter_mut().for_each(|(shard, start)| *start = position(*shard).max(*start));
        logs::read_from(log, LogName::Combinations, &from, |record| {
            let (combination, _) = Combination::of_record(record.value.as_deref().unwrap_or_default())?;
            self.waiting[usize::from(combination.level.clamp(1, 3)) - 1] += 1.0;
            Ok(())
        })
        .map(drop)
    }

    /// What a sample has cost beyond its answer is its share of the questions.
    fn read_samples(&mut self, log: &Arc<dyn Log>) -> anyhow::Result<()> {
        let mut samples = [0.0; 3];
        let mut combinations: [BTreeSet<String>; 3] = Default::default();
        let (mut count, mut questions, mut answers) = (0.0, 0.0, 0.0);
        for record in logs::live(log, LogName::Samples)?.into_values() {
            let place = || format!("can't read samples/{} at offset {}", record.partition, record.offset);
            let sample: Sample = serde_json::from_slice(record.value.as_deref().unwrap_or_default()).with_context(place)?;
            let level = usize::from(sample.level.clamp(1, 3)) - 1;
            let answer = sample.answer.as_deref().map_or(0, approximate_tokens) as f64;
            samples[level] += 1.0;
            combinations[level].insert(sample.provenance.combination);
            count += 1.0;
            questions += (sample.usage.completion_tokens as f64 - answer).max(approximate_tokens(&sample.question) as f64);
            answers += answer;
        }
        self.standing = samples;
        self.habits.questions = std::array::from_fn(|level| mean(samples[level], combinations[level].len() as f64));
        (self.habits.question, self.habits.answer) = (mean(questions, count), mean(answers, count).filter(|it| *it > 0.0));
        Ok(())
    }

    fn read_extractions(
        &mut self,
        config: &Config,
        prompts: &Prompts,
        log: &Arc<dyn Log>,
        position: impl Fn(u32) -> u64,
    ) -> anyhow::Result<()> {
        let mut model = Extracted::default();
        let mut with_text = Vec::new();
        for (key, record) in logs::live(log, LogName::Extractions)? {
            let place = || format!("can't read extractions/{} at offset {}", record.partition, record.offset);
            let extraction: Extraction = codec::decode(record.value.as_deref().unwrap_or_default()).with_context(place)?;
            let at = record::Pointer { partition: record.partition, offset: record.offset };
            let document = String::from_utf8_lossy(&key);
            let entry = Entry::of(&document, at, Some((&extraction).into()), &config.graph.naming());
            let Some(content) = entry.content else { continue };
            for level in (1..=2).filter(|_| extraction.text.is_some()) {
                let id = id::document_combination(level, &document, extraction.version, 0);
                let is_owed = match self.passes.get(&(level, record.partition)) {
                    Some(pass) => pass.place(u64::MAX, record.offset, id).is_some(),
                    None => record.offset >= position(record.partition),
                };
                let enough = level == 1 || content.key_concepts.len() >= 2;
                self.owed[usize::from(level) - 1] += f64::from(u8::from(is_owed && enough));
            }
            model.add(&extraction, &content);
            self.documents.insert(key.clone(), (extraction.content_hash, extraction.redo));
            for (nodes, names) in self.nodes.iter_mut().zip([content.topics, content.key_concepts]) {
                names.into_iter().for_each(|name| *nodes.entry(name).or_default() += 1.0);
            }
            with_text.extend(extraction.text.is_some().then_some((key, extraction)));
        }
        self.habits.extraction = mean(model.completion, model.calls);
        self.habits.concepts = mean(model.topics, model.documents).map(|topics| {
            let distinct = model.distinct.len() as f64 / model.topics.max(1.0);
            [topics, model.key_concepts / model.documents, distinct]
        });
        self.learn_from_texts(config, prompts, log, &with_text)
    }

    /// Texts that are asked about with the present prompt tell how the model's tokenizer compares with the estimate.
    fn learn_from_texts(
        &mut self,
        config: &Config,
        prompts: &Prompts,
        log: &Arc<dyn Log>,
        with_text: &[(Vec<u8>, Extraction)],
    ) -> anyhow::Result<()> {
        let step = with_text.len().div_ceil(TEXTS).max(1);
        let chosen: Vec<_> = with_text.iter().step_by(step).collect();
        let pointer = |(key, extraction): &&(Vec<u8>, Extraction)| {
            let place = extraction.text.unwrap_or(record::Pointer { partition: 0, offset: 0 });
            Pointer { partition: place.partition, offset: place.offset, key: key.clone() }
        };
        let fetched = log.fetch_many(LogName::Texts, &chosen.iter().map(pointer).collect::<Vec<_>>())?;
        let (mut true_tokens, mut estimated) = (0.0, 0.0);
        for ((_, extraction), fetched) in chosen.iter().zip(fetched) {
            let Fetched::Found(Some(text)) = fetched else { continue };
            let text = codec::decompress(&text).context("can't read a text")?;
            self.habits.texts.add(&text, config.generate.max_prompt_tokens);
            if extraction.usage.calls == 1 && extraction.prompt.as_deref() == Some(prompts.version(Prompt::Extract)) {
                true_tokens += extraction.usage.prompt_tokens as f64;
                estimated += plain_extract(prompts, &text);
            }
        }
        self.habits.ratio = mean(true_tokens, estimated);
        Ok(())
    }

    /// How often a node has been started.
    pub fn started(&self, kind: Kind, name: &str) -> f64 {
        self.started.get(&ConceptId::of(kind, name)).copied().unwrap_or(0) as f64
    }
}

/// Sums over the documents that a model has extracted.
#[derive(Default)]
struct Extracted {
    documents: f64,
    calls: f64,
    completion: f64,
    topics: f64,
    key_concepts: f64,
    distinct: BTreeSet<String>,
}

impl Extracted {
    fn add(&mut self, extraction: &Extraction, content: &Content) {
        if extraction.usage.calls == 0 {
            return;
        }
        self.documents += 1.0;
        self.calls += f64::from(extraction.usage.calls);
        self.completion += extraction.usage.completion_tokens as f64;
        self.topics += content.topics.len() as f64;
        self.key_concepts += content.key_concepts.len() as f64;
        self.distinct.extend(content.topics.iter().cloned());
    }
}

fn mean(sum: f64, count: f64) -> Option<f64> {
    (count > 0.0).then(|| sum / count)
}
