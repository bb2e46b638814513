//! An export as a folder: shards of samples, the dataset card, the manifest, and for an increment the ids that are withdrawn.

use std::fmt::Write;
use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde_json::json;
use synthllm_export::{
    Base, CARD, Entry, Facts, MANIFEST, Manifest, Plan, Reached, Settings, Side, WITHDRAWN, card, file_name,
    number_of_shards, plan,
};

use super::standing::{Place, Records, Standing};
use super::{count, print, read, whole, write_bytes, write_samples};
use crate::cli::ExportArgs;
use crate::config::Config;
use crate::hint::Usage;

/// Writes the folder, and says what is in it.
pub fn execute(config: &Config, args: &ExportArgs, settings: Settings) -> anyhow::Result<()> {
    let since = args.since.as_deref().map(|path| manifest_to_build_on(path, &args.target)).transpose()?;
    let Standing { entries, positions, mut records, .. } = read(config, &settings)?;
    let base = since.map(|(path, manifest)| {
        let checked = manifest.check(&config.app, settings.shape, &positions);
        checked.map(|()| Base::from(manifest)).with_context(|| format!("can't build on {}", path.display()))
    });
    let base = base.transpose()?;
    let mut plan = plan(&entries, settings.split.as_ref(), base.as_ref());
    let mut manifest = Manifest::new(&config.app, settings, positions, base.as_ref());
    manifest.ids = std::mem::take(&mut plan.ids);
    manifest.withdrawn = plan.withdrawn.len() as u64;
    whole::folder(&args.target, |folder| fill(folder, &plan, &mut manifest, &mut records))
        .with_context(|| format!("can't write {}", args.target.display()))?;
    print(&summary(&args.target, &manifest, plan.reached.as_ref()))
}

/// The manifest in a folder, or the file itself. An export is not replaced by what only holds together with it.
fn manifest_to_build_on(since: &Path, target: &Path) -> anyhow::Result<(PathBuf, Manifest)> {
    let path = if since.is_dir() { since.join(MANIFEST) } else { since.to_owned() };
    let failed = || format!("can't build on {}", path.display());
    let text = std::fs::read(&path).with_context(failed)?;
    let manifest = Manifest::read(&text).with_context(failed)?;
    let folder = path.canonicalize()?.parent().map(Path::to_owned);
    if target.exists() && folder == Some(target.canonicalize()?) {
        return Err(
            Usage(format!("{} would be replaced by what has changed since; name another folder", target.display())).into()
        );
    }
    Ok((path, manifest))
}

fn fill(folder: &Path, plan: &Plan<'_, Place>, manifest: &mut Manifest, records: &mut Records) -> anyhow::Result<()> {
    let mut facts = Facts::default();
    for (side, samples) in &plan.written {
        shards(folder, *side, samples, manifest, records, &mut facts)?;
    }
    if manifest.since.is_some() {
        let lines = plan.withdrawn.iter().fold(String::new(), |text, id| text + &json!({ "id": id }).to_string() + "\n");
        write_bytes(&folder.join(WITHDRAWN), lines.as_bytes())?;
    }
    write_bytes(&folder.join(CARD), card(&facts, manifest, plan.reached.as_ref()).as_bytes())?;
    write_bytes(&folder.join(MANIFEST), &serde_json::to_vec_pretty(manifest)?)
}

fn shards(
    folder: &Path,
    side: Side,
    samples: &[&Entry<Place>],
    manifest: &mut Manifest,
    records: &mut Records,
    facts: &mut Facts,
) -> anyhow::Result<()> {
    let settings = manifest.settings.clone();
    let number = number_of_shards(samples.len() as u64, settings.shard_size);
    let mut rest = samples;
    for shard in 0..number {
        let size = settings.shard_size.map_or(rest.len(), |size| rest.len().min(size.get() as usize));
        let (shard_samples, others) = rest.split_at(size);
        rest = others;
        let name = file_name(side, shard, number, settings.format);
        let file = File::create(folder.join(&name))?;
        let each = |sample: &_| facts.add(side, sample);
        write_samples(file, &settings, shard_samples.iter().copied(), records, each)?.sync_all()?;
        manifest.files.insert(name, size as u64);
    }
    Ok(())
}

fn summary(target: &Path, manifest: &Manifest, reached: Option<&Reached>) -> String {
    let files = count(manifest.files.len() as u64, "file");
    let written = count(manifest.files.values().sum(), "sample");
    let mut text = format!("exported {written} to {files} in {}\n", target.display());
    if manifest.since.is_some() {
        _ = writeln!(text, "withdrawn since then: {}", count(manifest.withdrawn, "sample"));
    }
    if let (Some(reached), Some(split)) = (reached, manifest.settings.split) {
        _ = writeln!(
            text,
            "held out {} of {} ({} asked for): {} of {} that share documents, the largest with {}",
            reached.held_out,
            count(reached.samples, "sample"),
            split.held_out,
            reached.groups_held_out,
            count(reached.groups, "group"),
            count(reached.largest, "sample"),
        );
    }
    text
}
