//! All that is said of the samples, as JSON says it.

use serde::Serialize;

use crate::buckets::{Buckets, buckets};
use crate::cosine::Cosines;
use crate::counted::Counted;
use crate::coverage::{Coverage, MostUsed};
use crate::funnel::{Funnel, funnel};
use crate::graph::Graph;
use crate::survey::{Length, OfLevel, Survey};
use crate::tally::{Distribution, Lengths, Tally, alike};
use crate::{LEVELS, share};

/// The report. Costs are in the currency of the configured prices.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Report {
    /// Whose samples these are.
    pub app: String,
    /// Sums.
    pub totals: Totals,
    /// Level by level, those without samples too.
    pub levels: Vec<LevelReport>,
    /// From combinations to samples.
    pub funnel: Funnel,
    /// What samples have cost, with all that was paid for and is no sample.
    pub costs: Costs,
    /// Topics that samples name.
    pub topics: Coverage,
    /// Key concepts that samples name.
    pub key_concepts: Coverage,
    /// Of all topics of live documents: how many are named by so many samples.
    pub topic_uses: Buckets,
    /// The same of key concepts.
    pub key_concept_uses: Buckets,
    /// The topics that most samples name.
    pub most_used_topics: Vec<MostUsed>,
    /// The key concepts that most samples name.
    pub most_used_key_concepts: Vec<MostUsed>,
    /// Of all live documents: how many have so many samples.
    pub samples_per_document: Buckets,
    /// The cosines of questions of one document.
    pub cosines: Cosines,
    /// The scores that samples carry, by name.
    pub scores: Vec<Score>,
    /// What the roles have counted since the first start of the app.
    pub counted: Counted,
}

/// Sums.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Totals {
    /// Samples that stand.
    pub samples: u64,
    /// Of these, with an answer.
    pub answered: u64,
    /// Live documents.
    pub documents: u64,
    /// Of these, cited by samples.
    pub cited: u64,
}

/// What is said of a level.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct LevelReport {
    /// 1, 2 or 3.
    pub level: u8,
    /// Samples that stand.
    pub samples: u64,
    /// The lengths of their questions.
    pub question: Lengths,
    /// The lengths of their answers.
    pub answer: Lengths,
    /// Questions that say the same.
    pub duplicates: Duplicates,
    /// Topics that they name.
    pub topics: Coverage,
    /// Key concepts that they name.
    pub key_concepts: Coverage,
    /// Calls of the model a sample, of those calls that made it; null without samples.
    pub calls_per_sample: Option<f64>,
    /// Tokens of the prompts of these calls a sample.
    pub prompt_tokens_per_sample: Option<f64>,
    /// Tokens of their answers a sample.
    pub completion_tokens_per_sample: Option<f64>,
    /// Their cost a sample.
    pub cost_per_sample: Option<f64>,
}

/// Questions of a level that say the same as another one, of whatever level.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Duplicates {
    /// Questions that the model wrote, since the first start of the app.
    pub written: u64,
    /// Of these dropped, because their folded text is that of another sample's question.
    pub exact: u64,
    /// `exact / written`; null without questions.
    pub exact_share: Option<f64>,
    /// Of the samples that stand, those whose question is similar to that of an earlier one (in the order of ids) that is not so itself: a Jaccard
    /// similarity of word 5-shingles of at least 0.8. They are counted, not dropped.
    pub near: u64,
    /// `near / samples`; null without samples.
    pub near_share: Option<f64>,
}

/// All that was paid, over the samples that stand: extraction, questions that were dropped, candidates that lost and samples that were withdrawn included.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Costs {
    /// Tokens of prompts and answers.
    pub tokens: u64,
    /// Cost.
    pub cost: f64,
    /// Tokens a sample; null without samples.
    pub tokens_per_sample: Option<f64>,
    /// Cost a sample.
    pub cost_per_sample: Option<f64>,
}

/// A score that samples carry.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Score {
    /// Its name.
    pub name: String,
    /// Samples that carry it.
    pub samples: u64,
    /// Their mean.
    pub mean: f64,
    /// The least.
    pub least: f64,
    /// The greatest.
    pub most: f64,
}

impl Survey {
    /// The report, on the samples that were taken.
    pub fn report(self, app: &str, graph: &Graph, counted: Counted, cosines: Cosines) -> Report {
        let nodes = graph.nodes();
        let ([topics, key_concepts], [topic_nodes, key_concept_nodes]) = (&self.named.0, &nodes);
        let samples = self.levels.iter().map(|level| level.samples).sum();
        let (cited, samples_per_document) = self.on_documents(graph);
        Report {
            app: app.to_owned(),
            totals: Totals {
                samples,
                answered: self.levels.iter().map(|level| level.answer.words.distribution(1).count).sum(),
                documents: graph.documents(),
                cited,
            },
            levels: self.of_levels(&nodes, &counted),
            funnel: funnel(&counted, samples),
            costs: costs(&counted, samples),
            topics: topics.overall(topic_nodes),
            key_concepts: key_concepts.overall(key_concept_nodes),
            topic_uses: topics.uses(topic_nodes),
            key_concept_uses: key_concepts.uses(key_concept_nodes),
            most_used_topics: topics.most_used(topic_nodes),
            most_used_key_concepts: key_concepts.most_used(key_concept_nodes),
            samples_per_document,
            cosines,
            scores: self.scores(),
            counted,
        }
    }

    /// How many live documents are cited, and how many samples each live document has.
    fn on_documents(&self, graph: &Graph) -> (u64, Buckets) {
        let mut tally = Tally::default();
        let live = self.documents.iter().filter(|(document, _)| graph.lives(**document));
        live.for_each(|(_, samples)| tally.add(samples.iter().copied().map(u64::from).sum()));
        let cited = tally.distribution(1).count;
        tally.add_times(0, graph.documents() - cited);
        (cited, buckets(&tally))
    }

    fn of_levels(&self, nodes: &[crate::graph::Nodes; 2], counted: &Counted) -> Vec<LevelReport> {
        let [topics, key_concepts] = &self.named.0;
        let near = self.near.held();
        let lengths = |of: fn(&OfLevel) -> &Length| of_texts(self.levels.each_ref().map(of));
        let texts = lengths(|level| &level.question).into_iter().zip(lengths(|level| &level.answer));
        let all = LEVELS.into_iter().zip(&self.levels).enumerate().zip(texts);
        let of_level =
            |((place, (level, of)), (question, answer)): ((usize, (u8, &OfLevel)), (Lengths, Lengths))| LevelReport {
                level,
                samples: of.samples,
                question,
                answer,
                duplicates: Duplicates {
                    written: counted.questions[place],
                    exact: counted.duplicates[place],
                    exact_share: share(counted.duplicates[place], counted.questions[place]),
                    near: near[place],
                    near_share: share(near[place], of.samples),
                },
                topics: topics.at(level, &nodes[0]),
                key_concepts: key_concepts.at(level, &nodes[1]),
                calls_per_sample: share(of.calls, of.samples),
                prompt_tokens_per_sample: share(of.usage.prompt_tokens, of.samples),
                completion_tokens_per_sample: share(of.usage.completion_tokens, of.samples),
                cost_per_sample: (of.samples > 0).then(|| of.cost / of.samples as f64),
            };
        all.map(of_level).collect()
    }

    fn scores(&self) -> Vec<Score> {
        let score = |(name, scored): (&String, &crate::survey::Scored)| Score {
            name: name.clone(),
            samples: scored.samples,
            mean: scored.sum / scored.samples as f64,
            least: scored.least,
            most: scored.most,
        };
        self.scores.iter().map(score).collect()
    }
}

/// The lengths at each level, with bins that can be laid over each other.
fn of_texts(levels: [&Length; 3]) -> [Lengths; 3] {
    let words: [Distribution; 3] = alike(levels.map(|length| &length.words));
    let characters = alike(levels.map(|length| &length.characters));
    let mut characters = characters.into_iter();
    words.map(|words| Lengths { words, characters: characters.next().unwrap_or_default() })
}

fn costs(counted: &Counted, samples: u64) -> Costs {
    let tokens = counted.prompt_tokens + counted.completion_tokens;
    Costs {
        tokens,
        cost: counted.cost,
        tokens_per_sample: share(tokens, samples),
        cost_per_sample: (samples > 0).then(|| counted.cost / samples as f64),
    }
}
