//! Points from CSV.

use csv::{ErrorKind, ReaderBuilder, StringRecord, Trim};

use super::{Columns, ONLY, Place, ReadError, Row};

/// The rows of a text with a header.
pub(super) fn rows(text: &str, columns: &Columns) -> Result<Vec<Row>, ReadError> {
    let mut reader = ReaderBuilder::new().trim(Trim::All).from_reader(text.as_bytes());
    let header = reader.headers().map_err(wrong)?.clone();
    let places = Places::of(&header, columns)?;
    reader.records().map(|record| places.row(&record.map_err(wrong)?, columns)).collect()
}

fn wrong(error: csv::Error) -> ReadError {
    match error.kind() {
        ErrorKind::UnequalLengths { pos, expected_len, len } => {
            let line = pos.as_ref().map_or(0, csv::Position::line);
            ReadError::Fields { line, expected: *expected_len, found: *len }
        }
        _ => ReadError::Csv(error),
    }
}

/// Where each column stands.
struct Places {
    series: Vec<usize>,
    tokens: usize,
    error: usize,
}

impl Places {
    fn of(header: &StringRecord, columns: &Columns) -> Result<Self, ReadError> {
        let names: Vec<&str> = header.iter().collect();
        let twice = (1..names.len()).find(|place| names[..*place].contains(&names[*place]));
        if let Some(place) = twice {
            return Err(ReadError::TwoColumns { column: names[place].to_owned() });
        }
        let place = |column: &str| {
            let found = || names.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ");
            let place = names.iter().position(|name| *name == column);
            place.ok_or_else(|| ReadError::NoColumn { column: column.to_owned(), found: found() })
        };
        let series = if columns.series.is_empty() {
            place("series").into_iter().collect()
        } else {
            columns.series.iter().map(|column| place(column)).collect::<Result<_, _>>()?
        };
        Ok(Places { series, tokens: place(&columns.tokens)?, error: place(&columns.error)? })
    }

    fn row(&self, record: &StringRecord, columns: &Columns) -> Result<Row, ReadError> {
        let place = Place::Line(record.position().map_or(0, csv::Position::line));
        let number = |at: usize, column: &str| {
            let wrong = || ReadError::NoNumber { place, column: column.to_owned(), value: record[at].to_owned() };
            record[at].parse().map_err(|_| wrong())
        };
        let names: Vec<&str> = self.series.iter().map(|at| &record[*at]).collect();
        let series = if names.is_empty() { ONLY.to_owned() } else { names.join(" ") };
        Ok(Row { place, series, tokens: number(self.tokens, &columns.tokens)?, error: number(self.error, &columns.error)? })
    }
}
