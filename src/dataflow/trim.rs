//! Removes records that nobody needs any more, on a thread of its own: a broker takes as long for it as for a transaction, and
//! nothing waits for it.
//!
//! Only marks whose commit was confirmed come here, so a trim is right whenever it happens, also by a process that was replaced.
//! One that fails is tried again with the next mark; it never ends a run.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use synthllm_log::{Log, LogName};

use crate::fault;

/// A partition is trimmed at most so often.
const INTERVAL: Duration = Duration::from_secs(1);

/// A failure is told at most so often.
const COMPLAINTS: Duration = Duration::from_secs(30);

type Marks = BTreeMap<(LogName, u32), u64>;

/// The trimmer of a process.
pub struct Trimmer(Mutex<Option<(Sender<(LogName, u32, u64)>, JoinHandle<()>)>>);

impl Trimmer {
    /// Starts the thread.
    pub fn start(log: Arc<dyn Log>) -> Self {
        let (sender, marks) = channel();
        let thread = std::thread::spawn(move || serve(&log, &marks));
        Trimmer(Mutex::new(Some((sender, thread))))
    }

    /// Nobody needs the records of a partition below this offset.
    pub fn below(&self, log: LogName, partition: u32, offset: u64) {
        if let Some((sender, _)) = &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            // The thread ends only after `finish`, and then nothing is trimmed any more.
            let _taken = sender.send((log, partition, offset)).is_ok();
        }
    }

    /// Carries out what was asked for, and ends.
    pub fn finish(&self) {
        let running = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((sender, thread)) = running {
            drop(sender);
            let _ended = thread.join().is_ok();
        }
    }
}

fn serve(log: &Arc<dyn Log>, marks: &Receiver<(LogName, u32, u64)>) {
    let (mut wanted, mut done) = (Marks::new(), Marks::new());
    let mut complained: Option<Instant> = None;
    let mut next = Instant::now();
    loop {
        let received = marks.recv_timeout(next.saturating_duration_since(Instant::now()).max(Duration::from_millis(1)));
        match received {
            Ok((log, partition, below)) => _ = wanted.insert((log, partition), below),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                next = Instant::now() + INTERVAL;
                if let Err(error) = trim_all(log, &mut wanted, &mut done)
                    && complained.is_none_or(|at| at.elapsed() >= COMPLAINTS)
                {
                    complained = Some(Instant::now());
                    crate::events::trim_failed(&error);
                }
                if received == Err(RecvTimeoutError::Disconnected) {
                    return;
                }
            }
        }
    }
}

/// Trims what is wanted and not done; what fails stays wanted. The first error is returned.
fn trim_all(log: &Arc<dyn Log>, wanted: &mut Marks, done: &mut Marks) -> Result<(), synthllm_log::LogError> {
    let mut outcome = Ok(());
    wanted.retain(|&(name, partition), &mut below| {
        if done.get(&(name, partition)).is_some_and(|done| *done >= below) {
            return false;
        }
        match log.trim(name, partition, below) {
            Ok(()) => {
                done.insert((name, partition), below);
                fault::point("trimmed");
                false
            }
            Err(error) => {
                if outcome.is_ok() {
                    outcome = Err(error);
                }
                true
            }
        }
    });
    outcome
}
