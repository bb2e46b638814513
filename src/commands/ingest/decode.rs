//! From a line or a text file to a record of `documents`: its key and its value.

use synthllm_operators::decode::{Limits, ingest_line};

use super::files::Line;

/// A line of JSON Lines, whose bytes are kept as they are.
pub fn line(line: &Line<'_>, limits: &Limits) -> Result<(String, Vec<u8>), String> {
    match line.too_long {
        Some(length) => Err(format!("value: {length} bytes long, the limit is {}", limits.value_bytes)),
        None => document(line.bytes, limits),
    }
}

fn document(bytes: &[u8], limits: &Limits) -> Result<(String, Vec<u8>), String> {
    ingest_line(bytes, limits).map_err(|rejection| rejection.to_string())
}

/// A text file, whose id is its name.
pub fn text(id: &str, bytes: Vec<u8>, limits: &Limits) -> Result<(String, Vec<u8>), String> {
    let text = String::from_utf8(bytes).map_err(|_| "the text is not UTF-8")?;
    let document = serde_json::json!({ "id": id, "text": text, "source": id });
    self::document(document.to_string().as_bytes(), limits)
}
