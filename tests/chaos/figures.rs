//! What happened in a schedule, and the file that keeps it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::io::Write;

use serde::{Deserialize, Serialize};

/// What happened in one schedule, or in many.
#[derive(Clone, Default, Debug, Serialize, Deserialize)]
pub struct Figures {
    /// The seed; of many the last.
    pub seed: u64,
    /// Schedules.
    pub schedules: u64,
    /// Starts of the program.
    pub starts: u64,
    /// Processes killed, frozen, or ended at a named point.
    pub kills: u64,
    /// Faults by kind.
    pub faults: BTreeMap<String, u64>,
    /// Documents put, changed or deleted.
    pub documents: u64,
    /// Live samples at the end.
    pub samples: u64,
    /// Calls of the model server.
    pub calls: u64,
    /// Calls that repeated one whose answer was in no committed transaction.
    pub lost_in_flight: u64,
    /// Answers seen in a journal, and so watched.
    pub watched: u64,
    /// What a judge found wrong.
    pub violations: Vec<String>,
    /// How long it took.
    pub seconds: u64,
}

impl Figures {
    /// Both together.
    pub fn plus(mut self, other: Figures) -> Figures {
        self.seed = other.seed;
        self.schedules += other.schedules;
        self.starts += other.starts;
        self.kills += other.kills;
        for (fault, count) in other.faults {
            *self.faults.entry(fault).or_default() += count;
        }
        self.documents += other.documents;
        self.samples += other.samples;
        self.calls += other.calls;
        self.lost_in_flight += other.lost_in_flight;
        self.watched += other.watched;
        self.violations.extend(other.violations);
        self.seconds += other.seconds;
        self
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} schedules, {} starts, {} kills, {} faults {:?}, {} documents, {} samples, {} calls, {} lost in flight, \
             {} committed answers watched, {} violations, {} s",
            self.schedules,
            self.starts,
            self.kills,
            self.faults.values().sum::<u64>(),
            self.faults,
            self.documents,
            self.samples,
            self.calls,
            self.lost_in_flight,
            self.watched,
            self.violations.len(),
            self.seconds
        )
    }
}

/// The results of this run and of earlier ones.
pub struct Results {
    file: Option<std::fs::File>,
    all: Vec<Figures>,
}

impl Results {
    /// What stands in the file, if one is named.
    pub fn open(path: Option<OsString>) -> Results {
        let Some(path) = path else { return Results { file: None, all: Vec::new() } };
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let all = text.lines().map(|line| serde_json::from_str(line).expect("the results are lines of JSON")).collect();
        let file = std::fs::OpenOptions::new().create(true).append(true).open(&path);
        Results { file: Some(file.expect("the file of results can be written")), all }
    }

    /// Whether a schedule has its result.
    pub fn has(&self, seed: u64) -> bool {
        self.all.iter().any(|figures| figures.seed == seed)
    }

    /// Keeps a result.
    pub fn add(&mut self, figures: &Figures) {
        if let Some(file) = &mut self.file {
            let line = serde_json::to_string(figures).expect("figures are JSON") + "\n";
            file.write_all(line.as_bytes()).expect("the file of results can be written");
        }
        self.all.push(figures.clone());
    }

    /// All results.
    pub fn all(&self) -> Vec<Figures> {
        self.all.clone()
    }

    /// Whether there is any.
    pub fn any(&self) -> bool {
        !self.all.is_empty()
    }
}
