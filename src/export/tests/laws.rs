//! The laws of an export, over all small histories of a log: increments lead to the full export, and no document is on both sides.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use synthllm_export::{Base, Entry, Filter, Format, Manifest, Plan, Settings, Shape, Side, Split, plan};
use synthllm_operators::id::DocumentId;

/// A sample appears, with a content and on documents, or is withdrawn.
#[derive(Clone, Debug)]
enum Event {
    Put { id: u8, content: u8, documents: Vec<u64> },
    Withdraw { id: u8 },
}

type Standing = BTreeMap<String, Entry<u8>>;

/// An export as its reader has it: the contents on each side.
type Held = BTreeMap<(Side, String), u8>;

fn event() -> impl Strategy<Value = Event> {
    let put = (0..12_u8, any::<u8>(), prop::collection::vec(0..10_u64, 0..3));
    prop_oneof![
        3 => put.prop_map(|(id, content, documents)| Event::Put { id, content, documents }),
        1 => (0..12_u8).prop_map(|id| Event::Withdraw { id }),
    ]
}

fn split() -> impl Strategy<Value = Option<Split>> {
    prop::option::of((0.1..0.9, 0..3_u64).prop_map(|(held_out, seed)| Split { held_out, seed }))
}

/// What stands after the first `length` events, and how far each of two partitions has come.
fn standing(events: &[Event], length: usize) -> (Standing, BTreeMap<u32, u64>) {
    let mut standing = Standing::new();
    let mut positions = BTreeMap::from([(0, 0), (1, 0)]);
    for event in &events[..length] {
        let id = match event {
            Event::Put { id, .. } | Event::Withdraw { id } => *id,
        };
        let partition = u32::from(id % 2);
        let next = positions.get_mut(&partition).unwrap();
        let offset = *next;
        *next += 1;
        match event {
            Event::Put { content, documents, .. } => {
                let documents = documents.iter().copied().map(DocumentId).collect();
                standing.insert(id.to_string(), Entry { partition, offset, documents, place: *content });
            }
            Event::Withdraw { .. } => _ = standing.remove(&id.to_string()),
        }
    }
    (standing, positions)
}

fn manifest(plan: &Plan<'_, u8>, positions: BTreeMap<u32, u64>, split: Option<Split>, base: Option<&Base>) -> Manifest {
    let filter = Filter::default();
    let settings = Settings { shape: Shape::Raw, format: Format::Jsonl, filter, split, shard_size: None };
    let mut manifest = Manifest::new("app", settings, positions, base);
    manifest.ids.clone_from(&plan.ids);
    manifest
}

/// As the dataset card says: removes what is withdrawn or comes again, from both sides, then adds what comes.
fn apply(held: &mut Held, plan: &Plan<'_, u8>, standing: &Standing) {
    let comes = written(plan, standing);
    let gone: BTreeSet<&String> = plan.withdrawn.iter().chain(comes.keys().map(|(_, id)| id)).collect();
    held.retain(|(_, id), _| !gone.contains(id));
    held.extend(comes);
}

fn written(plan: &Plan<'_, u8>, standing: &Standing) -> Held {
    let id = |entry: &Entry<u8>| standing.iter().find(|(_, other)| std::ptr::eq(*other, entry)).unwrap().0.clone();
    let of_side = |(side, entries): (&Side, &Vec<&Entry<u8>>)| {
        entries.iter().map(|entry| ((*side, id(entry)), entry.place)).collect::<Vec<_>>()
    };
    plan.written.iter().flat_map(of_side).collect()
}

proptest! {
    #[test]
    fn increments_lead_to_the_full_export(
        events in prop::collection::vec(event(), 0..60),
        mut cuts in prop::collection::vec(0..60_usize, 1..5),
        splits in prop::collection::vec(split(), 5),
    ) {
        cuts.iter_mut().for_each(|cut| *cut = (*cut).min(events.len()));
        cuts.sort_unstable();
        let mut held = Held::new();
        let mut base: Option<Base> = None;
        for (cut, split) in cuts.into_iter().zip(splits) {
            let (standing, positions) = standing(&events, cut);
            let increment = plan(&standing, split.as_ref(), base.as_ref());
            apply(&mut held, &increment, &standing);
            prop_assert_eq!(&held, &written(&plan(&standing, split.as_ref(), None), &standing));
            base = Some(manifest(&increment, positions, split, base.as_ref()).into());
        }
    }

    #[test]
    fn an_increment_without_a_change_is_empty(events in prop::collection::vec(event(), 0..60), split in split()) {
        let (standing, positions) = standing(&events, events.len());
        let full = plan(&standing, split.as_ref(), None);
        let base: Base = manifest(&full, positions, split, None).into();
        let increment = plan(&standing, split.as_ref(), Some(&base));
        prop_assert!(increment.written.values().all(Vec::is_empty) && increment.withdrawn.is_empty());
    }

    #[test]
    fn no_document_is_on_both_sides(
        samples in prop::collection::vec(prop::collection::vec(0..60_u64, 0..3), 0..60),
        held_out in 0.05..0.95,
        seed in 0..5_u64,
    ) {
        let events: Vec<Event> =
            (0..).zip(samples).map(|(id, documents)| Event::Put { id, content: 0, documents }).collect();
        let (standing, _) = standing(&events, events.len());
        let plan = plan(&standing, Some(&Split { held_out, seed }), None);
        let documents = |side: Side| -> BTreeSet<DocumentId> {
            plan.written[&side].iter().flat_map(|entry| entry.documents.iter().copied()).collect()
        };
        prop_assert!(documents(Side::Train).is_disjoint(&documents(Side::HeldOut)));
        let reached = plan.reached.unwrap();
        prop_assert_eq!(reached.samples, standing.len() as u64);
        prop_assert_eq!(reached.held_out, plan.written[&Side::HeldOut].len() as u64);
    }
}
