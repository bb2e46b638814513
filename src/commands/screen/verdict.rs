//! What `screen select` says of a document, and the counts of it.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Serialize;
pub use synthllm_operators::screen::Reason;

use super::caller::Spent;
use super::text;

/// What becomes of a document.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Verdict {
    /// It is kept.
    Accepted,
    /// A later document has its id, and counts instead, as for `ingest`.
    Superseded,
    /// It is not kept.
    Rejected(Reason, Option<f64>),
}

/// What `screen select --json` prints. `read` = accepted + all rejected + superseded.
#[derive(Serialize)]
pub struct Summary<'a> {
    /// The version of the screening model.
    pub model: &'a str,
    /// Documents that were read.
    pub read: usize,
    /// Documents that are kept.
    pub accepted: usize,
    /// Documents that are not, by the reason.
    pub rejected: BTreeMap<&'static str, usize>,
    /// Documents whose id a later one has.
    pub superseded: usize,
    /// Lines and files that are no documents.
    pub no_documents: usize,
    /// Calls that were answered now.
    pub calls: u64,
    /// Their tokens.
    pub tokens: u64,
    /// Their cost.
    pub cost: f64,
}

impl<'a> Summary<'a> {
    /// Counts verdicts.
    pub fn new(model: &'a str, verdicts: &[Verdict], no_documents: usize, spent: Spent) -> Self {
        let mut rejected: BTreeMap<_, _> = Reason::ALL.iter().map(|reason| (reason.name(), 0)).collect();
        let (mut accepted, mut superseded) = (0, 0);
        for verdict in verdicts {
            match verdict {
                Verdict::Accepted => accepted += 1,
                Verdict::Superseded => superseded += 1,
                Verdict::Rejected(reason, _) => *rejected.entry(reason.name()).or_default() += 1,
            }
        }
        let Spent { calls, tokens, cost, .. } = spent;
        Summary { model, read: verdicts.len(), accepted, rejected, superseded, no_documents, calls, tokens, cost }
    }

    /// The same for a person.
    pub fn shown(&self, spent: Spent) -> Result<String, std::fmt::Error> {
        let Summary { read, accepted, superseded, no_documents, .. } = self;
        let rejected: usize = self.rejected.values().sum();
        let mut shown = format!("read {read} documents: accepted {accepted}, rejected {rejected}");
        if *superseded > 0 {
            write!(shown, ", superseded by a later one of the same id {superseded}")?;
        }
        shown.push('\n');
        for name in Reason::ALL.map(Reason::name) {
            match self.rejected.get(name) {
                None | Some(0) => {}
                Some(count) => writeln!(shown, "  {name}: {count}")?,
            }
        }
        if *no_documents > 0 {
            writeln!(shown, "skipped what is no document: {no_documents}")?;
        }
        writeln!(shown, "spent now: {}", text::of_spent(spent))?;
        Ok(shown)
    }
}
