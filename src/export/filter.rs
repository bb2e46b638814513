//! Which samples are exported: by level, by score, by concept.

use std::collections::BTreeMap;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use synthllm_operators::normal::fold;
use synthllm_operators::record::Sample;

/// What a sample must be to be exported. The default keeps all.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Filter {
    /// One of these levels; any where there are none.
    levels: Vec<u8>,
    /// At least so much of each of these scores. A sample without the score is left out.
    min_scores: BTreeMap<String, f64>,
    /// One of these concepts or topics, folded; any where there are none.
    concepts: Vec<String>,
}

impl Filter {
    /// A filter in one form, whatever the order and spelling of its parts. Of two bounds of one score the later counts.
    pub fn new(levels: &[u8], min_scores: &[MinScore], concepts: &[String]) -> Self {
        let mut filter = Filter {
            levels: levels.to_vec(),
            min_scores: min_scores.iter().map(|bound| (bound.name.clone(), bound.value)).collect(),
            concepts: concepts.iter().map(|concept| fold(concept)).collect(),
        };
        filter.levels.sort_unstable();
        filter.levels.dedup();
        filter.concepts.sort_unstable();
        filter.concepts.dedup();
        filter
    }

    /// Whether a sample passes.
    pub fn keeps(&self, sample: &Sample) -> bool {
        let named = || sample.concepts.iter().chain(&sample.topics).any(|name| self.concepts.contains(&fold(name)));
        let scored = |(name, least): (&String, &f64)| sample.scores.get(name.as_str()).is_some_and(|score| score >= least);
        (self.levels.is_empty() || self.levels.contains(&sample.level))
            && self.min_scores.iter().all(scored)
            && (self.concepts.is_empty() || named())
    }

    /// The scores that it bounds.
    pub fn scores(&self) -> impl Iterator<Item = &str> {
        self.min_scores.keys().map(String::as_str)
    }

    /// Its parts in words, for the dataset card.
    pub fn describe(&self) -> Vec<String> {
        let mut parts = Vec::new();
        if !self.levels.is_empty() {
            let levels: Vec<String> = self.levels.iter().map(ToString::to_string).collect();
            parts.push(format!("level {}", levels.join(" or ")));
        }
        parts.extend(self.min_scores.iter().map(|(name, least)| format!("score `{name}` of at least {least}")));
        if !self.concepts.is_empty() {
            parts.push(format!("concept or topic {}", self.concepts.join(" or ")));
        }
        parts
    }
}

/// The least value of a score, as in `agreement=0.5`.
#[derive(Clone, PartialEq, Debug)]
pub struct MinScore {
    /// The score's name.
    pub name: String,
    /// Its least value.
    pub value: f64,
}

/// Why a text is no [`MinScore`].
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("expected NAME=VALUE with a number, as in agreement=0.5")]
pub struct MinScoreError;

impl FromStr for MinScore {
    type Err = MinScoreError;

    fn from_str(text: &str) -> Result<Self, MinScoreError> {
        let (name, value) = text.rsplit_once('=').ok_or(MinScoreError)?;
        let value: f64 = value.trim().parse().map_err(|_| MinScoreError)?;
        let is_sound = value.is_finite() && !name.trim().is_empty();
        is_sound.then(|| MinScore { name: name.trim().to_owned(), value }).ok_or(MinScoreError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Sample {
        serde_json::from_value(serde_json::json!({
            "id": "a", "level": 2, "question": "?", "answer": "!", "concepts": ["Taylor  Series"], "topics": ["Analysis"],
            "provenance": {"combination": "c", "walk": [], "documents": [], "models": {}, "prompts": {}},
            "scores": {"agreement": 0.5}, "usage": {"calls": 1, "prompt_tokens": 1, "completion_tokens": 1}, "cost": 0.0,
        }))
        .unwrap()
    }

    fn keeps(levels: &[u8], scores: &[&str], concepts: &[&str]) -> bool {
        let scores: Vec<MinScore> = scores.iter().map(|text| text.parse().unwrap()).collect();
        let concepts: Vec<String> = concepts.iter().map(|concept| (*concept).to_owned()).collect();
        Filter::new(levels, &scores, &concepts).keeps(&sample())
    }

    #[test]
    fn every_part_of_a_filter_must_pass() {
        assert!(keeps(&[], &[], &[]));
        assert!(keeps(&[1, 2], &["agreement=0.5"], &["taylor series"]));
        assert!(!keeps(&[1, 3], &["agreement=0.5"], &["taylor series"]));
        assert!(!keeps(&[2], &["agreement=0.6"], &["taylor series"]));
        assert!(!keeps(&[2], &["agreement=0.5"], &["series"]));
    }

    #[test]
    fn a_score_that_a_sample_lacks_is_too_low() {
        assert!(!keeps(&[], &["judge=-1"], &[]));
    }

    #[test]
    fn topics_count_as_concepts_and_one_of_many_is_enough() {
        assert!(keeps(&[], &[], &["algebra", "ANALYSIS"]));
    }

    #[test]
    fn equal_filters_are_equal_however_they_are_written() {
        let [one, other] = [["B", "a"], ["A", "b"]].map(|names| Filter::new(&[2, 1], &[], &names.map(str::to_owned)));
        assert_eq!(one, other);
    }

    #[test]
    fn a_bound_without_name_or_number_is_refused() {
        for text in ["agreement", "=0.5", "agreement=much", "agreement=NaN"] {
            assert_eq!(text.parse::<MinScore>(), Err(MinScoreError), "{text}");
        }
        assert_eq!("a=b=1".parse(), Ok(MinScore { name: "a=b".into(), value: 1.0 }));
    }
}
