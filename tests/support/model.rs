//! A real language model behind llama.cpp's own server, OpenAI-compatible on loopback, run by `model/serve.py`.
//!
//! The server lives as long as its [`ModelServer`], or as the process: it watches its standard input and ends when that closes, so
//! that not even `kill -9` of the tests leaves one behind.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdin, Command, Stdio};

use crate::skip;

/// Requests served at once; the context is divided among them.
const SLOTS: u16 = 2;
/// Tokens of all slots together.
const CONTEXT: u16 = 8192;
/// What CI has; more would not finish sooner there.
const THREADS: u16 = 2;

/// A model that the scripts fetch, by hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Model {
    /// SmolLM2-135M-Instruct, 93 MB: loads in a second and writes nonsense that fits a schema.
    SmolLm2,
    /// Qwen2.5-Coder-0.5B-Instruct, 478 MB: the demo's.
    Qwen05,
}

impl Model {
    /// Its name at `model/fetch.sh`, and in requests.
    pub fn name(self) -> &'static str {
        match self {
            Model::SmolLm2 => "smollm2-135m",
            Model::Qwen05 => "qwen25-coder-0.5b",
        }
    }
}

/// A running server.
#[derive(Debug)]
pub struct ModelServer {
    address: String,
    server: Child,
    watched: Option<ChildStdin>,
}

impl ModelServer {
    /// Starts a server on a free port. `None`, with a message, when the parts can't be had here; where `CI=true` that is a panic.
    pub fn start(model: Model) -> Option<ModelServer> {
        ModelServer::start_at(model, 0)
    }

    /// Starts a server on `port`, e.g. the one of a server that was killed; port 0 is a free one.
    ///
    /// # Panics
    /// When the parts are here and the server still doesn't start.
    pub fn start_at(model: Model, port: u16) -> Option<ModelServer> {
        ModelServer::start_as(model, port, None)
    }

    /// Starts a server that has `/embeddings`, and no completions, on a free port.
    pub fn start_with_embeddings(model: Model) -> Option<ModelServer> {
        ModelServer::start_as(model, 0, Some("embeddings"))
    }

    fn start_as(model: Model, port: u16, mode: Option<&str>) -> Option<ModelServer> {
        let fetched = fetch("server").and_then(|python| Ok((python, fetch(model.name())?)));
        let (python, path) = fetched.map_err(|reason| skip(&reason)).ok()?;
        // With two slots this server mixes the texts of one request up: equal texts get different embeddings.
        let slots = if mode.is_some() { 1 } else { SLOTS };
        let mut server = Command::new(python)
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/model/serve.py"))
            .arg(path)
            .args([port, slots, CONTEXT, THREADS].map(|number| number.to_string()))
            .args(mode)
            // Without it llama.cpp's threads spin at each barrier, and a busy machine makes a token every two seconds.
            .env("OMP_WAIT_POLICY", "passive")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the virtual environment's python runs");
        let address = ready(&mut server).expect("the model server loads its model");
        Some(ModelServer { address, watched: server.stdin.take(), server })
    }

    /// The endpoint, up to and with `/v1`.
    pub fn endpoint(&self) -> String {
        format!("{}/v1", self.address)
    }

    /// The port it listens on.
    ///
    /// # Panics
    /// Never: the server's address ends with its port.
    pub fn port(&self) -> u16 {
        self.address.rsplit(':').next().and_then(|port| port.parse().ok()).expect("the address ends with the port")
    }

    /// Ends the server at once, in the midst of whatever it does.
    ///
    /// # Panics
    /// When the system doesn't let us end our own child.
    pub fn kill(mut self) {
        self.server.kill().expect("our own child can be killed");
    }
}

impl Drop for ModelServer {
    fn drop(&mut self) {
        self.watched.take();
        if let Err(error) = self.server.wait() {
            eprintln!("the model server at {} can't be waited for: {error}", self.address);
        }
    }
}

/// The path that `model/fetch.sh NAME` prints; the error is the script's last word.
fn fetch(name: &str) -> Result<String, String> {
    let output = Command::new("bash")
        .args([concat!(env!("CARGO_MANIFEST_DIR"), "/model/fetch.sh"), name])
        .output()
        .map_err(|error| format!("bash doesn't run: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("no {name}: {}", said.lines().last().unwrap_or("fetch.sh failed")))
}

/// Waits for the line `ready ADDRESS`, which comes when the model is loaded.
fn ready(server: &mut Child) -> Option<String> {
    let lines = BufReader::new(server.stdout.take()?).lines();
    lines.map_while(Result::ok).find_map(|line| line.strip_prefix("ready ").map(str::to_owned))
}
