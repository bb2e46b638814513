//! Errors, by what the caller can do.

/// How a call ended without a completion.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CallError {
    /// The endpoint will never accept this request (too long, malformed): give the record up.
    #[error("the endpoint refused the request with status {status}: {message}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The server's message, without keys.
        message: String,
    },
    /// The endpoint accepts no request of this configuration (key, path, model): stop and tell the user.
    #[error("{endpoint} answered {status}: {message}; {advice}")]
    Misconfigured {
        /// The endpoint.
        endpoint: String,
        /// The HTTP status; 0 when nothing was sent.
        status: u16,
        /// The server's message, without keys.
        message: String,
        /// What to set.
        advice: String,
    },
    /// All tries of this call failed while the endpoint answered others: give the record up.
    #[error("gave up after {attempts} failed attempts, the last one: {last}")]
    Exhausted {
        /// The tries.
        attempts: u32,
        /// How the last one failed.
        last: String,
    },
    /// The pool was shut down before the answer came.
    #[error("the call was cancelled because the run stops")]
    Cancelled,
}

impl CallError {
    /// Whether every other call would fail the same way, so that the run has to stop.
    pub fn is_fatal(&self) -> bool {
        matches!(self, CallError::Misconfigured { .. })
    }
}

/// Why a pool can't be built. The user must change the configuration.
#[derive(Debug, thiserror::Error)]
pub enum PoolError {
    /// The endpoint is not an `http` or `https` address without user, password and query.
    #[error("the endpoint {endpoint:?} is not an http or https address without user, password and query")]
    Endpoint {
        /// The endpoint as configured, without what may be secret.
        endpoint: String,
    },
    /// A limit is zero.
    #[error("{setting} of the task {task} must be at least 1")]
    Zero {
        /// The task.
        task: &'static str,
        /// The setting.
        setting: &'static str,
    },
    /// The HTTP client or its thread can't be started.
    #[error("the HTTP client can't be started")]
    Start(#[source] Box<dyn std::error::Error + Send + Sync>),
}
