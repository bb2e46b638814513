//! What is done in a run: documents, then changes, of the filters too; and what comes out when nobody disturbs it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value, json};
use synthllm_log::{LogName, partition};
use synthllm_operators::provenance::Withdraw;
use synthllm_operators::record::{Combination, Sample};
use synthllm_screening::Model;
use synthllm_testkit::corpus::{any_document, corpus, id, mark};
use synthllm_testkit::judge;
use synthllm_testkit::project::{PARTITIONS, Project, write_lines};
use synthllm_testkit::screening::{EMBEDDER, model};
use synthllm_testkit::scripted::{Options, ScriptedServer};

/// How many scenarios there are.
pub const SCENARIOS: u64 = 7;

/// The one with targets.
const TARGETS: u64 = 6;

/// Where documents are screened, those that have another with a similar text behind them: some that change or go, and some that stay.
const TWINS: [u64; 5] = [0, 1, 2, 5, 7];

/// How similar.
const SIMILAR: f64 = 0.6;

/// A corpus with its settings, by number.
#[derive(Clone, Copy)]
pub struct Scenario(u64);

/// The two parts of a run. Each is drained before the next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    /// Documents arrive.
    Insert,
    /// Some change, some go, some are new.
    Change,
}

impl Part {
    /// Both, in order.
    pub const ALL: [Part; 2] = [Part::Insert, Part::Change];
}

/// What must stand in the logs after a part.
#[derive(PartialEq, Debug)]
pub struct State {
    /// Samples by question; only the question where it is contested.
    pub samples: BTreeMap<String, Option<Sample>>,
    /// All combinations that were ever issued, without the places of records, which are a matter of timing.
    pub combinations: BTreeMap<String, String>,
}

/// What an undisturbed run leads to.
pub struct Expected {
    /// After each part.
    pub states: Vec<State>,
    /// How long it took.
    pub took: Duration,
    /// Questions that several combinations ask.
    pub contested: BTreeSet<String>,
}

impl Scenario {
    pub fn new(number: u64) -> Self {
        Scenario(number)
    }

    /// How many documents there are before the changes.
    pub fn documents(self) -> u64 {
        8 + 3 * self.0
    }

    pub fn withdraw(self) -> Withdraw {
        if self.0.is_multiple_of(2) { Withdraw::Deleted } else { Withdraw::DeletedOrChanged }
    }

    pub fn server(self) -> ScriptedServer {
        ScriptedServer::start(Options {
            // Which combination holds a contested question is a matter of timing, and so would be what is drawn for a target.
            duplicate_rate: if self.0 == TARGETS { 0.0 } else { 0.15 },
            unsuitable_rate: 0.2,
            latency: Duration::from_millis(3 + self.0),
            ..Options::default()
        })
    }

    pub fn project(self, server: &ScriptedServer) -> Project {
        let mut project = Project::new(env!("CARGO_BIN_EXE_synthllm"), &server.endpoint());
        let withdraw = if self.withdraw() == Withdraw::Deleted { "\"deleted\"" } else { "\"deleted-or-changed\"" };
        project.set("generate.withdraw", withdraw).set("llm.max_in_flight", 6).set("generate.questions.level1", 2);
        project.set("sampling.seed", self.0);
        if self.0 % 2 == 1 {
            project.set("generate.calls", "{ level1 = 3, level2 = 2, level3 = 1 }");
        }
        if self.0 == TARGETS {
            project.set("generate.target", "{ level1 = 23, level2 = 17, level3 = 12 }").set("sampling.epochs", 8);
        } else if self.0 >= 2 {
            project.set("sampling.limit", "{ level1 = 7, level2 = 6, level3 = 8 }").set("sampling.epochs", 3);
        }
        if self.0 == 3 {
            project.set("generate.judge", true);
        }
        project.set("filters.benchmarks", "[{ file = \"known.jsonl\" }]").set("filters.benchmark_words", 9);
        if self.is_screened() {
            std::fs::write(project.file("matrices.model"), matrices().to_bytes()).expect("the folder is writable");
            project.set("screen.model", "\"matrices.model\"").set("llm.embed.model", format!("{EMBEDDER:?}"));
            project.set("screen.near_duplicates", SIMILAR);
        }
        project.keep_trimmed();
        project
    }

    /// Whether the filters hold back the questions of level 1. Where they do before the changes they don't after them, and the other
    /// way round; in the first scenario and in that with targets they never do.
    fn holds_back(self, part: Part) -> bool {
        self.0 > 0 && self.0 != TARGETS && (self.0 % 2 == 1) == (part == Part::Insert)
    }

    /// Writes the benchmark: nine words of all questions of level 1, or of none.
    fn set_filters(self, part: Part, project: &Project) {
        let of_level_1 = "Given this article, what is the value in case";
        let of_none = "These are nine words that no question ever repeats";
        let known = if self.holds_back(part) { of_level_1 } else { of_none };
        write_lines(&project.file("known.jsonl"), [json!({"question": known}).to_string()]);
    }

    /// Whether documents are screened before they are extracted.
    fn is_screened(self) -> bool {
        self.0 == 5
    }

    /// Brings about what a part begins with.
    pub fn begin(self, part: Part, project: &Project) {
        self.set_filters(part, project);
        if part == Part::Insert {
            let twins = if self.is_screened() { TWINS.map(twin).to_vec() } else { Vec::new() };
            return project.ingest(&[corpus(self.documents()), twins].concat());
        }
        let changed = [any_document(1, 1), any_document(2, 1), any_document(3, 0)];
        let new = [any_document(100, 0), any_document(101, 0)];
        project.ingest(&[changed.to_vec(), new.to_vec()].concat());
        project.delete(&[&id(0), &id(5)]);
        project.append(b"bad", Some(b"no document"));
    }

    /// The run that nobody disturbs.
    pub fn undisturbed(self) -> Expected {
        let server = self.server();
        let project = self.project(&server);
        let started = std::time::Instant::now();
        let mut took = Duration::ZERO;
        let mut looks = Vec::new();
        for part in Part::ALL {
            self.begin(part, &project);
            let started = std::time::Instant::now();
            project.drain();
            took = took.max(started.elapsed());
            assert_eq!(judge::violations(&project.logs(), self.withdraw()), Vec::<String>::new());
            assert_eq!(!project.logs().held().is_empty(), self.holds_back(part), "what is held back in {part:?}");
            if self.is_screened() {
                let released = project.logs().extractions().into_keys().filter(|id| id.starts_with("twin")).count();
                assert_eq!(released > 0, part == Part::Change, "{released} are released in {part:?}");
            }
            let samples = project.logs().samples();
            if self.0 == TARGETS {
                let of_level = |level: u8| samples.values().filter(|sample| sample.level == level).count();
                assert_eq!([1, 2, 3].map(of_level), [23, 17, 12], "{part:?}");
            }
            looks.push((samples, combinations(&project)));
        }
        println!("scenario {}: undisturbed in {:?}, a drain in {took:?}", self.0, started.elapsed());
        let contested = contested(&server);
        let states = Part::ALL.into_iter().zip(looks).map(|(part, look)| state(part, look.0, look.1, &contested)).collect();
        Expected { states, took, contested }
    }

    /// What stands in the logs after a part.
    pub fn state(part: Part, project: &Project, contested: &BTreeSet<String>) -> State {
        state(part, project.logs().samples(), combinations(project), contested)
    }
}

/// A document with a text like that of another one, in the same partition, so that it always comes behind it.
fn twin(number: u64) -> Value {
    let mut document = any_document(number, 0);
    let of_key = |key: &str| partition::of_key(Some(key.as_bytes()), PARTITIONS);
    let ids = (0..).map(|attempt| format!("twin-{number}-{attempt}"));
    let id = ids.into_iter().find(|twin| of_key(twin) == of_key(&id(number))).expect("there are many ids");
    let text = document["text"].as_str().expect("a text").replace(&mark(number, 0), &mark(300 + number, 0));
    (document["id"], document["text"]) = (id.into(), text.into());
    document
}

/// A screening model that lets in what has to do with matrices.
fn matrices() -> Model {
    let texts = (0..120).map(|number| any_document(number, number % 2)["text"].as_str().expect("a text").to_owned());
    let rating = |text: &str| if text.contains("matrix") { 9.0 } else { 2.0 };
    model(&texts.map(|text| (text.clone(), rating(&text))).collect::<Vec<_>>())
}

/// Once a holder may have gone with its document, who held a contested question decides whether it is still asked.
fn state(
    part: Part,
    samples: BTreeMap<String, Sample>,
    combinations: BTreeMap<String, String>,
    contested: &BTreeSet<String>,
) -> State {
    let mut samples = judge::comparable(&samples, |question| is_contested(question, contested));
    if part == Part::Change {
        samples.retain(|_, sample| sample.is_some());
    }
    State { samples, combinations }
}

/// Whether more than one combination may ask this.
pub fn is_contested(question: &str, contested: &BTreeSet<String>) -> bool {
    question.contains("shared question") || contested.contains(question)
}

/// The questions of requests that several combinations made with the same words.
fn contested(server: &ScriptedServer) -> BTreeSet<String> {
    let counts = server.counts();
    let twice = counts.values().filter(|count| count.requests > 1 && count.task != "answer");
    twice.flat_map(|count| questions(&count.completion)).collect()
}

/// The questions in the body of a completion.
fn questions(completion: &str) -> Vec<String> {
    let completion: Value = serde_json::from_str(completion).expect("the server answers JSON");
    let content = completion["choices"][0]["message"]["content"].as_str().unwrap_or_default();
    let answer: Value = serde_json::from_str(content).unwrap_or_default();
    let questions = answer["questions"].as_array().cloned().unwrap_or_default();
    questions.iter().filter_map(|question| Some(question["question"].as_str()?.to_owned())).collect()
}

/// All combinations that were ever issued, by id.
fn combinations(project: &Project) -> BTreeMap<String, String> {
    let now = project.logs().records(LogName::Combinations).into_iter().filter_map(|record| record.value);
    let trimmed = project.kept(LogName::Combinations).into_iter().map(|(_, value)| value);
    now.chain(trimmed).map(|value| Combination::of_record(&value).expect("a combination")).map(described).collect()
}

fn described((combination, most): (Combination, Option<u32>)) -> (String, String) {
    // A run that is started again begins a settlement of its own when the last one was closed: numbers depend on the kills.
    let Combination { id, level, walk, references, seed, start, settlement: _ } = combination;
    let references: Vec<_> =
        references.into_iter().map(|reference| (reference.document, reference.version, reference.jaccard)).collect();
    (id.to_string(), format!("{level} {walk:?} {references:?} {seed} {start:?} {most:?}"))
}
