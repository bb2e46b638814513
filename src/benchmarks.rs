//! Reads the files of benchmarks that questions must not repeat: any JSON Lines, plain, `.gz` or `.zst`.
//!
//! Every line must bring a text: what is passed over in silence is not decontaminated against.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use serde_json::{Map, Value};
use synthllm_operators::decontaminate::Entry;

/// The fields that are tried where none is named; the first that a line has counts.
pub const FIELDS: [&str; 5] = ["question", "problem", "prompt", "text", "input"];

/// Why a benchmark can't be used. The user must change the file or the setting.
#[derive(Debug, thiserror::Error)]
pub enum BenchmarkError {
    /// The file can't be read.
    #[error("can't read the benchmark {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A line is no entry.
    #[error("can't use line {line} of the benchmark {}: {reason}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// There is nothing in it.
    #[error("the benchmark {} has no entries", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
}

/// The entries of a file: its texts from `field`, or from the first of [`FIELDS`]; its ids from `id`, or the number of the line. The
/// benchmark is named like the file.
pub fn read(path: &Path, field: Option<&str>) -> Result<Vec<Entry>, BenchmarkError> {
    let unreadable = |source| BenchmarkError::Unreadable { path: path.to_owned(), source };
    let benchmark = name(path);
    let mut entries = Vec::new();
    for (number, bytes) in (1..).zip(open(path).map_err(unreadable)?.split(b'\n')) {
        let bytes = bytes.map_err(unreadable)?;
        let bytes = if number == 1 { bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&bytes) } else { &bytes };
        if !bytes.trim_ascii().is_empty() {
            let wrong = |reason| BenchmarkError::Line { path: path.to_owned(), line: number, reason };
            let (id, text) = entry(bytes, number, field).map_err(wrong)?;
            entries.push(Entry { benchmark: benchmark.clone(), id, text });
        }
    }
    if entries.is_empty() { Err(BenchmarkError::Empty { path: path.to_owned() }) } else { Ok(entries) }
}

/// The id and the text of a line.
fn entry(bytes: &[u8], number: usize, field: Option<&str>) -> Result<(String, String), String> {
    let line: Map<String, Value> =
        serde_json::from_slice(bytes).map_err(|error| format!("it is not a JSON object ({error})"))?;
    let id = match &line.get("id") {
        Some(Value::String(id)) => id.clone(),
        Some(Value::Number(id)) => id.to_string(),
        _ => number.to_string(),
    };
    let field = match field {
        Some(field) => field,
        None => FIELDS.into_iter().find(|field| line.contains_key(*field)).ok_or_else(|| none_of(&line))?,
    };
    match line.get(field) {
        Some(Value::String(text)) => Ok((id, text.clone())),
        Some(_) => Err(format!("its field `{field}` is not a string")),
        None => Err(format!("it has no field `{field}`; its fields are {}", quoted(line.keys()))),
    }
}

fn none_of(line: &Map<String, Value>) -> String {
    format!("it has none of the fields {}; its fields are {}: name the one to use", quoted(FIELDS), quoted(line.keys()))
}

fn quoted(names: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    names.into_iter().map(|name| format!("`{}`", name.as_ref())).collect::<Vec<_>>().join(", ")
}

fn open(path: &Path) -> std::io::Result<BufReader<Box<dyn Read>>> {
    let file = File::open(path)?;
    let ending = path.extension().and_then(|ending| ending.to_str());
    Ok(BufReader::new(match ending {
        Some("gz") => Box::new(MultiGzDecoder::new(file)),
        Some("zst") => Box::new(zstd::stream::read::Decoder::new(file)?),
        _ => Box::new(file),
    }))
}

/// The name of a file up to its first dot.
fn name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.split('.').find(|part| !part.is_empty()).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(ending: &str, bytes: &[u8], field: Option<&str>) -> Result<Vec<Entry>, String> {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let path = folder.path().join(format!("math.test{ending}"));
        std::fs::write(&path, bytes).expect("a file can be written");
        read(&path, field).map_err(|error| error.to_string().replace(&folder.path().display().to_string(), ""))
    }

    fn ids_and_texts(ending: &str, bytes: &[u8], field: Option<&str>) -> Vec<(String, String)> {
        let entries = read_text(ending, bytes, field).expect("it is a benchmark");
        assert!(entries.iter().all(|entry| entry.benchmark == "math"));
        entries.into_iter().map(|entry| (entry.id, entry.text)).collect()
    }

    #[test]
    fn any_json_lines_are_a_benchmark_plain_or_compressed() {
        let text = "\u{feff}{\"id\": 7, \"problem\": \"2+2?\", \"input\": \"x\"}\r\n\n{\"text\": \"3+3?\"}";
        let expected = [("7", "2+2?"), ("3", "3+3?")].map(|(id, text)| (id.to_owned(), text.to_owned()));
        assert_eq!(ids_and_texts(".jsonl", text.as_bytes(), None), expected);
        let packed = zstd::encode_all(text.as_bytes(), 0).expect("it can be packed");
        assert_eq!(ids_and_texts(".jsonl.zst", &packed, None), expected);
    }

    #[test]
    fn a_named_field_counts_alone() {
        let text = br#"{"id": "a", "question": "no", "stem": "yes"}"#;
        assert_eq!(ids_and_texts(".jsonl", text, Some("stem")), [("a".to_owned(), "yes".to_owned())]);
    }

    #[test]
    fn what_is_wrong_is_told_by_file_and_line() {
        for (text, field, expected) in [
            (
                "{\"text\": \"a\"}\nx",
                None,
                "can't use line 2 of the benchmark /math.test.jsonl: it is not a JSON object (expected value at line 1 column 1)",
            ),
            (
                "{\"a\": 1}",
                None,
                "can't use line 1 of the benchmark /math.test.jsonl: it has none of the fields `question`, `problem`, `prompt`, `text`, `input`; its fields are `a`: name the one to use",
            ),
            (
                "{\"a\": 1}",
                Some("b"),
                "can't use line 1 of the benchmark /math.test.jsonl: it has no field `b`; its fields are `a`",
            ),
            ("{\"a\": 1}", Some("a"), "can't use line 1 of the benchmark /math.test.jsonl: its field `a` is not a string"),
            ("\n", None, "the benchmark /math.test.jsonl has no entries"),
        ] {
            assert_eq!(read_text(".jsonl", text.as_bytes(), field), Err(expected.to_owned()));
        }
        let missing = read(Path::new("nowhere.jsonl"), None).map_err(|error| error.to_string());
        assert_eq!(missing, Err("can't read the benchmark nowhere.jsonl".to_owned()));
    }
}
