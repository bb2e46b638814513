//! `scaling` as users run it: the real binary, on files of points.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

const PAPER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/configs/scaling/paper.csv");
const AS_PRINTED: [&str; 4] = ["--share", "beta", "--fix", "8B:B/D_l=56.3"];

struct Done {
    code: i32,
    stdout: String,
    stderr: String,
}

/// Runs `scaling` with a text on standard input, in a folder without a configuration.
fn scaling(arguments: &[&str], input: &str) -> Done {
    let place = TempDir::new().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_synthllm"));
    command.arg("scaling").args(arguments).current_dir(place.path()).env_remove("SYNTHLLM_CONFIG");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A program that refuses its options has not read this.
    _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Done { code: output.status.code().unwrap(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

fn json(arguments: &[&str]) -> Value {
    let done = scaling(&[arguments, &["--json"]].concat(), "");
    assert_eq!(done.code, 0, "{}", done.stderr);
    serde_json::from_str(&done.stdout).unwrap()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

#[test]
fn fit_prints_the_parameters_of_each_series_with_intervals() {
    let report = json(&[&["fit", PAPER], &AS_PRINTED[..]].concat());
    assert_eq!((&report["unit"], &report["unit_assumed"]), (&"percent".into(), &true.into()));
    for (series, name, e) in [(&report["series"][0], "3B", 14.1..14.5), (&report["series"][1], "8B", 16.0..16.4)] {
        assert_eq!(series["series"], name);
        assert!((0.50..0.53).contains(&number(&series["beta"])) && e.contains(&number(&series["E"])), "{series}");
        for parameter in ["B", "D_l", "beta", "E"] {
            let interval = &series["intervals"][parameter];
            let value = number(&series[parameter]);
            assert!(number(&interval[0]) < value && value < number(&interval[1]), "{parameter}: {value} in {interval}");
        }
        assert_eq!(series["choice"]["law"], "rectified");
        assert_eq!(series["held_out"]["points"].as_array().unwrap().len(), 2);
        assert!(number(&series["doubling"]["tokens"]) > 1e10);
    }
    let large = &report["series"][1];
    assert!((number(&large["B"]) / number(&large["D_l"]) - 56.3).abs() < 1e-6);
}

#[test]
fn fit_prints_for_people_too() {
    let done = scaling(&[&["fit", PAPER, "--bootstrap", "0"], &AS_PRINTED[..]].concat(), "");
    insta::assert_snapshot!(done.stdout, @r#"
    rectified law: error = B / (D_l + tokens^beta) + E, fitted by the Huber loss of logarithms
    unit of the error: percent (assumed; say it with --unit)
    all series have one beta
    given: 8B:B/D_l=56.3

    3B: 6 points, 1e10 to 4e12 tokens, rms of logarithms 0.001064
              value
      B       4.034e6
      D_l     54697
      beta    0.5133
      E       14.24
      a doubling brings less than 1 point from 6.008e11 tokens on
      held out: at 1e12 tokens predicted 16.93, measured 16.9
      held out: at 4e12 tokens predicted 15.58, measured 15.6
      better law: rectified, by AICc (-130.6 rectified, -98.59 power)

    8B: 6 points, 1e10 to 4e12 tokens, rms of logarithms 0.0002394
              value
      B       1.776e6
      D_l     31542
      beta    0.5133
      E       16.2
      a doubling brings less than 1 point from 1.151e11 tokens on
      held out: at 1e12 tokens predicted 17.41, measured 17.4
      held out: at 4e12 tokens predicted 16.8, measured 16.8
      better law: rectified, by AICc (-130.6 rectified, -98.59 power)
    "#);
}

#[test]
fn predict_gives_each_error_with_its_interval() {
    let predictions = json(&[&["predict", PAPER, "--tokens", "3e11,8e12"], &AS_PRINTED[..]].concat());
    let [inside, beyond] = [0, 1].map(|i| &predictions["series"][0]["predictions"][i]);
    assert!((number(&inside["error"]) - 19.1).abs() < 0.1 && inside["outside"].is_null(), "{inside}");
    assert!((number(&beyond["outside"]["times_most"]) - 2.0).abs() < 1e-9, "{beyond}");
    assert!(number(&beyond["interval"][0]) < number(&beyond["error"]), "{beyond}");
}

#[test]
fn plot_writes_an_svg_with_axes_points_and_a_legend() {
    let place = TempDir::new().unwrap();
    let path = place.path().join("curves.svg");
    let done = scaling(&["plot", PAPER, "--bootstrap", "20", "-o", path.to_str().unwrap()], "");
    assert_eq!(done.code, 0, "{}", done.stderr);
    let svg = std::fs::read_to_string(path).unwrap();
    assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
    assert!(["error (percent)", "tokens", "3B", "8B", "1e12"].iter().all(|word| svg.contains(word)), "{svg}");
    assert_eq!(svg.matches("<circle").count(), 12 + 2);
    assert_eq!(svg.matches("<polygon").count(), 2);
}

#[test]
fn points_come_from_standard_input_and_from_other_columns() {
    let rows = "m,0,9\nm,1,5\nm,2,4.2\nm,4,3.6\nm,8,3.15\nm,16,2.8\nm,32,2.55\n";
    let options = ["--series-columns", "model", "--tokens-column", "examples", "--error-column", "loss", "--skip-zero"];
    let arguments = [&["fit", "-", "--unit", "loss", "--bootstrap", "0", "--json"], &options[..]].concat();
    let done = scaling(&arguments, &format!("model,examples,loss\n{rows}"));
    assert_eq!(done.code, 0, "{}", done.stderr);
    let report: Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!((&report["series"][0]["series"], &report["series"][0]["points"]), (&"m".into(), &6.into()));
    assert_eq!((&report["unit"], &report["unit_assumed"]), (&"loss".into(), &false.into()));
}

#[test]
fn what_is_wrong_is_said_with_the_place_and_a_hint() {
    let done = scaling(&["fit", "-"], "tokens,error\n1e9,30\n0,25\n");
    assert_eq!(done.code, 1);
    insta::assert_snapshot!(done.stderr, @r#"
    error: can't read standard input
      caused by: line 3: 0 in the column "tokens" is no positive number
    hint: the law is fitted to logarithms; `--skip-zero` leaves out the points without tokens
    "#);
    let done = scaling(&["fit", "-"], "tokens,error\n1e9,30\n2e9,25\n4e9,22\n");
    assert_eq!(done.code, 1);
    insta::assert_snapshot!(done.stderr, @r#"
    error: can't fit standard input
      caused by: series "all" has 3 different amounts of tokens, too few for the rectified law: it needs at least 5
    hint: measure at more amounts of tokens, or try `--law power`, which needs one less; `--share beta` spares one more
    "#);
    let done = scaling(&["fit", PAPER, "--fix", "7B:beta=0.5"], "");
    assert_eq!(done.code, 2);
    let causes = done.stderr.split_once("caused by: ").unwrap().1;
    assert_eq!(causes, "can't give 7B:beta=0.5: there is no series \"7B\"; there are \"3B\", \"8B\"\n");
}

#[test]
fn wrong_options_are_wrong_usage() {
    for (option, value, said) in [
        ("--fix", "8B:gamma=2", "can't use \"8B:gamma=2\": \"gamma\" can't be given"),
        ("--level", "1.5", "--level 1.5 must be at least 0.5 and less than 1"),
        ("--bootstrap", "3", "--bootstrap 3 is too few for --level 0.9: it needs at least 9"),
        ("--points", "-0", "--points -0 is no positive number"),
        ("--share", "E", "invalid value 'E'"),
    ] {
        let done = scaling(&["fit", PAPER, &format!("{option}={value}")], "");
        assert_eq!(done.code, 2, "{option}: {}", done.stderr);
        assert!(done.stderr.contains(said), "{}", done.stderr);
    }
}
