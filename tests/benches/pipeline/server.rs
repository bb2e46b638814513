//! The scripted server in a process of its own, so that its CPU time is not counted. At its end it prints what it has seen.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use synthllm_testkit::scripted::{Options, ScriptedServer};

/// A server in another process. It ends when this goes.
pub struct Server {
    /// The endpoint to configure.
    pub endpoint: String,
    process: Child,
    output: BufReader<ChildStdout>,
}

/// What a server has seen.
pub struct Served {
    /// When each call arrived, in order.
    pub arrivals: Vec<Duration>,
    /// The mean length of a call's body.
    pub mean_bytes: usize,
    /// The most calls that were open at the same time.
    pub most_open: usize,
}

impl Server {
    /// Starts this program again as a server: one fixed answer, nothing parsed, with `fixed`, else sensible answers after so many
    /// milliseconds.
    pub fn start(mode: &str) -> Self {
        let program = std::env::current_exe().expect("a running program has a path");
        let process = Command::new(program).args(["serve", mode]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut process = process.expect("this program starts again");
        let mut output = BufReader::new(process.stdout.take().expect("the output is piped"));
        let mut line = String::new();
        output.read_line(&mut line).expect("the server prints its endpoint");
        Server { endpoint: line.trim().to_owned(), process, output }
    }

    /// Ends the server and returns what it has seen.
    pub fn stop(mut self) -> Served {
        drop(self.process.stdin.take());
        let mut numbers = String::new();
        self.output.read_to_string(&mut numbers).expect("the server prints what it has seen");
        let mut numbers = numbers.lines().map(|number| number.parse::<u64>().expect("the server prints numbers"));
        let mut next = || numbers.next().expect("the server prints all it has seen") as usize;
        let (mean_bytes, most_open) = (next(), next());
        Served { arrivals: numbers.map(Duration::from_micros).collect(), mean_bytes, most_open }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

/// Serves until the standard input ends.
pub fn serve(mode: &str) {
    let latency = Duration::from_millis(mode.parse().unwrap_or(0));
    let server = ScriptedServer::start(Options { instant: mode == "fixed", latency, ..Options::default() });
    println!("{}", server.endpoint());
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    let seen = server.seen();
    let bytes: usize = server.counts().values().map(|count| count.requests as usize * count.body.len()).sum();
    println!("{}\n{}", bytes / seen.len().max(1), server.most_open());
    seen.iter().for_each(|call| println!("{}", call.at.as_micros()));
}
