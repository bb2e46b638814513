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

#[test]
fn a_judge_that_is_turned_on_later_judges_the_samples_that_stand() {
    for workers in ["1", "2", "3"] {
        let server = strict("It follows that the value is 1");
        let at_once = judged(&server, 6);
        let (good, wrong) = (sound_samples(&at_once), at_once.logs().held());
        assert!(!good.is_empty() && !wrong.is_empty());

        let server = strict("It follows that the value is 1");
        let mut project = project(&server);
        project.set("sampling.levels", "[1, 2]");
        project.ingest(&corpus(6));
        project.drain();
        let before = sound_samples(&project);
        assert_eq!((before.len(), requests(&server, "judge")), (good.len() + wrong.len(), 0));
        let asked = server.seen().len();
        project.set("generate.judge", true);
        project.succeed(&["run", "--drain", "--workers", workers]);
        assert_eq!(requests(&server, "judge"), before.len(), "{workers} workers");
        assert_eq!(server.seen().len(), asked + before.len(), "only the judge is asked");
        let after = sound_samples(&project);
        assert!((&after, project.logs().held()) == (&good, wrong), "not as if there had always been a judge");

        // Nothing is judged again, and without the judge all stand.
        project.set("filters.most_words", 900);
        project.drain();
        project.set("generate.judge", false);
        project.drain();
        assert_eq!(sound_samples(&project).len(), before.len());
        project.set("generate.judge", true);
        project.drain();
        assert!(sound_samples(&project) == after, "the same are called wrong");
        assert_eq!(server.seen().len(), asked + before.len());
    }
}

#[test]
fn what_the_budget_does_not_allow_to_judge_is_held_back_until_another_run_can_pay() {
    let server = strict("nothing that any answer says");
    let mut project = project(&server);
    project.set("sampling.levels", "[1]");
    project.ingest(&corpus(4));
    project.drain();
    let before = sound_samples(&project);
    project.set("generate.judge", true).set("budget.tokens", 1);
    project.drain();
    let held = project.logs().held();
    assert_eq!((sound_samples(&project).len(), held.len(), requests(&server, "judge")), (0, before.len(), 0));
    assert!(held.values().all(|held| held.details.contains("before there was a judge")));
    project.set("budget.tokens", 1_000_000);
    project.drain();
    let after = sound_samples(&project);
    assert_eq!((after.len(), requests(&server, "judge")), (before.len(), before.len()));
    assert!(after.iter().all(|(id, sample)| sample.scores["judge"] > 0.5 && sample.answer == before[id].answer));
}
