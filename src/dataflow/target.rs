//! What the roles tell each other of targets, among the counters of a shard's `progress`: in the transaction that makes it true, so that it
//! survives a restart exactly.
//!
//! Graph tells what its combinations may bring together, generate how much of that has its outcome and how many samples stand.

use std::collections::BTreeMap;

use synthllm_operators::record::{Progress, ProgressKey, Role, ShardProgress};
use synthllm_operators::target::Seen;

use crate::config::Config;
use crate::events::{self, Counter};

type Counters = BTreeMap<String, u64>;

/// A level whose target stands or not, at a moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Standing {
    /// The level.
    pub level: u8,
    /// Samples that stand.
    pub standing: u64,
    /// Samples that are to stand.
    pub target: u64,
}

/// Why graph draws no more for a target that does not stand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shortage {
    /// `sampling.limit` combinations were issued.
    Limit,
    /// All that the documents and the quotas allow was drawn.
    Exhausted,
    /// The same, of the documents that there were when the settlement began that an earlier run had not ended.
    Resumed,
    /// What was issued may still bring them.
    UnderWay,
}

impl Standing {
    /// The levels that have a target, as the counters of the shards of generate tell.
    pub fn of<'c>(config: &Config, generate: impl Iterator<Item = &'c Counters> + Clone) -> Vec<Self> {
        let standing = |level: u8| generate.clone().filter_map(|it| seen(it, level)).map(|seen| seen.standing).sum();
        let target = |level: u8| Some((level, config.generate.target.of(level)?));
        let of = |(level, target): (u8, u64)| Standing { level, standing: standing(level), target };
        (1..=3).filter_map(target).map(of).collect()
    }

    /// Says whether the target stands; if not, why.
    pub fn tell(self, reason: &str) {
        let Standing { level, standing, target } = self;
        if standing >= target {
            events::target_met(level, standing, target);
        } else {
            events::target_missed(level, standing, target, reason);
        }
    }
}

impl Shortage {
    /// As `progress` has them, from 1.
    const ALL: [Shortage; 4] = [Shortage::Limit, Shortage::Exhausted, Shortage::Resumed, Shortage::UnderWay];

    /// In words, with what to do.
    pub fn reason(self, level: u8) -> String {
        match (self, level) {
            (Shortage::Limit, _) => format!("sampling.limit.level{level} is reached; raise it"),
            (Shortage::Exhausted, 3) => {
                "every start has had its walks; raise sampling.epochs, or ingest more documents".to_owned()
            }
            (Shortage::Exhausted, _) => {
                "every document has been drawn; ingest more, or raise generate.calls for those".to_owned()
            }
            (Shortage::Resumed, _) => {
                "what an interrupted run had begun is done; run again for what has come since".to_owned()
            }
            (Shortage::UnderWay, _) => {
                "what is missing may come of the combinations that wait for generate; run it, then graph again".to_owned()
            }
        }
    }
}

/// How many samples each level lacks that has a target, as the roles stand. None while combinations are under way, which may bring some, and
/// where generate has not counted its samples yet.
pub fn missing(config: &Config, standing: &[(ProgressKey, Progress)]) -> BTreeMap<u8, u64> {
    let of_role = |role: Role| {
        standing.iter().filter_map(move |(key, progress)| match (key, progress) {
            (ProgressKey::Shard(of, _), Progress::Shard(progress)) if *of == role => Some(progress),
            _ => None,
        })
    };
    let issued = (1..=3).map(|level| issued(of_role(Role::Graph), level)).sum();
    if waiting(issued, of_role(Role::Generate)) > 0 {
        return BTreeMap::new();
    }
    let generate = || of_role(Role::Generate).map(|it| &it.counters);
    let is_counted = |level: u8| generate().all(|counters| seen(counters, level).is_some());
    let levels = Standing::of(config, generate()).into_iter().filter(|it| is_counted(it.level));
    levels.map(|it| (it.level, it.target.saturating_sub(it.standing))).collect()
}

/// Combinations of a level that graph has ever issued.
pub fn issued<'p>(graph: impl Iterator<Item = &'p ShardProgress>, level: u8) -> u64 {
    let name = Counter::combinations(level).name();
    graph.map(|progress| progress.counters.get(name).copied().unwrap_or(0)).sum()
}

/// How many of all that were issued have no outcome in generate yet.
pub fn waiting<'p>(issued: u64, generate: impl Iterator<Item = &'p ShardProgress>) -> u64 {
    issued.saturating_sub(generate.map(|progress| progress.outcomes.iter().sum::<u64>()).sum())
}

/// Graph issues a combination that may bring so many samples.
pub fn grant(counters: &mut Counters, level: u8, most: u32) {
    add(counters, "granted", level, u64::from(most));
}

/// Generate has the outcome of such a combination.
pub fn settle(counters: &mut Counters, level: u8, most: u32) {
    add(counters, "settled", level, u64::from(most));
}

/// So many samples of a level stand in a shard of generate.
pub fn stand(counters: &mut Counters, level: u8, samples: u64) {
    counters.insert(name("standing", level), samples);
}

/// Without targets nobody follows how many stand.
pub fn forget_standing(counters: &mut Counters) {
    (1..=3).for_each(|level| _ = counters.remove(&name("standing", level)));
}

/// Why levels have had no more draws when a settlement ended; told by graph/0.
pub fn fall_short(counters: &mut Counters, shortages: &BTreeMap<u8, Shortage>) {
    for level in 1..=3 {
        let code = Shortage::ALL.iter().zip(1..).find(|(shortage, _)| shortages.get(&level) == Some(shortage));
        match code {
            Some((_, code)) => _ = counters.insert(name("short", level), code),
            None => _ = counters.remove(&name("short", level)),
        }
    }
}

/// What [`fall_short`] has told.
pub fn shortage(counters: &Counters, level: u8) -> Option<Shortage> {
    let code = *counters.get(&name("short", level))?;
    Shortage::ALL.get(usize::try_from(code.checked_sub(1)?).ok()?).copied()
}

/// What a shard of graph has granted.
pub fn granted(counters: &Counters, level: u8) -> u64 {
    counters.get(&name("granted", level)).copied().unwrap_or(0)
}

/// What a shard of generate tells of a level; nothing before it has counted its samples, unless it never wrote one.
pub fn seen(counters: &Counters, level: u8) -> Option<Seen> {
    let never = || (!counters.contains_key(Counter::Samples.name())).then_some(0);
    let standing = counters.get(&name("standing", level)).copied().or_else(never)?;
    Some(Seen { standing, settled: counters.get(&name("settled", level)).copied().unwrap_or(0) })
}

fn add(counters: &mut Counters, what: &str, level: u8, more: u64) {
    *counters.entry(name(what, level)).or_default() += more;
}

fn name(what: &str, level: u8) -> String {
    format!("{what}_level{level}")
}
