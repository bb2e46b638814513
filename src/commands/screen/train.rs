//! `screen train`: the cold start, then rounds of ratings; each forest selects from the whole corpus again.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};
use synthllm_llm::{Prompt, Prompts};
use synthllm_screening::{Embedder, Figures, Forest, ForestSettings, Kind, Model, Round, Training, held_out, rank};

use super::caller::{Caller, Spent};
use super::corpus::{self, Corpus, Document};
use super::{cold, rate, text, work_folder};
use crate::cli::ScreenTrainArgs;
use crate::config::{Config, ScreenTrainConfig};
use crate::{commands, events, run};

/// With fewer documents there is nothing to select from.
const LEAST_DOCUMENTS: usize = 20;

/// The border between yes and no of the cold start, in which both weigh the same.
const COLD_THRESHOLD: f64 = 0.5;

/// Trains, and writes the model.
pub fn execute(config: &Config, args: &ScreenTrainArgs) -> anyhow::Result<()> {
    let settings = &config.screen.train;
    let documents = Corpus { config, most: settings.documents, seed: settings.seed, cut: settings.cut }.read(&args.files)?;
    if documents.len() < LEAST_DOCUMENTS {
        let corpus = corpus::name(&args.files);
        bail!("{corpus} has {} documents with a text, at least {LEAST_DOCUMENTS} are needed", documents.len());
    }
    // Texts are cut by characters already.
    let prompts = run::prompts(config, usize::MAX)?;
    let work = work_folder(&args.output, args.work.as_deref());
    let caller = Caller::new(config, prompts.clone(), &work, settings.batch)?;
    let mut trainer = Trainer { config, settings, prompts, caller, documents, rounds: Vec::new() };
    let model = trainer.train()?;
    write(&args.output, &model.to_bytes())?;
    commands::print(&text::of_training(&model, &args.output, trainer.caller.spent())?)
}

struct Trainer<'a> {
    config: &'a Config,
    settings: &'a ScreenTrainConfig,
    prompts: Arc<Prompts>,
    caller: Caller,
    documents: Vec<Document>,
    rounds: Vec<Round>,
}

/// An embedding that is learnt from or held out, with its target.
struct Example<'a> {
    id: &'a str,
    embedding: &'a [f32],
    target: f64,
}

impl Trainer<'_> {
    fn train(&mut self) -> anyhow::Result<Model> {
        events::screen::begins(self.documents.len());
        let positives = cold::positives(self.config, &mut self.caller, &self.prompts)?;
        let failed = self.embed(&positives)?;
        let mut selected = self.cold_start(&positives, failed).context("the cold start failed")?;
        let mut ratings: BTreeMap<String, f64> = BTreeMap::new();
        let mut last = None;
        for round in 1..=self.settings.rounds {
            let place = || format!("round {round} failed");
            let rated = self.rate(round, &selected, &mut ratings).with_context(place)?;
            let (forest, now) = self.round(round, &ratings, rated.failed).with_context(place)?;
            selected = now;
            last = Some((forest, rated.model));
        }
        let (forest, rated_by) = last.context("there is at least one round")?;
        Ok(self.model(forest, rated_by))
    }

    /// Embeds the corpus and the positives. Returns how many documents have no embedding.
    fn embed(&mut self, positives: &[Document]) -> anyhow::Result<usize> {
        let texts: Vec<&str> = self.documents.iter().chain(positives).map(|document| document.text.as_str()).collect();
        let (failed, reason) = self.caller.embed(&texts)?;
        if let Some(reason) = reason {
            events::screen::not_embedded(failed, &reason);
        }
        self.documents.retain(|document| self.caller.embedding(&document.text).is_some());
        if self.documents.len() < LEAST_DOCUMENTS {
            bail!("only {} documents have an embedding, at least {LEAST_DOCUMENTS} are needed", self.documents.len());
        }
        Ok(failed)
    }

    fn cold_start(&mut self, positives: &[Document], failed: usize) -> anyhow::Result<BTreeSet<String>> {
        let negatives = sample(self.documents.iter(), "negative", self.settings.negatives, self.settings.seed);
        let yes = positives.iter().map(|document| (document, 1.0));
        let no = negatives.into_iter().map(|document| (document, 0.0));
        let examples = self.examples(yes.chain(no));
        let (forest, scored, learnt_from) = self.fit(Kind::Classifier, &examples)?;
        let labels: Vec<_> = scored.into_iter().map(|(score, target)| (score, target > 0.5)).collect();
        let figures = Figures::of_labels(&labels, COLD_THRESHOLD);
        let selected = self.select(&forest, COLD_THRESHOLD);
        self.note(Round { round: 0, learnt_from, failed, selected: selected.len(), held_out: figures });
        Ok(selected)
    }

    /// Has a part of what is selected and a random sample rated, and adds their ratings to those of earlier rounds.
    fn rate(
        &mut self,
        round: u32,
        selected: &BTreeSet<String>,
        ratings: &mut BTreeMap<String, f64>,
    ) -> anyhow::Result<rate::Rated> {
        let ScreenTrainConfig { selected: most, sample: random, seed, .. } = *self.settings;
        let of_selected = self.documents.iter().filter(|document| selected.contains(&document.id));
        let of_selected = sample(of_selected, &format!("selected {round}"), most, seed);
        let random = sample(self.documents.iter(), &format!("sample {round}"), random, seed);
        let chosen: BTreeMap<&str, &Document> =
            of_selected.into_iter().chain(random).map(|document| (document.id.as_str(), document)).collect();
        let chosen: Vec<&Document> = chosen.into_values().collect();
        let rated = rate::rate(&mut self.caller, &self.prompts, &chosen)?;
        ratings.extend(rated.ratings.clone());
        Ok(rated)
    }

    fn round(
        &mut self,
        round: u32,
        ratings: &BTreeMap<String, f64>,
        failed: usize,
    ) -> anyhow::Result<(Forest, BTreeSet<String>)> {
        let rated = self.documents.iter().filter_map(|document| Some((document, *ratings.get(&document.id)?)));
        let (forest, scored, learnt_from) = self.fit(Kind::Regressor, &self.examples(rated))?;
        let figures = Figures::of_ratings(&scored, self.settings.keep);
        let selected = self.select(&forest, self.settings.keep);
        self.note(Round { round, learnt_from, failed, selected: selected.len(), held_out: figures });
        Ok((forest, selected))
    }

    fn examples<'a>(&'a self, documents: impl Iterator<Item = (&'a Document, f64)>) -> Vec<Example<'a>> {
        let example = |(document, target): (&'a Document, f64)| {
            let embedding = self.caller.embedding(&document.text)?;
            Some(Example { id: &document.id, embedding, target })
        };
        documents.filter_map(example).collect()
    }

    /// A forest, its scores of what was held out with their targets, and how many examples it has learnt from.
    fn fit(&self, kind: Kind, examples: &[Example<'_>]) -> anyhow::Result<(Forest, Vec<(f64, f64)>, usize)> {
        let is_out = |example: &&Example<'_>| held_out(example.id, self.settings.held_out, self.settings.seed);
        let (out, learnt): (Vec<&Example<'_>>, Vec<&Example<'_>>) = examples.iter().partition(is_out);
        let targets: Vec<f64> = learnt.iter().map(|example| example.target).collect();
        let forest = Forest::fit(kind, &embeddings(&learnt), &targets, &self.forest_settings())?;
        let scores = forest.scores(&embeddings(&out));
        let scored = scores.into_iter().zip(out).map(|(score, example)| (score, example.target)).collect();
        Ok((forest, scored, learnt.len()))
    }

    fn forest_settings(&self) -> ForestSettings {
        let ScreenTrainConfig { trees, least_in_leaf, seed, .. } = *self.settings;
        ForestSettings { trees, least_in_leaf, seed }
    }

    fn select(&self, forest: &Forest, threshold: f64) -> BTreeSet<String> {
        let with_embedding =
            self.documents.iter().filter_map(|document| Some((document, self.caller.embedding(&document.text)?)));
        let (documents, embeddings): (Vec<&Document>, Vec<&[f32]>) = with_embedding.unzip();
        let scored = documents.into_iter().zip(forest.scores(&embeddings));
        scored.filter(|(_, score)| *score > threshold).map(|(document, _)| document.id.clone()).collect()
    }

    fn note(&mut self, round: Round) {
        let Spent { calls, tokens, cost, .. } = self.caller.spent();
        events::screen::round(&round, self.documents.len(), calls, tokens, cost);
        self.rounds.push(round);
    }

    fn model(&self, forest: Forest, rated_by: String) -> Model {
        let embedder = Embedder {
            model: self.config.llm.embed.settings.model.clone(),
            dimensions: forest.dimensions(),
            cut: self.settings.cut,
        };
        let training = Training {
            rated_by,
            prompt: self.prompts.version(Prompt::Rate).to_owned(),
            settings: serde_json::to_value(self.settings).expect("settings are plain JSON"),
            forest: self.forest_settings(),
            documents: self.documents.len(),
            rounds: self.rounds.clone(),
        };
        Model::new(&self.config.domain, embedder, self.settings.keep, training, forest)
    }
}

/// The first so many of the documents, in a random order of this purpose.
fn sample<'a>(documents: impl Iterator<Item = &'a Document>, purpose: &str, most: usize, seed: u64) -> Vec<&'a Document> {
    let mut documents: Vec<&Document> = documents.collect();
    documents.sort_by_key(|document| rank(purpose, &document.id, seed));
    documents.truncate(most);
    documents
}

fn embeddings<'a>(examples: &[&Example<'a>]) -> Vec<&'a [f32]> {
    examples.iter().map(|example| example.embedding).collect()
}

/// The file is there whole or not at all.
fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let failed = || format!("can't write {}", path.display());
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let mut file = std::fs::File::create(&part).with_context(failed)?;
    file.write_all(bytes).with_context(failed)?;
    file.sync_all().with_context(failed)?;
    std::fs::rename(&part, path).with_context(failed)
}
