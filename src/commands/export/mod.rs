//! `export`: the live samples, sorted by id, so that equal samples make equal files.
//!
//! One pass over the log puts the records into a temporary file and keeps where each is (`standing`); then they are written in order, to
//! one file here, or to a `folder`. Either appears `whole` or not at all.

mod folder;
pub(super) mod standing;
pub(super) mod whole;

use std::fs::File;
use std::io::{BufWriter, IntoInnerError, Write};
use std::path::Path;

use anyhow::Context;
use synthllm_export::{Entry, Output, Settings};
use synthllm_operators::record::Sample;

use self::standing::{Place, Records, Standing};
use super::{count, print};
use crate::cli::ExportArgs;
use crate::config::Config;
use crate::{events, logs};

/// Writes the target whole or not at all.
pub fn execute(config: &Config, args: &ExportArgs) -> anyhow::Result<()> {
    let settings = args.settings()?;
    if args.is_folder() {
        return folder::execute(config, args, settings);
    }
    let mut standing = read(config, &settings)?;
    if args.target == Path::new("-") {
        return one_file(std::io::stdout(), &settings, &mut standing).map(drop).or_else(ignore_broken_pipe);
    }
    whole::file(&args.target, |file| one_file(file, &settings, &mut standing))
        .with_context(|| format!("can't write {}", args.target.display()))?;
    let written = count(standing.entries.len() as u64, "sample");
    print(&format!("exported {written} to {}\n", args.target.display()))
}

/// The samples that stand and pass; those that the shape can't hold are counted.
fn read(config: &Config, settings: &Settings) -> anyhow::Result<Standing> {
    let standing = Standing::read(&logs::open(config)?, settings)?;
    if !standing.unanswered.is_empty() {
        events::export::unanswered(standing.unanswered.len() as u64);
    }
    Ok(standing)
}

fn one_file<W: Write + Send>(output: W, settings: &Settings, standing: &mut Standing) -> anyhow::Result<W> {
    write_samples(output, settings, standing.entries.values(), &mut standing.records, |_| ())
}

/// Writes samples to one file, and shows each to `each`.
fn write_samples<'a, W: Write + Send>(
    output: W,
    settings: &Settings,
    samples: impl IntoIterator<Item = &'a Entry<Place>>,
    records: &mut Records,
    mut each: impl FnMut(&Sample),
) -> anyhow::Result<W> {
    let mut output = Output::new(BufWriter::new(output), settings.format, settings.shape)?;
    for entry in samples {
        let record = records.read(entry.place)?;
        let sample: Sample = serde_json::from_slice(&record)?;
        each(&sample);
        output.write(&record, sample)?;
    }
    Ok(output.finish()?.into_inner().map_err(IntoInnerError::into_error)?)
}

/// Writes a small file.
fn write_bytes(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    Ok(file.sync_all()?)
}

fn ignore_broken_pipe(error: anyhow::Error) -> anyhow::Result<()> {
    let kind = error.chain().find_map(|cause| cause.downcast_ref::<std::io::Error>()).map(std::io::Error::kind);
    if kind == Some(std::io::ErrorKind::BrokenPipe) { Ok(()) } else { Err(error) }
}
