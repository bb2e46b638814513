//! What a measurement costs: CPU time of the process, and its resident memory.

/// Clock ticks per second of `/proc/self/stat`, on every Linux that matters.
const TICKS: f64 = 100.0;

/// Runs the measurement, and prints how many per CPU-second.
pub fn report<T>(name: &str, count: usize, measured: impl FnOnce() -> T) -> T {
    let before = cpu_seconds();
    let result = measured();
    let seconds = (cpu_seconds() - before).max(1.0 / TICKS);
    println!("  {name:<56} {count:>11} {seconds:>9.2} {:>14.0}", count as f64 / seconds);
    result
}

/// Prints a size.
pub fn report_bytes(name: &str, bytes: u64) {
    println!("  {name:<56} {bytes:>11} bytes");
}

fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("/proc is mounted");
    // The name of the program may hold blanks; what follows it does not.
    let fields: Vec<&str> = stat[stat.rfind(')').expect("the name is in parentheses")..].split_whitespace().collect();
    let ticks = |field: usize| fields[field].parse::<f64>().expect("times are numbers");
    (ticks(12) + ticks(13)) / TICKS
}

/// Resident memory of the process.
pub fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("/proc is mounted");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("the status tells the resident size");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("the size is a number") * 1_024
}
