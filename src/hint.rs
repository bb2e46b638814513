//! How an error is shown to the user: the error, its causes, and what to do about it when we know.

use std::fmt::Write;
use std::io::ErrorKind;
use std::process::ExitCode;

use synthllm_llm::key::SecretError;
use synthllm_log::LogError;
use synthllm_scaling::{ModelError, ReadError};

use crate::cluster::ClusterError;
use crate::config::Problems;

/// Wrong usage that the command line's own parser can't see.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Usage(pub String);

/// The error, its causes, and a hint.
pub fn report(error: &anyhow::Error) -> String {
    let mut text = format!("error: {error}\n");
    for cause in error.chain().skip(1) {
        _ = writeln!(text, "  caused by: {cause}");
    }
    if let Some(hint) = hint(error) {
        _ = writeln!(text, "hint: {hint}");
    }
    text
}

/// 2 for wrong usage or configuration, else 1.
pub fn exit_code(error: &anyhow::Error) -> ExitCode {
    let wrong_usage = error.chain().any(|cause| {
        cause.is::<Problems>()
            || cause.is::<Usage>()
            || cause.is::<SecretError>()
            || matches!(cause.downcast_ref(), Some(ClusterError::Hosts(_)))
            || matches!(cause.downcast_ref(), Some(ModelError::Fix { .. } | ModelError::UnknownSeries { .. }))
    });
    ExitCode::from(if wrong_usage { 2 } else { 1 })
}

fn hint(error: &anyhow::Error) -> Option<&'static str> {
    error.chain().find_map(|cause| {
        None.or_else(|| cause.downcast_ref().and_then(of_log_error))
            .or_else(|| cause.downcast_ref().and_then(of_io_error))
            .or_else(|| cause.downcast_ref().and_then(of_cluster_error))
            .or_else(|| cause.downcast_ref().and_then(of_model_error))
            .or_else(|| cause.downcast_ref().and_then(of_read_error))
            .or_else(|| cause.is::<Problems>().then_some("configs/reference.toml explains every key with its default"))
            .or_else(|| cause.is::<SecretError>().then_some("set the variable, or name a file with `llm.api_key_file`"))
    })
}

fn of_log_error(error: &LogError) -> Option<&'static str> {
    match error {
        LogError::Fenced { .. } => Some("only one process may own a shard; this one has ended, the other goes on"),
        LogError::OutOfRange { .. } => Some("the log lost records that were not read yet; look at its retention"),
        LogError::Missing { .. } => {
            Some("look at `log.path` or `log.prefix`; on SQLite `synthllm ingest` creates the logs as well")
        }
        LogError::Unfit { .. } => Some(
            "change the configuration as said, or use another `log.path`, or on Kafka another `log.prefix` and `topics create`",
        ),
        LogError::Held { .. } => Some("stop the other run, or start with `--take-over`"),
        LogError::Disk { .. } => Some("make room or writable; nothing committed is lost, and a restart goes on from there"),
        _ => None,
    }
}

fn of_model_error(error: &ModelError) -> Option<&'static str> {
    match error {
        ModelError::TooFew { law: synthllm_scaling::Law::Rectified, .. } => Some(
            "measure at more amounts of tokens, or try `--law power`, which needs one less; `--share beta` spares one more",
        ),
        ModelError::TooFew { .. } => Some("measure at more amounts of tokens"),
        ModelError::Flat { .. } | ModelError::OneAmount { .. } => {
            Some("a law needs errors that fall over different amounts of tokens")
        }
        _ => None,
    }
}

fn of_read_error(error: &ReadError) -> Option<&'static str> {
    match error {
        ReadError::NoColumn { .. } | ReadError::NoField { .. } => {
            Some("name other columns with --series-columns, --tokens-column and --error-column")
        }
        ReadError::NotPositive { value, .. } if *value == 0.0 => {
            Some("the law is fitted to logarithms; `--skip-zero` leaves out the points without tokens")
        }
        ReadError::TooLarge { .. } => Some("look at --unit: fraction, percent or loss"),
        _ => None,
    }
}

fn of_cluster_error(error: &ClusterError) -> Option<&'static str> {
    match error {
        ClusterError::Hosts(_) => {
            Some("the hosts file has the HOST:PORT of every process, one a line, in the order of --process")
        }
        ClusterError::Listen { .. } => {
            Some("another process may still have the port, or --process names another one's line")
        }
        ClusterError::Refused { .. } => {
            Some("start all processes together, with the same program, configuration, roles, --processes and --workers")
        }
        _ => None,
    }
}

fn of_io_error(error: &std::io::Error) -> Option<&'static str> {
    match error.kind() {
        ErrorKind::NotFound => Some("a relative path is relative to the working directory"),
        ErrorKind::PermissionDenied => Some("look at the permissions of the file and its folder"),
        _ => None,
    }
}
