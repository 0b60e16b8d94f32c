//! The shape of the source: the flow runs one way, the core is pure, one module writes money.

use std::fs;
use std::path::{Path, PathBuf};

/// The floors of `src/balance`, lowest first. Each may use those below it.
const FLOORS: &[&str] = &[
    "model",
    "scripts",
    "redis",
    "journal",
    "status_events",
    "lease",
    "state",
    "projection",
    "repair",
    "authorize",
    "background",
    "service",
];

/// The crates that the pure core may use.
const CORE_CRATES: [&str; 5] = ["chrono", "serde", "thiserror", "toml", "proptest"];
const LINES_MAX: usize = 400;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All files with this extension below a folder, with their text.
pub(crate) fn files(folder: &str, extension: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("the folder is there") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|found| found == extension) {
                let text = fs::read_to_string(&path).expect("text");
                found.push((path.strip_prefix(root()).expect("inside").to_owned(), text));
            }
        }
    }
    assert!(extension != "rs" || !found.is_empty(), "no source below {folder}");
    found
}

/// The lines of a file that are code, before its tests.
pub(crate) fn code(text: &str) -> impl Iterator<Item = &str> {
    let before_tests = text.split("#[cfg(test)]").next().unwrap_or_default();
    before_tests.lines().filter(|line| !line.trim_start().starts_with("//"))
}

/// Words that follow each `crate::` on a line, also within one level of braces.
fn modules_named(line: &str) -> Vec<String> {
    names_after(line, "crate::")
}

fn names_after(line: &str, path: &str) -> Vec<String> {
    let mut names = Vec::new();
    for rest in line.split(path).skip(1) {
        let list = match rest.strip_prefix('{') {
            Some(list) => list.split('}').next().unwrap_or_default().split(',').collect(),
            None => vec![rest],
        };
        for item in list {
            let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let name: String = item.trim().chars().take_while(|c| is_name(*c)).collect();
            names.push(name);
        }
    }
    names
}

/// The modules of `src` in the reading order that the head of `lib.rs` lists. Each may use those
/// before it.
fn reading_order() -> Vec<String> {
    let text = fs::read_to_string(root().join("src/lib.rs")).expect("src/lib.rs");
    let list = text.split("Modules in reading order:").nth(1).expect("the reading order");
    let list = list.lines().take_while(|line| !line.trim_start_matches("//!").trim().is_empty());
    let names = list.flat_map(|line| line.split("[`").skip(1));
    let names = names.map(|rest| rest.split("`]").next().unwrap_or_default().to_owned());
    names.chain(["main".to_owned()]).collect()
}

#[test]
fn no_stage_imports_a_later_one() {
    let order = reading_order();
    let rank = |module: &str| order.iter().position(|name| name == module);
    let mut wrong = Vec::new();
    for (path, text) in files("src", "rs") {
        let stage = path.components().nth(1).expect("below src").as_os_str();
        let stage = Path::new(stage).file_stem().and_then(|stem| stem.to_str()).expect("a name");
        if stage == "lib" {
            continue;
        }
        let Some(place) = rank(stage) else {
            wrong.push(format!("{}: give {stage} its place in the order", path.display()));
            continue;
        };
        for name in code(&text).flat_map(modules_named) {
            if rank(&name).is_some_and(|other| other > place) {
                wrong.push(format!("{} uses {name}, which comes later", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn no_floor_of_balance_uses_a_higher_one() {
    let rank = |floor: &str| FLOORS.iter().position(|name| *name == floor);
    let mut wrong = Vec::new();
    for (path, text) in files("src/balance", "rs") {
        let inside = path.strip_prefix("src/balance").expect("inside").with_extension("");
        let parts: Vec<&str> = inside.iter().filter_map(|part| part.to_str()).collect();
        let floor = parts[0];
        if floor == "mod" {
            continue;
        }
        let Some(place) = rank(floor) else {
            wrong.push(format!("{}: give {floor} its floor", path.display()));
            continue;
        };
        // Other floors must be named from the crate's root, so that they are found here.
        let is_root = parts.len() == 1 || parts[1..] == ["mod"];
        let hidden = if is_root { "use super::" } else { "super::super::" };
        for line in code(&text) {
            if line.contains(hidden) {
                wrong.push(format!("{}: {}", path.display(), line.trim()));
            }
            for name in names_after(line, "crate::balance::") {
                if rank(&name).is_none_or(|other| other > place) {
                    wrong.push(format!("{} uses {name}, which is higher", path.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_core_is_pure() {
    let manifest = fs::read_to_string(root().join("core/Cargo.toml")).expect("the core's manifest");
    let dependencies = manifest
        .split('[')
        .filter(|part| part.starts_with("dependencies]") || part.starts_with("dev-dependencies]"));
    let lines = dependencies.flat_map(|part| part.lines().skip(1)).filter(|line| !line.is_empty());
    for line in lines {
        let name = line.split(['.', '=', ' ']).next().unwrap_or_default();
        assert!(CORE_CRATES.contains(&name), "the core uses {name}");
    }
    let impure = [
        "std::fs",
        "std::net",
        "std::env",
        "std::io",
        "std::process",
        "std::thread",
        "SystemTime",
        "Instant::now",
        "Utc::now",
        "Local::now",
        "rand::",
        "f32",
        "f64",
    ];
    for (path, text) in files("core/src", "rs") {
        for (line, word) in code(&text).flat_map(|line| impure.map(|word| (line, word))) {
            assert!(!line.contains(word), "{} uses {word}: {line}", path.display());
        }
    }
}

#[test]
fn only_the_ledger_writes_money() {
    let tables =
        ["transactions", "charges", "wallets", "cycles", "call_keys", "rental_periods", "numbers"];
    let verbs = ["INSERT INTO", "UPDATE", "DELETE FROM", "COPY", "TRUNCATE"];
    for (path, text) in files("src", "rs").into_iter().chain(files("src", "sql")) {
        if path.starts_with("src/ledger") {
            continue;
        }
        let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
        for (verb, table) in verbs.iter().flat_map(|verb| tables.map(|table| (verb, table))) {
            let statement = format!("{verb} {table}");
            assert!(!words.contains(&statement), "{}: {statement}", path.display());
        }
    }
}

#[test]
fn no_door_imports_another_or_opens_a_transaction() {
    let doors = ["http", "page", "cli"];
    for (path, text) in files("src", "rs") {
        let Some(door) = doors.iter().find(|door| path.starts_with(Path::new("src").join(door)))
        else {
            continue;
        };
        for line in code(&text) {
            let other = modules_named(line);
            let other = other.iter().find(|name| doors.contains(&name.as_str()) && name != door);
            assert!(other.is_none(), "{} uses another door: {line}", path.display());
            assert!(!line.contains(".transact("), "{}: {line}", path.display());
        }
    }
}

#[test]
fn only_the_settings_read_the_environment() {
    for (path, text) in files("src", "rs") {
        let reads = code(&text).any(|line| line.contains("env::var"));
        assert!(!reads || path.starts_with("src/config"), "{}", path.display());
    }
}

#[test]
fn no_file_of_the_source_has_more_than_four_hundred_lines() {
    let mut long = Vec::new();
    for folder in ["src", "core/src", "tests"] {
        for (path, text) in files(folder, "rs") {
            if text.lines().count() > LINES_MAX {
                long.push(format!("{}: {}", path.display(), text.lines().count()));
            }
        }
    }
    assert!(long.is_empty(), "{long:#?}");
}

#[test]
fn every_script_that_the_words_name_is_there() {
    for page in ["README.md", "CONTRIBUTING.md"] {
        let text = fs::read_to_string(root().join(page)).unwrap_or_else(|_| panic!("no {page}"));
        let mut named = 0;
        for rest in text.split("script/").skip(1) {
            let is_name = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
            let name: String = rest.chars().take_while(|c| is_name(*c)).collect();
            let path = root().join("script").join(name.trim_end_matches(['.', '/']));
            assert!(path.exists(), "{page} names {}", path.display());
            named += 1;
        }
        assert!(named > 0, "{page} names no script");
    }
}

#[test]
fn the_reader_of_imports_sees_every_form() {
    let cases = [
        ("use crate::ledger::Store;", vec!["ledger"]),
        ("use crate::{http::App, ledger};", vec!["http", "ledger"]),
        ("    crate::notify::send(crate::clock::now())", vec!["notify", "clock"]),
        ("use std::fmt;", vec![]),
    ];
    for (line, names) in cases {
        assert_eq!(modules_named(line), names, "{line}");
    }
}
