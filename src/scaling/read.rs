//! Points from text: CSV with a header, or JSON.

mod csv;
mod error;
mod json;

use crate::points::{Point, Series, Unit};

pub use error::{Place, ReadError};

/// Which columns (or fields) are read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Columns {
    /// Those that together name the series; empty for `series`, where there is such a column.
    pub series: Vec<String>,
    /// The amount of data.
    pub tokens: String,
    /// The error.
    pub error: String,
}

impl Default for Columns {
    fn default() -> Self {
        Columns { series: Vec::new(), tokens: "tokens".into(), error: "error".into() }
    }
}

/// How text is read.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Reading {
    /// The columns.
    pub columns: Columns,
    /// What errors are measured in, where the user says it.
    pub unit: Option<Unit>,
    /// Whether points without tokens are left out, and not an error.
    pub skip_zero: bool,
}

/// What was read.
#[derive(Clone, PartialEq, Debug)]
pub struct Table {
    /// The series, in the order of their first points.
    pub series: Vec<Series>,
    /// What their errors are measured in.
    pub unit: Unit,
    /// Whether nobody said so, and the unit was taken from the size of the errors.
    pub unit_assumed: bool,
}

/// The name of the only series of a file that names none.
const ONLY: &str = "all";

/// One point as it stands in the text.
struct Row {
    place: Place,
    series: String,
    tokens: f64,
    error: f64,
}

/// Reads CSV, or JSON where the text begins with `[` or `{`.
pub fn read(text: &str, reading: &Reading) -> Result<Table, ReadError> {
    let text = text.trim_start_matches('\u{feff}');
    let (rows, said) = if text.trim_start().starts_with(['[', '{']) {
        json::rows(text, &reading.columns)?
    } else {
        (csv::rows(text, &reading.columns)?, None)
    };
    let unit = reading.unit.or(said);
    let mut series: Vec<Series> = Vec::new();
    for row in rows {
        if reading.skip_zero && row.tokens == 0.0 {
            continue;
        }
        add(&mut series, checked(row, unit, reading)?);
    }
    if series.is_empty() {
        return Err(ReadError::Empty);
    }
    Ok(Table { unit: unit.unwrap_or_else(|| Unit::guess(&series)), unit_assumed: unit.is_none(), series })
}

fn checked(row: Row, unit: Option<Unit>, reading: &Reading) -> Result<Row, ReadError> {
    let Columns { tokens, error, .. } = &reading.columns;
    for (column, value) in [(tokens, row.tokens), (error, row.error)] {
        if !(value.is_finite() && value > 0.0) {
            return Err(ReadError::NotPositive { place: row.place, column: column.clone(), value });
        }
    }
    match unit {
        Some(unit) if row.error > unit.most() => Err(ReadError::TooLarge { place: row.place, value: row.error, unit }),
        _ => Ok(row),
    }
}

fn add(series: &mut Vec<Series>, Row { series: name, tokens, error, .. }: Row) {
    let point = Point { tokens, error };
    match series.iter_mut().find(|series| series.name == name) {
        Some(series) => series.points.push(point),
        None => series.push(Series { name, points: vec![point] }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> Table {
        read(text, &Reading::default()).unwrap()
    }

    fn message(text: &str) -> String {
        read(text, &Reading::default()).unwrap_err().to_string()
    }

    #[test]
    fn csv_and_json_say_the_same() {
        let csv = table("series,tokens,error\n3B,1e9,30\n8B,1e9,20\n3B,2e9,25.5\n");
        let json = r#"[{"series":"3B","tokens":1e9,"error":30},{"series":"8B","tokens":1e9,"error":20},
                       {"series":"3B","tokens":2e9,"error":25.5}]"#;
        assert_eq!(csv, table(json));
        assert_eq!(csv.series[0].points[1], Point { tokens: 2e9, error: 25.5 });
        assert_eq!(csv, Table { unit_assumed: true, ..table(&format!("{{\"unit\":\"percent\",\"points\":{json}}}")) });
    }

    #[test]
    fn a_file_without_series_is_one() {
        let table = table("\u{feff}error, tokens\n0.3, 1000\n0.2, 2000\n");
        assert_eq!((table.series[0].name.as_str(), table.unit, table.unit_assumed), ("all", Unit::Fraction, true));
    }

    #[test]
    fn other_columns_can_be_named_and_points_without_tokens_left_out() {
        let columns =
            Columns { series: vec!["task".into(), "model".into()], tokens: "examples".into(), error: "loss".into() };
        let reading = Reading { columns, unit: None, skip_zero: true };
        let table = read("task,model,examples,loss\nsum,a,0,4\nsum,a,200,3\nsum,b,200,101\n", &reading).unwrap();
        let names: Vec<_> = table.series.iter().map(|series| (series.name.as_str(), series.points.len())).collect();
        assert_eq!((names, table.unit), (vec![("sum a", 1), ("sum b", 1)], Unit::Loss));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line_and_value() {
        assert_eq!(message("tokens,error\n1e9,30\n2e9,\n"), "line 3: \"\" in the column \"error\" is no number");
        assert_eq!(message("tokens,error\n-5,30\n"), "line 2: -5 in the column \"tokens\" is no positive number");
        assert_eq!(message("tokens,error\n5,NaN\n"), "line 2: NaN in the column \"error\" is no positive number");
        assert_eq!(message("tokens,error,tokens\n"), "line 1: the column \"tokens\" stands twice in the header");
        assert_eq!(message("tokens,loss\n1,2\n"), "line 1: there is no column \"error\" among \"tokens\", \"loss\"");
        assert_eq!(message("tokens,error\n1,2,3\n"), "line 2: expected 2 fields as in the header, found 3");
        assert_eq!(message("tokens,error\n"), "there is no point in it");
        assert_eq!(message("[{\"tokens\": 3}]"), "point 1: it has no field \"error\"");
        assert_eq!(message("[{\"tokens\": \"x\", \"error\": 1}]"), "point 1: \"x\" in the field \"tokens\" is no number");
        assert!(message("[{\"tokens\": 3,\n]").starts_with("it is no JSON: "));
    }

    #[test]
    fn an_error_above_what_its_unit_allows_is_refused() {
        let reading = Reading { unit: Some(Unit::Fraction), ..Reading::default() };
        let error = read("tokens,error\n1e9,0.3\n2e9,25\n", &reading).unwrap_err();
        assert_eq!(error.to_string(), "line 3: the error 25 is above 1, the most that a fraction can be");
    }
}
