//! Carries out the calls of a stage: to the model, or to a log by pointer; and brings the replies back to its mailbox.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::Thread;

use synthllm_operators::ask::{Case, Mailbox};

/// One stage's calls under way on this worker.
pub struct Desk<C, R> {
    mailbox: Mailbox<C, R>,
    sender: Sender<(Case, R)>,
    replies: Receiver<(Case, R)>,
    carry_out: Box<dyn Fn(C, Reply<R>)>,
}

/// Where the reply to one call goes; may be answered from any thread.
pub struct Reply<R> {
    case: Case,
    sender: Sender<(Case, R)>,
    wake: Thread,
}

impl<R> Reply<R> {
    /// Delivers the reply and wakes the worker. After the run has ended it goes nowhere.
    pub fn give(self, reply: R) {
        // A closed channel means that the worker has ended, and with it everyone who waits.
        let _ended = self.sender.send((self.case, reply)).is_err();
        self.wake.unpark();
    }
}

impl<C, R> Desk<C, R> {
    /// The desk of the stage with this mailbox; `carry_out` must not block.
    pub fn new(mailbox: Mailbox<C, R>, carry_out: impl Fn(C, Reply<R>) + 'static) -> Self {
        let (sender, replies) = channel();
        Desk { mailbox, sender, replies, carry_out: Box::new(carry_out) }
    }

    /// Starts the calls that wait, and delivers the replies that have come. Returns how many of both.
    pub fn turn(&self) -> usize {
        let mut moved = 0;
        for (case, reply) in self.replies.try_iter() {
            self.mailbox.deliver(case, reply);
            moved += 1;
        }
        for (case, call) in self.mailbox.calls() {
            let reply = Reply { case, sender: self.sender.clone(), wake: std::thread::current() };
            (self.carry_out)(call, reply);
            moved += 1;
        }
        moved
    }
}
