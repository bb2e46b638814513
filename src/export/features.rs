//! The columns of raw samples as JSON Lines, for the card: `datasets` takes types from the first lines of the first file, and then fails on
//! a later answer or score that these did not have. Parquet files say it themselves.

use std::collections::BTreeSet;
use std::fmt::Write;

const BEFORE: &str = "dataset_info:
  features:
  - {name: id, dtype: string}
  - {name: level, dtype: int64}
  - {name: question, dtype: string}
  - {name: answer, dtype: string}
  - {name: concepts, list: string}
  - {name: topics, list: string}
  - name: provenance
    struct:
    - {name: combination, dtype: string}
    - name: walk
      list:
      - {name: kind, dtype: string}
      - {name: name, dtype: string}
    - name: documents
      list:
      - {name: id, dtype: string}
      - {name: version, dtype: string}
      - {name: jaccard, dtype: float64}
      - {name: source, dtype: string}
      - {name: license, dtype: string}
";

const AFTER: &str = "  - name: usage
    struct:
    - {name: calls, dtype: int64}
    - {name: prompt_tokens, dtype: int64}
    - {name: completion_tokens, dtype: int64}
  - {name: cost, dtype: float64}
";

/// The names that differ from sample to sample.
#[derive(Default)]
pub struct Names {
    /// Of the tasks with a model.
    pub models: BTreeSet<String>,
    /// Of the tasks with a prompt.
    pub prompts: BTreeSet<String>,
    /// Of the scores.
    pub scores: BTreeSet<String>,
}

/// The section `dataset_info` of the card's front matter.
pub fn features(names: &Names) -> String {
    let models = structure("    ", "models", &names.models, "string");
    let prompts = structure("    ", "prompts", &names.prompts, "string");
    let scores = structure("  ", "scores", &names.scores, "float64");
    [BEFORE, &models, &prompts, &scores, AFTER].concat()
}

fn structure(indent: &str, name: &str, fields: &BTreeSet<String>, dtype: &str) -> String {
    if fields.is_empty() {
        return format!("{indent}- {{name: {name}, struct: []}}\n");
    }
    let mut text = format!("{indent}- name: {name}\n{indent}  struct:\n");
    for field in fields {
        // A JSON text is a YAML text, whatever is in it.
        _ = writeln!(text, "{indent}  - {{name: {}, dtype: {dtype}}}", serde_json::Value::from(field.as_str()));
    }
    text
}
