//! The law of `near::claims`, against a plain program that compares every pair: after any history of claims, outcomes and withdrawals
//! the questions that are asked or have a sample are pairwise not similar, each claim gets the answer of the plain program, and none waits for ever.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use synthllm_operators::id::{self, Id};
use synthllm_operators::near::claims::{Asker, Claim, Claims};
use synthllm_operators::near::{Settings, similarity};
use synthllm_operators::shingle::shingles;

const SETTINGS: Settings = Settings { threshold: 0.5, shingle: 1, bands: 0, seed: 0 };

/// What happens next; a number picks among those that it can happen to.
#[derive(Clone, Debug)]
enum Step {
    Claim(String),
    /// An open claim ends, with a sample or without.
    Outcome(usize, bool),
    /// A sample goes.
    Release(usize),
}

/// Few words, so that texts are often similar or equal.
fn step() -> impl Strategy<Value = Step> {
    let text =
        prop::collection::vec(prop::sample::select(vec!["a", "b", "c", "d", "e"]), 0..6).prop_map(|words| words.join(" "));
    prop_oneof![
        3 => text.prop_map(Step::Claim),
        3 => (any::<usize>(), any::<bool>()).prop_map(|(which, sampled)| Step::Outcome(which, sampled)),
        1 => any::<usize>().prop_map(Step::Release),
    ]
}

/// The plain program: who asks, who waits, what has a sample.
#[derive(Default)]
struct Plain {
    asking: BTreeMap<Asker, String>,
    waiting: BTreeMap<Asker, String>,
    samples: Vec<String>,
}

impl Plain {
    fn similar<'t>(text: &str, others: impl IntoIterator<Item = &'t String>) -> bool {
        let near = |other: &&String| similarity(&set(text), &set(other), SETTINGS.threshold).is_some();
        others.into_iter().any(|other| near(&other))
    }

    /// Whether the text is taken already, has a similar sample, or is similar to one that is asked.
    fn sight(&self, text: &String) -> (bool, bool, bool) {
        let taken = self.samples.contains(text) || self.asking.values().any(|other| other == text);
        (taken, Self::similar(text, &self.samples), Self::similar(text, self.asking.values()))
    }
}

fn set(text: &str) -> Box<[u64]> {
    shingles(text, SETTINGS.shingle)
}

fn question(text: &str) -> Id {
    id::question(text)
}

/// Both programs, and what was dropped, by asker.
struct Both {
    claims: Claims,
    plain: Plain,
    dropped: BTreeMap<Asker, String>,
}

impl Both {
    fn claim(&mut self, asker: Asker, text: String) -> Result<(), TestCaseError> {
        let (taken, like_sample, like_asked) = self.plain.sight(&text);
        match self.claims.claim(question(&text), set(&text), asker) {
            Claim::Go => {
                prop_assert!(taken || !(like_sample || like_asked), "{text:?} goes");
                self.plain.asking.insert(asker, text);
            }
            Claim::Waits => {
                prop_assert!(!taken && like_asked && !like_sample, "{text:?} waits");
                self.plain.waiting.insert(asker, text);
            }
            Claim::NearDuplicate { of, similarity } => {
                prop_assert!(!taken && like_sample && similarity >= SETTINGS.threshold, "{text:?} is dropped");
                self.drop(of, asker, text);
            }
        }
        Ok(())
    }

    fn drop(&mut self, of: Id, asker: Asker, text: String) {
        self.claims.dropped(of, (question(&text), asker as u32));
        self.dropped.insert(asker, text);
    }

    fn end(&mut self, asker: Asker, sampled: bool) {
        let text = self.plain.asking.remove(&asker).expect("it is open");
        self.plain.samples.extend(sampled.then(|| text.clone()));
        let follows = self.claims.outcome(question(&text), sampled);
        for asker in follows.go {
            let text = self.plain.waiting.remove(&asker).expect("it waited");
            self.plain.asking.insert(asker, text);
        }
        for (asker, of, _) in follows.dropped {
            let text = self.plain.waiting.remove(&asker).expect("it waited");
            self.drop(of, asker, text);
        }
    }

    /// What was dropped for a sample that is gone claims anew.
    fn claim_anew(&mut self) -> Result<(), TestCaseError> {
        for (_, asker) in self.claims.take_freed() {
            let text = self.dropped.remove(&Asker::from(asker)).expect("it was dropped");
            self.claim(Asker::from(asker), text)?;
        }
        Ok(())
    }

    fn check(&self) -> Result<(), TestCaseError> {
        let standing: BTreeSet<&String> = self.plain.asking.values().chain(&self.plain.samples).collect();
        for text in &standing {
            let others = standing.iter().filter(|other| *other != text).copied();
            prop_assert!(!Plain::similar(text, others), "{text:?} of {standing:?}");
        }
        for text in self.dropped.values() {
            prop_assert!(Plain::similar(text, &self.plain.samples), "{text:?} is dropped for nothing");
        }
        prop_assert_eq!(self.claims.len(), standing.len());
        Ok(())
    }
}

proptest! {
    #[test]
    fn the_earlier_stays_and_no_claim_waits_or_is_dropped_for_ever(steps in prop::collection::vec(step(), 1..60)) {
        let mut both = Both { claims: Claims::new(SETTINGS), plain: Plain::default(), dropped: BTreeMap::new() };
        for (asker, step) in (0..).zip(steps) {
            match step {
                Step::Claim(text) => both.claim(asker, text)?,
                Step::Outcome(which, sampled) => {
                    let open: Vec<Asker> = both.plain.asking.keys().copied().collect();
                    if !open.is_empty() {
                        both.end(open[which % open.len()], sampled);
                    }
                }
                Step::Release(which) => {
                    if !both.plain.samples.is_empty() {
                        let which = which % both.plain.samples.len();
                        both.claims.released(question(&both.plain.samples.swap_remove(which)));
                        both.claim_anew()?;
                    }
                }
            }
            both.check()?;
        }
        while let Some(asker) = both.plain.asking.keys().next().copied() {
            both.end(asker, asker % 2 == 0);
        }
        both.check()?;
        prop_assert!(both.plain.waiting.is_empty(), "{:?} wait for ever", both.plain.waiting);
    }
}

#[test]
fn what_waited_longest_for_a_question_without_a_sample_is_next() {
    let mut claims = Claims::new(SETTINGS);
    let texts = ["a b c d", "a b c e", "a b c f"];
    let claim = |claims: &mut Claims, asker: usize| claims.claim(question(texts[asker]), set(texts[asker]), asker as Asker);
    assert_eq!(
        [claim(&mut claims, 0), claim(&mut claims, 1), claim(&mut claims, 2)],
        [Claim::Go, Claim::Waits, Claim::Waits]
    );
    let follows = claims.outcome(question(texts[0]), false);
    assert_eq!((follows.go, follows.dropped), (vec![1], vec![]));
    let follows = claims.outcome(question(texts[1]), true);
    assert_eq!((follows.go, follows.dropped.len(), follows.dropped[0].1), (vec![], 1, question(texts[1])));
}

#[test]
fn a_committed_sample_holds_back_what_is_similar_until_it_is_withdrawn() {
    let mut claims = Claims::new(SETTINGS);
    claims.committed(question("a b c d"), set("a b c d"));
    let claimed = claims.claim(question("a b c e"), set("a b c e"), 1);
    assert_eq!(claimed, Claim::NearDuplicate { of: question("a b c d"), similarity: 0.6 });
    claims.released(question("a b c d"));
    assert_eq!(claims.claim(question("a b c e"), set("a b c e"), 2), Claim::Go);
}

proptest! {
    #[test]
    fn which_samples_are_too_many_depends_on_the_samples_alone(
        texts in prop::collection::btree_set(prop::collection::vec(prop::sample::select(vec!["a", "b", "c", "d", "e"]), 1..6), 0..12),
        seed in any::<prop::sample::Index>(),
    ) {
        let texts: Vec<String> = texts.into_iter().map(|words| words.join(" ")).collect();
        let mut claims = Claims::new(SETTINGS);
        let turned = texts.iter().cycle().skip(seed.index(texts.len().max(1))).take(texts.len());
        turned.for_each(|text| claims.committed(question(text), set(text)));

        // The plain program: in the order of their ids, a question stays when it is similar to none that stays.
        let mut in_order: Vec<&String> = texts.iter().collect();
        in_order.sort_by_key(|text| question(text));
        let mut stay: Vec<&String> = Vec::new();
        for text in in_order {
            if !Plain::similar(text, stay.iter().copied()) {
                stay.push(text);
            }
        }
        let crowded = claims.crowded();
        let found: BTreeSet<Id> = crowded.iter().map(|it| it.question).collect();
        let expected: BTreeSet<Id> = texts.iter().filter(|text| !stay.contains(text)).map(|text| question(text)).collect();
        prop_assert_eq!(found, expected);
        prop_assert!(crowded.iter().all(|it| stay.iter().any(|text| question(text) == it.of) && it.similarity >= SETTINGS.threshold));
    }
}
