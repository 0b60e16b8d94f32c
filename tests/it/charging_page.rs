//! docs/charging.md lists every reason for which a record is kept instead of charged: each code,
//! and each beginning of a detail that the source can create.

use callmeter::ingest::decode::RejectReason;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The sources that reject records.
const SOURCES: [&str; 3] = ["src/ingest", "src/ledger/batch", "src/meter"];
/// Errors of the core that become details unchanged.
const ERRORS: [&str; 2] = ["core/src/domain/ids.rs", "core/src/rating/terms.rs"];
/// Errors among them that no record causes: an empty id is missing, and records need no `AC…` form.
const OF_NO_RECORD: [&str; 3] =
    ["the … is empty", "the … is not AC and 32 hexadecimal digits", "the … is not …"];

/// A code, and a detail with `…` for its changing parts.
type Reason = (String, String);

fn read(path: impl AsRef<Path>) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The rows of the page's table.
fn listed() -> Vec<Reason> {
    let page = read("docs/charging.md");
    let (_, section) = page.split_once("\n## What is rejected\n").expect("the section");
    let section = section.split("\n## ").next().unwrap_or_default();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    let rows = rows.map(|row| {
        let mut words = row.split('`').skip(1).step_by(2);
        let mut word = || words.next().unwrap_or_else(|| panic!("too few words: {row}")).to_owned();
        (word(), word())
    });
    rows.collect()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("the folder is there");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// The text up to the bracket that closes the one before it; brackets in quotes do not count.
fn inside(text: &str, open: char, close: char) -> &str {
    let (mut depth, mut quoted, mut escaped) = (1, false, false);
    for (at, character) in text.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => quoted = !quoted,
            it if it == open && !quoted => depth += 1,
            it if it == close && !quoted => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return &text[..at];
        }
    }
    panic!("never closed: {text}")
}

/// The first string in a piece of source, with `…` for its changing parts; none if it has none.
fn template(source: &str) -> Option<String> {
    let (_, text) = source.split_once('"')?;
    let text = text.split('"').next()?;
    let parts = text.split('{').map(|part| part.split_once('}').map_or(part, |(_, rest)| rest));
    Some(parts.collect::<Vec<_>>().join("…"))
}

/// The texts that follow each `start`.
fn after<'a>(text: &'a str, start: &'a str) -> impl Iterator<Item = &'a str> {
    text.match_indices(start).map(move |(at, _)| &text[at + start.len()..])
}

/// The reasons that one file creates.
fn made_in(text: &str) -> Vec<Reason> {
    let mut made = Vec::new();
    for word in ["invalid", "undecodable"] {
        for rest in after(text, &format!("Rejection::{word}(")) {
            let arguments = inside(rest, '(', ')');
            let passed_on = ["detail", "error.to_string()"].contains(&arguments.trim());
            match template(arguments) {
                Some(detail) => made.push((word.to_owned(), detail)),
                None => assert!(passed_on, "whose detail is {arguments:?}?"),
            }
        }
    }
    // Written out, or created first and passed on.
    for reason in RejectReason::ALL {
        for rest in after(text, &format!("reason: RejectReason::{reason:?},")) {
            let rest = inside(rest, '{', '}');
            made.extend(template(rest).map(|detail| (reason.as_str().to_owned(), detail)));
        }
    }
    for rest in after(text, "let detail = format!(") {
        let detail = template(inside(rest, '(', ')')).expect("a text");
        let is_conflict = rest.split("detail)").next().is_some_and(|it| it.contains("conflict("));
        let word = if is_conflict { "conflict" } else { "invalid" };
        made.push((word.to_owned(), detail));
    }
    made
}

/// The reasons that the whole source creates.
fn made() -> BTreeSet<Reason> {
    let mut made = BTreeSet::new();
    for folder in SOURCES {
        for path in files(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)) {
            if !path.ends_with("tests.rs") {
                let text = read(&path);
                made.extend(made_in(text.split("#[cfg(test)]").next().unwrap_or_default()));
            }
        }
    }
    for path in ERRORS {
        let text = read(path);
        let details = after(&text, "#[error(").map(|rest| template(rest).expect("a text"));
        let details = details.filter(|detail| !OF_NO_RECORD.contains(&detail.as_str()));
        made.extend(details.map(|detail| ("invalid".to_owned(), detail)));
    }
    made
}

#[test]
fn every_reason_for_a_reject_is_listed_and_every_listed_one_is_made() {
    let rows = listed();
    let listed: BTreeSet<Reason> = rows.iter().cloned().collect();
    assert_eq!(listed.len(), rows.len(), "a row is there twice");
    let made = made();
    let missing: Vec<_> = made.difference(&listed).collect();
    let idle: Vec<_> = listed.difference(&made).collect();
    assert!(missing.is_empty() && idle.is_empty(), "not listed: {missing:#?}; not made: {idle:#?}");
    let words: BTreeSet<&str> = listed.iter().map(|(word, _)| word.as_str()).collect();
    let all: BTreeSet<&str> = RejectReason::ALL.iter().map(|reason| reason.as_str()).collect();
    assert_eq!(words, all);
}
