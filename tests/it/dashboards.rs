//! Dashboards can be loaded, and use only metrics of this program.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

/// Columns of Grafana's grid.
const COLUMNS: u64 = 24;
/// The oldest supported schema version of dashboards.
const SCHEMA_VERSION_MIN: u64 = 42;
/// Suffixes of a histogram's series that are not part of its name.
const SERIES: [&str; 3] = ["_bucket", "_sum", "_count"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every dashboard by file name.
fn dashboards() -> Vec<(String, Value)> {
    let folder = fs::read_dir(root().join("dashboards")).expect("the folder is there");
    let files = folder.map(|entry| entry.expect("an entry").path());
    let parsed = files.map(|path| {
        let text = fs::read_to_string(&path).expect("text");
        let dashboard = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}"));
        (path.file_name().expect("a name").to_string_lossy().into_owned(), dashboard)
    });
    let found: Vec<_> = parsed.collect();
    assert!(!found.is_empty(), "no dashboard");
    found
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn expressions(dashboard: &Value) -> Vec<&str> {
    let targets = list(dashboard, "panels").iter().flat_map(|panel| list(panel, "targets"));
    targets.map(|target| target["expr"].as_str().expect("an expression")).collect()
}

/// Our metrics that an expression names.
fn metrics_named(expression: &str) -> impl Iterator<Item = &str> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = expression.split(move |c| !is_name(c));
    words.filter(|word| word.starts_with("callmeter_"))
}

/// The metrics that the program declares; true for a histogram.
fn metrics_declared() -> Vec<(String, bool)> {
    let source = fs::read_to_string(root().join("src/metrics.rs")).expect("the metrics");
    let described = source.replace("!(\n        ", "!(");
    let constants = source.split("pub const ").skip(1).filter_map(|rest| {
        let (constant, rest) = rest.split_once(": &str = \"")?;
        let (name, _) = rest.split_once('"')?;
        let histogram = described.contains(&format!("describe_histogram!({constant},"));
        name.starts_with("callmeter_").then(|| (name.to_owned(), histogram))
    });
    let declared: Vec<_> = constants.collect();
    assert!(declared.iter().any(|(_, histogram)| *histogram), "no histogram is declared");
    declared
}

#[test]
fn every_metric_of_a_dashboard_is_declared() {
    let declared = metrics_declared();
    for (file, dashboard) in dashboards() {
        let expressions = expressions(&dashboard);
        let named: BTreeSet<&str> = expressions.iter().copied().flat_map(metrics_named).collect();
        assert!(!named.is_empty(), "{file} shows nothing of ours");
        for name in named {
            let known = declared.iter().any(|(metric, histogram)| {
                let of_histogram =
                    || SERIES.iter().any(|end| name.strip_suffix(end) == Some(metric));
                if *histogram { of_histogram() } else { name == metric }
            });
            assert!(known, "{file} shows {name}, which is not declared");
        }
    }
}

#[test]
fn a_dashboard_takes_its_data_source_from_its_variable() {
    for (file, dashboard) in dashboards() {
        let version = dashboard["schemaVersion"].as_u64();
        assert!(version >= Some(SCHEMA_VERSION_MIN), "{file} has schema version {version:?}");
        let variables = list(&dashboard["templating"], "list");
        let is_source = |it: &&Value| it["name"] == "datasource" && it["type"] == "datasource";
        assert_eq!(variables.iter().filter(is_source).count(), 1, "{file}");
        for panel in list(&dashboard, "panels").iter().filter(|panel| panel["type"] != "row") {
            let targets = list(panel, "targets");
            assert!(!targets.is_empty(), "{file} shows nothing in {}", panel["title"]);
            for part in std::iter::once(panel).chain(targets) {
                assert_eq!(
                    part["datasource"]["uid"], "${datasource}",
                    "{file}: {}",
                    panel["title"]
                );
            }
        }
    }
}

#[test]
fn panels_have_their_own_place_and_number() {
    for (file, dashboard) in dashboards() {
        let mut taken = BTreeSet::new();
        let mut numbers = BTreeSet::new();
        for panel in list(&dashboard, "panels") {
            let title = panel["title"].as_str().expect("a title");
            assert!(numbers.insert(panel["id"].as_u64().expect("a number")), "{file}: {title}");
            let [x, y, w, h] = ["x", "y", "w", "h"]
                .map(|key| panel["gridPos"][key].as_u64().expect("a whole number"));
            assert!(w > 0 && h > 0 && x + w <= COLUMNS, "{file}: {title} leaves the grid");
            for place in (y..y + h).flat_map(|row| (x..x + w).map(move |column| (row, column))) {
                assert!(taken.insert(place), "{file}: {title} lies on another panel");
            }
        }
    }
}
