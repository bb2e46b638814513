//! What the tests of synthllm stand on: a real broker, a real model server, a scripted model server,
//! projects of a user with their logs, and a judge of the commit protocol.

pub mod corpus;
pub mod counts;
pub mod judge;
pub mod kafka;
pub mod model;
pub mod packages;
pub mod project;
pub mod proxy;
pub mod records;
pub mod screening;
pub mod scripted;
pub mod skip;

pub use skip::{data_dir, skip};
