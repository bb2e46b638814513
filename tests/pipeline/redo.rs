//! Paying again on purpose.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use synthllm_operators::record::Sample;
use synthllm_testkit::corpus::{any_document, corpus, id, mark};
use synthllm_testkit::project::{stderr, wait_until};
use synthllm_testkit::scripted::{Count, Fault, Options, Rule, ScriptedServer};

use crate::{Samples, project, server, sound_samples, stands_on};

/// Whether a sample stands on this document alone.
fn stands_alone_on(sample: &Sample, document: &str) -> bool {
    stands_on(sample, document) && sample.provenance.documents.len() == 1
}

fn alone_on(samples: &Samples, document: &str) -> BTreeMap<String, Sample> {
    let alone = samples.iter().filter(|(_, sample)| stands_alone_on(sample, document));
    alone.map(|(key, sample)| (key.clone(), sample.clone())).collect()
}

fn questions(samples: &Samples) -> BTreeSet<&str> {
    samples.values().map(|sample| sample.question.as_str()).collect()
}

/// The contents that were asked more often than before, and by how much.
fn asked_again(before: &BTreeMap<u128, Count>, after: &BTreeMap<u128, Count>) -> BTreeMap<u128, u32> {
    let more = |(content, count): (&u128, &Count)| {
        let more = count.requests - before.get(content).map_or(0, |count| count.requests);
        (more > 0).then_some((*content, more))
    };
    after.iter().filter_map(more).collect()
}

#[test]
fn redoing_a_document_pays_for_its_calls_once_more_and_replaces_its_samples_alone() {
    let server = server();
    let project = project(&server);
    project.ingest(&corpus(9));
    project.drain();
    let (before, counts) = (sound_samples(&project), server.counts());
    let old = alone_on(&before, &id(2));
    assert!((1..=2).all(|level| old.values().any(|sample| sample.level == level)));
    assert!(before.values().any(|sample| stands_on(sample, &id(2)) && sample.level == 3));

    assert_eq!(project.succeed(&["redo", &id(2)]), "asked for 1 document again; `run` pays for them\n");
    project.succeed(&["redo", &id(2)]);
    project.drain();
    let after = sound_samples(&project);
    let new = alone_on(&after, &id(2));
    assert_eq!(questions(&new), questions(&old), "the scripted model asks the same again");
    assert!(old.keys().all(|key| !after.contains_key(key)), "they are samples of their own");
    let others = |samples: &Samples| -> Samples {
        samples.clone().into_iter().filter(|(_, sample)| !stands_alone_on(sample, &id(2))).collect()
    };
    assert_eq!(others(&after), others(&before), "level 3 and other documents are left alone");

    // Its requests: for its concepts, for questions on it alone, and for the answers to them.
    let own = |(content, count): (&u128, &Count)| {
        let documents = count.body.matches("<document>").count();
        let about = count.body.contains(&mark(2, 0)) && documents == 1;
        let answers = count.task == "answer" && old.values().any(|sample| count.body.contains(&sample.question));
        (about || answers).then_some((*content, 1))
    };
    let expected: BTreeMap<u128, u32> = counts.iter().filter_map(own).collect();
    assert!(expected.len() > 3);
    assert_eq!(asked_again(&counts, &server.counts()), expected, "each exactly once, and nothing else");
}

#[test]
fn a_redone_document_that_comes_again_as_it_was_costs_nothing() {
    let server = server();
    let project = project(&server);
    project.ingest(&corpus(4));
    project.drain();
    project.succeed(&["redo", &id(0), &id(2)]);
    project.drain();
    let (samples, seen) = (sound_samples(&project), server.seen().len());
    project.ingest(&[any_document(0, 0), any_document(2, 0)]);
    project.drain();
    assert_eq!(server.seen().len(), seen);
    assert_eq!(sound_samples(&project), samples);
    project.ingest(&[any_document(2, 1)]);
    project.drain();
    assert_eq!(project.logs().extractions()[&id(2)].redo, 1, "a change keeps the number");
}

#[test]
fn what_a_killed_redo_has_journaled_is_not_paid_for_a_third_time() {
    let server = ScriptedServer::start(Options { latency: Duration::from_millis(40), ..Options::default() });
    let mut project = project(&server);
    project.set("sampling.levels", "[1]").set("extract.source", "\"document\"").set("generate.questions.level1", 4);
    project.ingest(&corpus(3));
    project.drain();
    let before = sound_samples(&project);
    project.succeed(&["redo", &id(0), &id(1)]);
    let mut command = project.command();
    command.args(["run", "--drain"]).env("SYNTHLLM_FAULT", "commit confirmed:9");
    project.spawn(command).wait();
    let journaled: Vec<_> = project.logs().journal().into_iter().map(|(key, _)| key).collect();
    assert!(journaled.iter().any(|key| key.redo == 1), "{journaled:?}");
    let counts = server.counts();
    project.drain();
    let again = asked_again(&counts, &server.counts());
    assert!(journaled.iter().filter(|key| key.redo == 1).all(|key| !again.contains_key(&key.request)));
    assert_eq!(questions(&sound_samples(&project)), questions(&before));
}

/// A call that hangs holds back outputs. It does not keep the old samples, and so their questions, in the way of the new ones.
#[test]
fn a_document_is_redone_while_a_run_goes_on_and_a_call_hangs() {
    let server = ScriptedServer::start(Options { latency: Duration::from_millis(200), ..Options::default() });
    let mut project = project(&server);
    project.set("sampling.levels", "[1]").set("llm.timeout", "\"5s\"");
    project.ingest(&corpus(4));
    project.drain();
    let old = alone_on(&sound_samples(&project), &id(0));
    let hanging = any_document(9, 0);
    server.add_rule(Rule { containing: mark(9, 0), times: 1, fault: Fault::Stall });
    let mut run = project.start(&["run"]);
    project.ingest(&[hanging]);
    wait_until("a call hangs", || server.seen().iter().any(|seen| seen.fault.is_some()));
    project.succeed(&["redo", &id(0)]);
    wait_until("the old samples are gone", || {
        alone_on(&project.logs().samples(), &id(0)).keys().all(|key| !old.contains_key(key))
    });
    wait_until("the samples are replaced", || {
        let new = alone_on(&project.logs().samples(), &id(0));
        questions(&new) == questions(&old) && new.keys().all(|key| !old.contains_key(key))
    });
    run.kill();
}

#[test]
fn redo_leaves_out_what_was_never_extracted_and_says_so() {
    let server = server();
    let project = project(&server);
    project.ingest(&corpus(3));
    project.drain();
    project.ingest(&[any_document(7, 0)]);
    project.delete(&[&id(1)]);
    std::fs::write(project.file("ids"), format!("{}\nnobody\n{}\n", id(7), id(1))).expect("the folder is writable");
    let output = project.execute(&["redo", &id(0), "--from-file", "ids"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "asked for 1 document again, 3 left out; `run` pays for them\n");
    let said = stderr(&output);
    assert!(said.contains("from a document \"nobody\"") && said.contains(&format!("from a document {:?}", id(7))), "{said}");
    assert!(said.contains(&format!("the document {:?} is deleted", id(1))), "{said}");
}
