//! `graph merge`: proposes which concepts are one, by the embeddings of their names.
//!
//! A name counts once, whether it is of a topic, of a key concept, or of both: an alias is one of a name, and holds for both kinds of nodes. The
//! names are those that the table of aliases leaves, so that the file of an earlier proposal makes no difference to the next one.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;

use anyhow::{Context, bail};
use serde::Serialize;
use synthllm_llm::Task;
use synthllm_operators::merge::{Change, Cosine, Merges};
use synthllm_operators::subsets::Subsets;
use synthllm_operators::upsert::Naming;

use super::export::whole;
use super::screen::caller::{Caller, Spent};
use super::screen::{text, work_folder};
use super::{count, graph, print, print_json};
use crate::cli::MergeArgs;
use crate::config::Config;
use crate::run;

/// So many merges are shown to a person, those with the least cosines.
const DOUBTFUL: usize = 5;

/// A name with the numbers of the documents that mention it, in order.
type Mentions = BTreeMap<String, Vec<usize>>;

/// What is proposed.
#[derive(Serialize)]
struct Proposal {
    model: String,
    threshold: f64,
    documents: usize,
    names: usize,
    merges: Vec<Merge>,
    spent: Spent,
}

/// A name that stands for another one.
#[derive(Serialize)]
struct Merge {
    alias: String,
    name: String,
    cosine: f64,
    /// In how many documents the alias occurs, the name, and both of them.
    documents: Documents,
}

#[derive(Serialize)]
struct Documents {
    alias: usize,
    name: usize,
    both: usize,
}

/// Writes the file and says what is in it.
pub fn execute(config: &Config, args: &MergeArgs) -> anyhow::Result<()> {
    let (documents, mentions) = mentions(config)?;
    let names: Vec<&str> = mentions.keys().map(String::as_str).collect();
    let model = config.llm.of(Task::Embed).settings.model.clone();
    let (changes, spent) = embedded(config, &work_folder(&args.output, args.work.as_deref()), &names)?;
    let mut merges = Merges::new(Cosine::of(args.threshold));
    merges.apply(changes);
    let merges = merges.iter().map(|(alias, name, cosine)| Merge::of(alias, name, cosine, &mentions));
    let mut merges: Vec<Merge> = merges.collect();
    merges.sort_by(|one, other| one.alias.cmp(&other.alias));
    let proposal = Proposal { model, threshold: args.threshold, documents, names: names.len(), merges, spent };
    whole::text(&args.output, &proposal.file()?)?;
    if args.json { print_json(&proposal) } else { print(&proposal.summary(&args.output)?) }
}

/// How many live documents there are, and which of them mention a name.
fn mentions(config: &Config) -> anyhow::Result<(usize, Mentions)> {
    // A name is the same concept in every subset.
    let naming = Naming { aliases: &config.graph.table, subsets: Subsets::None, ..config.graph.naming() };
    let (entries, _) = graph::entries(config, &naming)?;
    let mut mentions = Mentions::new();
    for (number, content) in entries.iter().filter_map(|entry| entry.content.as_ref()).enumerate() {
        let names: BTreeSet<&String> = content.topics.iter().chain(&content.key_concepts).collect();
        for name in names {
            mentions.entry(name.clone()).or_default().push(number);
        }
    }
    Ok((entries.len(), mentions))
}

/// The names with their embeddings, and what was paid for them. Without names nobody is asked.
fn embedded(config: &Config, work: &Path, names: &[&str]) -> anyhow::Result<(Vec<Change>, Spent)> {
    if names.is_empty() {
        return Ok((Vec::new(), Spent::default()));
    }
    let mut caller = Caller::new(config, run::prompts(config, usize::MAX)?, work, config.screen.train.batch)?;
    if let (failed @ 1.., reason) = caller.embed(names)? {
        // A proposal without them would depend on what happened to fail.
        let reason = reason.unwrap_or_default();
        bail!("{failed} of {} names have no embedding, the others are kept in {}: {reason}", names.len(), work.display());
    }
    let insert = |name: &&str| Some(Change::Insert((*name).to_owned(), caller.embedding(name)?.to_vec()));
    let changes = names.iter().map(insert).collect::<Option<_>>().context("an embedding that was kept is gone")?;
    Ok((changes, caller.spent()))
}

impl Merge {
    fn of(alias: &str, name: &str, cosine: Cosine, mentions: &Mentions) -> Self {
        let documents = |name: &str| mentions.get(name).map_or(&[][..], Vec::as_slice);
        let (of_alias, of_name) = (documents(alias), documents(name));
        let both = of_alias.iter().filter(|document| of_name.binary_search(document).is_ok()).count();
        Merge {
            alias: alias.to_owned(),
            name: name.to_owned(),
            cosine: cosine.value(),
            documents: Documents { alias: of_alias.len(), name: of_name.len(), both },
        }
    }
}

impl Proposal {
    /// The table, sorted, so that the same names and embeddings make the same bytes.
    fn file(&self) -> anyhow::Result<String> {
        let mut text = format!(
            "# Concepts that are one by the embeddings of {:?}, with a cosine of at least {}: the left name counts as the right one.\n\
             # Behind each line: the cosine, in how many documents the left name is, the right one, and both of them.\n\
             # Look through it, take out what is wrong, and name this file as `graph.merges` in the configuration.\n\n",
            self.model, self.threshold
        );
        for Merge { alias, name, cosine, documents: Documents { alias: left, name: right, both } } in &self.merges {
            let line = toml::to_string(&BTreeMap::from([(alias, name)])).context("a name has no form in TOML")?;
            writeln!(text, "{}  # {cosine:.4}; {left}, {right}, {both}", line.trim_end())?;
        }
        Ok(text)
    }

    fn summary(&self, path: &Path) -> Result<String, std::fmt::Error> {
        let (names, documents) = (count(self.names as u64, "name"), count(self.documents as u64, "document"));
        let merges = count(self.merges.len() as u64, "merge");
        let mut text = format!("{names} of {documents}, {merges} with a cosine of at least {}\n", self.threshold);
        writeln!(text, "spent now: {}", text::of_spent(self.spent))?;
        let mut doubtful: Vec<&Merge> = self.merges.iter().collect();
        doubtful.sort_by(|one, other| one.cosine.total_cmp(&other.cosine).then_with(|| one.alias.cmp(&other.alias)));
        if !doubtful.is_empty() {
            writeln!(text, "the most doubtful:")?;
        }
        for Merge { alias, name, cosine, documents: Documents { both, .. } } in doubtful.into_iter().take(DOUBTFUL) {
            let both = count(*both as u64, "document");
            writeln!(text, "  {cosine:.4}  {alias:?} counts as {name:?} (both in {both})")?;
        }
        writeln!(text, "written to {}; look through it, and name it as `graph.merges` to apply it", path.display())?;
        Ok(text)
    }
}
