//! One file of samples, in whatever format.

use std::io::Write;

use parquet::errors::ParquetError;
use serde::{Deserialize, Serialize};
use synthllm_operators::record::Sample;

use crate::Shape;
use crate::parquet::ParquetFile;

/// The formats of files.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// One JSON object a line.
    Jsonl,
    /// Apache Parquet.
    Parquet,
}

impl Format {
    /// How the names of its files end.
    pub fn ending(self) -> &'static str {
        match self {
            Format::Jsonl => "jsonl",
            Format::Parquet => "parquet",
        }
    }
}

/// Why a file could not be written.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// The disk, or the reader of a pipe.
    #[error("the samples can't be written")]
    File(#[from] std::io::Error),
    /// A sample that JSON can't hold.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// Parquet, or what is below it.
    #[error(transparent)]
    Parquet(#[from] ParquetError),
}

/// A file that is being written.
pub enum Output<W: Write + Send> {
    /// One JSON object a line.
    Lines(W, Shape),
    /// Apache Parquet.
    Parquet(Box<ParquetFile<W>>),
}

impl<W: Write + Send> Output<W> {
    /// Begins a file.
    pub fn new(output: W, format: Format, shape: Shape) -> Result<Self, OutputError> {
        match format {
            Format::Jsonl => Ok(Output::Lines(output, shape)),
            Format::Parquet => Ok(Output::Parquet(Box::new(ParquetFile::new(output, shape)?))),
        }
    }

    /// Adds a sample that the shape takes, and its record in the log.
    pub fn write(&mut self, record: &[u8], sample: Sample) -> Result<(), OutputError> {
        match self {
            Output::Lines(output, shape) => {
                output.write_all(&shape.json(record, &sample)?)?;
                Ok(output.write_all(b"\n")?)
            }
            Output::Parquet(file) => Ok(file.write(sample, record.len())?),
        }
    }

    /// Ends the file.
    pub fn finish(self) -> Result<W, OutputError> {
        match self {
            Output::Lines(mut output, _) => {
                output.flush()?;
                Ok(output)
            }
            Output::Parquet(file) => Ok(file.finish()?),
        }
    }
}
