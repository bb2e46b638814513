//! What the stage has done in the world: the models asked, and the logs read, on a thread of its own.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::spawn;

use anyhow::{Context as _, Result};
use synthllm_log::LogName;
use synthllm_operators::ask::Mailbox;
use synthllm_operators::codec;
use synthllm_operators::near::twins::Verdict;
use synthllm_operators::record::{self, Scored};

use super::super::Context;
use super::super::desk::{Desk, Reply};
use super::super::inquiry::{Call, EmbedCall, Replied};
use super::super::pointers;

/// At most so many records are read at once.
const MOST_AT_ONCE: usize = 256;

/// What is to be done.
pub(super) enum Errand {
    Ask(Call),
    Embed(EmbedCall),
    Read(Wanted),
}

/// A record of a log.
pub(super) struct Wanted {
    pub(super) log: LogName,
    pub(super) place: record::Pointer,
    pub(super) key: Vec<u8>,
}

/// What came of it.
pub(super) enum Brought {
    Replied(Replied),
    /// A text, if it is still there.
    Text(Option<String>),
    /// A record of `scores`, likewise.
    Scored(Option<Box<Scored>>),
    /// Whether an earlier document has an equal or similar text.
    Verdict(Verdict),
    /// The document's last record lies in `scores`.
    Placed,
}

impl From<Replied> for Brought {
    fn from(replied: Replied) -> Self {
        Brought::Replied(replied)
    }
}

type Order = (Wanted, Reply<Brought>);

/// The desk of the stage.
pub(super) fn desk(context: &Arc<Context>, mailbox: Mailbox<Errand, Brought>) -> Desk<Errand, Brought> {
    let (reader, context) = (context.keeps_scores().then(|| start_reader(context)), Arc::clone(context));
    Desk::new(mailbox, move |errand, reply| match (errand, &reader) {
        (Errand::Ask(call), _) => context.ask_model(call, reply),
        (Errand::Embed(call), _) => context.ask_embedding(call, reply),
        // The thread ends only after the desk, or when the run ends.
        (Errand::Read(wanted), Some(reader)) => _ = reader.send((wanted, reply)),
        (Errand::Read(_), None) => unreachable!("only screening reads the logs"),
    })
}

fn start_reader(context: &Arc<Context>) -> Sender<Order> {
    let (sender, orders) = channel::<Order>();
    let context = Arc::clone(context);
    spawn(move || {
        if let Err(error) = serve(&context, &orders) {
            context.fail(error);
        }
    });
    sender
}

fn serve(context: &Context, orders: &Receiver<Order>) -> Result<()> {
    while let Ok(first) = orders.recv() {
        let more = orders.try_iter().take(MOST_AT_ONCE - 1);
        let batch: Vec<Order> = std::iter::once(first).chain(more).collect();
        let (texts, scores): (Vec<Order>, Vec<Order>) =
            batch.into_iter().partition(|(wanted, _)| wanted.log == LogName::Texts);
        for (log, orders) in [(LogName::Texts, texts), (LogName::Scores, scores)] {
            let pointers: Vec<_> = orders.iter().map(|(wanted, _)| pointer(wanted)).collect();
            // When the run stops, what could not be read stays open, and is read again after the next start.
            let Some(values) = pointers::read(context, log, &pointers)? else { return Ok(()) };
            for ((wanted, reply), value) in orders.into_iter().zip(values) {
                let place =
                    || format!("can't read {}/{} at offset {}", log.name(), wanted.place.partition, wanted.place.offset);
                let value = value.as_deref();
                reply.give(match log {
                    LogName::Texts => Brought::Text(value.map(codec::decompress).transpose().with_context(place)?),
                    _ => Brought::Scored(value.map(codec::decode).transpose().with_context(place)?),
                });
            }
        }
    }
    Ok(())
}

fn pointer(wanted: &Wanted) -> synthllm_log::Pointer {
    let record::Pointer { partition, offset } = wanted.place;
    synthllm_log::Pointer { partition, offset, key: wanted.key.clone() }
}
