//! `synthllm`: a dataflow stream processor that turns a stream of documents into a stream of grounded question-answer samples.
//!
//! Everything here touches the world (logs, the model, the clock, files); what can be pure lives in `synthllm_operators`, `synthllm_scaling` and `synthllm_screening`.
//! Direction, never upwards: `cli` -> `commands` -> `run` -> {`dataflow`, `cluster`} -> {log, llm} -> operators.

pub mod benchmarks;
pub mod cli;
pub mod cluster;
pub mod commands;
pub mod config;
pub mod dataflow;
pub mod events;
pub mod fault;
pub mod hint;
pub mod logs;
pub mod run;
pub mod status_line;
pub mod terminal;
