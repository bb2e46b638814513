//! The law of the records: what was encoded is read back, and any bytes are a record or an error that says what is wrong.

use proptest::prelude::*;
use serde::de::DeserializeOwned;
use synthllm_operators::codec::{CodecError, VERSION, compress, decode, decompress, encode};
use synthllm_operators::record::{
    Answer, Combination, Extraction, JournalKey, Origin, Progress, Provenance, ShardProgress, Usage, Version,
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
