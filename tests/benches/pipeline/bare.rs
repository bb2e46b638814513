//! What an HTTP client costs by itself: bodies of the same size, the same number in flight, the answer read and thrown away.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::process::cpu_time;
use crate::server::Server;

/// Calls per second of CPU time of a bare loop.
pub fn calls_per_cpu_second(calls: usize, body_bytes: usize, in_flight: usize) -> f64 {
    let server = Server::start("fixed");
    let url = format!("{}/chat/completions", server.endpoint);
    let before = cpu_time("self");
    bare_loop(calls, &url, &"x".repeat(body_bytes), in_flight);
    calls as f64 / cpu_time("self").saturating_sub(before).as_secs_f64()
}

fn bare_loop(calls: usize, url: &str, body: &str, in_flight: usize) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime of one thread starts");
    let client = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(in_flight).build();
    let client = client.expect("a plain client is built");
    let left = Arc::new(AtomicUsize::new(calls));
    runtime.block_on(async {
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..in_flight {
            let (client, url, body, left) = (client.clone(), url.to_owned(), body.to_owned(), left.clone());
            tasks.spawn(async move {
                while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
                    let request = client.post(&url).header("content-type", "application/json").body(body.clone());
                    let response = request.send().await.expect("the server answers");
                    response.bytes().await.expect("the server answers in full");
                }
            });
        }
        tasks.join_all().await;
    });
}
