//! Lengths, coverage and duplicates.

use std::collections::BTreeSet;

use synthllm_operators::normal::concept_name;
use synthllm_operators::record::Sample;
use synthllm_report::Counted;

use crate::world::{report, world};

#[test]
fn lengths_usage_and_scores_are_those_of_a_recount() {
    let samples = world(200);
    let report = report(&samples, Counted::default());
    assert_eq!((report.totals.samples, report.totals.documents), (200, 19));
    for found in &report.levels {
        let of_level: Vec<&Sample> = samples.iter().filter(|sample| sample.level == found.level).collect();
        assert_eq!(found.samples as usize, of_level.len());
        let mut words: Vec<u64> = of_level.iter().map(|sample| sample.question.split_whitespace().count() as u64).collect();
        words.sort_unstable();
        assert_eq!(found.question.words.median, Some(words[words.len().div_ceil(2) - 1]));
        let characters: usize =
            of_level.iter().filter_map(|sample| sample.answer.as_ref()).map(|answer| answer.chars().count()).sum();
        let answered = of_level.iter().filter(|sample| sample.answer.is_some()).count();
        let mean = found.answer.characters.mean.expect("some are answered");
        assert!((mean - characters as f64 / answered as f64).abs() < 1e-9);
        assert_eq!(found.prompt_tokens_per_sample, Some(10.0 * f64::from(found.level)));
        assert_eq!(found.cost_per_sample, Some(0.5 * f64::from(found.level)));
    }
    let mean = samples.iter().map(|sample| sample.scores["agreement"]).sum::<f64>() / 200.0;
    assert!((report.scores[0].mean - mean).abs() < 1e-9);
    assert_eq!((report.scores[0].least, report.scores[0].most), (0.0, 0.75));
}

#[test]
fn coverage_is_that_of_a_recount() {
    let samples = world(60);
    let report = report(&samples, Counted::default());
    let mut live: BTreeSet<String> =
        (0..18).flat_map(|number| (0..3).map(move |nth| (number + nth) % 25)).map(|it| format!("kc {it}")).collect();
    live.insert("kc 99".to_owned());
    let named = |levels: &[u8]| -> BTreeSet<String> {
        let of_levels = samples.iter().filter(|sample| levels.contains(&sample.level));
        of_levels.flat_map(|sample| &sample.concepts).map(|name| concept_name(name)).collect()
    };
    let all = named(&[1, 2, 3]);
    let checked = report.levels.iter().map(|level| (named(&[level.level]), level.key_concepts));
    for (named, found) in checked.chain([(all.clone(), report.key_concepts)]) {
        assert_eq!(found.nodes as usize, live.len());
        assert_eq!(found.named as usize, named.intersection(&live).count());
        assert_eq!(found.never as usize, live.difference(&named).count());
        assert_eq!(found.outside as usize, named.difference(&live).count());
        assert_eq!(found.share, Some(found.named as f64 / live.len() as f64));
    }
    assert_eq!(report.key_concept_uses.iter().map(|bucket| bucket.count).sum::<u64>() as usize, live.len());
    assert_eq!(report.key_concept_uses[0].count as usize, live.difference(&all).count());
    let uses = |name: &str| {
        samples.iter().filter(|sample| sample.concepts.iter().any(|concept| concept_name(concept) == name)).count() as u64
    };
    let most = &report.most_used_key_concepts;
    assert!(most.iter().all(|node| node.samples == uses(&node.name)));
    assert!(
        all.iter().all(|name| uses(name) <= most[0].samples)
            && most.is_sorted_by_key(|node| std::cmp::Reverse(node.samples))
    );
    assert_eq!(most.len(), 20.min(all.len()));
    assert_eq!(
        (report.topics.nodes, report.most_used_topics[0].samples),
        (3, 60),
        "each sample names topic 0, and counts once"
    );
    assert_eq!(report.most_used_topics[0].documents, 18);
    let cited: BTreeSet<&str> = samples.iter().flat_map(|it| &it.provenance.documents).map(|it| it.id.as_str()).collect();
    assert_eq!(
        (report.totals.cited as usize, report.samples_per_document[0].count as usize),
        (cited.len(), 19 - cited.len())
    );
}

/// The Jaccard similarity of runs of five words, by its definition.
fn similar(one: &str, other: &str) -> bool {
    let runs = |text: &str| -> BTreeSet<Vec<String>> {
        let words: Vec<String> = text
            .to_lowercase()
            .split(|it: char| !it.is_alphanumeric())
            .filter(|it| !it.is_empty())
            .map(str::to_owned)
            .collect();
        words.windows(5).map(<[String]>::to_vec).collect()
    };
    let (one, other) = (runs(one), runs(other));
    one.intersection(&other).count() as f64 / one.union(&other).count() as f64 >= 0.8
}

#[test]
fn near_duplicates_are_those_of_a_comparison_of_all_with_all() {
    let samples = world(180);
    let (mut kept, mut held): (Vec<&Sample>, [u64; 3]) = (Vec::new(), [0; 3]);
    for sample in &samples {
        if kept.iter().any(|earlier| similar(&earlier.question, &sample.question)) {
            held[usize::from(sample.level) - 1] += 1;
        } else {
            kept.push(sample);
        }
    }
    assert!(held.iter().sum::<u64>() >= 15, "few of the 20 planted pairs are similar: {held:?}");
    let report = report(&samples, Counted::default());
    assert_eq!(report.levels.iter().map(|level| level.duplicates.near).collect::<Vec<_>>(), held);
    assert_eq!(report.levels[0].duplicates.near_share, Some(held[0] as f64 / 60.0));
}

#[test]
fn equal_questions_are_counted_against_those_that_were_written() {
    let counted = Counted { questions: [10, 0, 4], duplicates: [2, 0, 4], ..Counted::default() };
    let report = report(&world(9), counted);
    let shares: Vec<Option<f64>> = report.levels.iter().map(|level| level.duplicates.exact_share).collect();
    assert_eq!(shares, [Some(0.2), None, Some(1.0)]);
}
