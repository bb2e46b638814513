//! Reads records of the logs by pointer.

use std::time::Duration;

use anyhow::Result;
use synthllm_log::{Fetched, LogName, Pointer};

use super::Context;

/// How long to wait before pointers beyond the last stable offset are read again.
const AGAIN: Duration = Duration::from_millis(20);

/// The values at the pointers; waits while one lies beyond the last stable offset, which is never taken for gone. Nothing when
/// the run stops meanwhile.
pub fn read(context: &Context, log: LogName, pointers: &[Pointer]) -> Result<Option<Vec<Option<Vec<u8>>>>> {
    loop {
        let fetched = context.log.fetch_many(log, pointers)?;
        if !fetched.contains(&Fetched::NotYet) {
            let value = |fetched| if let Fetched::Found(value) = fetched { value } else { None };
            return Ok(Some(fetched.into_iter().map(value).collect()));
        }
        if context.stopping() {
            return Ok(None);
        }
        std::thread::sleep(AGAIN);
    }
}
