//! Samples as a Parquet file: typed columns, compressed with zstd, the same bytes for the same samples.
//!
//! Cost: holds the samples of one row group, which is closed at [`ROWS`] samples or [`BYTES`] bytes of them, and twice their bytes while
//! it is written.

use std::io::Write;
use std::sync::Arc;

use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::Result;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use synthllm_operators::record::Sample;

use crate::Shape;
use crate::columns::{Column, columns, schema};

/// A row group has at most so many samples.
const ROWS: usize = 10_000;
/// A row group is closed when the records of its samples have so many bytes.
const BYTES: usize = 16 << 20;

/// A Parquet file that is being written.
pub struct ParquetFile<W: Write + Send> {
    file: SerializedFileWriter<W>,
    columns: Vec<Column>,
    waiting: Vec<Sample>,
    bytes: usize,
}

impl<W: Write + Send> ParquetFile<W> {
    /// Begins a file of samples in a shape.
    pub fn new(output: W, shape: Shape) -> Result<Self> {
        let schema = Arc::new(parse_message_type(schema(shape))?);
        let properties = WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?)).build();
        let file = SerializedFileWriter::new(output, schema, Arc::new(properties))?;
        Ok(ParquetFile { file, columns: columns(shape), waiting: Vec::new(), bytes: 0 })
    }

    /// Adds a sample whose record has so many bytes.
    pub fn write(&mut self, sample: Sample, bytes: usize) -> Result<()> {
        self.waiting.push(sample);
        self.bytes += bytes;
        if self.waiting.len() >= ROWS || self.bytes >= BYTES { self.close_group() } else { Ok(()) }
    }

    /// Writes the rest and the footer.
    pub fn finish(mut self) -> Result<W> {
        if !self.waiting.is_empty() {
            self.close_group()?;
        }
        self.file.into_inner()
    }

    fn close_group(&mut self) -> Result<()> {
        let mut group = self.file.next_row_group()?;
        for column in &self.columns {
            let mut writer = group.next_column()?.expect("there are as many columns as leaves of the schema");
            column(&self.waiting, &mut writer)?;
            writer.close()?;
        }
        group.close()?;
        self.waiting.clear();
        self.bytes = 0;
        Ok(())
    }
}
