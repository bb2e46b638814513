//! The processes of one start, each link between two of them behind a proxy of its own.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use synthllm_testkit::proxy::{Link, Proxy};

use crate::project::Project;
use crate::running::Running;
use crate::schedule::Layout;

/// Whoever is still there after so long stalls.
const STALLED: Duration = Duration::from_secs(180);

/// Whoever still waits for a process so long after it ended never met it.
const UNMET: Duration = Duration::from_secs(10);

/// The processes of one start.
pub struct Fleet {
    pub runs: Vec<Running>,
    /// From the process that dials to the one with the smaller number.
    links: BTreeMap<(usize, usize), Proxy>,
    processes: usize,
}

impl Fleet {
    /// Starts all processes. With `end_at`, one of them ends at a named point.
    pub fn start(project: &Project, layout: Layout, drain: bool, end_at: Option<(usize, String)>) -> Fleet {
        let addresses = free_addresses(layout.processes);
        let mut links = BTreeMap::new();
        let mut runs = Vec::new();
        for process in 0..layout.processes {
            let hosts = hosts(&addresses, process, &mut links);
            let file = format!("hosts-{process}");
            std::fs::write(project.path(&file), hosts).unwrap();
            let (count, number, workers) = (layout.processes.to_string(), process.to_string(), layout.workers.to_string());
            let mut arguments = vec!["run", "-w", &workers];
            if layout.processes > 1 {
                arguments.extend(["-n", &count, "-p", &number, "--hosts", &file]);
            }
            if drain {
                arguments.push("--drain");
            }
            let mut command = project.command(&arguments);
            if let Some((victim, point)) = &end_at
                && victim % layout.processes == process
            {
                command.env("SYNTHLLM_FAULT", point);
            }
            runs.push(project.start_with(&mut command));
        }
        Fleet { runs, links, processes: layout.processes }
    }

    /// Processes of earlier starts.
    pub fn of(runs: Vec<Running>) -> Fleet {
        Fleet { processes: runs.len(), runs, links: BTreeMap::new() }
    }

    /// Waits until `done`, for so long at most, or until all have ended.
    pub fn wait_until(&mut self, length: Duration, done: impl Fn() -> bool) {
        until(length, || done() || self.all_ended());
    }

    /// Waits until all have ended; who has not after a long time is named with what it said. A process that ended before the
    /// others met it is one that they wait for: a supervisor would start it again, here they are told to stop.
    pub fn wait(&mut self) -> Result<Vec<ExitStatus>, String> {
        let deadline = Instant::now() + STALLED;
        self.wait_until(UNMET, || false);
        while Instant::now() < deadline && !self.all_ended() {
            self.wait_until(Duration::from_secs(1), || false);
            self.stop_those_that_wait();
        }
        let ended: Vec<Option<ExitStatus>> = self.runs.iter_mut().map(Running::ended).collect();
        let stalled = ended.iter().position(Option::is_none);
        stalled.map_or_else(
            || Ok(ended.into_iter().flatten().collect()),
            |process| {
                let said: Vec<String> = self.runs.iter().map(Running::said).collect();
                Err(format!("process {process} stalls; what each said:\n{}", said.join("\n---\n")))
            },
        )
    }

    fn stop_those_that_wait(&mut self) {
        let ended = self.processes - self.runs.len() + self.runs.iter_mut().filter_map(Running::ended).count();
        if ended == 0 {
            return;
        }
        for run in &mut self.runs {
            let said = run.said();
            let waits = said.lines().last().is_some_and(|last| last.contains("waiting for process"));
            if waits && run.ended().is_none() {
                run.signal("TERM");
            }
        }
    }

    /// Tells all that run to stop.
    pub fn stop(&mut self) {
        for run in &mut self.runs {
            if run.ended().is_none() {
                run.signal("TERM");
            }
        }
    }

    /// Whether nobody runs.
    pub fn all_ended(&mut self) -> bool {
        self.runs.iter_mut().all(|run| run.ended().is_some())
    }

    /// Changes the link between two processes, if both are there.
    pub fn set_link(&self, from: usize, to: usize, link: Link) {
        if let Some(proxy) = self.links.get(&(from, to)) {
            proxy.set(link);
        }
    }
}

/// Waits until `done`, for so long at most; whether it is.
pub fn until(length: Duration, mut done: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + length;
    loop {
        if done() {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        // Not for its length: the question is asked again until the deadline.
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Addresses that nobody listens at.
fn free_addresses(count: usize) -> Vec<SocketAddr> {
    let listeners: Vec<TcpListener> = (0..count).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    listeners.iter().map(|listener| listener.local_addr().unwrap()).collect()
}

/// The hosts file of one process: its own address, and proxies for those that it dials.
fn hosts(addresses: &[SocketAddr], process: usize, links: &mut BTreeMap<(usize, usize), Proxy>) -> String {
    let mut address_of = |(other, address): (usize, &SocketAddr)| {
        if other >= process {
            return format!("{address}\n");
        }
        let link = links.entry((process, other)).or_insert_with(|| Proxy::start(0, *address));
        format!("{}\n", link.address())
    };
    addresses.iter().enumerate().map(&mut address_of).collect()
}
