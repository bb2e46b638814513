//! Which samples are exported, and in which shape, to one file.

use std::fs;

use synthllm_operators::normal::fold;
use synthllm_operators::record::Sample;
use synthllm_testkit::project::stderr;

use crate::{export, filled, id, json_lines, live};

#[test]
fn filters_keep_exactly_the_samples_that_pass_all_of_them() {
    let (_server, project) = filled();
    let samples = live(&project);
    let kept = |arguments: &[&str], passes: &dyn Fn(&Sample) -> bool| {
        export(&project, &[&["kept.jsonl"], arguments].concat());
        let rows = json_lines(&project.file("kept.jsonl"));
        let expected: Vec<&String> = samples.iter().filter(|(_, sample)| passes(sample)).map(|(id, _)| id).collect();
        assert!(!expected.is_empty() && expected.len() < samples.len(), "{arguments:?} keep some and leave some out");
        assert_eq!(rows.iter().map(id).collect::<Vec<_>>(), expected, "{arguments:?}");
    };
    let named =
        |sample: &Sample, wanted: &str| sample.concepts.iter().chain(&sample.topics).any(|name| fold(name) == wanted);
    kept(&["--level", "1,3"], &|sample| sample.level != 2);
    kept(&["--min-score", "agreement=0.5"], &|sample| sample.scores.get("agreement").is_some_and(|score| *score >= 0.5));
    kept(&["--concept", "Algebra", "--concept", "matrix"], &|sample| named(sample, "algebra") || named(sample, "matrix"));
    kept(&["--level", "2", "--concept", "matrix"], &|sample| sample.level == 2 && named(sample, "matrix"));
}

#[test]
fn a_score_that_no_sample_has_is_refused_and_the_file_stays() {
    let (_server, project) = filled();
    export(&project, &["kept.jsonl"]);
    let before = fs::read(project.file("kept.jsonl")).unwrap();
    let output = project.execute(&["export", "kept.jsonl", "--min-score", "agrement=0.5"]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains("no sample has the score \"agrement\""), "{}", stderr(&output));
    assert!(stderr(&output).contains("there are {\"agreement\"}"), "{}", stderr(&output));
    assert_eq!(fs::read(project.file("kept.jsonl")).unwrap(), before);
}

#[test]
fn samples_without_an_answer_are_left_out_of_chat_and_alpaca_and_counted() {
    let (_server, project) = filled();
    let samples = live(&project);
    let unanswered = samples.values().filter(|sample| sample.answer.is_none()).count();
    assert!(unanswered > 0);
    for shape in ["chat", "alpaca"] {
        let output = project.execute(&["export", "-", "--as", shape]);
        assert!(output.status.success());
        assert!(
            stderr(&output).contains(&format!("samples without an answer are left out: {unanswered}")),
            "{}",
            stderr(&output)
        );
        assert_eq!(String::from_utf8(output.stdout).unwrap().lines().count(), samples.len() - unanswered);
    }
    assert!(!stderr(&project.execute(&["export", "-"])).contains("without an answer"));
}

#[test]
fn a_file_that_ends_in_parquet_is_parquet() {
    let (_server, project) = filled();
    export(&project, &["one.parquet"]);
    export(&project, &["two", "--format", "parquet"]);
    let file = fs::read(project.file("one.parquet")).unwrap();
    assert!(file.starts_with(b"PAR1") && file.ends_with(b"PAR1"));
    assert_eq!(fs::read(project.file("two")).unwrap(), file);
    assert_eq!(project.execute(&["export", "-", "--format", "parquet"]).stdout, file);
}

#[test]
fn what_needs_a_folder_says_so() {
    let (_server, project) = filled();
    for arguments in [["--held-out", "0.1"], ["--shard-size", "3"], ["--since", "before"]] {
        let output = project.execute(&[&["export", "samples.jsonl"], &arguments[..]].concat());
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        assert!(stderr(&output).contains("end a new folder's path with /"), "{}", stderr(&output));
    }
    for arguments in [["--held-out", "1"], ["--held-out", "NaN"], ["--min-score", "agreement"], ["--level", "4"]] {
        assert_eq!(project.execute(&[&["export", "out/"], &arguments[..]].concat()).status.code(), Some(2), "{arguments:?}");
    }
    assert!(!project.file("out").exists());
}
