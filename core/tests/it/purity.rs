//! The core stays pure: its permitted dependencies, and what its sources must not use.

use std::fs;
use std::path::{Path, PathBuf};

fn manifest_dir() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn the_core_depends_on_nothing_that_does_io() {
    let manifest = fs::read_to_string(manifest_dir().join("Cargo.toml")).expect("a manifest");
    let manifest: toml::Table = manifest.parse().expect("a manifest in TOML");
    let dependencies = manifest["dependencies"].as_table().expect("dependencies");
    let names: Vec<&str> = dependencies.keys().map(String::as_str).collect();
    assert_eq!(names, ["chrono", "serde", "thiserror", "toml"], "each one added must do no I/O");
    for section in ["build-dependencies", "target"] {
        assert!(!manifest.contains_key(section), "[{section}] would go round this test");
    }
}

#[test]
fn no_source_file_reaches_for_the_outside() {
    let forbidden = [
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
        "println!",
        "eprintln!",
        "static mut",
        "OnceLock",
        "thread_local!",
        "f32",
        "f64",
    ];
    let sources = rust_files(&manifest_dir().join("src"));
    assert!(sources.len() > 20, "only {} source files found", sources.len());
    for path in sources {
        let text = fs::read_to_string(&path).expect("a source file");
        for word in forbidden {
            assert!(!text.contains(word), "{} has {word}", path.display());
        }
    }
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths.flat_map(|path| if path.is_dir() { rust_files(&path) } else { vec![path] }).collect()
}
