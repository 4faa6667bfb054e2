//! Which crate may know which. Dependencies point one way, and only the store knows what it stores in.

use crate::{nothing_to_say, tree};
use std::collections::BTreeMap;

/// Each crate of the product and those of ours that it may know. A crate that is not here has no place yet.
const MAY_KNOW: [(&str, &[&str]); 14] = [
    ("engine", &[]),
    ("strict-json", &[]),
    ("proto", &["strict-json"]),
    ("store", &["engine"]),
    ("gateway", &["engine", "store", "strict-json"]),
    ("scheduler", &["engine", "store"]),
    ("worker", &["engine", "proto", "store", "strict-json"]),
    (
        "server",
        &["engine", "gateway", "proto", "scheduler", "store", "worker"],
    ),
    ("miractl", &[]),
    // Its floor calls an agent.
    ("loadtest", &["proto"]),
    ("mirastack-sdk", &["proto"]),
    // Its tests check what goes over the wire.
    ("agent-demo", &["mirastack-sdk", "proto"]),
    ("agent-metrics", &["mirastack-sdk", "proto"]),
    ("agent-alertmanager", &["mirastack-sdk", "proto"]),
];

/// Who may know whom in its own tests only, and why.
const IN_TESTS: [(&str, &str, &str); 1] = [(
    "worker",
    "mirastack-sdk",
    "agents that register are tested with the SDK that they are built with",
)];

/// They see the whole house.
const TESTS: &str = "mirastack-tests";
/// It sees it, too: it calls whatever reads things from outside.
const FUZZ: &str = "mirastack-fuzz";

/// What only some may use: the beginning of a crate's name, who may, why nobody else.
const RESERVED: [(&str, &[&str], &str); 3] = [
    (
        "rusqlite",
        &["store", "loadtest", TESTS, FUZZ],
        "only the store knows SQLite (and the tests, which damage its file, and the floor of loadtest)",
    ),
    (
        "async-nats",
        &["store", TESTS],
        "only store/cluster knows NATS (and the tests, which try what its users may do)",
    ),
    ("redis", &["store"], "only store/cluster knows Valkey"),
];

/// Beginnings of names of crates that wait, draw random numbers, do I/O or log.
const NOT_PURE: [&str; 15] = [
    "tokio",
    "futures",
    "async",
    "rand",
    "getrandom",
    "tracing",
    "log",
    "metrics",
    "reqwest",
    "hyper",
    "axum",
    "tonic",
    "rusqlite",
    "rustix",
    "tempfile",
];

#[test]
fn dependencies_point_one_way() {
    let packages: Vec<Package> = tree::files_ending("Cargo.toml")
        .iter()
        .filter_map(|manifest| package(&manifest.text))
        .collect();
    assert!(
        packages.len() > MAY_KNOW.len(),
        "the manifests were not found"
    );
    nothing_to_say(&complaints(&packages));
}

struct Package {
    name: String,
    /// Of every kind and target.
    dependencies: Vec<String>,
    /// Without those of its tests.
    shipped: Vec<String>,
}

fn package(manifest: &str) -> Option<Package> {
    let table: toml::Table = toml::from_str(manifest).expect("cargo has read it");
    let name = table.get("package")?.get("name")?.as_str()?.to_owned();
    let mut dependencies = Vec::new();
    let mut shipped = Vec::new();
    let targets = table
        .get("target")
        .and_then(toml::Value::as_table)
        .into_iter()
        .flatten();
    let sections = targets
        .filter_map(|(_, section)| section.as_table())
        .chain([&table]);
    for section in sections {
        for kind in ["dependencies", "build-dependencies", "dev-dependencies"] {
            let found = section
                .get(kind)
                .and_then(toml::Value::as_table)
                .into_iter()
                .flatten();
            let names: Vec<String> = found.map(|(name, _)| name.clone()).collect();
            if kind != "dev-dependencies" {
                shipped.extend(names.clone());
            }
            dependencies.extend(names);
        }
    }
    Some(Package {
        name,
        dependencies,
        shipped,
    })
}

fn complaints(packages: &[Package]) -> Vec<String> {
    let may_know = BTreeMap::from(MAY_KNOW);
    let ours: Vec<&str> = may_know.keys().copied().chain([TESTS, FUZZ]).collect();
    let mut complaints = Vec::new();
    let sees_all = |package: &&Package| [TESTS, FUZZ].contains(&package.name.as_str());
    for package in packages.iter().filter(|package| !sees_all(package)) {
        let name = &package.name;
        let Some(known) = may_know.get(name.as_str()) else {
            complaints.push(format!(
                "{name}: a new crate: write into tests/tidy/walls.rs whom it may know"
            ));
            continue;
        };
        // Its own tests may ask for a crate again, with a feature.
        let in_tests = |other: &String| {
            let named = IN_TESTS
                .iter()
                .any(|(who, whom, _)| name == who && other == whom);
            named && !package.shipped.contains(other)
        };
        let mut others = package.dependencies.iter().collect::<Vec<_>>();
        others.retain(|other| *other != name && !in_tests(other));
        for dependency in others.into_iter().map(String::as_str) {
            if ours.contains(&dependency) && !known.contains(&dependency) {
                complaints.push(format!("{name} must not know {dependency}"));
            }
        }
    }
    complaints.extend(packages.iter().flat_map(reserved));
    complaints.extend(
        packages
            .iter()
            .filter(|package| package.name == "engine")
            .flat_map(impure),
    );
    complaints
}

fn reserved(package: &Package) -> Vec<String> {
    let name = &package.name;
    let mut complaints = Vec::new();
    for (start, who, why) in RESERVED {
        let used = package
            .dependencies
            .iter()
            .any(|dependency| dependency.starts_with(start));
        if used && !who.contains(&name.as_str()) {
            complaints.push(format!("{name} uses {start}: {why}"));
        }
    }
    complaints
}

fn impure(engine: &Package) -> Vec<String> {
    let used = |start: &&str| {
        engine
            .shipped
            .iter()
            .any(|dependency| dependency.starts_with(start))
    };
    let complaint = |start| {
        format!("engine uses {start}: it waits for nothing, logs nothing and draws no numbers")
    };
    NOT_PURE.into_iter().filter(used).map(complaint).collect()
}

#[test]
fn a_wrong_turn_is_found() {
    let of = |name: &str, rest: &str| {
        package(&format!("[package]\nname = \"{name}\"\n{rest}")).expect("a package")
    };
    let found = |name: &str, rest: &str| complaints(&[of(name, rest)]).len();
    assert_eq!(
        found("gateway", "[dependencies]\nstore.workspace = true"),
        0
    );
    assert_eq!(
        found("gateway", "[dependencies]\nscheduler.workspace = true"),
        1
    );
    assert_eq!(
        found("gateway", "[dev-dependencies]\nworker.workspace = true"),
        1
    );
    assert_eq!(
        found(
            "worker",
            "[target.'cfg(unix)'.dependencies]\ngateway = \"1\""
        ),
        1
    );
    assert_eq!(found("worker", "[dependencies]\nrusqlite = \"1\""), 1);
    assert_eq!(
        found("engine", "[dependencies]\ntokio-util = \"1\"\nrand = \"1\""),
        2
    );
    assert_eq!(found("engine", "[dev-dependencies]\nrand = \"1\""), 0);
    assert_eq!(
        found(
            "mirastack-sdk",
            "[dev-dependencies]\nmirastack-sdk.workspace = true"
        ),
        0
    );
    assert_eq!(found("newcomer", ""), 1);
    assert_eq!(
        found(TESTS, "[dependencies]\nrusqlite = \"1\"\ngateway = \"1\""),
        0
    );
}
