//! Points from JSON: a list of objects, or an object with the list `points` and perhaps the `unit`.

use serde_json::{Map, Value};

use super::{Columns, ONLY, Place, ReadError, Row};
use crate::points::Unit;

/// The rows, and the unit where it is said.
pub(super) fn rows(text: &str, columns: &Columns) -> Result<(Vec<Row>, Option<Unit>), ReadError> {
    let (points, unit) = match serde_json::from_str(text).map_err(ReadError::Json)? {
        Value::Array(points) => (points, None),
        Value::Object(object) => parts(object)?,
        _ => return Err(shape("it is neither")),
    };
    let row = |(i, point)| row(Place::Point(i + 1), point, columns);
    Ok((points.iter().enumerate().map(row).collect::<Result<_, _>>()?, unit))
}

fn shape(found: &str) -> ReadError {
    ReadError::Shape { found: found.to_owned() }
}

fn parts(mut object: Map<String, Value>) -> Result<(Vec<Value>, Option<Unit>), ReadError> {
    let unit = match object.remove("unit") {
        None => None,
        Some(said) => Some(unit(&said).ok_or_else(|| shape(&format!("the unit {said} is not fraction, percent or loss")))?),
    };
    let Some(Value::Array(points)) = object.remove("points") else { return Err(shape("it has no list `points`")) };
    match object.keys().next() {
        Some(key) => Err(shape(&format!("it also has {key:?}"))),
        None => Ok((points, unit)),
    }
}

fn unit(said: &Value) -> Option<Unit> {
    [Unit::Fraction, Unit::Percent, Unit::Loss].into_iter().find(|unit| said == unit.name())
}

fn row(place: Place, point: &Value, columns: &Columns) -> Result<Row, ReadError> {
    let field = |name: &str| point.get(name).ok_or_else(|| ReadError::NoField { place, field: name.to_owned() });
    let number = |name: &str| {
        let value = field(name)?;
        value.as_f64().ok_or_else(|| ReadError::NoNumber { place, column: name.to_owned(), value: plain(value) })
    };
    let series = if columns.series.is_empty() {
        point.get("series").map_or_else(|| ONLY.to_owned(), plain)
    } else {
        columns.series.iter().map(|name| field(name).map(plain)).collect::<Result<Vec<_>, _>>()?.join(" ")
    };
    Ok(Row { place, series, tokens: number(&columns.tokens)?, error: number(&columns.error)? })
}

/// Text without its quotes.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
