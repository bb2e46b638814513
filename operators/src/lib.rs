//! The pure part of synthllm: the records, their ids, the random draws, and the dataflow operators with their laws.
//!
//! Nothing here does I/O, reads a clock or an environment variable, or draws an unseeded random number. What touches the
//! world lies in `src/` of the `synthllm` crate and calls this one.

pub mod aliases;
pub mod answers;
pub mod ask;
pub mod budget;
pub mod codec;
pub mod decode;
pub mod decontaminate;
pub mod draw;
pub mod edges;
pub mod final_answer;
pub mod graph;
pub mod graph_updates;
pub mod holders;
pub mod id;
pub mod index;
pub mod journal;
pub mod judgement;
pub mod ledger;
pub mod limit;
pub mod live;
pub mod matching;
pub mod merge;
pub mod near;
pub mod normal;
pub mod passes;
pub mod provenance;
pub mod reconcile;
pub mod record;
pub mod revise;
pub mod schedule;
pub mod screen;
pub mod screening_answers;
pub mod settle;
pub mod settlement;
pub mod shingle;
pub mod stats;
pub mod subsets;
pub mod target;
pub mod text_checks;
pub mod upsert;
pub mod walk;
