//! Calls per second of CPU time: the pool against a bare loop with the same HTTP client, on an instant server in another process.
//!
//! `cargo bench -p synthllm-llm --bench calls [-- CALLS]`

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use synthllm_llm::{Pool, Priority, Request, Task, TaskSettings};
use synthllm_testkit::scripted::{Options, ScriptedServer};

const IN_FLIGHT: usize = 64;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "serve") {
        return serve();
    }
    let calls = arguments.iter().find_map(|argument| argument.parse().ok()).unwrap_or(50_000);
    let (mut server, endpoint) = start_server();
    let settings = TaskSettings { max_in_flight: IN_FLIGHT, ..TaskSettings::new(&endpoint, "scripted") };
    let request = Request::new(Task::Answer, "You answer.", "word ".repeat(400), None);
    let bare = per_cpu_second(calls, || bare_loop(calls, &settings, &request));
    let pool = per_cpu_second(calls, || pool_loop(calls, &settings, &request));
    println!("calls per CPU-second, {IN_FLIGHT} in flight: bare loop {bare:.0}, pool {pool:.0}, ratio {:.2}", pool / bare);
    drop(server.stdin.take());
    let _ = server.wait();
    println!("share of the ideal with 1 s latency and 256 in flight: {:.3}", share_of_ideal(&request));
}

/// The shortest possible time of eight rounds of slow calls, over the time they took.
fn share_of_ideal(request: &Request) -> f64 {
    let (rounds, in_flight, latency) = (8, 256, Duration::from_secs(1));
    let server = ScriptedServer::start(Options { latency, ..Options::default() });
    let settings = TaskSettings { max_in_flight: in_flight, ..TaskSettings::new(&server.endpoint(), "scripted") };
    let started = Instant::now();
    pool_loop(rounds * in_flight, &settings, request);
    (latency * rounds as u32).as_secs_f64() / started.elapsed().as_secs_f64()
}

fn serve() {
    let server = ScriptedServer::start(Options { instant: true, ..Options::default() });
    println!("{}", server.endpoint());
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}

fn start_server() -> (Child, String) {
    let program = std::env::current_exe().expect("a running program has a path");
    let child = Command::new(program).arg("serve").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut child = child.expect("this program starts again");
    let mut line = String::new();
    let output = child.stdout.take().expect("the output is piped");
    BufReader::new(output).read_line(&mut line).expect("the server prints its endpoint");
    (child, line.trim().to_owned())
}

/// What an HTTP client costs by itself: the same body, the same number in flight, the answer read and thrown away.
fn bare_loop(calls: usize, settings: &TaskSettings, request: &Request) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime of one thread starts");
    let client =
        reqwest::Client::builder().no_proxy().pool_max_idle_per_host(IN_FLIGHT).build().expect("a plain client is built");
    let (url, body) = (format!("{}/chat/completions", settings.endpoint), request.body(settings));
    let left = Arc::new(AtomicUsize::new(calls));
    runtime.block_on(async {
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..IN_FLIGHT {
            let (client, url, body, left) = (client.clone(), url.clone(), body.clone(), left.clone());
            tasks.spawn(async move {
                while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
                    let response =
                        client.post(&url).header("content-type", "application/json").body(body.clone()).send().await;
                    response.expect("the server answers").bytes().await.expect("the server answers in full");
                }
            });
        }
        tasks.join_all().await;
    });
}

/// The same through the pool, as a role does it: the next call is submitted when a reply has come.
fn pool_loop(calls: usize, settings: &TaskSettings, request: &Request) {
    let pool = Pool::new(BTreeMap::from([(Task::Answer, settings.clone())])).expect("the settings are sound");
    let (sender, replies) = channel();
    let submit = || {
        let sender = sender.clone();
        pool.submit(Priority::Answer, request, move |outcome| {
            let _ = sender.send(outcome);
        });
    };
    let in_flight = settings.max_in_flight;
    (0..in_flight.min(calls)).for_each(|_| submit());
    for answered in 1..=calls {
        replies.recv().expect("each call has a reply").expect("the server answers");
        if answered + in_flight <= calls {
            submit();
        }
    }
}

fn per_cpu_second(calls: usize, work: impl FnOnce()) -> f64 {
    let before = cpu_time();
    work();
    calls as f64 / cpu_time().saturating_sub(before).as_secs_f64()
}

/// The CPU time of this process, in the kernel's ticks of 10 ms.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux tells the CPU time of a process");
    let behind_name = stat.rsplit(')').next().unwrap_or("");
    let fields: Vec<u64> = behind_name.split_whitespace().map(|field| field.parse().unwrap_or(0)).collect();
    Duration::from_millis(10 * (fields[11] + fields[12]))
}
