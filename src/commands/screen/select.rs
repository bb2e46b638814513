//! `screen select`: the documents of a corpus that a model keeps, as they came.
//!
//! The files are read three times: for the last document of each id, for the scores, and to write. So no more than [`AT_ONCE`] texts are held in
//! memory; what is, are the embeddings, two hashes and a verdict for each document.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufWriter, IntoInnerError, Write, sink};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde::Serialize;
use synthllm_operators::decode::{Limits, decode};
use synthllm_operators::id;
use synthllm_screening::Model;

use super::super::export::whole;
use super::super::{ingest, print, print_json};
use super::caller::Caller;
use super::checks::Checks;
use super::verdict::{Reason, Summary, Verdict};
use super::{check_embedder, read_model, work_folder};
use crate::cli::ScreenSelectArgs;
use crate::config::Config;
use crate::hint::Usage;
use crate::{events, run};

/// So many texts are embedded before the next ones are read.
const AT_ONCE: usize = 10_000;

/// A line of the rejected documents.
#[derive(Serialize)]
struct Line<'a> {
    id: &'a str,
    score: Option<f64>,
    reason: &'static str,
}

/// Scores, and writes the documents that are kept.
pub fn execute(config: &Config, args: &ScreenSelectArgs) -> anyhow::Result<()> {
    check_paths(args)?;
    let model = read_model(&args.model)?;
    check_embedder(config, &model)?;
    let corpus = Corpus { files: &args.files, limits: config.document_limits() };
    let (last, read) = corpus.last_of_each_id()?;
    let work = work_folder(&args.model, args.work.as_deref());
    let caller = Caller::new(config, run::prompts(config, usize::MAX)?, &work, config.screen.train.batch)?;
    let checks = Checks::new(&config.screen);
    let threshold = config.screen.threshold.unwrap_or(model.threshold());
    let mut judge = Judge { model: &model, threshold, caller, checks, verdicts: Vec::new(), waiting: Vec::new() };
    let judged = corpus.read(|place, id, value| {
        let text = decode(id.as_bytes(), value, &corpus.limits)?.text;
        judge.document(last.get(&id::digest(id.as_bytes())) == Some(&place), text.as_deref())
    })?;
    judge.score()?;
    check_unchanged(&read, &judged)?;
    let verdicts = judge.verdicts;
    write(args, |accepted, rejected| {
        let written = corpus.read(|place, id, value| match verdicts.get(place) {
            Some(Verdict::Accepted) => line(accepted, value),
            Some(Verdict::Rejected(reason, score)) => {
                line(rejected, &serde_json::to_vec(&Line { id, score: *score, reason: reason.name() })?)
            }
            Some(Verdict::Superseded) | None => Ok(()),
        })?;
        check_unchanged(&read, &written)
    })?;
    let spent = judge.caller.spent();
    let summary = Summary::new(model.version(), &verdicts, read.no_documents, spent);
    if args.json { print_json(&summary) } else { print(&summary.shown(spent)?) }
}

fn check_paths(args: &ScreenSelectArgs) -> Result<(), Usage> {
    if args.files.iter().any(|file| file == Path::new("-")) {
        return Err(Usage("standard input can't be read again; name a file".to_owned()));
    }
    if args.rejected.as_ref() == Some(&args.output) {
        return Err(Usage(format!("{} can't take both what is kept and what is not", args.output.display())));
    }
    Ok(())
}

/// The files, read anew each time.
struct Corpus<'a> {
    files: &'a [PathBuf],
    limits: Limits,
}

/// What was read, to notice files that have changed since.
#[derive(PartialEq, Default)]
struct Read {
    documents: usize,
    no_documents: usize,
    digest: u128,
}

impl Corpus<'_> {
    /// Hands over each document with its place among all, its id and its line.
    fn read(&self, mut each: impl FnMut(usize, &str, &[u8]) -> anyhow::Result<()>) -> anyhow::Result<Read> {
        let mut read = Read::default();
        ingest::documents(self.files, &self.limits, |document| {
            let Some((id, value)) = document else {
                read.no_documents += 1;
                return Ok(());
            };
            each(read.documents, &id, &value)?;
            read.documents += 1;
            read.digest = read.digest.rotate_left(1) ^ id::digest(&value);
            Ok(())
        })?;
        Ok(read)
    }

    /// The place of the last document of each id, by a hash of the id.
    fn last_of_each_id(&self) -> anyhow::Result<(HashMap<u128, usize>, Read)> {
        let mut last = HashMap::new();
        let read = self.read(|place, id, _| {
            last.insert(id::digest(id.as_bytes()), place);
            Ok(())
        })?;
        Ok((last, read))
    }
}

fn check_unchanged(read: &Read, again: &Read) -> anyhow::Result<()> {
    if read != again {
        bail!(
            "the files have changed while they were read; nothing is written, and the same command goes on with what is kept"
        );
    }
    Ok(())
}

/// Finds the verdict of each document, in the order of reading.
struct Judge<'a> {
    model: &'a Model,
    threshold: f64,
    caller: Caller,
    checks: Checks<'a>,
    verdicts: Vec<Verdict>,
    /// Texts to be scored, cut, with the places of their documents.
    waiting: Vec<(usize, String)>,
}

impl Judge<'_> {
    fn document(&mut self, is_last: bool, text: Option<&str>) -> anyhow::Result<()> {
        let text = text.unwrap_or_default();
        let verdict = match is_last.then(|| self.checks.reject(text)) {
            None => Verdict::Superseded,
            Some(Some(reason)) => Verdict::Rejected(reason, None),
            Some(None) => {
                let text = self.model.embedder().cut(text).to_owned();
                self.waiting.push((self.verdicts.len(), text));
                // Until it is scored.
                Verdict::Rejected(Reason::NoEmbedding, None)
            }
        };
        self.verdicts.push(verdict);
        if self.waiting.len() >= AT_ONCE { self.score() } else { Ok(()) }
    }

    /// Embeds and scores what waits.
    fn score(&mut self) -> anyhow::Result<()> {
        let waiting = std::mem::take(&mut self.waiting);
        if waiting.is_empty() {
            return Ok(());
        }
        let (needed, given) = (self.model.embedder().dimensions, self.caller.dimensions()?);
        if needed != given {
            let message = format!("the model needs embeddings of {needed} numbers, those of `llm.embed` have {given}");
            return Err(Usage(message).into());
        }
        let texts: Vec<&str> = waiting.iter().map(|(_, text)| text.as_str()).collect();
        let (failed, reason) = self.caller.embed(&texts)?;
        if let Some(reason) = reason {
            events::screen::not_embedded(failed, &reason);
        }
        let embedded = waiting.iter().filter_map(|(place, text)| Some((*place, self.caller.embedding(text)?)));
        let (places, embeddings): (Vec<usize>, Vec<&[f32]>) = embedded.unzip();
        let scores = self.model.scores(&embeddings)?;
        for (place, score) in places.into_iter().zip(scores) {
            let is_kept = score > self.threshold;
            self.verdicts[place] = if is_kept { Verdict::Accepted } else { Verdict::Rejected(Reason::Score, Some(score)) };
        }
        Ok(())
    }
}

/// Writes both files, each of which is there whole or not at all.
fn write(
    args: &ScreenSelectArgs,
    fill: impl FnOnce(&mut dyn Write, &mut dyn Write) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let failed = |path: &Path| format!("can't write {}", path.display());
    whole::file(&args.output, |file| {
        let mut accepted = BufWriter::new(file);
        match &args.rejected {
            None => fill(&mut accepted, &mut sink())?,
            Some(path) => whole::file(path, |file| {
                let mut rejected = BufWriter::new(file);
                fill(&mut accepted, &mut rejected)?;
                flushed(rejected)
            })
            .with_context(|| failed(path))?,
        }
        flushed(accepted)
    })
    .with_context(|| failed(&args.output))
}

fn flushed(writer: BufWriter<File>) -> anyhow::Result<File> {
    Ok(writer.into_inner().map_err(IntoInnerError::into_error)?)
}

fn line(output: &mut dyn Write, bytes: &[u8]) -> anyhow::Result<()> {
    output.write_all(bytes)?;
    Ok(output.write_all(b"\n")?)
}
