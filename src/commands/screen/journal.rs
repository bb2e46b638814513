//! The journal of a training: every answer by the request that it belongs to, so that none is paid for twice.
//!
//! `answers.jsonl` in the work folder has a line for each answer, which is written before the answer is used. A last line that a
//! kill has cut is removed. One process has a work folder at a time.

use std::collections::HashMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{BufRead, BufReader, Seek, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::hint::Usage;

/// A text that the model has answered.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Text {
    /// The text.
    pub text: String,
    /// Whether it stopped for length.
    pub truncated: bool,
    /// The model, as the endpoint names it.
    pub model: String,
}

/// A line of the journal.
#[derive(Serialize, Deserialize)]
struct Line {
    /// The hash of the request, in hexadecimal digits.
    request: String,
    #[serde(flatten)]
    answer: Answer,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Answer {
    Answer(Text),
    /// The numbers of an embedding, as base64 of their bytes (`f32`, little endian).
    Embedding(String),
}

/// The answers of a work folder.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    texts: HashMap<u128, Text>,
    embeddings: HashMap<u128, Vec<f32>>,
}

impl Journal {
    /// Opens the journal of a folder, which is made where it is missing.
    pub fn open(folder: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(folder).with_context(|| format!("can't make the folder {}", folder.display()))?;
        let path = folder.join("answers.jsonl");
        let place = || format!("can't read {}", path.display());
        let file = OpenOptions::new().read(true).append(true).create(true).open(&path).with_context(place)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Usage(format!("another process works in {}", folder.display())).into());
            }
            Err(TryLockError::Error(error)) => return Err(error).with_context(place),
        }
        let mut journal = Journal { path: path.clone(), file, texts: HashMap::new(), embeddings: HashMap::new() };
        journal.read().with_context(place)?;
        Ok(journal)
    }

    fn read(&mut self) -> anyhow::Result<()> {
        let mut reader = BufReader::new(&self.file);
        reader.rewind()?;
        let (mut line, mut good, mut number) = (Vec::new(), 0, 0_u64);
        let (mut texts, mut embeddings) = (HashMap::new(), HashMap::new());
        while reader.read_until(b'\n', &mut line)? > 0 {
            number += 1;
            if !line.ends_with(b"\n") {
                break;
            }
            let Line { request, answer } =
                serde_json::from_slice(&line).with_context(|| format!("line {number} is no answer"))?;
            let request = u128::from_str_radix(&request, 16).with_context(|| format!("line {number} has no hash"))?;
            match answer {
                Answer::Answer(text) => _ = texts.insert(request, text),
                Answer::Embedding(numbers) => {
                    let numbers = vector(&numbers).with_context(|| format!("line {number} holds no embedding"))?;
                    embeddings.insert(request, numbers);
                }
            }
            good += line.len() as u64;
            line.clear();
        }
        (self.texts, self.embeddings) = (texts, embeddings);
        if !line.is_empty() {
            self.file.set_len(good).context("can't remove the line that a kill has cut")?;
        }
        Ok(())
    }

    /// The text that answered a request, if one did.
    pub fn text(&self, request: u128) -> Option<&Text> {
        self.texts.get(&request)
    }

    /// The embedding that answered a request, if one did.
    pub fn embedding(&self, request: u128) -> Option<&[f32]> {
        self.embeddings.get(&request).map(Vec::as_slice)
    }

    /// Keeps a text.
    pub fn keep_text(&mut self, request: u128, text: Text) -> anyhow::Result<()> {
        self.append([(request, Answer::Answer(text.clone()))])?;
        self.texts.insert(request, text);
        Ok(())
    }

    /// Keeps the embeddings of one call.
    pub fn keep_embeddings(&mut self, embeddings: Vec<(u128, Vec<f32>)>) -> anyhow::Result<()> {
        self.append(embeddings.iter().map(|(request, numbers)| {
            let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
            (*request, Answer::Embedding(STANDARD_NO_PAD.encode(bytes)))
        }))?;
        self.embeddings.extend(embeddings);
        Ok(())
    }

    /// Hands lines to the system in one piece: a kill of this process loses none of them.
    fn append(&mut self, answers: impl IntoIterator<Item = (u128, Answer)>) -> anyhow::Result<()> {
        let mut lines = Vec::new();
        for (request, answer) in answers {
            serde_json::to_writer(&mut lines, &Line { request: format!("{request:032x}"), answer })?;
            lines.push(b'\n');
        }
        self.file.write_all(&lines).with_context(|| format!("can't write {}", self.path.display()))
    }
}

fn vector(base64: &str) -> anyhow::Result<Vec<f32>> {
    let bytes = STANDARD_NO_PAD.decode(base64)?;
    if bytes.is_empty() || bytes.len() % 4 != 0 {
        bail!("{} bytes are no numbers", bytes.len());
    }
    let number = |bytes: &[u8]| f32::from_le_bytes(bytes.try_into().expect("a chunk has four bytes"));
    Ok(bytes.chunks_exact(4).map(number).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Text {
        Text { text: text.into(), truncated: false, model: "m".into() }
    }

    #[test]
    fn what_was_kept_is_there_again_and_a_line_that_was_cut_is_not() {
        let folder = tempfile::tempdir().expect("the system gives a folder");
        let mut journal = Journal::open(folder.path()).expect("the folder is new");
        journal.keep_text(1, text("one\ntwo")).expect("the disk takes it");
        journal.keep_embeddings(vec![(2, vec![0.1, -3.5e-20]), (3, vec![7.0])]).expect("the disk takes it");
        drop(journal);
        let path = folder.path().join("answers.jsonl");
        let whole = std::fs::read(&path).expect("there is a file");
        std::fs::write(&path, [&whole[..], &whole[..20]].concat()).expect("the folder is writable");
        let mut journal = Journal::open(folder.path()).expect("a cut line is borne");
        assert_eq!(std::fs::read(&path).expect("there is a file"), whole);
        assert_eq!((journal.text(1), journal.text(2)), (Some(&text("one\ntwo")), None));
        assert_eq!((journal.embedding(2), journal.embedding(3)), (Some(&[0.1, -3.5e-20][..]), Some(&[7.0][..])));
        journal.keep_text(4, text("four")).expect("the disk takes it");
        drop(journal);
        assert_eq!(Journal::open(folder.path()).expect("it is sound").text(4), Some(&text("four")));
    }

    #[test]
    fn a_folder_has_one_process_and_a_damaged_line_is_named() {
        let folder = tempfile::tempdir().expect("the system gives a folder");
        let first = Journal::open(folder.path()).expect("the folder is new");
        let error = Journal::open(folder.path()).expect_err("another one works there");
        assert!(error.to_string().contains("another process works in"), "{error}");
        drop(first);
        std::fs::write(folder.path().join("answers.jsonl"), "{}\nnonsense\n").expect("the folder is writable");
        let error = Journal::open(folder.path()).expect_err("a whole line that is no answer was not made by a kill");
        assert!(format!("{error:#}").contains("line 1 is no answer"), "{error:#}");
    }
}
