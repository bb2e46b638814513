//! The documents that a screening model learns from or is measured by: of files, or of the logs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context;
use synthllm_log::LogName;
use synthllm_operators::codec;
use synthllm_operators::decode::decode;
use synthllm_screening::{cut, rank};

use super::super::ingest;
use crate::config::Config;
use crate::logs;

/// A document, its text cut.
#[derive(Clone, PartialEq, Debug)]
pub struct Document {
    /// Its id.
    pub id: String,
    /// As much of its text as is used.
    pub text: String,
    /// Whether it belongs to the domain, where a field says so.
    pub label: Option<bool>,
    /// From 1 to 10, where a field says so.
    pub rating: Option<f64>,
}

/// Which documents take part.
pub struct Corpus<'a> {
    pub config: &'a Config,
    /// At most so many, chosen by the seed; the same ones whatever the order in which they are read.
    pub most: usize,
    pub seed: u64,
    /// Of a text, so many characters.
    pub cut: usize,
}

impl Corpus<'_> {
    /// The documents of files, or where none are named of the logs, in the order of their ids.
    pub fn read(&self, files: &[PathBuf]) -> anyhow::Result<Vec<Document>> {
        let mut chosen = Chosen { most: self.most, seed: self.seed, documents: BTreeMap::new() };
        if files.is_empty() {
            self.of_logs(&mut chosen)?;
        } else {
            self.of_files(files, &mut chosen)?;
        }
        let mut documents: Vec<Document> = chosen.documents.into_values().collect();
        documents.sort_by(|one, other| one.id.cmp(&other.id));
        Ok(documents)
    }

    fn of_files(&self, files: &[PathBuf], chosen: &mut Chosen) -> anyhow::Result<()> {
        ingest::documents(files, &self.config.document_limits(), |document| {
            if let Some((id, value)) = document {
                chosen.put(&id, self.document(&id, &value));
            }
            Ok(())
        })
    }

    /// Texts that `extract` has read already, under what waits in `documents` or has come since.
    fn of_logs(&self, chosen: &mut Chosen) -> anyhow::Result<()> {
        let log = logs::open(self.config)?;
        logs::read_all(&log, LogName::Texts, |record| {
            let id = String::from_utf8(record.key.unwrap_or_default()).context("a key is no UTF-8")?;
            let text = record.value.map(|value| codec::decompress(&value)).transpose().context("can't read a text")?;
            chosen.put(&id, text.map(|text| self.of_text(&id, &text)));
            Ok(())
        })?;
        logs::read_all(&log, LogName::Documents, |record| {
            // What is no document becomes a dead letter when `extract` reads it.
            let Ok(id) = String::from_utf8(record.key.unwrap_or_default()) else { return Ok(()) };
            chosen.put(&id, record.value.and_then(|value| self.document(&id, &value)));
            Ok(())
        })
    }

    /// Nothing of what has no text.
    fn document(&self, id: &str, value: &[u8]) -> Option<Document> {
        let document = decode(id.as_bytes(), value, &self.config.document_limits()).ok()?;
        let field = |name: &str| serde_json::from_str::<serde_json::Value>(document.metadata.get(name)?).ok();
        let label = field("label").and_then(|label| label.as_bool().or_else(|| label.as_f64().map(|label| label > 0.5)));
        let rating = field("rating").and_then(|rating| rating.as_f64()).filter(|rating| rating.is_finite());
        Some(Document { label, rating, ..self.of_text(id, document.text.as_deref()?) })
    }

    fn of_text(&self, id: &str, text: &str) -> Document {
        Document { id: id.to_owned(), text: cut(text.trim(), self.cut).to_owned(), label: None, rating: None }
    }
}

/// The documents with the lowest ranks of those that were put.
struct Chosen {
    most: usize,
    seed: u64,
    documents: BTreeMap<(u64, String), Document>,
}

impl Chosen {
    /// A later document of an id replaces the earlier one, nothing removes it.
    fn put(&mut self, id: &str, document: Option<Document>) {
        let key = (rank("corpus", id, self.seed), id.to_owned());
        match document {
            Some(document) => _ = self.documents.insert(key, document),
            None => _ = self.documents.remove(&key),
        }
        if self.documents.len() > self.most {
            self.documents.pop_last();
        }
    }
}

/// What the corpus is, for messages.
pub fn name(files: &[PathBuf]) -> String {
    match files {
        [] => "the log".to_owned(),
        [file] => Path::new(file).display().to_string(),
        files => format!("{} files", files.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_by_characters_at_white_space() {
        assert_eq!(cut("short", 9), "short");
        assert_eq!(cut("ein schöner Tag", 10), "ein");
        assert_eq!(cut("ein schöner Tag", 12), "ein schöner");
        assert_eq!(cut(&"ü".repeat(200), 100), "ü".repeat(100));
    }

    #[test]
    fn the_chosen_documents_do_not_depend_on_the_order_of_reading() {
        let put = |ids: &mut dyn Iterator<Item = u32>| {
            let mut chosen = Chosen { most: 10, seed: 3, documents: BTreeMap::new() };
            for id in ids {
                let id = id.to_string();
                let document = Document { id: id.clone(), text: id.clone(), label: None, rating: None };
                chosen.put(&id, Some(document));
            }
            chosen.documents.into_values().map(|document| document.id).collect::<Vec<_>>()
        };
        assert_eq!(put(&mut (0..100)), put(&mut (0..100).rev()));
    }
}
