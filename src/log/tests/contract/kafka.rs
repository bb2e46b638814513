//! What only the broker can show.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::backends::{Backend, P, Place, append};
use synthllm_log::LogName::{Documents, JournalExtract, Texts};
use synthllm_log::kafka::{KafkaLog, KafkaSettings};
use synthllm_log::{Log, LogError};

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
