//! The one place where records become bytes: a version byte, then bincode 1.3 (design.md §2).

use bincode::Options;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// The version of the record formats. A record with another first byte is refused by name, never guessed at.
pub const VERSION: u8 = 2;

/// Why a record of one of our own logs can't be read. The caller can only report where it lies.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// The record is empty.
    #[error("the record is empty, expected a version byte")]
    Empty,
    /// The record was written by another format version.
    #[error("the record has format version {found}, this program reads {VERSION}")]
    Version {
        /// The version byte found.
        found: u8,
    },
    /// The bytes behind the version byte don't fit the type.
    #[error("the record doesn't decode")]
    Body(#[source] bincode::Error),
    /// A compressed text doesn't decompress, or is not UTF-8.
    #[error("the text doesn't decompress")]
    Text(#[source] std::io::Error),
}

/// Encodes one record.
///
/// # Panics
/// Never for the types of [`crate::record`]: they have no maps or sequences of unknown length.
pub fn encode<T: Serialize>(record: &T) -> Vec<u8> {
    let mut bytes = vec![VERSION];
    bincode::serialize_into(&mut bytes, record).expect("writing to a vector can't fail, and records hold no unsized maps");
    bytes
}

/// Decodes one record. Trailing bytes are an error.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    let body = body(bytes)?;
    options(body).deserialize(body).map_err(CodecError::Body)
}

/// Decodes what a record begins with, into a type that has the first fields of the record's. What follows is not looked at. Texts
/// may be borrowed from the record.
pub fn decode_beginning<'bytes, T: Deserialize<'bytes>>(bytes: &'bytes [u8]) -> Result<T, CodecError> {
    let body = body(bytes)?;
    options(body).allow_trailing_bytes().deserialize(body).map_err(CodecError::Body)
}

fn body(bytes: &[u8]) -> Result<&[u8], CodecError> {
    match bytes.split_first() {
        None => Err(CodecError::Empty),
        Some((&VERSION, body)) => Ok(body),
        Some((&found, _)) => Err(CodecError::Version { found }),
    }
}

fn options(body: &[u8]) -> impl Options {
    bincode::DefaultOptions::new().with_fixint_encoding().with_limit(body.len() as u64)
}

/// Compresses a text for the `texts` log.
///
/// # Panics
/// Never: compressing into memory can't fail.
pub fn compress(text: &str) -> Vec<u8> {
    let mut bytes = vec![VERSION];
    bytes.extend(zstd::bulk::compress(text.as_bytes(), 3).expect("compressing into memory can't fail"));
    bytes
}

/// The text of a record of `texts`.
pub fn decompress(bytes: &[u8]) -> Result<String, CodecError> {
    match bytes.split_first() {
        None => Err(CodecError::Empty),
        Some((&VERSION, body)) => {
            let text = zstd::stream::decode_all(body).map_err(CodecError::Text)?;
            String::from_utf8(text).map_err(|error| CodecError::Text(std::io::Error::other(error)))
        }
        Some((&found, _)) => Err(CodecError::Version { found }),
    }
}
