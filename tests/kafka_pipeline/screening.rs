//! Screening on a real broker, by one process and by two: what is let in follows the settings.

use std::collections::BTreeSet;

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
