//! A small world of samples and documents, and what is made of it.

use std::collections::BTreeMap;

use synthllm_operators::id::DocumentId;
use synthllm_operators::record::{Pointer, Sample, SampleDocument, SampleProvenance, Usage};
use synthllm_operators::upsert::Content;
use synthllm_report::{Counted, Diversity, Graph, Report, Sampling, Survey};

const WORDS: [&str; 16] = [
    "prime", "matrix", "of", "the", "sum", "find", "limit", "square", "circle", "How", "many", "integral", "is", "even",
    "tensor", "proof",
];

pub fn sample(number: usize, level: u8, question: &str, documents: &[usize]) -> Sample {
    let cited = |document: &usize| SampleDocument {
        id: format!("document-{document}"),
        version: "0:0".to_owned(),
        jaccard: 1.0,
        source: None,
        license: None,
    };
    Sample {
        id: format!("{number:032x}"),
        level,
        question: question.to_owned(),
        answer: (!number.is_multiple_of(5)).then(|| format!("{question} {question}")),
        concepts: Vec::new(),
        topics: Vec::new(),
        provenance: SampleProvenance {
            combination: String::new(),
            walk: Vec::new(),
            documents: documents.iter().map(cited).collect(),
            models: BTreeMap::new(),
            prompts: BTreeMap::new(),
        },
        scores: BTreeMap::from([("agreement".to_owned(), (number % 4) as f64 / 4.0)]),
        usage: Usage { calls: 2, prompt_tokens: 10 * u64::from(level), completion_tokens: 7 },
        cost: 0.5 * f64::from(level),
    }
}

/// Samples of all levels on twelve documents; every ninth question is one before it, of which one word in twenty is changed.
pub fn world(count: usize) -> Vec<Sample> {
    let mut random = fastrand::Rng::with_seed(7);
    let mut samples: Vec<Sample> = Vec::new();
    for number in 0..count {
        let level = (number % 3 + 1) as u8;
        let documents: Vec<usize> = (0..if level == 3 { 2 } else { 1 }).map(|_| random.usize(0..12)).collect();
        let question = if number % 9 == 8 {
            let mut words: Vec<&str> = samples[random.usize(0..number)].question.split(' ').collect();
            *words.last_mut().expect("a question has words") = "altogether?";
            words.join(" ")
        } else {
            let length = random.usize(20..60);
            (0..length).map(|_| random.choice(WORDS).expect("there are words")).collect::<Vec<_>>().join(" ")
        };
        let mut it = sample(number, level, &question, &documents);
        it.topics = vec![format!("Topic {}", random.usize(0..5)), "topic 0".to_owned()];
        it.concepts = if level == 1 { Vec::new() } else { (0..2).map(|_| format!("KC  {}", random.usize(0..30))).collect() };
        samples.push(it);
    }
    samples
}

fn content(topics: &[&str], key_concepts: &[String]) -> Content {
    Content {
        version: Pointer { partition: 0, offset: 0 },
        text: None,
        topics: topics.iter().map(|name| (*name).to_owned()).collect(),
        key_concepts: key_concepts.to_vec(),
        capped: false,
    }
}

/// Twenty documents came, of which one went and one came again with other concepts.
pub fn graph() -> Graph {
    let mut graph = Graph::default();
    let id = |number: usize| DocumentId::of(&format!("document-{number}"));
    for number in 0..20 {
        let key_concepts: Vec<String> = (0..3).map(|nth| format!("kc {}", (number + nth) % 25)).collect();
        graph.upsert(id(number), Some(&content(&["topic 0", "topic 7"], &key_concepts)));
    }
    graph.upsert(id(19), None);
    graph.upsert(id(18), Some(&content(&["topic 1"], &["kc 99".to_owned()])));
    graph
}

pub fn survey(samples: &[Sample]) -> Survey {
    let mut survey = Survey::default();
    samples.iter().for_each(|sample| survey.add(sample));
    survey
}

pub fn diversity(samples: &[Sample], sampling: Sampling) -> Diversity {
    let mut diversity = survey(samples).diversity(sampling);
    for sample in samples {
        let documents: Vec<DocumentId> =
            sample.provenance.documents.iter().map(|document| DocumentId::of(&document.id)).collect();
        if diversity.wants(&documents) {
            diversity.add(sample);
        }
    }
    diversity
}

pub fn report(samples: &[Sample], counted: Counted) -> Report {
    let cosines = diversity(samples, Sampling::default()).by_words();
    survey(samples).report("tests", &graph(), counted, cosines)
}
