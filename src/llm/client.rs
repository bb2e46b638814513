//! One try of one call over HTTP, and what its failure means.

use std::error::Error;
use std::time::{Duration, Instant, SystemTime};

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Response, StatusCode, Url};
use tokio::time::timeout;

use crate::embedding::{Answered, Reading};
use crate::error::{CallError, PoolError};
use crate::key::presentable;
use crate::retry::retry_after;
use crate::settings::TaskSettings;

/// What all calls of a task have in common.
#[derive(Debug)]
pub(crate) struct Target {
    completions: Url,
    embeddings: Url,
    headers: HeaderMap,
    pub settings: TaskSettings,
}

/// Why a try failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Another try would fail the same way.
    Final(CallError),
    /// Another try may succeed.
    Transient(Transient),
}

/// A failure that may pass.
#[derive(Debug)]
pub(crate) struct Transient {
    pub cause: Cause,
    pub retry_after: Option<Duration>,
    pub message: String,
}

/// Whose fault a failure may be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Cause {
    /// Too many calls: never the call's own.
    Throttled,
    /// The endpoint can't be reached or says that it is unavailable.
    Unavailable,
    /// It took too long: the endpoint may be overloaded, or this call too hard.
    Slow,
    /// A broken answer: perhaps this call's own.
    Broken,
}

impl Cause {
    /// Whether fewer calls at once would help.
    pub fn is_overload(self) -> bool {
        !matches!(self, Cause::Broken)
    }
}

impl Target {
    pub fn new(settings: &TaskSettings) -> Result<Self, PoolError> {
        let completions = endpoint_url(&settings.endpoint)?;
        let embeddings = beside(&completions, "../embeddings", settings)?;
        let mut headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
        if let Some(secret) = &settings.api_key {
            let mut value = HeaderValue::from_str(&secret.bearer()).expect("a secret holds graphic ASCII only");
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        Ok(Target { completions, embeddings, headers, settings: settings.clone() })
    }

    /// Whether the endpoint is on this machine, where no proxy leads.
    pub fn is_local(&self) -> bool {
        matches!(self.completions.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"))
    }

    /// The request for the list of models.
    pub fn models_request(&self, client: &reqwest::Client) -> Result<reqwest::RequestBuilder, PoolError> {
        let url = beside(&self.completions, "../models", &self.settings)?;
        Ok(client.get(url).headers(self.headers.clone()).timeout(self.settings.timeout))
    }

    /// Sends a body and waits for what is to be read from the answer, no longer than the settings allow.
    pub async fn attempt(&self, client: &reqwest::Client, body: &str, reading: Reading) -> Result<Answered, Failure> {
        let started = Instant::now();
        let exchange = async {
            let response = self.send(client, body, reading).await?;
            let status = response.status();
            let wait =
                response.headers().get(RETRY_AFTER).and_then(|value| retry_after(value.to_str().ok()?, SystemTime::now()));
            let bytes = self.read(response).await?;
            if status.is_success() {
                let answered = reading.read(&bytes, body.len(), self.settings.price, started.elapsed());
                return answered.map_err(|message| transient(Cause::Broken, self.presentable(&message)));
            }
            Err(self.refusal(status, wait, &bytes))
        };
        let slow = |_| transient(Cause::Slow, format!("no answer within {:?}", self.settings.timeout));
        timeout(self.settings.timeout, exchange).await.map_err(slow)?
    }

    async fn send(&self, client: &reqwest::Client, body: &str, reading: Reading) -> Result<Response, Failure> {
        let url = match reading {
            Reading::Completion => &self.completions,
            Reading::Embeddings(_) => &self.embeddings,
        };
        let request = client.post(url.clone()).headers(self.headers.clone()).body(body.to_owned());
        request.send().await.map_err(|error| {
            let cause = if error.is_connect() { Cause::Unavailable } else { Cause::Broken };
            transient(cause, self.presentable(&chain(&error.without_url())))
        })
    }

    /// Reads a body piece by piece: neither a silence nor a flood is borne for long.
    async fn read(&self, mut response: Response) -> Result<Vec<u8>, Failure> {
        let settings = &self.settings;
        let mut bytes = Vec::new();
        loop {
            let piece = timeout(settings.stall, response.chunk())
                .await
                .map_err(|_| transient(Cause::Slow, format!("the response stalled for {:?}", settings.stall)))?
                .map_err(|error| transient(Cause::Broken, self.presentable(&chain(&error.without_url()))))?;
            let Some(piece) = piece else { return Ok(bytes) };
            if bytes.len() + piece.len() > settings.max_response_bytes {
                return Err(transient(
                    Cause::Broken,
                    format!("the response is larger than {} bytes", settings.max_response_bytes),
                ));
            }
            bytes.extend_from_slice(&piece);
        }
    }

    fn refusal(&self, status: StatusCode, retry_after: Option<Duration>, body: &[u8]) -> Failure {
        let message = self.presentable(&server_message(body));
        let code = status.as_u16();
        let cause = match code {
            429 => Cause::Throttled,
            502 | 503 | 529 => Cause::Unavailable,
            408 | 504 => Cause::Slow,
            409 | 425 | 500..=599 => Cause::Broken,
            300..=399 | 401..=405 => return Failure::Final(self.misconfigured(code, message)),
            _ => return Failure::Final(CallError::Refused { status: code, message }),
        };
        Failure::Transient(Transient { cause, retry_after, message: format!("status {code}: {message}") })
    }

    fn misconfigured(&self, status: u16, message: String) -> CallError {
        CallError::Misconfigured { endpoint: self.settings.endpoint.clone(), status, message, advice: self.advice(status) }
    }

    fn advice(&self, status: u16) -> String {
        match (status, &self.settings.api_key) {
            (401..=403, Some(secret)) => format!("check the key in {}", secret.origin()),
            (401..=403, None) => {
                "no key is configured: put it into an environment variable and name that in `llm.api_key_env`".into()
            }
            (404, _) => format!("check `llm.endpoint` and the model {:?}", self.settings.model),
            _ => "check `llm.endpoint`: it is the address up to and with /v1".into(),
        }
    }

    pub fn presentable(&self, text: &str) -> String {
        presentable(text, self.settings.api_key.as_ref())
    }
}

fn transient(cause: Cause, message: String) -> Failure {
    Failure::Transient(Transient { cause, retry_after: None, message })
}

fn endpoint_url(endpoint: &str) -> Result<Url, PoolError> {
    let refused = || PoolError::Endpoint {
        endpoint: endpoint.rsplit('@').next().and_then(|rest| rest.split('?').next()).unwrap_or("").into(),
    };
    let url = Url::parse(&format!("{}/chat/completions", endpoint.trim_end_matches('/'))).map_err(|_| refused())?;
    let plain = url.username().is_empty() && url.password().is_none() && url.query().is_none() && url.fragment().is_none();
    if plain && matches!(url.scheme(), "http" | "https") && url.has_host() { Ok(url) } else { Err(refused()) }
}

/// Another path of the same endpoint.
fn beside(completions: &Url, path: &str, settings: &TaskSettings) -> Result<Url, PoolError> {
    completions.join(path).map_err(|_| PoolError::Endpoint { endpoint: settings.endpoint.clone() })
}

/// The message in an error body: `OpenAI`'s shape, or what there is.
pub(crate) fn server_message(body: &[u8]) -> String {
    let parsed: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    let message = parsed.as_ref().and_then(|value| {
        let candidates = [&value["error"]["message"], &value["message"], &value["detail"], &value["error"]];
        candidates.into_iter().find_map(serde_json::Value::as_str)
    });
    message.map_or_else(|| String::from_utf8_lossy(body).into_owned(), str::to_owned)
}

/// An error with its causes; those that only repeat what was said are left out.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let message = error.to_string();
        if !text.ends_with(&message) {
            text.extend([": ", &message]);
        }
        cause = error.source();
    }
    text
}

/// One client for all targets, with room for as many idle connections as calls may be in flight.
pub(crate) fn http_client<'a>(targets: impl Iterator<Item = &'a Target> + Clone) -> Result<reqwest::Client, PoolError> {
    let most = targets.clone().map(|target| target.settings.max_in_flight).max().unwrap_or(1);
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("synthllm/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(Duration::from_secs(15))
        .pool_max_idle_per_host(most);
    if targets.clone().all(Target::is_local) {
        builder = builder.no_proxy();
    }
    builder.build().map_err(|error| PoolError::Start(Box::new(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_with_a_password_or_a_query_is_refused_without_showing_it() {
        for endpoint in ["http://user:hidden@host/v1", "http://host/v1?key=hidden", "ftp://host/v1", "host/v1", ""] {
            let error = endpoint_url(endpoint).unwrap_err().to_string();
            assert!(!error.contains("hidden"), "{error}");
        }
        assert_eq!(endpoint_url("http://host:1/v1/").unwrap().as_str(), "http://host:1/v1/chat/completions");
    }

    #[test]
    fn the_message_of_the_server_is_found_in_the_usual_places() {
        assert_eq!(server_message(br#"{"error":{"message":"a"}}"#), "a");
        assert_eq!(server_message(br#"{"detail":"b"}"#), "b");
        assert_eq!(server_message(b"plain"), "plain");
    }
}
