//! What only the broker can show.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::backends::{Backend, P, Place, append};
use synthllm_log::LogName::{Documents, JournalExtract, Texts};
use synthllm_log::kafka::{KafkaLog, KafkaSettings};
use synthllm_log::{DocumentsRetention, Expiry, Log, LogError};

#[test]
fn reading_to_the_end_waits_for_an_open_transaction() {
    let Some(backend) = Backend::kafka("open-transaction") else { return };
    let mut open = backend.log.writer(&backend.owner("open")).unwrap();
    open.append(vec![append(Texts, 0, "a", Some("aborted"))]).unwrap();
    backend.commit("closed", vec![append(Texts, 0, "b", Some("committed"))]);
    std::thread::scope(|scope| {
        let (done, read) = mpsc::channel();
        let backend = &backend;
        scope.spawn(move || done.send(backend.values(Texts, 0)).unwrap());
        assert!(read.recv_timeout(Duration::from_millis(500)).is_err(), "the read passed an open transaction");
        open.abort().unwrap();
        assert_eq!(read.recv_timeout(Duration::from_secs(30)).unwrap(), ["committed"]);
    });
}

#[test]
fn brokers_that_cannot_be_reached_are_named() {
    // A port that was free a moment ago: nobody listens there.
    let port = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
    let address = format!("127.0.0.1:{port}");
    let begun = Instant::now();
    let Err(error) = KafkaLog::new(KafkaSettings::new(&address, "none.")) else { panic!("nobody is there") };
    assert!(error.to_string().contains(&address), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}

#[test]
fn missing_topics_are_named() {
    let Some(backend) = Backend::kafka("missing") else { return };
    let Place::Kafka(mut settings) = backend.place.clone() else { unreachable!("the backend is Kafka") };
    settings.prefix = "nothing-has-this-prefix.".to_owned();
    let error = KafkaLog::new(settings).unwrap().verify().unwrap_err();
    let LogError::Missing { missing } = &error else { panic!("{error}") };
    assert!(missing.contains("nothing-has-this-prefix.samples"), "{missing}");
}

#[test]
fn an_existing_topic_serves_as_documents_with_its_own_partitions_and_a_journal_of_as_many() {
    let Some(backend) = Backend::kafka("foreign") else { return };
    let Place::Kafka(mut settings) = backend.place.clone() else { unreachable!("the backend is Kafka") };
    // Its texts have P partitions, where a `documents` of our own would have N.
    settings.documents = Some(format!("{}texts", settings.prefix));
    settings.prefix = backend.owner("second.");
    let log = KafkaLog::new(settings.clone()).unwrap();
    let created = log.create().unwrap();
    assert!(!created.iter().any(|name| name.ends_with("documents")), "{created:?}");
    log.verify().unwrap();
    for name in [Documents, JournalExtract] {
        assert_eq!(log.partitions(name).unwrap(), P, "{name:?}");
        assert_eq!(log.end(name, P - 1).unwrap(), 0, "{name:?}");
    }
    log.create().unwrap();
    // Another topic with another number of partitions needs another journal.
    settings.documents = Some(format!("{}documents", backend.owner("")));
    let error = KafkaLog::new(settings).unwrap().verify().unwrap_err();
    let LogError::Unfit { problems } = &error else { panic!("{error}") };
    let [problem] = problems.as_slice() else { panic!("{problems:?}") };
    assert!(problem.contains("journal-extract has 3 partitions") && problem.contains("documents"), "{problem}");
}

/// The retention of a topic of the user with these settings.
fn retention_of(backend: &Backend, name: &str, topic_settings: &[(&str, &str)]) -> DocumentsRetention {
    let Place::Kafka(mut settings) = backend.place.clone() else { unreachable!("the backend is Kafka") };
    settings.prefix = backend.owner(&format!("{name}."));
    let overrides = topic_settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    settings.topic_overrides.extend(overrides);
    KafkaLog::new(settings.clone()).unwrap().create().unwrap();
    settings.topic_overrides.clear();
    settings.documents = Some(format!("{}documents", settings.prefix));
    KafkaLog::new(settings).unwrap().retention_of_documents().unwrap()
}

#[test]
fn the_retention_of_documents_is_what_the_broker_says() {
    let Some(backend) = Backend::kafka("retention") else { return };
    let (second, day) = (Some(Duration::from_secs(1)), Duration::from_secs(24 * 60 * 60));
    let compacted = retention_of(&backend, "compacted", &[("delete.retention.ms", "1000")]);
    assert_eq!(compacted, DocumentsRetention { compacted: true, tombstones_for: second, expiry: None });
    assert_eq!(compacted.absence_means_deleted_after(), second);
    let both = [("cleanup.policy", "compact,delete"), ("delete.retention.ms", "1000"), ("retention.ms", "86400000")];
    let both = retention_of(&backend, "both", &both);
    let expiry = Some(Expiry::After(day));
    assert_eq!(both, DocumentsRetention { compacted: true, tombstones_for: second, expiry });
    assert_eq!(both.absence_means_deleted_after(), None, "absence says nothing of a document that expires");
    let by_size = [("cleanup.policy", "delete"), ("retention.ms", "-1"), ("retention.bytes", "1000000")];
    let by_size = retention_of(&backend, "by-size", &by_size);
    let expiry = Some(Expiry::Beyond(1_000_000));
    assert_eq!(by_size, DocumentsRetention { compacted: false, tombstones_for: None, expiry });
    let kept = [("cleanup.policy", "delete"), ("retention.ms", "-1"), ("retention.bytes", "-1")];
    let kept = retention_of(&backend, "kept", &kept);
    assert_eq!(kept, DocumentsRetention { compacted: false, tombstones_for: None, expiry: None });
    assert_eq!(kept.absence_means_deleted_after(), None, "every tombstone stays");
}

#[test]
fn settings_that_do_not_fit_are_named_one_by_one() {
    let Some(backend) = Backend::kafka("unfit") else { return };
    let Place::Kafka(mut settings) = backend.place.clone() else { unreachable!("the backend is Kafka") };
    settings.topic_overrides.insert("max.message.bytes".to_owned(), "100000".to_owned());
    settings.prefix = backend.owner("small.");
    KafkaLog::new(settings.clone()).unwrap().create().unwrap();
    settings.topic_overrides.clear();
    let error = KafkaLog::new(settings).unwrap().verify().unwrap_err();
    let LogError::Unfit { problems } = &error else { panic!("{error}") };
    assert!(problems.iter().any(|problem| problem.contains("texts has max.message.bytes = 100000")), "{problems:?}");
}

#[test]
fn secrets_are_not_shown() {
    let mut settings = KafkaSettings::new("127.0.0.1:9092", "x.");
    settings.properties.insert("sasl.password".to_owned(), "hunter2".to_owned());
    let shown = format!("{settings:?}");
    assert!(shown.contains("sasl.password") && !shown.contains("hunter2"), "{shown}");
}
