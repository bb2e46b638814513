//! Whether intervals of 90 % hold the truth in 90 % of all cases: for few and for more points, little and much noise, both laws, both
//! losses, and series that share `beta`.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::f64::consts::TAU;

use fastrand::Rng;
use synthllm_scaling::{Bootstrap, Law, Model, Objective, Parameters, Point, Quantity, Series, fit};

/// The 3B model of the paper, with tokens in billions.
const TRUTH: Parameters = Parameters { b: 97.0, d_l: 1.32, beta: 0.513, e: 14.2 };
const SIX: [f64; 6] = [10.0, 50.0, 250.0, 300.0, 1000.0, 4000.0];
const TEN: [f64; 10] = [1.0, 2.5, 6.0, 16.0, 40.0, 100.0, 250.0, 600.0, 1500.0, 4000.0];

struct Case<'a> {
    tokens: &'a [f64],
    /// The standard deviation of the noise of logarithms.
    noise: f64,
    model: Model,
    /// One curve for each series.
    truths: &'a [Parameters],
    sets: u32,
}

fn normal(rng: &mut Rng) -> f64 {
    (-2.0 * (1.0 - rng.f64()).ln()).sqrt() * (TAU * rng.f64()).cos()
}

/// What is asked of each series, with the true value.
fn questions(truth: &Parameters) -> Vec<(Quantity, f64)> {
    let errors = [20.0, 8000.0].map(|tokens| (Quantity::Error { tokens }, truth.error(tokens)));
    let prior = (truth.d_l > 0.0).then_some((Quantity::PriorTokens, truth.d_l));
    let last = (Quantity::LastDoubling { gain: 1.0 }, truth.last_doubling(1.0).unwrap());
    let rest = [(Quantity::B, truth.b), (Quantity::Beta, truth.beta), (Quantity::E, truth.e), last];
    errors.into_iter().chain(prior).chain(rest).collect()
}

impl Case<'_> {
    fn series(&self, rng: &mut Rng) -> Vec<Series> {
        let mut point = |truth: &Parameters, tokens: f64| Point {
            tokens,
            error: truth.error(tokens) * (self.noise * normal(rng)).exp(),
        };
        let named = |(i, truth): (usize, &Parameters)| Series {
            name: i.to_string(),
            points: self.tokens.iter().map(|tokens| point(truth, *tokens)).collect(),
        };
        self.truths.iter().enumerate().map(named).collect()
    }

    /// For each question, how many intervals held the truth.
    fn hits(&self) -> Vec<(Quantity, u32)> {
        let questions: Vec<(usize, Quantity, f64)> = (0..self.truths.len())
            .flat_map(|i| questions(&self.truths[i]).into_iter().map(move |(quantity, value)| (i, quantity, value)))
            .collect();
        let wanted: Vec<_> = questions.iter().map(|(i, quantity, _)| (*i, *quantity)).collect();
        let mut hits: Vec<(Quantity, u32)> = wanted.iter().map(|(_, quantity)| (*quantity, 0)).collect();
        for set in 0..self.sets {
            let fit = fit(&self.series(&mut Rng::with_seed(u64::from(set))), &self.model).unwrap();
            let bootstrap = Bootstrap { draws: 99, level: 0.9, seed: u64::from(set) };
            let intervals = fit.intervals(&wanted, &bootstrap);
            for ((hits, (.., value)), interval) in hits.iter_mut().zip(&questions).zip(intervals) {
                hits.1 += u32::from(interval.is_some_and(|interval| interval.holds(*value)));
            }
        }
        hits
    }

    /// Fails when a share of hits is farther below 90 % than chance explains, or, where `exact`, above.
    fn check(&self, exact: bool) {
        let sets = f64::from(self.sets);
        let chance = 3.5 * (sets * 0.9 * 0.1).sqrt();
        for (quantity, hits) in self.hits() {
            println!("{quantity:?}: {:.3}", f64::from(hits) / sets);
            let excess = f64::from(hits) - 0.9 * sets;
            assert!(excess >= -chance, "{quantity:?} of {:?}: {hits} of {sets} intervals hold the truth", self.model);
            assert!(!exact || excess <= chance, "{quantity:?} of {:?}: {hits} of {sets}: too wide", self.model);
        }
    }
}

#[test]
fn least_squares_of_ten_points() {
    let model = Model { objective: Objective::Square, ..Model::default() };
    Case { tokens: &TEN, noise: 0.01, model, truths: &[TRUTH], sets: 300 }.check(true);
}

#[test]
fn the_huber_loss_of_ten_points() {
    Case { tokens: &TEN, noise: 0.01, model: Model::default(), truths: &[TRUTH], sets: 200 }.check(true);
}

#[test]
fn the_huber_loss_of_six_points() {
    Case { tokens: &SIX, noise: 0.003, model: Model::default(), truths: &[TRUTH], sets: 200 }.check(true);
}

/// With so much noise the points leave some parameters without bound; then intervals may hold the truth more often.
#[test]
fn six_points_with_much_noise() {
    let model = Model { objective: Objective::Square, ..Model::default() };
    Case { tokens: &SIX, noise: 0.03, model, truths: &[TRUTH], sets: 200 }.check(false);
}

#[test]
fn the_power_law() {
    let model = Model { law: Law::Power, ..Model::default() };
    let truth = Parameters { d_l: 0.0, ..TRUTH };
    Case { tokens: &SIX, noise: 0.01, model, truths: &[truth], sets: 200 }.check(true);
}

#[test]
fn two_series_with_one_beta_and_a_given_ratio() {
    let large = Parameters { b: 42.6, d_l: 42.6 / 56.3, beta: 0.513, e: 16.2 };
    let fixes = vec!["1:B/D_l=56.3".parse().unwrap()];
    let model = Model { objective: Objective::Square, share_beta: true, fixes, ..Model::default() };
    Case { tokens: &SIX, noise: 0.005, model, truths: &[TRUTH, large], sets: 150 }.check(true);
}
