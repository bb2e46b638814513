//! The linear system of one step. The series touch each other in `beta` alone, so each is solved for itself and what is left is one
//! equation for `beta`.

use crate::curve::{BETA, Coordinates};
use crate::problem::Normal;

/// Solves `(matrix + damping * diagonal) step = right` over all series; the steps of what is not free are 0.
pub fn solve(
    normals: &[Normal],
    right: &[Coordinates],
    free: &[[bool; 3]],
    free_beta: bool,
    damping: f64,
) -> Vec<Coordinates> {
    let reduced: Vec<Reduced> = (0..normals.len()).map(|i| Reduced::of(&normals[i], &right[i], free[i], damping)).collect();
    let (pivot, rest) = reduced.iter().fold((0.0, 0.0), |(pivot, rest), one| (pivot + one.pivot, rest + one.rest));
    let beta = if free_beta && pivot > 0.0 { rest / pivot } else { 0.0 };
    let step = |one: &Reduced| {
        let own = |place: usize| one.own[place] - one.by_beta[place] * beta;
        [own(0), own(1), own(2), beta]
    };
    reduced.iter().map(step).collect()
}

/// A series with its own coordinates eliminated: `pivot * beta step = rest`, `own step = own - by_beta * beta step`.
struct Reduced {
    own: [f64; 3],
    by_beta: [f64; 3],
    pivot: f64,
    rest: f64,
}

impl Reduced {
    fn of(normal: &Normal, right: &Coordinates, free: [bool; 3], damping: f64) -> Self {
        let matrix = &normal.matrix;
        let least = 1e-12 * (0..4).map(|place| matrix[place][place]).fold(1e-200, f64::max);
        let damped = |place: usize| matrix[place][place] * (1.0 + damping) + least * damping.max(1e-4);
        let block = |row: usize, column: usize| match (row == column, free[row] && free[column]) {
            (true, true) => damped(row),
            (true, false) => 1.0,
            (false, true) => matrix[row][column],
            (false, false) => 0.0,
        };
        let factor = cholesky(std::array::from_fn(|row| std::array::from_fn(|column| block(row, column))));
        let masked = |values: [f64; 3]| std::array::from_fn(|place| if free[place] { values[place] } else { 0.0 });
        let cross: [f64; 3] = masked([matrix[0][BETA], matrix[1][BETA], matrix[2][BETA]]);
        let own = substitute(&factor, masked([right[0], right[1], right[2]]));
        let by_beta = substitute(&factor, cross);
        let dot = |values: &[f64; 3]| (0..3).map(|place| cross[place] * values[place]).sum::<f64>();
        Reduced { own, by_beta, pivot: damped(BETA) - dot(&by_beta), rest: right[BETA] - dot(&own) }
    }
}

/// The lower factor. A pivot that rounding has made negative counts as very large: nothing moves along it.
fn cholesky(matrix: [[f64; 3]; 3]) -> [[f64; 3]; 3] {
    let mut factor = [[0.0; 3]; 3];
    for row in 0..3 {
        for column in 0..=row {
            let known: f64 = (0..column).map(|k| factor[row][k] * factor[column][k]).sum();
            let left = matrix[row][column] - known;
            factor[row][column] = match (row == column, left > 0.0) {
                (true, true) => left.sqrt(),
                (true, false) => 1e100,
                (false, _) => left / factor[column][column],
            };
        }
    }
    factor
}

fn substitute(factor: &[[f64; 3]; 3], right: [f64; 3]) -> [f64; 3] {
    let mut solution = right;
    for row in 0..3 {
        let known: f64 = (0..row).map(|k| factor[row][k] * solution[k]).sum();
        solution[row] = (solution[row] - known) / factor[row][row];
    }
    for row in (0..3).rev() {
        let known: f64 = (row + 1..3).map(|k| factor[k][row] * solution[k]).sum();
        solution[row] = (solution[row] - known) / factor[row][row];
    }
    solution
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_solution_satisfies_the_system_of_two_series_with_one_beta() {
        let rows = [
            [1.0, 0.5, 0.2, 0.7],
            [0.1, 1.2, -0.4, 0.3],
            [0.3, -0.2, 0.9, 0.5],
            [0.8, 0.1, 0.4, -1.1],
            [0.2, 0.6, -0.9, 0.4],
        ];
        let mut normal = Normal::default();
        for (row, column, values) in (0..16).flat_map(|cell| rows.map(|values| (cell / 4, cell % 4, values))) {
            normal.matrix[row][column] += values[row] * values[column];
        }
        let right = [[1.0, 2.0, 3.0, 4.0], [-1.0, 0.5, 2.0, 1.0]];
        let steps = solve(&[normal, normal], &right, &[[true; 3], [true, false, true]], true, 0.0);
        let product =
            |row: usize, step: &Coordinates| (0..4).map(|column| normal.matrix[row][column] * step[column]).sum::<f64>();
        let missed = |series: usize, row: usize| (product(row, &steps[series]) - right[series][row]).abs();
        assert!((0..3).all(|row| missed(0, row) < 1e-9 && (row == 1 || missed(1, row) < 1e-9)));
        assert_eq!((steps[1][1], steps[0][BETA]), (0.0, steps[1][BETA]));
        let beta = product(BETA, &steps[0]) + product(BETA, &steps[1]);
        assert!((beta - right[0][BETA] - right[1][BETA]).abs() < 1e-9);
    }
}
