//! The law of the records: what was encoded is read back, and any bytes are a record or an error that says what is wrong.

use proptest::prelude::*;
use serde::de::DeserializeOwned;
use synthllm_operators::codec::{CodecError, VERSION, compress, decode, decode_beginning, decompress, encode};
use synthllm_operators::id::{Id, Kind};
use synthllm_operators::record::{
    Answer, Combination, Extraction, ExtractionConcepts, ExtractionHead, JournalKey, Node, Origin, Progress, Provenance,
    ShardProgress, Topic, Usage, Version,
};

fn answer() -> impl Strategy<Value = Answer> {
    (any::<u32>(), any::<u64>(), ".*", any::<bool>(), any::<u32>(), 0.0..1e6).prop_map(
        |(shard, offset, text, truncated, calls, cost)| Answer {
            origin: Origin { shard, offset },
            text,
            truncated,
            model: "model".into(),
            usage: Usage { calls, prompt_tokens: offset, completion_tokens: 7 },
            cost,
        },
    )
}

fn provenance() -> impl Strategy<Value = Provenance> {
    let cited = (".*", any::<u32>(), any::<u64>())
        .prop_map(|(document, partition, offset)| (document, Version { partition, offset }));
    (prop::collection::vec(cited, 0..4), any::<u128>())
        .prop_map(|(documents, question)| Provenance { documents, question: synthllm_operators::id::Id(question) })
}

fn extraction() -> impl Strategy<Value = Extraction> {
    let names = || prop::collection::vec(".*", 0..3);
    let place = || (any::<u32>(), any::<u64>()).prop_map(|(partition, offset)| Version { partition, offset });
    let topic = (".*", names()).prop_map(|(name, key_concepts)| Topic { name, key_concepts });
    let head = (prop::option::of(place()), place(), place(), any::<u32>(), place(), any::<u128>());
    let rest = (prop::option::of(".*"), prop::option::of(".*"), prop::collection::vec(topic, 0..3), names());
    (head, rest).prop_map(|(head, (level, subject, topics, key_concepts))| Extraction {
        text: head.0,
        version: head.1,
        since: head.2,
        redo: head.3,
        redone: head.4,
        content_hash: head.5,
        level,
        subject,
        topics,
        key_concepts,
        source: Some("source".into()),
        url: None,
        license: None,
        model: None,
        prompt: None,
        usage: Usage::default(),
        cost: 0.0,
    })
}

/// Reads as every type of record; nothing may panic, and an error has words.
fn read_as_everything(bytes: &[u8]) {
    fn read<T: DeserializeOwned>(bytes: &[u8]) {
        if let Err(error) = decode::<T>(bytes) {
            assert!(!error.to_string().is_empty());
        }
    }
    read::<Answer>(bytes);
    read::<Combination>(bytes);
    read::<Extraction>(bytes);
    read::<JournalKey>(bytes);
    read::<Progress>(bytes);
    read::<Provenance>(bytes);
    if let Err(error) = decompress(bytes) {
        assert!(!error.to_string().is_empty());
    }
}

proptest! {
    #[test]
    fn what_was_encoded_is_read_back(answer in answer(), provenance in provenance(), text in ".*") {
        prop_assert_eq!(decode::<Answer>(&encode(&answer)).expect("it was encoded"), answer);
        prop_assert_eq!(decode::<Provenance>(&encode(&provenance)).expect("it was encoded"), provenance);
        prop_assert_eq!(decompress(&compress(&text)).expect("it was compressed"), text);
    }

    #[test]
    fn the_beginning_of_an_extraction_is_that_of_the_whole(extraction in extraction(), keep: prop::sample::Index) {
        let bytes = encode(&extraction);
        let head: ExtractionHead = decode_beginning(&bytes).expect("it was encoded");
        prop_assert_eq!(head, (&extraction).into());
        let concepts: ExtractionConcepts<'_> = decode_beginning(&bytes).expect("it was encoded");
        prop_assert_eq!(concepts, (&extraction).into());
        let cut = &bytes[..keep.index(bytes.len())];
        if let Ok(concepts) = decode_beginning::<ExtractionConcepts<'_>>(cut) {
            prop_assert_eq!(concepts, (&extraction).into());
        }
    }

    #[test]
    fn a_combination_is_read_back_with_and_without_its_most(walk in prop::collection::vec(".*", 0..3), start: Option<u64>, most: Option<u32>) {
        let walk = walk.into_iter().map(|name| Node { kind: Kind::Topic, name }).collect();
        let combination =
            Combination { id: Id(7), level: 3, walk, references: Vec::new(), seed: 1, start, settlement: start };
        let bytes = combination.to_record(most);
        prop_assert_eq!(Combination::of_record(&bytes).expect("it was encoded"), (combination, most));
        prop_assert!(Combination::of_record(&bytes[..bytes.len() - 1]).is_err());
    }

    #[test]
    fn any_bytes_are_a_record_or_an_error(mut bytes: Vec<u8>, known: bool) {
        if let Some(first) = bytes.first_mut().filter(|_| known) {
            *first = VERSION;
        }
        read_as_everything(&bytes);
    }

    #[test]
    fn a_spoilt_record_is_a_record_or_an_error(provenance in provenance(), at: prop::sample::Index, byte: u8, keep: prop::sample::Index) {
        let mut bytes = encode(&provenance);
        let place = at.index(bytes.len());
        bytes[place] = byte;
        read_as_everything(&bytes);
        bytes.truncate(keep.index(bytes.len() + 1));
        read_as_everything(&bytes);
    }
}

#[test]
fn another_version_is_named_and_trailing_bytes_are_an_error() {
    let mut bytes = encode(&Progress::Shard(ShardProgress::default()));
    bytes[0] = VERSION + 1;
    let error = decode::<Progress>(&bytes).expect_err("another version");
    assert_eq!(error.to_string(), format!("the record has format version {}, this program reads {VERSION}", VERSION + 1));
    bytes[0] = VERSION;
    bytes.push(0);
    assert!(matches!(decode::<Progress>(&bytes), Err(CodecError::Body(_))));
    assert!(matches!(decode::<Progress>(&[]), Err(CodecError::Empty)));
}
