//! The whole pipeline on a real Apache Kafka broker: the real binary, a scripted model server, and `kcat` as the judge, a
//! `read_committed` reader that is none of our code.
//!
//! All tests share one broker; each has topics and owners of its own.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod cluster;
mod compaction;
mod continuous;
mod drain;
mod graph_updates;
mod kcat;
mod kills;
mod project;
mod reconcile;
mod running;
mod screening;
mod stalls;
mod target;
mod verdict;
mod zombie;
