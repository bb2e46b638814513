//! Which documents are held out, and in which order they are taken: functions of the document's id and a seed alone.

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// The place of a document in a random order: sorting by it and taking the first so many is a random sample, which does not
/// depend on the order in which documents were read. `purpose` makes samples for different purposes independent.
pub fn rank(purpose: &str, id: &str, seed: u64) -> u64 {
    xxh3_64_with_seed(&[purpose.as_bytes(), b"\0", id.as_bytes()].concat(), seed)
}

/// Whether a document is held out, so that about this share of all is (0 to 1).
///
/// ```
/// use synthllm_screening::held_out;
/// let out = (0..1000).filter(|number| held_out(&number.to_string(), 0.2, 1)).count();
/// assert!((150..250).contains(&out));
/// ```
pub fn held_out(id: &str, share: f64, seed: u64) -> bool {
    (rank("held out", id, seed) as f64) < share * u64::MAX as f64
}
