//! The topics: with which settings they are created, and whether those that exist fit.

use std::time::{Duration, Instant};

use rdkafka::admin::{AdminOptions, ConfigResource, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::metadata::Metadata;

use super::client::{ANSWER, MAX_RECORD_BYTES, wait_for};
use super::{KafkaLog, KafkaSettings};
use crate::{DocumentsRetention, Expiry, Log, LogError, LogName, Result, Retention};

const DAY: u64 = 24 * 60 * 60 * 1000;

impl KafkaSettings {
    /// The name on the broker.
    pub(super) fn topic(&self, log: LogName) -> String {
        match (&self.documents, log) {
            (Some(documents), LogName::Documents) => documents.clone(),
            _ => format!("{}{}", self.prefix, log.name()),
        }
    }

    /// Whether the topic is the user's own, which we neither create nor judge.
    fn is_foreign(&self, log: LogName) -> bool {
        log == LogName::Documents && self.documents.is_some()
    }

    fn topic_settings(&self, log: LogName) -> Vec<(String, String)> {
        let mut settings: Vec<(&str, String)> = match log.retention() {
            Retention::Compacted => {
                vec![("cleanup.policy", "compact".into()), ("delete.retention.ms", (30 * DAY).to_string())]
            }
            Retention::Trimmed => {
                vec![("cleanup.policy", "delete".into()), ("retention.ms", "-1".into()), ("retention.bytes", "-1".into())]
            }
            Retention::Days(days) => vec![
                ("cleanup.policy", "delete".into()),
                ("retention.ms", (u64::from(days) * DAY).to_string()),
                ("retention.bytes", "-1".into()),
            ],
        };
        settings.push(("max.message.bytes", MAX_RECORD_BYTES.to_string()));
        if let Some(replication) = self.replication {
            settings.push(("min.insync.replicas", replication.div_ceil(2).max(1).to_string()));
        }
        let settings = settings.into_iter().map(|(name, value)| (name.to_owned(), value));
        let overrides = self.topic_overrides.iter().map(|(name, value)| (name.clone(), value.clone()));
        settings.filter(|(name, _)| !self.topic_overrides.contains_key(name)).chain(overrides).collect()
    }
}

/// Creates what is missing, and waits until every topic has its leaders.
pub(super) fn create(log: &KafkaLog) -> Result<Vec<String>> {
    let metadata = log.metadata()?;
    let missing: Vec<LogName> = missing(log, &metadata);
    if let Some(foreign) = missing.iter().find(|name| log.settings.is_foreign(**name)) {
        return Err(log.settings.refused("use", format!("topic {} does not exist", log.settings.topic(*foreign))));
    }
    for &name in &missing {
        create_topic(log, name)?;
    }
    wait_for_leaders(log)?;
    Ok(missing.into_iter().map(|name| log.settings.topic(name)).collect())
}

fn create_topic(log: &KafkaLog, name: LogName) -> Result<()> {
    let topic = log.settings.topic(name);
    let settings = log.settings.topic_settings(name);
    let replication = log.settings.replication.map_or(-1, |replication| replication as i32);
    let partitions = log.partitions(name)? as i32;
    let mut request = NewTopic::new(&topic, partitions, TopicReplication::Fixed(replication));
    for (setting, value) in &settings {
        request = request.set(setting, value);
    }
    let options = AdminOptions::new().operation_timeout(Some(ANSWER)).request_timeout(Some(ANSWER));
    let results = wait_for(log.admin.create_topics([&request], &options));
    for result in results.map_err(log.settings.failed("create topics of"))? {
        match result {
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((topic, code)) => return Err(log.settings.refused(&format!("create {topic} of"), code.to_string())),
        }
    }
    Ok(())
}

fn wait_for_leaders(log: &KafkaLog) -> Result<()> {
    let deadline = Instant::now() + 2 * ANSWER;
    loop {
        let metadata = log.metadata()?;
        let missing = missing(log, &metadata);
        if missing.is_empty() {
            return Ok(());
        }
        if Instant::now() > deadline {
            let names: Vec<String> = missing.into_iter().map(|name| log.settings.topic(name)).collect();
            return Err(log.settings.refused("create topics of", format!("{} have no leader", names.join(", "))));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The logs whose topics don't exist, or have partitions without leader.
fn missing(log: &KafkaLog, metadata: &Metadata) -> Vec<LogName> {
    let led = |name: &LogName| {
        let topic = log.settings.topic(*name);
        metadata.topics().iter().any(|found| {
            found.name() == topic
                && !found.partitions().is_empty()
                && found.partitions().iter().all(|partition| partition.leader() >= 0)
        })
    };
    LogName::ALL.into_iter().filter(|name| !led(name)).collect()
}

/// All topics exist and fit, or every problem is named.
pub(super) fn verify(log: &KafkaLog) -> Result<()> {
    let metadata = log.metadata()?;
    let missing: Vec<String> = missing(log, &metadata).into_iter().map(|name| log.settings.topic(name)).collect();
    if !missing.is_empty() {
        let verb = if missing.len() == 1 { "is" } else { "are" };
        return Err(LogError::Missing { missing: format!("{} {verb}", missing.join(", ")) });
    }
    let ours: Vec<LogName> = LogName::ALL.into_iter().filter(|name| !log.settings.is_foreign(*name)).collect();
    let mut problems = partition_problems(log, &metadata, &ours)?;
    problems.extend(setting_problems(log, &ours)?);
    if problems.is_empty() { Ok(()) } else { Err(LogError::Unfit { problems }) }
}

fn partition_problems(log: &KafkaLog, metadata: &Metadata, names: &[LogName]) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    for &name in names {
        let (topic, needed) = (log.settings.topic(name), log.partitions(name)?);
        let found = metadata.topics().iter().find(|found| found.name() == topic).map(|found| found.partitions().len());
        if let Some(found) = found.filter(|found| *found != needed as usize) {
            problems.push(format!("{topic} has {found} partitions, {}", why(log, name, needed)));
        }
    }
    Ok(problems)
}

/// Where the number of partitions that a log must have comes from.
fn why(log: &KafkaLog, name: LogName, needed: u32) -> String {
    match &log.settings.documents {
        Some(documents) if name == LogName::JournalExtract => {
            format!("as many as {documents} are needed, which has {needed}")
        }
        _ => format!("the configuration says {needed}"),
    }
}

fn setting_problems(log: &KafkaLog, names: &[LogName]) -> Result<Vec<String>> {
    let topics: Vec<String> = names.iter().map(|name| log.settings.topic(*name)).collect();
    let mut problems = Vec::new();
    for ((name, topic), resource) in names.iter().zip(&topics).zip(describe(log, &topics)?) {
        for (setting, needed) in log.settings.topic_settings(*name) {
            problems.extend(setting_problem(topic, &resource, &setting, &needed));
        }
    }
    Ok(problems)
}

/// The settings of topics, in their order.
fn describe(log: &KafkaLog, topics: &[String]) -> Result<Vec<ConfigResource>> {
    let resources: Vec<ResourceSpecifier<'_>> = topics.iter().map(|topic| ResourceSpecifier::Topic(topic)).collect();
    let options = AdminOptions::new().request_timeout(Some(ANSWER));
    let described = wait_for(log.admin.describe_configs(&resources, &options));
    let described = topics.iter().zip(described.map_err(log.settings.failed("describe the topics of"))?);
    described
        .map(|(topic, result)| {
            result.map_err(|code| log.settings.refused(&format!("describe {topic} of"), code.to_string()))
        })
        .collect()
}

/// What becomes of old records of `documents`, ours or the user's.
pub(super) fn retention_of_documents(log: &KafkaLog) -> Result<DocumentsRetention> {
    let topic = log.settings.topic(LogName::Documents);
    let described = describe(log, std::slice::from_ref(&topic))?;
    let said = |setting: &str| {
        let value = described.first().and_then(|resource| resource.get(setting)?.value.as_deref());
        value.ok_or_else(|| log.settings.refused(&format!("describe {topic} of"), format!("it does not say {setting}")))
    };
    // A negative number, or one that is none, is no limit.
    let limit = |setting: &str| Ok(said(setting)?.parse::<u64>().ok());
    let policy = said("cleanup.policy")?;
    let (compacted, deletes) = (policy.contains("compact"), policy.contains("delete"));
    let expiry = match (deletes, limit("retention.ms")?, limit("retention.bytes")?) {
        (true, Some(milliseconds), _) => Some(Expiry::After(Duration::from_millis(milliseconds))),
        (true, None, Some(bytes)) => Some(Expiry::Beyond(bytes)),
        _ => None,
    };
    let tombstones_for = limit("delete.retention.ms")?.filter(|_| compacted).map(Duration::from_millis);
    Ok(DocumentsRetention { compacted, tombstones_for, expiry })
}

/// A number that a topic may also have greater, or unlimited; anything else must be as needed.
fn setting_problem(topic: &str, resource: &ConfigResource, setting: &str, needed: &str) -> Option<String> {
    let found = resource.get(setting)?.value.as_deref()?;
    let generous = match (setting, found.parse::<i64>(), needed.parse::<i64>()) {
        ("min.insync.replicas", _, _) | (_, Ok(-1), _) => true,
        (_, Ok(found), Ok(needed)) => needed >= 0 && found >= needed,
        _ => false,
    };
    (!generous && found != needed).then(|| format!("{topic} has {setting} = {found}, needed is {needed}"))
}
