//! The page and the JSON.

use std::collections::BTreeMap;

use synthllm_report::{Counted, Graph, Report, Sampling, Survey, html};

use crate::world::{diversity, report, sample, world};

/// The page as XML, which it must be.
fn text_of(page: &str) -> String {
    let options = roxmltree::ParsingOptions { allow_dtd: true, ..roxmltree::ParsingOptions::default() };
    let document = roxmltree::Document::parse_with_options(page, options).expect("the page is well-formed");
    for node in document.descendants().filter(roxmltree::Node::is_element) {
        assert!(!["script", "link", "img", "iframe", "object"].contains(&node.tag_name().name()), "{node:?}");
        assert!(
            node.attributes().all(|it| !["href", "src"].contains(&it.name()) && !it.name().starts_with("on")),
            "{node:?}"
        );
    }
    document.descendants().filter(roxmltree::Node::is_text).filter_map(|node| node.text()).collect()
}

#[test]
fn the_page_is_whole_and_what_a_model_wrote_is_text_on_it() {
    let mut samples = world(120);
    let evil = "<script>alert('1')</script> & \u{0}\u{1b}]]>";
    samples.iter_mut().for_each(|sample| sample.topics = vec![evil.to_owned()]);
    samples.iter_mut().for_each(|sample| sample.scores = BTreeMap::from([("</td>\"<b>".to_owned(), 0.5)]));
    let found = report(&samples, Counted::default());
    let page = html(&Report { app: "<script src='x'>".to_owned(), ..found });
    let text = text_of(&page);
    assert!(text.contains("<script>alert('1')</script> & ]]>"), "the topic stands there as it is folded");
    assert!(text.contains("</td>\"<b>") && text.contains("<script src='x'>"));
    assert!(text.contains("not of MiniLM embeddings"));
    let addresses = page.replace("xmlns=\"http://www.w3.org/2000/svg\"", "");
    assert!(!addresses.contains("://") && !addresses.contains("url(") && !addresses.contains("@import"));
    assert_eq!(page.matches("<svg").count(), 8);
}

#[test]
fn without_samples_the_report_says_so() {
    let cosines = diversity(&[], Sampling::default()).by_words();
    let empty = Survey::default().report("empty", &Graph::default(), Counted::default(), cosines);
    assert!(text_of(&html(&empty)).contains("There are no samples yet"));
    let json = serde_json::to_value(&empty).expect("a report is JSON");
    assert!(json["costs"]["cost_per_sample"].is_null() && json["levels"][2]["question"]["words"]["median"].is_null());
    assert!(!json.to_string().contains("NaN"));
    let one = [sample(1, 2, "Why?", &[1])];
    text_of(&html(&report(&one, Counted::default())));
}

#[test]
fn equal_samples_make_equal_bytes() {
    let samples = world(150);
    let bytes = || {
        let report = report(&samples, Counted::default());
        (serde_json::to_string(&report).expect("a report is JSON"), html(&report))
    };
    assert_eq!(bytes(), bytes());
}
