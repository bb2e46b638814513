//! What the suite runs against, and short words for what the cases do with it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use synthllm_log::kafka::{KafkaLog, KafkaSettings};
use synthllm_log::sqlite::{SqliteLog, SqliteSettings};
use synthllm_log::{Append, Fetched, Log, LogName, Record, read_to_end};
use synthllm_testkit::kafka::{Broker, unique_prefix};

pub const N: u32 = 2;
pub const P: u32 = 3;

/// Logs of its own for one test.
pub struct Backend {
    pub log: Arc<dyn Log>,
    pub place: Place,
    prefix: String,
    _folder: Option<tempfile::TempDir>,
}

/// Where the logs are, so that they can be opened again, and by another process.
#[derive(Clone)]
pub enum Place {
    Sqlite(SqliteSettings),
    Kafka(KafkaSettings),
}

impl Place {
    pub fn open(&self) -> Arc<dyn Log> {
        match self {
            Place::Sqlite(settings) => SqliteLog::open_with(settings.clone()).unwrap(),
            Place::Kafka(settings) => KafkaLog::new(settings.clone()).unwrap(),
        }
    }
}

impl Backend {
    /// A new file with all logs.
    pub fn sqlite() -> Backend {
        let folder = tempfile::tempdir().unwrap();
        let settings = SqliteSettings::new(&folder.path().join("synthllm.db"), N, P);
        Backend::create(Place::Sqlite(settings), String::new(), Some(folder))
    }

    /// Topics of their own on the broker that all tests share.
    pub fn kafka(test: &str) -> Option<Backend> {
        let broker = Broker::shared()?;
        let prefix = unique_prefix(test);
        let mut settings = KafkaSettings::new(broker.bootstrap(), &prefix);
        settings.documents_partitions = N;
        settings.partitions = P;
        Some(Backend::create(Place::Kafka(settings), prefix, None))
    }

    /// Logs in which compaction comes soon: without lag, and on the broker with small segments.
    pub fn compacting(&self) -> Backend {
        let mut place = self.place.clone();
        let mut prefix = self.prefix.clone();
        match &mut place {
            Place::Sqlite(settings) => settings.compaction_lag = Duration::ZERO,
            Place::Kafka(settings) => {
                let eager = [("segment.ms", "100"), ("min.cleanable.dirty.ratio", "0.01"), ("file.delete.delay.ms", "100")];
                settings.topic_overrides.extend(eager.map(|(name, value)| (name.to_owned(), value.to_owned())));
                prefix.push_str("compacting.");
                settings.prefix.clone_from(&prefix);
            }
        }
        Backend::create(place, prefix, None)
    }

    fn create(place: Place, prefix: String, folder: Option<tempfile::TempDir>) -> Backend {
        let log = place.open();
        log.create().unwrap();
        Backend { log, place, prefix, _folder: folder }
    }

    /// An owner's name that no other test uses.
    pub fn owner(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// Commits records in one transaction.
    pub fn commit(&self, owner: &str, records: Vec<Append>) -> Vec<synthllm_log::Place> {
        let mut writer = self.log.writer(&self.owner(owner)).unwrap();
        let places = writer.append(records).unwrap();
        writer.commit().unwrap();
        places
    }

    /// Lets compaction do what it would do some time.
    pub fn compact(&self) {
        if let Place::Sqlite(settings) = &self.place {
            SqliteLog::open_with(settings.clone()).unwrap().compact().unwrap();
        } else {
            // The cleaner leaves the active segment alone: one more record, later than `segment.ms`, begins a new one.
            self.commit("compaction", vec![append(LogName::Texts, 0, "of no interest", Some("x"))]);
        }
    }

    /// Fetches what has been committed; asks again while the broker is still making it visible.
    pub fn fetch(&self, log: LogName, place: synthllm_log::Place, key: &str) -> Fetched {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let fetched = self.log.fetch(log, place.partition, place.offset, key.as_bytes()).unwrap();
            if fetched != Fetched::NotYet || Instant::now() > deadline {
                return fetched;
            }
        }
    }

    /// All committed records of one partition, and the position after them.
    pub fn read(&self, log: LogName, partition: u32) -> (Vec<Record>, u64) {
        let start = self.log.start(log, partition).unwrap();
        let mut records = Vec::new();
        let positions = read_to_end(&self.log, log, &[(partition, start)], |record| records.push(record), |_, _| {});
        (records, positions.unwrap()[0].1)
    }

    /// The values of [`Backend::read`] as texts.
    pub fn values(&self, log: LogName, partition: u32) -> Vec<String> {
        let text = |record: Record| String::from_utf8(record.value.expect("not a tombstone")).unwrap();
        self.read(log, partition).0.into_iter().map(text).collect()
    }
}

/// A record for a partition.
pub fn append(log: LogName, partition: u32, key: &str, value: Option<&str>) -> Append {
    Append {
        log,
        partition: Some(partition),
        key: Some(key.as_bytes().to_vec()),
        value: value.map(|value| value.as_bytes().to_vec()),
    }
}
