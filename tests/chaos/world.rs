//! What all schedules of a process share: three brokers, each behind a proxy.

use std::cell::Cell;

use synthllm_testkit::kafka::Broker;
use synthllm_testkit::proxy::{Link, Proxy};

use crate::kcat;

/// Brokers of the cluster.
pub const BROKERS: u32 = 3;

/// The brokers, and the links to them.
pub struct World {
    pub broker: Broker,
    pub links: Vec<Proxy>,
    lost: Cell<Option<u32>>,
}

impl World {
    /// Starts the brokers. None, with a message, where they or the judge can't be had.
    pub fn new() -> Option<World> {
        if !kcat::is_here() {
            return None;
        }
        let (broker, links) = Broker::start_behind_proxies(BROKERS)?;
        Some(World { broker, links, lost: Cell::default() })
    }

    /// A broker goes with its data.
    pub fn lose(&self, node: u32) {
        self.broker.lose(node);
        self.lost.set(Some(node));
    }

    /// An empty broker takes the place of a lost one, for the next schedule.
    pub fn replace_lost(&self) {
        if let Some(node) = self.lost.take() {
            self.broker.replace(node);
        }
    }

    /// All links pass again.
    pub fn mend(&self) {
        self.links.iter().for_each(|link| link.set(Link::Open));
    }
}
