//! What the tests of synthllm stand on: a real broker, a real model server, a scripted model server.

pub mod kafka;
pub mod model;
pub mod scripted;
pub mod skip;

pub use skip::{data_dir, skip};
