//! Rented numbers: each period is paid once, or leaves a failed row.

use crate::harness::api::Api;
use crate::harness::poll::{SOON, until};
use crate::harness::samples::{
    account, call_sid, catalog, completed, now, on_calls, on_rentals, rental,
};
use crate::harness::system::{Setup, System};
use crate::model::catalog::{Catalog, NumberPrice};
use crate::model::money::show;
use crate::model::time::DAY;
use serde_json::{Value, json};
use sqlx::Row as _;

#[tokio::test]
async fn a_period_is_paid_once_however_often_and_wherever_its_event_comes() {
    let mut system = System::new().await;
    let api = system.serve("meter,api").await;
    let acme = account("acme", 20_000_000);
    system.open(&api, [&acme]).await;
    let january = rental(&acme, "PN1", "2026-01-31", None);
    let february = rental(&acme, "PN1", "2026-02-28", Some("2.50"));
    let other = rental(&acme, "PN2", "2026-01-31", Some("3.000001"));
    let dearer = rental(&acme, "PN1", "2026-01-31", Some("9"));
    let mut sent: Vec<_> = (0..4).map(|partition| on_rentals(partition, &january)).collect();
    sent.push(on_rentals(0, &january));
    sent.extend([on_rentals(1, &february), on_rentals(2, &other), on_rentals(1, &february)]);
    system.produce(&sent).await;
    system.settle(&api).await;
    system.produce(&[on_rentals(3, &dearer), on_rentals(3, &dearer)]).await;
    system.settle(&api).await;

    let mut rows = api.transactions("acme").await.expect("a list");
    rows.retain(|row| row.kind == "number_rental");
    let mut amounts: Vec<_> = rows.iter().map(|row| show(row.amount)).collect();
    amounts.sort_unstable();
    assert_eq!(amounts, ["1.150000", "2.500000", "3.000001"]);
    assert!(rows.iter().all(|row| row.status == "completed" && !row.credit), "{rows:?}");
    let wallet = api.get("/v1/accounts/acme/wallet").await.expect(200);
    assert_eq!(wallet["balance"], "13.349999");
    let kept = system.run(&["rejects", "list", "--json"]).expect_success().stdout;
    assert_eq!(kept.lines().count(), 1, "another price for a paid period is a conflict: {kept}");
    assert!(kept.contains("\"conflict\""), "{kept}");
}

#[tokio::test]
async fn too_little_money_for_a_rental_leaves_a_failed_row_and_debits_nothing() {
    let mut system = System::new().await;
    let api = system.serve("meter,api").await;
    let mut poor = account("poor", 1_000_000);
    poor.credit_limit = 100_000;
    let mut enough = account("enough", 1_000_000);
    enough.credit_limit = 150_000;
    system.open(&api, [&poor, &enough]).await;
    let mut sent = Vec::new();
    for account in [&poor, &enough] {
        let number = format!("PN{}", account.id);
        sent.push(on_rentals(0, &rental(account, &number, "2026-11-01", None)));
        sent.push(on_rentals(1, &rental(account, &number, "2026-11-01", None)));
    }
    system.produce(&sent).await;
    system.settle(&api).await;
    let poor_rows = api.transactions("poor").await.expect("a list");
    let of_rental = poor_rows.iter().filter(|row| row.kind == "number_rental");
    let found: Vec<_> = of_rental
        .map(|row| (row.status.as_str(), row.balance_before, row.balance_after, row.amount))
        .collect();
    assert_eq!(found, [("failed", 1_000_000, 1_000_000, 1_150_000)], "one row, no money moved");
    let enough_rows = api.transactions("enough").await.expect("a list");
    assert_eq!(enough_rows.len(), 2);
    let wallet = api.get("/v1/accounts/enough/wallet").await.expect(200);
    assert_eq!(
        (&wallet["balance"], &wallet["available"]),
        (&json!("-0.150000"), &json!("0.000000"))
    );

    // Later money does not turn a repeated event into an attempt of its own.
    let body = json!({"type": "credit", "amount": "10", "description": "a gift"});
    api.post("/v1/accounts/poor/adjustments", &body).await.expect(201);
    system.produce(&sent[..2]).await;
    system.settle(&api).await;
    let wallet = api.get("/v1/accounts/poor/wallet").await.expect(200);
    assert_eq!(wallet["balance"], "11.000000");
}

#[tokio::test]
async fn a_failed_rental_is_tried_daily_and_paid_when_money_is_there() {
    let mut system = System::new().await;
    let api = system.serve("meter,api").await;
    let poor = account("poor", 500_000);
    system.open(&api, [&poor]).await;
    system.produce(&[on_rentals(0, &rental(&poor, "PN1", "2026-11-01", None))]).await;
    let statuses = async |count: usize| {
        until("the next attempt", SOON, async || {
            let mut rows = api.transactions("poor").await.ok()?;
            rows.retain(|row| row.kind == "number_rental");
            rows.sort_by_key(|row| row.sequence);
            let statuses: Vec<String> = rows.into_iter().map(|row| row.status).collect();
            (statuses.len() >= count).then_some(statuses)
        })
        .await
    };
    assert_eq!(statuses(1).await, ["failed"]);
    // A day passes for this rental: only the database keeps its calendar.
    let a_day_later =
        "UPDATE rental_periods SET first_attempt_at = first_attempt_at - interval '1 day',
        next_attempt_at = next_attempt_at - interval '1 day' WHERE next_attempt_at IS NOT NULL";
    let mut sql = system.sql().await;
    sqlx::query(a_day_later).execute(&mut sql).await.expect("the calendar is moved");
    assert_eq!(statuses(2).await, ["failed", "failed"]);
    let body = json!({"type": "credit", "amount": "1", "description": "enough"});
    api.post("/v1/accounts/poor/adjustments", &body).await.expect(201);
    sqlx::query(a_day_later).execute(&mut sql).await.expect("the calendar is moved");
    assert_eq!(statuses(3).await, ["failed", "failed", "completed"]);
    let wallet = api.get("/v1/accounts/poor/wallet").await.expect(200);
    assert_eq!(wallet["balance"], "0.350000");
    let moved = sqlx::query(a_day_later).execute(&mut sql).await.expect("the calendar is asked");
    assert_eq!(moved.rows_affected(), 0, "what is paid is never tried again");
}

#[tokio::test]
async fn after_seven_days_a_failed_rental_is_given_up() {
    let mut system = System::new().await;
    let api = system.serve("meter,api").await;
    let poor = account("poor", 0);
    system.open(&api, [&poor]).await;
    system.produce(&[on_rentals(0, &rental(&poor, "PN1", "2026-11-01", None))]).await;
    let mut sql = system.sql().await;
    for attempt in 1..=8 {
        until("the next attempt", SOON, async || {
            let rows = api.transactions("poor").await.ok()?;
            (rows.len() >= attempt).then_some(())
        })
        .await;
        let moved = sqlx::query(
            "UPDATE rental_periods SET first_attempt_at = first_attempt_at - interval '1 day',
                next_attempt_at = next_attempt_at - interval '1 day' WHERE next_attempt_at IS NOT NULL",
        )
        .execute(&mut sql)
        .await
        .expect("the calendar is moved");
        assert_eq!(moved.rows_affected(), u64::from(attempt < 8), "after attempt {attempt}");
    }
    let rows = api.transactions("poor").await.expect("a list");
    assert_eq!(rows.len(), 8, "at once, and daily for seven days");
    assert!(rows.iter().all(|row| row.status == "failed"));
}

#[tokio::test]
async fn a_rental_and_calls_of_one_account_share_one_chain_of_rows() {
    let mut system = System::new().await;
    let api = system.serve("meter,api").await;
    let acme = account("acme", 5_000_000);
    system.open(&api, [&acme]).await;
    let mut sent = Vec::new();
    for n in 0..20_usize {
        let partition = i32::try_from(n % 4).expect("small");
        sent.push(on_calls(partition, &completed(&acme, &call_sid(n), 61, now())));
        let number = format!("PN{n}");
        let price = format!("0.{:06}", 100_000 + n);
        sent.push(on_rentals(partition, &rental(&acme, &number, "2026-11-01", Some(&price))));
    }
    system.produce(&sent).await;
    system.settle(&api).await;
    let mut rows = api.transactions("acme").await.expect("a list");
    rows.sort_by_key(|row| row.sequence);
    assert_eq!(rows.len(), 41);
    for pair in rows.windows(2) {
        assert_eq!(pair[0].sequence + 1, pair[1].sequence);
        assert_eq!(pair[0].balance_after, pair[1].balance_before);
    }
    let debits = 20 * 40_000 + 20 * 100_000 + (0..20).sum::<i128>();
    assert_eq!(rows[40].balance_after, 5_000_000 - debits);
}

/// The state of a number's period.
async fn period_status(system: &System, number: &str) -> String {
    sqlx::query("SELECT status FROM rental_periods WHERE phone_number_sid = $1")
        .bind(number)
        .fetch_one(&mut system.sql().await)
        .await
        .expect("the period is there")
        .get(0)
}

/// Number of records with `outcome`.
async fn counted(api: &Api, outcome: &str) -> i64 {
    api.metric("callmeter_events_total", &[("outcome", outcome)]).await.unwrap_or(0)
}

#[tokio::test]
async fn a_period_at_no_price_is_paid_whatever_the_balance() {
    let mut priced = catalog();
    priced.numbers.push(NumberPrice { country: "US", kind: "mobile", monthly: 0 });
    let mut system = System::with(Setup { catalog: priced, ..Setup::default() }).await;
    let api = system.serve("meter,api").await;
    let below = account("below", 0);
    system.open(&api, [&below]).await;
    system.produce(&[on_calls(0, &completed(&below, &call_sid(1), 61, now()))]).await;
    system.settle(&api).await;
    let mut of_catalog = rental(&below, "PNcatalog", "2026-11-01", None);
    of_catalog["data"]["NumberType"] = json!("mobile");
    let own = rental(&below, "PNown", "2026-11-01", Some("0"));
    system.produce(&[on_rentals(0, &own), on_rentals(0, &of_catalog)]).await;
    system.settle(&api).await;
    assert_eq!(period_status(&system, "PNown").await, "paid");
    assert_eq!(period_status(&system, "PNcatalog").await, "paid");
    assert_eq!(counted(&api, "unpaid").await, 0);
    let rows = api.transactions("below").await.expect("a list");
    let kinds: Vec<_> = rows.iter().map(|row| row.kind.as_str()).collect();
    assert_eq!(kinds, ["call"], "what costs nothing leaves no row");
}

/// Adds a period that waits for its next attempt, as an older program stored it.
async fn stored_unpaid(system: &System, account_key: &str, number: &str, micros: i64) {
    let statement = format!(
        "INSERT INTO rental_periods (account_key, phone_number_sid, period_start, price_micros,
                status, attempts, first_attempt_at, next_attempt_at)
         VALUES ({account_key}, $1, '2026-11-01', $2, 'failed', 1, now() - interval '1 day',
                now() - interval '1 hour')"
    );
    let written = sqlx::query(&statement).bind(number).bind(micros);
    written.execute(&mut system.sql().await).await.expect("it is written");
}

const TIME_FOR_THE_NEXT: &str = "UPDATE rental_periods
    SET first_attempt_at = first_attempt_at - interval '1 day', next_attempt_at = now()
    WHERE phone_number_sid = 'PNdear'";

#[tokio::test]
async fn an_unpaid_period_at_no_price_is_healed_and_holds_up_no_other() {
    let mut system = System::new().await;
    let api = system.serve("meter,api").await;
    let acme = account("acme", 0);
    system.open(&api, [&acme]).await;
    system.produce(&[on_rentals(0, &rental(&acme, "PNdear", "2026-11-01", None))]).await;
    system.settle(&api).await;
    let body = json!({"type": "credit", "amount": "10", "description": "a gift"});
    api.post("/v1/accounts/acme/adjustments", &body).await.expect(201);
    let key = "(SELECT account_key FROM accounts WHERE id = 'acme')";
    stored_unpaid(&system, key, "PNfree", 0).await;
    sqlx::query(TIME_FOR_THE_NEXT).execute(&mut system.sql().await).await.expect("it is due");
    until("both are paid", SOON, async || {
        let free = period_status(&system, "PNfree").await;
        let dear = period_status(&system, "PNdear").await;
        (free == "paid" && dear == "paid").then_some(())
    })
    .await;
    let wallet = api.get("/v1/accounts/acme/wallet").await.expect(200);
    assert_eq!(wallet["balance"], "8.850000");
}

#[tokio::test]
async fn a_rent_that_cannot_be_tried_is_told_and_holds_up_no_other() {
    let mut system = System::with(Setup { verified: false, ..Setup::default() }).await;
    let api = system.serve("meter,api").await;
    let acme = account("acme", 0);
    system.open(&api, [&acme]).await;
    system.produce(&[on_rentals(0, &rental(&acme, "PNdear", "2026-11-01", None))]).await;
    system.settle(&api).await;
    let body = json!({"type": "credit", "amount": "10", "description": "a gift"});
    api.post("/v1/accounts/acme/adjustments", &body).await.expect(201);
    // Its account does not exist, so no attempt can succeed.
    stored_unpaid(&system, "-7", "PNlost", 1_000_000).await;
    sqlx::query(TIME_FOR_THE_NEXT).execute(&mut system.sql().await).await.expect("it is due");
    until("the other one is paid", SOON, async || {
        (period_status(&system, "PNdear").await == "paid").then_some(())
    })
    .await;
    let refused = [("outcome", "refused")];
    assert_eq!(api.metric("callmeter_rental_attempts_total", &refused).await, Some(1));
    assert_eq!(
        api.metric("callmeter_rental_attempts_total", &[("outcome", "paid")]).await,
        Some(1)
    );
    let status = system.run(&["status", "--json"]).expect_success().stdout;
    let status: Value = serde_json::from_str(&status).expect("JSON");
    assert_eq!(status["rentals"]["refused"], 1, "{status}");
    let problems = status["problems"].to_string();
    assert!(problems.contains("PNlost") && problems.contains("no wallet"), "{problems}");
}

/// Puts a catalog in force, and waits until it is.
async fn in_force(system: &System, api: &Api, catalog: &Catalog, version: i64) {
    system.write_catalog(catalog);
    system.services[0].signal("HUP");
    until("the catalog is in force", SOON, async || {
        api.metric("callmeter_catalog_version", &[]).await.filter(|found| *found == version)
    })
    .await;
}

#[tokio::test]
async fn a_period_that_comes_again_is_compared_by_a_price_of_its_own_only() {
    let mut system = System::new().await;
    let api = system.serve("meter,api").await;
    let acme = account("acme", 10_000_000);
    system.open(&api, [&acme]).await;
    let due = on_rentals(0, &rental(&acme, "PN1", "2026-11-01", None));
    system.produce(std::slice::from_ref(&due)).await;
    system.settle(&api).await;
    let mut dearer = catalog();
    dearer.effective_at = Some(now() - 90 * DAY);
    dearer.numbers[0].monthly = 1_250_000;
    in_force(&system, &api, &dearer, 2).await;
    system.produce(std::slice::from_ref(&due)).await;
    system.settle(&api).await;
    let mut without = catalog();
    without.effective_at = Some(now() - 80 * DAY);
    without.numbers[0].kind = "mobile";
    in_force(&system, &api, &without, 3).await;
    let same = on_rentals(0, &rental(&acme, "PN1", "2026-11-01", Some("1.15")));
    system.produce(&[due, same]).await;
    system.settle(&api).await;
    until("all three are duplicates", SOON, async || {
        (counted(&api, "duplicate").await == 3).then_some(())
    })
    .await;
    let kept = system.run(&["rejects", "list"]).expect_success().stdout;
    assert_eq!(kept, "", "a repeat is a duplicate whatever the catalog says since");
}

#[tokio::test]
async fn another_price_for_an_unpaid_period_is_kept_and_the_first_one_is_tried() {
    let mut system = System::new().await;
    let api = system.serve("meter,api").await;
    let poor = account("poor", 0);
    system.open(&api, [&poor]).await;
    let at = |price| on_rentals(0, &rental(&poor, "PNdear", "2026-11-01", Some(price)));
    system.produce(&[at("2"), at("3"), at("3"), at("2.000000")]).await;
    system.settle(&api).await;
    let body = json!({"type": "credit", "amount": "10", "description": "a gift"});
    api.post("/v1/accounts/poor/adjustments", &body).await.expect(201);
    sqlx::query(TIME_FOR_THE_NEXT).execute(&mut system.sql().await).await.expect("it is due");
    until("the rent is paid", SOON, async || {
        (period_status(&system, "PNdear").await == "paid").then_some(())
    })
    .await;
    let wallet = api.get("/v1/accounts/poor/wallet").await.expect(200);
    assert_eq!(wallet["balance"], "8.000000");
    system.produce(&[at("3")]).await;
    system.settle(&api).await;
    let kept = system.run(&["rejects", "list", "--json"]).expect_success().stdout;
    let kept: Vec<Value> =
        kept.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let kept: Vec<_> =
        kept.iter().map(|row| (row["reason"].as_str(), row["count"].as_i64())).collect();
    assert_eq!(kept, [(Some("conflict"), Some(3))], "once, unpaid or paid");
}
