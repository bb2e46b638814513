//! What a person sees while `run` works: one line that is drawn over on a terminal, a log line now and then elsewhere.

use std::fmt::Write;
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use tracing::info;

use crate::terminal::{self, count};

/// How often a log line tells the state where no one watches.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// And how often when what the run waits for changes.
const NEWS_INTERVAL: Duration = Duration::from_secs(1);

/// The state of a run, as of now.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Snapshot {
    /// Documents decided since the start.
    pub documents: u64,
    /// Documents that screening did not let in since the start.
    pub rejected: u64,
    /// Documents extracted since the start.
    pub extractions: u64,
    /// Combinations issued since the start.
    pub combinations: u64,
    /// Samples written since the start.
    pub samples: u64,
    /// Dead letters since the start.
    pub dead_letters: u64,
    /// Calls under way.
    pub in_flight: u64,
    /// Tokens of prompts and answers.
    pub tokens: u64,
    /// What they cost, in the currency of the configured prices.
    pub cost: f64,
    /// How long the oldest call has been under way.
    pub oldest_call: Option<Duration>,
    /// What the run waits for, if it does.
    pub waiting_for: Option<Wait>,
}

/// Something that the run waits for.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Wait {
    /// What it is, e.g. `graph to read its state`; another one is news.
    pub what: String,
    /// How it stands, e.g. `, 120 of 500 records`; that this changes is no news.
    pub detail: String,
}

impl From<String> for Wait {
    fn from(what: String) -> Self {
        Wait { what, detail: String::new() }
    }
}

impl Snapshot {
    fn awaited(&self) -> Option<&str> {
        self.waiting_for.as_ref().map(|wait| wait.what.as_str())
    }

    /// One line. What is zero and says nothing is left out.
    fn text(&self, documents_per_second: f64) -> String {
        let mut text = format!(
            "{} ({documents_per_second:.1}/s) · {} · {} · {} · {} in flight",
            count(self.documents, "document"),
            count(self.extractions, "extraction"),
            count(self.combinations, "combination"),
            count(self.samples, "sample"),
            count(self.in_flight, "call"),
        );
        if let Some(age) = self.oldest_call.filter(|age| age.as_secs() > 0) {
            _ = write!(text, " (oldest {} s)", age.as_secs());
        }
        if self.rejected > 0 {
            _ = write!(text, " · {} rejected", self.rejected);
        }
        if self.dead_letters > 0 {
            _ = write!(text, " · {}", count(self.dead_letters, "dead letter"));
        }
        if self.tokens > 0 {
            _ = write!(text, " · {} tokens", self.tokens);
        }
        if self.cost > 0.0 {
            _ = write!(text, " · cost {:.4}", self.cost);
        }
        if let Some(Wait { what, detail }) = &self.waiting_for {
            _ = write!(text, " · waiting for {what}{detail}");
        }
        text
    }
}

/// Shows snapshots. Call [`StatusLine::show`] as often as is convenient.
pub struct StatusLine {
    bar: Option<ProgressBar>,
    last: Option<(Instant, u64)>,
    rate: f64,
    logged: Option<(Instant, Snapshot)>,
}

impl StatusLine {
    /// A line on the terminal if there is one.
    pub fn new() -> Self {
        StatusLine { bar: terminal::is_watched().then(terminal::line), last: None, rate: 0.0, logged: None }
    }

    /// Shows how things are now.
    pub fn show(&mut self, snapshot: &Snapshot) {
        let now = Instant::now();
        self.measure(now, snapshot.documents);
        if let Some(bar) = &self.bar {
            bar.set_message(snapshot.text(self.rate));
            bar.tick();
        } else if self.is_worth_a_log_line(now, snapshot) {
            info!("{}", snapshot.text(self.rate));
            self.logged = Some((now, snapshot.clone()));
        }
    }

    /// Takes the line away and leaves the last state as a log line.
    pub fn finish(self, snapshot: &Snapshot) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
        info!("{}", snapshot.text(self.rate));
    }

    /// The rate over the last second and more.
    fn measure(&mut self, now: Instant, documents: u64) {
        match self.last {
            Some((since, before)) if now - since >= Duration::from_secs(1) => {
                self.rate = documents.saturating_sub(before) as f64 / (now - since).as_secs_f64();
                self.last = Some((now, documents));
            }
            Some(_) => {}
            None => self.last = Some((now, documents)),
        }
    }

    fn is_worth_a_log_line(&self, now: Instant, snapshot: &Snapshot) -> bool {
        match &self.logged {
            Some((at, before)) if before.awaited() != snapshot.awaited() => now - *at >= NEWS_INTERVAL,
            Some((at, before)) => now - *at >= LOG_INTERVAL && before != snapshot,
            None => true,
        }
    }
}

impl Default for StatusLine {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_names_what_it_waits_for_and_leaves_out_what_says_nothing() {
        let idle = Snapshot { documents: 3, ..Snapshot::default() };
        assert_eq!(idle.text(1.0), "3 documents (1.0/s) · 0 extractions · 0 combinations · 0 samples · 0 calls in flight");
        let busy = Snapshot {
            in_flight: 4,
            tokens: 1200,
            cost: 0.5,
            dead_letters: 1,
            rejected: 2,
            oldest_call: Some(Duration::from_secs(7)),
            waiting_for: Some(Wait { what: "the endpoint".to_owned(), detail: " (3 calls)".to_owned() }),
            ..Snapshot::default()
        };
        assert_eq!(
            busy.text(0.0),
            "0 documents (0.0/s) · 0 extractions · 0 combinations · 0 samples · 4 calls in flight (oldest 7 s) \
             · 2 rejected · 1 dead letter · 1200 tokens · cost 0.5000 · waiting for the endpoint (3 calls)"
        );
    }
}
