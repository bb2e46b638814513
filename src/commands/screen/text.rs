//! What `screen` prints for people.

use std::fmt::{Error, Write};
use std::path::Path;

use synthllm_screening::{AtThreshold, Figures, Model, Round};

use super::caller::Spent;

/// What a training has brought.
pub fn of_training(model: &Model, path: &Path, spent: Spent) -> Result<String, Error> {
    let mut text = of_model(model)?;
    writeln!(text, "\nspent now: {}", of_spent(spent))?;
    writeln!(text, "written to {}", path.display())?;
    Ok(text)
}

/// Calls, tokens and cost.
pub fn of_spent(spent: Spent) -> String {
    let Spent { calls, tokens, cost, known } = spent;
    format!("{calls} calls, {tokens} tokens, cost {cost:.4}; {known} answers were there already")
}

/// A model with its rounds.
pub fn of_model(model: &Model) -> Result<String, Error> {
    let training = model.training();
    let embedder = model.embedder();
    let mut text = format!("screening model {} for {}\n", model.version(), model.domain());
    writeln!(text, "keeps documents that score above {}", model.threshold())?;
    writeln!(
        text,
        "embeddings of {}, {} numbers, of the first {} characters",
        embedder.model, embedder.dimensions, embedder.cut
    )?;
    writeln!(text, "rated by {}; {} trees, seed {}", training.rated_by, training.forest.trees, training.forest.seed)?;
    training.rounds.iter().try_for_each(|round| write!(text, "\n{}", of_round(round, training.documents)?).map(drop))?;
    Ok(text)
}

fn of_round(round: &Round, documents: usize) -> Result<String, Error> {
    let name = if round.round == 0 { "cold start".to_owned() } else { format!("round {}", round.round) };
    let Round { learnt_from, selected, failed, .. } = round;
    let mut text = format!("{name}: learnt from {learnt_from} examples, selects {selected} of {documents} documents");
    if *failed > 0 {
        write!(text, ", {failed} left out")?;
    }
    writeln!(text, "\n{}", indented(&of_figures("held out", &round.held_out)?))?;
    text.truncate(text.trim_end().len());
    Ok(text + "\n")
}

fn indented(text: &str) -> String {
    text.lines().flat_map(|line| ["  ", line, "\n"]).collect()
}

/// Figures, a line each.
pub fn of_figures(name: &str, figures: &Figures) -> Result<String, Error> {
    let mut text = format!("{name}: {} examples\n", figures.examples);
    match &figures.roc {
        Some(roc) => writeln!(text, "area under the ROC curve {:.3}", roc.area)?,
        None => writeln!(text, "no ROC curve: all examples are on one side")?,
    }
    let at: &AtThreshold = &figures.at_threshold;
    let shown = |share: Option<f64>| share.map_or("-".to_owned(), |share| format!("{share:.3}"));
    let counts = (at.true_positives, at.false_positives, at.false_negatives, at.true_negatives);
    writeln!(
        text,
        "above {}: precision {}, recall {} (kept {} right and {} wrong, not kept {} wrong and {} right)",
        at.threshold,
        shown(at.precision()),
        shown(at.recall()),
        counts.0,
        counts.1,
        counts.2,
        counts.3
    )?;
    if let Some(ratings) = &figures.ratings {
        let correlation = ratings.correlation.map_or("-".to_owned(), |correlation| format!("{correlation:.3}"));
        let (rmse, of_mean) = (ratings.rmse, ratings.rmse_of_mean);
        writeln!(text, "ratings: root mean square error {rmse:.3} (of their mean {of_mean:.3}), correlation {correlation}")?;
    }
    Ok(text)
}
