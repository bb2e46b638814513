//! The real binary as a process that is waited for, signalled and killed.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

/// Nothing here takes longer, also where two cores are shared by many.
pub const DEADLINE: Duration = Duration::from_secs(120);

/// A process of ours; it dies with its test.
pub struct Running {
    child: Child,
    said: PathBuf,
}

impl Running {
    /// Starts a command; what it says on standard error goes to a file.
    pub fn start(command: &mut Command, said: &Path) -> Running {
        let child = command.stderr(File::create(said).unwrap()).spawn().unwrap();
        Running { child, said: said.to_owned() }
    }

    /// What it has said so far.
    pub fn said(&self) -> String {
        read(&self.said)
    }

    /// Its exit status, if it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Waits while it runs, until there is an answer.
    pub fn until<T>(&mut self, what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
        let said = self.said.clone();
        let ask = || {
            if let Some(status) = self.ended() {
                panic!("{status} before {what}: {}", read(&said));
            }
            ask()
        };
        eventually(what, ask, || read(&said))
    }

    /// Waits until it has said these words.
    pub fn until_said(&mut self, words: &str) {
        let said = self.said.clone();
        self.until(words, || read(&said).contains(words).then_some(()));
    }

    /// Waits until `done`, or until it has ended.
    pub fn wait_for(&mut self, done: impl Fn() -> bool) {
        let said = self.said.clone();
        eventually("the moment comes", || (done() || self.ended().is_some()).then_some(()), || read(&said));
    }

    /// Waits until it ends by itself.
    pub fn wait(&mut self) -> ExitStatus {
        let said = self.said.clone();
        eventually("the process ends", || self.ended(), || read(&said))
    }

    /// Waits until it has ended well.
    pub fn succeeds(mut self) -> String {
        let status = self.wait();
        assert!(status.success(), "{status}: {}", self.said());
        self.said()
    }

    /// Sends a signal by its name.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status().unwrap();
        assert!(status.success(), "can't send {name}");
    }

    /// `kill -9`, and waits.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn read(said: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(said).unwrap()).into_owned()
}

/// Asks again until there is an answer, and gives up with `why` after the deadline.
pub fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>, why: impl FnOnce() -> String) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "waited in vain until {what}: {}", why());
        // Not for its length: the question is asked again until the deadline.
        std::thread::sleep(Duration::from_millis(20));
    }
}
