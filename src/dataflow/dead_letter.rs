//! Records that could not be used, as they stand in `dead-letters`.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde::{Deserialize, Serialize};
use synthllm_log::{Append, LogName};
use synthllm_operators::record::{DeadLetter, Origin, Role};

/// Why a record is given up, and what it was.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Burial {
    /// The stage that gave it up.
    pub stage: String,
    /// The record's key, if it is text.
    pub key: Option<String>,
    /// Why, for a person.
    pub reason: String,
    /// The original bytes.
    pub payload: Vec<u8>,
    /// The raw answer of the model, if it is about one.
    pub answer: Option<String>,
}

impl Burial {
    /// The record of `dead-letters`; its key is the origin, so that a record read twice is one dead letter.
    ///
    /// # Panics
    /// Never: a dead letter is JSON.
    pub fn record(self, role: Role, log: LogName, origin: Origin) -> Append {
        let letter = DeadLetter {
            role: role.name().to_owned(),
            stage: self.stage,
            log: log.name().to_owned(),
            partition: origin.shard,
            offset: origin.offset,
            key: self.key,
            reason: self.reason,
            payload: BASE64_STANDARD.encode(&self.payload),
            answer: self.answer,
        };
        Append {
            log: LogName::DeadLetters,
            partition: None,
            key: Some(format!("{}/{}/{}", letter.log, letter.partition, letter.offset).into_bytes()),
            value: Some(serde_json::to_vec(&letter).expect("a dead letter holds only text and numbers")),
        }
    }
}
