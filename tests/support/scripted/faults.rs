//! What can go wrong, and when: by rule, or by a seed and the content of the request.

use std::time::{Duration, SystemTime};

use serde::Serialize;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// What a refused client is told about the wait.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum RetryAfter {
    /// `Retry-After: 2`
    Seconds(u64),
    /// `Retry-After: Sun, 22 Nov 2026 18:00:00 GMT`, this many seconds from now.
    Date(u64),
}

/// A fault of the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum Fault {
    /// 429, with or without a wait.
    TooManyRequests(Option<RetryAfter>),
    /// Another status with this message.
    Status(u16, String),
    /// No answer at all, until the client cuts the connection.
    Stall,
    /// Half an answer, then silence.
    StallInBody,
    /// Half an answer, then the connection is cut.
    Cut,
    /// 200 with a body that is not JSON.
    WrongJson,
    /// A completion whose text is not JSON though a schema was asked for.
    WrongAnswer,
    /// The right answer inside a fenced block, with prose around it.
    Fenced,
    /// Half of the right answer, `finish_reason` is `length`.
    Truncated,
    /// JSON of another shape than asked for.
    SchemaViolation,
    /// The right answer behind a block of reasoning.
    Reasoning,
    /// An answer of eight megabytes.
    Huge,
    /// These words, whatever was asked.
    Says(String),
}

impl Fault {
    /// Status, headers and message, if the fault is a refusal.
    pub(super) fn refusal(&self) -> Option<(u16, Vec<(&'static str, String)>, String)> {
        match self {
            Fault::TooManyRequests(wait) => {
                let headers = wait.iter().map(|wait| ("retry-after", wait.header())).collect();
                Some((429, headers, "too many requests".into()))
            }
            Fault::Status(status, message) => Some((*status, Vec::new(), message.clone())),
            _ => None,
        }
    }
}

impl RetryAfter {
    fn header(&self) -> String {
        match self {
            RetryAfter::Seconds(seconds) => seconds.to_string(),
            RetryAfter::Date(seconds) => httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(*seconds)),
        }
    }
}

/// The first `times` requests whose body contains `containing` meet the fault.
#[derive(Clone, Debug)]
pub struct Rule {
    /// What the body must contain; empty for every request.
    pub containing: String,
    /// How often the rule strikes.
    pub times: u32,
    /// With what.
    pub fault: Fault,
}

impl Rule {
    /// The first `times` requests of all meet the fault.
    pub fn first(times: u32, fault: Fault) -> Self {
        Rule { containing: String::new(), times, fault }
    }

    /// Every request that contains this text meets the fault.
    pub fn always(containing: &str, fault: Fault) -> Self {
        Rule { containing: containing.into(), times: u32::MAX, fault }
    }
}

/// Rules with what is left of them, and the seed.
#[derive(Default)]
pub(super) struct Script {
    rules: Vec<Rule>,
    seed: u64,
    rate: f64,
}

impl Script {
    pub fn new(rules: Vec<Rule>, seed: u64, rate: f64) -> Self {
        Script { rules, seed, rate }
    }

    pub fn add(&mut self, rule: Rule) {
        self.rules.push(rule);
    }

    /// Takes all rules back.
    pub fn forget(&mut self) {
        self.rules.clear();
    }

    /// The fault of a request whose content was asked `earlier` times before.
    pub fn fault(&mut self, content: u128, earlier: u32, body: &str) -> Option<Fault> {
        let struck = self.rules.iter_mut().find(|rule| rule.times > 0 && body.contains(&rule.containing));
        if let Some(rule) = struck {
            rule.times -= 1;
            return Some(rule.fault.clone());
        }
        self.seeded(content, earlier)
    }

    /// A draw that depends on the seed, the content and its number, never on the order of arrival.
    fn seeded(&self, content: u128, earlier: u32) -> Option<Fault> {
        let draw = xxh3_64_with_seed(&[&content.to_le_bytes()[..], &earlier.to_le_bytes()].concat(), self.seed);
        let struck = earlier < 3 && ((draw >> 32) as f64) < self.rate * f64::from(u32::MAX);
        struck.then(|| mixed(draw))
    }
}

/// One of the faults that a run must get over by itself.
fn mixed(draw: u64) -> Fault {
    match draw % 11 {
        0 => Fault::TooManyRequests(None),
        1 => Fault::TooManyRequests(Some(RetryAfter::Seconds(0))),
        2 => Fault::Status(500, "scripted".into()),
        3 => Fault::Cut,
        4 => Fault::WrongJson,
        5 => Fault::WrongAnswer,
        6 => Fault::Fenced,
        7 => Fault::Truncated,
        8 => Fault::SchemaViolation,
        9 => Fault::Reasoning,
        _ => Fault::Status(503, "scripted".into()),
    }
}
