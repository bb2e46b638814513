//! What an export remembers, so that a later one need only say what has changed.
//!
//! Law: take the samples of an export side by side, remove those withdrawn and those that the increment holds on either side, and add the
//! increment's: this is a full export with the increment's settings, whatever happened to the log between, compaction included.
//! It holds because the ids themselves are remembered, not positions alone: of a sample that is gone the log may have forgotten even the
//! tombstone, and a sample may change sides, or pass other filters, without a record of its own.
//! Cost: 42 bytes a sample in the file, about 90 in memory while it is compared.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use crate::{Filter, Format, Shape, Side, Split};

/// The manifest's name in the folder of an export.
pub const NAME: &str = "synthllm-export.json";
/// The dataset card's.
pub const CARD: &str = "README.md";
/// The name of the list of withdrawn samples, in an increment.
pub const WITHDRAWN: &str = "withdrawn.jsonl";

/// The form of manifests that this program writes and reads.
const VERSION: u32 = 1;

/// How an export was asked for.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Settings {
    /// The shape of the samples.
    pub shape: Shape,
    /// The format of the files.
    pub format: Format,
    /// Which samples.
    pub filter: Filter,
    /// What is held out, if anything.
    pub split: Option<Split>,
    /// At most so many samples a file.
    pub shard_size: Option<std::num::NonZeroU64>,
}

/// The manifest of an export.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Manifest {
    synthllm_export: u32,
    /// Whose samples these are.
    pub app: String,
    /// How the export was asked for.
    pub settings: Settings,
    /// Where the export ended in each partition of `samples`: the next offset.
    pub positions: BTreeMap<u32, u64>,
    /// Where the export ended on which this one builds. Its files then hold what has changed since.
    pub since: Option<BTreeMap<u32, u64>>,
    /// How many samples were withdrawn since then.
    pub withdrawn: u64,
    /// The samples in each file.
    pub files: BTreeMap<String, u64>,
    /// The ids of all samples on each side, in order; of an increment, those that stand once it is applied.
    pub ids: BTreeMap<Side, Vec<String>>,
}

/// Why a manifest is of no use.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// The file is something else.
    #[error("it is no manifest of an export")]
    Other(#[from] serde_json::Error),
    /// Another version of the program wrote it.
    #[error("it has the form {0}, and only form {VERSION} can be read")]
    Version(u32),
    /// It is of other samples.
    #[error("it is of the app {theirs:?}, and this is {ours:?}")]
    App {
        /// The app in the manifest.
        theirs: String,
        /// The app that is configured.
        ours: String,
    },
    /// Its samples have another shape, which stays with those that have not changed.
    #[error("its samples have the shape {theirs}, and {ours} is asked for")]
    Shape {
        /// The shape in the manifest.
        theirs: Shape,
        /// The shape that is asked for.
        ours: Shape,
    },
    /// The log is shorter than it was, or has other partitions.
    #[error("it ended at offset {position} of samples/{partition}, where this log has never been")]
    Log {
        /// The partition.
        partition: u32,
        /// The position in it.
        position: u64,
    },
}

impl Manifest {
    /// The manifest of an export that has written nothing yet.
    pub fn new(app: &str, settings: Settings, positions: BTreeMap<u32, u64>, base: Option<&Base>) -> Self {
        let (files, ids) = (BTreeMap::new(), BTreeMap::new());
        let since = base.map(|base| base.positions.clone());
        Manifest { synthllm_export: VERSION, app: app.to_owned(), settings, positions, since, withdrawn: 0, files, ids }
    }

    /// Reads a manifest.
    pub fn read(text: &[u8]) -> Result<Self, ManifestError> {
        let manifest: Manifest = serde_json::from_slice(text)?;
        match manifest.synthllm_export {
            VERSION => Ok(manifest),
            other => Err(ManifestError::Version(other)),
        }
    }

    /// Whether a file of this name is part of the export.
    pub fn has_file(&self, name: &str) -> bool {
        [NAME, CARD].contains(&name) || (name == WITHDRAWN && self.since.is_some()) || self.files.contains_key(name)
    }

    /// Refuses to build on an export of other samples, or with samples of another shape.
    pub fn check(&self, app: &str, shape: Shape, ends: &BTreeMap<u32, u64>) -> Result<(), ManifestError> {
        if self.app != app {
            return Err(ManifestError::App { theirs: self.app.clone(), ours: app.to_owned() });
        }
        if self.settings.shape != shape {
            return Err(ManifestError::Shape { theirs: self.settings.shape, ours: shape });
        }
        let unknown =
            self.positions.iter().find(|(partition, position)| ends.get(partition).is_none_or(|end| end < position));
        unknown.map_or(Ok(()), |(&partition, &position)| Err(ManifestError::Log { partition, position }))
    }
}

/// The export that another one builds on.
pub struct Base {
    positions: BTreeMap<u32, u64>,
    sides: HashMap<String, Side>,
}

impl From<Manifest> for Base {
    fn from(manifest: Manifest) -> Self {
        let on_side = |(side, ids): (Side, Vec<String>)| ids.into_iter().map(move |id| (id, side));
        Base { positions: manifest.positions, sides: manifest.ids.into_iter().flat_map(on_side).collect() }
    }
}

impl Base {
    /// Whether a live sample differs from what the base has: it is new, was written again, or is on the other side.
    pub fn lacks(&self, id: &str, side: Side, partition: u32, offset: u64) -> bool {
        let is_later = self.positions.get(&partition).is_none_or(|&position| offset >= position);
        is_later || self.sides.get(id) != Some(&side)
    }

    /// The samples of the base that are not to be exported any more, in order.
    pub fn withdrawn(&self, stands: impl Fn(&str) -> bool) -> Vec<String> {
        let mut withdrawn: Vec<String> = self.sides.keys().filter(|id| !stands(id)).cloned().collect();
        withdrawn.sort_unstable();
        withdrawn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        let settings =
            Settings { shape: Shape::Raw, format: Format::Jsonl, filter: Filter::default(), split: None, shard_size: None };
        Manifest::new("app", settings, BTreeMap::from([(0, 5), (1, 3)]), None)
    }

    #[test]
    fn a_manifest_is_read_as_it_was_written() {
        let mut manifest = manifest();
        manifest.ids.insert(Side::HeldOut, vec!["a".into()]);
        let text = serde_json::to_vec(&manifest).unwrap();
        assert_eq!(Manifest::read(&text).unwrap(), manifest);
        assert!(matches!(Manifest::read(b"{\"ids\": 1}"), Err(ManifestError::Other(_))));
        let later = String::from_utf8(text).unwrap().replace("\"synthllm_export\":1", "\"synthllm_export\":2");
        assert!(matches!(Manifest::read(later.as_bytes()), Err(ManifestError::Version(2))));
    }

    #[test]
    fn an_export_of_another_log_app_or_shape_is_refused() {
        let ends = BTreeMap::from([(0, 5), (1, 3)]);
        assert!(manifest().check("app", Shape::Raw, &ends).is_ok());
        assert!(matches!(manifest().check("other", Shape::Raw, &ends), Err(ManifestError::App { .. })));
        assert!(matches!(manifest().check("app", Shape::Chat, &ends), Err(ManifestError::Shape { .. })));
        for shorter in [BTreeMap::from([(0, 5), (1, 2)]), BTreeMap::from([(0, 5)])] {
            let refused = manifest().check("app", Shape::Raw, &shorter);
            assert!(matches!(refused, Err(ManifestError::Log { partition: 1, position: 3 })));
        }
    }
}
