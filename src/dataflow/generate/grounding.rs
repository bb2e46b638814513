//! What a combination is grounded on: the texts of its references, and how their documents write its concepts.

use synthllm_operators::id::Kind;
use synthllm_operators::normal::concept_name;
use synthllm_operators::record::{Combination, Extraction, SampleDocument, Version, place_of, screenings_of, version};

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

/// A version in a sample: partition and offset, and behind a point the number of its document's life, unless it is the first.
fn version_text(version: Version) -> String {
    let (place, life) = (place_of(version), screenings_of(version));
    let life = if life > 0 { format!(".{life}") } else { String::new() };
    format!("{}@{}{life}", place.partition, place.offset)
}

/// The version that a sample names. Samples of the first days have a colon.
pub(super) fn version_of(text: &str) -> Option<Version> {
    let (partition, rest) = text.split_once(['@', ':'])?;
    let (offset, life) = rest.split_once('.').unwrap_or((rest, "0"));
    let place = Version { partition: partition.parse().ok()?, offset: offset.parse().ok()? };
    Some(version(place, life.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_read_as_it_was_written() {
        let place = Version { partition: 3, offset: 41 };
        for (life, text) in [(0, "3@41"), (7, "3@41.7")] {
            assert_eq!(version_text(version(place, life)), text);
            assert_eq!(version_of(text), Some(version(place, life)));
        }
        assert_eq!(version_of("3:41"), Some(place));
        assert_eq!(["", "3", "3@", "@4", "3@4.", "a@b"].map(version_of), [None; 6]);
    }
}
