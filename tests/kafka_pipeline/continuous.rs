//! `run` without end: it takes what comes, and ends well when it is told to.

use crate::project::{Project, by_level, document, documents_of, id};

#[test]
fn a_run_takes_documents_as_they_come_and_ends_on_sigterm() {
    let Some(project) = Project::new("continuous").map(Project::created) else { return };
    let mut run = project.start(&[]);
    let mut produced = 0;
    for wanted in [1, 20] {
        for number in produced..produced + 6 {
            project.kcat.produce("documents", &id(number), Some(document(number).to_string().as_bytes()));
        }
        produced += 6;
        run.until("kcat sees samples", || (project.samples().len() >= wanted).then_some(()));
    }
    let of_all = |levels: &[usize; 3]| levels.iter().all(|count| *count > 0);
    run.until("all levels have samples", || Some(by_level(&project.samples())).filter(of_all));
    let victim = documents_of(project.samples().values().next().unwrap())[0].to_owned();
    project.kcat.produce("documents", &victim, None);
    let stands = || project.samples().values().any(|sample| documents_of(sample).contains(&victim.as_str()));
    run.until("a deleted document's samples go", || (!stands()).then_some(()));
    run.signal("TERM");
    let said = run.succeeds();
    assert!(!said.contains("ERROR"), "{said}");
    assert_eq!(project.samples(), project.exported());
}
