//! Standard error: log lines, and the progress that a person sees while a command works, without one overwriting the other.

use std::io::{self, IsTerminal, Write};
use std::sync::LazyLock;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::cli::LogFormat;

/// All bars and lines that are drawn over, for the one terminal there is. Draws nothing when standard error is no terminal.
static PROGRESS: LazyLock<MultiProgress> = LazyLock::new(MultiProgress::new);

/// Starts the log lines of this process. `RUST_LOG` overrides the flags.
pub fn init(verbose: u8, quiet: bool, format: LogFormat) {
    if quiet {
        PROGRESS.set_draw_target(indicatif::ProgressDrawTarget::hidden());
    }
    let level = match (quiet, verbose) {
        (true, _) => "error",
        (false, 0) => "warn,synthllm=info,synthllm_log=info,synthllm_llm=info",
        (false, 1) => "info,synthllm=debug,synthllm_log=debug,synthllm_llm=debug",
        (false, _) => "debug,synthllm=trace,synthllm_log=trace,synthllm_llm=trace",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(BesideProgress);
    // A second call in one process (tests) keeps the first subscriber.
    _ = match format {
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
        LogFormat::Text => lines.with_target(false).with_ansi(io::stderr().is_terminal()).try_init(),
    };
}

/// Says something on standard error beside the bars.
pub fn say(text: &str) {
    // Where standard error is gone, nobody can be told.
    let _told = BesideProgress.write_all(text.as_bytes()).is_ok();
}

/// Whether a person watches.
pub fn is_watched() -> bool {
    !PROGRESS.is_hidden()
}

/// A bar over a number of bytes.
pub fn byte_bar(total: u64) -> ProgressBar {
    PROGRESS
        .add(ProgressBar::new(total))
        .with_style(style("{bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta} {wide_msg}"))
}

/// A line that is drawn over.
pub fn line() -> ProgressBar {
    PROGRESS.add(ProgressBar::new_spinner()).with_style(style("{spinner} {elapsed} {wide_msg}"))
}

fn style(template: &'static str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the template is constant and right")
}

/// Writes to standard error while the bars are taken away.
#[derive(Clone, Copy)]
struct BesideProgress;

impl Write for BesideProgress {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        PROGRESS.suspend(|| io::stderr().write_all(bytes).map(|()| bytes.len()))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

impl MakeWriter<'_> for BesideProgress {
    type Writer = Self;

    fn make_writer(&self) -> Self::Writer {
        *self
    }
}

/// `1 sample`, `2 samples`.
pub fn count(number: u64, noun: &str) -> String {
    match (number, noun.strip_suffix('y')) {
        (1, _) => format!("1 {noun}"),
        (_, Some(stem)) => format!("{number} {stem}ies"),
        _ => format!("{number} {noun}s"),
    }
}
