//! `check`: the configuration, which has been read without a problem by then; with `--connect` also what it points to.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use anyhow::bail;
use synthllm_llm::{EmbeddingRequest, Pool, Task, TaskSettings, probe};
use synthllm_log::{DocumentsRetention, Expiry, Log, LogName};

use super::print;
use crate::cli::CheckArgs;
use crate::config::Config;
use crate::dataflow::screen::Screen;
use crate::logs;

/// A text that shows what the embeddings are like.
const PROBE: &str = "A short text, to learn how many numbers an embedding has.";

/// One line of the report; what fails doesn't keep the rest from being looked at.
struct Finding {
    subject: String,
    outcome: anyhow::Result<String>,
}

/// Reports everything, and fails when something is not as it must be.
pub fn execute(config: &Config, args: &CheckArgs, file: &str) -> anyhow::Result<()> {
    let mut findings = vec![Finding { subject: "configuration".into(), outcome: Ok(file.to_owned()) }];
    let screen = Screen::load(config);
    findings.extend(screening(config, &screen));
    findings.extend(keys(config));
    if args.connect {
        findings.extend(screen.ok().and_then(|screen| embeddings(config, &screen)));
        findings.extend(logs_of(config));
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

/// The keys that can't be read, without which nothing can be asked.
fn keys(config: &Config) -> Option<Finding> {
    let error = config.tasks().into_iter().find_map(|task| config.task(task).err())?;
    Some(Finding { subject: "keys".into(), outcome: Err(error.into()) })
}

/// By what the stream is screened, where it is.
fn screening(config: &Config, screen: &anyhow::Result<Screen>) -> Option<Finding> {
    let outcome = match screen {
        Ok(screen) if screen.is_off() => return None,
        Ok(screen) => Ok(screen.model().map_or("the limits of texts only".to_owned(), |(version, threshold)| {
            let file = config.screen.model.as_deref().unwrap_or(Path::new("")).display();
            format!("{file} (version {version}), above {threshold}")
        })),
        Err(error) => Err(anyhow::anyhow!("{error:#}")),
    };
    Some(Finding { subject: "screening".into(), outcome })
}

/// Whether the endpoint gives embeddings of the model's length, where it is to be asked for them. A text is embedded to see it.
fn embeddings(config: &Config, screen: &Screen) -> Option<Finding> {
    let dimensions = screen.dimensions()?;
    let embed = || {
        let settings = TaskSettings { attempts: 1, ..config.task(Task::Embed)? };
        let name = format!("{} at {}", settings.model, settings.endpoint);
        let pool = Pool::new(BTreeMap::from([(Task::Embed, settings)]))?;
        let (sender, reply) = channel();
        let request = EmbeddingRequest { inputs: vec![PROBE.to_owned()], dimensions: Some(dimensions) };
        pool.embed(&request, move |reply| _ = sender.send(reply));
        let patience = config.llm.embed.settings.timeout;
        reply.recv_timeout(patience).map_err(|_| anyhow::anyhow!("{name} does not answer"))??;
        anyhow::Ok(format!("{name}, {dimensions} numbers each"))
    };
    Some(Finding { subject: "embeddings".into(), outcome: embed() })
}

/// The logs and, where they are as they must be, what becomes of deletions.
fn logs_of(config: &Config) -> Vec<Finding> {
    let finding = |subject: &str, outcome| Finding { subject: subject.to_owned(), outcome };
    if logs::is_new_file(config) {
        return vec![finding("logs", Ok(format!("{} is not there yet; `ingest` makes it", logs::place(config))))];
    }
    match verified(config) {
        Err(error) => vec![finding("logs", Err(error))],
        Ok((log, details)) => {
            let retention = log.retention_of_documents().map(|retention| meaning(&retention));
            vec![finding("logs", Ok(details)), finding("deletions", retention.map_err(Into::into))]
        }
    }
}

fn verified(config: &Config) -> anyhow::Result<(Arc<dyn Log>, String)> {
    let log = logs::open(config)?;
    log.verify()?;
    let (documents, others) = (log.partitions(LogName::Documents)?, log.partitions(LogName::Samples)?);
    let (place, count) = (logs::place(config), LogName::ALL.len());
    let details = format!("{place} has all {count}, with {documents} partitions of documents and {others} of the others");
    Ok((log, details))
}

/// What the retention of `documents` means for deletions (protocol.md, "Reconciliation").
fn meaning(retention: &DocumentsRetention) -> String {
    let (limit, expiry) = match retention.expiry {
        Some(Expiry::After(time)) => (format!("after {}", in_words(time)), Some(time)),
        Some(Expiry::Beyond(bytes)) => (format!("when a partition has more than {bytes} bytes"), None),
        None => return kept_for(retention.absence_means_deleted_after()),
    };
    let kept = match [retention.tombstones_for, expiry].into_iter().flatten().min() {
        Some(time) => format!("within {}", in_words(time)),
        None => "before it expires".to_owned(),
    };
    format!(
        "documents expire {limit}: absence means nothing, so nothing is withdrawn by it, and a deletion that is not read {kept} \
         can be missed"
    )
}

fn kept_for(time: Option<Duration>) -> String {
    match time {
        None => "deletions are kept for ever".to_owned(),
        Some(time) => {
            format!("deletions are kept for {}: a run that is away for longer reconciles at its next start", in_words(time))
        }
    }
}

/// A time for a person: whole days, or else as short as it goes.
fn in_words(time: Duration) -> String {
    const DAY: u64 = 24 * 60 * 60;
    match time.as_secs() {
        DAY => "1 day".to_owned(),
        seconds if seconds > 0 && seconds % DAY == 0 => format!("{} days", seconds / DAY),
        _ => humantime::format_duration(time).to_string(),
    }
}

/// Each endpoint with its model, once; tasks that ask the same stand together.
fn endpoints(config: &Config) -> Vec<Finding> {
    let mut findings: Vec<(String, Vec<&str>, Task)> = Vec::new();
    for task in config.tasks() {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_retention_of_documents_is_said_in_plain_words() {
        let (day, minute) = (Duration::from_secs(24 * 60 * 60), Duration::from_secs(60));
        let said = |compacted, tombstones_for, expiry| meaning(&DocumentsRetention { compacted, tombstones_for, expiry });
        assert_eq!(
            said(true, Some(30 * day), None),
            "deletions are kept for 30 days: a run that is away for longer reconciles at its next start"
        );
        assert_eq!(said(false, None, None), "deletions are kept for ever");
        let expire = |text: &str| text.starts_with("documents expire after 7 days: absence means nothing");
        let both = said(true, Some(90 * minute), Some(Expiry::After(7 * day)));
        assert!(expire(&both) && both.contains("not read within 1h 30m"), "{both}");
        let expiring = said(false, None, Some(Expiry::After(7 * day)));
        assert!(expire(&expiring) && expiring.contains("not read within 7 days"), "{expiring}");
        let by_size = said(false, None, Some(Expiry::Beyond(1000)));
        assert!(by_size.contains("more than 1000 bytes") && by_size.contains("before it expires"), "{by_size}");
    }
}
