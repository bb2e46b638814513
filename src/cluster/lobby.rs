//! The lobby of process 0: the others come in, and all leave it together with the number of their generation, so that a process
//! of an older start can't join a newer one.

use std::net::TcpListener;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::wire::{GLANCE, Wire};
use super::{ClusterError, Membership, Plan, Result, stopped};

/// What a process says when it connects, here or in the mesh.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Hello {
    /// To process 0: may I come in?
    Join(Membership),
    /// To a process with a smaller number: this connection is for this purpose.
    Link { generation: u64, process: usize, purpose: Purpose },
}

/// What a connection of two processes is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) enum Purpose {
    /// timely's.
    Data,
    /// The lifeline.
    Life,
}

/// What is answered.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Answer {
    /// Others are missing.
    Wait,
    /// All are there; this is the generation.
    Go(u64),
    /// The link is taken.
    Linked,
    /// You don't belong here.
    Refused(String),
}

/// How often those who wait hear that they still do; who hears nothing for [`SILENCE`] tries again.
const WAIT_INTERVAL: Duration = Duration::from_secs(1);
const SILENCE: Duration = Duration::from_secs(10);

/// A newcomer has so long to say who it is.
const INTRODUCTION: Duration = Duration::from_secs(2);

/// Process 0: waits until every other process has come in, and lets all go.
pub(super) fn gather(
    plan: &Plan,
    listener: &TcpListener,
    stop: &AtomicBool,
    waiting: &impl Fn(Option<String>),
) -> Result<u64> {
    let mut guests: Vec<Option<Wire>> = plan.addresses.iter().map(|_| None).collect();
    let own = &plan.addresses[0];
    listener.set_nonblocking(true).map_err(|source| ClusterError::Listen { address: own.clone(), source })?;
    let mut told = Instant::now();
    loop {
        waiting(Some(missing(plan, &guests)));
        while guests.iter().skip(1).any(Option::is_none) {
            stopped(stop)?;
            let Ok((stream, _)) = listener.accept() else {
                std::thread::sleep(GLANCE);
                if told.elapsed() >= WAIT_INTERVAL {
                    told = Instant::now();
                    tell_all(&mut guests, &Answer::Wait);
                    waiting(Some(missing(plan, &guests)));
                }
                continue;
            };
            // A connection that breaks while it introduces itself comes again.
            if let Ok(wire) = Wire::new(stream) {
                introduce(plan, wire, &mut guests);
            }
            waiting(Some(missing(plan, &guests)));
        }
        tell_all(&mut guests, &Answer::Wait);
        if guests.iter().skip(1).all(Option::is_some) {
            let generation = new_generation();
            // A guest that hears it leaves at once; one that is gone already is missed by the mesh.
            guests.iter_mut().flatten().for_each(|guest| _ = guest.send(&Answer::Go(generation)));
            return Ok(generation);
        }
    }
}

/// Tells all guests; those that are gone leave their places.
fn tell_all(guests: &mut [Option<Wire>], answer: &Answer) {
    for place in guests {
        let gone = place.as_mut().is_some_and(|guest| guest.send(answer).is_err() || has_left(guest));
        if gone {
            *place = None;
        }
    }
}

/// A guest says nothing while it waits, so all that can be heard of it is its end.
fn has_left(guest: &Wire) -> bool {
    let peeked = guest.stream.set_nonblocking(true).and_then(|()| guest.stream.peek(&mut [0]));
    let back = guest.stream.set_nonblocking(false);
    back.is_err() || !matches!(&peeked, Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
}

/// Hears who came in, and gives it its place or the reason why not.
fn introduce(plan: &Plan, mut wire: Wire, guests: &mut [Option<Wire>]) {
    let Ok(hello) = wire.receive_until::<Hello>(Instant::now() + INTRODUCTION) else { return };
    let reason = match hello {
        Hello::Link { .. } => "it belongs to another start of the cluster".to_owned(),
        Hello::Join(other) => match plan.membership.difference(&other) {
            Some(difference) => difference,
            None => match take_in(&mut guests[other.process], wire) {
                Ok(()) => return,
                Err(returned) => {
                    wire = returned;
                    format!("process {} is there already", other.process)
                }
            },
        },
    };
    crate::events::cluster::refused(&reason);
    // Whether it hears the reason or not, it is not taken in.
    let _heard = wire.send(&Answer::Refused(reason)).is_ok();
}

/// Gives a newcomer its place, unless somebody who lives has it.
fn take_in(place: &mut Option<Wire>, mut newcomer: Wire) -> std::result::Result<(), Wire> {
    if place.as_ref().is_some_and(|guest| !has_left(guest)) {
        return Err(newcomer);
    }
    if newcomer.send(&Answer::Wait).is_ok() {
        *place = Some(newcomer);
    }
    Ok(())
}

fn missing(plan: &Plan, guests: &[Option<Wire>]) -> String {
    let absent = (0..).zip(guests).skip(1).filter(|(_, guest)| guest.is_none());
    let names: Vec<String> =
        absent.map(|(process, _)| format!("process {process} at {}", plan.addresses[process])).collect();
    names.join(", ")
}

/// A number that no other start has: the time in nanoseconds, mixed with the process id.
fn new_generation() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_nanos() as u64);
    now ^ (u64::from(std::process::id()) << 40)
}

/// Another process: comes in, and waits until all go.
pub(super) fn join(plan: &Plan, stop: &AtomicBool, waiting: &impl Fn(Option<String>)) -> Result<u64> {
    let host = &plan.addresses[0];
    loop {
        stopped(stop)?;
        waiting(Some(format!("process 0 at {host}")));
        // Whatever goes wrong with the connection: process 0 is starting, or starting again.
        match ask_in(plan, stop, waiting) {
            Ok(Some(generation)) => return Ok(generation),
            Ok(None) => std::thread::sleep(GLANCE),
            Err(error) => return Err(error),
        }
    }
}

/// One visit; nothing when the connection broke.
fn ask_in(plan: &Plan, stop: &AtomicBool, waiting: &impl Fn(Option<String>)) -> Result<Option<u64>> {
    let Ok(mut wire) = Wire::connect(&plan.addresses[0]) else { return Ok(None) };
    if wire.send(&Hello::Join(plan.membership.clone())).is_err() {
        return Ok(None);
    }
    let mut heard = Instant::now();
    while heard.elapsed() < SILENCE {
        stopped(stop)?;
        match wire.receive::<Answer>() {
            Ok(Some(Answer::Go(generation))) => return Ok(Some(generation)),
            Ok(Some(Answer::Refused(reason))) => {
                return Err(ClusterError::Refused { process: 0, address: plan.addresses[0].clone(), reason });
            }
            Ok(Some(Answer::Wait | Answer::Linked)) => {
                waiting(Some("the other processes".to_owned()));
                heard = Instant::now();
            }
            Ok(None) => {}
            Err(_) => return Ok(None),
        }
    }
    Ok(None)
}
