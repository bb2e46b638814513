//! Which partition a key belongs to: as Java producers (and librdkafka's `murmur2_random`) choose it, on both backends.

use crate::{Append, LogError, Result};

/// The partition of a record with this key among `partitions`; a record without key goes to partition 0.
///
/// # Panics
/// When `partitions` is 0.
pub fn of_key(key: Option<&[u8]>, partitions: u32) -> u32 {
    assert!(partitions > 0, "a log has at least one partition");
    key.map_or(0, |key| (murmur2(key) & 0x7fff_ffff) % partitions)
}

/// The partition of a record in a log of `partitions`: the one it names, which must exist, or the one of its key.
pub(crate) fn of_record(record: &Append, partitions: u32) -> Result<u32> {
    match record.partition {
        None => Ok(of_key(record.key.as_deref(), partitions)),
        Some(partition) if partition < partitions => Ok(partition),
        Some(partition) => Err(LogError::OutOfRange {
            log: record.log.name(),
            partition,
            offset: 0,
            reason: format!("the log has {partitions} partitions"),
        }),
    }
}

/// `org.apache.kafka.common.utils.Utils.murmur2`, whose result Java reads as a signed number.
fn murmur2(data: &[u8]) -> u32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    let (words, tail) = data.as_chunks::<4>();
    let mut hash = SEED ^ data.len() as u32;
    for word in words {
        let mut mixed = u32::from_le_bytes(*word).wrapping_mul(M);
        mixed ^= mixed >> 24;
        hash = hash.wrapping_mul(M) ^ mixed.wrapping_mul(M);
    }
    if !tail.is_empty() {
        for (place, byte) in tail.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * place);
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn hashes_are_those_of_kafkas_own_test() {
        let vectors = [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ];
        for (text, expected) in vectors {
            assert_eq!(murmur2(text.as_bytes()) as i32, expected, "{text}");
        }
    }

    #[test]
    fn a_record_without_key_goes_to_partition_0() {
        assert_eq!(of_key(None, 8), 0);
    }

    proptest! {
        #[test]
        fn every_key_has_a_partition(key: Vec<u8>, partitions in 1_u32..1000) {
            prop_assert!(of_key(Some(&key), partitions) < partitions);
        }
    }
}
