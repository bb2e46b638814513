//! A process of its own that a test can kill: this executable again, with the one "test" that does what it is told.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, Stdio};

use crate::backends::{N, P, Place};
use synthllm_log::kafka::KafkaSettings;
use synthllm_log::sqlite::SqliteSettings;

const VARIABLE: &str = "SYNTHLLM_LOG_TEST_CHILD";

/// A child under way; killed (as by `kill -9`) when dropped.
pub struct Running {
    pub child: Child,
    output: BufReader<ChildStdout>,
}

impl Running {
    /// Starts a child that runs the named job on the logs.
    pub fn start(job: &str, place: &Place, owner: &str) -> Running {
        Running::spawn(Command::new(std::env::current_exe().unwrap()), job, place, owner)
    }

    /// As [`Running::start`], in a process whose files can't grow beyond `kilobytes`.
    pub fn start_limited(job: &str, place: &Place, owner: &str, kilobytes: u64) -> Running {
        let mut shell = Command::new("bash");
        let limit = format!("trap '' XFSZ; ulimit -f {kilobytes}; exec \"$@\"");
        shell.args(["-c", &limit, "bash"]).arg(std::env::current_exe().unwrap());
        Running::spawn(shell, job, place, owner)
    }

    fn spawn(mut command: Command, job: &str, place: &Place, owner: &str) -> Running {
        let words = match place {
            Place::Sqlite(settings) => format!("{job}\nsqlite\n{owner}\n{}\n", settings.path.display()),
            Place::Kafka(settings) => format!("{job}\nkafka\n{owner}\n{}\n{}", settings.brokers, settings.prefix),
        };
        let mut child = command
            .args(["--exact", "child::a_child_does_what_it_is_told", "--nocapture"])
            .env(VARIABLE, words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Running { child, output }
    }

    /// Waits until the child has said the word, and returns what it said after it on the line.
    pub fn expect(&mut self, word: &str) -> String {
        let mut line = String::new();
        loop {
            line.clear();
            assert_ne!(self.output.read_line(&mut line).unwrap(), 0, "the child ended before it said {word:?}");
            if let Some((_, rest)) = line.split_once(&format!("child: {word}")) {
                return rest.trim().to_owned();
            }
        }
    }

    /// `kill -9`; returns what it had said and nobody had read.
    pub fn kill(mut self) -> Vec<String> {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let unread = std::io::Read::bytes(&mut self.output).map(Result::unwrap).collect::<Vec<u8>>();
        String::from_utf8_lossy(&unread).lines().map(str::to_owned).collect()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have been killed and waited for already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Says something to the test that started this child.
pub fn say(words: &str) {
    println!("\nchild: {words}");
    std::io::stdout().flush().unwrap();
}

/// In the child this is the program; as a test it shows that a child starts, talks and is killed.
#[test]
fn a_child_does_what_it_is_told() {
    let Ok(words) = std::env::var(VARIABLE) else {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::Sqlite(SqliteSettings::new(&folder.path().join("none.db"), 1, 1));
        let mut running = Running::start("idle", &place, "nobody");
        running.expect("ready");
        running.kill();
        return;
    };
    let words: Vec<&str> = words.lines().collect();
    let place = if words[1] == "sqlite" {
        Place::Sqlite(SqliteSettings::new(words[3].as_ref(), N, P))
    } else {
        let mut settings = KafkaSettings::new(words[3], words.get(4).unwrap_or(&""));
        (settings.documents_partitions, settings.partitions) = (N, P);
        Place::Kafka(settings)
    };
    let owner = words[2];
    match words[0] {
        "hold a transaction open" => crate::cases::hold_a_transaction_open(&place.open(), owner),
        "commit for ever" => crate::sqlite::commit_for_ever(&place.open(), owner),
        "hold the run" => crate::sqlite::hold_the_run(&place.open(), owner),
        "fill the disk" => crate::sqlite::fill_the_disk(&place.open(), owner),
        _ => say("ready"),
    }
    wait_for_the_parent();
}

/// Returns when the parent has closed its end, or died.
pub fn wait_for_the_parent() {
    drop(std::io::stdin().read_line(&mut String::new()));
}
