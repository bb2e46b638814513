//! Documents to measure with: made by Zipf's law, or from the concepts of real ones.

use std::io::BufRead;
use std::path::PathBuf;

use synthllm_operators::normal::concept_name;
use synthllm_operators::record::Pointer;
use synthllm_operators::upsert::{Content, Entry};

use crate::SHARDS;

const ZIPF_TOPICS: usize = 32_000;
const ZIPF_KEY_CONCEPTS: usize = 168_000;

/// Topics and key concepts of a document, by place in the corpus' lists of names.
type Mentions = (Vec<u32>, Vec<u32>);

/// An endless supply of documents.
pub struct Corpus {
    pub name: String,
    pub topics: Vec<String>,
    key_concepts: Vec<String>,
    source: Source,
}

enum Source {
    /// Two topics and eight key concepts each; the cumulated weights of the ranks.
    Zipf(Vec<f64>, Vec<f64>),
    /// The documents of a file, again and again.
    File(Vec<Mentions>),
}

impl Corpus {
    /// Ten concepts a document, from Zipf's law over 200,000.
    pub fn zipf() -> Corpus {
        Corpus {
            name: "ten concepts a document, Zipf over 200,000".to_owned(),
            topics: (0..ZIPF_TOPICS).map(|rank| format!("topic number {rank}")).collect(),
            key_concepts: (0..ZIPF_KEY_CONCEPTS).map(|rank| format!("concept number {rank}")).collect(),
            source: Source::Zipf(cumulated(ZIPF_TOPICS), cumulated(ZIPF_KEY_CONCEPTS)),
        }
    }

    /// The concepts of real documents; `None` where the file is not there.
    pub fn file(file: &str) -> Option<Corpus> {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data").join(file);
        let lines = std::io::BufReader::new(zstd::stream::read::Decoder::new(std::fs::File::open(path).ok()?).ok()?).lines();
        let (mut topics, mut key_concepts) = (Names::default(), Names::default());
        let mut documents = Vec::new();
        for line in lines {
            let document: serde_json::Value =
                serde_json::from_str(&line.expect("the file is whole")).expect("lines are JSON");
            documents.push((topics.places(&document["topics"]), key_concepts.places(&document["concepts"])));
        }
        Some(Corpus {
            name: file.to_owned(),
            topics: topics.names,
            key_concepts: key_concepts.names,
            source: Source::File(documents),
        })
    }

    /// Whether the documents are made, not read from a file.
    pub fn is_made(&self) -> bool {
        matches!(self.source, Source::Zipf(..))
    }

    /// How many documents the file has.
    pub fn len(&self) -> usize {
        match &self.source {
            Source::Zipf(..) => usize::MAX,
            Source::File(documents) => documents.len(),
        }
    }

    /// The documents of a round: the same ids in every round, other concepts, later offsets.
    pub fn documents(&self, round: u64) -> impl Iterator<Item = Entry> + '_ {
        let mut random = Random(round.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 1);
        (0u64..).map(move |number| {
            let (topics, key_concepts) = match &self.source {
                Source::Zipf(topics, concepts) => (random.distinct(topics, 2), random.distinct(concepts, 8)),
                Source::File(documents) => documents[(number + 7 * round) as usize % documents.len()].clone(),
            };
            self.entry(number, round, &topics, &key_concepts)
        })
    }

    fn entry(&self, number: u64, round: u64, topics: &[u32], key_concepts: &[u32]) -> Entry {
        let partition = (number % u64::from(SHARDS)) as u32;
        let here = Pointer { partition, offset: round * 10_000_000 + number };
        let names = |places: &[u32], names: &[String]| places.iter().map(|&place| names[place as usize].clone()).collect();
        let (topics, key_concepts) = (names(topics, &self.topics), names(key_concepts, &self.key_concepts));
        let content = Content { version: here, text: Some(here), topics, key_concepts, capped: false };
        Entry { document: format!("document-{number}"), partition, offset: here.offset, content: Some(content) }
    }
}

#[derive(Default)]
struct Names {
    names: Vec<String>,
    places: std::collections::HashMap<String, u32>,
}

impl Names {
    /// The places of a JSON list of names, each once.
    fn places(&mut self, list: &serde_json::Value) -> Vec<u32> {
        let names = list.as_array().into_iter().flatten().filter_map(serde_json::Value::as_str).map(concept_name);
        let mut places = Vec::new();
        for name in names {
            let place = *self.places.entry(name.clone()).or_insert_with(|| {
                self.names.push(name);
                (self.names.len() - 1) as u32
            });
            if !places.contains(&place) {
                places.push(place);
            }
        }
        places
    }
}

fn cumulated(ranks: usize) -> Vec<f64> {
    let mut sum = 0.0;
    let weight = |rank| {
        sum += 1.0 / (rank + 1) as f64;
        sum
    };
    (0..ranks).map(weight).collect()
}

/// `SplitMix64`: enough to make documents.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((u128::from(mixed ^ (mixed >> 31)) * u128::from(bound)) >> 64) as u64
    }

    fn distinct(&mut self, cumulated: &[f64], count: usize) -> Vec<u32> {
        let total = cumulated.last().expect("there are ranks");
        let mut ranks = Vec::with_capacity(count);
        while ranks.len() < count {
            let place = self.below(1 << 53) as f64 / (1u64 << 53) as f64 * total;
            let rank = cumulated.partition_point(|&sum| sum <= place) as u32;
            if !ranks.contains(&rank) {
                ranks.push(rank);
            }
        }
        ranks
    }
}
