//! Small screening models, for the embeddings of the scripted server.
#![allow(clippy::missing_panics_doc)]

use synthllm_screening::{Embedder, Forest, ForestSettings, Kind, Model, Training};

use crate::scripted::embedding;

/// The name of the embedding model, for `llm.embed.model`.
pub const EMBEDDER: &str = "small";

/// The embedding of a text, as the program has it.
pub fn numbers(text: &str) -> Vec<f32> {
    embedding(text).into_iter().map(|number| number as f32).collect()
}

/// A model that has learnt how these texts are rated, from 1 to 10, and lets in what scores above 6.5.
pub fn model(rated: &[(String, f64)]) -> Model {
    let embeddings: Vec<Vec<f32>> = rated.iter().map(|(text, _)| numbers(text)).collect();
    let rows: Vec<&[f32]> = embeddings.iter().map(Vec::as_slice).collect();
    let ratings: Vec<f64> = rated.iter().map(|(_, rating)| *rating).collect();
    let settings = ForestSettings { trees: 20, ..ForestSettings::default() };
    let forest = Forest::fit(Kind::Regressor, &rows, &ratings, &settings).expect("there is enough to learn from");
    let embedder = Embedder { model: EMBEDDER.into(), dimensions: forest.dimensions(), cut: 2000 };
    let training = Training {
        rated_by: "tests".into(),
        prompt: "none".into(),
        settings: serde_json::Value::Null,
        forest: settings,
        documents: rated.len(),
        rounds: Vec::new(),
    };
    Model::new("tests", embedder, 6.5, training, forest)
}
