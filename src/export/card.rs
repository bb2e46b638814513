//! The dataset card: what an export holds, in the form that Hugging Face reads.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt::Write;

use synthllm_operators::id::DocumentId;
use synthllm_operators::record::Sample;

use crate::features::{Names, features};
use crate::{Format, Manifest, Reached, Shape, Side};

/// So many sources are listed, those of most documents first; the rest is counted.
const SOURCES: usize = 50;

/// The licences that Hugging Face knows by these names, which are those of SPDX in lower case.
const LICENSES: [&str; 24] = [
    "afl-3.0",
    "agpl-3.0",
    "apache-2.0",
    "artistic-2.0",
    "bsd-2-clause",
    "bsd-3-clause",
    "bsl-1.0",
    "cc-by-2.0",
    "cc-by-3.0",
    "cc-by-4.0",
    "cc-by-nc-4.0",
    "cc-by-nc-nd-4.0",
    "cc-by-nc-sa-4.0",
    "cc-by-nd-4.0",
    "cc-by-sa-3.0",
    "cc-by-sa-4.0",
    "cc0-1.0",
    "gpl-2.0",
    "gpl-3.0",
    "isc",
    "lgpl-3.0",
    "mit",
    "mpl-2.0",
    "unlicense",
];

/// What the samples of an export have in them, counted one by one.
#[derive(Default)]
pub struct Facts {
    samples: BTreeMap<Side, BTreeMap<u8, u64>>,
    licenses: BTreeMap<Option<String>, Tally>,
    sources: BTreeMap<Option<String>, Tally>,
    models: BTreeMap<(String, String), u64>,
    prompts: BTreeMap<(String, String), u64>,
    names: Names,
}

/// The documents and samples of a licence or a source. Costs 16 bytes a document.
#[derive(Default)]
struct Tally {
    documents: HashSet<DocumentId>,
    samples: u64,
}

impl Facts {
    /// Counts a sample on its side.
    pub fn add(&mut self, side: Side, sample: &Sample) {
        *self.samples.entry(side).or_default().entry(sample.level).or_default() += 1;
        let documents = || sample.provenance.documents.iter();
        tally(&mut self.licenses, documents().map(|document| (document.id.as_str(), &document.license)));
        tally(&mut self.sources, documents().map(|document| (document.id.as_str(), &document.source)));
        for (task, model) in &sample.provenance.models {
            *self.models.entry((task.clone(), model.clone())).or_default() += 1;
        }
        for (task, prompt) in &sample.provenance.prompts {
            *self.prompts.entry((task.clone(), prompt.clone())).or_default() += 1;
        }
        add_names(&mut self.names.models, sample.provenance.models.keys());
        add_names(&mut self.names.prompts, sample.provenance.prompts.keys());
        add_names(&mut self.names.scores, sample.scores.keys());
    }

    fn of_side(&self, side: Side) -> u64 {
        self.samples.get(&side).map_or(0, |levels| levels.values().sum())
    }

    fn all(&self) -> u64 {
        Side::ALL.into_iter().map(|side| self.of_side(side)).sum()
    }
}

fn add_names<'a>(names: &mut BTreeSet<String>, found: impl Iterator<Item = &'a String>) {
    for name in found {
        if !names.contains(name) {
            names.insert(name.clone());
        }
    }
}

fn tally<'a>(tallies: &mut BTreeMap<Option<String>, Tally>, of: impl Iterator<Item = (&'a str, &'a Option<String>)>) {
    let mut counted = BTreeSet::new();
    for (document, name) in of {
        let tally = tallies.entry(name.clone()).or_default();
        tally.documents.insert(DocumentId::of(document));
        tally.samples += u64::from(counted.insert(name));
    }
}

/// The card of an export, and what its split has reached.
pub fn card(facts: &Facts, manifest: &Manifest, reached: Option<&Reached>) -> String {
    let parts = [
        front_matter(facts, manifest),
        introduction(facts, manifest),
        samples(facts, manifest, reached),
        documents(facts),
        tasks(facts),
        settings(manifest),
    ];
    parts.join("\n")
}

fn front_matter(facts: &Facts, manifest: &Manifest) -> String {
    let (license, size) = (license(facts), size_category(facts.all()));
    let mut text = format!("---\nlicense: {license}\nsize_categories:\n- {size}\n");
    text += "task_categories:\n- text-generation\ntags:\n- synthetic\n";
    let sides: Vec<Side> = Side::ALL.into_iter().filter(|side| facts.of_side(*side) > 0).collect();
    if !sides.is_empty() {
        text += "configs:\n- config_name: default\n  data_files:\n";
    }
    for side in sides {
        let (name, ending) = (side.name(), manifest.settings.format.ending());
        _ = writeln!(text, "  - split: {name}\n    path: {name}-*.{ending}");
    }
    if (manifest.settings.shape, manifest.settings.format) == (Shape::Raw, Format::Jsonl) {
        text += &features(&facts.names);
    }
    text + "---\n"
}

/// The licence that all documents share, if Hugging Face knows it.
fn license(facts: &Facts) -> String {
    let mut licenses = facts.licenses.keys();
    match (licenses.next(), licenses.next()) {
        (None | Some(None), None) => "unknown".to_owned(),
        (Some(Some(only)), None) if LICENSES.contains(&only.to_lowercase().as_str()) => only.to_lowercase(),
        _ => "other".to_owned(),
    }
}

fn size_category(samples: u64) -> &'static str {
    match samples {
        0..1_000 => "n<1K",
        1_000..10_000 => "1K<n<10K",
        10_000..100_000 => "10K<n<100K",
        100_000..1_000_000 => "100K<n<1M",
        1_000_000..10_000_000 => "1M<n<10M",
        10_000_000..100_000_000 => "10M<n<100M",
        100_000_000..1_000_000_000 => "100M<n<1B",
        _ => "n>1B",
    }
}

fn introduction(facts: &Facts, manifest: &Manifest) -> String {
    let app = cell(&manifest.app);
    let title = format!(
        "# Samples of {app}\n\nQuestion-answer samples grounded on documents, written by a language model with synthllm.\n"
    );
    if manifest.since.is_none() {
        return title;
    }
    let changed = facts.all();
    title
        + &format!(
            "\nThis is an increment: {changed} samples that are new, changed or on another side since the export that it builds on, and \
             {} withdrawn ones in `withdrawn.jsonl`. To apply it, remove both from all splits, then add those of this folder.\n",
            manifest.withdrawn
        )
}

fn samples(facts: &Facts, manifest: &Manifest, reached: Option<&Reached>) -> String {
    let mut text = table(&["split", "level", "samples"]);
    for (side, levels) in &facts.samples {
        for (level, samples) in levels {
            _ = writeln!(text, "| {} | {level} | {samples} |", side.name());
        }
    }
    if let (Some(split), Some(reached)) = (manifest.settings.split, reached) {
        _ = writeln!(
            text,
            "\nSamples that share a document, directly or over others, are on the same side. {} of {} samples are held out ({} was asked \
             for), {} of {} such groups; the largest group has {} samples.",
            reached.held_out, reached.samples, split.held_out, reached.groups_held_out, reached.groups, reached.largest
        );
    }
    format!("## Samples\n\n{text}")
}

fn documents(facts: &Facts) -> String {
    let mut text = format!("## Documents\n\n{}", table(&["licence", "documents", "samples"]));
    rows(&mut text, &facts.licenses, usize::MAX);
    text += "\n";
    text += &table(&["source", "documents", "samples"]);
    rows(&mut text, &facts.sources, SOURCES);
    text
}

fn rows(text: &mut String, tallies: &BTreeMap<Option<String>, Tally>, most: usize) {
    let mut sorted: Vec<_> = tallies.iter().collect();
    sorted.sort_by_key(|(_, tally)| std::cmp::Reverse(tally.documents.len()));
    for (name, tally) in sorted.iter().take(most) {
        let name = name.as_deref().map_or_else(|| "not said".to_owned(), cell);
        _ = writeln!(text, "| {name} | {} | {} |", tally.documents.len(), tally.samples);
    }
    if sorted.len() > most {
        let documents: usize = sorted[most..].iter().map(|(_, tally)| tally.documents.len()).sum();
        _ = writeln!(text, "| {} others | {documents} | |", sorted.len() - most);
    }
}

fn tasks(facts: &Facts) -> String {
    let mut text = format!("## Models and prompts\n\n{}", table(&["task", "model", "samples"]));
    by_task(&mut text, &facts.models);
    text += "\n";
    text += &table(&["task", "version of the prompt", "samples"]);
    by_task(&mut text, &facts.prompts);
    text
}

fn by_task(text: &mut String, counts: &BTreeMap<(String, String), u64>) {
    for ((task, name), samples) in counts {
        _ = writeln!(text, "| {} | {} | {samples} |", cell(task), cell(name));
    }
}

fn settings(manifest: &Manifest) -> String {
    let settings = &manifest.settings;
    let mut text = format!("## Settings\n\n- shape `{}`, format {}\n", settings.shape, settings.format.ending());
    let chosen = settings.filter.describe();
    let chosen = if chosen.is_empty() { "all".to_owned() } else { format!("those with {}", chosen.join(" and ")) };
    _ = writeln!(text, "- samples: {chosen}");
    if let Some(split) = settings.split {
        _ = writeln!(text, "- held out: {}, seed {}", split.held_out, split.seed);
    }
    if let Some(size) = settings.shard_size {
        _ = writeln!(text, "- at most {size} samples a file");
    }
    text
}

fn table(columns: &[&str]) -> String {
    format!("| {} |\n|{}\n", columns.join(" | "), "---|".repeat(columns.len()))
}

/// A text that stays in its cell.
fn cell(text: &str) -> String {
    text.replace(char::is_control, " ").replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn license_of(licenses: &[Option<&str>]) -> String {
        let mut facts = Facts::default();
        for license in licenses {
            facts.licenses.entry(license.map(str::to_owned)).or_default();
        }
        license(&facts)
    }

    #[test]
    fn a_license_is_named_only_when_all_documents_share_one_that_is_known() {
        assert_eq!(license_of(&[Some("CC-BY-4.0")]), "cc-by-4.0");
        assert_eq!(license_of(&[Some("CC-BY-4.0"), Some("MIT")]), "other");
        assert_eq!(license_of(&[Some("CC-BY-4.0"), None]), "other");
        assert_eq!(license_of(&[Some("our own")]), "other");
        assert_eq!(license_of(&[None]), "unknown");
        assert_eq!(license_of(&[]), "unknown");
    }

    #[test]
    fn a_source_cannot_break_its_table() {
        assert_eq!(cell("a | b\nc"), "a \\| b c");
    }
}
