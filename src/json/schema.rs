//! Schemas of the API's texts, for its document. These types are never created: they stand for the
//! core's types.

use std::borrow::Cow;

use callmeter_core::domain as core;
use serde_json::json;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{Object, ObjectBuilder, Schema, SchemaType, Type};
use utoipa::{PartialSchema, ToSchema};

use crate::ledger::accounts::OnRedisLoss as Policy;
use crate::ledger::{audit, webhooks};

/// Declares a text by its pattern.
macro_rules! texts {
    ($($(#[$doc:meta])* $name:ident = $pattern:literal, $example:literal, $description:literal;)+) => {
        $(
            $(#[$doc])*
            pub(crate) struct $name;

            impl PartialSchema for $name {
                fn schema() -> RefOr<Schema> {
                    text($description).pattern(Some($pattern)).examples([json!($example)]).into()
                }
            }

            impl ToSchema for $name {
                fn name() -> Cow<'static, str> {
                    Cow::Borrowed(stringify!($name))
                }
            }
        )+
    };
}

texts! {
    /// An amount in an answer.
    Amount = r"^-?[0-9]+\.[0-9]{6}$", "0.014000",
        "Dollars with six decimal places, as a string; never a number, never null.";
    /// An amount in a request.
    AmountGiven = r"^[0-9]{1,10}(\.[0-9]{1,6})?$", "12.50",
        "Dollars with at most six decimal places, as a string; zero or more, at most 9007199254.740991.";
    /// An account's id.
    AccountId = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", "acme",
        "An account's id.";
    /// A plan's id.
    PlanId = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", "starter",
        "A plan of the catalog.";
    /// A Twilio account.
    TwilioAccountSid = r"^[^\s\x00-\x1f\x7f-\x9f]{1,64}$", "AC0123456789abcdef0123456789abcdef",
        "A Twilio account (`AccountSid`): 1 to 64 bytes without spaces and control characters.";
    /// A Twilio account that an administrator names.
    IssuedAccountSid = r"^AC[0-9a-fA-F]{32}$", "AC0123456789abcdef0123456789abcdef",
        "A Twilio account (`AccountSid`): `AC` and 32 hexadecimal digits, as Twilio issues them.";
    /// A call.
    CallSid = r"^[^\x00-\x1f\x7f-\x9f]{1,64}$", "CA00000000000000000000000000000001",
        "A call (`CallSid`): 1 to 64 bytes without control characters.";
    /// A line of text.
    Line = r"^\s*[^\x00-\x1f\x7f-\x9f]{1,500}\s*$", "Acme Ltd",
        "One line of text: 1 to 500 characters, any of Unicode except control characters.";
    /// A tag.
    Tag = r"^[^\x00]{1,500}$", "spring",
        "The tag in a callback's address or an authorization: 1 to 500 characters, any except NUL.";
    /// The tag of a campaign.
    CampaignTag = r"^[^\x00]{1,256}$", "spring",
        "The tag of a campaign's calls: 1 to 256 characters, any except NUL.";
    /// A destination.
    Destination = r"^\+[0-9]{1,15}$", "+12125550123",
        "A phone number or how it begins: `+` and 1 to 15 digits; or a sip: or client: address.";
    /// An e-mail address.
    Email = r"^\s*[^\s\x00-\x1f\x7f-\x9f]+@[^\s\x00-\x1f\x7f-\x9f]+\s*$", "billing@example.com",
        "An e-mail address of at most 254 bytes.";
    /// A transaction's id.
    TransactionId = r"^txn_[1-9][0-9]{0,8}_[1-9][0-9]{0,17}$", "txn_12_345",
        "A transaction's id.";
    /// A refill's id.
    RefillId = r"^rf_[0-9a-f]{32}$", "rf_0123456789abcdef0123456789abcdef",
        "A refill's id.";
    /// A refund's id.
    RefundId = r"^rr_[0-9a-f]{32}$", "rr_0123456789abcdef0123456789abcdef",
        "A refund's id.";
    /// A number's id.
    NumberId = r"^nb_[0-9a-f]{32}$", "nb_0123456789abcdef0123456789abcdef",
        "A number's id.";
    /// A phone number.
    PhoneNumber = r"^\+[1-9][0-9]{6,14}$", "+12015551000",
        "A phone number, E.164.";
    /// A country.
    Country = r"^[A-Za-z]{2}$", "US",
        "A country, ISO 3166, two letters.";
    /// Digits of a phone number.
    Digits = r"^[0-9]{2,15}$", "201555",
        "2 to 15 digits.";
    /// Twilio's id of an address.
    AddressSid = r"^AD[0-9a-fA-F]{32}$", "AD0123456789abcdef0123456789abcdef",
        "Twilio's id of an address.";
    /// Twilio's id of a bundle.
    BundleSid = r"^BU[0-9a-fA-F]{32}$", "BU0123456789abcdef0123456789abcdef",
        "Twilio's id of a regulatory bundle.";
    /// The amount of a refill.
    RefillAmount = r"^[0-9]{1,6}(\.[0-9]{1,2})?$", "50.00",
        "Dollars with at most two decimal places, as a string.";
    /// A card's id.
    PaymentMethodId = r"^(pm|card|src)_[A-Za-z0-9_]{1,200}$", "pm_1QzXyAbCdEfGh",
        "Stripe's id of a card.";
    /// A payment's id.
    PaymentIntentId = r"^pi_[A-Za-z0-9_]{1,200}$", "pi_1QzXyAbCdEfGh",
        "Stripe's id of a payment.";
    /// A key's id.
    KeyId = r"^key_[1-9][0-9]{0,8}$", "key_12",
        "A key's id.";
    /// A key.
    KeyText = r"^cmk_[A-Za-z0-9_-]{43}$", "cmk_pV0Wm4cT8bW3mQy0k1sZb7Jt2xKfR9aLh5uGd6eYv1E",
        "A key; send it as `Authorization: Bearer`.";
    /// The id of a receiver of web hooks.
    WebhookEndpointId = r"^whe_[1-9][0-9]{0,8}$", "whe_12",
        "The id of a receiver of web hooks.";
    /// The id of a delivery.
    WebhookDeliveryId = r"^whd_[1-9][0-9]{0,17}$", "whd_345",
        "The id of a delivery to a receiver of web hooks.";
    /// The secret of a receiver of web hooks.
    WebhookSecret = r"^whsec_[A-Za-z0-9+/]{43}=$", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oDqFTYUUdtp6s=",
        "The secret that signs web hooks, as the Standard Webhooks specification writes it.";
    /// The address of a receiver of web hooks.
    TargetUrl = r"^https://[a-z]{1,20}\.example/[a-z0-9/]{0,40}$", "https://hooks.example/wallet",
        "An https:// address of at most 2000 characters, without user information and fragment.";
    /// A cursor.
    Cursor = r"^[1-9][0-9]{0,17}$", "1042",
        "The `next` of the previous page.";
    /// A month.
    Month = r"^[0-9]{4}-(0[1-9]|1[0-2])$", "2026-11",
        "A UTC calendar month.";
    /// A token of Twilio.
    TwilioAuthToken = r"^[!-~]{1,256}$", "0123456789abcdef0123456789abcdef",
        "1 to 256 visible ASCII characters. Never shown again.";
}

/// Declares a word of a closed set.
macro_rules! words {
    ($($(#[$doc:meta])* $name:ident = $all:expr;)+) => {
        $(
            $(#[$doc])*
            pub(crate) struct $name;

            impl PartialSchema for $name {
                fn schema() -> RefOr<Schema> {
                    let words = $all.iter().map(|word| json!(word.as_str()));
                    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(words)).into()
                }
            }

            impl ToSchema for $name {
                fn name() -> Cow<'static, str> {
                    Cow::Borrowed(stringify!($name))
                }
            }
        )+
    };
}

words! {
    /// Open or closed.
    AccountStatus = core::AccountStatus::ALL;
    /// What a wallet can do.
    WalletState = core::WalletState::ALL;
    /// Credit or debit.
    TransactionType = core::TransactionType::ALL;
    /// What a transaction is for.
    TransactionKind = core::TransactionKind::ALL;
    /// Why a wallet was adjusted, in the words of the books.
    AdjustmentReason = core::AdjustmentReason::ALL;
    /// Who began a refill.
    RefillTrigger = core::RefillTrigger::ALL;
    /// How far a refill is.
    RefillStatus = core::RefillStatus::ALL;
    /// How far a number is.
    NumberStatus = core::NumberStatus::ALL;
    /// A type of number.
    NumberType = core::NumberType::ALL;
    /// What became of a payment that fits no refill.
    PaymentResolution = crate::ledger::payments::unmatched::Resolution::ALL;
    /// How far a refund is.
    RefundStatus = core::RefundStatus::ALL;
    /// What can be done about a declined payment.
    DeclineClass = core::DeclineClass::ALL;
    /// Whether it moved money.
    TransactionStatus = core::TransactionStatus::ALL;
    /// What authorizations do while holds are unknown.
    OnRedisLoss = Policy::ALL;
    /// Why a call may not go ahead.
    DenialReason = crate::balance::Denial::ALL;
    /// Why a record could not be charged.
    RejectReason = crate::ingest::decode::RejectReason::ALL;
    /// Whether a receiver of web hooks gets events.
    WebhookEndpointStatus = webhooks::EndpointStatus::ALL;
    /// Why a receiver of web hooks is disabled.
    WebhookDisabledReason = webhooks::DisabledReason::ALL;
    /// How far a delivery is.
    WebhookDeliveryStatus = webhooks::DeliveryStatus::ALL;
    /// What an administrator did.
    AuditAction = audit::Action::ALL;
}

fn text(description: &str) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String).description(Some(description))
}

/// Shared keys by their ids.
pub(crate) struct TwilioSharedKeys;

impl PartialSchema for TwilioSharedKeys {
    fn schema() -> RefOr<Schema> {
        let secret = ObjectBuilder::new()
            .schema_type(SchemaType::from_iter([Type::String, Type::Null]))
            .pattern(Some(r"^[!-~]{1,256}$"));
        let description = "At most 20 secrets by the ids of their keys (1 to 128 visible ASCII \
                           characters without `,` and `=`). A secret is never shown again.";
        ObjectBuilder::new()
            .schema_type(SchemaType::from_iter([Type::Object, Type::Null]))
            .description(Some(description))
            .additional_properties(Some(RefOr::T(Schema::Object(secret.build()))))
            .examples([json!({ "webhooks_sharedkey_01kb2x8t5vq3m9r7w6y4z0n1ce": "c2VjcmV0" })])
            .into()
    }
}

impl ToSchema for TwilioSharedKeys {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("TwilioSharedKeys")
    }
}

/// The type of an event, with its prefix.
pub(crate) struct EventType;

impl PartialSchema for EventType {
    fn schema() -> RefOr<Schema> {
        let types = core::EventType::ALL.iter();
        let types = types.map(|kind| json!(format!("{}{kind}", core::EventType::PREFIX)));
        ObjectBuilder::new().schema_type(Type::String).enum_values(Some(types)).into()
    }
}

impl ToSchema for EventType {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("EventType")
    }
}

/// A JSON object with any keys.
pub(crate) struct AnyObject;

impl PartialSchema for AnyObject {
    fn schema() -> RefOr<Schema> {
        Schema::Object(Object::with_type(Type::Object)).into()
    }
}

impl ToSchema for AnyObject {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("AnyObject")
    }
}
