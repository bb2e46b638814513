//! The cold start: examples of the domain before anything is rated. The model writes a syllabus and documents after it, or the
//! user brings examples.

use anyhow::{Context, bail};
use synthllm_llm::{Prompts, Request, Schema};
use synthllm_operators::screening_answers::{Unit, syllabus, syllabus_schema};

use super::caller::Caller;
use super::corpus::{Corpus, Document};
use crate::config::{Config, ScreenTrainConfig};
use crate::events;

/// What is written, in turn.
const KINDS: [&str; 3] = ["blog post", "exam with worked solutions", "passage of a textbook"];

/// Documents of the domain, in a fixed order.
pub fn positives(config: &Config, caller: &mut Caller, prompts: &Prompts) -> anyhow::Result<Vec<Document>> {
    let settings = &config.screen.train;
    let positives = match &settings.examples {
        Some(file) => {
            let examples = Corpus { config, most: settings.positives, seed: settings.seed, cut: settings.cut };
            examples.read(std::slice::from_ref(file)).context("can't read `screen.train.examples`")?
        }
        None => written(settings, caller, prompts)?,
    };
    if positives.is_empty() {
        bail!("there is no example of the domain for the cold start");
    }
    Ok(positives)
}

fn written(settings: &ScreenTrainConfig, caller: &mut Caller, prompts: &Prompts) -> anyhow::Result<Vec<Document>> {
    let request = prompts.syllabus(settings.units, Schema::new("syllabus", syllabus_schema(settings.units)));
    let mut outcome = caller.ask("syllabus", vec![request], |text| syllabus(&text.text, settings.units))?;
    let units = outcome.pop().context("there was one request")?;
    let units = units.map_err(|reason| anyhow::anyhow!("the model writes no syllabus: {reason}"))?;
    let requests = (0..settings.positives).map(|number| request_of(number, &units, settings, prompts)).collect();
    let outcomes = caller.ask("writing documents of the domain", requests, |text| Ok(text.text.clone()))?;
    let mut documents = Vec::new();
    for (number, outcome) in outcomes.into_iter().enumerate() {
        // Names that no document of a user has, for the split.
        let id = format!("synthllm:written:{number}");
        match outcome {
            Ok(text) if !text.trim().is_empty() => {
                let text = synthllm_screening::cut(text.trim(), settings.cut).to_owned();
                documents.push(Document { id, text, label: Some(true), rating: None });
            }
            Ok(_) => events::screen::not_written(number, "the answer is empty"),
            Err(reason) => events::screen::not_written(number, &reason),
        }
    }
    Ok(documents)
}

/// Kinds, units and topics in turn, so that any number of documents is spread over all of them; the seed makes two of the same
/// kind and topic differ.
fn request_of(number: usize, units: &[Unit], settings: &ScreenTrainConfig, prompts: &Prompts) -> Request {
    let kind = KINDS[number % KINDS.len()];
    let unit = &units[number / KINDS.len() % units.len()];
    let topic = &unit.topics[number / (KINDS.len() * units.len()) % unit.topics.len()];
    let request = prompts.synthetic_document(kind, &unit.title, topic);
    Request { seed: Some(settings.seed.wrapping_add(number as u64)), ..request }
}
