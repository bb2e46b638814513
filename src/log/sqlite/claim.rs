//! The right to `run` on a file: a lock of the operating system, which a dead process loses by itself.

use std::fs::{File, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::{LogError, Result, RunClaim};

/// Holds the lock as long as the file is open.
struct Claim {
    _locked: File,
}

impl RunClaim for Claim {}

/// Locks `<file>.lock`, or says who holds it.
pub(super) fn claim(file: &Path) -> Result<Box<dyn RunClaim>> {
    let path = lock_path(file);
    let locked = File::options().create(true).truncate(false).read(true).write(true).open(&path).map_err(failed(&path))?;
    match locked.try_lock() {
        Ok(()) => sign(locked).map_err(failed(&path)),
        Err(TryLockError::WouldBlock) => Err(LogError::Held { holder: holder(&path) }),
        Err(TryLockError::Error(error)) => Err(failed(&path)(error)),
    }
}

/// Puts a locked file of our own in the place of the former holder's, who keeps its lock on a file without a name.
pub(super) fn take_over(file: &Path) -> Result<Box<dyn RunClaim>> {
    let path = lock_path(file);
    let own = path.with_extension(format!("lock.{}", std::process::id()));
    let locked = File::create(&own).map_err(failed(&own))?;
    locked.try_lock().map_err(|error| failed(&own)(error.into()))?;
    let claim = sign(locked).map_err(failed(&own))?;
    std::fs::rename(&own, &path).map_err(failed(&path))?;
    Ok(claim)
}

fn sign(mut locked: File) -> std::io::Result<Box<dyn RunClaim>> {
    locked.set_len(0)?;
    write!(locked, "process {} on {}", std::process::id(), host())?;
    locked.flush()?;
    Ok(Box::new(Claim { _locked: locked }))
}

fn holder(path: &Path) -> String {
    match std::fs::read_to_string(path) {
        Ok(holder) if !holder.is_empty() => holder,
        _ => "another process".to_owned(),
    }
}

fn host() -> String {
    let named = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    if named.trim().is_empty() { "this machine".to_owned() } else { named.trim().to_owned() }
}

fn lock_path(file: &Path) -> PathBuf {
    let mut path = file.as_os_str().to_owned();
    path.push(".lock");
    path.into()
}

fn failed(path: &Path) -> impl Fn(std::io::Error) -> LogError {
    let path = path.display().to_string();
    move |error| LogError::Disk { path: path.clone(), reason: error.to_string() }
}
