//! What an extraction becomes in the graph.

use synthllm_operators::aliases::Aliases;
use synthllm_operators::record::{Extraction, Pointer, Topic, Usage};
use synthllm_operators::upsert::Entry;

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
    let content = Entry::of("a", Pointer { partition: 3, offset: 9 }, Some((&extraction).into()), 200, &Aliases::default())
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
        Entry::of("a", Pointer { partition: 0, offset: 0 }, Some((&extraction).into()), cap, &Aliases::default())
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
    let entry = Entry::of("a", Pointer { partition: 1, offset: 2 }, None, 200, &Aliases::default());
    assert_eq!((entry.partition, entry.offset, entry.content), (1, 2, None));
}
