//! From combinations to samples, step by step: what is left after each filter.
//!
//! Law: `left` of a step is that of the step before, less what it dropped; the last is the samples that stand. Counts are of the whole life of the app.

use serde::Serialize;

use crate::counted::Counted;
use crate::share;

/// What one step has left.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Step {
    /// After what they are counted: `written by the model`, `after the filter length`.
    pub name: String,
    /// How many questions are left.
    pub left: u64,
    /// How many it has dropped.
    pub dropped: u64,
    /// The share of those before it that it has let through; null where there were none.
    pub accepted: Option<f64>,
}

/// What became of combinations and questions.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Funnel {
    /// Combinations issued.
    pub combinations: u64,
    /// Combinations that have had their outcome.
    pub decided: u64,
    /// Combinations of which the model said that the document is not suitable for questions.
    pub unsuitable: u64,
    /// Questions, from what the model wrote to what stands.
    pub questions: Vec<Step>,
    /// The share of the questions of which a sample stands; null without questions.
    pub accepted: Option<f64>,
}

/// The funnel of what was counted, at the end of which so many samples stand.
pub(crate) fn funnel(counted: &Counted, standing: u64) -> Funnel {
    let rejected: u64 = counted.rejected.iter().map(|(_, count)| count).sum();
    let duplicates: u64 = counted.duplicates.iter().sum();
    let known = counted.samples + duplicates + rejected;
    let written = counted.questions.iter().sum::<u64>().max(known);
    let mut steps = vec![Step { name: "written by the model".to_owned(), left: written, dropped: 0, accepted: None }];
    let filters = counted.rejected.iter().map(|(reason, dropped)| (format!("after the filter {reason}"), *dropped));
    let rest = [
        ("after duplicates".to_owned(), duplicates),
        ("answered, documents live".to_owned(), written - known),
        ("after withdrawals".to_owned(), counted.samples.saturating_sub(standing)),
    ];
    for (name, dropped) in filters.chain(rest) {
        let before = steps.last().map_or(0, |step| step.left);
        let left = before.saturating_sub(dropped);
        steps.push(Step { name, left, dropped, accepted: share(left, before) });
    }
    Funnel {
        combinations: counted.combinations.iter().sum(),
        decided: counted.generate.sum(),
        unsuitable: counted.unsuitable,
        questions: steps,
        accepted: share(standing, written),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_question_that_was_written_is_dropped_once_or_stands() {
        let counted = Counted {
            questions: [10, 10, 0],
            rejected: vec![("length".to_owned(), 2), ("benchmark".to_owned(), 1)],
            duplicates: [3, 1, 0],
            samples: 11,
            withdrawn: 1,
            ..Counted::default()
        };
        let funnel = funnel(&counted, 10);
        let steps: Vec<_> = funnel.questions.iter().map(|step| (step.name.as_str(), step.left, step.dropped)).collect();
        let expected = [
            ("written by the model", 20, 0),
            ("after the filter length", 18, 2),
            ("after the filter benchmark", 17, 1),
            ("after duplicates", 13, 4),
            ("answered, documents live", 11, 2),
            ("after withdrawals", 10, 1),
        ];
        assert_eq!(steps, expected);
        assert_eq!(funnel.accepted, Some(0.5));
    }

    #[test]
    fn nothing_is_accepted_at_no_rate() {
        let funnel = funnel(&Counted::default(), 0);
        assert!(funnel.accepted.is_none() && funnel.questions.iter().all(|step| step.accepted.is_none()));
    }
}
