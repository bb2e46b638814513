//! What a measurement costs: CPU time of the process, and its resident memory.

/// Clock ticks per second of `/proc/self/stat`, on every Linux that matters.
const TICKS: f64 = 100.0;

/// Runs a measurement of ours, and prints how many per CPU-second; returns that too.
pub fn report<T>(name: &str, count: usize, measured: impl FnOnce() -> T) -> (T, f64) {
    let (result, seconds) = measure(measured);
    (result, report_seconds(name, count, seconds, None))
}

/// Runs a measurement of another program, and prints how many times as fast we are, who did `ours` per CPU-second.
pub fn report_beside<T>(name: &str, count: usize, ours: f64, measured: impl FnOnce() -> T) -> T {
    let (result, seconds) = measure(measured);
    report_seconds(name, count, seconds, Some(ours));
    result
}

/// Prints a measurement, and returns how many per CPU-second.
pub fn report_seconds(name: &str, count: usize, seconds: f64, ours: Option<f64>) -> f64 {
    let rate = count as f64 / seconds;
    let ratio = ours.map_or(String::new(), |ours| format!("{:.2}", ours / rate));
    println!("  {name:<52} {count:>9} {seconds:>8.2} {rate:>14.0} {ratio:>11}");
    rate
}

/// Prints the head of the table.
pub fn report_head() {
    println!("{:<54} {:>9} {:>8} {:>14} {:>11}", "one worker, 8 shards", "count", "CPU s", "per CPU-second", "ours to it");
}

/// Prints a size.
pub fn report_bytes(name: &str, bytes: u64) {
    println!("  {name:<52} {bytes:>9} bytes");
}

fn measure<T>(measured: impl FnOnce() -> T) -> (T, f64) {
    let before = cpu_seconds();
    let result = measured();
    (result, (cpu_seconds() - before).max(1.0 / TICKS))
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
