//! The connections of a generation: each process dials every one with a smaller number, twice, and hears from every one with a
//! greater number. Nobody waits for a greater number before it has dialled, so there is no circle of waiting.

use std::io;
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use super::lobby::{Answer, Hello, Purpose};
use super::wire::{GLANCE, Wire};
use super::{ClusterError, Plan, Result, stopped};

/// All have left the lobby, so their links come at once, or never.
const DEADLINE: Duration = Duration::from_secs(30);

/// A connection for timely and one for the lifeline, with each other process.
pub(super) type Links = Vec<Option<(TcpStream, TcpStream)>>;

/// Connects with every other process of the generation.
pub(super) fn connect(plan: &Plan, listener: &TcpListener, generation: u64, stop: &AtomicBool) -> Result<Links> {
    let own = plan.membership.process;
    let mut links: Links = Vec::new();
    for process in 0..own {
        let link = |purpose| dial(plan, process, generation, purpose, stop);
        links.push(Some((link(Purpose::Data)?, link(Purpose::Life)?)));
    }
    links.push(None);
    links.extend(accept_all(plan, listener, generation, stop)?.into_iter().map(Some));
    Ok(links)
}

fn dial(plan: &Plan, process: usize, generation: u64, purpose: Purpose, stop: &AtomicBool) -> Result<TcpStream> {
    let deadline = Instant::now() + DEADLINE;
    let hello = Hello::Link { generation, process: plan.membership.process, purpose };
    loop {
        stopped(stop)?;
        match ask(&plan.addresses[process], &hello, deadline) {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(reason)) => {
                return Err(ClusterError::Refused { process, address: plan.addresses[process].clone(), reason });
            }
            Err(error) if Instant::now() >= deadline => return Err(lost(plan, process, &error.to_string())),
            Err(_) => std::thread::sleep(GLANCE),
        }
    }
}

/// One attempt at a link; the inner error is the reason of a refusal.
fn ask(address: &str, hello: &Hello, deadline: Instant) -> io::Result<std::result::Result<TcpStream, String>> {
    let mut wire = Wire::connect(address)?;
    wire.send(hello)?;
    match wire.receive_until(deadline)? {
        Answer::Linked => Ok(Ok(wire.into_stream()?)),
        Answer::Refused(reason) => Ok(Err(reason)),
        // The lobby of a newer start takes nobody's link for a guest.
        Answer::Wait | Answer::Go(_) => Ok(Err("it is of another start".to_owned())),
    }
}

/// The links of all processes with greater numbers.
fn accept_all(
    plan: &Plan,
    listener: &TcpListener,
    generation: u64,
    stop: &AtomicBool,
) -> Result<Vec<(TcpStream, TcpStream)>> {
    let first = plan.membership.process + 1;
    let mut links: Vec<(Option<TcpStream>, Option<TcpStream>)> = Vec::new();
    links.resize_with(plan.addresses.len() - first, Default::default);
    let _nonblocking = listener.set_nonblocking(true);
    let deadline = Instant::now() + DEADLINE;
    while let Some(absent) = links.iter().position(|(data, life)| data.is_none() || life.is_none()) {
        stopped(stop)?;
        if Instant::now() >= deadline {
            return Err(lost(plan, first + absent, "it did not connect"));
        }
        match listener.accept() {
            Ok((stream, _)) => {
                // A connection that breaks while it introduces itself comes again.
                if let Ok(Some((process, purpose, stream))) = introduced(stream, generation)
                    && let Some((data, life)) = process.checked_sub(first).and_then(|place| links.get_mut(place))
                {
                    *(if purpose == Purpose::Data { data } else { life }) = Some(stream);
                }
            }
            Err(_) => std::thread::sleep(GLANCE),
        }
    }
    Ok(links.into_iter().filter_map(|(data, life)| data.zip(life)).collect())
}

/// Who connects, and for what; nothing when it is of another generation, which it is told.
fn introduced(stream: TcpStream, ours: u64) -> io::Result<Option<(usize, Purpose, TcpStream)>> {
    let mut wire = Wire::new(stream)?;
    match wire.receive_until(Instant::now() + Duration::from_secs(2))? {
        Hello::Link { generation, process, purpose } if generation == ours => {
            wire.send(&Answer::Linked)?;
            Ok(Some((process, purpose, wire.into_stream()?)))
        }
        Hello::Link { .. } => {
            wire.send(&Answer::Refused("this process is of another start of the cluster".to_owned()))?;
            Ok(None)
        }
        // A process that starts again while the cluster forms: it keeps asking until the lobby is open again.
        Hello::Join(_) => Ok(None),
    }
}

fn lost(plan: &Plan, process: usize, reason: &str) -> ClusterError {
    ClusterError::Lost { process, address: plan.addresses[process].clone(), reason: reason.to_owned() }
}
