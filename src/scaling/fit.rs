//! The fit: the lowest of many ways downhill, in the user's units.

use crate::curve::error;
use crate::law::Parameters;
use crate::model::{Model, ModelError};
use crate::points::Series;
use crate::problem::{Position, Problem};
use crate::search::{Care, Found, descend};
use crate::starts::starts;

/// The fitted curves of all series, in their order.
#[derive(Clone, Debug)]
pub struct Fit {
    pub(crate) problems: Vec<Solved>,
}

/// A problem with its solution.
#[derive(Clone, Debug)]
pub(crate) struct Solved {
    /// The numbers of its series.
    pub members: Vec<usize>,
    pub problem: Problem,
    pub at: Position,
}

/// Fits the curves of a model. The same points give the same curves, in whatever units.
pub fn fit(series: &[Series], model: &Model) -> Result<Fit, ModelError> {
    let problems = model.problems(series)?.into_iter().map(|(members, problem)| {
        let at = lowest(&problem).at;
        let solved = Solved { members, problem, at };
        solved.check_falling(series)?;
        Ok(solved)
    });
    Ok(Fit { problems: problems.collect::<Result<_, ModelError>>()? })
}

/// The lowest place that any start leads to.
pub(crate) fn lowest(problem: &Problem) -> Found {
    let ends = starts(problem).into_iter().map(|start| descend(problem, start, None, Care::Fine));
    ends.min_by(|one, other| one.loss.total_cmp(&other.loss)).expect("there is a start")
}

impl Fit {
    /// The problem that a series is in, and its place there.
    pub(crate) fn of(&self, series: usize) -> (&Solved, usize) {
        let found = self
            .problems
            .iter()
            .find_map(|solved| solved.members.iter().position(|member| *member == series).map(|place| (solved, place)));
        found.expect("a series of the points that were fitted")
    }

    /// The parameters of a series.
    pub fn parameters(&self, series: usize) -> Parameters {
        let (solved, place) = self.of(series);
        solved.problem.frames[place].parameters(&solved.at[place])
    }

    /// How many points a series has.
    pub(crate) fn series_len(&self, series: usize) -> usize {
        let (solved, place) = self.of(series);
        solved.problem.frames[place].xs.len()
    }

    /// The root of the mean square of the differences of logarithms.
    pub fn rms_log(&self, series: usize) -> f64 {
        let (solved, place) = self.of(series);
        (solved.squares(place) / solved.problem.frames[place].xs.len() as f64).sqrt()
    }
}

impl Solved {
    /// The sum of the squares of the differences of one series.
    pub(crate) fn squares(&self, place: usize) -> f64 {
        self.problem.differences(&self.at, place).map(|difference| difference * difference).sum()
    }

    /// A curve that is a horizontal line says that the errors do not fall.
    fn check_falling(&self, series: &[Series]) -> Result<(), ModelError> {
        for (place, member) in self.members.iter().enumerate() {
            let at = |x: &f64| error(&self.at[place], *x).log;
            let logs = self.problem.frames[place].xs.iter().map(at);
            let (least, most) =
                logs.fold((f64::INFINITY, f64::NEG_INFINITY), |(least, most), log| (least.min(log), most.max(log)));
            if most - least < 1e-6 {
                let reason = "the errors do not fall as tokens grow";
                return Err(ModelError::Flat { series: series[*member].name.clone(), reason });
            }
        }
        Ok(())
    }
}
