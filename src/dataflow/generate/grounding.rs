//! What a combination is grounded on: the texts of its references, and how their documents write its concepts.

use synthllm_operators::id::Kind;
use synthllm_operators::normal::concept_name;
use synthllm_operators::record::{Combination, Extraction, SampleDocument, Version, place_of};

/// A document that questions are grounded on.
#[derive(Clone, Debug)]
pub(super) struct Grounding {
    /// Its text.
    pub text: String,
    /// What was extracted from it.
    pub extraction: Extraction,
}

/// The key concepts that questions may join, in display form: those of the walk (level 3), or all of the document (level 2).
pub(super) fn offered(combination: &Combination, grounding: &[Grounding]) -> Vec<String> {
    let key_concepts = combination.walk.iter().filter(|node| node.kind == Kind::KeyConcept);
    key_concepts.map(|node| displayed(grounding, key_concepts_of, &node.name)).collect()
}

/// The topics of the walk, in display form.
pub(super) fn topics(combination: &Combination, grounding: &[Grounding]) -> Vec<String> {
    let topics = combination.walk.iter().filter(|node| node.kind == Kind::Topic);
    topics.map(|node| displayed(grounding, topics_of, &node.name)).collect()
}

/// How the first document that has this concept writes it; else the normalised name.
fn displayed<'g>(grounding: &'g [Grounding], of: fn(&'g Extraction) -> Vec<&'g str>, name: &str) -> String {
    let written = grounding.iter().flat_map(|grounding| of(&grounding.extraction));
    written.into_iter().find(|display| concept_name(display) == name).unwrap_or(name).to_owned()
}

fn key_concepts_of(extraction: &Extraction) -> Vec<&str> {
    let under_topics = extraction.topics.iter().flat_map(|topic| &topic.key_concepts);
    under_topics.chain(&extraction.key_concepts).map(String::as_str).collect()
}

fn topics_of(extraction: &Extraction) -> Vec<&str> {
    extraction.topics.iter().map(|topic| topic.name.as_str()).collect()
}

/// What a sample says of the documents that it stands on.
pub(super) fn documents(combination: &Combination, grounding: &[Grounding]) -> Vec<SampleDocument> {
    let documents = combination.references.iter().zip(grounding);
    let document = documents.map(|(reference, grounding)| SampleDocument {
        id: reference.document.clone(),
        version: version_text(reference.version),
        jaccard: reference.jaccard,
        source: grounding.extraction.source.clone(),
        license: grounding.extraction.license.clone(),
    });
    document.collect()
}

fn version_text(version: Version) -> String {
    let place = place_of(version);
    format!("{}@{}", place.partition, place.offset)
}
