//! The files of `configs/deploy`: they fit the tools and schemas that they are for, start the program as it wants to be
//! started, and mount configurations that load.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use clap::Parser;
use serde_json::Value;
use synthllm::cli::{self, Cli};
use synthllm::cluster::read_hosts;
use synthllm::config::{self, Config, LogKind};
use synthllm_testkit::packages::python;
use synthllm_testkit::project::stderr;
use synthllm_testkit::skip;

const PROCESSES: usize = 3;

/// A stop may take `run.stop_timeout`, and ten seconds more for the last commits.
const LAST_COMMIT: Duration = Duration::from_secs(10);

/// The oldest version that sets the label with a pod's index, and the newest whose schemas we have.
const KUBERNETES: [&str; 2] = ["1.28", "1.37"];

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("configs/deploy").join(name)
}

fn text(name: &str) -> String {
    std::fs::read_to_string(file(name)).unwrap()
}

fn load(path: &Path) -> Config {
    config::from_text(&path.display().to_string(), &std::fs::read_to_string(path).unwrap(), []).unwrap()
}

/// Several processes need logs on Kafka, and a partition for each worker.
fn check_workers(config: &Config, workers: usize) {
    assert_eq!(config.log.kind, LogKind::Kafka);
    assert!(PROCESSES * workers <= config.log.partitions as usize, "more workers than partitions");
}

fn sound_hosts(path: &Path, port: &str) -> Vec<String> {
    let hosts = read_hosts(path, PROCESSES).unwrap();
    assert!(hosts.iter().all(|host| host.ends_with(&format!(":{port}"))), "{hosts:?}");
    hosts
}

/// What `run` is told, parsed as the program does.
struct Started {
    config: PathBuf,
    hosts: PathBuf,
    process: usize,
    workers: usize,
}

impl Started {
    fn parse(arguments: &[&str]) -> Self {
        let cli = Cli::try_parse_from([&["synthllm"], arguments].concat()).unwrap();
        let cli::Command::Run(args) = &cli.command else { panic!("{arguments:?} is no run") };
        let options = args.options().unwrap();
        assert_eq!((options.processes, options.drain, options.take_over), (PROCESSES, false, false), "{arguments:?}");
        Started {
            config: cli.config.unwrap_or_default(),
            hosts: options.hosts.unwrap(),
            process: options.process,
            workers: options.workers,
        }
    }
}

fn is_enough_for_a_stop(given: Duration, config: &Config) -> bool {
    given > config.run.stop_timeout + LAST_COMMIT
}

/// Every value of a key of a unit file.
fn values<'a>(unit: &'a str, key: &str) -> Vec<&'a str> {
    unit.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('=')).collect()
}

#[test]
fn systemd_units_start_all_processes_and_bring_them_back() {
    let unit = text("systemd/synthllm@.service");
    let config = load(&file("systemd/synthllm.toml"));
    let [command] = values(&unit, "ExecStart")[..] else { panic!("one command") };
    for process in 0..PROCESSES {
        let command = command.replace("%i", &process.to_string());
        let arguments: Vec<&str> = command.split_whitespace().skip(1).collect();
        let started = Started::parse(&arguments);
        assert_eq!(started.process, process);
        assert_eq!((started.config, started.hosts), ("/etc/synthllm/synthllm.toml".into(), "/etc/synthllm/hosts".into()));
        check_workers(&config, started.workers);
    }
    sound_hosts(&file("systemd/hosts"), "2101");
    assert_eq!(values(&unit, "PartOf"), ["synthllm.target"]);
    assert_eq!((values(&unit, "Restart"), values(&unit, "KillSignal")), (vec!["always"], vec!["SIGTERM"]));
    let timeout = Duration::from_secs(values(&unit, "TimeoutStopSec")[0].parse().unwrap());
    assert!(is_enough_for_a_stop(timeout, &config), "{timeout:?}");
    assert!(text("systemd/synthllm.env").lines().any(|line| line.starts_with("SYNTHLLM_API_KEY=")));
}

fn systemd_analyze(units: &Path, arguments: &[&str]) -> Option<Output> {
    // The trailing colon: and then in the places of the system.
    let path = format!("{}:", units.display());
    let output = Command::new("systemd-analyze").env("SYSTEMD_UNIT_PATH", path).args(arguments).output();
    output.map_err(|error| skip(&format!("no systemd-analyze ({error}); on Debian: apt-get install systemd"))).ok()
}

/// The units as an administrator installs them, the program where it is now.
fn installed_units(change: impl Fn(String) -> String) -> tempfile::TempDir {
    let folder = tempfile::TempDir::new().unwrap();
    for name in ["synthllm@.service", "synthllm.target"] {
        let unit = text(&format!("systemd/{name}")).replace("/usr/local/bin/synthllm", env!("CARGO_BIN_EXE_synthllm"));
        std::fs::write(folder.path().join(name), change(unit)).unwrap();
    }
    folder
}

/// What `systemd-analyze verify` has to say of our units.
fn verified(units: &tempfile::TempDir) -> Option<Vec<String>> {
    let output = systemd_analyze(units.path(), &["verify", "synthllm@0.service", "synthllm.target"])?;
    let ours = |line: &&str| line.contains("synthllm") && !line.is_empty();
    let mut said: Vec<String> = stderr(&output).lines().filter(ours).map(str::to_owned).collect();
    if !output.status.success() && said.is_empty() {
        said.push(stderr(&output));
    }
    Some(said)
}

#[test]
fn systemd_verifies_the_units_and_finds_them_hardened() {
    let units = installed_units(|unit| unit);
    let Some(said) = verified(&units) else { return };
    assert_eq!(said, Vec::<String>::new());
    let wrong = installed_units(|unit| unit.replace("RestartSec", "RestartSeconds"));
    assert!(verified(&wrong).unwrap().iter().any(|line| line.contains("RestartSeconds")), "a wrong key is found");
    let unit = units.path().join("synthllm@.service");
    // The threshold is in tenths: 1.5 of 10, where systemd calls 2 and less "OK".
    let arguments = ["security", "--offline=true", "--threshold=15", unit.to_str().unwrap()];
    let security = systemd_analyze(units.path(), &arguments).unwrap();
    assert!(security.status.success(), "{}", String::from_utf8_lossy(&security.stdout));
}

/// Checks a file by the script, and returns its documents. `None`, with a message, where the script can't run.
fn checked(kind: &str, path: &Path) -> Option<Result<Vec<Value>, String>> {
    // Of the packages with schemas only the schemas are read, so it doesn't matter for which Python they are.
    let python = python("deploy", &["--ignore-requires-python"]).map_err(|why| skip(&format!("no schemas: {why}"))).ok()?;
    let mut command = Command::new(python);
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/deploy/check.py")).arg(kind).arg(path);
    if kind == "kubernetes" {
        command.args(KUBERNETES);
    }
    let output = command.output().unwrap();
    Some(if output.status.success() { Ok(serde_json::from_slice(&output.stdout).unwrap()) } else { Err(stderr(&output)) })
}

/// The same of a copy with a mistake in it.
fn checked_with_mistake(kind: &str, name: &str, right: &str, wrong: &str) -> Result<Vec<Value>, String> {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("wrong.yaml");
    assert!(text(name).contains(right));
    std::fs::write(&path, text(name).replace(right, wrong)).unwrap();
    checked(kind, &path).unwrap()
}

fn strings(value: &Value) -> Vec<&str> {
    value.as_array().unwrap().iter().map(|item| item.as_str().unwrap()).collect()
}

#[test]
fn the_compose_file_fits_its_specification_and_starts_all_processes() {
    let Some(documents) = checked("compose", &file("compose/compose.yaml")) else { return };
    let documents = documents.unwrap();
    let services = documents[0]["services"].as_object().unwrap();
    let config = load(&file("compose/synthllm.toml"));
    let hosts = sound_hosts(&file("compose/hosts"), "2101");
    for (process, host) in hosts.iter().enumerate() {
        let service = &services[host.split(':').next().unwrap()];
        let started = Started::parse(&strings(&service["command"]));
        assert_eq!((started.process, started.hosts.as_path()), (process, Path::new("/etc/synthllm/hosts")));
        check_workers(&config, started.workers);
        assert_eq!(service["environment"]["SYNTHLLM_CONFIG"], "/etc/synthllm/synthllm.toml");
        for mount in strings(&service["volumes"]) {
            let (own, mounted) = mount.strip_suffix(":ro").unwrap().split_once(':').unwrap();
            assert_eq!(Path::new(mounted).parent(), Some(Path::new("/etc/synthllm")));
            assert!(file("compose").join(own).is_file(), "{mount}");
        }
        let grace = humantime::parse_duration(service["stop_grace_period"].as_str().unwrap()).unwrap();
        assert!(is_enough_for_a_stop(grace, &config), "{grace:?}");
        assert_eq!(service["restart"], "unless-stopped");
        assert_eq!(service["depends_on"]["topics"]["condition"], "service_completed_successfully");
    }
    let create = [&["synthllm"], &strings(&services["topics"]["command"])[..]].concat();
    assert!(matches!(Cli::try_parse_from(create).unwrap().command, cli::Command::Topics(_)));
    assert!(services.contains_key(config.log.brokers.split(':').next().unwrap()), "the broker is a service");
    let wrong = checked_with_mistake("compose", "compose/compose.yaml", "stop_grace_period", "stop_grace");
    assert!(wrong.unwrap_err().contains("stop_grace"), "a wrong key is found");
}

#[test]
fn the_image_builds_with_the_oldest_compiler_and_the_packages_of_a_build() {
    let image = text("compose/Dockerfile");
    let manifest = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).unwrap();
    let manifest: toml::Table = manifest.parse().unwrap();
    let rust = manifest["workspace"]["package"]["rust-version"].as_str().unwrap();
    assert!(image.contains(&format!("FROM rust:{rust}-")), "the image's compiler is not {rust}");
    for script in image.lines().filter_map(|line| line.strip_prefix("RUN bash ")) {
        let script = script.split(' ').next().unwrap();
        assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join(script).is_file(), "{script}");
    }
    assert!(image.contains("setup.sh build\n") && image.contains("ENTRYPOINT [\"/usr/local/bin/synthllm\"]"));
}

/// The one document of a kind.
fn of_kind<'a>(documents: &'a [Value], kind: &str) -> &'a Value {
    let found: Vec<_> = documents.iter().filter(|document| document["kind"] == kind).collect();
    assert_eq!(found.len(), 1, "{kind}");
    found[0]
}

/// The argument of a container, its variables as Kubernetes fills them in for one pod.
fn arguments(container: &Value, process: usize) -> Vec<String> {
    let index = process.to_string();
    strings(&container["args"]).iter().map(|argument| argument.replace("$(POD_INDEX)", &index)).collect()
}

#[test]
fn the_kubernetes_manifests_fit_their_schemas_and_start_all_processes() {
    let Some(documents) = checked("kubernetes", &file("kubernetes/synthllm.yaml")) else { return };
    let documents = documents.unwrap();
    let (set, service) = (of_kind(&documents, "StatefulSet"), of_kind(&documents, "Service"));
    assert_eq!((&set["spec"]["replicas"], &set["spec"]["podManagementPolicy"]), (&PROCESSES.into(), &"Parallel".into()));
    assert_eq!(set["spec"]["serviceName"], service["metadata"]["name"]);
    assert_eq!(
        (&service["spec"]["clusterIP"], &service["spec"]["publishNotReadyAddresses"]),
        (&"None".into(), &true.into())
    );
    assert_eq!(service["spec"]["selector"], set["spec"]["template"]["metadata"]["labels"]);
    let pod = &set["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    assert!(container.get("livenessProbe").is_none(), "a process that waits for the model must not be ended");
    let mounted = Mounted::of(of_kind(&documents, "ConfigMap"));
    let grace = Duration::from_secs(pod["terminationGracePeriodSeconds"].as_u64().unwrap());
    assert!(is_enough_for_a_stop(grace, &mounted.config), "{grace:?}");
    for process in 0..PROCESSES {
        let arguments = arguments(container, process);
        let started = Started::parse(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(started.process, process);
        mounted.holds(&started);
        check_workers(&mounted.config, started.workers);
    }
    let (name, port) = (set["metadata"]["name"].as_str().unwrap(), container["ports"][0]["containerPort"].to_string());
    let host = |process| format!("{name}-{process}.{}:{port}", service["metadata"]["name"].as_str().unwrap());
    assert_eq!(mounted.hosts, (0..PROCESSES).map(host).collect::<Vec<_>>());
    check_environment(container);
    check_job(of_kind(&documents, "Job"));
    let wrong = checked_with_mistake("kubernetes", "kubernetes/synthllm.yaml", "podManagementPolicy", "podPolicy");
    assert!(wrong.unwrap_err().contains("podPolicy"), "a wrong key is found");
}

/// What a `ConfigMap` holds.
struct Mounted {
    names: BTreeSet<String>,
    config: Config,
    hosts: Vec<String>,
}

impl Mounted {
    fn of(map: &Value) -> Self {
        let folder = tempfile::TempDir::new().unwrap();
        let files = map["data"].as_object().unwrap();
        for (name, content) in files {
            std::fs::write(folder.path().join(name), content.as_str().unwrap()).unwrap();
        }
        Mounted {
            names: files.keys().map(|name| format!("/etc/synthllm/{name}")).collect(),
            config: load(&folder.path().join("synthllm.toml")),
            hosts: read_hosts(&folder.path().join("hosts"), PROCESSES).unwrap(),
        }
    }

    fn holds(&self, started: &Started) {
        for path in [&started.config, &started.hosts] {
            assert!(self.names.contains(path.to_str().unwrap()), "{} is not mounted", path.display());
        }
    }
}

fn check_environment(container: &Value) {
    let variables = container["env"].as_array().unwrap();
    let from = |name: &str| &variables.iter().find(|variable| variable["name"] == name).unwrap()["valueFrom"];
    assert_eq!(from("POD_INDEX")["fieldRef"]["fieldPath"], "metadata.labels['apps.kubernetes.io/pod-index']");
    assert_eq!(from("SYNTHLLM_API_KEY")["secretKeyRef"]["name"], "synthllm");
    assert_eq!(container["volumeMounts"][0]["mountPath"], "/etc/synthllm");
}

fn check_job(job: &Value) {
    let create = arguments(&job["spec"]["template"]["spec"]["containers"][0], 0);
    let parsed = Cli::try_parse_from(std::iter::once("synthllm").chain(create.iter().map(String::as_str))).unwrap();
    assert!(matches!(parsed.command, cli::Command::Topics(_)), "{create:?}");
}
