//! What SQLite's errors mean to the caller.

use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

use crate::LogError;

/// Turns SQLite's errors into those of the contract, for one file. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Errors {
    path: PathBuf,
}

impl Errors {
    pub(super) fn of(path: &Path) -> Self {
        Errors { path: path.to_owned() }
    }

    /// The error of an operation: `action` says what was tried.
    pub(super) fn of_action(&self, action: &str) -> impl Fn(rusqlite::Error) -> LogError {
        move |error| self.classify(action, error)
    }

    fn classify(&self, action: &str, error: rusqlite::Error) -> LogError {
        use ErrorCode::{CannotOpen, DiskFull, PermissionDenied, ReadOnly, SystemIoFailure};
        match error.sqlite_error_code() {
            Some(DiskFull | SystemIoFailure | ReadOnly | CannotOpen | PermissionDenied) => {
                LogError::Disk { path: self.path.display().to_string(), reason: error.to_string() }
            }
            Some(ErrorCode::DatabaseBusy) => self.backend(
                action,
                "another process holds the file's write lock; wait for it, or end it when it is stuck".into(),
            ),
            Some(ErrorCode::NotADatabase) => self.backend(action, "the file is not a SQLite database".into()),
            _ if error.to_string().contains("no such table") => {
                LogError::Missing { missing: format!("the logs in {} are", self.path.display()) }
            }
            _ => self.backend(action, error.into()),
        }
    }

    /// An error of the file that is none of SQLite's.
    pub(super) fn backend(&self, action: &str, source: Box<dyn std::error::Error + Send + Sync>) -> LogError {
        LogError::Backend { action: format!("can't {action} {}", self.path.display()), source }
    }
}

/// The same failure for every turn that shared a commit.
pub(super) fn share(error: &LogError) -> LogError {
    match error {
        LogError::Disk { path, reason } => LogError::Disk { path: path.clone(), reason: reason.clone() },
        other => LogError::Backend {
            action: other.to_string(),
            source: std::error::Error::source(other).map_or_else(|| other.to_string(), ToString::to_string).into(),
        },
    }
}
