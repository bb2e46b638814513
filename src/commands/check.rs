//! `check`: the configuration, which has been read without a problem by then; with `--connect` also what it points to.

use std::fmt::Write;

use anyhow::bail;
use synthllm_llm::{Task, probe};
use synthllm_log::{LogName, Retention};

use super::print;
use crate::cli::CheckArgs;
use crate::config::{Config, LogKind};
use crate::logs;

/// One line of the report; what fails doesn't keep the rest from being looked at.
struct Finding {
    subject: String,
    outcome: anyhow::Result<String>,
}

/// Reports everything, and fails when something is not as it must be.
pub fn execute(config: &Config, args: &CheckArgs, file: &str) -> anyhow::Result<()> {
    let mut findings = vec![Finding { subject: "configuration".into(), outcome: Ok(file.to_owned()) }];
    if args.connect {
        findings.push(Finding { subject: "logs".into(), outcome: logs_of(config) });
        findings.push(Finding { subject: "deletions".into(), outcome: Ok(deletions(config)) });
        findings.extend(endpoints(config));
    }
    print(&report(&findings)?)?;
    match findings.iter().filter(|finding| finding.outcome.is_err()).count() {
        0 => Ok(()),
        failed => bail!("{failed} of {} checks failed", findings.len()),
    }
}

fn report(findings: &[Finding]) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    for Finding { subject, outcome } in findings {
        match outcome {
            Ok(details) => writeln!(text, "ok      {subject}: {details}")?,
            Err(error) => writeln!(text, "failed  {subject}: {error:#}")?,
        }
    }
    Ok(text)
}

fn logs_of(config: &Config) -> anyhow::Result<String> {
    let log = logs::open(config)?;
    log.verify()?;
    let (documents, others) = (log.partitions(LogName::Documents)?, log.partitions(LogName::Samples)?);
    let place = logs::place(config);
    Ok(format!(
        "{place} has all {}, with {documents} partitions of documents and {others} of the others",
        LogName::ALL.len()
    ))
}

/// What the retention of `documents` means for deletions.
fn deletions(config: &Config) -> String {
    let days = LogName::ALL.iter().find_map(|log| match log.retention() {
        Retention::Days(days) => Some(days),
        _ => None,
    });
    match (config.log.kind, &config.log.documents) {
        (LogKind::Kafka, Some(topic)) => format!(
            "the topic {topic} is your own: if it is compacted, a deletion can be missed by a `run` that was away for longer \
             than its delete.retention.ms; if its records expire, their documents stay until they are deleted"
        ),
        _ => format!("kept for {} days; a `run` that was away for longer reads documents again", days.unwrap_or(30)),
    }
}

/// Each endpoint with its model, once; tasks that ask the same stand together.
fn endpoints(config: &Config) -> Vec<Finding> {
    let mut findings: Vec<(String, Vec<&str>, Task)> = Vec::new();
    for task in [Task::Extract, Task::Question, Task::Answer] {
        let settings = &config.llm.of(task).settings;
        let name = format!("{} at {}", settings.model, settings.endpoint);
        match findings.iter_mut().find(|(known, ..)| *known == name) {
            Some((_, tasks, _)) => tasks.push(task.name()),
            None => findings.push((name, vec![task.name()], task)),
        }
    }
    let finding = |(name, tasks, task): (String, Vec<&str>, Task)| Finding {
        subject: format!("model of {}", tasks.join(", ")),
        outcome: endpoint(config, task).map(|details| format!("{name}, {details}")),
    };
    findings.into_iter().map(finding).collect()
}

fn endpoint(config: &Config, task: Task) -> anyhow::Result<String> {
    let settings = config.task(task)?;
    let models = probe::models(&settings)?;
    Ok(match models.as_slice() {
        [] => "which answers but lists no models".to_owned(),
        models if models.contains(&settings.model) => "which has it".to_owned(),
        models => format!("which lists other names only ({}); many local servers take any name", models.join(", ")),
    })
}
