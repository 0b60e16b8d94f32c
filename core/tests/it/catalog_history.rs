//! Which catalog version is in force at which time.

use std::sync::Arc;

use callmeter_core::domain::{
    Catalog, CatalogHistory, CatalogHistoryError, CatalogVersion, VersionedCatalog,
};

use crate::world::{instant, plan_id};

/// A version with the given plans, each with as many included minutes as the version's number.
fn version(number: i32, effective_at: &str, plans: &[&str]) -> VersionedCatalog {
    let plans = plans.iter().map(|plan| {
        format!(
            "[[plans]]\nid = \"{plan}\"\nname = \"{plan}\"\nmonthly_fee = \"1\"\n\
             included_minutes = {number}\nper_minute = \"0.01\"\n"
        )
    });
    let standard = "[standard]\nper_minute = \"0.020\"\n".to_owned();
    let file: String = std::iter::once(standard).chain(plans).collect();
    VersionedCatalog {
        version: CatalogVersion(number),
        effective_at: instant(effective_at),
        catalog: Arc::new(Catalog::parse(&file).unwrap_or_else(|error| panic!("{error}"))),
    }
}

fn history(versions: &[VersionedCatalog]) -> CatalogHistory {
    CatalogHistory::new(versions.to_vec()).unwrap_or_else(|error| panic!("{error}"))
}

#[track_caller]
fn check(history: &CatalogHistory, table: &[(&str, i32)]) {
    for (at, number) in table {
        assert_eq!(history.at(instant(at)).version, CatalogVersion(*number), "at {at}");
    }
}

#[test]
fn the_version_that_took_effect_last_holds() {
    let versions = [
        version(1, "2026-01-01T00:00:00Z", &[]),
        version(2, "2026-03-01T00:00:00Z", &[]),
        version(3, "2026-02-01T00:00:00Z", &[]),
    ];
    let reversed: Vec<_> = versions.iter().rev().cloned().collect();
    for history in [history(&versions), history(&reversed)] {
        check(
            &history,
            &[
                ("2026-01-31T23:59:59Z", 1),
                ("2026-02-01T00:00:00Z", 3),
                ("2026-02-28T23:59:59Z", 3),
                ("2026-03-01T00:00:00Z", 2),
                ("2030-01-01T00:00:00Z", 2),
            ],
        );
        assert_eq!(history.latest().version, CatalogVersion(3));
    }
}

#[test]
fn of_versions_in_effect_from_the_same_instant_the_one_accepted_last_holds() {
    let history = history(&[
        version(1, "2026-01-01T00:00:00Z", &[]),
        version(3, "2026-02-01T00:00:00Z", &[]),
        version(2, "2026-02-01T00:00:00Z", &[]),
    ]);
    check(&history, &[("2026-01-31T23:59:59Z", 1), ("2026-02-01T00:00:00Z", 3)]);
}

#[test]
fn the_first_version_counts_from_the_beginning_of_time() {
    let history = history(&[
        version(2, "2026-02-01T00:00:00Z", &[]),
        version(1, "2026-06-01T00:00:00Z", &[]),
    ]);
    check(
        &history,
        &[
            ("1970-01-01T00:00:00Z", 1),
            ("2026-01-31T23:59:59Z", 1),
            ("2026-02-01T00:00:00Z", 2),
            ("2026-07-01T00:00:00Z", 2),
        ],
    );
}

#[test]
fn a_plan_comes_from_the_nearest_version_that_has_it_later_ones_first() {
    let history = history(&[
        version(1, "2026-01-01T00:00:00Z", &["old", "kept"]),
        version(2, "2026-02-01T00:00:00Z", &["old", "kept"]),
        version(3, "2026-03-01T00:00:00Z", &["kept", "gap"]),
        version(4, "2026-04-01T00:00:00Z", &["kept", "new"]),
        version(5, "2026-05-01T00:00:00Z", &["kept", "new", "gap"]),
    ]);
    for (plan, at, number) in [
        ("kept", "2026-03-15T00:00:00Z", Some(3)),
        ("kept", "2020-01-01T00:00:00Z", Some(1)),
        ("old", "2026-02-15T00:00:00Z", Some(2)),
        ("old", "2026-05-15T00:00:00Z", Some(2)),
        ("new", "2026-01-15T00:00:00Z", Some(4)),
        ("gap", "2026-04-15T00:00:00Z", Some(5)),
        ("none", "2026-04-15T00:00:00Z", None),
    ] {
        let found = history.plan_at(&plan_id(plan), instant(at));
        let found = found.map(|(version, plan)| (version.0, plan.included_seconds / 60));
        // Each version includes as many minutes as its number, so the plan must be that version's
        // own.
        let wanted = number.map(|number: u16| (i32::from(number), u64::from(number)));
        assert_eq!(found, wanted, "{plan} at {at}");
    }
}

#[test]
fn a_history_has_versions_and_each_number_once() {
    assert_eq!(CatalogHistory::new(Vec::new()), Err(CatalogHistoryError::Empty));
    let twice = vec![
        version(2, "2026-01-01T00:00:00Z", &[]),
        version(1, "2026-01-01T00:00:00Z", &[]),
        version(2, "2026-02-01T00:00:00Z", &[]),
    ];
    let version = CatalogVersion(2);
    assert_eq!(CatalogHistory::new(twice), Err(CatalogHistoryError::Twice { version }));
}
