//! Answers that the model judges.

use serde_json::json;
use synthllm_operators::record::Role;
use synthllm_testkit::corpus::corpus;
use synthllm_testkit::project::Project;
use synthllm_testkit::scripted::{Fault, Options, Rule, ScriptedServer};

use crate::{project, requests, sound_samples};

/// A server whose judge calls an answer wrong when its prompt contains these words; answers are "It follows that the value is N.".
fn strict(words: &str) -> ScriptedServer {
    let wrong = json!({"reason": "The sum is off by one.", "correct": false}).to_string();
    let rules = vec![Rule::always(words, Fault::Says(wrong))];
    ScriptedServer::start(Options { rules, ..Options::default() })
}

fn judged(server: &ScriptedServer, documents: u64) -> Project {
    let mut project = project(server);
    project.set("sampling.levels", "[1, 2]").set("generate.judge", true);
    project.ingest(&corpus(documents));
    project.drain();
    project
}

/// Only the prompt of a judgement has this.
const ALL: &str = "Proposed answer:";

#[test]
fn an_answer_that_is_called_wrong_is_held_back_with_the_reason_and_the_others_have_the_score() {
    let server = strict("It follows that the value is 1");
    let project = judged(&server, 6);
    let (samples, held) = (sound_samples(&project), project.logs().held());
    assert!(!samples.is_empty() && !held.is_empty());
    assert!(samples.values().all(|sample| sample.scores["judge"] > 0.5));
    assert!(samples.values().all(|sample| sample.provenance.prompts.contains_key("judge")));
    for held in held.values() {
        assert_eq!((held.reason.as_str(), held.sample.scores["judge"]), ("judge", 0.0));
        assert!(held.details.contains("off by one"), "{}", held.details);
        assert!(held.sample.answer.as_deref().is_some_and(|answer| answer.contains("the value is 1")));
    }
    assert_eq!(requests(&server, "judge"), samples.len() + held.len());
    assert_eq!(requests(&server, "judge"), requests(&server, "answer"));
    assert_eq!(project.logs().counted(Role::Generate, "rejected_judge"), held.len() as u64);
    let calls: u32 = samples.values().map(|sample| sample.usage.calls).sum();
    assert!(calls as usize >= 2 * samples.len(), "an answer and a judgement each");
}

#[test]
fn without_a_judge_what_it_held_back_is_released_and_nothing_is_judged_twice() {
    let server = strict(ALL);
    let mut project = judged(&server, 3);
    assert!(sound_samples(&project).is_empty());
    let (held, asked) = (project.logs().held(), server.seen().len());
    // Other filters: what was judged is offered again, with the judgement that it has.
    project.set("filters.most_words", 900);
    project.drain();
    assert_eq!((sound_samples(&project).len(), project.logs().held()), (0, held.clone()));
    project.set("generate.judge", false);
    project.drain();
    assert_eq!(sound_samples(&project).len(), held.len());
    assert!(project.logs().held().is_empty());
    assert_eq!(server.seen().len(), asked, "nothing is asked again");
}

#[test]
fn an_answer_that_can_not_be_judged_is_held_back_until_the_filters_change() {
    let rules = vec![Rule { containing: ALL.into(), times: 2, fault: Fault::WrongAnswer }];
    let server = ScriptedServer::start(Options { rules, ..Options::default() });
    let mut project = project(&server);
    project.set("sampling.levels", "[1]").set("generate.judge", true).set("llm.judge.repairs", 1);
    project.set("generate.questions.level1", 1);
    project.ingest(&corpus(1));
    project.drain();
    let held = project.logs().held();
    assert_eq!(held.len(), 1);
    assert!(held.values().all(|held| held.details.contains("could not be judged")));
    let answers = requests(&server, "answer");
    project.set("filters.most_words", 900);
    project.drain();
    assert!(project.logs().held().is_empty());
    assert!(sound_samples(&project).values().all(|sample| sample.scores["judge"] > 0.5));
    assert_eq!(requests(&server, "answer"), answers);
}
