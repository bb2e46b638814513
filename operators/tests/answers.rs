//! Reading the model's answers: never a panic, always an answer or a complaint that can be put to the model.

use proptest::prelude::*;
use serde_json::{Value, json};
use synthllm_operators::answers::{
    CombinedQuestion, Level1Answer, Limits, combined, combined_schema, extraction, extraction_schema, level1, level1_schema,
};

fn limits() -> Limits {
    Limits::default()
}

fn complaint<T: std::fmt::Debug>(outcome: Result<T, synthllm_operators::answers::AnswerProblem>) -> String {
    outcome.expect_err("the answer is unfit").to_string()
}

const EXTRACTION: &str =
    r#"{"level": "college", "subject": "algebra", "topics": [{"name": "Groups", "key_concepts": ["coset", "orbit"]}]}"#;

#[test]
fn an_extraction_is_read_bare_fenced_and_wrapped_in_prose() {
    let bare = extraction(EXTRACTION, &limits()).unwrap();
    assert_eq!((bare.level.as_deref(), bare.subject.as_deref()), (Some("college"), Some("algebra")));
    assert_eq!(bare.topics[0].key_concepts, ["coset", "orbit"]);
    for wrapped in [
        format!("```json\n{EXTRACTION}\n```"),
        format!("```\n{EXTRACTION}\n```\nDone."),
        format!("Here is {{}} what you asked for, e.g. {{x}}:\n\n{EXTRACTION}\n\nI hope it helps {{you}}!"),
        format!("  \n{EXTRACTION}\n"),
    ] {
        assert_eq!(extraction(&wrapped, &limits()).as_ref(), Ok(&bare), "{wrapped}");
    }
}

#[test]
fn more_than_the_limits_is_cut_and_useless_items_are_left_out() {
    let concepts: Vec<String> = (0..30).map(|number| format!("concept {number}")).collect();
    let topic = |name: &str| json!({"name": name, "key_concepts": concepts});
    let long = "x".repeat(81);
    let mut topics: Vec<Value> = ["a", "A ", "b", "", &long, "c", "d", "e", "f"].iter().map(|name| topic(name)).collect();
    topics.insert(0, json!("not a topic"));
    topics.push(json!({"key_concepts": ["nameless"]}));
    let answer = extraction(&json!({"level": 3, "topics": topics}).to_string(), &limits()).unwrap();
    let names: Vec<&str> = answer.topics.iter().map(|topic| topic.name.as_str()).collect();
    assert_eq!(names, ["a", "b", "c", "d", "e"]);
    assert!(answer.topics.iter().all(|topic| topic.key_concepts.len() == 20));
    assert_eq!(answer.level, None);
}

#[test]
fn an_unfit_extraction_says_what_is_wrong() {
    let of = |text: &str| complaint(extraction(text, &limits()));
    assert_eq!(of(""), "it is empty");
    assert!(of("I'd rather not.").starts_with("it is not valid JSON (expected value at line 1"));
    assert!(of(&EXTRACTION[..60]).starts_with("it is not valid JSON (EOF while parsing"));
    assert_eq!(of("[1]"), "it is a list, expected a JSON object");
    assert_eq!(of("{}"), "the field \"topics\" is missing");
    assert_eq!(of(r#"{"topics": "x"}"#), "the field \"topics\" is a string, expected a list");
    assert_eq!(of(r#"{"topics": []}"#), "the list \"topics\" holds no topic with a \"name\"");
    assert_eq!(of(r#"{"topics": [{"name": "x", "key_concepts": [""]}]}"#), "no topic has \"key_concepts\"");
}

#[test]
fn a_document_that_is_not_suitable_is_an_outcome() {
    assert_eq!(level1(r#"{"suitable": false, "questions": []}"#, &limits()), Ok(Level1Answer::Unsuitable));
    assert_eq!(level1(r#"{"suitable": false}"#, &limits()), Ok(Level1Answer::Unsuitable));
    let unsaid = complaint(level1(r#"{"questions": []}"#, &limits()));
    assert_eq!(unsaid, "the list \"questions\" holds no \"question\", though \"suitable\" is not false");
}

#[test]
fn questions_of_level_1_carry_their_origin() {
    let answer = json!({"suitable": true, "questions": [
        {"question": " What? ", "origin": "Original", "level": "college"}, {"question": "Why?"}, {"question": "  "}, 7]});
    let Ok(Level1Answer::Questions(questions)) = level1(&answer.to_string(), &limits()) else { panic!("{answer}") };
    let read: Vec<(&str, bool)> = questions.iter().map(|question| (question.question.as_str(), question.original)).collect();
    assert_eq!(read, [("What?", true), ("Why?", false)]);
}

#[test]
fn the_most_questions_are_a_limit_of_the_call() {
    let questions: Vec<Value> = (0..9).map(|number| json!({"question": format!("{number}?"), "concepts": ["a"]})).collect();
    let answer = json!({"questions": questions}).to_string();
    let limits = Limits { questions: 3, ..limits() };
    assert_eq!(combined(&answer, &["a".into()], &limits).unwrap().len(), 3);
    assert!(matches!(level1(&answer, &limits), Ok(Level1Answer::Questions(questions)) if questions.len() == 3));
}

#[test]
fn concepts_of_a_question_are_those_offered_as_they_were_spelled() {
    let offered = ["Taylor series".to_owned(), "Limit".to_owned(), "Orbit".to_owned(), "Field".to_owned()];
    let answer = json!({"questions": [
        {"concepts": ["taylor  SERIES", "unheard of", "Limit", "limit"], "question": "One?"},
        {"concepts": ["unheard of"], "question": "Two?"},
        {"concepts": ["Limit", "Orbit", "Field", "Taylor series"], "question": "Three?"},
    ]});
    let question = |concepts: &[&str], question: &str| CombinedQuestion {
        concepts: concepts.iter().map(|concept| (*concept).into()).collect(),
        question: question.into(),
    };
    let expected = [question(&["Taylor series", "Limit"], "One?"), question(&["Limit", "Orbit", "Field"], "Three?")];
    assert_eq!(combined(&answer.to_string(), &offered, &limits()).unwrap(), expected);
    let none = complaint(combined(&answer.to_string(), &["another".into()], &limits()));
    assert_eq!(none, "the list \"questions\" holds no \"question\" with \"concepts\" copied from the list given");
}

#[test]
fn the_schemas_have_the_shapes_that_other_tools_script_against() {
    let names = |schema: &str, path: &str| -> Vec<String> {
        let schema: Value = serde_json::from_str(schema).unwrap();
        let properties = schema.pointer(path).unwrap().as_object().unwrap();
        properties.keys().cloned().collect()
    };
    assert_eq!(names(&extraction_schema(&limits()), "/properties"), ["level", "subject", "topics"]);
    assert_eq!(names(&extraction_schema(&limits()), "/properties/topics/items/properties"), ["key_concepts", "name"]);
    assert_eq!(names(&level1_schema(&limits()), "/properties"), ["questions", "suitable"]);
    assert_eq!(names(&level1_schema(&limits()), "/properties/questions/items/properties"), ["level", "origin", "question"]);
    assert_eq!(names(&combined_schema(&limits()), "/properties/questions/items/properties"), ["concepts", "question"]);
    assert!(
        level1_schema(&limits()).find("suitable") < level1_schema(&limits()).find("questions"),
        "decided before questions are written"
    );
}

/// Every list has `maxItems`, every string `maxLength`, every object forbids what it does not name.
fn is_bounded(schema: &Value) -> bool {
    match schema["type"].as_str() {
        Some("array") => schema["maxItems"].is_u64() && is_bounded(&schema["items"]),
        Some("string") => schema["maxLength"].is_u64(),
        Some("object") => {
            schema["additionalProperties"] == json!(false)
                && schema["required"].as_array().map(Vec::len) == schema["properties"].as_object().map(serde_json::Map::len)
                && schema["properties"].as_object().is_some_and(|properties| properties.values().all(is_bounded))
        }
        kind => kind == Some("boolean"),
    }
}

#[test]
fn every_part_of_every_schema_is_bounded() {
    for schema in [extraction_schema(&limits()), level1_schema(&limits()), combined_schema(&limits())] {
        assert!(is_bounded(&serde_json::from_str(&schema).unwrap()), "{schema}");
    }
}

/// JSON of any small shape, with the fields that answers have among its names.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        "\\PC{0,6}".prop_map(Value::from)
    ];
    let field = prop::sample::select(vec![
        "topics",
        "name",
        "key_concepts",
        "questions",
        "question",
        "concepts",
        "suitable",
        "level",
        "x",
    ]);
    leaf.prop_recursive(5, 40, 5, move |inner| {
        let object = prop::collection::btree_map(field.clone(), inner.clone(), 0..5);
        prop_oneof![
            prop::collection::vec(inner, 0..5).prop_map(Value::from),
            object.prop_map(|fields| fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()),
        ]
    })
}

fn read_in_every_way(text: &str) {
    if let Ok(answer) = extraction(text, &limits()) {
        assert!((1..=5).contains(&answer.topics.len()));
    }
    if let Ok(Level1Answer::Questions(questions)) = level1(text, &limits()) {
        assert!((1..=5).contains(&questions.len()));
    }
    if let Ok(questions) = combined(text, &["x".into()], &limits()) {
        assert!(questions.iter().all(|question| question.concepts == ["x"]));
    }
}

proptest! {
    #[test]
    fn any_text_gives_an_answer_or_a_complaint(text in "\\PC{0,60}|[{}\\[\\]\",:a-z ]{0,60}") {
        read_in_every_way(&text);
    }

    #[test]
    fn any_json_gives_an_answer_or_a_complaint(json in any_json(), before in "[a-z{ ]{0,9}", after in "[a-z} ]{0,9}") {
        read_in_every_way(&json.to_string());
        read_in_every_way(&format!("{before}{json}{after}"));
    }

    #[test]
    fn a_truncated_extraction_is_never_an_answer(keep in 0..EXTRACTION.len()) {
        prop_assert!(extraction(&EXTRACTION[..keep], &limits()).is_err());
    }
}
