//! Opens the logs that the configuration names.

use std::sync::Arc;

use crate::kafka::{KafkaLog, KafkaSettings};
use crate::sqlite::{SqliteLog, SqliteSettings};
use crate::{Log, Result};

/// Where the logs are.
#[derive(Clone, Debug)]
pub enum LogSettings {
    /// In one file.
    Sqlite(SqliteSettings),
    /// On a Kafka cluster.
    Kafka(KafkaSettings),
}

/// Opens the logs; creates none (see [`Log::create`] and [`Log::verify`]).
pub fn open(settings: &LogSettings) -> Result<Arc<dyn Log>> {
    Ok(match settings {
        LogSettings::Sqlite(settings) => SqliteLog::open_with(settings.clone())?,
        LogSettings::Kafka(settings) => KafkaLog::new(settings.clone())?,
    })
}
