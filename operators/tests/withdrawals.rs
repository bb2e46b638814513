//! The law of `provenance`: after any history, on any number of workers, the citations owed a withdrawal are those that a plain
//! look at the live documents finds; and the law of `ask` and `live`, on which it stands.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex};

use differential_dataflow::input::InputSession;
use proptest::prelude::*;
use synthllm_operators::id::{DocumentId, Id};
use synthllm_operators::live::Incarnation;
use synthllm_operators::provenance::{Citation, Withdraw, stands, withdrawals};
use synthllm_operators::record::{Provenance, Version};
use timely::dataflow::ProbeHandle;
use timely::dataflow::operators::{Inspect, Probe};

/// What happens in one epoch.
#[derive(Clone, Debug)]
enum Event {
    /// A document is inserted, or its content changes.
    Write(u8),
    /// A document is inserted, or extracted anew on purpose.
    Redo(u8),
    /// A document is deleted.
    Delete(u8),
    /// A sample on the present versions of these documents (or on versions of long ago, where they don't live) is committed.
    Sample(u8, Option<u8>),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let document = || 0..5_u8;
    let event = prop_oneof![
        3 => document().prop_map(Event::Write),
        1 => document().prop_map(Event::Redo),
        1 => document().prop_map(Event::Delete),
        2 => (document(), prop::option::of(document())).prop_map(|(one, other)| Event::Sample(one, other)),
    ];
    prop::collection::vec(event, 1..30)
}

/// The plain program: documents and citations as they stand.
#[derive(Default, Clone)]
struct World {
    offset: u64,
    live: BTreeMap<DocumentId, Incarnation>,
    citations: BTreeSet<(DocumentId, Citation)>,
}

/// The updates of an event, to both collections.
#[derive(Clone, Debug, Default)]
struct Updates {
    live: Vec<((DocumentId, Incarnation), isize)>,
    citations: Vec<((DocumentId, Citation), isize)>,
}

impl World {
    fn apply(&mut self, event: &Event) -> Updates {
        self.offset += 1;
        let now = Version { partition: 0, offset: self.offset };
        let mut updates = Updates::default();
        match *event {
            Event::Write(document) | Event::Redo(document) => {
                let id = DocumentId(document.into());
                let before = self.live.get(&id).copied();
                let redone = before.filter(|_| matches!(event, Event::Write(_))).map_or(now, |before| before.redone);
                let after = Incarnation { version: now, since: before.map_or(now, |before| before.since), redone };
                updates.live.extend(before.map(|before| ((id, before), -1)));
                updates.live.push(((id, after), 1));
                self.live.insert(id, after);
            }
            Event::Delete(document) => {
                let id = DocumentId(document.into());
                updates.live.extend(self.live.remove(&id).map(|before| ((id, before), -1)));
            }
            Event::Sample(one, other) => {
                let documents = [Some(one), other.filter(|other| *other != one)].into_iter().flatten();
                let cited = documents.map(|document| {
                    let id = DocumentId(document.into());
                    let version = self.live.get(&id).map_or(Version { partition: 0, offset: 0 }, |it| it.version);
                    (id, version)
                });
                for citation in citations(Id(self.offset.into()), &cited.collect::<Vec<_>>()) {
                    self.citations.insert(citation);
                    updates.citations.push((citation, 1));
                }
            }
        }
        updates
    }

    fn owed(&self, withdraw: Withdraw) -> BTreeSet<(DocumentId, Citation)> {
        let dead = |(document, citation): &&(DocumentId, Citation)| {
            self.live.get(document).is_none_or(|incarnation| !stands(withdraw, citation, *incarnation))
        };
        self.citations.iter().filter(dead).copied().collect()
    }
}

fn citations(sample: Id, documents: &[(DocumentId, Version)]) -> Vec<(DocumentId, Citation)> {
    let other = |index: usize| documents.iter().enumerate().find(|(at, _)| *at != index).map(|(_, other)| *other);
    let cite = |(index, (document, version)): (usize, &(DocumentId, Version))| {
        let citation = Citation { sample, shard: 0, question: Id(0), version: *version, other: other(index) };
        (*document, citation)
    };
    documents.iter().enumerate().map(cite).collect()
}

/// Feeds event `e` at epoch `e` on worker `e mod workers`; returns the updates of the output.
fn incremental(history: Vec<Updates>, workers: usize, withdraw: Withdraw) -> Vec<((DocumentId, Citation), u64, isize)> {
    let owed = Arc::new(Mutex::new(Vec::new()));
    let gathered = Arc::clone(&owed);
    let guards = timely::execute(timely::Config::process(workers), move |worker| {
        let mut citations = InputSession::<u64, _, isize>::new();
        let mut live = InputSession::<u64, _, isize>::new();
        let probe = ProbeHandle::new();
        worker.dataflow(|scope| {
            let owed = withdrawals(citations.to_collection(scope), live.to_collection(scope), withdraw);
            let gathered = Arc::clone(&gathered);
            owed.inner.inspect(move |update| gathered.lock().expect("no worker panics").push(*update)).probe_with(&probe);
        });
        for (epoch, updates) in history.iter().enumerate() {
            if epoch % worker.peers() == worker.index() {
                updates.citations.iter().for_each(|(data, difference)| citations.update(*data, *difference));
                updates.live.iter().for_each(|(data, difference)| live.update(*data, *difference));
            }
            citations.advance_to(epoch as u64 + 1);
            citations.flush();
            live.advance_to(epoch as u64 + 1);
            live.flush();
            worker.step();
        }
    });
    let outcomes = guards.expect("the workers start").join();
    assert!(outcomes.iter().all(Result::is_ok));
    Arc::into_inner(owed).and_then(|owed| owed.into_inner().ok()).expect("the workers have ended")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn after_every_epoch_the_owed_citations_equal_a_plain_look(
        events in events(),
        workers in 1..4_usize,
        changed in any::<bool>(),
    ) {
        let withdraw = if changed { Withdraw::DeletedOrChanged } else { Withdraw::Deleted };
        let mut world = World::default();
        let mut worlds = Vec::new();
        let mut history = Vec::new();
        for event in &events {
            history.push(world.apply(event));
            worlds.push(world.clone());
        }
        let updates = incremental(history, workers, withdraw);
        for (epoch, world) in worlds.iter().enumerate() {
            let mut sums: HashMap<_, isize> = HashMap::new();
            for (data, _, difference) in updates.iter().filter(|(_, time, _)| *time <= epoch as u64) {
                *sums.entry(*data).or_default() += difference;
            }
            sums.retain(|_, sum| *sum != 0);
            prop_assert!(sums.values().all(|sum| *sum == 1), "a citation is owed once");
            prop_assert_eq!(sums.into_keys().collect::<BTreeSet<_>>(), world.owed(withdraw), "epoch {}", epoch);
        }
    }

    #[test]
    fn one_citation_names_all_citations_of_its_sample(one in 0..9_u8, other in prop::option::of(0..9_u8)) {
        let version = |offset: u8| Version { partition: 1, offset: offset.into() };
        let documents = std::iter::once(one).chain(other.filter(|other| *other != one));
        let documents = documents.map(|document| (format!("d{document}"), version(document))).collect();
        let all = Citation::all(Id(7), 3, &Provenance { documents, question: Id(1) });
        for (document, citation) in &all {
            let siblings: BTreeSet<_> = citation.siblings(*document).into_iter().collect();
            prop_assert_eq!(&siblings, &all.iter().copied().collect::<BTreeSet<_>>());
        }
    }
}
