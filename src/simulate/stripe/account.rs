//! The account that the keys belong to (<https://docs.stripe.com/api/accounts>).

use serde_json::{Value, json};

use super::answer::Complaint;
use super::form::Parameters;
use super::world::World;

#[expect(clippy::unnecessary_wraps, reason = "the routes run functions of one form")]
pub(super) fn show(world: &mut World, _: &str, _: &Parameters) -> Result<Value, Complaint> {
    let id = world.account.clone();
    Ok(json!({
        "business_profile": {
            "annual_revenue": null,
            "estimated_worker_count": null,
            "mcc": null,
            "name": "callmeter, locally",
            "product_description": null,
            "support_address": null,
            "support_email": null,
            "support_phone": null,
            "support_url": null,
            "url": null,
        },
        "business_type": "company",
        "capabilities": { "card_payments": "active", "transfers": "active" },
        "charges_enabled": true,
        "controller": { "type": "account" },
        "country": "US",
        "created": 1_600_000_000,
        "default_currency": "usd",
        "details_submitted": true,
        "email": "stripe@example.com",
        "external_accounts": {
            "data": [],
            "has_more": false,
            "object": "list",
            "url": format!("/v1/accounts/{id}/external_accounts"),
        },
        "id": id,
        "metadata": {},
        "object": "account",
        "payouts_enabled": true,
        "settings": {
            "dashboard": { "display_name": "callmeter, locally", "timezone": "Etc/UTC" },
            "payments": { "statement_descriptor": "CALLMETER" },
            "payouts": {
                "debit_negative_balances": true,
                "schedule": { "delay_days": 2, "interval": "daily" },
                "statement_descriptor": null,
            },
        },
        "tos_acceptance": { "date": null, "ip": null, "user_agent": null },
        "type": "standard",
    }))
}
