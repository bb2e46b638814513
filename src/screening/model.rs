//! A screening model, and its file.
//!
//! The file is a line with the format and the model's version, a line of JSON that a person can read (`head -2`), and the forest,
//! compressed. The version is a hash of all that follows it, so that a damaged file is noticed, equal training gives equal
//! versions, and a score can say which model it is from.

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

use crate::error::ModelError;
use crate::figures::Figures;
use crate::forest::{Forest, ForestSettings};

/// The first word of the file.
const NAME: &str = "synthllm-screening-model";

/// The format that this program writes and reads.
const FORMAT: u32 = 1;

/// zstd's level for the forest.
const LEVEL: i32 = 9;

/// Which texts become which numbers.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Embedder {
    /// The embedding model's name, as its endpoint knows it.
    pub model: String,
    /// The numbers of an embedding.
    pub dimensions: usize,
    /// A text is cut to so many characters before it is embedded.
    pub cut: usize,
}

impl Embedder {
    /// As much of a text as is embedded.
    pub fn cut<'text>(&self, text: &'text str) -> &'text str {
        cut(text.trim(), self.cut)
    }
}

/// The beginning of a text, at most so many characters, cut at white space where there is some near the end.
pub fn cut(text: &str, characters: usize) -> &str {
    let Some((end, _)) = text.char_indices().nth(characters) else { return text };
    let kept = &text[..end];
    let space = kept.char_indices().rev().take(64).find(|(_, character)| character.is_whitespace());
    kept[..space.map_or(kept.len(), |(at, _)| at)].trim_end()
}

/// What happened in a round.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Round {
    /// 0 is the cold start.
    pub round: u32,
    /// Examples that were learnt from.
    pub learnt_from: usize,
    /// Documents that could not be rated or embedded, and were left out.
    pub failed: usize,
    /// Documents of the corpus that the round's forest keeps.
    pub selected: usize,
    /// On the examples that were held out.
    pub held_out: Figures,
}

/// How the model came about.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Training {
    /// The model that rated, as its endpoint knows it.
    pub rated_by: String,
    /// The version of the prompt that rated.
    pub prompt: String,
    /// The settings, as configured.
    pub settings: serde_json::Value,
    /// How each forest was grown.
    pub forest: ForestSettings,
    /// Documents of the corpus that took part.
    pub documents: usize,
    /// The cold start and the rounds after it.
    pub rounds: Vec<Round>,
}

/// A forest with everything that is needed to use it.
#[derive(Debug)]
pub struct Model {
    version: String,
    header: Header,
    forest: Forest,
}

#[derive(Debug, Serialize, Deserialize)]
struct Header {
    domain: String,
    embedder: Embedder,
    threshold: f64,
    training: Training,
}

impl Model {
    /// A new model; documents that score above `threshold` are kept.
    pub fn new(domain: &str, embedder: Embedder, threshold: f64, training: Training, forest: Forest) -> Self {
        let header = Header { domain: domain.to_owned(), embedder, threshold, training };
        let version = version(&content(&header, &forest));
        Model { version, header, forest }
    }

    /// 32 hexadecimal digits: a hash of everything in the model.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The domain that documents are kept for.
    pub fn domain(&self) -> &str {
        &self.header.domain
    }

    /// How a document becomes an embedding.
    pub fn embedder(&self) -> &Embedder {
        &self.header.embedder
    }

    /// Documents with a greater score are kept.
    pub fn threshold(&self) -> f64 {
        self.header.threshold
    }

    /// How it came about, with its figures.
    pub fn training(&self) -> &Training {
        &self.header.training
    }

    /// The score of each embedding, on the scale of ratings.
    pub fn scores(&self, embeddings: &[&[f32]]) -> Result<Vec<f64>, ModelError> {
        let expected = self.forest.dimensions();
        match embeddings.iter().find(|embedding| embedding.len() != expected) {
            Some(embedding) => Err(ModelError::Dimensions { found: embedding.len(), expected }),
            None => Ok(self.forest.scores(embeddings)),
        }
    }

    /// The bytes of the file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = format!("{NAME} {FORMAT} {}\n", self.version).into_bytes();
        bytes.extend(content(&self.header, &self.forest));
        bytes
    }

    /// Reads a file.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ModelError> {
        let (first, content) = split_line(bytes).ok_or(ModelError::NoModel)?;
        let first = std::str::from_utf8(first).map_err(|_| ModelError::NoModel)?;
        let [name, format, said] = first.split(' ').collect::<Vec<_>>()[..] else { return Err(ModelError::NoModel) };
        let format = format.parse().map_err(|_| ModelError::NoModel)?;
        match (name == NAME, format == FORMAT) {
            (false, _) => return Err(ModelError::NoModel),
            (true, false) => return Err(ModelError::Format { found: format, expected: FORMAT }),
            (true, true) => {}
        }
        if version(content) != said {
            return Err(ModelError::Damaged("its content does not have the version that it names".into()));
        }
        let damaged = |error: &dyn std::error::Error| ModelError::Damaged(error.to_string());
        let (header, forest) = split_line(content).ok_or_else(|| ModelError::Damaged("it ends too early".into()))?;
        let header = serde_json::from_slice(header).map_err(|error| damaged(&error))?;
        let forest = zstd::decode_all(forest).map_err(|error| damaged(&error))?;
        let forest = bincode::deserialize(&forest).map_err(|error| damaged(&error))?;
        Ok(Model { version: said.to_owned(), header, forest })
    }
}

fn content(header: &Header, forest: &Forest) -> Vec<u8> {
    let mut bytes = serde_json::to_vec(header).expect("a header is plain JSON");
    bytes.push(b'\n');
    let forest = bincode::serialize(forest).expect("a forest has a form in bytes");
    bytes.extend(zstd::encode_all(&forest[..], LEVEL).expect("memory takes what is compressed"));
    bytes
}

fn version(content: &[u8]) -> String {
    format!("{:032x}", xxh3_128(content))
}

fn split_line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    Some((&bytes[..end], &bytes[end + 1..]))
}
