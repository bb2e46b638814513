//! `ingest`: files into `documents`. What is no document is reported by file and line, and the rest goes in.

mod decode;
mod files;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use indicatif::ProgressBar;
use synthllm_log::{Append, Appender, LogName};
use synthllm_operators::decode::Limits;

use self::decode::{line, text};
use self::files::{Input, Lines};
use super::{count, print};
use crate::cli::IngestArgs;
use crate::config::Config;
use crate::{events, logs, terminal};

/// After so many bad lines of a file, the rest is only counted.
const REPORTED_LINES: u64 = 20;

/// What went in.
#[derive(Default)]
struct Totals {
    files: u64,
    documents: u64,
    bad_lines: u64,
}

/// Puts all documents of all files into the log; exit code 1 only with `--strict`.
pub fn execute(config: &Config, args: &IngestArgs) -> anyhow::Result<ExitCode> {
    let inputs = files::expand(&args.files)?;
    let log = logs::open_or_create(config)?;
    let bar = terminal::byte_bar(inputs.iter().map(Input::bytes).sum());
    let limits = config.document_limits();
    let mut ingest = Ingest { appender: log.appender()?, limits, bar, totals: Totals::default() };
    for input in &inputs {
        ingest.input(input).with_context(|| format!("can't ingest {}", input.name()))?;
    }
    ingest.appender.flush().context("not everything could be stored")?;
    ingest.bar.finish_and_clear();
    let totals = ingest.totals;
    print(&totals.summary())?;
    Ok(ExitCode::from(u8::from(args.strict && totals.bad_lines > 0)))
}

/// The documents of all files, as records of `documents`; nothing for what is no document.
pub fn documents(
    files: &[PathBuf],
    limits: &Limits,
    mut each: impl FnMut(Option<(String, Vec<u8>)>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    for input in files::expand(files)? {
        let place = || format!("can't read {}", input.name());
        match &input {
            Input::Text { path, id, .. } => each(text(id, std::fs::read(path).with_context(place)?, limits).ok())?,
            Input::Lines { path, .. } => {
                let mut lines = files::open(path, &ProgressBar::hidden()).with_context(place)?;
                while let Some(next) = lines.next_line().with_context(place)? {
                    each(line(&next, limits).ok())?;
                }
            }
        }
    }
    Ok(())
}

impl Totals {
    fn summary(&self) -> String {
        let ingested = format!("ingested {} from {}\n", count(self.documents, "document"), count(self.files, "file"));
        match self.bad_lines {
            0 => ingested,
            1 => ingested + "skipped 1 line that is no document\n",
            bad_lines => format!("{ingested}skipped {bad_lines} lines that are no documents\n"),
        }
    }
}

struct Ingest {
    appender: Box<dyn Appender>,
    limits: Limits,
    bar: ProgressBar,
    totals: Totals,
}

impl Ingest {
    fn input(&mut self, input: &Input) -> anyhow::Result<()> {
        self.totals.files += 1;
        match input {
            Input::Text { path, id, .. } => self.text_file(path, id),
            Input::Lines { path, .. } => self.lines(&input.name(), &mut files::open(path, &self.bar)?),
        }
    }

    fn lines(&mut self, name: &str, lines: &mut Lines) -> anyhow::Result<()> {
        let before = self.totals.bad_lines;
        while let Some(next) = lines.next_line()? {
            match line(&next, &self.limits) {
                Ok(document) => self.append(document)?,
                Err(reason) => self.report(name, next.number, before, &reason),
            }
        }
        let unreported = (self.totals.bad_lines - before).saturating_sub(REPORTED_LINES);
        if unreported > 0 {
            events::ingest::more_bad_lines(name, unreported);
        }
        Ok(())
    }

    fn text_file(&mut self, path: &Path, id: &str) -> anyhow::Result<()> {
        let bytes = std::fs::read(path)?;
        self.bar.inc(bytes.len() as u64);
        match text(id, bytes, &self.limits) {
            Ok(document) => self.append(document)?,
            Err(reason) => self.report(&path.display().to_string(), 1, self.totals.bad_lines, &reason),
        }
        Ok(())
    }

    fn report(&mut self, name: &str, number: u64, before: u64, reason: &str) {
        self.totals.bad_lines += 1;
        if self.totals.bad_lines - before <= REPORTED_LINES {
            events::ingest::bad_line(name, number, reason);
        }
    }

    fn append(&mut self, (key, value): (String, Vec<u8>)) -> anyhow::Result<()> {
        let (key, value) = (Some(key.into_bytes()), Some(value));
        self.appender.append(Append { log: LogName::Documents, partition: None, key, value })?;
        self.totals.documents += 1;
        Ok(())
    }
}
