//! A target: exactly so many samples stand in the end, however many are dropped or withdrawn on the way.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;
use synthllm_operators::record::Role;
use synthllm_testkit::corpus::{any_document, corpus, id};
use synthllm_testkit::judge::comparable;
use synthllm_testkit::project::{Project, stderr, wait_until, write_lines};
use synthllm_testkit::scripted::{Options, ScriptedServer};

use crate::{of_level, project, requests, server, sound_samples, stands_on};

/// A project whose combinations bring up to 6, 2 and 3 samples.
fn aimed(server: &ScriptedServer, target: &str) -> Project {
    let mut project = project(server);
    project.set("generate.questions", "{ level1 = 3, level2 = 2, level3 = 3 }");
    project.set("generate.calls", "{ level1 = 2, level2 = 1, level3 = 1 }");
    project.set("sampling.epochs", 6).set("generate.target", target);
    project
}

/// How many samples of each level stand.
fn standing(project: &Project) -> [usize; 3] {
    let samples = sound_samples(project);
    [1, 2, 3].map(|level| of_level(&samples, level).len())
}

/// Drains and returns what was said.
fn drain(project: &Project) -> String {
    let output = project.execute(&["run", "--drain"]);
    assert!(output.status.success(), "{}", stderr(&output));
    stderr(&output)
}

#[test]
fn exactly_as_many_samples_stand_as_are_wanted() {
    for (wanted, workers) in [([1, 1, 1], "1"), ([7, 5, 4], "2"), ([12, 9, 10], "3"), ([13, 6, 2], "1")] {
        let server = server();
        let [level1, level2, level3] = wanted;
        let project = aimed(&server, &format!("{{ level1 = {level1}, level2 = {level2}, level3 = {level3} }}"));
        project.ingest(&corpus(20));
        project.succeed(&["run", "--drain", "--workers", workers]);
        assert_eq!(standing(&project), wanted, "{workers} workers");
        assert_eq!(requests(&server, "answer"), wanted.iter().sum::<usize>(), "what is not needed is not answered");
        project.drain();
        assert_eq!(standing(&project), wanted, "nothing is drawn while a target stands");
        let targets = &project.status()["totals"]["targets"];
        assert_eq!(targets["level1"], json!({"target": level1, "standing": level1}));
        assert!(project.succeed(&["status"]).contains(&format!("{level3} of {level3} samples of level 3 stand")));
    }
}

#[test]
fn continuous_draws_that_drain_meet_a_target_too() {
    let server = server();
    let mut project = aimed(&server, "{ level1 = 9, level2 = 5, level3 = 7 }");
    project.set("sampling.when", "\"continuous\"");
    for (numbers, workers) in [(0..12, "2"), (12..20, "1")] {
        project.ingest(&numbers.map(|number| any_document(number, 0)).collect::<Vec<_>>());
        project.succeed(&["run", "--drain", "--workers", workers]);
        assert_eq!(standing(&project), [9, 5, 7]);
        let first = sound_samples(&project).into_values().next().expect("a sample");
        project.delete(&[&first.provenance.documents[0].id]);
    }
    project.set("generate.target", "{ level1 = 1000 }");
    assert!(drain(&project).contains("are missing: every document has been drawn"));
}

#[test]
fn what_is_dropped_is_made_up_for() {
    let unfiltered = server();
    let whole = aimed(&unfiltered, "{ level2 = 9, level3 = 9 }");
    whole.ingest(&corpus(20));
    whole.drain();
    let known: Vec<String> = sound_samples(&whole).into_values().map(|sample| sample.question).collect();

    let server = ScriptedServer::start(Options { duplicate_rate: 0.2, unsuitable_rate: 0.3, ..Options::default() });
    let mut project = aimed(&server, "{ level1 = 40, level2 = 9, level3 = 9 }");
    project.set("filters.benchmarks", "[{ file = \"known.jsonl\" }]");
    let some = known.iter().step_by(2).map(|question| json!({"question": question}).to_string());
    write_lines(&project.file("known.jsonl"), some);
    project.ingest(&corpus(30));
    project.succeed(&["run", "--drain", "--workers", "2"]);
    assert_eq!(standing(&project), [40, 9, 9]);
    for name in ["rejected_benchmark", "duplicates", "unsuitable", "over_target"] {
        assert!(project.logs().counted(Role::Generate, name) > 0, "nothing was {name}");
    }
    let report: serde_json::Value =
        serde_json::from_str(&project.succeed(&["report", "-o", "report.html", "--json", "-"])).expect("JSON");
    assert!(report.to_string().contains("after the filter target"), "{report}");
}

#[test]
fn samples_that_are_withdrawn_are_drawn_again() {
    let server = server();
    let project = aimed(&server, "{ level1 = 7, level2 = 6, level3 = 5 }");
    project.ingest(&corpus(20));
    project.drain();
    let before = sound_samples(&project);
    let gone: BTreeSet<String> =
        before.values().step_by(3).map(|sample| sample.provenance.documents[0].id.clone()).collect();
    project.delete(&gone.iter().map(String::as_str).collect::<Vec<_>>());
    project.ingest(&[any_document(40, 0), any_document(41, 0)]);
    let said = drain(&project);
    assert_eq!(standing(&project), [7, 6, 5], "{said}");
    let after = sound_samples(&project);
    assert!(after.values().all(|sample| gone.iter().all(|document| !stands_on(sample, document))));
    assert!(after.keys().any(|id| !before.contains_key(id)) && after.keys().any(|id| before.contains_key(id)));
    let paid = requests(&server, "answer") - before.len();
    assert_eq!(paid, after.keys().filter(|id| !before.contains_key(*id)).count(), "nothing else is answered");
}

#[test]
fn what_stricter_filters_hold_back_is_drawn_again_and_comes_back_only_without_a_target() {
    let server = server();
    let mut project = aimed(&server, "{ level1 = 12, level2 = 6, level3 = 5 }");
    project.ingest(&corpus(20));
    project.drain();
    let known: BTreeSet<String> = sound_samples(&project).into_values().step_by(3).map(|sample| sample.question).collect();
    write_lines(&project.file("known.jsonl"), known.iter().map(|question| json!({"question": question}).to_string()));
    project.set("filters.benchmarks", "[{ file = \"known.jsonl\" }]");
    project.succeed(&["run", "--drain", "--workers", "2"]);
    assert_eq!(standing(&project), [12, 6, 5]);
    assert!(sound_samples(&project).values().all(|sample| !known.contains(&sample.question)));
    project.set("filters.benchmarks", "[]");
    let answers = requests(&server, "answer");
    project.drain();
    assert_eq!(standing(&project), [12, 6, 5], "exactly as many as are wanted");
    assert_eq!(project.logs().held().len(), known.len());
    project.set("generate.target", "{}").set("sampling.levels", "[1]");
    project.drain();
    assert!(project.logs().held().is_empty());
    let questions: BTreeSet<String> = sound_samples(&project).into_values().map(|sample| sample.question).collect();
    assert!(known.is_subset(&questions));
    let new = questions.len() - 23 - known.len();
    assert_eq!(requests(&server, "answer"), answers + new, "what was held back had its answers");
}

#[test]
fn without_drain_a_target_is_kept_while_documents_come_and_go() {
    for when in ["continuous", "settled"] {
        let server = server();
        let mut project = aimed(&server, "{ level1 = 8, level2 = 5, level3 = 4 }");
        project.set("sampling.when", format!("{when:?}"));
        project.ingest(&corpus(6));
        let mut run = project.start(&["run", "--workers", "2"]);
        let stands = || {
            let samples = project.logs().samples();
            [1, 2, 3].map(|level| of_level(&samples, level).len()) == [8, 5, 4]
        };
        wait_until("the targets stand", stands);
        let first = project.logs().samples();
        let gone = first.values().next().expect("a sample").provenance.documents[0].id.clone();
        project.ingest(&(6..14).map(|number| any_document(number, 0)).collect::<Vec<_>>());
        project.delete(&[&gone]);
        wait_until("its samples are withdrawn", || {
            project.logs().samples().values().all(|sample| !stands_on(sample, &gone))
        });
        wait_until("the targets stand again", stands);
        run.signal("TERM");
        assert_eq!(run.wait(), Some(0), "{}", project.errors());
        assert_eq!(standing(&project), [8, 5, 4], "{when}");
    }
}

#[test]
fn a_run_that_was_killed_comes_to_the_same_samples_with_other_workers() {
    let targets = "{ level1 = 13, level2 = 8, level3 = 7 }";
    let undisturbed = server();
    let whole = aimed(&undisturbed, targets);
    whole.ingest(&corpus(20));
    whole.drain();
    assert_eq!(standing(&whole), [13, 8, 7]);

    let server = ScriptedServer::start(Options { latency: Duration::from_millis(10), ..Options::default() });
    let project = aimed(&server, targets);
    project.ingest(&corpus(20));
    for (point, workers) in [("before commit:25", "2"), ("commit confirmed:8", "3"), ("outputs produced:20", "1")] {
        let mut command = project.command();
        command.args(["run", "--drain", "--workers", workers]).env("SYNTHLLM_FAULT", point);
        project.spawn(command).wait();
    }
    project.succeed(&["run", "--drain", "--workers", "3"]);
    assert_eq!(comparable(&sound_samples(&project), |_| false), comparable(&sound_samples(&whole), |_| false));
}

#[test]
fn a_target_that_can_not_be_met_ends_the_run_and_says_why() {
    let server = server();
    let mut project = aimed(&server, "{ level1 = 1000, level3 = 1000 }");
    project.set("sampling.limit.level3", 3).ingest(&corpus(5));
    let said = drain(&project);
    let [level1, level2, level3] = standing(&project);
    assert!(level1 > 5 && level2 > 0 && level3 > 0, "{level1}, {level2} and {level3} stand");
    let missing = 1000 - level1;
    assert!(
        said.contains(&format!("target of level 1: {level1} of 1000 samples stand, {missing} are missing: every document")),
        "{said}"
    );
    assert!(
        said.contains(&format!("target of level 3: {level3} of 1000")) && said.contains("sampling.limit.level3"),
        "{said}"
    );
    let status = project.succeed(&["status"]);
    assert!(
        status.contains(&format!("{level1} of 1000 samples of level 1 stand: every document has been drawn")),
        "{status}"
    );
    assert!(status.contains("of level 3 stand: sampling.limit.level3 is reached"), "{status}");
    project.set("sampling.limit.level3", 4).set("budget.tokens", 10);
    let said = drain(&project);
    assert!(said.contains("are missing: a budget is reached"), "{said}");
}

#[test]
fn a_target_may_be_raised_taken_away_and_set_again() {
    let server = server();
    let mut project = aimed(&server, "{ level1 = 3, level2 = 3 }");
    project.set("sampling.levels", "[1, 2]").ingest(&corpus(12));
    project.drain();
    assert_eq!(standing(&project), [3, 3, 0]);
    project.set("generate.target", "{ level1 = 8, level2 = 0 }");
    project.drain();
    let [level1, level2, _] = standing(&project);
    assert_eq!(level1, 8);
    assert!(level2 > 12, "without a target all documents are drawn: {level2}");
    project.set("generate.target", "{}");
    project.drain();
    let [level1, again, _] = standing(&project);
    assert!(level1 > 12, "{level1}");
    assert_eq!(again, level2);
    let drawn = &project.status()["totals"]["combinations"];
    assert_eq!((&drawn["level1"], &drawn["level2"]), (&json!(12), &json!(12)), "each document was drawn once");
    let answers = requests(&server, "answer");
    project.set("generate.target", "{ level1 = 5, level2 = 5 }");
    project.ingest(&[any_document(30, 0)]);
    project.drain();
    assert_eq!(
        (standing(&project), requests(&server, "answer")),
        ([level1, level2, 0], answers),
        "no target was missing any"
    );
    let gone: Vec<String> = (0..12).map(id).collect();
    project.delete(&gone.iter().map(String::as_str).collect::<Vec<_>>());
    project.drain();
    let samples = sound_samples(&project);
    assert!(!samples.is_empty() && samples.values().all(|sample| stands_on(sample, &id(30))), "the one that was left");
}

/// Nine words of all questions of level 1, and nine that no question has.
const OF_LEVEL_1: &str = "Given this article, what is the value in case";
const OF_NONE: &str = "These are nine words that no question ever repeats";

fn compare_with_nine_words(project: &mut Project) {
    project.set("filters.benchmarks", "[{ file = \"known.jsonl\" }]").set("filters.benchmark_words", 9);
}

fn knows(project: &Project, text: &str) {
    write_lines(&project.file("known.jsonl"), [json!({"question": text}).to_string()]);
}

#[test]
fn what_is_held_back_for_a_target_takes_the_place_of_samples_that_are_withdrawn() {
    let server = server();
    let mut project = aimed(&server, "{ level1 = 5 }");
    project.set("sampling.levels", "[1]").set("generate.calls", "{ level1 = 1 }").ingest(&corpus(9));
    compare_with_nine_words(&mut project);
    knows(&project, OF_LEVEL_1);
    project.drain();
    assert_eq!(standing(&project), [0, 0, 0]);
    knows(&project, OF_NONE);
    project.drain();
    assert_eq!(standing(&project), [5, 0, 0]);
    let asked = requests(&server, "level1");
    for workers in ["1", "2"] {
        let gone = sound_samples(&project).values().next().expect("five stand").provenance.documents[0].id.clone();
        project.delete(&[&gone]);
        // All documents are drawn: this run ends short, and the next one releases what is held back.
        project.succeed(&["run", "--drain", "--workers", workers]);
        assert!(standing(&project)[0] < 5);
        project.succeed(&["run", "--drain", "--workers", workers]);
        assert_eq!((standing(&project), requests(&server, "level1")), ([5, 0, 0], asked), "{workers} workers");
    }
}

#[test]
fn the_first_target_counts_what_stands_before_anything_is_released() {
    let server = server();
    let mut project = project(&server);
    project.set("sampling.levels", "[1, 2]");
    compare_with_nine_words(&mut project);
    knows(&project, OF_NONE);
    project.ingest(&corpus(8));
    project.drain();
    let before = standing(&project);
    project.ingest(&(20..24).map(|number| any_document(number, 0)).collect::<Vec<_>>());
    knows(&project, OF_LEVEL_1);
    project.drain();
    assert_eq!(standing(&project)[0], 0);
    let level2 = standing(&project)[1];
    assert!(level2 > before[1], "{level2}");
    // As many as stand of level 2 are wanted of it, and of level 1 what stood before.
    project.set("generate.target", format!("{{ level1 = {}, level2 = {level2} }}", before[0]));
    knows(&project, OF_NONE);
    project.drain();
    project.drain();
    assert_eq!(standing(&project), [before[0], level2, 0]);
}

#[test]
fn what_filters_let_pass_later_adds_nothing_to_a_target() {
    let server = server();
    let mut project = aimed(&server, "{ level1 = 6, level2 = 4 }");
    project.set("sampling.levels", "[1, 2]").set("generate.calls", "{ level1 = 1, level2 = 1 }").ingest(&corpus(16));
    compare_with_nine_words(&mut project);
    knows(&project, OF_LEVEL_1);
    project.drain();
    let held = project.logs().held().len();
    assert!(held > 6 && standing(&project) == [0, 4, 0], "{held} {:?}", standing(&project));
    let asked = requests(&server, "level1");
    project.ingest(&(20..26).map(|number| any_document(number, 0)).collect::<Vec<_>>());
    knows(&project, OF_NONE);
    project.succeed(&["run", "--drain", "--workers", "2"]);
    assert_eq!(standing(&project), [6, 4, 0], "exactly as many as are wanted");
    let now = project.logs().held();
    assert_eq!((now.len(), requests(&server, "level1")), (held - 6, asked), "no other is drawn");
    assert!(now.values().all(|held| held.reason == "target" && held.details.contains("level 1")));

    // A greater target has room for more of them.
    project.set("generate.target", "{ level1 = 9, level2 = 4 }");
    project.succeed(&["run", "--drain", "--workers", "3"]);
    assert_eq!((standing(&project), project.logs().held().len()), ([9, 4, 0], held - 9));
    assert_eq!(requests(&server, "level1"), asked, "no other is drawn");
    project.set("generate.target", "{ level1 = 6, level2 = 4 }");

    // Another filter holds all back with its own reason, until it is gone; and without a target all that passes is released.
    project.set("filters.least_words", 500);
    project.drain();
    assert!(standing(&project) == [0, 0, 0] && project.logs().held().values().all(|held| held.reason == "length"));
    let asked = server.seen().len();
    project.set("filters.least_words", 3);
    project.drain();
    assert_eq!(standing(&project), [6, 4, 0]);
    assert!(server.seen().iter().skip(asked).all(|seen| seen.task == "answer"), "no other is drawn");
    project.set("generate.target", "{ level2 = 4 }");
    project.drain();
    assert!(project.logs().held().values().all(|held| held.sample.level == 2));
    assert!(standing(&project)[0] > held, "{:?}", standing(&project));
    assert_eq!(standing(&project)[1], 4);
}

#[test]
fn roles_that_run_apart_meet_a_target_in_turns() {
    let server = server();
    let project = aimed(&server, "{ level1 = 11, level2 = 4, level3 = 5 }");
    project.ingest(&corpus(20));
    project.succeed(&["run", "--drain", "--role", "extract"]);
    let mut turns = 0;
    while turns == 0 || standing(&project) != [11, 4, 5] {
        let output = project.execute(&["run", "--drain", "--role", "graph"]);
        assert!(output.status.success() && stderr(&output).contains("wait for generate"), "{}", stderr(&output));
        project.succeed(&["run", "--drain", "--role", "generate"]);
        turns += 1;
        assert!(turns < 20, "{:?} after {turns} turns", standing(&project));
    }
    let output = project.execute(&["run", "--drain", "--role", "graph"]);
    assert!(stderr(&output).contains("11 of 11 samples stand"), "{}", stderr(&output));
    assert_eq!(requests(&server, "answer"), 20);
}

#[test]
fn a_target_needs_its_level_and_a_plan_knows_it() {
    let server = server();
    let mut project = aimed(&server, "{ level1 = 4, level3 = 5 }");
    project.set("sampling.levels", "[1, 2]");
    let output = project.execute(&["check"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr(&output).contains("`generate.target.level3`: a target of a level that is not drawn"),
        "{}",
        stderr(&output)
    );
    project.set("generate.target", "{ level1 = 4, level2 = 0 }").set("extract.source", "\"document\"").ingest(&corpus(20));
    let plan: serde_json::Value = serde_json::from_str(&project.succeed(&["plan", "--json"])).expect("JSON");
    let bounds = |range: &serde_json::Value| (range["low"].as_u64(), range["high"].as_u64());
    assert_eq!(bounds(&plan["combinations"]["level1"]), (Some(0), Some(8)), "{plan}");
    assert!(plan["combinations"]["level2"]["high"].as_u64() > Some(8), "{plan}");
}
