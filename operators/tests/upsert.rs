//! What an extraction becomes in the graph.

use synthllm_operators::aliases::Aliases;
use synthllm_operators::record::{Extraction, Pointer, Topic, Usage};
use synthllm_operators::subsets::{Subsets, concept_of, subset_of};
use synthllm_operators::upsert::{Entry, Naming};

fn naming(max_concepts: usize, aliases: &Aliases, subsets: Subsets) -> Naming<'_> {
    Naming { max_concepts, aliases, subsets }
}

fn extraction(topics: &[(&str, &[&str])], key_concepts: &[&str]) -> Extraction {
    let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    let here = Pointer { partition: 0, offset: 0 };
    Extraction {
        text: None,
        version: here,
        since: here,
        redo: 0,
        redone: here,
        content_hash: 0,
        level: None,
        subject: None,
        topics: topics.iter().map(|(name, under)| Topic { name: (*name).to_owned(), key_concepts: names(under) }).collect(),
        key_concepts: names(key_concepts),
        source: None,
        url: None,
        license: None,
        model: None,
        prompt: None,
        usage: Usage::default(),
        cost: 0.0,
    }
}

#[test]
fn concepts_are_normalised_and_count_once() {
    let extraction = extraction(
        &[("Real  Analysis", &["Limit", "series"]), ("real analysis", &["LIMIT"])],
        &["Series", "  ", "Limit of a sum"],
    );
    let content = Entry::of(
        "a",
        Pointer { partition: 3, offset: 9 },
        Some((&extraction).into()),
        &naming(200, &Aliases::default(), Subsets::None),
    )
    .content
    .expect("it is live");
    assert_eq!(content.topics, ["real analysis"]);
    assert_eq!(content.key_concepts, ["limit", "series", "limit of a sum"]);
    assert!(!content.capped);
}

#[test]
fn beyond_the_cap_concepts_are_left_out_and_flagged() {
    let extraction = extraction(&[("t", &["a", "b"]), ("s", &["c"])], &["d"]);
    let with_cap = |cap| {
        Entry::of(
            "a",
            Pointer { partition: 0, offset: 0 },
            Some((&extraction).into()),
            &naming(cap, &Aliases::default(), Subsets::None),
        )
        .content
        .expect("it is live")
    };
    let content = with_cap(4);
    assert_eq!((content.topics.join(" "), content.key_concepts.join(" ")), ("t s".to_owned(), "a b".to_owned()));
    assert!(content.capped);
    assert_eq!(with_cap(1).topics, ["t"]);
    assert!(!with_cap(6).capped);
}

#[test]
fn a_tombstone_has_no_content() {
    let entry = Entry::of("a", Pointer { partition: 1, offset: 2 }, None, &naming(200, &Aliases::default(), Subsets::None));
    assert_eq!((entry.partition, entry.offset, entry.content), (1, 2, None));
}

#[test]
fn a_concept_is_a_node_of_its_documents_subset() {
    let aliases = Aliases::new([("SVM", "support vector machine")]).expect("it makes sense");
    let mut extraction = extraction(&[("t", &["SVM"])], &["Support Vector Machine"]);
    extraction.source = Some("Wiki".to_owned());
    let of = |subsets| {
        let naming = naming(200, &aliases, subsets);
        let entry = Entry::of("a", Pointer { partition: 0, offset: 0 }, Some((&extraction).into()), &naming);
        entry.content.expect("it is live")
    };
    let content = of(Subsets::Source);
    assert_eq!(
        content.topics.iter().map(|name| (subset_of(name), concept_of(name))).collect::<Vec<_>>(),
        [(Some("wiki"), "t")]
    );
    assert_eq!(content.key_concepts.len(), 1, "the alias counts before the subset");
    assert_eq!(concept_of(&content.key_concepts[0]), "support vector machine");
    assert_ne!(of(Subsets::Source).topics, of(Subsets::License).topics);
    assert_eq!(of(Subsets::None).topics, ["t"]);
}
