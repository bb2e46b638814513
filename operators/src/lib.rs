//! The pure part of synthllm: the records, their ids, the random draws, and the dataflow operators with their laws.
//!
//! Nothing here does I/O, reads a clock or an environment variable, or draws an unseeded random number. What touches the
//! world lies in `src/` of the `synthllm` crate and calls this one.

pub mod codec;
pub mod id;
pub mod normal;
pub mod record;
