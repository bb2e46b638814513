//! What the pool is doing, for the status line and the metrics.

use std::time::Duration;

use serde::Serialize;

/// A snapshot of one endpoint.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct EndpointStatus {
    /// The endpoint's address.
    pub endpoint: String,
    /// Calls on the wire.
    pub in_flight: usize,
    /// The most that may be on the wire now.
    pub limit: usize,
    /// Calls that wait for their turn or for their next try.
    pub waiting: usize,
    /// For how long nothing at all is sent.
    pub backing_off: Option<Duration>,
    /// Whether the endpoint answers nobody: calls wait, and their attempts are not charged.
    pub down: bool,
    /// Failed tries since the last answer.
    pub consecutive_failures: u64,
    /// How the last failed try failed.
    pub last_error: Option<String>,
    /// Calls answered.
    pub calls: u64,
    /// Tries that failed.
    pub failures: u64,
    /// Tokens of prompts, answered calls only.
    pub prompt_tokens: u64,
    /// Tokens of answers.
    pub completion_tokens: u64,
    /// The cost of the answered calls.
    pub cost: f64,
    /// The age of the oldest call on the wire.
    pub oldest_call: Option<Duration>,
}

impl EndpointStatus {
    /// Whether calls wait for the endpoint, and not for each other: it is down, has asked for a pause, or has answered none since its last
    /// failure while those that failed wait for their next try.
    pub fn keeps_waiting(&self) -> bool {
        let all_rest = self.in_flight == 0 && self.waiting > 0 && self.consecutive_failures > 0;
        self.down || self.backing_off.is_some() || all_rest
    }
}

/// A snapshot of the pool.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct Status {
    /// Each endpoint once, ordered by address.
    pub endpoints: Vec<EndpointStatus>,
}

impl Status {
    /// Calls on the wire, of all endpoints.
    pub fn in_flight(&self) -> usize {
        self.endpoints.iter().map(|endpoint| endpoint.in_flight).sum()
    }

    /// Calls that wait, of all endpoints.
    pub fn waiting(&self) -> usize {
        self.endpoints.iter().map(|endpoint| endpoint.waiting).sum()
    }

    /// Calls answered, of all endpoints.
    pub fn calls(&self) -> u64 {
        self.endpoints.iter().map(|endpoint| endpoint.calls).sum()
    }

    /// Tokens of prompts and answers, of all endpoints.
    pub fn tokens(&self) -> u64 {
        self.endpoints.iter().map(|endpoint| endpoint.prompt_tokens + endpoint.completion_tokens).sum()
    }

    /// The cost of all answered calls.
    pub fn cost(&self) -> f64 {
        self.endpoints.iter().map(|endpoint| endpoint.cost).sum()
    }

    /// The age of the oldest call on the wire.
    pub fn oldest_call(&self) -> Option<Duration> {
        self.endpoints.iter().filter_map(|endpoint| endpoint.oldest_call).max()
    }
}
