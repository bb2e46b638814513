//! How many files a side has, and their names: those by which Hugging Face recognises splits and shards.

use std::num::NonZeroU64;

use crate::{Format, Side};

/// So many files hold `samples` samples; a side without samples has one, so that readers find its columns.
pub fn number_of_shards(samples: u64, shard_size: Option<NonZeroU64>) -> u64 {
    shard_size.map_or(1, |size| samples.div_ceil(size.get()).max(1))
}

/// The name of a shard, from 0, e.g. `train-00000-of-00003.parquet`.
pub fn file_name(side: Side, shard: u64, shards: u64, format: Format) -> String {
    format!("{}-{shard:05}-of-{shards:05}.{}", side.name(), format.ending())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sample_has_its_place_and_no_shard_is_empty_unless_all_are() {
        let size = NonZeroU64::new(4);
        assert_eq!([0, 1, 4, 5, 8, 9].map(|samples| number_of_shards(samples, size)), [1, 1, 1, 2, 2, 3]);
        assert_eq!(number_of_shards(1_000_000, None), 1);
        assert_eq!(file_name(Side::HeldOut, 1, 12, Format::Parquet), "test-00001-of-00012.parquet");
    }
}
