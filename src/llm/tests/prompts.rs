//! The templates: what they hold, how they are replaced, and what is wrong with one that can't be used.

use synthllm_llm::{More, Prompt, PromptSettings, Prompts, Request, Schema, Task};

const ALL: [Prompt; 13] = Prompt::ALL;

fn settings() -> PromptSettings {
    PromptSettings { domain: "organic chemistry".into(), ..PromptSettings::default() }
}

fn schema() -> Schema {
    Schema::new("any", "{}")
}

fn concepts() -> Vec<String> {
    vec!["ester".into(), "two\nlines".into()]
}

fn all_requests(prompts: &Prompts) -> [Request; 9] {
    [
        prompts.extract("Esters.", schema()),
        prompts.level1("Esters.", schema()),
        prompts.level2("Esters.", &concepts(), schema()),
        prompts.level3(["Esters.", "Alcohols."], &concepts(), schema()),
        prompts.answer("What is an ester?"),
        prompts.judge("What is an ester?", "It is made of an acid and an alcohol.", schema()),
        prompts.rate("Esters.", schema()),
        prompts.syllabus(12, schema()),
        prompts.synthetic_document("blog post", "Acids", "Esters"),
    ]
}

#[test]
fn every_prompt_is_filled_and_speaks_of_the_domain_only() {
    for request in all_requests(&Prompts::built_in(settings())) {
        let text = format!("{}\n{}", request.system, request.user);
        assert!(text.contains("organic chemistry"), "{text}");
        assert!(!text.contains('{') && !text.contains("mathematic"), "{text}");
    }
}

#[test]
fn prompts_about_one_document_begin_alike_and_end_with_the_task() {
    let requests = all_requests(&Prompts::built_in(settings()));
    for request in &requests[..4] {
        assert!(request.user.starts_with("<document>\nEsters.\n</document>\n"), "{}", request.user);
        assert_eq!(request.system, requests[4].system);
    }
    for request in &requests {
        let task = request.user.rfind("Task: ").expect("a prompt has a task");
        assert!(!request.user[task..].contains("document>"));
    }
}

#[test]
fn concepts_are_listed_one_a_line_and_limits_are_told() {
    let requests = all_requests(&Prompts::built_in(PromptSettings { questions_max: [4, 6, 7], ..settings() }));
    assert!(requests[2].user.contains("\n- ester\n- two lines\n"), "{}", requests[2].user);
    for (request, most) in requests[1..4].iter().zip([4, 6, 7]) {
        assert!(request.user.contains(&format!("from 1 to {most} ")), "{}", request.user);
    }
    assert!(requests[0].user.contains("from 1 to 5") && requests[0].user.contains("from 5 to 20"));
}

#[test]
fn further_questions_are_asked_for_below_those_that_are_there() {
    let prompts = Prompts::built_in(PromptSettings { questions_max: [4, 6, 7], ..settings() });
    let first = prompts.level2("Esters.", &concepts(), schema());
    let more = prompts.more(More::Other, 2, first.clone(), ("", &["What is\nan ester?", "Why {questions}?"]));
    let added = more.user.strip_prefix(&first.user).expect("the prompt so far is the prefix");
    assert!(added.contains("\n1. What is an ester?\n2. Why {questions}?\n") && added.contains("from 1 to 6 "), "{added}");
    assert_eq!(Request { user: first.user.clone(), ..more }, first);
}

#[test]
fn a_baseline_starts_from_one_question_and_tells_the_others() {
    let prompts = Prompts::built_in(PromptSettings { questions_max: [4, 6, 7], ..settings() });
    let first = prompts.level1("Esters.", schema());
    let added = |how| {
        let more =
            prompts.more(how, 1, first.clone(), ("What is\nan ester?", &["What is an ester?", "What do esters smell of?"]));
        more.user.strip_prefix(&first.user).expect("the prompt so far is the prefix").to_owned()
    };
    for how in [More::Rephrase, More::Persona] {
        let added = added(how);
        assert!(added.contains("\nWhat is an ester?\n") && added.contains("\n2. What do esters smell of?\n"), "{added}");
        assert!(added.contains("from 1 to 4 "), "{added}");
    }
    assert_ne!(added(More::Rephrase), added(More::Persona));
    assert_eq!([More::Rephrase, More::Persona].map(|how| how.prompt().name()), ["rephrase", "persona"]);
}

#[test]
fn of_many_earlier_questions_the_last_are_told() {
    let prompts = Prompts::built_in(PromptSettings { document_tokens: 100, ..settings() });
    let questions: Vec<String> = (0..50).map(|number| format!("What is the boiling point of ester {number}?")).collect();
    let first = prompts.level1("Esters.", schema());
    let questions: Vec<&str> = questions.iter().map(String::as_str).collect();
    let more = prompts.more(More::Other, 1, first, ("", &questions));
    let told = |number: usize| more.user.contains(&format!("ester {number}?"));
    assert!(more.user.contains("\n1. ") && told(49) && told(45) && !told(40) && !told(0), "{}", more.user);
}

#[test]
fn a_document_is_cut_to_its_budget_and_two_share_it() {
    let prompts = Prompts::built_in(PromptSettings { document_tokens: 100, ..settings() });
    let long = "word ".repeat(1000);
    let words = |request: &Request| request.user.matches("word ").count();
    assert_eq!(words(&prompts.level1(&long, schema())), 79);
    assert_eq!(words(&prompts.level3([&long, &long], &concepts(), schema())), 78);
}

#[test]
fn what_is_filled_in_is_not_filled_again() {
    let request = Prompts::built_in(settings()).level2("{concepts} {domain}", &concepts(), schema());
    assert!(request.user.starts_with("<document>\n{concepts} {domain}\n</document>"));
}

#[test]
fn a_repair_quotes_the_problem_after_the_answer() {
    let prompts = Prompts::built_in(settings());
    let settings = synthllm_llm::TaskSettings::new("http://127.0.0.1:1/v1", "m");
    let repaired = prompts.repair(&prompts.extract("Esters.", schema()), "[]", "it is a list, expected a JSON object");
    let body: serde_json::Value = serde_json::from_str(&repaired.body(&settings)).unwrap();
    assert_eq!(body["messages"][2]["content"], "[]");
    let complaint = body["messages"][3]["content"].as_str().unwrap();
    assert!(complaint.starts_with("Your reply can't be used: it is a list, expected a JSON object. "), "{complaint}");
    assert_eq!(repaired.task, Task::Extract);
}

#[test]
fn a_file_replaces_one_template_and_its_version() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("answer.txt"), "{question}\nTask: \\frac{1}{x}, {\"json\": 1}, and {domain}.\n")
        .unwrap();
    let (built_in, changed) =
        (Prompts::built_in(settings()), Prompts::load(Some(directory.path()), settings()).unwrap_err());
    assert_eq!(changed.to_string(), "the prompt \"answer\" has the unknown place {x}, expected one of {question}, {domain}");
    std::fs::write(directory.path().join("answer.txt"), "{question}\nTask: \\frac{1}{2}, {\"json\": 1}, and {domain}.\n")
        .unwrap();
    let changed = Prompts::load(Some(directory.path()), settings()).unwrap();
    assert_eq!(changed.answer("Q?").user, "Q?\nTask: \\frac{1}{2}, {\"json\": 1}, and organic chemistry.");
    let differing: Vec<Prompt> =
        ALL.into_iter().filter(|prompt| built_in.version(*prompt) != changed.version(*prompt)).collect();
    assert_eq!(differing, [Prompt::Answer]);
    assert!(ALL.iter().all(|prompt| built_in.version(*prompt).len() == 16));
}

#[test]
fn another_system_prompt_is_another_version_of_all() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("system.txt"), "You know {domain}.").unwrap();
    let changed = Prompts::load(Some(directory.path()), settings()).unwrap();
    let built_in = Prompts::built_in(settings());
    assert!(ALL.iter().all(|prompt| built_in.version(*prompt) != changed.version(*prompt)));
}

#[test]
fn a_template_without_its_document_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("level1.txt"), "Ask something.").unwrap();
    let error = Prompts::load(Some(directory.path()), settings()).unwrap_err();
    assert_eq!(error.to_string(), "the prompt \"level1\" lacks the place {document}");
}

proptest::proptest! {
    #[test]
    fn no_text_makes_a_prompt_panic(document: String, question: String, concept: String) {
        let prompts = Prompts::built_in(settings());
        let _ = prompts.level3([&document, &question], &[concept], schema());
        proptest::prop_assert!(prompts.answer(&question).user.starts_with(&question));
    }
}
