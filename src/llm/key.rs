//! Keys of endpoints: read from the environment or a file, shown to nobody.

use std::fmt;
use std::path::{Path, PathBuf};

/// A key with where it came from. `Debug` prints the origin only; the value reaches the wire and nothing else.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    value: String,
    origin: String,
}

/// Why there is no key. The user must set what the message names.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The environment variable is not set, or not UTF-8.
    #[error("the environment variable {variable} is not set")]
    Unset {
        /// The variable's name.
        variable: String,
    },
    /// The file can't be read.
    #[error("the key file {} can't be read", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The key is empty, or holds characters that no HTTP header can carry.
    #[error("the key from {origin} is empty or holds white space or control characters")]
    Malformed {
        /// Where the key came from.
        origin: String,
    },
}

impl Secret {
    /// The key in an environment variable.
    pub fn from_env(variable: &str) -> Result<Self, SecretError> {
        let value = std::env::var(variable).map_err(|_| SecretError::Unset { variable: variable.into() })?;
        Self::checked(&value, format!("the environment variable {variable}"))
    }

    /// The key in a file; white space around it is dropped.
    pub fn from_file(path: &Path) -> Result<Self, SecretError> {
        let value = std::fs::read_to_string(path).map_err(|source| SecretError::File { path: path.into(), source })?;
        Self::checked(&value, format!("the file {}", path.display()))
    }

    fn checked(value: &str, origin: String) -> Result<Self, SecretError> {
        let value = value.trim();
        if value.is_empty() || !value.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(SecretError::Malformed { origin });
        }
        Ok(Secret { value: value.into(), origin })
    }

    /// Where the key came from, for messages: "the environment variable X".
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The value of the `Authorization` header.
    pub(crate) fn bearer(&self) -> String {
        format!("Bearer {}", self.value)
    }

    fn hide_in(&self, text: &str) -> String {
        text.replace(&self.value, "***")
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret(*** from {})", self.origin)
    }
}

/// A text of the server, fit to be shown: without the key, without anything that looks like one, and not longer than a
/// paragraph. Servers quote keys, whole or in part.
pub(crate) fn presentable(text: &str, secret: Option<&Secret>) -> String {
    let text = secret.map_or_else(|| text.to_owned(), |secret| secret.hide_in(text));
    let words = text.split_whitespace().map(|word| if looks_like_a_key(word) { "***" } else { word });
    let joined = words.collect::<Vec<_>>().join(" ");
    joined.chars().take(600).collect()
}

fn looks_like_a_key(word: &str) -> bool {
    word.trim_start_matches(|c: char| !c.is_ascii_alphanumeric()).starts_with("sk-")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret() -> Secret {
        Secret::checked("sk-very-secret", "the environment variable KEY".into()).unwrap()
    }

    #[test]
    fn debug_shows_the_origin_and_never_the_key() {
        let shown = format!("{:?}", secret());
        assert_eq!(shown, "Secret(*** from the environment variable KEY)");
    }

    #[test]
    fn a_message_of_the_server_loses_the_key_and_what_looks_like_one() {
        let shown = presentable("bad key:\"sk-very-secret\", or (sk-very***cret) in\n the header", Some(&secret()));
        assert_eq!(shown, "bad key:\"***\", or *** in the header");
    }

    #[test]
    fn a_key_that_no_header_carries_is_refused_by_its_origin() {
        let error = Secret::checked("two words", "the file k".into()).unwrap_err();
        assert_eq!(error.to_string(), "the key from the file k is empty or holds white space or control characters");
    }

    #[test]
    fn a_file_gives_its_key_without_the_line_end() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "abc\n").unwrap();
        assert_eq!(Secret::from_file(file.path()).unwrap().bearer(), "Bearer abc");
    }

    #[test]
    fn an_unset_variable_is_named() {
        let error = Secret::from_env("SYNTHLLM_TEST_NO_SUCH_VARIABLE").unwrap_err();
        assert_eq!(error.to_string(), "the environment variable SYNTHLLM_TEST_NO_SUCH_VARIABLE is not set");
    }
}
