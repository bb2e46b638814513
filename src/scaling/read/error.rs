//! What can be wrong with a text. The user must change it.

use std::fmt;

use crate::points::Unit;

/// Where in the text something is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// The line of a CSV file, from 1.
    Line(u64),
    /// The point of a JSON list, from 1.
    Point(usize),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Place::Line(line) => write!(f, "line {line}"),
            Place::Point(point) => write!(f, "point {point}"),
        }
    }
}

impl Place {
    /// What the values of a row are called.
    fn part(self) -> &'static str {
        match self {
            Place::Line(_) => "column",
            Place::Point(_) => "field",
        }
    }
}

/// Why a text can't be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// There is nothing to fit.
    #[error("there is no point in it")]
    Empty,
    /// A column has to be added, or another one named.
    #[error("line 1: there is no column {column:?} among {found}")]
    NoColumn {
        /// The column.
        column: String,
        /// Those that are there.
        found: String,
    },
    /// Nobody can say which one counts.
    #[error("line 1: the column {column:?} stands twice in the header")]
    TwoColumns {
        /// The column.
        column: String,
    },
    /// A row is too short or too long.
    #[error("line {line}: expected {expected} fields as in the header, found {found}")]
    Fields {
        /// Its line.
        line: u64,
        /// The fields of the header.
        expected: u64,
        /// Its fields.
        found: u64,
    },
    /// Not CSV for another reason.
    #[error("it is no CSV: {0}")]
    Csv(csv::Error),
    /// Not JSON.
    #[error("it is no JSON: {0}")]
    Json(serde_json::Error),
    /// JSON of another shape.
    #[error("expected a JSON list of points, or an object with the list `points` and perhaps the `unit`: {found}")]
    Shape {
        /// What is there instead.
        found: String,
    },
    /// A point lacks something.
    #[error("{place}: it has no field {field:?}")]
    NoField {
        /// The point.
        place: Place,
        /// The field.
        field: String,
    },
    /// A value that is no number.
    #[error("{place}: {value:?} in the {} {column:?} is no number", place.part())]
    NoNumber {
        /// Where it stands.
        place: Place,
        /// In which column or field.
        column: String,
        /// The value.
        value: String,
    },
    /// A number that has no logarithm.
    #[error("{place}: {value} in the {} {column:?} is no positive number", place.part())]
    NotPositive {
        /// Where it stands.
        place: Place,
        /// In which column or field.
        column: String,
        /// The number.
        value: f64,
    },
    /// The unit must be another one.
    #[error("{place}: the error {value} is above {}, the most that a {} can be", unit.most(), unit.name())]
    TooLarge {
        /// Where it stands.
        place: Place,
        /// The error.
        value: f64,
        /// What the user said it is measured in.
        unit: Unit,
    },
}
