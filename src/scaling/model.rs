//! What is asked of a fit, checked against the points.

use crate::curve::Frame;
use crate::fix::{Fix, Given};
use crate::law::Law;
use crate::objective::Objective;
use crate::points::{Point, Series};
use crate::problem::Problem;

/// Which curves are fitted, and how.
#[derive(Clone, PartialEq, Debug)]
pub struct Model {
    /// Their form.
    pub law: Law,
    /// What is made small.
    pub objective: Objective,
    /// Whether all series have one `beta`.
    pub share_beta: bool,
    /// What is given.
    pub fixes: Vec<Fix>,
}

impl Default for Model {
    fn default() -> Self {
        Model { law: Law::Rectified, objective: Objective::Huber, share_beta: false, fixes: Vec::new() }
    }
}

/// Why these points can't have this law.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
pub enum ModelError {
    /// More points would do.
    #[error("series {series:?} has {} of tokens, too few for the {} law: it needs at least {needed}", amounts(*found), law.name())]
    TooFew {
        /// The series.
        series: String,
        /// Its different amounts of tokens.
        found: usize,
        /// The least that would do.
        needed: usize,
        /// The law.
        law: Law,
    },
    /// Different tokens would do.
    #[error("series {series:?} is degenerate: all {count} points have {tokens} tokens")]
    OneAmount {
        /// The series.
        series: String,
        /// How many points there are.
        count: usize,
        /// The tokens.
        tokens: f64,
    },
    /// A number that has no logarithm.
    #[error("series {series:?} has a point with {what} {value}, which is no positive number")]
    Value {
        /// The series.
        series: String,
        /// `tokens` or `error`.
        what: &'static str,
        /// The number.
        value: f64,
    },
    /// The error does not get less.
    #[error("series {series:?} is degenerate: {reason}, so no law of how it falls can be fitted")]
    Flat {
        /// The series.
        series: String,
        /// What the errors do instead.
        reason: &'static str,
    },
    /// There is nothing to fit.
    #[error("there is no point to fit")]
    Empty,
    /// A fix that names no series.
    #[error("can't give {fix}: there is no series {series:?}; there are {known}")]
    UnknownSeries {
        /// The fix.
        fix: Fix,
        /// The name.
        series: String,
        /// All names.
        known: String,
    },
    /// A fix that can't be met.
    #[error("can't give {fix}: {reason}")]
    Fix {
        /// The fix.
        fix: Fix,
        /// Why not.
        reason: String,
    },
}

fn amounts(count: usize) -> String {
    if count == 1 { "1 amount".into() } else { format!("{count} different amounts") }
}

impl Model {
    /// The problems to solve, each with the numbers of its series: one for all where `beta` is shared, else one a series.
    pub fn problems(&self, series: &[Series]) -> Result<Vec<(Vec<usize>, Problem)>, ModelError> {
        if series.is_empty() {
            return Err(ModelError::Empty);
        }
        series.iter().try_for_each(check_values)?;
        let all: Vec<usize> = (0..series.len()).collect();
        let members: Vec<Vec<usize>> = if self.share_beta { vec![all] } else { all.into_iter().map(|i| vec![i]).collect() };
        let mut problems: Vec<_> = members.into_iter().map(|members| self.plain(series, members)).collect();
        for fix in &self.fixes {
            self.apply(fix, series, &mut problems)?;
        }
        problems.iter().try_for_each(|(members, problem)| self.check_counts(series, members, problem))?;
        Ok(problems)
    }

    fn plain(&self, series: &[Series], members: Vec<usize>) -> (Vec<usize>, Problem) {
        let frames = members.iter().map(|i| Frame::of(&series[*i], self.law)).collect();
        (members, Problem { frames, objective: self.objective, beta: None })
    }

    fn apply(&self, fix: &Fix, series: &[Series], problems: &mut [(Vec<usize>, Problem)]) -> Result<(), ModelError> {
        let index = find(fix, series)?;
        let place = problems
            .iter_mut()
            .find_map(|(members, problem)| members.iter().position(|member| *member == index).map(|place| (problem, place)));
        let (problem, place) = place.expect("every series is in one problem");
        let frame = &mut problem.frames[place];
        let taken = match fix.given {
            Given::Ratio if self.law == Law::Power => return Err(wrong(fix, "the power law has no D_l".into())),
            Given::Ratio => frame.ratio.replace(fix.value.ln() - frame.level),
            Given::Beta => problem.beta.replace(fix.value.ln()),
            Given::E => frame.floor.replace(fix.value.ln() - frame.level),
        };
        let least = series[index].points.iter().fold(f64::INFINITY, |least, point| least.min(point.error));
        match taken {
            Some(_) => Err(wrong(fix, format!("{} is given twice", fix.given.name()))),
            None if fix.given == Given::E && fix.value >= least => {
                Err(wrong(fix, format!("E must be less than the smallest error, which is {least}")))
            }
            None => Ok(()),
        }
    }

    /// A parameter more than the curve has: without that nothing could be said of how well it fits.
    fn check_counts(&self, series: &[Series], members: &[usize], problem: &Problem) -> Result<(), ModelError> {
        for (member, frame) in members.iter().zip(&problem.frames) {
            let series = &series[*member];
            let found = series.amounts().len();
            let own_beta = problem.beta.is_none() && members.len() == 1;
            let needed = frame.free_count() + usize::from(own_beta) + 1;
            if found == 1 && series.points.len() > 1 {
                let (count, tokens) = (series.points.len(), series.points[0].tokens);
                return Err(ModelError::OneAmount { series: series.name.clone(), count, tokens });
            }
            if found < needed {
                return Err(ModelError::TooFew { series: series.name.clone(), found, needed, law: self.law });
            }
        }
        Ok(())
    }
}

fn wrong(fix: &Fix, reason: String) -> ModelError {
    ModelError::Fix { fix: fix.clone(), reason }
}

fn find(fix: &Fix, series: &[Series]) -> Result<usize, ModelError> {
    let known = || series.iter().map(|series| format!("{:?}", series.name)).collect::<Vec<_>>().join(", ");
    match &fix.series {
        None if series.len() == 1 => Ok(0),
        None => Err(wrong(fix, format!("the series must be named, as there are {}: {}", series.len(), known()))),
        Some(name) => series.iter().position(|series| series.name == *name).ok_or_else(|| ModelError::UnknownSeries {
            fix: fix.clone(),
            series: name.clone(),
            known: known(),
        }),
    }
}

fn check_values(series: &Series) -> Result<(), ModelError> {
    let positive = |value: f64| value.is_finite() && value > 0.0;
    for Point { tokens, error } in &series.points {
        for (what, value) in [("tokens", *tokens), ("error", *error)] {
            if !positive(value) {
                return Err(ModelError::Value { series: series.name.clone(), what, value });
            }
        }
    }
    let first = series.points.first().map(|point| point.error);
    if series.points.len() > 1 && series.points.iter().all(|point| Some(point.error) == first) {
        return Err(ModelError::Flat { series: series.name.clone(), reason: "all errors are equal" });
    }
    Ok(())
}
