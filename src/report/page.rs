//! The report as one page that needs nothing beside itself: no script, no link, readable in light and dark.

use crate::chart::{self, Layer};
use crate::cosine::Vectors;
use crate::coverage::{Coverage, MostUsed};
use crate::html::{Page, decimal, percent, whole};
use crate::report::{LevelReport, Report};
use crate::tally::{Distribution, Lengths};

const STYLE: &str = "\
:root { color-scheme: light dark; --quiet: #666; --line: #ccc; }
@media (prefers-color-scheme: dark) { :root { --quiet: #aaa; --line: #555; } }
body { font: 16px/1.5 system-ui, sans-serif; margin: 0; }
main { max-width: 60rem; margin: 0 auto; padding: 1rem; }
h2 { margin-top: 2.5rem; border-bottom: 1px solid var(--line); }
.wide { overflow-x: auto; }
table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .2rem .7rem; border-bottom: 1px solid var(--line); }
th:first-child, td:first-child { text-align: left; }
figure { margin: 1rem 0; }
figcaption, .quiet { color: var(--quiet); font-size: .9rem; }
svg { max-width: 100%; height: auto; }
svg text { fill: currentColor; }
svg [stroke=\"#000000\"] { stroke: currentColor; }
";

/// The page of a report. Its text is HTML and well-formed XML.
pub fn html(report: &Report) -> String {
    let mut page = Page::default();
    let title = format!("Samples of {}", report.app);
    page.element("h1", &title);
    totals(&mut page, report);
    if report.totals.samples == 0 {
        page.element("p", "There are no samples yet, so there is nothing to say of their lengths, diversity and coverage.");
    } else {
        lengths(&mut page, report);
        diversity(&mut page, report);
        duplicates(&mut page, report);
        scores(&mut page, report);
    }
    coverage(&mut page, report);
    funnel(&mut page, report);
    costs(&mut page, report);
    page.document(&title, STYLE)
}

fn totals(page: &mut Page, report: &Report) {
    let totals = &report.totals;
    page.element(
        "p",
        &format!(
            "{} samples, {} of them with an answer, on {} of {} live documents.",
            totals.samples, totals.answered, totals.cited, totals.documents
        ),
    );
    let row = |level: &LevelReport| {
        [level.level.to_string(), level.samples.to_string(), percent(crate::share(level.samples, totals.samples))]
    };
    page.table(&["level", "samples", "share"], report.levels.iter().map(row));
}

fn lengths(page: &mut Page, report: &Report) {
    page.element("h2", "Lengths");
    page.element(
        "p",
        "The medians of the paper at levels 1, 2 and 3 are 32, 66 and 80 for questions and 358, 497 and 545 for answers. Its unit is not said; \
         tokens are likely, and an English word has about 1.3 of them.",
    );
    let of: [(&str, fn(&LevelReport) -> &Lengths); 2] =
        [("Questions", |level| &level.question), ("Answers", |level| &level.answer)];
    for (title, of) in of {
        page.element("h3", title);
        let of_words = |level: &LevelReport| row(level, "words", &of(level).words);
        let of_characters = |level: &LevelReport| row(level, "characters", &of(level).characters);
        let rows = report.levels.iter().map(of_words).chain(report.levels.iter().map(of_characters));
        page.table(&["level", "unit", "texts", "mean", "10 %", "median", "90 %", "most"], rows);
        for (unit, select) in UNITS {
            let layer = |level| layer(level, select(of(level)));
            let layers: Vec<Layer<'_>> = report.levels.iter().filter_map(layer).collect();
            let caption = format!("{title} by length in {unit}; the longest are left out where they are less than 1 %.");
            page.figure(&chart::histograms(&layers, unit), &caption);
        }
    }
}

type Select = fn(&Lengths) -> &Distribution;
const UNITS: [(&str, Select); 2] = [("words", |lengths| &lengths.words), ("characters", |lengths| &lengths.characters)];

fn layer<'a>(level: &LevelReport, distribution: &'a Distribution) -> Option<Layer<'a>> {
    let Distribution { count, histogram, .. } = distribution;
    (*count > 0).then_some(Layer { level: level.level, histogram, count: *count })
}

fn row(level: &LevelReport, unit: &str, of: &Distribution) -> [String; 8] {
    [
        level.level.to_string(),
        unit.to_owned(),
        of.count.to_string(),
        decimal(of.mean, 1),
        whole(of.p10),
        whole(of.median),
        whole(of.p90),
        whole(of.most),
    ]
}

fn diversity(page: &mut Page, report: &Report) {
    page.element("h2", "Diversity within documents");
    page.element("p", &vectors(&report.cosines.vectors));
    if report.cosines.levels.is_empty() {
        return page.element("p", "No document has two questions of one level.");
    }
    let rows = report.cosines.levels.iter().map(|level| {
        [
            level.level.to_string(),
            level.documents.to_string(),
            level.questions.to_string(),
            level.pairs.to_string(),
            decimal(Some(level.mean), 3),
            decimal(Some(level.p10), 3),
            decimal(Some(level.median), 3),
            decimal(Some(level.p90), 3),
        ]
    });
    page.table(&["level", "documents", "questions", "pairs", "mean", "10 %", "median", "90 %"], rows);
    let levels = report.cosines.levels.iter();
    let layers = levels.map(|level| Layer { level: level.level, histogram: &level.histogram, count: level.pairs });
    let caption = "Pairs of questions of one document, by their cosine. To the left is diverse.";
    page.figure(&chart::histograms(&layers.collect::<Vec<_>>(), "cosine"), caption);
}

fn vectors(vectors: &Vectors) -> String {
    let of = match vectors {
        Vectors::WordsTfIdf => {
            "This is the cosine of word vectors (TF-IDF), not of MiniLM embeddings as in the paper: it sees shared words, not shared \
             meaning, and its values can't be compared with the paper's."
                .to_owned()
        }
        Vectors::Embeddings { model } => format!("This is the cosine of embeddings by {model}. The paper's are by MiniLM-L6."),
    };
    format!("{of} A question of level 3 counts as one of each of its documents.")
}

fn duplicates(page: &mut Page, report: &Report) {
    page.element("h2", "Duplicates");
    let rows = report.levels.iter().map(|level| {
        let found = &level.duplicates;
        [
            level.level.to_string(),
            found.written.to_string(),
            found.exact.to_string(),
            percent(found.exact_share),
            found.near.to_string(),
            percent(found.near_share),
        ]
    });
    let columns = ["level", "questions written", "equal, dropped", "share", "nearly equal, kept", "share of samples"];
    page.table(&columns, rows);
    page.element(
        "p",
        "Equal are questions with the same text but for case, width and spaces. Nearly equal are those whose runs of five words have a \
         Jaccard similarity of at least 0.8 with those of an earlier sample, of whatever level.",
    );
}

fn scores(page: &mut Page, report: &Report) {
    if report.scores.is_empty() {
        return;
    }
    page.element("h2", "Scores");
    let number = |number| decimal(Some(number), 3);
    let rows = report.scores.iter().map(|score| {
        [score.name.clone(), score.samples.to_string(), number(score.mean), number(score.least), number(score.most)]
    });
    page.table(&["score", "samples", "mean", "least", "most"], rows);
}

fn coverage(page: &mut Page, report: &Report) {
    page.element("h2", "Coverage of concepts");
    let rows = report.levels.iter().flat_map(|level| {
        let name = |what| format!("{what}, level {}", level.level);
        [covered(name("topics"), &level.topics), covered(name("key concepts"), &level.key_concepts)]
    });
    let all = [covered("topics".to_owned(), &report.topics), covered("key concepts".to_owned(), &report.key_concepts)];
    page.table(
        &["", "of live documents", "named by samples", "share", "never named", "of no live document"],
        rows.chain(all),
    );
    page.element("p", "Samples of level 1 name no key concepts; those of levels 1 and 2 name the topics of their document.");
    let kinds = [("topics", &report.topic_uses), ("key concepts", &report.key_concept_uses)];
    for (kind, uses) in kinds.into_iter().filter(|(_, uses)| !uses.is_empty()) {
        let caption = format!("All {kind} of live documents, by how many samples name them.");
        page.figure(&chart::bars(uses, "samples", kind), &caption);
    }
    most_used(page, "topic", &report.most_used_topics);
    most_used(page, "key concept", &report.most_used_key_concepts);
    if !report.samples_per_document.is_empty() {
        let svg = chart::bars(&report.samples_per_document, "samples", "documents");
        page.figure(&svg, "Live documents, by how many samples stand on them.");
    }
}

fn covered(name: String, coverage: &Coverage) -> [String; 6] {
    let Coverage { nodes, named, never, share, outside } = coverage;
    [name, nodes.to_string(), named.to_string(), percent(*share), never.to_string(), outside.to_string()]
}

fn most_used(page: &mut Page, kind: &str, nodes: &[MostUsed]) {
    if !nodes.is_empty() {
        let row = |node: &MostUsed| [node.name.clone(), node.samples.to_string(), node.documents.to_string()];
        page.table(&[&format!("{kind} that most samples name"), "samples", "live documents"], nodes.iter().map(row));
    }
}

fn funnel(page: &mut Page, report: &Report) {
    let funnel = &report.funnel;
    page.element("h2", "Acceptance");
    page.element(
        "p",
        &format!(
            "Since the first start of the app {} combinations were issued, and {} have had their outcome; of {} the model said that the \
             document is not suitable for questions. Of the questions {} stand as samples.",
            funnel.combinations,
            funnel.decided,
            funnel.unsuitable,
            percent(funnel.accepted)
        ),
    );
    let row =
        |step: &crate::Step| [step.name.clone(), step.left.to_string(), step.dropped.to_string(), percent(step.accepted)];
    page.table(&["questions", "left", "dropped", "let through"], funnel.questions.iter().map(row));
    let counted = &report.counted;
    let roles = [("extract", counted.extract), ("graph", counted.graph), ("generate", counted.generate)];
    let rows = roles.map(|(role, it)| {
        let numbers = [it.sum(), it.written, it.skipped, it.superseded, it.dead_lettered];
        let mut row = vec![role.to_owned()];
        row.extend(numbers.map(|number| number.to_string()));
        row
    });
    page.table(&["role", "records decided", "written", "skipped", "superseded", "dead letters"], rows);
}

fn costs(page: &mut Page, report: &Report) {
    let costs = &report.costs;
    page.element("h2", "Cost");
    page.element(
        "p",
        &format!(
            "{} tokens in {} calls, cost {:.4}, were paid in all: for each sample that stands {} tokens and {}. That includes extraction and \
             what became no sample.",
            costs.tokens,
            report.counted.calls,
            costs.cost,
            decimal(costs.tokens_per_sample, 0),
            decimal(costs.cost_per_sample, 6)
        ),
    );
    let row = |level: &LevelReport| {
        [
            level.level.to_string(),
            decimal(level.calls_per_sample, 2),
            decimal(level.prompt_tokens_per_sample, 0),
            decimal(level.completion_tokens_per_sample, 0),
            decimal(level.cost_per_sample, 6),
        ]
    };
    let columns = ["level", "calls a sample", "prompt tokens", "completion tokens", "cost"];
    page.table(&columns, report.levels.iter().map(row));
    page.element("p", "By level: the calls that made the samples, a question call shared evenly by its questions.");
}
