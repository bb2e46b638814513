//! `export`: the live samples, one JSON object a line, sorted by id, so that equal samples make equal files.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use synthllm_log::{LogName, Record};
use synthllm_operators::record::Sample;

use super::{count, print};
use crate::cli::ExportArgs;
use crate::config::Config;
use crate::logs;

/// Writes the file whole or not at all.
pub fn execute(config: &Config, args: &ExportArgs) -> anyhow::Result<()> {
    let log = logs::open(config)?;
    let samples = logs::live(&log, LogName::Samples)?;
    let lines: Vec<Vec<u8>> = samples.into_values().map(line).collect::<anyhow::Result<_>>()?;
    if args.file == Path::new("-") {
        return write_lines(std::io::stdout().lock(), &lines).map(drop).or_else(ignore_broken_pipe);
    }
    write_file(&args.file, &lines).with_context(|| format!("can't write {}", args.file.display()))?;
    print(&format!("exported {} to {}\n", count(lines.len() as u64, "sample"), args.file.display()))
}

/// The record as it is, once it is known to be a sample.
fn line(record: Record) -> anyhow::Result<Vec<u8>> {
    let value = record.value.unwrap_or_default();
    let sample: Result<Sample, _> = serde_json::from_slice(&value);
    sample.with_context(|| format!("samples/{} at offset {} is no sample", record.partition, record.offset))?;
    Ok(value)
}

/// A regular file is written beside its place and then renamed; anything else (a pipe, a device) is written to.
fn write_file(path: &Path, lines: &[Vec<u8>]) -> anyhow::Result<()> {
    if path.exists() && !path.is_file() {
        return write_lines(File::options().write(true).open(path)?, lines).map(drop);
    }
    let beside = beside(path)?;
    let written = File::create(&beside).map_err(anyhow::Error::from).and_then(|file| {
        write_lines(file, lines)?.sync_all()?;
        Ok(std::fs::rename(&beside, path)?)
    });
    if written.is_err() {
        // What could not be finished is of no use; that it can't be removed either adds nothing to the first error.
        _ = std::fs::remove_file(&beside);
    }
    written
}

/// A name in the same folder, so that the rename stays in one file system.
fn beside(path: &Path) -> anyhow::Result<PathBuf> {
    let name = path.file_name().context("expected the name of a file")?;
    let name = format!(".{}.{}.part", name.to_string_lossy(), std::process::id());
    Ok(path.with_file_name(name))
}

fn write_lines<W: Write>(output: W, lines: &[Vec<u8>]) -> anyhow::Result<W> {
    let mut output = BufWriter::new(output);
    for line in lines {
        output.write_all(line)?;
        output.write_all(b"\n")?;
    }
    Ok(output.into_inner().map_err(std::io::IntoInnerError::into_error)?)
}

fn ignore_broken_pipe(error: anyhow::Error) -> anyhow::Result<()> {
    let kind = error.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
    if kind == Some(std::io::ErrorKind::BrokenPipe) { Ok(()) } else { Err(error) }
}
