//! `screen eval`: how good a model is, on what was held out when it was trained, or on other documents.

use std::fmt::Write;
use std::path::Path;

use anyhow::{Context, bail};
use serde::Serialize;
use synthllm_screening::{Figures, Model, Training, plot, rank};

use super::caller::{Caller, Spent};
use super::corpus::{self, Corpus, Document};
use super::{check_embedder, rate, read_model, text, work_folder};
use crate::cli::ScreenEvalArgs;
use crate::commands::{print, print_json};
use crate::config::Config;
use crate::hint::Usage;
use crate::{events, run};

/// Everything that `screen eval --json` prints.
#[derive(Serialize)]
struct Report<'a> {
    version: &'a str,
    domain: &'a str,
    threshold: f64,
    embedder: &'a synthllm_screening::Embedder,
    training: &'a Training,
    measured: Option<Measured>,
}

/// What was measured now.
#[derive(Serialize)]
struct Measured {
    /// Documents that were scored.
    documents: usize,
    /// Documents of them that are kept.
    selected: usize,
    /// Documents that could not be embedded or rated.
    failed: usize,
    /// Of those with a label or a rating.
    figures: Figures,
    /// The share of yes in what is kept.
    precision: Option<f64>,
    /// The share of yes that is kept.
    recall: Option<f64>,
    calls: u64,
    tokens: u64,
    cost: f64,
}

/// Prints what is known of a model, and what is measured now.
pub fn execute(config: &Config, args: &ScreenEvalArgs) -> anyhow::Result<()> {
    let model = read_model(&args.model)?;
    let measured = match (args.files.is_empty(), args.rate) {
        (true, None) => None,
        _ => Some(measure(config, args, &model)?),
    };
    if let Some(path) = &args.plot {
        draw(path, &model, measured.as_ref())?;
    }
    if args.json {
        return print_json(&Report {
            version: model.version(),
            domain: model.domain(),
            threshold: model.threshold(),
            embedder: model.embedder(),
            training: model.training(),
            measured,
        });
    }
    print(&shown(&model, measured.as_ref())?)
}

fn shown(model: &Model, measured: Option<&Measured>) -> Result<String, std::fmt::Error> {
    let mut shown = text::of_model(model)?;
    if let Some(measured) = measured {
        let Measured { documents, selected, failed, calls, tokens, cost, .. } = measured;
        writeln!(shown, "\nmeasured now: selects {selected} of {documents} documents, {failed} left out")?;
        shown += &text::of_figures("with a label or rating", &measured.figures)?;
        writeln!(shown, "spent: {calls} calls, {tokens} tokens, cost {cost:.4}")?;
    }
    Ok(shown)
}

fn draw(path: &Path, model: &Model, measured: Option<&Measured>) -> anyhow::Result<()> {
    let last = model.training().rounds.last().map(|round| &round.held_out);
    let figures = measured.map(|measured| &measured.figures).or(last).context("the model has no figures")?;
    let name = if measured.is_some() { "measured" } else { "held out" };
    let Some(svg) = plot(&format!("{}, {name}", model.domain()), figures) else {
        bail!("there is no curve to draw: all examples are on one side");
    };
    std::fs::write(path, svg).with_context(|| format!("can't write {}", path.display()))
}

fn measure(config: &Config, args: &ScreenEvalArgs, model: &Model) -> anyhow::Result<Measured> {
    check_embedder(config, model)?;
    let settings = &config.screen.train;
    let corpus = Corpus { config, most: usize::MAX, seed: settings.seed, cut: model.embedder().cut };
    let mut documents = corpus.read(&args.files)?;
    if let Some(most) = args.rate {
        documents.sort_by_key(|document| rank("eval", &document.id, settings.seed));
        documents.truncate(most);
    }
    if documents.is_empty() {
        bail!("{} has no document with a text", corpus::name(&args.files));
    }
    let prompts = run::prompts(config, usize::MAX)?;
    let work = work_folder(&args.model, args.work.as_deref());
    let mut caller = Caller::new(config, prompts.clone(), &work, settings.batch)?;
    let mut failed = 0;
    if args.rate.is_some() {
        let chosen: Vec<&Document> = documents.iter().collect();
        let rated = rate::rate(&mut caller, &prompts, &chosen)?;
        failed += rated.failed;
        for document in &mut documents {
            (document.rating, document.label) = (rated.ratings.get(&document.id).copied(), None);
        }
    }
    let texts: Vec<&str> = documents.iter().map(|document| document.text.as_str()).collect();
    let (not_embedded, reason) = caller.embed(&texts)?;
    if let Some(reason) = reason {
        events::screen::not_embedded(not_embedded, &reason);
    }
    measured(model, &caller, &documents, failed + not_embedded)
}

fn measured(model: &Model, caller: &Caller, documents: &[Document], failed: usize) -> anyhow::Result<Measured> {
    let with_embedding = documents.iter().filter_map(|document| Some((document, caller.embedding(&document.text)?)));
    let (documents, embeddings): (Vec<&Document>, Vec<&[f32]>) = with_embedding.unzip();
    let scores = model.scores(&embeddings)?;
    let threshold = model.threshold();
    let (mut labels, mut ratings) = (Vec::new(), Vec::new());
    for (document, score) in documents.iter().zip(&scores) {
        labels.extend(document.label.or(document.rating.map(|it| it > threshold)).map(|label| (*score, label)));
        ratings.extend(document.rating.map(|rating| (*score, rating)));
    }
    if labels.is_empty() {
        let message = "no document has a field \"label\" or \"rating\" to measure by; --rate N has N of them rated";
        return Err(Usage(message.to_owned()).into());
    }
    let of_ratings = if ratings.is_empty() { None } else { Figures::of_ratings(&ratings, threshold).ratings };
    let figures = Figures { ratings: of_ratings, ..Figures::of_labels(&labels, threshold) };
    let Spent { calls, tokens, cost, .. } = caller.spent();
    Ok(Measured {
        documents: documents.len(),
        selected: scores.iter().filter(|score| **score > threshold).count(),
        failed,
        precision: figures.at_threshold.precision(),
        recall: figures.at_threshold.recall(),
        figures,
        calls,
        tokens,
        cost,
    })
}
