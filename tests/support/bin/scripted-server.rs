//! The scripted model server as a process: prints its endpoint as its first line and runs until its standard input ends.
//!
//! `scripted-server [--port N] [--seed N] [--faults RATE] [--duplicates RATE] [--unsuitable RATE] [--latency-ms N] [--instant]`

use std::io::Read;
use std::time::Duration;

use anyhow::{Context, bail};
use synthllm_testkit::scripted::{Options, ScriptedServer};

fn main() -> anyhow::Result<()> {
    let server = ScriptedServer::start(options(std::env::args().skip(1))?);
    println!("{}", server.endpoint());
    std::io::stdin().read_to_end(&mut Vec::new()).context("waiting for the end of standard input")?;
    Ok(())
}

fn options(mut arguments: impl Iterator<Item = String>) -> anyhow::Result<Options> {
    let mut options = Options::default();
    while let Some(flag) = arguments.next() {
        if flag == "--instant" {
            options.instant = true;
            continue;
        }
        let value = arguments.next().with_context(|| format!("{flag} needs a value"))?;
        let parse = || value.parse::<f64>().with_context(|| format!("{flag} needs a number, found {value:?}"));
        match flag.as_str() {
            "--port" => options.port = value.parse().with_context(|| format!("--port needs a port, found {value:?}"))?,
            "--seed" => {
                options.fault_seed = value.parse().with_context(|| format!("--seed needs a number, found {value:?}"))?;
            }
            "--faults" => options.fault_rate = parse()?,
            "--duplicates" => options.duplicate_rate = parse()?,
            "--unsuitable" => options.unsuitable_rate = parse()?,
            "--latency-ms" => options.latency = Duration::from_secs_f64(parse()? / 1000.0),
            _ => bail!("unknown flag {flag}"),
        }
    }
    Ok(options)
}
