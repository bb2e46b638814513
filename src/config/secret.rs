//! Secrets: named in the configuration, read from the environment or a file when they are needed, never shown.

use std::path::{Path, PathBuf};

/// Where the key of an endpoint is to be found. The file wins over the variable.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ApiKey {
    /// The environment variable that holds it.
    pub variable: String,
    /// Whether a missing variable is an error: it was named in the configuration.
    pub required: bool,
    /// The file that holds it.
    pub file: Option<PathBuf>,
}

/// Why a key can't be read. Neither the key nor the variable's name is repeated: people paste keys in the wrong place.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file can't be read.
    #[error("can't read the API key from {path}")]
    File {
        /// The file.
        path: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The file is empty.
    #[error("the API key file {path} is empty")]
    Empty {
        /// The file.
        path: String,
    },
    /// The variable isn't set.
    #[error("the environment variable that `api_key_env` names is not set, or not UTF-8")]
    Unset,
}

impl ApiKey {
    /// Reads the key; nothing when the endpoint needs none.
    pub fn read(&self) -> Result<Option<String>, SecretError> {
        match &self.file {
            Some(path) => read_file(path).map(Some),
            None => match std::env::var(&self.variable) {
                Ok(key) if !key.trim().is_empty() => Ok(Some(key.trim().to_owned())),
                _ if self.required => Err(SecretError::Unset),
                _ => Ok(None),
            },
        }
    }
}

fn read_file(path: &Path) -> Result<String, SecretError> {
    let name = || path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|source| SecretError::File { path: name(), source })?;
    match text.trim() {
        "" => Err(SecretError::Empty { path: name() }),
        key => Ok(key.to_owned()),
    }
}
