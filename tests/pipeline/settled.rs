//! Settled draws depend on the live documents, the settings and the seed alone.

use std::collections::BTreeSet;

use serde_json::Value;
use synthllm_operators::record::Sample;
use synthllm_testkit::corpus::{any_document, corpus, id};
use synthllm_testkit::judge::comparable;
use synthllm_testkit::project::Project;

use crate::{project, server, sound_samples};

#[test]
fn samples_are_the_same_on_one_two_and_three_workers() {
    let of_workers = |workers: &str| {
        let server = server();
        let project = project(&server);
        project.ingest(&corpus(10));
        project.succeed(&["run", "--drain", "--workers", workers]);
        comparable(&sound_samples(&project), |_| false)
    };
    let on_one = of_workers("1");
    assert!(!on_one.is_empty());
    assert_eq!(on_one, of_workers("2"));
    assert_eq!(on_one, of_workers("3"));
}

#[test]
fn level_3_does_not_depend_on_the_history_of_the_live_documents() {
    let plain = level_3_after(|project| project.ingest(&corpus(9)));
    assert!(!plain.is_empty());
    let reversed = level_3_after(|project| project.ingest(&corpus(9).into_iter().rev().collect::<Vec<_>>()));
    assert_eq!(plain, reversed, "inserted in reverse order");
    let inserted_again = level_3_after(|project| {
        project.ingest(&[corpus(9), vec![any_document(30, 0)]].concat());
        project.delete(&[&id(4), &id(30), &id(2)]);
        project.ingest(&[any_document(2, 0), any_document(4, 0)]);
    });
    assert_eq!(plain, inserted_again, "deleted and inserted again");
    let updated_back = level_3_after(|project| {
        let changed: Vec<Value> = (0..9).map(|number| any_document(number, 1)).collect();
        project.ingest(&changed);
        project.ingest(&corpus(9));
    });
    assert_eq!(plain, updated_back, "updated and back");
}

/// What is said of a sample without the versions of its documents, which are places in the history.
#[derive(PartialEq, Eq, PartialOrd, Ord, Debug)]
struct WithoutHistory {
    id: String,
    question: String,
    answer: Option<String>,
    walk: String,
    documents: Vec<(String, String)>,
}

impl From<Sample> for WithoutHistory {
    fn from(sample: Sample) -> Self {
        let documents = sample.provenance.documents.into_iter();
        WithoutHistory {
            id: sample.id,
            question: sample.question,
            answer: sample.answer,
            walk: format!("{:?}", sample.provenance.walk),
            documents: documents.map(|document| (document.id, document.jaccard.to_string())).collect(),
        }
    }
}

fn level_3_after(history: impl Fn(&Project)) -> BTreeSet<WithoutHistory> {
    let server = server();
    let mut project = project(&server);
    project.set("sampling.levels", "[3]");
    history(&project);
    project.drain();
    sound_samples(&project).into_values().map(WithoutHistory::from).collect()
}
