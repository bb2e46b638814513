//! Whether intervals hold the truth as often as they say.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use fastrand::Rng;
use synthllm_scaling::*;

fn normal(rng: &mut Rng) -> f64 {
    (-2.0 * (1.0 - rng.f64()).ln()).sqrt() * (std::f64::consts::TAU * rng.f64()).cos()
}

fn coverage(truth: Parameters, tokens: &[f64], sigma: f64, model: &Model, sets: u64) {
    let t = std::time::Instant::now();
    let q = [
        Quantity::B,
        Quantity::PriorTokens,
        Quantity::Beta,
        Quantity::E,
        Quantity::Error { tokens: 4e12 },
        Quantity::Error { tokens: 2e10 },
        Quantity::LastDoubling { gain: 1.0 },
    ];
    let values =
        [truth.b, truth.d_l, truth.beta, truth.e, truth.error(4e12), truth.error(2e10), truth.last_doubling(1.0).unwrap()];
    let mut hits = [0; 7];
    let mut none = [0; 7];
    let mut open = [0; 7];
    for set in 0..sets {
        let mut rng = Rng::with_seed(set + 1000);
        let points = tokens
            .iter()
            .map(|&tokens| Point { tokens, error: truth.error(tokens) * (sigma * normal(&mut rng)).exp() })
            .collect();
        let series = [Series { name: "a".into(), points }];
        let Ok(fit) = fit(&series, model) else {
            println!("flat");
            continue;
        };
        let wanted: Vec<_> = q.iter().map(|q| (0, *q)).collect();
        let intervals = fit.intervals(&wanted, &Bootstrap { draws: 199, seed: set, ..Bootstrap::default() });
        for i in 0..7 {
            match intervals[i] {
                None => none[i] += 1,
                Some(x) => {
                    hits[i] += usize::from(x.holds(values[i]));
                    open[i] += usize::from(x.high.is_none())
                }
            }
        }
    }
    println!(
        "{:?} {:?} n={} sigma={sigma} hits {hits:?} none {none:?} open {open:?} of {sets} in {:?}",
        model.law,
        model.objective,
        tokens.len(),
        t.elapsed()
    );
}

#[test]
fn intervals_are_honest() {
    let b = 1e9f64;
    let truth = Parameters { b: 97.0 * b.powf(0.513), d_l: 1.32 * b.powf(0.513), beta: 0.513, e: 14.2 };
    let ten: Vec<f64> = (0..10).map(|i| 1e9 * 2.5f64.powi(i)).collect();
    let six = [1e10, 5e10, 2.5e11, 3e11, 1e12, 4e12];
    let sets = std::env::var("SETS").map_or(100, |s| s.parse().unwrap());
    for objective in [Objective::Square, Objective::Huber] {
        let model = Model { objective, ..Model::default() };
        for sigma in [0.003, 0.03] {
            coverage(truth, &ten, sigma, &model, sets);
            coverage(truth, &six, sigma, &model, sets);
        }
        let power = Parameters { d_l: 0.0, ..truth };
        let model = Model { objective, law: Law::Power, ..Model::default() };
        coverage(power, &six, 0.01, &model, sets);
    }
}
