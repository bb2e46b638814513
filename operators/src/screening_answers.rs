//! The shapes of the model's answers while a screening model is trained, and how they are read: ratings, and syllabi.
//!
//! Input, output and law are those of [`crate::answers`]: never a panic; an answer that the schema allows is read in full, and
//! what is wrong with another is said in words that can be put to the model. Cost: linear in the text.

use serde_json::Value;

use crate::answers::{AnswerProblem, array_schema, bounded, items, object, object_schema, problem, text_schema};

/// The lowest and the highest rating.
pub const RATINGS: (f64, f64) = (1.0, 10.0);

/// The longest reason, title or topic, in characters.
const LONGEST_TEXT: usize = 200;

/// The most topics of a unit.
const MOST_TOPICS: usize = 8;

/// A unit of a syllabus.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unit {
    /// Its title.
    pub title: String,
    /// What it teaches; at least one topic.
    pub topics: Vec<String>,
}

/// The JSON Schema `rating`: the reason stands first, so that a model thinks before it decides.
pub fn rating_schema() -> String {
    let (low, high) = RATINGS;
    let score = format!(r#"{{"type":"integer","minimum":{low},"maximum":{high}}}"#);
    object_schema(&[("reason", &text_schema(LONGEST_TEXT)), ("score", &score)])
}

/// Reads an answer to the schema `rating`: from 1 to 10.
///
/// ```
/// use synthllm_operators::screening_answers::rating;
/// assert_eq!(rating(r#"{"reason": "On topic.", "score": 8}"#), Ok(8.0));
/// assert!(rating(r#"{"score": 11}"#).unwrap_err().to_string().contains("from 1 to 10"));
/// ```
pub fn rating(text: &str) -> Result<f64, AnswerProblem> {
    let answer = object(text)?;
    let (low, high) = RATINGS;
    // Endpoints that don't enforce the schema write the number as text at times.
    let said = answer["score"].as_f64().or_else(|| answer["score"].as_str()?.trim().parse().ok());
    let score = said.ok_or_else(|| problem(r#"the field "score" is no number"#))?;
    if !(low..=high).contains(&score) {
        return Err(problem(&format!("\"score\" is {score}, expected a number from {low} to {high}")));
    }
    Ok(score)
}

/// The JSON Schema `syllabus` of at most so many units.
pub fn syllabus_schema(units: usize) -> String {
    let topics = array_schema(&text_schema(LONGEST_TEXT), 1, MOST_TOPICS);
    let unit = object_schema(&[("title", &text_schema(LONGEST_TEXT)), ("topics", &topics)]);
    object_schema(&[("units", &array_schema(&unit, 1, units))])
}

/// Reads an answer to the schema `syllabus`: at least one unit. A unit without a topic teaches its title.
pub fn syllabus(text: &str, units: usize) -> Result<Vec<Unit>, AnswerProblem> {
    let answer = object(text)?;
    let usable = |value: &Value| bounded(value, LONGEST_TEXT).filter(|text| !text.is_empty());
    let unit = |item: &Value| {
        let title = usable(&item["title"])?;
        let named = item["topics"].as_array().into_iter().flatten().filter_map(usable);
        let mut topics: Vec<String> = named.take(MOST_TOPICS).collect();
        if topics.is_empty() {
            topics.push(title.clone());
        }
        Some(Unit { title, topics })
    };
    let found: Vec<Unit> = items(&answer, "units")?.iter().filter_map(unit).take(units).collect();
    if found.is_empty() {
        return Err(problem(r#"the list "units" holds no unit with a "title""#));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_syllabus_is_read_and_units_without_topics_teach_their_title() {
        let text =
            r#"{"units": [{"title": "Rings", "topics": ["ideals", ""]}, {"title": " Fields "}, {"topics": ["x"]}, 7]}"#;
        let unit = |title: &str, topic: &str| Unit { title: title.into(), topics: vec![topic.into()] };
        assert_eq!(syllabus(text, 9), Ok(vec![unit("Rings", "ideals"), unit("Fields", "Fields")]));
        assert_eq!(syllabus(text, 1), Ok(vec![unit("Rings", "ideals")]));
        assert!(syllabus(r#"{"units": []}"#, 9).is_err());
    }

    #[test]
    fn the_schemas_are_json() {
        for schema in [rating_schema(), syllabus_schema(12)] {
            assert_eq!(serde_json::from_str::<Value>(&schema).expect("a schema is JSON")["type"], "object");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_a_panic_and_every_rating_is_in_range(text in "(\\{|\\}|\"score\":|\"units\":|\\[|[0-9.\"-]|\\PC){0,12}") {
            _ = syllabus(&text, 3);
            if let Ok(score) = rating(&text) {
                prop_assert!((1.0..=10.0).contains(&score));
            }
        }

        #[test]
        fn every_number_in_range_is_read(score in 1..=10_u8) {
            let text = format!("It is fine.\n```json\n{{\"reason\": \"so\", \"score\": {score}}}\n```");
            prop_assert_eq!(rating(&text), Ok(f64::from(score)));
        }
    }
}
