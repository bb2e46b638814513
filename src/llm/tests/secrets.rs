//! No key in errors, settings, status or logs, not even when the server sends it back.

mod common;

use std::io::Write;
use std::sync::{Arc, Mutex};

use common::{pool, request, settings};
use synthllm_llm::{Secret, TaskSettings};
use synthllm_testkit::scripted::{Options, ScriptedServer};

const KEY: &str = "sk-this-must-never-be-seen";

#[derive(Clone, Default)]
struct Logs(Arc<Mutex<Vec<u8>>>);

impl Write for Logs {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no writer panics").write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_refused_key_is_named_by_its_origin_and_shown_nowhere() {
    let logs = Logs::default();
    let writer = logs.clone();
    tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(move || writer.clone()).init();

    let server = ScriptedServer::start(Options { api_key: Some("another".into()), ..Options::default() });
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), KEY).unwrap();
    let settings = TaskSettings { api_key: Some(Secret::from_file(file.path()).unwrap()), ..settings(&server) };
    let pool = pool(&settings);
    let error = pool.ask(&request("a")).unwrap_err();
    assert!(error.is_fatal());
    assert!(error.to_string().contains(&format!("check the key in the file {}", file.path().display())), "{error}");

    let logs = String::from_utf8(logs.0.lock().unwrap().clone()).unwrap();
    assert!(logs.contains("a call was refused"), "the log was captured");
    for shown in [error.to_string(), format!("{error:?}"), format!("{settings:?}"), format!("{:?}", pool.status()), logs] {
        assert!(!shown.contains("never-be-seen"), "{shown}");
    }
}

#[test]
fn the_right_key_is_sent() {
    let server = ScriptedServer::start(Options { api_key: Some(KEY.into()), ..Options::default() });
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), KEY).unwrap();
    let settings = TaskSettings { api_key: Some(Secret::from_file(file.path()).unwrap()), ..settings(&server) };
    assert!(pool(&settings).ask(&request("a")).is_ok());
}

#[test]
fn a_missing_key_says_how_to_give_one() {
    let server = ScriptedServer::start(Options { api_key: Some(KEY.into()), ..Options::default() });
    let error = pool(&settings(&server)).ask(&request("a")).unwrap_err();
    assert!(error.to_string().contains("put it into an environment variable and name that in `llm.api_key_env`"), "{error}");
}
