//! What the user named: files of lines, plain or compressed, folders of texts, standard input.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use anyhow::Context;
use flate2::read::MultiGzDecoder;
use indicatif::ProgressBar;

/// A longer line is no document.
pub const MAX_LINE_BYTES: u64 = 64 << 20;

/// A line of a file.
pub struct Line<'file> {
    /// Its number, from 1.
    pub number: u64,
    /// Its bytes without the end, at most [`MAX_LINE_BYTES`].
    pub bytes: &'file [u8],
    /// Its whole length with its end, when it is longer than that.
    pub too_long: Option<u64>,
}

/// A file to be ingested.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Input {
    /// A document a line.
    Lines {
        /// The file; `-` is standard input.
        path: PathBuf,
        /// Its size, compressed if it is.
        bytes: u64,
    },
    /// One document.
    Text {
        /// The file.
        path: PathBuf,
        /// Its path relative to the folder that the user named, with `/`.
        id: String,
        /// Its size.
        bytes: u64,
    },
}

impl Input {
    /// The name in messages.
    pub fn name(&self) -> String {
        match self {
            Input::Lines { path, .. } if path == Path::new("-") => "standard input".to_owned(),
            Input::Lines { path, .. } | Input::Text { path, .. } => path.display().to_string(),
        }
    }

    /// The size of the file.
    pub fn bytes(&self) -> u64 {
        match self {
            Input::Lines { bytes, .. } | Input::Text { bytes, .. } => *bytes,
        }
    }
}

/// All files that the user named, folders opened, in a fixed order.
pub fn expand(paths: &[PathBuf]) -> anyhow::Result<Vec<Input>> {
    let mut inputs = Vec::new();
    for path in paths {
        if path == Path::new("-") {
            inputs.push(Input::Lines { path: path.clone(), bytes: 0 });
            continue;
        }
        let metadata = std::fs::metadata(path).with_context(|| format!("can't read {}", path.display()))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        match (metadata.is_dir(), is_text(path)) {
            (true, _) => texts_in(path, path, &mut inputs)?,
            (false, true) => inputs.push(text(path, folder, metadata.len())),
            (false, false) => inputs.push(Input::Lines { path: path.clone(), bytes: metadata.len() }),
        }
    }
    Ok(inputs)
}

/// All texts under a folder, sorted. Hidden files, other files and links to folders are left out.
fn texts_in(root: &Path, folder: &Path, inputs: &mut Vec<Input>) -> anyhow::Result<()> {
    let list = || std::fs::read_dir(folder)?.collect::<std::io::Result<Vec<_>>>();
    let mut entries = list().with_context(|| format!("can't list {}", folder.display()))?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries.iter().filter(|entry| !entry.file_name().as_encoded_bytes().starts_with(b".")) {
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            texts_in(root, &path, inputs)?;
        } else if is_text(&path) {
            inputs.push(text(&path, root, std::fs::metadata(&path)?.len()));
        }
    }
    Ok(())
}

fn is_text(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "txt" || extension == "md")
}

fn text(path: &Path, root: &Path, bytes: u64) -> Input {
    let relative = path.strip_prefix(root).unwrap_or(path);
    let parts: Vec<_> = relative.components().map(|part| part.as_os_str().to_string_lossy()).collect();
    Input::Text { path: path.to_owned(), id: parts.join("/"), bytes }
}

/// The lines of a file, decompressed by the ending of its name; the bar follows the bytes of the file.
pub fn open(path: &Path, bar: &ProgressBar) -> anyhow::Result<Lines> {
    let raw: Box<dyn Read> =
        if path == Path::new("-") { Box::new(std::io::stdin()) } else { Box::new(bar.wrap_read(File::open(path)?)) };
    let raw: Box<dyn Read> = match path.extension().and_then(|extension| extension.to_str()) {
        Some("gz") => Box::new(MultiGzDecoder::new(raw)),
        Some("zst") => Box::new(zstd::stream::read::Decoder::new(raw)?),
        _ => raw,
    };
    Ok(Lines { reader: BufReader::with_capacity(1 << 16, raw), line: Vec::new(), number: 0 })
}

/// Lines with their numbers, from 1. Empty ones are left out; one too long is cut, which makes it no JSON.
pub struct Lines {
    reader: BufReader<Box<dyn Read>>,
    line: Vec<u8>,
    number: u64,
}

impl Lines {
    /// The next line.
    pub fn next_line(&mut self) -> std::io::Result<Option<Line<'_>>> {
        loop {
            let mut skipped = 0;
            self.line.clear();
            if self.reader.by_ref().take(MAX_LINE_BYTES).read_until(b'\n', &mut self.line)? == 0 {
                return Ok(None);
            }
            if self.line.len() as u64 == MAX_LINE_BYTES && !self.line.ends_with(b"\n") {
                skipped = self.reader.skip_until(b'\n')? as u64;
            }
            self.number += 1;
            if self.number == 1 && self.line.starts_with(b"\xEF\xBB\xBF") {
                self.line.drain(..3);
            }
            if !self.line.trim_ascii().is_empty() {
                let too_long = (skipped > 0).then_some(MAX_LINE_BYTES + skipped);
                return Ok(Some(Line { number: self.number, bytes: self.line.trim_ascii(), too_long }));
            }
        }
    }
}
