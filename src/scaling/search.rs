//! The way downhill from a start: Levenberg's and Marquardt's steps, on weights that make squares of any loss.

use crate::curve::{BETA, Coordinates};
use crate::problem::{Pin, Position, Problem};
use crate::step::solve;

/// How far a coordinate may go in one step, and from 0 in all.
const STRIDE: f64 = 2.0;
const FARTHEST: f64 = 60.0;
/// The bounds of `ln beta`: from hardly falling to falling within one doubling.
const BETAS: (f64, f64) = (-9.0, 3.5);
const MOST_STEPS: usize = 400;

/// How near the bottom a search must come: when steps lower the loss by less than this part of it, it ends.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Care {
    /// For parameters that users see.
    Fine,
    /// For losses that are compared with each other.
    Coarse,
}

impl Care {
    fn part(self) -> f64 {
        match self {
            Care::Fine => 1e-14,
            Care::Coarse => 1e-7,
        }
    }
}

/// Where a search ended.
#[derive(Clone, Debug)]
pub struct Found {
    /// The place.
    pub at: Position,
    /// The loss there, with what a pin adds.
    pub loss: f64,
}

/// The lowest place that can be reached from a start.
pub fn descend(problem: &Problem, start: Position, pin: Option<&Pin>, care: Care) -> Found {
    let mut at = start;
    problem.settle(&mut at);
    let mut descent = Descent { problem, pin, loss: problem.pinned_loss(&at, pin), at, damping: 1e-3 };
    let mut small = 0;
    for _ in 0..MOST_STEPS {
        let before = descent.loss;
        if !descent.step() {
            break;
        }
        // One small step may be bad luck of the damping; three are the bottom.
        small = if before - descent.loss <= care.part() * before { small + 1 } else { 0 };
        if small == 3 {
            break;
        }
    }
    Found { at: descent.at, loss: descent.loss }
}

struct Descent<'a> {
    problem: &'a Problem,
    pin: Option<&'a Pin>,
    at: Position,
    loss: f64,
    damping: f64,
}

impl Descent<'_> {
    /// Takes a step that lowers the loss, the longest that damping allows; false when there is none.
    fn step(&mut self) -> bool {
        let normals = self.problem.normals(&self.at, self.pin);
        let right: Vec<Coordinates> = normals.iter().map(|normal| normal.gradient.map(|slope| -slope)).collect();
        let free: Vec<_> = self.problem.frames.iter().map(crate::curve::Frame::free).collect();
        while self.damping < 1e12 {
            let steps = solve(&normals, &right, &free, self.problem.beta.is_none(), self.damping);
            let mut next: Position = self.at.iter().zip(&steps).map(|(at, step)| moved(at, step)).collect();
            self.problem.settle(&mut next);
            let loss = self.problem.pinned_loss(&next, self.pin);
            if loss < self.loss {
                (self.at, self.loss) = (next, loss);
                self.damping = (self.damping / 10.0).max(1e-15);
                return true;
            }
            self.damping = self.damping.max(1e-9) * 8.0;
        }
        false
    }
}

fn moved(at: &Coordinates, step: &Coordinates) -> Coordinates {
    let mut next = *at;
    for (place, coordinate) in next.iter_mut().enumerate() {
        let (low, high) = if place == BETA { BETAS } else { (-FARTHEST, FARTHEST) };
        *coordinate = (*coordinate + step[place].clamp(-STRIDE, STRIDE)).clamp(low, high);
    }
    next
}
