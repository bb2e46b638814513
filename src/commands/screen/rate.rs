//! Ratings of documents by the model.

use std::collections::BTreeMap;

use synthllm_llm::{Prompts, Schema};
use synthllm_operators::screening_answers::{rating, rating_schema};

use super::caller::Caller;
use super::corpus::Document;
use crate::events;

/// Ratings by document, and how many documents have none.
#[derive(Default)]
pub struct Rated {
    /// From 1 to 10, by the document's id.
    pub ratings: BTreeMap<String, f64>,
    /// Documents that could not be rated.
    pub failed: usize,
    /// The model that rated, as its endpoint names it.
    pub model: String,
}

/// Has documents rated. One whose rating can't be had is counted and left out.
pub fn rate(caller: &mut Caller, prompts: &Prompts, documents: &[&Document]) -> anyhow::Result<Rated> {
    let schema = Schema::new("rating", rating_schema());
    let requests = documents.iter().map(|document| prompts.rate(&document.text, schema.clone())).collect();
    let outcomes = caller.ask("rating", requests, |text| Ok((rating(&text.text)?, text.model.clone())))?;
    let mut rated = Rated::default();
    for (document, outcome) in documents.iter().zip(outcomes) {
        match outcome {
            Ok((rating, model)) => {
                rated.ratings.insert(document.id.clone(), rating);
                rated.model = model;
            }
            Err(reason) => {
                rated.failed += 1;
                events::screen::not_rated(&document.id, &reason);
            }
        }
    }
    Ok(rated)
}
