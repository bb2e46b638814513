//! The language-model stage of a dataflow, pure: requests out, completions in.
//!
//! Input: items, routed to the worker that decides about them; notes, which change what the stage knows and cause nothing by
//! themselves. Output: whatever the stage gives for an item, at the item's epoch. Calls leave through a [`Mailbox`], replies
//! come back through it, in any order and at any time.
//! Law: an item's epoch stays open until its case is closed, so when the output frontier has passed an epoch, every item of
//! that epoch has had its outcome. What a stage gives depends on items, notes and replies only.
//! Cost: O(1) per item, call and reply, beside what the stage itself does; one capability per open case.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use timely::ExchangeData;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::generic::{OutputBuilder, OutputBuilderSession};
use timely::progress::Timestamp;
use timely::scheduling::Activator;

/// The number of an open item on its worker; never reused within a run.
pub type Case = u64;

/// What a stage does with items, notes and replies. It sees no clock, no frontier and no capability.
pub trait Stage: 'static {
    /// What comes in.
    type Item: ExchangeData;
    /// What changes the stage's knowledge.
    type Note: ExchangeData;
    /// What is asked of the world.
    type Call: 'static;
    /// What the world says.
    type Reply: 'static;
    /// What goes out.
    type Output: ExchangeData;

    /// A new item has come; its epoch stays open until `turn.close(case)`.
    fn open(&mut self, case: Case, item: Self::Item, turn: &mut Turn<Self::Call, Self::Output>);

    /// A reply to a call of an open case has come.
    fn reply(&mut self, case: Case, reply: Self::Reply, turn: &mut Turn<Self::Call, Self::Output>);

    /// A note has come.
    fn note(&mut self, note: Self::Note);
}

/// What a stage wants done after it has looked at one item or reply. It may speak for any open case.
pub struct Turn<C, O> {
    calls: Vec<(Case, C)>,
    outputs: Vec<(Case, O)>,
    closed: Vec<Case>,
}

impl<C, O> Turn<C, O> {
    fn new() -> Self {
        Turn { calls: Vec::new(), outputs: Vec::new(), closed: Vec::new() }
    }

    /// Asks the world something for a case.
    pub fn ask(&mut self, case: Case, call: C) {
        self.calls.push((case, call));
    }

    /// Gives an output at the case's epoch.
    pub fn give(&mut self, case: Case, output: O) {
        self.outputs.push((case, output));
    }

    /// Closes a case, after its outputs of this turn: nothing more will be given for it.
    pub fn close(&mut self, case: Case) {
        self.closed.push(case);
    }
}

/// Where calls wait to be carried out and replies to be read; shared by the operator and the worker's loop.
pub struct Mailbox<C, R>(Rc<RefCell<Post<C, R>>>);

struct Post<C, R> {
    calls: VecDeque<(Case, C)>,
    replies: VecDeque<(Case, R)>,
    activator: Option<Activator>,
}

impl<C, R> Clone for Mailbox<C, R> {
    fn clone(&self) -> Self {
        Mailbox(Rc::clone(&self.0))
    }
}

impl<C, R> Default for Mailbox<C, R> {
    fn default() -> Self {
        Mailbox(Rc::new(RefCell::new(Post { calls: VecDeque::new(), replies: VecDeque::new(), activator: None })))
    }
}

impl<C, R> Mailbox<C, R> {
    /// Takes the calls that wait to be carried out, in the order in which they were asked.
    pub fn calls(&self) -> Vec<(Case, C)> {
        self.0.borrow_mut().calls.drain(..).collect()
    }

    /// Delivers a reply, and wakes the operator.
    pub fn deliver(&self, case: Case, reply: R) {
        let mut post = self.0.borrow_mut();
        post.replies.push_back((case, reply));
        if let Some(activator) = &post.activator {
            activator.activate();
        }
    }

    fn take_replies(&self) -> VecDeque<(Case, R)> {
        std::mem::take(&mut self.0.borrow_mut().replies)
    }

    fn post_calls(&self, calls: Vec<(Case, C)>) {
        self.0.borrow_mut().calls.extend(calls);
    }

    fn wake_with(&self, activator: Activator) {
        self.0.borrow_mut().activator = Some(activator);
    }
}

/// Runs `stage` over `items`, each on the worker that `route` names; see the module for the law.
///
/// Notes are seen before the items that come with them in the same scheduling.
///
/// # Panics
/// If the stage gives an output for a case that it has closed.
///
/// ```
/// use synthllm_operators::ask::{ask, Case, Mailbox, Stage, Turn};
/// use timely::dataflow::operators::{Inspect, Probe};
/// use timely::dataflow::operators::vec::ToStream;
///
/// struct Shout;
/// impl Stage for Shout {
///     type Item = String;
///     type Note = ();
///     type Call = String;
///     type Reply = String;
///     type Output = String;
///     fn open(&mut self, case: Case, item: String, turn: &mut Turn<String, String>) {
///         turn.ask(case, item);
///     }
///     fn reply(&mut self, case: Case, reply: String, turn: &mut Turn<String, String>) {
///         turn.give(case, reply);
///         turn.close(case);
///     }
///     fn note(&mut self, _: ()) {}
/// }
///
/// timely::execute_directly(|worker| {
///     let mailbox = Mailbox::default();
///     let probe = worker.dataflow::<u64, _, _>(|scope| {
///         let items = vec!["grounded".to_owned()].to_stream(scope);
///         let notes = Vec::<()>::new().to_stream(scope);
///         let answers = ask(items, notes, "Shout", |_| 0, |()| 0, Shout, &mailbox);
///         answers.inspect(|answer| assert_eq!(answer, "GROUNDED")).probe().0
///     });
///     while !probe.done() {
///         worker.step();
///         for (case, call) in mailbox.calls() {
///             mailbox.deliver(case, call.to_uppercase());
///         }
///     }
/// });
/// ```
pub fn ask<'scope, T, S>(
    items: Stream<'scope, T, Vec<S::Item>>,
    notes: Stream<'scope, T, Vec<S::Note>>,
    name: &str,
    route: impl Fn(&S::Item) -> u64 + 'static,
    route_note: impl Fn(&S::Note) -> u64 + 'static,
    mut stage: S,
    mailbox: &Mailbox<S::Call, S::Reply>,
) -> Stream<'scope, T, Vec<S::Output>>
where
    T: Timestamp + timely::order::TotalOrder,
    S: Stage,
{
    let scope = items.scope();
    let mut builder = OperatorBuilder::new(name.to_owned(), scope);
    mailbox.wake_with(scope.activator_for(builder.operator_info().address));
    let (output, outputs) = builder.new_output::<Vec<S::Output>>();
    let mut output = OutputBuilder::<T, CapacityContainerBuilder<Vec<S::Output>>>::from(output);
    let mut items = builder.new_input(items, Exchange::new(route));
    let mut notes = builder.new_input(notes, Exchange::new(route_note));
    let mailbox = mailbox.clone();
    builder.build(move |_| {
        let mut open: HashMap<Case, Capability<T>> = HashMap::new();
        let mut next: Case = 0;
        move |_frontiers| {
            let mut session = output.activate();
            notes.for_each(|_, data| data.drain(..).for_each(|note| stage.note(note)));
            for (case, reply) in mailbox.take_replies() {
                // A reply of a closed case is one that nobody waits for any more.
                if open.contains_key(&case) {
                    let mut turn = Turn::new();
                    stage.reply(case, reply, &mut turn);
                    carry_out(turn, &mailbox, &mut open, &mut session);
                }
            }
            items.for_each(|capability, data| {
                let capability = capability.retain_least(0).expect("an item comes at an epoch");
                for item in data.drain(..) {
                    open.insert(next, capability.clone());
                    let mut turn = Turn::new();
                    stage.open(next, item, &mut turn);
                    next += 1;
                    carry_out(turn, &mailbox, &mut open, &mut session);
                }
            });
        }
    });
    outputs
}

fn carry_out<T: Timestamp, C, R, O: ExchangeData>(
    turn: Turn<C, O>,
    mailbox: &Mailbox<C, R>,
    open: &mut HashMap<Case, Capability<T>>,
    session: &mut OutputBuilderSession<'_, T, CapacityContainerBuilder<Vec<O>>>,
) {
    mailbox.post_calls(turn.calls);
    for (case, output) in turn.outputs {
        let capability = open.get(&case).expect("a stage gives only for cases that it has not closed");
        session.session(capability).give(output);
    }
    for case in turn.closed {
        open.remove(&case);
    }
}
