//! Reads the texts of references by pointer, on a thread of its own: all that wait at once, since a broker answers many
//! pointers of a partition almost as fast as one.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::spawn;

use anyhow::{Context as _, Result};
use synthllm_log::{LogName, Pointer};
use synthllm_operators::codec;
use synthllm_operators::record::{Extraction, Reference};

use super::super::Context;
use super::super::desk;
use super::super::pointers::read;
use super::grounding::Grounding;
use super::questions::Reply;

/// At most so many combinations are served by one read.
const MOST_AT_ONCE: usize = 256;

/// The references whose texts are wanted.
pub(super) struct Wanted {
    pub(super) references: Vec<Reference>,
}

type Order = (Wanted, desk::Reply<Reply>);

/// The thread that reads.
pub(super) struct Fetcher(Sender<Order>);

impl Fetcher {
    /// Starts the thread; it ends with the fetcher.
    pub(super) fn start(context: &Arc<Context>) -> Self {
        let (sender, orders) = channel::<Order>();
        let context = Arc::clone(context);
        spawn(move || {
            if let Err(error) = serve(&context, &orders) {
                context.fail(error);
            }
        });
        Fetcher(sender)
    }

    /// Fetches; the reply has nothing when one of the texts has expired.
    pub(super) fn fetch(&self, wanted: Wanted, reply: desk::Reply<Reply>) {
        // The thread ends only after the fetcher, or when the run has failed.
        let _ended = self.0.send((wanted, reply)).is_err();
    }
}

fn serve(context: &Context, orders: &Receiver<Order>) -> Result<()> {
    while let Ok(first) = orders.recv() {
        let more = orders.try_iter().take(MOST_AT_ONCE - 1);
        let batch: Vec<Order> = std::iter::once(first).chain(more).collect();
        let references: Vec<&Reference> = batch.iter().flat_map(|(wanted, _)| &wanted.references).collect();
        // When the run stops, what could not be read stays open, and is read again after the next start.
        let Some(groundings) = groundings(context, &references)? else { return Ok(()) };
        let mut groundings = groundings.into_iter();
        for (wanted, reply) in batch {
            let own: Vec<_> = groundings.by_ref().take(wanted.references.len()).collect();
            reply.give(Reply::Texts(own.into_iter().collect()));
        }
    }
    Ok(())
}

/// What each reference points to; nothing where it has expired. Nothing at all when the run stops.
fn groundings(context: &Context, references: &[&Reference]) -> Result<Option<Vec<Option<Grounding>>>> {
    let extractions = references.iter().map(|reference| pointer(reference.extraction, reference));
    let Some(extractions) = read(context, LogName::Extractions, &extractions.collect::<Vec<_>>())? else { return Ok(None) };
    let texts = references.iter().map(|reference| pointer(reference.text, reference));
    let Some(texts) = read(context, LogName::Texts, &texts.collect::<Vec<_>>())? else { return Ok(None) };
    let pairs = references.iter().zip(extractions.into_iter().zip(texts));
    pairs.map(|(reference, (extraction, text))| grounding(reference, extraction, text)).collect::<Result<_>>().map(Some)
}

fn grounding(reference: &Reference, extraction: Option<Vec<u8>>, text: Option<Vec<u8>>) -> Result<Option<Grounding>> {
    let (Some(extraction), Some(text)) = (extraction, text) else { return Ok(None) };
    let place = || format!("can't read what stands for document {:?}", reference.document);
    let extraction: Extraction = codec::decode(&extraction).with_context(place)?;
    Ok(Some(Grounding { text: codec::decompress(&text).with_context(place)?, extraction }))
}

fn pointer(place: synthllm_operators::record::Pointer, reference: &Reference) -> Pointer {
    Pointer { partition: place.partition, offset: place.offset, key: reference.document.clone().into_bytes() }
}
