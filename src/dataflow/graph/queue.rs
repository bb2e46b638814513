//! The documents that workers have told of, merged into one order on worker 0.
//!
//! Law: places come out in order, each once in a round; one comes out only when no worker can still tell of a smaller one.
//! Cost: O(log places) each; what workers tell at once is held.

use std::collections::BTreeMap;

use synthllm_operators::passes::Place;

/// What is known of a worker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Known {
    /// Nothing in this round.
    Nothing,
    /// It was asked.
    Asked,
    /// All places up to this one.
    UpTo(Place),
    /// All places.
    All,
}

/// The places of a level.
#[derive(Debug)]
pub(super) struct Queue {
    round: u64,
    places: BTreeMap<Place, u64>,
    workers: Vec<Known>,
}

impl Queue {
    /// Of so many workers, of which nothing is known.
    pub(super) fn new(workers: usize) -> Self {
        Queue { round: 0, places: BTreeMap::new(), workers: vec![Known::Nothing; workers] }
    }

    /// Begins a round: all is asked anew.
    pub(super) fn begin(&mut self) {
        *self = Queue { round: self.round + 1, ..Queue::new(self.workers.len()) };
    }

    /// The next place and its worker, if it is known which one is next.
    pub(super) fn pop(&mut self) -> Option<(Place, u64)> {
        let (&place, &worker) = self.places.first_key_value()?;
        let known = self.workers.iter().all(|known| match known {
            Known::All => true,
            Known::UpTo(bound) => place <= *bound,
            Known::Nothing | Known::Asked => false,
        });
        known.then(|| {
            self.places.remove(&place);
            (place, worker)
        })
    }

    /// Which workers must be asked before a place can come out: the worker, the round, and whether it begins anew.
    pub(super) fn ask(&mut self) -> Vec<(u64, u64, bool)> {
        let (first, round) = (self.places.first_key_value().map(|(place, _)| *place), self.round);
        let mut asks = Vec::new();
        for (worker, known) in (0..).zip(&mut self.workers) {
            let anew = match *known {
                Known::Nothing => true,
                Known::UpTo(bound) if first.is_none_or(|first| first > bound) => false,
                _ => continue,
            };
            *known = Known::Asked;
            asks.push((worker, round, anew));
        }
        asks
    }

    /// A worker tells of its next places.
    pub(super) fn told(&mut self, worker: u64, round: u64, places: Vec<Place>, more: bool) {
        if round != self.round {
            return;
        }
        self.workers[worker as usize] = match places.last() {
            Some(last) if more => Known::UpTo(*last),
            _ => Known::All,
        };
        self.places.extend(places.into_iter().map(|place| (place, worker)));
    }

    /// Whether nothing is left.
    pub(super) fn is_exhausted(&self) -> bool {
        self.places.is_empty() && self.workers.iter().all(|known| *known == Known::All)
    }
}

#[cfg(test)]
mod tests {
    use synthllm_operators::id::Id;

    use super::*;

    fn place(id: u128) -> Place {
        (0, Id(id))
    }

    /// Takes all, telling so many at once.
    fn merged(mut workers: Vec<Vec<u128>>, at_once: usize) -> Vec<u128> {
        let mut queue = Queue::new(workers.len());
        let mut taken = Vec::new();
        loop {
            match queue.pop() {
                Some(((_, id), _)) => taken.push(id.0),
                None if queue.is_exhausted() => return taken,
                None => {
                    let asks = queue.ask();
                    assert!(!asks.is_empty(), "nobody is asked, and nothing comes out");
                    for (worker, round, _) in asks {
                        let left = &mut workers[worker as usize];
                        let told: Vec<Place> = left.drain(..left.len().min(at_once)).map(place).collect();
                        let more = !left.is_empty();
                        queue.told(worker, round, told, more);
                    }
                }
            }
        }
    }

    #[test]
    fn what_workers_tell_comes_out_in_one_order_however_much_they_tell_at_once() {
        let workers = vec![vec![1, 4, 5, 9], vec![], vec![2, 3, 10, 11, 12], vec![6]];
        for at_once in 1..6 {
            assert_eq!(merged(workers.clone(), at_once), [1, 2, 3, 4, 5, 6, 9, 10, 11, 12]);
        }
    }

    #[test]
    fn what_was_told_in_an_earlier_round_does_not_count() {
        let mut queue = Queue::new(1);
        let (_, round, anew) = queue.ask()[0];
        assert!(anew);
        queue.begin();
        queue.told(0, round, vec![place(1)], false);
        assert_eq!((queue.pop(), queue.is_exhausted()), (None, false));
        assert_eq!(queue.ask(), [(0, round + 1, true)]);
    }
}
