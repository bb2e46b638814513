//! Reads the texts of references by pointer, off the worker's thread.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::spawn;
use std::time::Duration;

use anyhow::{Context as _, Result};
use synthllm_log::{Fetched, LogName};
use synthllm_operators::codec;
use synthllm_operators::record::{Extraction, Pointer, Reference};

use super::super::Context;
use super::super::desk;
use super::questions::{Grounding, Reply};

/// How many reads are under way at once.
const THREADS: usize = 2;

/// How long to wait before a pointer beyond the last stable offset is read again.
const AGAIN: Duration = Duration::from_millis(20);

/// The references whose texts are wanted.
pub(super) struct Wanted {
    pub references: Vec<Reference>,
}

type Order = (Wanted, desk::Reply<Reply>);

/// The threads that read.
pub(super) struct Fetcher(Sender<Order>);

impl Fetcher {
    /// Starts the threads; they end with the fetcher.
    pub fn start(context: &Arc<Context>) -> Self {
        let (sender, orders) = channel::<Order>();
        let orders = Arc::new(Mutex::new(orders));
        for _ in 0..THREADS {
            let (context, orders) = (Arc::clone(context), Arc::clone(&orders));
            spawn(move || {
                while let Some((wanted, reply)) = next(&orders) {
                    match groundings(&context, &wanted.references) {
                        Ok(groundings) => reply.give(Reply::Texts(groundings)),
                        Err(error) => context.fail(error),
                    }
                }
            });
        }
        Fetcher(sender)
    }

    /// Fetches; the reply has nothing when one of the texts has expired.
    pub fn fetch(&self, wanted: Wanted, reply: desk::Reply<Reply>) {
        // The threads end only after the fetcher; an order that finds none belongs to a run that has ended.
        let _ended = self.0.send((wanted, reply)).is_err();
    }
}

fn next(orders: &Mutex<Receiver<Order>>) -> Option<Order> {
    orders.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
}

fn groundings(context: &Context, references: &[Reference]) -> Result<Option<Vec<Grounding>>> {
    references.iter().map(|reference| grounding(context, reference)).collect()
}

fn grounding(context: &Context, reference: &Reference) -> Result<Option<Grounding>> {
    let key = reference.document.as_bytes();
    let Some(extraction) = read(context, LogName::Extractions, reference.extraction, key)? else { return Ok(None) };
    let Some(text) = read(context, LogName::Texts, reference.text, key)? else { return Ok(None) };
    let place = || format!("can't read what stands for document {:?}", reference.document);
    let extraction: Extraction = codec::decode(&extraction).with_context(place)?;
    Ok(Some(Grounding { text: codec::decompress(&text).with_context(place)?, extraction }))
}

/// The value at a pointer; waits while it lies beyond the last stable offset, which is never taken for gone.
fn read(context: &Context, log: LogName, pointer: Pointer, key: &[u8]) -> Result<Option<Vec<u8>>> {
    loop {
        match context.log.fetch(log, pointer.partition, pointer.offset, key)? {
            Fetched::Found(value) => return Ok(value),
            Fetched::Gone => return Ok(None),
            Fetched::NotYet if context.stopping() => return Ok(None),
            Fetched::NotYet => std::thread::sleep(AGAIN),
        }
    }
}
