//! How the processes of a run find each other, and how each learns at once that another has gone.
//!
//! A run on several processes is one timely computation, which is fail-stop: without one process the others can't go on. So
//! they form only if all of them are of the same start (`lobby`, `mesh`), and each pair keeps a connection beside timely's
//! own (`lifeline`) that tells a stop, an end, and a loss with its reason. When a process is lost the others end at once;
//! nothing committed is lost by it, and a restart of all goes on from the last commit.
//!
//! ```text
//! lobby: 1..n ──membership──► 0 ──go (generation)──► 1..n      mesh: every j ──generation──► every i < j, twice
//! ```
//!
//! Nothing here is encrypted or authenticated: the addresses must be reachable by the processes of the cluster alone.

mod hosts;
mod lifeline;
mod lobby;
mod membership;
mod mesh;
mod wire;

use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use timely::WorkerConfig;
use timely::communication::allocator::ProcessBuilder;
use timely::communication::allocator::zero_copy::initialize::initialize_networking_from_sockets;
use timely::communication::{AllocatorBuilder, Hooks, WorkerGuards};
use timely::worker::Worker;

pub use hosts::read_hosts;
pub use lifeline::Lifelines;
pub use membership::Membership;

/// Why the processes did not come together.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClusterError {
    /// The hosts file can't be used.
    #[error("{0}")]
    Hosts(String),
    /// This process can't listen at its own address.
    #[error("can't listen at {address}")]
    Listen {
        /// The address of this process in the hosts file.
        address: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// Another process does not take this one in.
    #[error("process {process} at {address} refuses this process: {reason}")]
    Refused {
        /// Who refuses.
        process: usize,
        /// Its address.
        address: String,
        /// Why.
        reason: String,
    },
    /// A process of this start did not connect in time.
    #[error("process {process} at {address} was lost while the cluster formed: {reason}")]
    Lost {
        /// Which.
        process: usize,
        /// Its address.
        address: String,
        /// What was seen.
        reason: String,
    },
    /// A stop was asked for before all processes were there.
    #[error("stopped before all processes were there")]
    Stopped,
    /// timely could not take the connections over.
    #[error("can't start the workers: {0}")]
    Workers(String),
}

/// A result of forming a cluster.
pub type Result<T> = std::result::Result<T, ClusterError>;

/// What this process knows of the cluster before it has formed.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Who this process is, and what must be the same everywhere.
    pub membership: Membership,
    /// `host:port` of every process.
    pub addresses: Vec<String>,
    /// A process that says nothing for so long is taken for lost.
    pub patience: Duration,
}

/// All processes have connected, and timely has not begun.
pub struct Cluster {
    plan: Plan,
    sockets: Vec<Option<TcpStream>>,
    /// The connections that tell of the other processes.
    pub lifelines: Arc<Lifelines>,
}

/// Waits until all processes of this start are connected. `waiting` is told who is missing, whenever that changes.
pub fn form(plan: Plan, stop: &Arc<AtomicBool>, waiting: impl Fn(Option<String>)) -> Result<Cluster> {
    let own = &plan.addresses[plan.membership.process];
    let listener = TcpListener::bind(hosts::bind_address(own))
        .map_err(|source| ClusterError::Listen { address: own.clone(), source })?;
    let generation = match plan.membership.process {
        0 => lobby::gather(&plan, &listener, stop, &waiting)?,
        _ => lobby::join(&plan, stop, &waiting)?,
    };
    let links = mesh::connect(&plan, &listener, generation, stop)?;
    waiting(None);
    let (data, lives): (Vec<_>, Vec<_>) = links.into_iter().map(Option::unzip).unzip();
    let peers = lives.into_iter().zip(&plan.addresses).enumerate();
    let peers = peers.filter_map(|(process, (stream, address))| Some((process, address.clone(), stream?)));
    let lifelines = Lifelines::start(peers.collect(), plan.patience, Arc::clone(stop));
    Ok(Cluster { plan, sockets: data, lifelines: Arc::new(lifelines) })
}

impl Cluster {
    /// Starts the workers of this process on the connections.
    pub fn execute(self, work: impl Fn(&mut Worker) + Send + Sync + 'static) -> Result<WorkerGuards<()>> {
        let Membership { process, workers, .. } = self.plan.membership;
        let hooks = Hooks::default();
        let local = ProcessBuilder::new_typed_vector(workers, hooks.refill.clone(), hooks.spill.clone());
        let (builders, guard) = initialize_networking_from_sockets(local, self.sockets, process, workers, hooks)
            .map_err(|error| ClusterError::Workers(error.to_string()))?;
        let builders = builders.into_iter().map(AllocatorBuilder::Tcp).collect();
        timely::execute::execute_from(builders, Box::new(guard), WorkerConfig::default(), work)
            .map_err(ClusterError::Workers)
    }
}

fn stopped(stop: &AtomicBool) -> Result<()> {
    if stop.load(Ordering::Relaxed) { Err(ClusterError::Stopped) } else { Ok(()) }
}
