//! Tests that cannot run here say so, and never pass for ones that did.

use std::io::Write;

/// Says that the calling test does not run, and why; the test returns after it.
///
/// The line goes past the test harness's capture to the terminal, and to the file that `make test` prints last.
///
/// # Panics
/// In CI (`CI=true`), where nothing may be skipped.
pub fn skip(reason: &str) {
    let test = std::thread::current().name().unwrap_or("?").to_owned();
    let line = format!("SKIPPED: {test}: {reason}");
    assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "{line}; in CI nothing may be skipped");
    // Written directly: `eprintln!` of a passing test is captured.
    let _ = writeln!(std::io::stderr(), "{line}");
    if let Some(file) = std::env::var_os("SYNTHLLM_SKIPPED") {
        let mut file =
            std::fs::OpenOptions::new().create(true).append(true).open(file).expect("make test created its folder");
        writeln!(file, "{line}").expect("a line fits on the disk");
    }
}

/// The folder of the real corpora beside the project, if it is there.
pub fn data_dir() -> Option<std::path::PathBuf> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    path.is_dir().then_some(path)
}
