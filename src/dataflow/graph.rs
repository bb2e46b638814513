//! stub
use super::{Context, Phase};
use std::sync::Arc;
use timely::worker::Worker;
pub struct Graph;
impl Graph {
    pub fn start(_: &mut Worker, _: &Arc<Context>) -> anyhow::Result<Self> { Ok(Graph) }
    pub fn turn(&mut self, _: &Context) -> anyhow::Result<Phase> { Ok(Phase::Done) }
}
