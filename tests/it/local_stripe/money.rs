//! Money that leaves again: refunds and disputes.

use super::{Shop, id, text};
use serde_json::{Value, json};

async fn paid(shop: &Shop, cents: &str, token: &str) -> Value {
    let customer = shop.customer().await;
    shop.pay(cents, token, &[("customer", &customer)]).await.expect(200)
}

#[tokio::test]
async fn refunds_may_be_partial_and_never_exceed_the_payment() {
    let shop = Shop::open();
    let payment = paid(&shop, "1000", "pm_card_visa").await;
    let refund = async |cents: &str| {
        let form = [("payment_intent", id(&payment)), ("amount", cents.to_owned())];
        let form: Vec<(&str, &str)> = form.iter().map(|(name, it)| (*name, it.as_str())).collect();
        shop.post("/v1/refunds", &form).await
    };
    let first = refund("300").await.expect(200);
    assert_eq!((&first["status"], &first["amount"]), (&"succeeded".into(), &300.into()));
    let refused = refund("701").await;
    assert_eq!(refused.complaint(400).0, "invalid_request_error");
    assert_eq!(
        refused.body["error"]["message"],
        "Refund amount ($7.01) is greater than unrefunded amount on charge ($7.00)"
    );
    let rest = refund("700").await.expect(200);
    assert_eq!(refund("1").await.complaint(400).1, "charge_already_refunded");
    let charge = text(&payment, "latest_charge");
    let list = shop.get("/v1/refunds", &[("charge", &charge)]).await.expect(200);
    assert_eq!(
        list["data"].as_array().expect("rows").iter().map(id).collect::<Vec<_>>(),
        [id(&rest), id(&first)]
    );
    // A refund that fails afterwards can be made again.
    let failed = shop.stripe.local.fail_refund(&id(&rest)).expect("a refund");
    assert!(failed["failure_balance_transaction"].is_string());
    let charge = shop.get(&format!("/v1/charges/{charge}"), &[]).await.expect(200);
    assert_eq!((&charge["amount_refunded"], &charge["refunded"]), (&300.into(), &false.into()));
    refund("700").await.expect(200);
    let totals = shop.stripe.local.totals();
    assert_eq!(totals.values().next().expect("a customer").refunded, 1000);
    assert!(
        shop.events().ends_with(
            &["refund.created", "charge.refunded", "refund.updated", "charge.refund.updated"]
                .map(str::to_owned)
        )
    );
}

#[tokio::test]
async fn a_dispute_takes_the_money_and_gives_it_back_when_it_is_won() {
    let shop = Shop::open();
    let payment = paid(&shop, "2000", "pm_card_createDispute").await;
    let query = [("payment_intent", id(&payment))];
    let query = [("payment_intent", query[0].1.as_str())];
    let list = shop.get("/v1/disputes", &query).await.expect(200);
    let dispute = &list["data"][0];
    assert_eq!(
        (&dispute["status"], &dispute["reason"]),
        (&"needs_response".into(), &"fraudulent".into())
    );
    assert_eq!(dispute["balance_transactions"][0]["net"], -3500);
    let refused = shop.post("/v1/refunds", &query).await;
    assert_eq!(refused.complaint(400).1, "charge_disputed");
    let disputed = || shop.stripe.local.totals().values().map(|it| it.disputed).sum::<i64>();
    assert_eq!(disputed(), 2000);
    let won = shop.stripe.local.close_dispute(&id(dispute), true).expect("a dispute");
    assert_eq!(
        (&won["status"], &won["balance_transactions"][1]["amount"]),
        (&"won".into(), &2000.into())
    );
    assert_eq!(disputed(), 0);
    assert!(shop.stripe.local.close_dispute(&id(dispute), false).is_err());
    let of_disputes: Vec<String> =
        shop.events().into_iter().filter(|kind| kind.contains("dispute")).collect();
    assert_eq!(
        of_disputes,
        [
            "charge.dispute.created",
            "charge.dispute.funds_withdrawn",
            "charge.dispute.funds_reinstated",
            "charge.dispute.closed",
        ]
    );
    let inquiry = shop.stripe.local.open_dispute(&id(&payment), "inquiry", None);
    let inquiry = inquiry.expect("an inquiry");
    assert_eq!(inquiry["balance_transactions"], json!([]));
    let escalated = shop.stripe.local.escalate_inquiry(&id(&inquiry)).expect("a dispute");
    assert_eq!(escalated["balance_transactions"][0]["amount"], -2000);
}

#[tokio::test]
async fn a_payout_lists_the_movements_that_it_pays() {
    let shop = Shop::open();
    paid(&shop, "3000", "pm_card_visa").await;
    let payout = shop.stripe.local.pay_out().expect("a payout");
    paid(&shop, "5000", "pm_card_visa").await;
    let query = [("payout", id(&payout))];
    let query = [("payout", query[0].1.as_str())];
    let list = shop.get("/v1/balance_transactions", &query).await.expect(200);
    let nets: Vec<i64> = list["data"]
        .as_array()
        .expect("rows")
        .iter()
        .map(|row| row["net"].as_i64().expect("cents"))
        .collect();
    assert_eq!(nets, [-2883, 2883]);
}
