//! From the configuration as written to one in which every value is possible. Everything wrong is reported, not the first.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use synthllm_llm::{More, Price, TaskSettings};
use synthllm_operators::aliases::Aliases;
use synthllm_operators::subsets::Subsets;
use synthllm_operators::text_checks::{self, TextLimits};

use super::layers::{Layers, Place};
use super::merges;
use super::problem::Problem;
use super::raw::{
    RawBudget, RawByLevel, RawConfig, RawFilters, RawGenerate, RawGraph, RawLimit, RawLlm, RawLog, RawRun, RawSampling,
    RawScreen, RawScreenTrain, RawSubsets, RawTask,
};
use super::secret::ApiKey;
use super::settings::{
    BudgetConfig, Config, ExtractConfig, FiltersConfig, GenerateConfig, GraphConfig, Limits, LlmConfig, LogConfig, LogKind,
    Properties, RunConfig, SamplingConfig, ScreenConfig, ScreenTrainConfig, Source, TaskConfig,
};

/// Checks everything. Problems of keys that are reported already are not reported again.
pub(super) fn check(raw: RawConfig, layers: &Layers<'_>, problems: &mut Vec<Problem>) -> Option<Config> {
    let before = problems.len();
    let mut checker = Checker { layers, problems };
    let budget = checker.budget(&raw);
    let target = checker.target(&raw.generate.target, &raw.sampling.levels);
    let config = Config {
        budget,
        app: checker.app(raw.app),
        domain: checker.domain(raw.domain),
        prompts: checker.prompts(raw.prompts),
        log: checker.log(raw.log),
        llm: checker.llm(&raw.llm),
        extract: ExtractConfig {
            source: raw.extract.source,
            max_text_bytes: checker.at_least("extract.max_text_bytes", raw.extract.max_text_bytes, 1),
            max_prompt_tokens: checker.at_least("extract.max_prompt_tokens", raw.extract.max_prompt_tokens, 50),
            max_topics: checker.between("extract.max_topics", raw.extract.max_topics, 1, 100),
            max_key_concepts: checker.between("extract.max_key_concepts", raw.extract.max_key_concepts, 1, 100),
        },
        sampling: checker.sampling(raw.sampling),
        generate: checker.generate(raw.generate, target),
        filters: checker.filters(raw.filters),
        graph: checker.graph(&raw.graph),
        screen: checker.screen(raw.screen),
        run: checker.run(&raw.run),
    };
    (problems.len() == before).then_some(config)
}

struct Checker<'a, 't> {
    layers: &'a Layers<'t>,
    problems: &'a mut Vec<Problem>,
}

impl Checker<'_, '_> {
    fn app(&mut self, app: String) -> String {
        self.require(is_name(&app) && app.len() <= 64, "app", || {
            format!("found {app:?}, expected a name of 1 to 64 letters, digits, `.`, `_` and `-`")
        });
        app
    }

    fn domain(&mut self, domain: String) -> String {
        self.require(!domain.trim().is_empty(), "domain", || "expected a field of knowledge, e.g. \"mathematics\"".into());
        domain
    }

    /// A folder that is not there would leave all prompts the built-in ones, without a word.
    fn prompts(&mut self, folder: Option<String>) -> Option<PathBuf> {
        let folder = folder.map(PathBuf::from)?;
        self.require(folder.is_dir(), "prompts", || format!("found {}, expected a folder of prompts", folder.display()));
        Some(folder)
    }

    fn log(&mut self, raw: RawLog) -> LogConfig {
        let kafka = raw.kind == LogKind::Kafka;
        self.require(kafka || !raw.path.is_empty(), "log.path", || "expected the path of the SQLite file".into());
        self.require(!kafka || is_host_list(&raw.brokers), "log.brokers", || {
            format!("found {:?}, expected HOST:PORT, or several separated by commas", raw.brokers)
        });
        self.require(raw.prefix.is_empty() || is_name(&raw.prefix), "log.prefix", || {
            format!("found {:?}, expected letters, digits, `.`, `_` and `-`", raw.prefix)
        });
        self.require(raw.documents.as_deref().is_none_or(is_name), "log.documents", || {
            "expected the name of a topic: letters, digits, `.`, `_` and `-`".into()
        });
        self.require(raw.replication != Some(0), "log.replication", || "found 0, expected at least 1".into());
        LogConfig {
            kind: raw.kind,
            path: PathBuf::from(&raw.path),
            partitions: self.between("log.partitions", raw.partitions, 1, 10_000),
            properties: self.properties(&raw),
            brokers: raw.brokers,
            prefix: raw.prefix,
            documents: raw.documents,
            replication: raw.replication,
            transaction_timeout: self.transaction_timeout(raw.transaction_timeout),
        }
    }

    fn properties(&mut self, raw: &RawLog) -> Properties {
        let mut properties = match &raw.properties_file {
            Some(file) => self.properties_file(file),
            None => BTreeMap::new(),
        };
        for (name, value) in &raw.properties {
            let key = format!("log.properties.{name}");
            if is_secret(name) && !matches!(self.layers.place("log.properties"), Some(Place::Variable(_))) {
                let hint = "put it into a file of key=value lines, and name that in `log.properties_file`";
                self.problem(&key, "a secret in the configuration file".into(), Some(hint.into()));
            }
            match value {
                toml::Value::String(text) => _ = properties.insert(name.clone(), text.clone()),
                toml::Value::Integer(_) | toml::Value::Boolean(_) | toml::Value::Float(_) => {
                    properties.insert(name.clone(), value.to_string());
                }
                _ => self.problem(&key, "expected a string, a number or a boolean".into(), None),
            }
        }
        Properties(properties)
    }

    fn properties_file(&mut self, file: &str) -> BTreeMap<String, String> {
        let text = match std::fs::read_to_string(file) {
            Ok(text) => text,
            Err(error) => {
                self.problem("log.properties_file", format!("can't read {file:?}: {error}"), None);
                return BTreeMap::new();
            }
        };
        let mut properties = BTreeMap::new();
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'))
        {
            match line.split_once('=') {
                Some((name, value)) => _ = properties.insert(name.trim().to_owned(), value.trim().to_owned()),
                None => self.problem("log.properties_file", format!("{file}:{}: expected key=value", number + 1), None),
            }
        }
        properties
    }

    fn llm(&mut self, raw: &RawLlm) -> LlmConfig {
        LlmConfig {
            extract: self.task(raw, "extract", &raw.extract),
            question: self.task(raw, "question", &raw.question),
            answer: self.task(raw, "answer", &raw.answer),
            judge: self.task(raw, "judge", &raw.judge),
            rate: self.task(raw, "rate", &raw.rate),
            embed: self.embed(raw),
        }
    }

    /// Fields of chat requests, such as `top_p`, are no fields of requests for embeddings: only its own count.
    fn embed(&mut self, llm: &RawLlm) -> TaskConfig {
        let mut task = self.task(llm, "embed", &llm.embed);
        if llm.embed.extra.is_none() {
            task.settings.extra.clear();
        }
        task
    }

    fn task(&mut self, llm: &RawLlm, name: &str, own: &RawTask) -> TaskConfig {
        // A problem is reported at the key of the task where it says something, else at the key of [llm].
        let key = |said: bool, key: &str| if said { format!("llm.{name}.{key}") } else { format!("llm.{key}") };
        let endpoint = own.endpoint.as_ref().unwrap_or(&llm.endpoint);
        let model = own.model.as_ref().unwrap_or(&llm.model);
        let (timeout, timeout_key) = (own.timeout.unwrap_or(llm.timeout), key(own.timeout.is_some(), "timeout"));
        let mut settings = TaskSettings::new(&self.endpoint(&key(own.endpoint.is_some(), "endpoint"), endpoint), model);
        self.require(!model.trim().is_empty(), &key(own.model.is_some(), "model"), || "expected the name of a model".into());
        self.require(!timeout.is_zero(), &timeout_key, || "found 0, expected a duration such as \"30s\"".into());
        settings.timeout = timeout;
        settings.stall = settings.stall.min(timeout);
        settings.structured = own.structured.unwrap_or(llm.structured);
        settings.seed = own.seed.or(llm.seed);
        let temperature = own.temperature.or(llm.temperature);
        settings.temperature =
            temperature.map(|value| self.between(&key(own.temperature.is_some(), "temperature"), value, 0.0, 2.0));
        let max_tokens = own.max_tokens.unwrap_or(llm.max_tokens);
        settings.max_tokens = self.at_least(&key(own.max_tokens.is_some(), "max_tokens"), max_tokens, 1);
        let max_in_flight = own.max_in_flight.unwrap_or(llm.max_in_flight);
        settings.max_in_flight = self.between(&key(own.max_in_flight.is_some(), "max_in_flight"), max_in_flight, 1, 100_000);
        let attempts = own.attempts.unwrap_or(llm.attempts);
        settings.attempts = self.between(&key(own.attempts.is_some(), "attempts"), attempts, 1, 100);
        settings.price = self.price(&key(own.price.is_some(), "price"), own.price.unwrap_or(llm.price));
        settings.extra = self.extra(&key(own.extra.is_some(), "extra"), own.extra.as_ref().unwrap_or(&llm.extra));
        let repairs = self.between(&key(own.repairs.is_some(), "repairs"), own.repairs.unwrap_or(llm.repairs), 0, 100);
        TaskConfig { settings, repairs, api_key: self.api_key(llm, name, own) }
    }

    fn endpoint(&mut self, key: &str, endpoint: &str) -> String {
        let rest = endpoint.strip_prefix("http://").or_else(|| endpoint.strip_prefix("https://"));
        let authority = rest.map(|rest| rest.split('/').next().unwrap_or_default());
        match authority {
            Some(host) if host.contains('@') => {
                let hint = "use `api_key_env` or `api_key_file`";
                self.problem(key, "the address carries a user or a password".into(), Some(hint.into()));
            }
            Some(host) if !host.is_empty() && !endpoint.contains(char::is_whitespace) => {}
            _ => self.problem(
                key,
                format!("found {endpoint:?}, expected an address such as \"http://127.0.0.1:8080/v1\""),
                None,
            ),
        }
        endpoint.trim_end_matches('/').to_owned()
    }

    /// A task that names a variable or a file of its own doesn't look at those of `[llm]`.
    fn api_key(&mut self, llm: &RawLlm, name: &str, own: &RawTask) -> ApiKey {
        let key = if own.api_key_env.is_some() { format!("llm.{name}.api_key_env") } else { "llm.api_key_env".to_owned() };
        let variable = own.api_key_env.as_ref().unwrap_or(&llm.api_key_env);
        // The value is not repeated: it may be a key that was pasted here.
        self.require(is_variable(variable), &key, || {
            "expected the name of an environment variable in capitals, not the key itself".into()
        });
        let own_key = own.api_key_env.is_some() || own.api_key_file.is_some();
        let file = if own_key { &own.api_key_file } else { &llm.api_key_file };
        ApiKey { variable: variable.clone(), required: self.layers.is_said(&key), file: file.as_ref().map(PathBuf::from) }
    }

    fn price(&mut self, key: &str, price: Price) -> Price {
        let fine = |price: f64| price >= 0.0 && price.is_finite();
        self.require(fine(price.prompt) && fine(price.completion), key, || "expected prices of at least 0.0".into());
        price
    }

    fn extra(&mut self, key: &str, extra: &toml::Table) -> BTreeMap<String, serde_json::Value> {
        let mut fields = BTreeMap::new();
        for (name, value) in extra {
            let key = format!("{key}.{name}");
            if is_secret(name) {
                self.problem(
                    &key,
                    "a secret in the configuration".into(),
                    Some("use `api_key_env` or `api_key_file`".into()),
                );
            } else if OWN_FIELDS.contains(&name.as_str()) {
                self.problem(&key, "this field of the request is synthllm's own".into(), None);
            }
            match serde_json::to_value(value) {
                Ok(value) => _ = fields.insert(name.clone(), value),
                Err(error) => self.problem(&key, format!("has no form in JSON: {error}"), None),
            }
        }
        fields
    }

    fn sampling(&mut self, raw: RawSampling) -> SamplingConfig {
        let mut levels = raw.levels.clone();
        levels.sort_unstable();
        levels.dedup();
        let fine =
            !levels.is_empty() && levels.len() == raw.levels.len() && levels.iter().all(|level| (1..=3).contains(level));
        self.require(fine, "sampling.levels", || {
            format!("found {:?}, expected one or more of 1, 2, 3, each once", raw.levels)
        });
        self.require(
            raw.starts_per_document >= 0.0 && raw.starts_per_document.is_finite(),
            "sampling.starts_per_document",
            || format!("found {}, expected at least 0.0", raw.starts_per_document),
        );
        self.require(raw.epochs <= 1_000_000, "sampling.epochs", || {
            format!("found {}, expected at most 1000000", raw.epochs)
        });
        SamplingConfig {
            levels,
            epochs: raw.epochs,
            starts_per_document: raw.starts_per_document,
            seed: raw.seed,
            when: raw.when,
            start: raw.start,
            limit: Limits { level1: raw.limit.level1, level2: raw.limit.level2, level3: raw.limit.level3 },
        }
    }

    fn generate(&mut self, raw: RawGenerate, target: Limits) -> GenerateConfig {
        let calls = self.by_level("generate.calls", &raw.calls, 100);
        self.require(raw.more == More::Other || calls.iter().any(|calls| *calls > 1), "generate.more", || {
            "rephrasings and personas are asked for by later calls: set `generate.calls` above 1".into()
        });
        GenerateConfig {
            answers: self.between("generate.answers", raw.answers, 0, 64),
            judge: raw.judge,
            withdraw: raw.withdraw,
            questions: self.by_level("generate.questions", &raw.questions, 20),
            calls,
            more: raw.more,
            target,
            max_prompt_tokens: self.at_least("generate.max_prompt_tokens", raw.max_prompt_tokens, 50),
        }
    }

    /// A target of 0 is none.
    fn target(&mut self, raw: &RawLimit, levels: &[u8]) -> Limits {
        let mut of = |level: u8, target: Option<u64>| {
            let target = target.filter(|target| *target > 0);
            self.require(target.is_none() || levels.contains(&level), &format!("generate.target.level{level}"), || {
                format!("a target of a level that is not drawn: `sampling.levels` is {levels:?}")
            });
            target
        };
        Limits { level1: of(1, raw.level1), level2: of(2, raw.level2), level3: of(3, raw.level3) }
    }

    fn by_level(&mut self, table: &str, raw: &RawByLevel, most: u32) -> [u32; 3] {
        let levels = [("level1", raw.level1), ("level2", raw.level2), ("level3", raw.level3)];
        levels.map(|(level, number)| self.between(&format!("{table}.{level}"), number, 1, most))
    }

    fn filters(&mut self, raw: RawFilters) -> FiltersConfig {
        let repetition = self.between("filters.most_repetition", raw.most_repetition, 0.0, 1.0);
        self.languages("filters.languages", &raw.languages);
        let missing = raw.benchmarks.iter().find(|benchmark| !benchmark.file.is_file());
        self.require(missing.is_none(), "filters.benchmarks", || {
            format!("found {}, expected a file", missing.map_or(Path::new(""), |benchmark| &benchmark.file).display())
        });
        let least_words = raw.least_words;
        FiltersConfig {
            limits: TextLimits {
                least_words,
                most_words: self.at_least("filters.most_words", raw.most_words, least_words.max(1)),
                most_repeated_runs: repetition,
                most_repeated_lines: repetition,
                languages: raw.languages,
                ..TextLimits::default()
            },
            benchmarks: raw.benchmarks,
            benchmark_words: self.between("filters.benchmark_words", raw.benchmark_words, 1, 1000),
            near_duplicates: self.similarity("filters.near_duplicates", raw.near_duplicates),
        }
    }

    fn languages(&mut self, key: &str, languages: &[String]) {
        let unknown = languages.iter().find(|language| !text_checks::is_known(language));
        self.require(unknown.is_none(), key, || {
            format!("found {:?}, expected ISO 639-3 codes such as \"eng\"", unknown.map_or("", String::as_str))
        });
    }

    /// From which similarity on texts are near-duplicates; nothing for 0.
    fn similarity(&mut self, key: &str, similarity: f64) -> Option<f64> {
        self.require((0.0..=1.0).contains(&similarity), key, || {
            format!("found {similarity}, expected a similarity up to 1, or 0 for none")
        });
        (similarity > 0.0 && similarity <= 1.0).then_some(similarity)
    }

    fn graph(&mut self, raw: &RawGraph) -> GraphConfig {
        let table = self.aliases(&raw.aliases);
        GraphConfig {
            max_concepts: self.between("graph.max_concepts", raw.max_concepts, 1, 100_000),
            min_key_concepts: self.between("graph.min_key_concepts", raw.min_key_concepts, 1, 5),
            max_waiting: self.at_least("graph.max_waiting", raw.max_waiting, 1),
            updates: raw.updates,
            aliases: self.with_merges(&table, raw.merges.as_deref()),
            table,
            subsets: self.subsets(raw),
        }
    }

    fn subsets(&mut self, raw: &RawGraph) -> Subsets {
        let parts = self.between("graph.parts", raw.parts, 1, 1_000_000);
        match raw.subsets {
            RawSubsets::None => Subsets::None,
            RawSubsets::Source => Subsets::Source,
            RawSubsets::License => Subsets::License,
            RawSubsets::Parts => NonZeroU32::new(parts).map_or(Subsets::None, Subsets::Parts),
        }
    }

    fn screen(&mut self, raw: RawScreen) -> ScreenConfig {
        let repetition = self.between("screen.most_repetition", raw.most_repetition, 0.0, 1.0);
        self.languages("screen.languages", &raw.languages);
        let missing = raw.model.as_ref().filter(|path| !Path::new(path.as_str()).is_file());
        self.require(missing.is_none(), "screen.model", || {
            format!("there is no file {:?}, expected a screening model", missing.map_or("", String::as_str))
        });
        ScreenConfig {
            model: raw.model.map(PathBuf::from),
            threshold: raw.threshold.map(|value| self.between("screen.threshold", value, 0.0, 10.0)),
            limits: TextLimits {
                least_words: raw.least_words,
                most_words: self.at_least("screen.most_words", raw.most_words, raw.least_words.max(1)),
                most_characters: usize::MAX,
                most_repeated_runs: repetition,
                most_repeated_lines: repetition,
                languages: raw.languages,
            },
            near_duplicates: self.similarity("screen.near_duplicates", raw.near_duplicates),
            train: self.screen_train(raw.train),
        }
    }

    fn screen_train(&mut self, raw: RawScreenTrain) -> ScreenTrainConfig {
        let key = |name: &str| format!("screen.train.{name}");
        let missing = raw.examples.as_ref().filter(|path| !Path::new(path.as_str()).exists());
        self.require(missing.is_none(), &key("examples"), || {
            format!("found {:?}, expected a file or folder of documents", missing.map_or("", String::as_str))
        });
        ScreenTrainConfig {
            documents: self.at_least(&key("documents"), raw.documents, 20),
            positives: self.at_least(&key("positives"), raw.positives, 10),
            examples: raw.examples.map(PathBuf::from),
            negatives: self.at_least(&key("negatives"), raw.negatives, 10),
            units: self.between(&key("units"), raw.units, 1, 100),
            rounds: self.between(&key("rounds"), raw.rounds, 1, 10),
            sample: self.at_least(&key("sample"), raw.sample, 10),
            selected: raw.selected,
            keep: self.between(&key("keep"), raw.keep, 1.0, 10.0),
            trees: self.between(&key("trees"), raw.trees, 1, 10_000),
            least_in_leaf: self.between(&key("least_in_leaf"), raw.least_in_leaf, 1, 1000),
            seed: raw.seed,
            held_out: self.between(&key("held_out"), raw.held_out, 0.01, 0.9),
            cut: self.at_least(&key("cut"), raw.cut, 100),
            batch: self.between(&key("batch"), raw.batch, 1, 2048),
        }
    }

    fn aliases(&mut self, raw: &BTreeMap<String, String>) -> Aliases {
        let aliases = Aliases::new(raw.iter().map(|(alias, name)| (alias.as_str(), name.as_str())));
        self.require(aliases.is_ok(), "graph.aliases", || {
            aliases.as_ref().map_or_else(ToString::to_string, |_| String::new())
        });
        aliases.unwrap_or_default()
    }

    /// The contents of the file become part of the configuration, so that they are compared wherever it is.
    fn with_merges(&mut self, table: &Aliases, file: Option<&str>) -> Aliases {
        let Some(file) = file else { return table.clone() };
        if !Path::new(file).is_file() {
            let hint = "`synthllm graph merge -o FILE` writes it; leave the key out until it is there";
            self.problem("graph.merges", format!("found {file:?}, expected a file of merges"), Some(hint.into()));
            return table.clone();
        }
        merges::read(file, table).unwrap_or_else(|problem| {
            self.problem("graph.merges", problem, None);
            table.clone()
        })
    }

    fn budget(&mut self, raw: &RawConfig) -> BudgetConfig {
        let RawBudget { tokens, cost, tokens_per_day, cost_per_day, extract_share } = raw.budget;
        for (key, tokens) in [("budget.tokens", tokens), ("budget.tokens_per_day", tokens_per_day)] {
            self.require(tokens != Some(0), key, || "found 0, expected at least 1".into());
        }
        let missing = self.missing_prices(raw);
        for (key, cost) in [("budget.cost", cost), ("budget.cost_per_day", cost_per_day)] {
            let Some(cost) = cost else { continue };
            self.require(cost > 0.0 && cost <= MOST_COST, key, || {
                format!("found {cost}, expected more than 0 and at most {MOST_COST}")
            });
            let hint = "a model that costs nothing has a price of 0.0, which must be said";
            if !missing.is_empty() {
                let message = format!("there is no price to count by: {} is not set", missing.join(", "));
                self.problem(key, message, Some(hint.into()));
            }
        }
        self.require((0.0..=1.0).contains(&extract_share), "budget.extract_share", || {
            format!("found {extract_share}, expected 0 to 1")
        });
        BudgetConfig { tokens, cost, tokens_per_day, cost_per_day, extract_share }
    }

    /// The keys of the prices that the user has not set, of the tasks that are asked.
    fn missing_prices(&self, raw: &RawConfig) -> Vec<String> {
        let tasks = [
            ("embed", raw.llm.embed.price.is_some(), raw.screen.model.is_some()),
            ("extract", raw.llm.extract.price.is_some(), raw.extract.source != Source::Document),
            ("question", raw.llm.question.price.is_some(), true),
            ("answer", raw.llm.answer.price.is_some(), raw.generate.answers > 0),
            ("judge", raw.llm.judge.price.is_some(), raw.generate.judge && raw.generate.answers > 0),
        ];
        let mut missing = Vec::new();
        for (task, own, _) in tasks.into_iter().filter(|(.., asked)| *asked) {
            let section = if own { format!("llm.{task}.price") } else { "llm.price".to_owned() };
            let keys = ["prompt", "completion"].map(|half| format!("{section}.{half}"));
            missing.extend(keys.into_iter().filter(|key| !self.layers.is_said(key)));
        }
        missing.sort();
        missing.dedup();
        missing
    }

    fn run(&mut self, raw: &RawRun) -> RunConfig {
        let interval = raw.commit_interval;
        let fine = (Duration::from_millis(1)..=Duration::from_secs(10)).contains(&interval);
        self.require(fine, "run.commit_interval", || format!("found {interval:?}, expected \"1ms\" to \"10s\""));
        RunConfig {
            commit_interval: interval,
            window_records: self.at_least("run.window_records", raw.window_records, 1),
            window_bytes: self.at_least("run.window_bytes", raw.window_bytes, 1 << 20),
            stop_timeout: self.at_most("run.stop_timeout", raw.stop_timeout, Duration::from_secs(3600)),
            peer_timeout: self.patience("run.peer_timeout", raw.peer_timeout),
        }
    }

    /// Kafka's own brokers allow up to a quarter of an hour (`transaction.max.timeout.ms`).
    fn transaction_timeout(&mut self, value: Duration) -> Duration {
        let fine = (Duration::from_secs(5)..=Duration::from_secs(900)).contains(&value);
        self.require(fine, "log.transaction_timeout", || format!("found {value:?}, expected \"5s\" to \"15m\""));
        value
    }

    fn at_most(&mut self, key: &str, value: Duration, most: Duration) -> Duration {
        self.require(value <= most, key, || format!("found {value:?}, expected at most {most:?}"));
        value
    }

    /// Processes beat four times a second, so less than some seconds would end a cluster for a hiccup.
    fn patience(&mut self, key: &str, value: Duration) -> Duration {
        let fine = (Duration::from_secs(2)..=Duration::from_secs(3600)).contains(&value);
        self.require(fine, key, || format!("found {value:?}, expected \"2s\" to \"1h\""));
        value
    }

    fn at_least<T: PartialOrd + Copy + std::fmt::Display>(&mut self, key: &str, value: T, least: T) -> T {
        self.require(value >= least, key, || format!("found {value}, expected at least {least}"));
        value
    }

    fn between<T: PartialOrd + Copy + std::fmt::Display>(&mut self, key: &str, value: T, least: T, most: T) -> T {
        self.require(value >= least && value <= most, key, || format!("found {value}, expected {least} to {most}"));
        value
    }

    fn require(&mut self, holds: bool, key: &str, message: impl FnOnce() -> String) {
        if !holds {
            self.problem(key, message(), None);
        }
    }

    fn problem(&mut self, key: &str, message: String, hint: Option<String>) {
        if !self.problems.iter().any(|problem| problem.key == key) {
            self.problems.push(Problem { place: self.layers.place(key), key: key.to_owned(), message, hint });
        }
    }
}

/// The greatest budget of cost, far below what its billionths can count.
const MOST_COST: f64 = 1e9;

/// Fields of a request that `llm.extra` can't set.
const OWN_FIELDS: [&str; 4] = ["model", "messages", "stream", "n"];

/// What Kafka allows in the name of a topic.
fn is_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= 200 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

fn is_variable(text: &str) -> bool {
    !text.starts_with(|first: char| first.is_ascii_digit())
        && !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
}

fn is_host_list(text: &str) -> bool {
    text.split(',').map(str::trim).all(|broker| {
        let port = broker.rsplit_once(':').filter(|(host, _)| !host.is_empty());
        port.is_some_and(|(_, port)| port.parse::<u16>().is_ok())
    })
}

/// Whether a setting holds a secret, by its name.
fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["password", "secret", "jaas", "key.pem", "api_key", "authorization"].iter().any(|word| name.contains(word))
}
