//! The language model, as the roles see it: requests in, completions out, whatever the endpoint does meanwhile.
//!
//! A [`Pool`] owns a thread with the HTTP client. [`Pool::submit`] returns at once; the reply is called exactly once, with a
//! completion or with an error that says what the caller can do ([`CallError`]). Inside, failed calls are tried again with
//! backoff and jitter, the concurrency adapts to what the endpoint bears, answers go before questions before extractions, and
//! [`Pool::status`] says at any moment what is going on.
//!
//! Texts become embeddings the same way ([`Pool::embed`], the task `embed`).
//!
//! Prompts are templates ([`prompts`]); what is asked is a [`Request`], whose [`Request::canonical_hash`] is its identity in the
//! journal. Nothing here knows documents, samples or logs, and no key ever leaves [`key::Secret`].

mod client;
mod completion;
mod embedding;
mod endpoint;
pub mod error;
pub mod key;
pub mod limits;
mod pool;
pub mod probe;
pub mod prompts;
pub mod request;
pub mod retry;
pub mod settings;
pub mod status;
pub mod usage;

pub use completion::Completion;
pub use embedding::{EmbeddingRequest, Embeddings};
pub use error::{CallError, PoolError};
pub use key::Secret;
pub use pool::{Pool, Priority};
pub use prompts::{More, Prompt, PromptSettings, Prompts};
pub use request::{Request, Schema};
pub use settings::{Structured, Task, TaskSettings};
pub use status::{EndpointStatus, Status};
pub use usage::{Price, Usage};
