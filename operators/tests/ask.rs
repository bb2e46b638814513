//! The laws of `ask` and `live`: an epoch is open until every case of it is closed, outcomes don't depend on the order of
//! replies, and nothing is judged before `extractions` has been read that far.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use synthllm_operators::ask::{Case, Mailbox, Stage, Turn, ask};
use synthllm_operators::holders::{Claim, Holders};
use synthllm_operators::id::{DocumentId, Id};
use synthllm_operators::live::{Live, judge};
use synthllm_operators::record::{Extraction, Pointer, Reference, Usage, Version};
use timely::dataflow::operators::{Input, Inspect, Probe};
use timely::dataflow::{InputHandle, ProbeHandle};

/// Questions under one holder each: the smallest stage in which cases wait for each other.
#[derive(Default)]
struct Questions {
    holders: Holders,
    open: std::collections::HashMap<Case, (u32, u8)>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
enum Ended {
    Answered { item: u32, question: u8 },
    Duplicate { item: u32 },
    Failed { item: u32 },
}

impl Questions {
    fn end(&mut self, case: Case, ended: impl Fn(u32, u8) -> Ended, turn: &mut Turn<u8, Ended>) {
        let (item, question) = self.open.remove(&case).expect("a case ends once");
        turn.give(case, ended(item, question));
        turn.close(case);
    }
}

impl Stage for Questions {
    type Item = (u32, u8);
    type Note = ();
    type Call = u8;
    type Reply = bool;
    type Output = Ended;

    fn open(&mut self, case: Case, item: (u32, u8), turn: &mut Turn<u8, Ended>) {
        self.open.insert(case, item);
        match self.holders.claim(Id(item.1.into()), case) {
            Claim::Held => turn.ask(case, item.1),
            Claim::Waits => (),
            Claim::Duplicate => self.end(case, |item, _| Ended::Duplicate { item }, turn),
        }
    }

    fn reply(&mut self, case: Case, answered: bool, turn: &mut Turn<u8, Ended>) {
        let (item, question) = self.open[&case];
        if answered {
            for waiting in self.holders.answered(Id(question.into()), Id(item.into())) {
                self.end(waiting, |item, _| Ended::Duplicate { item }, turn);
            }
            self.end(case, |item, question| Ended::Answered { item, question }, turn);
        } else {
            self.end(case, |item, _| Ended::Failed { item }, turn);
            if let Some(next) = self.holders.failed(Id(question.into())) {
                turn.ask(next, question);
            }
        }
    }

    fn note(&mut self, (): ()) {}
}

proptest! {
    #[test]
    fn an_epoch_stays_open_until_each_of_its_items_has_its_one_outcome(
        questions in prop::collection::vec(0..4_u8, 1..20),
        order in any::<u64>(),
        failures in any::<u64>(),
    ) {
        let count = questions.len();
        let ended = timely::execute_directly(move |worker| {
            let mailbox = Mailbox::default();
            let (mut items, mut notes) = (InputHandle::<u64, _>::new(), InputHandle::<u64, _>::new());
            let ended = Rc::new(RefCell::new(Vec::new()));
            let probe = ProbeHandle::new();
            worker.dataflow(|scope| {
                let gathered = Rc::clone(&ended);
                let (items, notes) = (scope.input_from(&mut items), scope.input_from(&mut notes));
                ask(items, notes, "Questions", |_| 0, |()| 0, Questions::default(), &mailbox)
                    .inspect_core(move |event| {
                        if let Ok((stamp, ends)) = event {
                            let epoch = *stamp.iter().next().expect("what comes out has an epoch");
                            gathered.borrow_mut().extend(ends.iter().map(|end| (epoch, *end)));
                        }
                    })
                    .probe_with(&probe);
            });
            for (item, question) in questions.iter().enumerate() {
                items.send((item as u32, *question));
                items.advance_to(item as u64 + 1);
                notes.advance_to(item as u64 + 1);
            }
            drop((items, notes));
            let (mut calls, mut turn) = (Vec::new(), 0_u32);
            while !probe.done() {
                worker.step();
                calls.extend(mailbox.calls());
                // The frontier never passes an item without its outcome.
                let passed = probe.with_frontier(|frontier| frontier.first().copied().unwrap_or(u64::MAX));
                let seen: BTreeSet<u64> = ended.borrow().iter().map(|(epoch, _)| *epoch).collect();
                assert!((0..passed.min(count as u64)).all(|epoch| seen.contains(&epoch)));
                if !calls.is_empty() {
                    let next = (order.rotate_left(turn * 7) % calls.len() as u64) as usize;
                    let (case, _) = calls.swap_remove(next);
                    mailbox.deliver(case, failures.rotate_left(turn) & 1 == 0);
                    turn += 1;
                }
            }
            ended.take()
        });
        prop_assert_eq!(ended.len(), count, "one outcome each");
        let items: BTreeSet<u32> = ended.iter().map(|(_, end)| match *end {
            Ended::Answered { item, .. } | Ended::Duplicate { item } | Ended::Failed { item } => item,
        }).collect();
        prop_assert_eq!(items.len(), count, "of its own");
        let answered: Vec<u8> = ended.iter().filter_map(|&(_, end)| match end {
            Ended::Answered { question, .. } => Some(question),
            _ => None,
        }).collect();
        prop_assert_eq!(answered.iter().collect::<BTreeSet<_>>().len(), answered.len(), "no question is answered twice");
    }
}

fn extraction(offset: u64) -> Extraction {
    let version = Version { partition: 0, offset };
    Extraction {
        text: None,
        version,
        since: version,
        redo: 0,
        redone: version,
        content_hash: 0,
        level: None,
        subject: None,
        topics: Vec::new(),
        key_concepts: Vec::new(),
        source: None,
        url: None,
        license: None,
        model: None,
        prompt: None,
        usage: Usage::default(),
        cost: 0.0,
    }
}

#[test]
fn a_reference_is_judged_only_once_its_record_has_been_read() {
    timely::execute_directly(|worker| {
        let live = Rc::new(RefCell::new(Live::default()));
        let mut items = InputHandle::<u64, _>::new();
        let verdicts = Rc::new(RefCell::new(Vec::new()));
        let probe = ProbeHandle::new();
        worker.dataflow(|scope| {
            let gathered = Rc::clone(&verdicts);
            judge(scope.input_from(&mut items), &live, |reference: &Reference| Some(reference))
                .inspect(move |(reference, live)| gathered.borrow_mut().push((reference.document.clone(), *live)))
                .probe_with(&probe);
        });
        for (document, offset) in [("changed", 3), ("same", 4)] {
            items.send(Reference {
                document: document.to_owned(),
                version: Version { partition: 0, offset },
                text: Pointer { partition: 0, offset: 0 },
                extraction: Pointer { partition: 2, offset },
                jaccard: 1.0,
            });
        }
        items.advance_to(1);
        for _ in 0..20 {
            worker.step();
        }
        assert!(verdicts.borrow().is_empty() && probe.less_than(&1), "nothing is known yet: the epoch stays open");
        live.borrow_mut().apply(DocumentId::of("changed"), Some((&extraction(3)).into()));
        live.borrow_mut().apply(DocumentId::of("same"), Some((&extraction(4)).into()));
        live.borrow_mut().apply(DocumentId::of("changed"), Some((&extraction(5)).into()));
        live.borrow_mut().read_to(2, 6);
        worker.step_while(|| probe.less_than(&1));
        let mut verdicts = verdicts.borrow().clone();
        verdicts.sort();
        assert_eq!(verdicts, [("changed".to_owned(), false), ("same".to_owned(), true)]);
    });
}
