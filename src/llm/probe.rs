//! Whether an endpoint is there, and which models it has: asked once, by `check`.

use crate::client::{Target, chain, http_client, server_message};
use crate::error::PoolError;
use crate::settings::TaskSettings;

/// Why an endpoint does not tell its models. No message holds a key.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// The settings or this machine don't allow a request.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// Nobody answers.
    #[error("{endpoint} can't be reached: {reason}")]
    Unreachable {
        /// The endpoint.
        endpoint: String,
        /// How it failed.
        reason: String,
    },
    /// The endpoint answers something else than a list of models.
    #[error("{endpoint} answered status {status}: {message}")]
    Refused {
        /// The endpoint.
        endpoint: String,
        /// The HTTP status.
        status: u16,
        /// What it said.
        message: String,
    },
}

/// The names of the endpoint's models (`GET /models`); empty when it answers, but lists none.
pub fn models(settings: &TaskSettings) -> Result<Vec<String>, ProbeError> {
    let target = Target::new(settings)?;
    let client = http_client(std::iter::once(&target))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| PoolError::Start(Box::new(error)))?;
    runtime.block_on(ask(&target, &client))
}

async fn ask(target: &Target, client: &reqwest::Client) -> Result<Vec<String>, ProbeError> {
    let endpoint = || target.settings.endpoint.clone();
    let unreachable = |error: reqwest::Error| ProbeError::Unreachable {
        endpoint: endpoint(),
        reason: target.presentable(&chain(&error.without_url())),
    };
    let response = target.models_request(client)?.send().await.map_err(unreachable)?;
    let status = response.status();
    let bytes = response.bytes().await.map_err(unreachable)?;
    if !status.is_success() {
        let message = target.presentable(&server_message(&bytes));
        return Err(ProbeError::Refused { endpoint: endpoint(), status: status.as_u16(), message });
    }
    Ok(names(&bytes))
}

/// The `id`s of `data`, as far as the body is what `OpenAI` specifies.
fn names(body: &[u8]) -> Vec<String> {
    let body: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let list = body["data"].as_array().into_iter().flatten();
    list.filter_map(|model| model["id"].as_str().map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_from_any_body_without_a_panic() {
        assert_eq!(names(br#"{"data":[{"id":"a"},{"no":1},{"id":"b"}]}"#), ["a", "b"]);
        assert!(names(b"<html>").is_empty());
        assert!(names(br#"{"data":7}"#).is_empty());
    }
}
