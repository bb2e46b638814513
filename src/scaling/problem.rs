//! A fit of several curves that may have `beta` in common: its state, its objective, and the linear system of one step.

use crate::curve::{BETA, Coordinates, Frame, Slope, error};
use crate::measure::Measure;
use crate::objective::Objective;

/// The curves to be found. All have one `beta`.
#[derive(Clone, Debug)]
pub struct Problem {
    /// The series.
    pub frames: Vec<Frame>,
    /// What is made small.
    pub objective: Objective,
    /// `ln beta`, where it is given.
    pub beta: Option<f64>,
}

/// A place in the search: the coordinates of each series. The last one, `ln beta`, is the same in all.
pub type Position = Vec<Coordinates>;

/// Draws a quantity towards a value, as if it had been measured too.
#[derive(Clone, Copy, Debug)]
pub struct Pin {
    /// The series.
    pub frame: usize,
    /// The quantity.
    pub measure: Measure,
    /// The logarithm of its value.
    pub target: f64,
    /// How hard it is drawn.
    pub weight: f64,
}

/// The second derivatives of the objective (without those of the curve, as Gauss and Newton do) and the first, of one series.
#[derive(Clone, Copy, Debug, Default)]
pub struct Normal {
    /// The second derivatives.
    pub matrix: [[f64; 4]; 4],
    /// The first.
    pub gradient: Coordinates,
}

/// Where the loss is linear it has no second derivative; all of the weight instead is safe but makes short steps.
const RELAXED: f64 = 0.3;

impl Normal {
    /// A difference that counts with `weight` in the slope and `curvature` in the second derivatives.
    fn add(&mut self, slope: &Slope, difference: f64, weight: f64, curvature: f64) {
        for row in 0..4 {
            self.gradient[row] += weight * difference * slope.gradient[row];
            for column in 0..4 {
                self.matrix[row][column] += curvature * slope.gradient[row] * slope.gradient[column];
            }
        }
    }
}

impl Problem {
    /// How many points there are.
    pub fn point_count(&self) -> usize {
        self.frames.iter().map(|frame| frame.xs.len()).sum()
    }

    /// How many parameters are to be found.
    pub fn free_count(&self) -> usize {
        self.frames.iter().map(Frame::free_count).sum::<usize>() + usize::from(self.beta.is_none())
    }

    /// Predicted less measured logarithms of one series.
    pub fn differences<'a>(&'a self, at: &'a Position, frame: usize) -> impl Iterator<Item = f64> + 'a {
        let Frame { xs, logs, .. } = &self.frames[frame];
        xs.iter().zip(logs).map(move |(x, log)| error(&at[frame], *x).log - log)
    }

    /// The loss of the points alone.
    pub fn loss(&self, at: &Position) -> f64 {
        let of = |frame| self.differences(at, frame).map(|difference| self.objective.loss(difference)).sum::<f64>();
        (0..self.frames.len()).map(of).sum()
    }

    /// The loss with what a pin adds.
    pub fn pinned_loss(&self, at: &Position, pin: Option<&Pin>) -> f64 {
        let pull = pin.map_or(0.0, |pin| pin.weight * self.pull(at, pin).1);
        self.loss(at) + 0.5 * pull * pull
    }

    /// A pinned quantity, and how far it is from its target.
    fn pull(&self, at: &Position, pin: &Pin) -> (Slope, f64) {
        let slope = pin.measure.slope(&self.frames[pin.frame], &at[pin.frame]);
        (slope, slope.log - pin.target)
    }

    /// The loss where the pinned quantity has exactly its target, to second order in what is missing: along the best fits the loss
    /// falls with the force of the pin.
    pub fn loss_on_target(&self, at: &Position, pin: &Pin) -> f64 {
        let missing = self.pull(at, pin).1 * pin.weight;
        self.loss(at) + missing * missing
    }

    /// The derivatives of each series.
    pub fn normals(&self, at: &Position, pin: Option<&Pin>) -> Vec<Normal> {
        let mut normals: Vec<Normal> = self.frames.iter().zip(at).map(|(frame, at)| self.normal(frame, at)).collect();
        if let Some(pin) = pin {
            let (slope, missing) = self.pull(at, pin);
            let weight = pin.weight * pin.weight;
            normals[pin.frame].add(&slope, missing, weight, weight);
        }
        normals
    }

    fn normal(&self, frame: &Frame, at: &Coordinates) -> Normal {
        let mut normal = Normal::default();
        for (x, log) in frame.xs.iter().zip(&frame.logs) {
            let slope = frame.chain(at, error(at, *x));
            let difference = slope.log - log;
            let weight = self.objective.weight(difference);
            normal.add(&slope, difference, weight, if weight < 1.0 { RELAXED * weight } else { weight });
        }
        normal
    }

    /// The position with what is given in its place.
    pub fn settle(&self, at: &mut Position) {
        for (frame, at) in self.frames.iter().zip(at) {
            at[BETA] = self.beta.unwrap_or(at[BETA]);
            *at = frame.settle(*at);
        }
    }
}
