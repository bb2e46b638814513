//! A real Apache Kafka broker for the tests of one process, run by `kafka/kafka.sh`.
//!
//! The broker lives as long as its [`Broker`], or as the process: the script watches its standard input and removes the
//! broker when that closes, so that not even `kill -9` of the tests leaves one behind. Its log is kept when a test panics.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::proxy::Proxy;

/// What is added to the base of the ports for the listeners that stand behind proxies, and for the proxies.
const PROXIED: u32 = 200;
const PROXIES: u32 = 300;

/// A running cluster of one or more nodes.
#[derive(Debug)]
pub struct Broker {
    directory: PathBuf,
    bootstrap: String,
    base: u32,
    nodes: u32,
    server: Child,
    watched: Option<ChildStdin>,
}

impl Broker {
    /// Starts one node. `None`, with a message, when the broker can't be had here; where `CI=true` that is a panic.
    pub fn start() -> Option<Broker> {
        Broker::start_nodes(1)
    }

    /// Starts a cluster; three nodes and more replicate three times and need two replicas in sync.
    ///
    /// # Panics
    /// When the broker is there but doesn't start.
    pub fn start_nodes(nodes: u32) -> Option<Broker> {
        Broker::start_with(nodes, false)
    }

    /// The same with a proxy before each node, in their order. Who connects by [`Broker::proxied`] stays behind them; the
    /// nodes among themselves, and who connects by [`Broker::bootstrap`], don't.
    ///
    /// # Panics
    /// As above.
    pub fn start_behind_proxies(nodes: u32) -> Option<(Broker, Vec<Proxy>)> {
        let broker = Broker::start_with(nodes, true)?;
        let loopback = |port: u32| SocketAddr::from((Ipv4Addr::LOCALHOST, port as u16));
        let proxy = |node| Proxy::start((broker.base + PROXIES + node) as u16, loopback(broker.base + PROXIED + node));
        let proxies = (1..=nodes).map(proxy).collect();
        Some((broker, proxies))
    }

    fn start_with(nodes: u32, proxied: bool) -> Option<Broker> {
        fetch().map_err(|reason| crate::skip(&format!("Kafka tests: {reason}"))).ok()?;
        let base = free_base_port(nodes);
        let directory = scratch().join(format!("synthllm-kafka-{}-{}", std::process::id(), unique()));
        let mut command = script();
        if proxied {
            command.env("ADV_PORT_BASE", (base + PROXIES).to_string());
        }
        let mut server = command
            .args(["serve", &directory.to_string_lossy(), &nodes.to_string()])
            .env("BASE_PORT", base.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("bash runs the script");
        let watched = server.stdin.take();
        let mut bootstrap = String::new();
        let answer = server.stdout.take().expect("the output is piped");
        BufReader::new(answer).read_line(&mut bootstrap).expect("the script answers in UTF-8");
        assert!(!bootstrap.is_empty(), "the Kafka broker did not start; the reason stands above");
        keep_logs_on_panic(&directory);
        Some(Broker { directory, bootstrap: bootstrap.trim().to_owned(), base, nodes, server, watched })
    }

    /// The one broker that all tests of this process share; each test takes names of its own with [`unique_prefix`].
    pub fn shared() -> Option<&'static Broker> {
        static SHARED: OnceLock<Option<Broker>> = OnceLock::new();
        SHARED.get_or_init(Broker::start).as_ref()
    }

    /// `bootstrap.servers`.
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// `bootstrap.servers` behind the proxies.
    pub fn proxied(&self) -> String {
        let nodes: Vec<String> = (1..=self.nodes).map(|node| format!("127.0.0.1:{}", self.base + PROXIES + node)).collect();
        nodes.join(",")
    }

    /// Where the nodes' logs and data lie.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Sends a signal (`KILL`, `TERM`, `STOP`, `CONT`) to a node, counted from 1.
    pub fn kill(&self, node: u32, signal: &str) {
        run(&["kill", &self.directory.to_string_lossy(), &node.to_string(), signal]);
    }

    /// Starts a killed node again, with its data, and waits until it answers.
    pub fn up(&self, node: u32) {
        self.run("up", node);
    }

    /// A node can't write any more, as on a full disk; returns when it has ended by itself. [`Broker::up`] starts it with room again.
    pub fn fill(&self, node: u32) {
        self.run("fill", node);
    }

    /// Kills a node and removes its data.
    pub fn lose(&self, node: u32) {
        self.run("lose", node);
    }

    /// Starts an empty node in the place of a lost one.
    pub fn replace(&self, node: u32) {
        self.run("replace", node);
    }

    fn run(&self, command: &str, node: u32) {
        run(&[command, &self.directory.to_string_lossy(), &node.to_string()]);
    }
}

fn run(arguments: &[&str]) {
    let status = script().args(arguments).status().expect("bash runs the script");
    assert!(status.success(), "kafka.sh {} failed", arguments.join(" "));
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.watched.take();
        if let Err(error) = self.server.wait() {
            eprintln!("the Kafka broker in {} can't be waited for: {error}", self.directory.display());
        }
    }
}

/// A prefix for topic names and owners that no other test of any process uses.
pub fn unique_prefix(test: &str) -> String {
    format!("{test}-{}-{}.", std::process::id(), unique())
}

fn unique() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

fn script() -> Command {
    let mut command = Command::new("bash");
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/kafka/kafka.sh"));
    command
}

/// Makes the broker's files ready; the error is the script's last word.
fn fetch() -> Result<(), String> {
    let output = script().arg("fetch").output().map_err(|error| format!("bash doesn't run: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(said.lines().last().unwrap_or("kafka.sh failed").to_owned()) }
}

/// A base below the range from which the system gives ports to clients, with all ports of the nodes free.
fn free_base_port(nodes: u32) -> u32 {
    let first = 12_000 + std::process::id() % 45 * 400;
    let free = |port: u32| u16::try_from(port).is_ok_and(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok());
    (0..100)
        .map(|step| 10_000 + (first - 10_000 + step * 400 + unique() * 10) % 20_000)
        .find(|base| (1..=nodes).all(|node| [0, 100, PROXIED, PROXIES].iter().all(|more| free(base + more + node))))
        .expect("some of a hundred ranges of ports is free")
}

/// A panic of any test leaves a file that tells the script to keep the nodes' logs.
fn keep_logs_on_panic(directory: &Path) {
    let keep = directory.join("keep");
    let former = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        former(panic);
        // The folder is gone when the panic comes after the broker's end; then there is nothing to keep.
        if std::fs::write(&keep, "").is_ok() {
            eprintln!("the Kafka broker's log is kept in {}", keep.parent().unwrap_or(&keep).display());
        }
    }));
}

/// Memory for the brokers' data, where there is enough: a broker waits for the disk at every change of a topic, and a disk that
/// is busy with a build keeps it waiting for half a minute. What these tests kill are processes, whose writes the system keeps.
fn scratch() -> PathBuf {
    const ENOUGH_KIB: u64 = 2 << 20;
    let memory = Path::new("/dev/shm");
    let free = Command::new("df").args(["--output=avail", "-k"]).arg(memory).output();
    let free = free.ok().and_then(|free| String::from_utf8(free.stdout).ok());
    let free = free.and_then(|free| free.lines().last().and_then(|line| line.trim().parse::<u64>().ok()));
    if free.is_some_and(|free| free >= ENOUGH_KIB) { memory.to_owned() } else { std::env::temp_dir() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_survives_its_kill_and_ends_with_its_owner() {
        let Some(broker) = Broker::start() else { return };
        broker.kill(1, "KILL");
        broker.up(1);
        broker.fill(1);
        broker.up(1);
        broker.lose(1);
        broker.replace(1);
        let directory = broker.directory().to_owned();
        drop(broker);
        assert!(!directory.exists(), "{} is left", directory.display());
    }
}
