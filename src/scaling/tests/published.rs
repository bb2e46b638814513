//! The figures that others have published, on their own data.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::path::Path;

use synthllm_scaling::{Law, Model, Objective, Point, Series, fit};

fn rows(name: &str) -> Vec<csv::StringRecord> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name);
    csv::Reader::from_path(path).unwrap().records().map(Result::unwrap).collect()
}

fn finetune() -> BTreeMap<String, Series> {
    let mut all: BTreeMap<String, Series> = BTreeMap::new();
    for row in rows("scaling-finetune.csv") {
        let (name, tokens) = (format!("{} {}", &row[0], &row[1]), row[3].parse().unwrap());
        if tokens > 0.0 {
            let series = all.entry(name.clone()).or_insert(Series { name, points: Vec::new() });
            series.points.push(Point { tokens, error: row[4].parse().unwrap() });
        }
    }
    all
}

#[test]
fn all_sixty_series_fit_as_well_as_published() {
    let all = finetune();
    let published = rows("scaling-finetune-published.csv");
    for objective in [Objective::Square, Objective::Huber] {
        for (law, column) in [(Law::Rectified, 2), (Law::Power, 3)] {
            let mut worst: f64 = 0.0;
            for row in &published {
                let series = all[&format!("{} {}", &row[0], &row[1])].clone();
                let fit = fit(&[series.clone()], &Model { law, objective, ..Model::default() }).unwrap();
                let ratio = fit.rms_log(0) / row[column].parse::<f64>().unwrap();
                if ratio > 1.02 {
                    println!("{objective:?} {law:?} {} {ratio}", series.name);
                }
                worst = worst.max(ratio);
            }
            println!("{objective:?} {law:?} worst {worst}");
        }
    }
}

#[test]
fn the_papers_table() {
    let tokens = [1e10, 5e10, 2.5e11, 3e11, 1e12, 4e12];
    let make = |name: &str, accuracy: [f64; 6]| Series {
        name: name.into(),
        points: tokens.iter().zip(accuracy).map(|(tokens, a)| Point { tokens: *tokens, error: 100.0 - a }).collect(),
    };
    let series = [make("3B", [64.6, 74.7, 80.5, 80.9, 83.1, 84.4]), make("8B", [73.2, 78.6, 81.4, 81.6, 82.6, 83.2])];
    for objective in [Objective::Square, Objective::Huber] {
        let model = Model { objective, share_beta: true, fixes: vec!["8B:B/D_l=56.3".parse().unwrap()], ..Model::default() };
        let t = std::time::Instant::now();
        let fit = fit(&series, &model).unwrap();
        println!("{:?}", t.elapsed());
        for i in 0..2 {
            let p = fit.parameters(i);
            let worst = series[i].points.iter().map(|q| (p.error(q.tokens) - q.error).abs()).fold(0.0, f64::max);
            println!("{objective:?} {p:?} worst {worst} {} {}", p.b * 1e-9f64.powf(p.beta), p.d_l * 1e-9f64.powf(p.beta));
        }
    }
}
