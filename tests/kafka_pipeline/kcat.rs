//! `kcat`, the independent client: it reads what is committed, and writes documents as anyone may.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::{Command, Output, Stdio};

/// A record as `kcat` sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    pub partition: u32,
    pub offset: u64,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
}

impl Record {
    /// The key of a log whose keys are text.
    pub fn key_text(&self) -> String {
        String::from_utf8(self.key.clone().expect("our records have keys")).unwrap()
    }
}

/// Whether `kcat` is here; says so when it isn't.
pub fn is_here() -> bool {
    let here = Command::new("kcat").arg("-V").output().is_ok_and(|output| output.status.success());
    if !here {
        synthllm_testkit::skip("kcat is missing; install it with: sudo apt-get install kcat");
    }
    here
}

/// `kcat` on the topics of one prefix.
#[derive(Clone)]
pub struct Kcat {
    pub brokers: String,
    pub prefix: String,
}

impl Kcat {
    fn topic(&self, log: &str) -> String {
        format!("{}{log}", self.prefix)
    }

    fn command(&self, mode: &str, log: &str) -> Command {
        let mut command = Command::new("kcat");
        // A minute for the broker's first answer, and on with it when a connection is lost (-E): a busy machine is no reason
        // to fail.
        command.args(["-q", "-E", "-m", "60", "-b", &self.brokers, mode, "-t", &self.topic(log)]);
        command
    }

    /// Everything that is committed in a log, in the order of each partition.
    pub fn read(&self, log: &str) -> Vec<Record> {
        let mut command = self.command("-C", log);
        // Key and value may hold any bytes, so their lengths stand in front.
        command.args(["-o", "beginning", "-e", "-X", "isolation.level=read_committed", "-f", "%p %o %K %S\\n%k%s"]);
        let mut records = parse(&succeeded(command.output().unwrap()).stdout);
        records.sort_by_key(|record| (record.partition, record.offset));
        records
    }

    /// Whether no transaction is open in a log: its last committed record is its last one.
    pub fn is_decided(&self, log: &str) -> bool {
        self.ends(log, "read_committed") == self.ends(log, "read_uncommitted")
    }

    /// Where a reader of that isolation comes to the end of each partition, as `kcat` says it.
    fn ends(&self, log: &str, isolation: &str) -> BTreeSet<String> {
        let mut command = self.command("-C", log);
        command.args(["-o", "beginning", "-e", "-f", "", "-X", &format!("isolation.level={isolation}")]);
        // Quiet, it would not say where the ends are.
        let arguments: Vec<_> = command.get_args().filter(|argument| *argument != "-q").map(ToOwned::to_owned).collect();
        let said = succeeded(Command::new("kcat").args(arguments).output().unwrap()).stderr;
        let said = String::from_utf8_lossy(&said).into_owned();
        said.lines().filter(|line| line.contains("Reached end of topic")).map(end_of).collect()
    }

    /// The values of the keys that are live: the last one of each, tombstones removed.
    pub fn live(&self, log: &str) -> BTreeMap<String, Vec<u8>> {
        let mut live = BTreeMap::new();
        for record in self.read(log) {
            let key = record.key_text();
            match record.value {
                Some(value) => live.insert(key, value),
                None => live.remove(&key),
            };
        }
        live
    }

    /// Appends a record where a Java producer would; no value makes a tombstone.
    pub fn produce(&self, log: &str, key: &str, value: Option<&[u8]>) {
        let mut command = self.command("-P", log);
        // A line is key, tab, value; nothing behind the tab becomes a null value (-Z).
        command.args(["-K", "\\t", "-Z", "-X", "partitioner=murmur2_random"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        input.write_all(&[key.as_bytes(), b"\t", value.unwrap_or_default(), b"\n"].concat()).unwrap();
        drop(input);
        succeeded(child.wait_with_output().unwrap());
    }
}

/// Partition and offset in `% Reached end of topic T [0] at offset 7: exiting`.
fn end_of(line: &str) -> String {
    let place = line.split('[').nth(1).unwrap_or_else(|| panic!("kcat wrote {line:?}"));
    place.split(':').next().unwrap_or_default().to_owned()
}

fn succeeded(output: Output) -> Output {
    assert!(output.status.success(), "kcat failed: {}", String::from_utf8_lossy(&output.stderr));
    output
}

fn parse(mut bytes: &[u8]) -> Vec<Record> {
    let mut records = Vec::new();
    while !bytes.is_empty() {
        let end = bytes.iter().position(|byte| *byte == b'\n').expect("a line stands before each record");
        let line = std::str::from_utf8(&bytes[..end]).unwrap();
        let numbers: Vec<i64> = line.split(' ').map(|number| number.parse().unwrap()).collect();
        let [partition, offset, key, value] = numbers[..] else { panic!("kcat wrote {line:?}") };
        bytes = &bytes[end + 1..];
        records.push(Record {
            partition: partition as u32,
            offset: offset as u64,
            key: take(&mut bytes, key),
            value: take(&mut bytes, value),
        });
    }
    records
}

/// So many bytes; a negative length means null.
fn take(bytes: &mut &[u8], length: i64) -> Option<Vec<u8>> {
    let (taken, rest) = bytes.split_at(usize::try_from(length).ok()?);
    *bytes = rest;
    Some(taken.to_vec())
}
