//! The `synthllm` program.

use std::process::ExitCode;

use clap::Parser;
use synthllm::cli::Cli;
use synthllm::{commands, hint};

fn main() -> ExitCode {
    let cli = Cli::parse();
    match commands::execute(&cli) {
        Ok(code) => code,
        Err(error) => {
            eprint!("{}", hint::report(&error));
            hint::exit_code(&error)
        }
    }
}
