//! Where keys are to be found. The configuration names a variable or a file, and never holds a key.

use std::path::PathBuf;

use synthllm_llm::Secret;
use synthllm_llm::key::SecretError;

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

impl ApiKey {
    /// Reads the key; nothing when the endpoint needs none.
    pub fn read(&self) -> Result<Option<Secret>, SecretError> {
        match &self.file {
            Some(path) => Secret::from_file(path).map(Some),
            None => match Secret::from_env(&self.variable) {
                Ok(key) => Ok(Some(key)),
                Err(SecretError::Unset { .. }) if !self.required => Ok(None),
                Err(error) => Err(error),
            },
        }
    }
}
