//! The walk as a timely fragment: a loop of owners and shards.

use std::cell::RefCell;
use std::rc::Rc;

use timely::dataflow::Stream;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::generic::operator::Operator;
use timely::dataflow::operators::{Concat, ConnectLoop, Enter, Feedback, Leave};
use timely::order::Product;

use super::owner::Owner;
use super::step::{self, Answer, Reply, Request};
use super::{Settings, Start, Walker};
use crate::id::ConceptId;
use crate::index::{Index, Weights};

type Round = Product<u64, u32>;

/// The shard that owns a concept.
pub fn owner_of(concept: ConceptId, shards: u32) -> u64 {
    concept.0 % u64::from(shards)
}

/// Walks from all starts; each comes out at the epoch of its start. The caller keeps `index` and `weights` unchanged until the
/// frontier of the output has passed an epoch ([`crate::graph::load`] does).
pub fn walk<'scope>(
    starts: Stream<'scope, u64, Vec<Start>>,
    index: &Rc<RefCell<Index>>,
    weights: &Rc<RefCell<Weights>>,
    settings: Settings,
) -> Stream<'scope, u64, Vec<Walker>> {
    let outer = starts.scope();
    let starts = starts.unary(timely::dataflow::channels::pact::Pipeline, "Begin", move |_capability, _info| {
        move |input, output| {
            input.for_each_stamp(|capability, batches| {
                let begin = |start| Reply { answer: Answer::Moved, walker: Box::new(Walker::new(settings.seed, start)) };
                output.session(&capability).give_iterator(batches.flat_map(|batch| batch.drain(..)).map(begin));
            });
        }
    });
    outer.iterative::<u32, _, _>(|inner| {
        let (again, replies) = inner.feedback(Product::new(0, 1));
        let (requests, walked) = owners(starts.enter(inner).concat(replies), weights, settings);
        shards(requests, index, settings).connect_loop(again);
        walked.leave(outer)
    })
}

/// Takes the answers; the walkers that are done leave by the second stream.
fn owners<'scope>(
    replies: Stream<'scope, Round, Vec<Reply>>,
    weights: &Rc<RefCell<Weights>>,
    settings: Settings,
) -> (Stream<'scope, Round, Vec<Request>>, Stream<'scope, Round, Vec<Walker>>) {
    let mut builder = OperatorBuilder::new("Owners".to_owned(), replies.scope());
    let route = Exchange::new(move |reply: &Reply| owner_of(reply.walker.at(), settings.shards));
    let mut input = builder.new_input(replies, route);
    let (requests_output, requests) = builder.new_output::<Vec<Request>>();
    let (walked_output, walked) = builder.new_output::<Vec<Walker>>();
    let (mut requests_output, mut walked_output) =
        (OutputBuilder::from(requests_output), OutputBuilder::from(walked_output));
    let weights = Rc::clone(weights);
    builder.build(move |_capabilities| {
        let mut owner = Owner::new(settings);
        move |_frontiers| {
            let (mut requests, mut walked) = (requests_output.activate(), walked_output.activate());
            let weights = weights.borrow();
            input.for_each_stamp(|capability, batches| {
                let (mut requests, mut walked) = (requests.session(&capability), walked.session(&capability));
                for replies in batches.map(std::mem::take) {
                    weights.read_ahead(replies.iter().map(|reply| reply.walker.at()));
                    let take = |reply| owner.take(&weights, reply, |request| requests.give(request));
                    walked.give_iterator(replies.into_iter().filter_map(take).map(|walker| *walker));
                }
            });
        }
    });
    (requests, walked)
}

/// Answers the requests.
fn shards<'scope>(
    requests: Stream<'scope, Round, Vec<Request>>,
    index: &Rc<RefCell<Index>>,
    settings: Settings,
) -> Stream<'scope, Round, Vec<Reply>> {
    let index = Rc::clone(index);
    let route = Exchange::new(|request: &Request| u64::from(request.shard));
    requests.unary(route, "Shards", move |_capability, _info| {
        move |input, output| {
            input.for_each_stamp(|capability, batches| {
                if settings.settled {
                    index.borrow_mut().settle();
                }
                let index = index.borrow();
                let requests = batches.map(std::mem::take);
                let replies = requests.flat_map(|requests| step::answer_all(&index, &settings, requests));
                output.session(&capability).give_iterator(replies);
            });
        }
    })
}
