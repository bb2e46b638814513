//! Files and folders that appear whole or not at all: written beside their place, in the same file system, and then renamed.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use synthllm_export::{MANIFEST, Manifest};

/// Writes a file. What is no regular file (a pipe, a device) is written to.
pub fn file(path: &Path, write: impl FnOnce(File) -> anyhow::Result<File>) -> anyhow::Result<()> {
    if path.exists() && !path.is_file() {
        return write(File::options().write(true).open(path)?).map(drop);
    }
    let beside = beside(path, "part")?;
    let written = File::create(&beside).map_err(anyhow::Error::from).and_then(|file| {
        write(file)?.sync_all()?;
        Ok(fs::rename(&beside, path)?)
    });
    if written.is_err() {
        // What could not be finished is of no use; that it can't be removed either adds nothing to the first error.
        _ = fs::remove_file(&beside);
    }
    written
}

/// Writes a text to a file.
pub fn text(path: &Path, text: &str) -> anyhow::Result<()> {
    let written = file(path, |mut file| {
        file.write_all(text.as_bytes())?;
        Ok(file)
    });
    written.with_context(|| format!("can't write {}", path.display()))
}

/// Fills a folder. An existing one is replaced when it is empty, or an export to which nothing was added.
pub fn folder(path: &Path, fill: impl FnOnce(&Path) -> anyhow::Result<()>) -> anyhow::Result<()> {
    // A link stays, and what it points to is replaced.
    let path = if path.exists() { path.canonicalize()? } else { path.to_owned() };
    check_replaceable(&path)?;
    let new = beside(&path, "part")?;
    fs::create_dir(&new)?;
    let written = fill(&new).and_then(|()| replace(&path, &new));
    if written.is_err() {
        _ = fs::remove_dir_all(&new);
    }
    written
}

fn check_replaceable(path: &Path) -> anyhow::Result<()> {
    if !path.exists() {
        return Ok(());
    }
    let names: Vec<String> = fs::read_dir(path)?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<std::io::Result<_>>()?;
    if names.is_empty() {
        return Ok(());
    }
    let manifest = fs::read(path.join(MANIFEST)).ok().and_then(|text| Manifest::read(&text).ok());
    let Some(manifest) = manifest else { bail!("the folder is not empty, and no export of this program") };
    match names.iter().find(|name| !manifest.has_file(name)) {
        Some(other) => bail!("the folder is an export, but {other:?} is not part of it"),
        None => Ok(()),
    }
}

/// Between the two renames there is no folder of this name; the former one then stands beside, and ends in `old`.
fn replace(path: &Path, new: &Path) -> anyhow::Result<()> {
    if !path.exists() {
        return Ok(fs::rename(new, path)?);
    }
    let old = beside(path, "old")?;
    fs::rename(path, &old)?;
    if let Err(error) = fs::rename(new, path) {
        fs::rename(&old, path)?;
        return Err(error.into());
    }
    Ok(fs::remove_dir_all(&old)?)
}

/// A name in the same folder.
fn beside(path: &Path, ending: &str) -> anyhow::Result<PathBuf> {
    let name = path.file_name().context("expected the name of a file or folder")?;
    let name = format!(".{}.{}.{ending}", name.to_string_lossy(), std::process::id());
    Ok(path.with_file_name(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_could_not_be_filled_leaves_the_former_one_and_nothing_beside() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("export");
        fs::create_dir(&path).unwrap();
        let failed = folder(&path, |new| {
            fs::write(new.join("train"), "half")?;
            bail!("the disk is full")
        });
        assert_eq!(failed.unwrap_err().to_string(), "the disk is full");
        let left: Vec<_> = fs::read_dir(place.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(left, std::slice::from_ref(&path));
        assert_eq!(fs::read_dir(path).unwrap().count(), 0);
    }

    #[test]
    fn a_folder_of_something_else_is_not_replaced() {
        let place = tempfile::tempdir().unwrap();
        fs::write(place.path().join("thesis.tex"), "years").unwrap();
        let refused = folder(place.path(), |_| Ok(())).unwrap_err();
        assert_eq!(refused.to_string(), "the folder is not empty, and no export of this program");
        assert_eq!(fs::read_to_string(place.path().join("thesis.tex")).unwrap(), "years");
    }
}
