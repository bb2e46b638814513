//! The named points of the commit protocol (protocol.md, "Named points"), at which a test may end the process.
//!
//! `SYNTHLLM_FAULT="before commit:3"` ends the process, as `kill -9` would, the third time that the point is reached.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

struct Fault {
    name: String,
    at: u64,
    reached: AtomicU64,
}

static FAULT: OnceLock<Option<Fault>> = OnceLock::new();

/// A named point has been reached.
pub fn point(name: &'static str) {
    tracing::trace!(point = name, "reached");
    if let Some(fault) = FAULT.get_or_init(from_environment)
        && fault.name == name
        && fault.reached.fetch_add(1, Ordering::Relaxed) + 1 == fault.at
    {
        std::process::abort();
    }
}

fn from_environment() -> Option<Fault> {
    let text = std::env::var("SYNTHLLM_FAULT").ok()?;
    let (name, at) = text.rsplit_once(':').unwrap_or((&text, "1"));
    Some(Fault { name: name.to_owned(), at: at.parse().unwrap_or(1), reached: AtomicU64::new(0) })
}
