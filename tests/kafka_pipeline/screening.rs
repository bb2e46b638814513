//! Screening on a real broker, by one process and by several: what is let in follows the settings, and of equal texts the first.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use synthllm_testkit::screening::{EMBEDDER, model};

use crate::cluster::start;
use crate::project::{Project, document, quoted};

/// Documents on operators are let in, and with a lower threshold all others.
fn screened(project: Project) -> Project {
    let text = |number| document(number)["text"].as_str().unwrap().to_owned();
    let rated = |text: String| (text.clone(), if text.contains("operator") { 9.0 } else { 4.0 });
    let model = model(&(0..200).map(|number| rated(text(number))).collect::<Vec<_>>());
    std::fs::write(project.path("operators.model"), model.to_bytes()).unwrap();
    project.set("screen.model", &quoted("operators.model")).set("llm.embed.model", &quoted(EMBEDDER))
}

fn let_in(project: &Project) -> BTreeSet<String> {
    project.kcat.live("extractions").into_keys().collect()
}

fn asked(project: &Project, task: &str) -> u32 {
    project.server.counts().values().filter(|count| count.task == task).map(|count| count.requests).sum()
}

#[test]
fn another_threshold_lets_in_and_out_what_two_processes_share() {
    let Some(project) = Project::new("screening").map(|project| screened(project).created()) else { return };
    project.ingest(0..16);
    start(&project, 2, &["--drain"]).into_iter().for_each(|run| _ = run.succeeds());
    let (first, samples) = (let_in(&project), project.samples());
    assert!(!first.is_empty() && first.len() < 16, "{first:?}");
    assert_eq!(project.kcat.live("scores").len(), 16);
    assert_eq!((asked(&project, "embedding"), asked(&project, "extraction")), (16, first.len() as u32));

    let project = project.set("screen.threshold", "1.0");
    start(&project, 2, &["--drain"]).into_iter().for_each(|run| _ = run.succeeds());
    assert_eq!(let_in(&project).len(), 16);
    assert_eq!((asked(&project, "embedding"), asked(&project, "extraction")), (16, 16));
    let now = project.samples();
    assert!(samples.iter().all(|(id, sample)| now.get(id) == Some(sample)), "what stays keeps its samples");

    let project = project.set("screen.threshold", "6.5");
    project.drain();
    assert_eq!(let_in(&project), first);
    assert_eq!((asked(&project, "embedding"), asked(&project, "extraction")), (16, 16));
    let stands = |id: &str| first.contains(id);
    assert!(project.samples().values().all(|sample| crate::project::documents_of(sample).into_iter().all(stands)));
    let listed = project.ok(&["screen", "list", "--json"]);
    assert_eq!(listed.lines().count(), 16 - first.len(), "{listed}");
}

/// Of each text the document whose record stands first: by offset, then by partition.
fn first_of_each_text(project: &Project) -> BTreeSet<String> {
    let mut live = BTreeMap::new();
    for record in project.kcat.read("documents") {
        let id = record.key_text();
        match &record.value {
            Some(value) => {
                let document: Value = serde_json::from_slice(value).unwrap();
                live.insert(id, (record.offset, record.partition, document["text"].as_str().unwrap().to_owned()));
            }
            None => _ = live.remove(&id),
        }
    }
    let mut firsts: BTreeMap<String, (u64, u32, String)> = BTreeMap::new();
    for (id, (offset, partition, text)) in live {
        let place = (offset, partition, id);
        let first = firsts.entry(text).or_insert_with(|| place.clone());
        *first = place.min(first.clone());
    }
    firsts.into_values().map(|(_, _, id)| id).collect()
}

#[test]
fn of_equal_texts_several_processes_let_in_the_first_until_it_goes() {
    let Some(project) = Project::new("twins").map(Project::created) else { return };
    let project = project.set("screen.near_duplicates", "1.0");
    // Three documents of each text, wherever their ids put them.
    let copy = |number: u32| {
        let mut document = document(number % 6);
        document["id"] = format!("copy-{number}").into();
        document
    };
    project.ingest_all(&(0..18).map(copy).collect::<Vec<_>>());
    for processes in [2, 3] {
        start(&project, processes, &["--drain"]).into_iter().for_each(|run| _ = run.succeeds());
        let first = let_in(&project);
        assert_eq!(first, first_of_each_text(&project), "{processes} processes");
        let stands = |id: &str| first.contains(id);
        assert!(project.samples().values().all(|sample| crate::project::documents_of(sample).into_iter().all(stands)));
        first.iter().take(4).for_each(|id| project.kcat.produce("documents", id, None));
    }
    let asked = asked(&project, "extraction");
    start(&project, 2, &["--drain", "-w", "2"]).into_iter().for_each(|run| _ = run.succeeds());
    assert_eq!(let_in(&project), first_of_each_text(&project));
    assert!(self::asked(&project, "extraction") >= asked + 2, "what is released is extracted");
    assert_eq!(project.kcat.live("scores").len(), 10);
}
