//! What holds of forests, figures and files.

use proptest::prelude::*;
use synthllm_screening::{
    Embedder, Figures, FitError, Forest, ForestSettings, Kind, Model, ModelError, Roc, Round, Training, held_out, plot, rank,
};

const SETTINGS: ForestSettings = ForestSettings { trees: 30, least_in_leaf: 1, seed: 7 };

/// Points around a centre that differs in the first of eight dimensions, by Box and Muller.
fn cluster(centre: f32, count: usize, seed: u64) -> Vec<Vec<f32>> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut normal = || (-2.0 * (1.0 - random.f32()).ln()).sqrt() * (std::f32::consts::TAU * random.f32()).cos();
    (0..count).map(|_| (0..8).map(|axis| if axis == 0 { centre + normal() } else { normal() }).collect()).collect()
}

fn two_clusters(count: usize, seed: u64) -> (Vec<Vec<f32>>, Vec<f64>) {
    let rows = [cluster(0.0, count, seed), cluster(4.0, count, seed + 1)].concat();
    let targets = (0..2 * count).map(|i| f64::from(u8::from(i >= count))).collect();
    (rows, targets)
}

fn slices(rows: &[Vec<f32>]) -> Vec<&[f32]> {
    rows.iter().map(Vec::as_slice).collect()
}

fn fitted(kind: Kind, rows: &[Vec<f32>], targets: &[f64], settings: &ForestSettings) -> Forest {
    Forest::fit(kind, &slices(rows), targets, settings).expect("the examples are sound")
}

fn figures() -> Figures {
    Figures::of_ratings(&[(7.0, 8.0), (3.0, 2.0), (6.0, 7.0), (5.0, 1.0)], 6.5)
}

fn model(forest: Forest) -> Model {
    let round = Round { round: 1, learnt_from: 200, failed: 1, selected: 12, held_out: figures() };
    let training = Training {
        rated_by: "large".into(),
        prompt: "00".into(),
        settings: serde_json::json!({"keep": 6.5, "share": 0.1}),
        forest: SETTINGS,
        documents: 300,
        rounds: vec![round],
    };
    let embedder = Embedder { model: "small".into(), dimensions: forest.dimensions(), cut: 2000 };
    Model::new("statistics", embedder, 6.5, training, forest)
}

#[test]
fn two_clusters_are_told_apart_on_points_that_were_not_learnt_from() {
    let (rows, targets) = two_clusters(150, 1);
    let forest = fitted(Kind::Classifier, &rows, &targets, &SETTINGS);
    let (new, truth) = two_clusters(200, 100);
    let scored: Vec<_> = forest.scores(&slices(&new)).into_iter().zip(truth).map(|(s, t)| (s, t > 0.5)).collect();
    let figures = Figures::of_labels(&scored, 0.5);
    // Two normal distributions whose means are four apart: the best border errs in 2.3 of 100 cases.
    assert!(figures.roc.as_ref().is_some_and(|roc| roc.area > 0.98), "{figures:?}");
    assert!(figures.at_threshold.precision() > Some(0.92) && figures.at_threshold.recall() > Some(0.92), "{figures:?}");
}

#[test]
fn classes_weigh_the_same_however_many_examples_each_has() {
    let rows = [cluster(0.0, 1000, 1), cluster(2.5, 50, 2)].concat();
    let targets: Vec<f64> = (0..1050).map(|i| f64::from(u8::from(i >= 1000))).collect();
    let settings = ForestSettings { least_in_leaf: 5, ..SETTINGS };
    let new = cluster(2.5, 200, 3);
    let kept = |kind| {
        let scores = fitted(kind, &rows, &targets, &settings).scores(&slices(&new));
        scores.into_iter().filter(|score| *score > 0.5).count()
    };
    let (balanced, plain) = (kept(Kind::Classifier), kept(Kind::Regressor));
    assert!(
        balanced > 110 && balanced > plain + 40,
        "of 200, {balanced} are kept, and {plain} where classes weigh as they come"
    );
}

#[test]
fn ratings_are_recovered_better_than_by_their_mean() {
    let rows = cluster(0.0, 400, 5);
    let ratings: Vec<f64> = rows.iter().map(|row| f64::from((5.5 + 2.0 * row[0]).round().clamp(1.0, 10.0))).collect();
    let forest = fitted(Kind::Regressor, &rows[..300], &ratings[..300], &ForestSettings { trees: 100, ..SETTINGS });
    let scored: Vec<_> = forest.scores(&slices(&rows[300..])).into_iter().zip(ratings[300..].iter().copied()).collect();
    let quality = Figures::of_ratings(&scored, 6.5).ratings.expect("there are ratings");
    assert!(quality.rmse < 0.7 * quality.rmse_of_mean, "{quality:?}");
    assert!(quality.correlation > Some(0.8), "{quality:?}");
}

#[test]
fn equal_seeds_give_equal_forests_and_other_seeds_others() {
    let (rows, targets) = two_clusters(50, 1);
    let scores =
        |seed| fitted(Kind::Regressor, &rows, &targets, &ForestSettings { seed, ..SETTINGS }).scores(&slices(&rows));
    assert_eq!(scores(3), scores(3));
    assert_ne!(scores(3), scores(4));
}

#[test]
fn examples_that_teach_nothing_are_refused_with_the_reason() {
    let (rows, mut targets) = two_clusters(10, 1);
    let fit = |rows: &[Vec<f32>], targets: &[f64]| Forest::fit(Kind::Regressor, &slices(rows), targets, &SETTINGS).err();
    assert_eq!(fit(&rows[..3], &targets), Some(FitError::TooFew { found: 3, least: 8 }));
    assert_eq!(fit(&rows, &[5.0; 20]), Some(FitError::OneTarget { examples: 20, target: 5.0 }));
    let mut short = rows.clone();
    short[4].pop();
    assert_eq!(fit(&short, &targets), Some(FitError::Dimensions { example: 4, found: 7, expected: 8 }));
    let mut broken = rows.clone();
    broken[6][2] = f32::NAN;
    assert_eq!(fit(&broken, &targets), Some(FitError::NotFinite { example: 6 }));
    targets[1] = f64::INFINITY;
    assert_eq!(fit(&rows, &targets), Some(FitError::NotFinite { example: 1 }));
}

#[test]
fn a_model_that_was_written_and_read_scores_the_same() {
    let (rows, targets) = two_clusters(60, 1);
    let model = model(fitted(Kind::Regressor, &rows, &targets, &SETTINGS));
    let read = Model::from_bytes(&model.to_bytes()).expect("what was written is read");
    let score = |model: &Model| model.scores(&slices(&rows)).expect("the dimensions are the model's");
    assert_eq!(score(&model), score(&read));
    assert_eq!((read.version(), read.domain(), read.threshold()), (model.version(), "statistics", 6.5));
    assert_eq!((read.embedder(), read.training()), (model.embedder(), model.training()));
    assert_eq!(read.to_bytes(), model.to_bytes());
    let error = read.scores(&[&[0.0; 3]]).expect_err("three numbers are not eight");
    assert_eq!(error, ModelError::Dimensions { found: 3, expected: 8 });
}

#[test]
fn a_file_that_is_none_is_of_another_format_or_damaged_is_refused() {
    let (rows, targets) = two_clusters(20, 1);
    let bytes = model(fitted(Kind::Regressor, &rows, &targets, &SETTINGS)).to_bytes();
    let error = |bytes: &[u8]| Model::from_bytes(bytes).expect_err("this is no model");
    for other in [&b""[..], b"{}", b"one two three\nfour\n", b"\xff\xfe \n"] {
        assert_eq!(error(other), ModelError::NoModel);
    }
    let later = [b"synthllm-screening-model 2 ", &bytes[27..]].concat();
    assert_eq!(error(&later), ModelError::Format { found: 2, expected: 1 });
    for place in [60, 200, bytes.len() - 1] {
        let mut damaged = bytes.clone();
        damaged[place] ^= 1;
        assert!(matches!(error(&damaged), ModelError::Damaged(_)), "byte {place}");
    }
    assert!(matches!(error(&bytes[..bytes.len() - 9]), ModelError::Damaged(_)));
}

#[test]
fn the_plot_has_the_curve_the_point_and_their_figures() {
    let svg = plot("statistics", &figures()).expect("there is yes and no");
    assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
    assert!(
        ["statistics", "area 1.000, 4 examples", "above 6.5: precision 1.000, recall 0.500"].iter().all(|w| svg.contains(w)),
        "{svg}"
    );
    assert_eq!(plot("none", &Figures::of_labels(&[(1.0, true), (0.0, true)], 0.5)), None);
}

#[test]
fn samples_for_different_purposes_are_independent() {
    let ids: Vec<String> = (0..2000).map(|i| format!("d{i}")).collect();
    let both = ids.iter().filter(|id| held_out(id, 0.2, 1) && rank("rated", id, 1) < u64::MAX / 5).count();
    assert!((40..130).contains(&both), "{both} of 2000, expected 80");
}

proptest! {
    #[test]
    fn the_area_is_the_share_of_pairs_in_the_right_order(scored in prop::collection::vec((0..6_u8, any::<bool>()), 0..40)) {
        let scored: Vec<_> = scored.into_iter().map(|(score, label)| (f64::from(score), label)).collect();
        let of = |wanted: bool| scored.iter().filter(move |(_, label)| *label == wanted).map(|(score, _)| *score);
        let pairs: Vec<f64> = of(true)
            .flat_map(|yes| of(false).map(move |no| if yes > no { 1.0 } else if yes < no { 0.0 } else { 0.5 }))
            .collect();
        match Roc::of(&scored) {
            None => prop_assert!(pairs.is_empty()),
            Some(roc) => {
                prop_assert!((roc.area - pairs.iter().sum::<f64>() / pairs.len() as f64).abs() < 1e-12);
                let trapezoids: f64 = roc.points.windows(2).map(|pair| {
                    let width = pair[1].false_positive_rate - pair[0].false_positive_rate;
                    width * (pair[0].true_positive_rate + pair[1].true_positive_rate) / 2.0
                }).sum();
                prop_assert!((roc.area - trapezoids).abs() < 1e-12);
                let last = roc.points[roc.points.len() - 1];
                prop_assert!((last.false_positive_rate - 1.0).abs() < 1e-12 && (last.true_positive_rate - 1.0).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn every_example_is_counted_once_at_a_threshold(scored in prop::collection::vec((0.0..10.0_f64, 0.0..10.0_f64), 0..40), threshold in 0.0..10.0_f64) {
        let figures = Figures::of_ratings(&scored, threshold);
        let at = figures.at_threshold;
        let all = at.true_positives + at.false_positives + at.false_negatives + at.true_negatives;
        prop_assert_eq!((all, figures.examples), (scored.len(), scored.len()));
        let kept = scored.iter().filter(|(score, _)| *score > threshold).count();
        prop_assert_eq!(at.true_positives + at.false_positives, kept);
    }

    #[test]
    fn no_bytes_make_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(Model::from_bytes(&bytes).is_err());
    }
}
