//! What all clients of the broker share: their configuration, where librdkafka's words go, and what its errors mean.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake};
use std::thread::Thread;
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::KafkaSettings;
use crate::{LogError, Result};

/// How long a cluster that is asked for the first time may take to answer at all.
pub(super) const REACH: Duration = Duration::from_secs(10);
/// How long the broker may take for one answer: a disk or a virtual machine may stand still for a good part of it.
pub(super) const ANSWER: Duration = Duration::from_secs(30);
/// The largest request and record, for clients and topics: records of 1 MB and more fit, with room for their batch.
pub(super) const MAX_RECORD_BYTES: u32 = 16 << 20;

/// Sends librdkafka's lines to `tracing`. A client that loses a broker says so here and tries again by itself.
pub(super) struct Quiet;

impl ClientContext for Quiet {
    fn log(&self, level: RDKafkaLogLevel, _facility: &str, message: &str) {
        say(level, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "librdkafka reports an error");
    }
}

impl ConsumerContext for Quiet {}

/// One line of librdkafka. Its warnings are about what it recovers from by itself.
pub(super) fn say(level: RDKafkaLogLevel, message: &str) {
    match level {
        RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => tracing::warn!("{message}"),
        _ => tracing::debug!("{message}"),
    }
}

impl KafkaSettings {
    /// The user's properties, and over them what every client needs.
    pub(super) fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        for (name, value) in &self.properties {
            config.set(name, value);
        }
        config
            .set("bootstrap.servers", &self.brokers)
            .set("client.id", "synthllm")
            .set("message.max.bytes", MAX_RECORD_BYTES.to_string())
            .set("socket.timeout.ms", REACH.as_millis().to_string())
            .set("reconnect.backoff.max.ms", "1000")
            .set("allow.auto.create.topics", "false");
        config
    }

    /// A client that is asked for offsets only: it sees committed records, or all.
    pub(super) fn observer(&self, isolation: &str) -> Result<BaseConsumer<Quiet>> {
        let mut config = self.client();
        config.remove("group.id").set("isolation.level", isolation);
        self.make_consumer(&config)
    }

    /// A consumer of committed records. It never joins its group, whose name the client library asks for all the same.
    pub(super) fn consumer(&self) -> ClientConfig {
        let mut config = self.client();
        if !self.properties.contains_key("group.id") {
            config.set("group.id", "synthllm");
        }
        config
            .set("isolation.level", "read_committed")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "error")
            .set("enable.partition.eof", "true")
            .set("fetch.error.backoff.ms", "50")
            .set("fetch.queue.backoff.ms", "20")
            .set("queued.max.messages.kbytes", "32768");
        config
    }

    /// Makes a consumer.
    pub(super) fn make_consumer(&self, config: &ClientConfig) -> Result<BaseConsumer<Quiet>> {
        config.create_with_context(Quiet).map_err(self.failed("make a client for"))
    }

    /// The error of an operation: `action` says what was tried.
    pub(super) fn failed(&self, action: &str) -> impl Fn(KafkaError) -> LogError + use<> {
        let action = format!("can't {action} Kafka at {}", self.brokers);
        move |error| LogError::Backend { action: action.clone(), source: Box::new(error) }
    }

    /// An error that is none of librdkafka's.
    pub(super) fn refused(&self, action: &str, reason: String) -> LogError {
        LogError::Backend { action: format!("can't {action} Kafka at {}", self.brokers), source: reason.into() }
    }
}

/// Whether a code says that another producer has the same transactional id now. A transaction that outlives its timeout
/// is told the same: the broker then fences it too.
pub(super) fn says_fenced(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode::{Fenced, InvalidProducerEpoch, ProducerFenced};
    matches!(code, Fenced | InvalidProducerEpoch | ProducerFenced)
}

/// Whether librdkafka goes on by itself after this error of a consumer.
pub(super) fn is_transient(error: &KafkaError) -> bool {
    use RDKafkaErrorCode::{AllBrokersDown, BrokerTransportFailure, OperationTimedOut, Resolve};
    matches!(error.rdkafka_error_code(), Some(AllBrokersDown | BrokerTransportFailure | OperationTimedOut | Resolve))
}

/// Waits for a future that another thread completes, as those of the admin client are.
pub(super) fn wait_for<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Arc::new(Unpark(std::thread::current())).into();
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}
