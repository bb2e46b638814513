//! `report`: what the samples that stand are like, as one page and as JSON.
//!
//! `samples` is read once into a temporary file, as `export` does; then the samples are taken from it in the order of their ids, and those whose
//! questions are compared a second time. `extractions` and `progress` say what there is to be covered, and what was dropped and paid.

mod counts;

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};
use synthllm_export::{Filter, Format, Settings, Shape};
use synthllm_llm::Task;
use synthllm_log::{Log, LogName};
use synthllm_operators::codec;
use synthllm_operators::id::DocumentId;
use synthllm_operators::record::{ExtractionConcepts, Pointer, Sample};
use synthllm_operators::subsets::Subsets;
use synthllm_operators::upsert::{Entry, Naming};
use synthllm_report::{Cosines, Diversity, Graph, Report, Sampling, Survey, html};

use super::export::standing::{Place, Records, Standing};
use super::export::whole;
use super::print;
use super::screen::{caller::Caller, text};
use crate::cli::ReportArgs;
use crate::config::Config;
use crate::{events, logs, run};

/// Writes the page, the JSON, or both.
pub fn execute(config: &Config, args: &ReportArgs) -> anyhow::Result<()> {
    args.check()?;
    let report = report(config, args, &logs::open(config)?)?;
    if let Some(path) = &args.output {
        write(path, &html(&report))?;
    }
    if let Some(path) = &args.json {
        write(path, &(serde_json::to_string_pretty(&report)? + "\n"))?;
    }
    Ok(())
}

fn report(config: &Config, args: &ReportArgs, log: &Arc<dyn Log>) -> anyhow::Result<Report> {
    let all = Filter::default();
    let all = Settings { shape: Shape::Raw, format: Format::Jsonl, filter: all, split: None, shard_size: None };
    let standing = Standing::read(log, &all)?;
    let (survey, diversity) = survey(standing)?;
    let cosines = match &args.embed {
        Some(folder) => by_embeddings(config, folder, diversity)?,
        None => diversity.by_words(),
    };
    Ok(survey.report(&config.app, &graph(config, log)?, counts::counted(log)?, cosines))
}

/// The samples in the order of their ids, and the questions of some of their documents.
fn survey(mut standing: Standing) -> anyhow::Result<(Survey, Diversity)> {
    let mut survey = Survey::default();
    for entry in standing.entries.values() {
        survey.add(&sample(&mut standing.records, entry.place)?);
    }
    let mut diversity = survey.diversity(Sampling::default());
    for entry in standing.entries.values() {
        if diversity.wants(&entry.documents) {
            diversity.add(&sample(&mut standing.records, entry.place)?);
        }
    }
    Ok((survey, diversity))
}

/// What the folder has is not asked for again.
fn by_embeddings(config: &Config, folder: &Path, diversity: Diversity) -> anyhow::Result<Cosines> {
    let model = config.llm.of(Task::Embed).settings.model.clone();
    let mut caller = Caller::new(config, run::prompts(config, usize::MAX)?, folder, config.screen.train.batch)?;
    let questions: Vec<&str> = diversity.distinct().into_iter().collect();
    if let (failed @ 1.., reason) = caller.embed(&questions)? {
        let reason = reason.unwrap_or_default();
        bail!("{failed} of {} questions have no embedding of {model}: {reason}", questions.len());
    }
    events::report::embedded(questions.len(), &text::of_spent(caller.spent()));
    let cosines = diversity.by_embeddings(&model, |questions| {
        let embeddings = questions.iter().map(|question| caller.embedding(question).map(<[f32]>::to_vec));
        embeddings.collect::<Option<Vec<_>>>().context("an embedding is missing")
    });
    cosines.map_err(|error| anyhow::anyhow!("{error}"))
}

fn sample(records: &mut Records, place: Place) -> anyhow::Result<Sample> {
    Ok(serde_json::from_slice(&records.read(place)?)?)
}

/// The live documents with their concepts.
fn graph(config: &Config, log: &Arc<dyn Log>) -> anyhow::Result<Graph> {
    let mut graph = Graph::default();
    // Samples name concepts, whatever the subset.
    let naming = Naming { subsets: Subsets::None, ..config.graph.naming() };
    logs::read_all(log, LogName::Extractions, |record| {
        let key = String::from_utf8(record.key.unwrap_or_default()).context("its key is no id")?;
        let place = Pointer { partition: record.partition, offset: record.offset };
        let value = record.value.as_deref();
        let concepts = value.map(codec::decode_beginning::<ExtractionConcepts<'_>>).transpose()?;
        let entry = Entry::of(&key, place, concepts, &naming);
        graph.upsert(DocumentId::of(&key), entry.content.as_ref());
        Ok(())
    })?;
    Ok(graph)
}

/// A file appears whole or not at all.
fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    if path == Path::new("-") { print(text) } else { whole::text(path, text) }
}
