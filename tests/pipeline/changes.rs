//! Documents that change and go.

use synthllm_operators::provenance::Withdraw;
use synthllm_testkit::corpus::{any_document, corpus, document, id};
use synthllm_testkit::judge;

use crate::{project, requests, server, sound_samples, stands_on};

#[test]
fn deleting_a_document_withdraws_only_its_samples() {
    let server = server();
    let mut project = project(&server);
    project.ingest(&corpus(9));
    project.drain();
    let before = sound_samples(&project);
    // What is drawn anew without the document is no matter of this test.
    project.set("sampling.levels", "[1, 2]");
    project.delete(&[&id(3)]);
    project.drain();
    let after = sound_samples(&project);
    assert!(before.values().any(|sample| stands_on(sample, &id(3))));
    let expected = before.into_iter().filter(|(_, sample)| !stands_on(sample, &id(3))).collect();
    assert_eq!(after, expected);
}

#[test]
fn a_document_that_is_inserted_again_does_not_revive_its_samples() {
    let server = server();
    let mut project = project(&server);
    project.set("sampling.levels", "[1]");
    project.ingest(&corpus(4));
    project.drain();
    let before = sound_samples(&project);
    project.delete(&[&id(1)]);
    project.ingest(&[any_document(1, 0)]);
    project.drain();
    let after = sound_samples(&project);
    let of_document = |samples: &crate::Samples| -> Vec<String> {
        samples.iter().filter(|(_, sample)| stands_on(sample, &id(1))).map(|(key, _)| key.clone()).collect()
    };
    let (old, new) = (of_document(&before), of_document(&after));
    assert!(!old.is_empty() && !new.is_empty());
    assert!(old.iter().all(|key| !new.contains(key)), "another incarnation has other samples");
}

#[test]
fn a_changed_document_keeps_its_samples_unless_told_otherwise() {
    for (withdraw, keeps) in [("deleted", true), ("deleted-or-changed", false)] {
        let server = server();
        let mut project = project(&server);
        project.set("generate.withdraw", format!("{withdraw:?}")).set("sampling.levels", "[1, 2]");
        project.ingest(&corpus(6));
        project.drain();
        let before = sound_samples(&project);
        project.ingest(&[document(3, 1)]);
        project.drain();
        let after = sound_samples(&project);
        let old: Vec<_> = before.iter().filter(|(_, sample)| stands_on(sample, &id(3))).collect();
        assert!(!old.is_empty());
        let kept = old.iter().filter(|(key, _)| after.contains_key(*key)).count();
        assert_eq!(kept, if keeps { old.len() } else { 0 }, "withdraw = {withdraw}");
        assert!(
            before
                .iter()
                .filter(|(_, sample)| !stands_on(sample, &id(3)))
                .all(|(key, sample)| after.get(key) == Some(sample)),
            "samples of other documents stay as they are"
        );
        if !keeps {
            assert_eq!(judge::violations(&project.logs(), Withdraw::DeletedOrChanged), Vec::<String>::new());
        }
    }
}

#[test]
fn unchanged_documents_are_not_asked_about_again() {
    let server = server();
    let project = project(&server);
    project.ingest(&corpus(9));
    project.drain();
    let (samples, seen) = (sound_samples(&project), server.seen().len());
    project.ingest(&corpus(9));
    project.drain();
    assert_eq!(server.seen().len(), seen);
    assert_eq!(sound_samples(&project), samples);
}

#[test]
fn a_changed_document_is_the_only_one_asked_about() {
    let server = server();
    let mut project = project(&server);
    project.set("sampling.levels", "[1]");
    project.ingest(&corpus(9));
    project.drain();
    let asked = requests(&server, "extraction");
    project.ingest(&[any_document(5, 1), any_document(2, 0)]);
    project.drain();
    sound_samples(&project);
    assert_eq!(requests(&server, "extraction"), asked + 1);
}

#[test]
fn deleting_a_source_withdraws_its_samples_and_no_others() {
    let server = server();
    let mut project = project(&server);
    project.set("sampling.levels", "[1, 2]");
    let mut documents = corpus(8);
    for number in [1, 2, 6] {
        documents[number]["source"] = "withdrawn licence".into();
    }
    project.ingest(&documents);
    project.drain();
    let before = sound_samples(&project);
    assert_eq!(project.succeed(&["delete", "--source", "withdrawn licence"]), "deleted 3 documents\n");
    project.drain();
    let after = sound_samples(&project);
    let deleted = [1, 2, 6].map(id);
    let kept = before.iter().filter(|(_, sample)| !deleted.iter().any(|document| stands_on(sample, document)));
    assert!(after.iter().eq(kept) && after.len() < before.len());
    assert_eq!(project.logs().extractions().len(), 5);
}
