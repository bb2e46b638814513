//! Reads the layers of a configuration into a [`Config`], or into the list of everything that is wrong with them.

use std::ffi::OsString;
use std::path::Path;

use serde::Deserialize;

use super::check::check;
use super::layers::{ENVIRONMENT_PREFIX, Layers, Place};
use super::problem::{Problem, Problems};
use super::raw::RawConfig;
use super::settings::Config;

/// The file that states every key with its default. It is compiled in, and is where the defaults come from.
pub const REFERENCE: &str = include_str!("../../configs/reference.toml");

/// Reads a file and the environment. A missing file is a problem only when the user named it.
pub fn load(path: &Path, named: bool) -> Result<Config, Problems> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !named => String::new(),
        Err(error) => return Err(unreadable(path, &error)),
    };
    from_text(&path.display().to_string(), &text, std::env::vars_os())
}

/// Reads a configuration from the text of a file and a list of environment variables.
pub fn from_text(
    name: &str,
    text: &str,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Config, Problems> {
    let mut problems = Vec::new();
    let variables = our_variables(variables, &mut problems);
    let mut layers = Layers::new(REFERENCE);
    if let Err(errors) = layers.add_file(name, text) {
        problems.extend(errors.into_iter().map(|error| syntax_problem(error.place, error.message)));
        return Err(Problems(problems));
    }
    for (name, value) in &variables {
        layers.add_variable(name, value);
    }
    let raw = parse(&mut layers, &mut problems);
    let config = raw.and_then(|raw| check(raw, &layers, &mut problems));
    match config {
        Some(config) if problems.is_empty() => Ok(config),
        _ => {
            problems.sort();
            problems.dedup();
            Err(Problems(problems))
        }
    }
}

impl Default for Config {
    /// The defaults of `configs/reference.toml`.
    fn default() -> Self {
        from_text("reference.toml", "", []).expect("the built-in defaults are valid, as a test asserts")
    }
}

/// Parses until nothing is wrong: each problem's key falls back to its default, so that the next problem shows.
fn parse(layers: &mut Layers<'_>, problems: &mut Vec<Problem>) -> Option<RawConfig> {
    loop {
        let error = match RawConfig::deserialize(toml::de::Deserializer::from(layers.merged())) {
            Ok(raw) => return Some(raw),
            Err(error) => error,
        };
        let span = error.span();
        let path = span.as_ref().and_then(|span| layers.key_at(span));
        problems.push(Problem {
            place: span.and_then(|span| layers.place_at(span.start)),
            key: path.as_ref().map(|path| path.join(".")).unwrap_or_default(),
            message: error.message().replace("unknown field", "unknown key"),
            hint: path.as_ref().and_then(|path| hint_for(path)),
        });
        layers.forget(&path?);
    }
}

fn hint_for(path: &[String]) -> Option<String> {
    let secret = path.last().is_some_and(|key| key == "api_key" || key == "key" || key == "token" && path[0] != "budget");
    let named = "keep keys out of the configuration: set the environment variable SYNTHLLM_API_KEY, or name another variable \
                 with `api_key_env` or a file with `api_key_file`";
    secret.then(|| named.to_owned())
}

fn our_variables(
    variables: impl IntoIterator<Item = (OsString, OsString)>,
    problems: &mut Vec<Problem>,
) -> Vec<(String, String)> {
    let mut ours = Vec::new();
    for (name, value) in variables {
        let Some(name) = name.to_str().filter(|name| name.starts_with(ENVIRONMENT_PREFIX)) else { continue };
        match value.into_string() {
            Ok(value) => ours.push((name.to_owned(), value)),
            Err(_) if super::key_of_variable(name).is_none() => {}
            Err(_) => problems.push(syntax_problem(Some(Place::Variable(name.to_owned())), "the value is not UTF-8".into())),
        }
    }
    ours.sort();
    ours
}

fn syntax_problem(place: Option<Place>, message: String) -> Problem {
    Problem { place, key: String::new(), message, hint: None }
}

fn unreadable(path: &Path, error: &std::io::Error) -> Problems {
    Problems(vec![Problem {
        place: None,
        key: String::new(),
        message: format!("can't read {}: {error}", path.display()),
        hint: Some("name the file with --config, or copy one of configs/ to synthllm.toml".to_owned()),
    }])
}
