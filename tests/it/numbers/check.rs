//! The daily look at Twilio, and numbers that a restored ledger lacks.

use super::{World, phone_number, text};
use crate::harness::poll::{SOON, until};
use callmeter_core::domain::NumberType;
use serde_json::{Value, json};

impl World {
    fn command(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let settings = super::settings(&self.twilio, &self.acme, &self.more);
        let mut command = self.system.command(arguments);
        command.envs(settings.iter().map(|(name, value)| (*name, value.as_str())));
        let ran = command.output().expect("it runs");
        (ran.status.code(), String::from_utf8_lossy(&ran.stdout).into_owned())
    }

    /// The gauge of a look once it has a value.
    async fn until_gauge(&self, name: &str, labels: &[(&str, &str)], value: i64) {
        until(&format!("{name} of {value}"), SOON, async || {
            (self.admin.metric(name, labels).await == Some(value)).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_costs_more_at_twilio_and_what_is_astray_is_told() {
    let often = vec![("CALLMETER__NUMBERS__CHECK_SECONDS", "1".to_owned())];
    let mut world = World::start_with("api,jobs", 20_000_000, often).await;
    world.twilio.local.price_number("US", NumberType::Local, "1.15");
    world.twilio.local.price_number("DE", NumberType::National, "1.80001");
    world.until_gauge("callmeter_numbers_underpriced", &[], 1).await;
    let (_, status) = world.command(&["status"]);
    assert!(status.contains("a national number in DE costs 1.800000"), "{status}");
    assert!(status.contains("1.800010 at Twilio"), "{status}");
    world.twilio.local.price_number("DE", NumberType::National, "1.80");
    world.until_gauge("callmeter_numbers_underpriced", &[], 0).await;

    let kept = world.buy(&phone_number(1)).await.expect(201);
    let gone = world.buy(&phone_number(2)).await.expect(201);
    let (kept, gone) = (text(&kept, "sid"), text(&gone, "sid"));
    // Somebody removes one at Twilio; the other's row is gone with a restored backup.
    world.twilio.local.forget_number(&gone);
    world.go_on("api,jobs", 600, &[]).await;
    world.until_gauge("callmeter_numbers_astray", &[("where", "ledger")], 1).await;
    let mut sql = world.system.sql().await;
    let lose = "DELETE FROM rental_periods WHERE phone_number_sid = $1";
    sqlx::query(lose).bind(&kept).execute(&mut sql).await.expect("it is lost");
    let lose = "DELETE FROM numbers WHERE phone_number_sid = $1";
    sqlx::query(lose).bind(&kept).execute(&mut sql).await.expect("it is lost");
    world.until_gauge("callmeter_numbers_astray", &[("where", "twilio")], 1).await;
    let (_, status) = world.command(&["status"]);
    assert!(status.contains("1 numbers are only at Twilio, 1 only in the ledger"), "{status}");
    // The debit of the lost row stays in this ledger: nothing tells it apart from a restored one.
    let credit = json!({"type": "credit", "amount": "1.15", "description": "as restored"});
    world.admin.post("/v1/accounts/acme/adjustments", &credit).await.expect(201);
    let forget = "UPDATE transactions SET kind = 'adjustment_debit' WHERE kind = 'number_purchase'
        AND description LIKE '%' || $1";
    let open = "ALTER TABLE transactions DISABLE TRIGGER USER";
    sqlx::query(open).execute(&mut sql).await.expect("the guard is off");
    sqlx::query(forget).bind(phone_number(1)).execute(&mut sql).await.expect("it is lost");
    let unspent = "UPDATE wallets SET spent_micros = spent_micros - 1150000
        WHERE account_key = (SELECT account_key FROM accounts WHERE id = 'acme')";
    sqlx::query(unspent).execute(&mut sql).await.expect("it was not spent");
    let close = "ALTER TABLE transactions ENABLE TRIGGER USER";
    sqlx::query(close).execute(&mut sql).await.expect("the guard is on");
    // What insights have added up is not of these rows any more.
    assert_eq!(world.command(&["insights", "update", "--rebuild"]).0, Some(0));

    let before = world.balance().await;
    assert_eq!(before, "18.850000");
    assert_eq!(world.command(&["recover", "--require"]).0, Some(0));
    assert_eq!(world.buy(&phone_number(3)).await.problem(503), "recovery_needed");
    for restored in [1, 0] {
        let (code, told) = world.command(&["recover", "--since", "2020-01-01", "--json"]);
        assert_eq!(code, Some(0), "{told}");
        let told: Value = serde_json::from_str(&told).expect("JSON");
        assert_eq!(told["numbers"]["restored"], restored, "{told}");
        assert_eq!(world.balance().await, "17.700000", "debited once");
    }
    let back = world.own.get(&format!("/v1/accounts/acme/numbers/{kept}")).await.expect(200);
    assert_eq!(back["status"], "active", "{back}");
    world.until_gauge("callmeter_numbers_astray", &[("where", "twilio")], 0).await;
    assert_eq!(world.buy(&phone_number(3)).await.expect(201)["status"], "active");
}
