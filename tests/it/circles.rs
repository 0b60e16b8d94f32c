//! No circle of imports between files: everything that a file uses can be read before it.
//!
//! A folder's `mod.rs` contains what its files share, so a file may use definitions of the `mod.rs`
//! above it; every other import counts. Re-exports are followed to the file that defines the name.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::architecture::{code, files};

/// Path of a name, as its segments below the crate.
type Place = Vec<String>;

/// The files of one crate and their imports.
struct House {
    /// Every module with its file.
    rooms: BTreeMap<Place, PathBuf>,
    /// The names that each module re-exports.
    exports: BTreeMap<Place, BTreeMap<String, Place>>,
    /// The paths that each file names; they may be re-exports.
    named: BTreeMap<PathBuf, Vec<Place>>,
}

impl House {
    fn of(folder: &str) -> Self {
        let texts: Vec<(Place, PathBuf, String)> = files(folder, "rs")
            .into_iter()
            .filter(|(path, _)| !path.ends_with("main.rs"))
            .map(|(path, text)| (place_of(&path, folder), path, text))
            .collect();
        let rooms = texts.iter().map(|(place, path, _)| (place.clone(), path.clone())).collect();
        let mut house = Self { rooms, exports: BTreeMap::new(), named: BTreeMap::new() };
        for (place, path, text) in &texts {
            let words = words(&code(text).collect::<Vec<_>>().join("\n"));
            let found = Reader { house: &house, place, words: &words }.read();
            house.exports.insert(place.clone(), found.handed_on);
            house.named.insert(path.clone(), found.named);
        }
        house
    }

    /// The file that defines the item at a path, through re-exports.
    fn file_of(&self, place: &[String]) -> Option<&PathBuf> {
        let mut place = place.to_vec();
        for _ in 0..8 {
            let is_room = |depth: &usize| self.rooms.contains_key(&place[..*depth]);
            let depth = (0..=place.len()).rev().find(is_room)?;
            let next = place.get(depth);
            let room = place[..depth].to_vec();
            match next.and_then(|name| self.exports.get(&room)?.get(name)) {
                Some(target) if *target != place => {
                    place = target.iter().chain(&place[depth + 1..]).cloned().collect();
                }
                _ => return self.rooms.get(&room),
            }
        }
        None
    }

    /// All imports, from each file to the files it needs.
    fn arrows(&self) -> BTreeMap<&PathBuf, BTreeSet<&PathBuf>> {
        let arrows = self.named.iter().map(|(path, places)| {
            let targets = places.iter().filter_map(|place| self.file_of(place));
            let targets = targets.filter(|target| *target != path && !holds(target, path));
            (path, targets.collect())
        });
        arrows.collect()
    }
}

/// True if `file` is the `mod.rs` (or root) of a folder around `inner`.
fn holds(file: &Path, inner: &Path) -> bool {
    let is_mod = file.ends_with("mod.rs") || file.ends_with("lib.rs");
    is_mod && file.parent().is_some_and(|folder| inner.starts_with(folder))
}

fn place_of(path: &Path, folder: &str) -> Place {
    let inside = path.strip_prefix(folder).expect("inside").with_extension("");
    let mut place: Place = inside.iter().map(|part| part.to_string_lossy().into_owned()).collect();
    if place.last().is_some_and(|last| last == "mod" || last == "lib") {
        place.pop();
    }
    place
}

/// Splits code into names and punctuation; `::` is one word.
fn words(code: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut rest = code;
    while let Some(first) = rest.chars().next() {
        let is_name = |c: char| c.is_alphanumeric() || c == '_';
        let length = if is_name(first) {
            rest.find(|c| !is_name(c)).unwrap_or(rest.len())
        } else if rest.starts_with("::") {
            2
        } else {
            first.len_utf8()
        };
        let (word, after) = rest.split_at(length);
        if !word.trim().is_empty() {
            words.push(word.to_owned());
        }
        rest = after;
    }
    words
}

#[derive(Default)]
struct Found {
    named: Vec<Place>,
    handed_on: BTreeMap<String, Place>,
}

/// Reads the paths that a module names.
struct Reader<'a> {
    house: &'a House,
    place: &'a Place,
    words: &'a [String],
}

impl Reader<'_> {
    fn read(&self) -> Found {
        let mut found = Found::default();
        let mut at = 0;
        while at < self.words.len() {
            if self.words[at] == "use" {
                let mut leaves = Vec::new();
                at = self.tree(at + 1, &[], &mut leaves);
                for (name, path) in leaves {
                    let Some(place) = self.absolute(&path) else { continue };
                    found.handed_on.insert(name, place.clone());
                    found.named.push(place);
                }
                continue;
            }
            let follows_path = at > 0 && self.words[at - 1] == "::";
            let mut path = vec![self.words[at].clone()];
            while self.words.get(at + 1).is_some_and(|word| word == "::")
                && let Some(next) = self.words.get(at + 2)
                && next.chars().all(|c| c.is_alphanumeric() || c == '_')
            {
                path.push(next.clone());
                at += 2;
            }
            if path.len() > 1 && !follows_path {
                found.named.extend(self.absolute(&path));
            }
            at += 1;
        }
        found
    }

    /// Reads one tree of a `use`, starting at a word; returns where it ends.
    fn tree(&self, mut at: usize, stem: &[String], leaves: &mut Vec<(String, Place)>) -> usize {
        let mut path = stem.to_vec();
        while let Some(word) = self.words.get(at) {
            match word.as_str() {
                "::" => {}
                "{" => {
                    at += 1;
                    while self.words.get(at).is_some_and(|word| word != "}") {
                        at = self.tree(at, &path, leaves);
                        if self.words.get(at).is_some_and(|word| word == ",") {
                            at += 1;
                        }
                    }
                    return at + 1;
                }
                "as" => {
                    let name = self.words.get(at + 1).cloned().unwrap_or_default();
                    leaves.push((name, path));
                    return at + 2;
                }
                "," | "}" | ";" => break,
                "self" if !path.is_empty() => {}
                name => path.push(name.to_owned()),
            }
            at += 1;
        }
        if let Some(name) = path.last().cloned() {
            leaves.push((name, path));
        }
        at
    }

    /// The path within this crate, if it leads there.
    fn absolute(&self, path: &[String]) -> Option<Place> {
        let mut place = self.place.clone();
        let mut rest = path;
        match rest.first()?.as_str() {
            "crate" => {
                place.clear();
                rest = &rest[1..];
            }
            "self" => rest = &rest[1..],
            "super" => {
                while rest.first().is_some_and(|word| word == "super") {
                    place.pop()?;
                    rest = &rest[1..];
                }
            }
            child => {
                let mut inside = place.clone();
                inside.push(child.to_owned());
                if !self.house.rooms.contains_key(&inside) {
                    return None;
                }
            }
        }
        place.extend_from_slice(rest);
        Some(place)
    }
}

/// Files that reach each other, one line for each circle.
fn circles(arrows: &BTreeMap<&PathBuf, BTreeSet<&PathBuf>>) -> Vec<String> {
    let reached = |from: &PathBuf| {
        let mut seen = BTreeSet::new();
        let mut next: Vec<&PathBuf> = arrows.get(from).into_iter().flatten().copied().collect();
        while let Some(file) = next.pop() {
            if seen.insert(file) {
                next.extend(arrows.get(file).into_iter().flatten());
            }
        }
        seen
    };
    let reach: BTreeMap<&PathBuf, BTreeSet<&PathBuf>> =
        arrows.keys().map(|file| (*file, reached(file))).collect();
    let mut found = BTreeSet::new();
    for (file, seen) in &reach {
        if seen.contains(file) {
            let circle = seen.iter().filter(|other| reach[**other].contains(file));
            let names: Vec<String> = circle.map(|file| file.display().to_string()).collect();
            found.insert(names.join(", "));
        }
    }
    found.into_iter().collect()
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    for folder in ["src", "core/src"] {
        let house = House::of(folder);
        let arrows = house.arrows();
        let count: usize = arrows.values().map(BTreeSet::len).sum();
        assert!(count > arrows.len(), "{folder}: {count} imports of {} files", arrows.len());
        assert_eq!(circles(&arrows), Vec::<String>::new(), "in {folder}");
    }
}
