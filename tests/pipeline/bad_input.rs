//! Records that are no documents: a dead letter each, and the run goes on.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::{Value, json};
use synthllm_testkit::corpus::{corpus, document, id};
use synthllm_testkit::project::{stderr, write_lines};

use crate::{project, server, sound_samples, stands_on};

#[test]
fn a_bad_record_becomes_a_dead_letter_with_its_bytes_and_the_reason() {
    let server = server();
    let mut project = project(&server);
    project.set("extract.max_text_bytes", 1000);
    let long = format!(r#"{{"text": "{}"}}"#, "long ".repeat(300));
    let bad: [(&str, &[u8], &str); 6] = [
        ("not-json", b"{\"text\": ", "not JSON"),
        ("no-object", b"[1, 2]", "expected an object"),
        ("wrong-type", b"{\"text\": 7}", "text: expected a string, found a number"),
        ("not-utf8", b"{\"text\": \"\xff\xfe\"}", "not UTF-8"),
        ("too-long", long.as_bytes(), "the limit is 1000"),
        ("mismatch", b"{\"id\": \"another\", \"text\": \"A text.\"}", "is not the record's key"),
    ];
    project.ingest(&corpus(4));
    for (key, value, _) in bad {
        project.append(key.as_bytes(), Some(value));
    }
    project.ingest(&[document(7, 0)]);
    project.drain();
    let samples = sound_samples(&project);
    assert!(samples.values().any(|sample| stands_on(sample, &id(7))), "the run has gone on");
    let letters = project.logs().dead_letters();
    assert_eq!(letters.len(), bad.len());
    for (key, value, reason) in bad {
        let letter = letters.iter().find(|letter| letter.key.as_deref() == Some(key)).expect("a dead letter of the key");
        assert_eq!(BASE64_STANDARD.decode(&letter.payload).expect("base64"), value, "{key}");
        assert!(letter.reason.contains(reason), "{key}: {:?} doesn't say {reason:?}", letter.reason);
        assert_eq!((letter.role.as_str(), letter.log.as_str()), ("extract", "documents"));
    }
}

#[test]
fn a_key_that_is_not_text_is_a_dead_letter_too() {
    let server = server();
    let project = project(&server);
    project.append(b"\xff\xfe", Some(b"{\"text\": \"A text.\"}"));
    project.ingest(&corpus(3));
    project.drain();
    assert!(!sound_samples(&project).is_empty());
    assert_eq!(project.logs().dead_letters().len(), 1);
}

#[test]
fn a_dead_letter_of_a_known_document_takes_it_out_of_the_graph() {
    let server = server();
    let mut project = project(&server);
    project.ingest(&corpus(6));
    project.drain();
    assert!(sound_samples(&project).values().any(|sample| stands_on(sample, &id(1))));
    project.set("sampling.levels", "[1, 2]");
    project.append(id(1).as_bytes(), Some(b"\xff no document any more"));
    project.drain();
    let samples = sound_samples(&project);
    assert!(!project.logs().extractions().contains_key(&id(1)));
    assert!(!samples.is_empty() && !samples.values().any(|sample| stands_on(sample, &id(1))));
    assert_eq!(project.logs().dead_letters().len(), 1);
}

#[test]
fn a_bad_line_of_a_file_is_reported_with_its_number_and_the_rest_goes_in() {
    let server = server();
    let project = project(&server);
    let file = project.file("mixed.jsonl");
    let (first, last) = (document(0, 0).to_string(), document(1, 0).to_string());
    synthllm_testkit::project::write_lines(&file, [first.as_str(), "{broken", &last]);
    let output = project.execute(&["ingest", "mixed.jsonl"]);
    assert!(output.status.success());
    let errors = synthllm_testkit::project::stderr(&output);
    assert!(errors.contains("mixed.jsonl") && errors.contains('2'), "{errors}");
    project.drain();
    sound_samples(&project);
    assert_eq!(project.logs().extractions().len(), 2);
}

/// A counter, over all shards.
fn counted(status: &Value, counter: &str) -> u64 {
    let shards = status["shards"].as_array().expect("a list of shards");
    shards.iter().filter_map(|shard| shard["counters"][counter].as_u64()).sum()
}

/// `graph.max_concepts` bounds the work and memory that one record can cause.
#[test]
fn of_a_document_with_thousands_of_concepts_the_first_count_and_it_is_counted() {
    let server = server();
    let mut project = project(&server);
    project.set("graph.max_concepts", 50);
    let concepts: Vec<String> = (0..3000).map(|number| format!("Concept {number}")).collect();
    let wide = json!({"id": "wide", "text": "A text on all there is.", "concepts": concepts});
    project.ingest(&corpus(4));
    project.ingest(&[wide]);
    project.drain();
    let samples = sound_samples(&project);
    let of_wide: Vec<_> = samples.values().filter(|sample| sample.level == 2 && stands_on(sample, "wide")).collect();
    assert!(!of_wide.is_empty(), "the document has its samples");
    let names = of_wide.iter().flat_map(|sample| &sample.provenance.walk).map(|node| node.name.as_str());
    assert!(names.clone().any(|name| name == "concept 49") && names.count() == 50 * of_wide.len());
    assert_eq!(counted(&project.status(), "too_many_concepts"), 1);
    project.drain();
    assert_eq!(counted(&project.status(), "too_many_concepts"), 1, "another run reads it again, and counts it no more");
}

/// A line of 100 MB is refused with its number, and the lines around it go in.
#[test]
fn a_document_of_a_hundred_megabytes_does_not_end_the_run() {
    let server = server();
    let project = project(&server);
    let huge = format!(r#"{{"id": "huge", "text": "{}"}}"#, "long ".repeat(20 << 20));
    let small = corpus(3);
    let lines = small.iter().map(ToString::to_string).chain([huge, document(7, 0).to_string()]);
    let file = project.file("huge.jsonl");
    write_lines(&file, lines);
    let output = project.execute(&["ingest", file.to_str().expect("a path in UTF-8")]);
    let said = stderr(&output);
    assert!(output.status.success() && said.contains("huge.jsonl:4: not a document: "), "{said}");
    assert!(said.contains("104857627 bytes long, the limit is 16777216"), "{said}");
    project.drain();
    let samples = sound_samples(&project);
    assert!(samples.values().any(|sample| stands_on(sample, &id(7))), "the run has gone on");
}
