//! What a process costs, as Linux tells it.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// What a process cost.
pub struct Measured {
    /// From its start to its end.
    pub wall: Duration,
    /// Of all its threads, in user and system mode.
    pub cpu: Duration,
    /// The most memory that it had at once.
    pub peak_bytes: u64,
    /// The memory that it had at its end, or at rest.
    pub last_bytes: u64,
}

/// A process is at rest when it has used less than a twentieth of a core for so long.
const REST: Duration = Duration::from_secs(3);

/// Runs a program to its end, which must be success.
pub fn measure(command: &mut Command) -> Measured {
    measure_all(std::slice::from_mut(command)).remove(0)
}

/// Runs programs beside each other to their ends, which must be success.
pub fn measure_all(commands: &mut [Command]) -> Vec<Measured> {
    let started = Instant::now();
    let start = |command: &mut Command| command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let children: Vec<Child> = commands.iter_mut().map(|command| start(command).expect("the program starts")).collect();
    std::thread::scope(|scope| {
        let watched: Vec<_> = children.into_iter().map(|child| scope.spawn(move || watch(child, started))).collect();
        watched.into_iter().map(|thread| thread.join().expect("a program succeeds")).collect()
    })
}

/// Runs a program that does not end by itself until it is at rest, and then ends it.
pub fn measure_at_rest(command: &mut Command) -> Measured {
    let started = Instant::now();
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the program starts");
    let id = child.id().to_string();
    let (mut cpu, mut used) = (Duration::ZERO, REST);
    while used >= REST / 20 {
        std::thread::sleep(REST);
        let before = std::mem::replace(&mut cpu, cpu_time(&id));
        used = cpu.saturating_sub(before);
    }
    let (peak_bytes, last_bytes) = memory(child.id()).expect("a program that waits does not end");
    let wall = started.elapsed();
    child.kill().and_then(|()| child.wait()).expect("a child can be ended");
    Measured { wall, cpu, peak_bytes, last_bytes }
}

fn watch(mut child: Child, started: Instant) -> Measured {
    let (mut peak_bytes, mut last_bytes) = (0, 0);
    // A process that has ended and was not waited for still has its CPU time, but no memory.
    while let Some((peak, now)) = memory(child.id()) {
        (peak_bytes, last_bytes) = (peak, now);
        std::thread::sleep(Duration::from_millis(10));
    }
    let (wall, cpu) = (started.elapsed(), cpu_time(&child.id().to_string()));
    let status = child.wait().expect("a child can be waited for");
    assert!(status.success(), "the program ended with {status}");
    Measured { wall, cpu, peak_bytes, last_bytes }
}

/// The CPU time of a process, or of `self`, in the kernel's ticks of 10 ms.
pub fn cpu_time(process: &str) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).expect("Linux tells the CPU time of a process");
    let behind_name = stat.rsplit(')').next().unwrap_or("");
    let fields: Vec<u64> = behind_name.split_whitespace().map(|field| field.parse().unwrap_or(0)).collect();
    Duration::from_millis(10 * (fields[11] + fields[12]))
}

/// The most memory that a process had, and what it has now; none once it has ended.
fn memory(process: u32) -> Option<(u64, u64)> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let bytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().trim_end_matches(" kB").parse::<u64>().ok().map(|kibibytes| kibibytes << 10)
    };
    Some((bytes("VmHWM:")?, bytes("VmRSS:")?))
}
