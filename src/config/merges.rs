//! The file of merges that `graph.merges` names: a table of aliases, as `graph merge` writes it and a person may have changed it.

use std::collections::BTreeMap;

use synthllm_operators::aliases::Aliases;

/// The aliases of the file, with `table` laid over them.
pub(super) fn read(file: &str, table: &Aliases) -> Result<Aliases, String> {
    let text = std::fs::read_to_string(file).map_err(|error| format!("can't read {file:?}: {error}"))?;
    let pairs: BTreeMap<String, String> = toml::from_str(&text).map_err(|error| syntax(file, &text, &error))?;
    let merges = Aliases::new(pairs.iter().map(|(alias, name)| (alias.as_str(), name.as_str())));
    merges.and_then(|merges| table.over(&merges)).map_err(|problem| format!("{file}: {problem}"))
}

fn syntax(file: &str, text: &str, error: &toml::de::Error) -> String {
    let before = error.span().map_or(0, |span| span.start);
    let line = 1 + text.bytes().take(before).filter(|byte| *byte == b'\n').count();
    format!("{file}:{line}: {}; expected lines such as `SVM = \"support vector machine\"`", error.message())
}
