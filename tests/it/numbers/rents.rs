//! Periods after the first: published by the clock, charged once, and what follows if they are not
//! paid.

use super::{World, local, phone_number, text};
use crate::harness::poll::{SOON, until};
use crate::harness::samples::now;
use crate::harness::stripe::Stripe;
use crate::model::time::SECOND;
use callmeter::simulate::stripe::{Behaviour, Card};
use chrono::{DateTime, Datelike, NaiveDate, TimeDelta};
use serde_json::{Value, json};

const DAY: i64 = 86_400;
const ANCHOR: &str = "CALLMETER__RENTALS__ANCHOR";

fn date(year: i32, month: u32, day: u32) -> NaiveDate {
    NaiveDate::from_ymd_opt(year, month, day).expect("a date")
}

/// The last day of a month.
fn last_day(year: i32, month: u32) -> u32 {
    (28..=31).rev().find(|day| NaiveDate::from_ymd_opt(year, month, *day).is_some()).expect("a day")
}

/// Seconds from now to the noon of a date.
fn until_noon_of(date: NaiveDate) -> i64 {
    let noon = date.and_hms_opt(12, 0, 0).expect("a time").and_utc().timestamp();
    noon - seconds_now()
}

fn seconds_now() -> i64 {
    now() / SECOND
}

/// The first days of a number's rents, by the descriptions of the rows, in their order.
fn periods_of(rows: &[Value], number: &str) -> Vec<NaiveDate> {
    let described = rows.iter().filter(|row| row["kind"] == "number_rental");
    let described = described.map(|row| {
        assert_eq!(row["status"], "completed", "{row}");
        text(row, "description")
    });
    let of_number = described.filter(|description| description.contains(number));
    of_number.map(|it| it[it.len() - 10..].parse().expect("a date")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_years_of_rents_are_paid_once_each_under_both_anchors_through_a_leap_day() {
    let mut world = World::start("api", 100_000_000).await;
    // The last day of January of the next leap year, when both anchors differ most.
    let now = DateTime::from_timestamp(seconds_now(), 0).expect("a time");
    let year = (now.year() + 1..now.year() + 9)
        .find(|year| last_day(*year, 2) == 29)
        .expect("a leap year");
    let first = date(year, 1, 31);
    let roles = "meter,api,jobs";
    world.go_on(roles, until_noon_of(first), &[(ANCHOR, "twilio_sticky")]).await;
    let sticky = world.buy(&phone_number(1)).await.expect(201);
    assert_eq!(sticky["next_renewal"], json!(date(year, 2, 29)), "{sticky}");
    world.go_on(roles, until_noon_of(first), &[(ANCHOR, "calendar")]).await;
    let calendar = world.buy(&phone_number(2)).await.expect(201);
    assert_eq!(calendar["next_renewal"], json!(date(year, 2, 29)), "{calendar}");

    let months: Vec<(i32, u32)> =
        (1..=24_u32).map(|n| (year + i32::try_from(n / 12).expect("small"), n % 12 + 1)).collect();
    // Sticky: the 29th until a February without one, then the 28th for good.
    let mut day = 31;
    let expected_sticky: Vec<NaiveDate> = months
        .iter()
        .map(|(year, month)| {
            day = day.min(last_day(*year, *month));
            date(*year, *month, day)
        })
        .collect();
    let expected_calendar: Vec<NaiveDate> = months
        .iter()
        .map(|(year, month)| date(*year, *month, last_day(*year, *month).min(31)))
        .collect();
    // By the month; then an outage of a year; then a process that dies while it catches up; the rest.
    for (count, dies) in [(1, false), (2, false), (14, true), (24, false)] {
        let last = expected_calendar[count - 1];
        let at = until_noon_of(last);
        world.go_on(roles, at, &[]).await;
        if dies {
            world.go_on(roles, at, &[]).await;
        }
        until(&format!("{count} periods of each"), SOON, async || {
            let rows = world.own.items("/v1/accounts/acme/transactions", 1000).await.ok()?;
            let paid = rows.iter().filter(|row| row["kind"] == "number_rental").count();
            (paid >= 2 * count).then_some(())
        })
        .await;
        let mut rows =
            world.own.items("/v1/accounts/acme/transactions", 1000).await.expect("a list");
        rows.reverse();
        assert_eq!(periods_of(&rows, &phone_number(1)), expected_sticky[..count]);
        assert_eq!(periods_of(&rows, &phone_number(2)), expected_calendar[..count]);
    }
    let numbers = world.numbers().await;
    assert!(numbers.iter().all(|number| number["status"] == "active"), "{numbers:?}");
    // 100 - 2 purchases - 48 rents of 1.15.
    assert_eq!(world.balance().await, "42.500000");
}

impl World {
    /// Refills the wallet with 10 dollars from a card, which is saved first if it is the first.
    async fn refill(&self, stripe: &Stripe) {
        let path = "/v1/accounts/acme/payment-methods";
        let saved = self.own.get(path).await.expect(200);
        if saved["items"] == json!([]) {
            self.own.post(&format!("{path}/setup"), &json!({})).await.expect(201);
            let customer = text(&stripe.local.objects("customer")[0], "id");
            stripe.local.add_card(&customer, Card::default()).expect("it is added");
            self.own.get(path).await.expect(200);
        }
        let body = json!({"amount": "10.00"});
        let refill = self.own.post("/v1/accounts/acme/refills", &body).await.expect(201);
        assert_eq!(refill["status"], "completed", "{refill}");
    }

    async fn until_failed(&self, count: usize) {
        until(&format!("{count} failed attempts"), SOON, async || {
            let rows = self.rows().await;
            let failed = rows.iter().filter(|row| row.0 == "number_rental" && row.1 == "failed");
            (failed.count() == count).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unpaid_rent_is_paid_by_a_refill_within_the_grace_or_suspends_the_number() {
    let stripe = Stripe::start(Behaviour::default());
    let roles = "meter,api,jobs";
    let mut world = World::start_with(roles, 1_150_000, stripe.settings()).await;
    let bought = world.buy(&phone_number(1)).await.expect(201);
    let id = text(&bought, "id");
    let renewal = |number: &Value| text(number, "next_renewal").parse::<NaiveDate>().expect("it");
    let first = renewal(&bought);
    assert_eq!(world.balance().await, "0.000000");
    world.go_on(roles, until_noon_of(first), &[]).await;
    world.until(&id, "unpaid").await;
    world.until_failed(1).await;
    world.until_events(&["purchased", "rent_failed"]).await;
    world.refill(&stripe).await;
    let active = world.until(&id, "active").await;
    assert_eq!(world.balance().await, "8.850000", "the refill paid at once");
    let rents: Vec<_> =
        world.rows().await.into_iter().filter(|row| row.0 == "number_rental").collect();
    let statuses: Vec<_> = rents.iter().map(|row| row.1.as_str()).collect();
    assert_eq!(statuses, ["failed", "completed"]);

    // The next month nobody refills.
    let debit = json!({"type": "debit", "amount": "8.85", "description": "spent"});
    world.admin.post("/v1/accounts/acme/adjustments", &debit).await.expect(201);
    let second = renewal(&active);
    assert!(second > first, "{active}");
    let day = |days: i64| until_noon_of(second) + days * DAY;
    world.go_on(roles, day(0), &[]).await;
    world.until_failed(2).await;
    // The second day, the fifth, and the last.
    for (failed, days) in [(3, 1), (4, 4), (5, 7)] {
        world.go_on(roles, day(days) + 60 * days, &[]).await;
        world.until_failed(failed).await;
    }
    let suspended = world.until(&id, "suspended").await;
    assert_eq!(
        (&suspended["reason"], &suspended["next_renewal"]),
        (&json!("rent_unpaid"), &json!(null))
    );
    let told =
        ["purchased", "rent_failed", "rent_failed", "rent_failed", "rent_failed", "suspended"];
    world.until_events(&told).await;
    assert!(world.at_twilio(&phone_number(1)).is_some(), "an administrator decides");
    let status = world.system.run(&["status"]);
    assert!(status.stdout.contains("1 numbers are suspended"), "{}", status.stdout);
    // Another month passes, and costs nothing.
    let month = day(0) + TimeDelta::days(40).num_seconds();
    world.go_on(roles, month, &[("CALLMETER__NUMBERS__RELEASE_AUTOMATICALLY", "true")]).await;
    world.until(&id, "released").await;
    assert!(world.at_twilio(&phone_number(1)).is_none());
    let rents = world.rows().await.into_iter().filter(|row| row.0 == "number_rental").count();
    assert_eq!(rents, 6, "two of the first period, four of the second");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_buy_list_show_and_release_numbers() {
    let world = World::start("jobs,api", 10_000_000).await;
    let settings = super::settings(&world.twilio, &world.acme, &world.more);
    let run = |arguments: &[&str]| {
        let mut command = world.system.command(arguments);
        command.envs(settings.iter().map(|(name, value)| (*name, value.as_str())));
        let ran = command.output().expect("it runs");
        let text =
            String::from_utf8_lossy(if ran.status.success() { &ran.stdout } else { &ran.stderr });
        (ran.status.code(), text.trim().to_owned())
    };
    let number = phone_number(1);
    let kind = ["--country", "us", "--type", "local"];
    let buy = ["number", "buy", "acme", &number, kind[0], kind[1], kind[2], kind[3]];
    let (code, bought) = run(&[&buy[..], &["--json", "--reason", "a test"]].concat());
    assert_eq!(code, Some(0), "{bought}");
    let bought: Value = serde_json::from_str(&bought).expect("JSON");
    assert_eq!(bought["status"], "active", "{bought}");
    let (code, again) = run(&buy);
    assert_eq!(code, Some(1), "{again}");
    let (id, sid) = (text(&bought, "id"), text(&bought, "sid"));
    let (_, listed) = run(&["number", "list", "--account", "acme", "--status", "active"]);
    assert!(listed.contains(&id) && listed.contains(&sid), "{listed}");
    let (_, shown) = run(&["number", "show", &sid]);
    assert!(shown.contains("+1201555") && shown.contains("active"), "{shown}");
    let (code, released) = run(&["number", "release", &sid, "--json"]);
    assert_eq!(code, Some(0), "{released}");
    assert!(released.contains("releasing"), "{released}");
    world.until(&id, "released").await;
    assert_eq!(run(&["number", "show", "PN0"]).0, Some(1));
    assert_eq!(world.buy_as("k", &local(&number)).await.expect(201)["status"], "active");
    world.assert_twilio_agrees().await;
}
