//! Cards and how their banks behave: Stripe's test cards, and one for each reason to decline.
//!
//! Sources: <https://docs.stripe.com/testing> and <https://docs.stripe.com/declines/codes>.

use serde::{Deserialize, Serialize};

/// When a card asks its holder for 3-D Secure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Authentication {
    /// Never.
    #[default]
    Never,
    /// At every payment, so that each payment off session is declined.
    Always,
    /// Until it was set up for payments off session.
    UntilSetUp,
}

/// What becomes of a refund to a card.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefundOutcome {
    /// It succeeds at once.
    #[default]
    Succeeds,
    /// It is pending until the control finishes it.
    Pending,
    /// It succeeds at first and then fails.
    Fails,
}

/// A card and its bank's behaviour.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Card {
    /// Brand, such as `visa`.
    pub brand: String,
    /// Last four digits.
    pub last4: String,
    /// Month in which it expires.
    pub exp_month: i64,
    /// Year in which it expires.
    pub exp_year: i64,
    /// Two cards with the same number have the same.
    pub fingerprint: String,
    /// The reason for which the bank declines every payment.
    pub decline: Option<String>,
    /// When it asks for 3-D Secure.
    pub authentication: Authentication,
    /// It was set up for payments off session.
    pub is_set_up: bool,
    /// It is declined when it is saved as well.
    pub declines_setup: bool,
    /// Reason of the dispute that follows each payment; an `inquiry` takes no money.
    pub dispute: Option<String>,
    /// What becomes of refunds.
    pub refunds: RefundOutcome,
    /// Payments stay `processing` until the control finishes them.
    pub is_slow: bool,
}

impl Default for Card {
    fn default() -> Self {
        Self {
            brand: "visa".to_owned(),
            last4: "4242".to_owned(),
            exp_month: 12,
            exp_year: 2040,
            fingerprint: String::new(),
            decline: None,
            authentication: Authentication::Never,
            is_set_up: false,
            declines_setup: false,
            dispute: None,
            refunds: RefundOutcome::Succeeds,
            is_slow: false,
        }
    }
}

/// A test card: its token after `pm_card_`, and its number.
struct TestCard {
    token: &'static str,
    number: &'static str,
    brand: &'static str,
    decline: Option<&'static str>,
    authentication: Authentication,
    declines_setup: bool,
    dispute: Option<&'static str>,
    refunds: RefundOutcome,
}

const fn plain(token: &'static str, number: &'static str, brand: &'static str) -> TestCard {
    TestCard {
        token,
        number,
        brand,
        decline: None,
        authentication: Authentication::Never,
        declines_setup: false,
        dispute: None,
        refunds: RefundOutcome::Succeeds,
    }
}

const fn declined(token: &'static str, number: &'static str, reason: &'static str) -> TestCard {
    TestCard { decline: Some(reason), declines_setup: true, ..plain(token, number, "visa") }
}

const fn asking(token: &'static str, number: &'static str, when: Authentication) -> TestCard {
    TestCard { authentication: when, ..plain(token, number, "visa") }
}

const fn disputed(token: &'static str, number: &'static str, reason: &'static str) -> TestCard {
    TestCard { dispute: Some(reason), ..plain(token, number, "visa") }
}

const TEST_CARDS: &[TestCard] = &[
    plain("visa", "4242424242424242", "visa"),
    plain("visa_debit", "4000056655665556", "visa"),
    plain("mastercard", "5555555555554444", "mastercard"),
    plain("mastercard_debit", "5200828282828210", "mastercard"),
    plain("mastercard_prepaid", "5105105105105100", "mastercard"),
    plain("amex", "378282246310005", "amex"),
    plain("discover", "6011111111111117", "discover"),
    plain("diners", "3056930009020004", "diners"),
    plain("jcb", "3566002020360505", "jcb"),
    plain("unionpay", "6200000000000005", "unionpay"),
    plain("us", "4242424242424242", "visa"),
    plain("bypassPending", "4000000000000077", "visa"),
    declined("chargeDeclined", "4000000000000002", "generic_decline"),
    declined("chargeDeclinedInsufficientFunds", "4000000000009995", "insufficient_funds"),
    declined("chargeDeclinedLostCard", "4000000000009987", "lost_card"),
    declined("chargeDeclinedStolenCard", "4000000000009979", "stolen_card"),
    declined("chargeDeclinedExpiredCard", "4000000000000069", "expired_card"),
    declined("chargeDeclinedIncorrectCvc", "4000000000000127", "incorrect_cvc"),
    declined("chargeDeclinedProcessingError", "4000000000000119", "processing_error"),
    declined("chargeDeclinedVelocityLimitExceeded", "4000000000006975", "card_velocity_exceeded"),
    declined("chargeDeclinedFraudulent", "4100000000000019", "fraudulent"),
    TestCard {
        declines_setup: false,
        ..declined("chargeCustomerFail", "4000000000000341", "generic_decline")
    },
    asking("authenticationRequired", "4000002760003184", Authentication::Always),
    asking("authenticationRequiredOnSetup", "4000002500003155", Authentication::UntilSetUp),
    asking("threeDSecure2Required", "4000000000003220", Authentication::Always),
    asking("threeDSecureRequired", "4000000000003063", Authentication::Always),
    plain("threeDSecureOptional", "4000000000003055", "visa"),
    plain("threeDSecureNotSupported", "378282246310005", "amex"),
    TestCard {
        authentication: Authentication::Always,
        declines_setup: false,
        ..declined("threeDSecureRequiredChargeDeclined", "4000008400001629", "generic_decline")
    },
    TestCard {
        authentication: Authentication::Always,
        declines_setup: false,
        ..declined(
            "authenticationRequiredChargeDeclinedInsufficientFunds",
            "4000008260003178",
            "insufficient_funds",
        )
    },
    disputed("createDispute", "4000000000000259", "fraudulent"),
    disputed("createDisputeProductNotReceived", "4000000000002685", "product_not_received"),
    disputed("createDisputeInquiry", "4000000000001976", "inquiry"),
    TestCard {
        refunds: RefundOutcome::Pending,
        ..plain("pendingRefund", "4000000000007726", "visa")
    },
    TestCard { refunds: RefundOutcome::Fails, ..plain("refundFail", "4000000000005126", "visa") },
];

impl TestCard {
    fn card(&self) -> Card {
        Card {
            brand: self.brand.to_owned(),
            last4: self.number[self.number.len() - 4..].to_owned(),
            fingerprint: format!("FP{}", self.number),
            decline: self.decline.map(str::to_owned),
            authentication: self.authentication,
            declines_setup: self.declines_setup,
            dispute: self.dispute.map(str::to_owned),
            refunds: self.refunds,
            ..Card::default()
        }
    }
}

impl Card {
    /// The card of a test token: Stripe's (`pm_card_visa`, `pm_card_visa_chargeDeclined`), or
    /// `pm_card_declined_<reason>`, which can be saved and declines each payment.
    pub fn of_token(token: &str) -> Option<Self> {
        let name = token.strip_prefix("pm_card_")?;
        if let Some(reason) = name.strip_prefix("declined_") {
            let decline = (!reason.is_empty()).then(|| reason.to_owned())?;
            return Some(Self { decline: Some(decline), ..Self::default() });
        }
        let find = |name: &str| TEST_CARDS.iter().find(|card| card.token == name);
        // Stripe has some tokens with the brand and some without.
        let found = find(name).or_else(|| find(name.strip_prefix("visa_")?));
        found.map(TestCard::card)
    }

    /// The card with a test number.
    pub fn of_number(number: &str) -> Option<Self> {
        let digits: String = number.chars().filter(char::is_ascii_digit).collect();
        TEST_CARDS.iter().find(|card| card.number == digits).map(TestCard::card)
    }
}

/// Reasons that Stripe answers as the error's code; all others come as `card_declined`.
const CODES: &[&str] = &[
    "authentication_required",
    "expired_card",
    "incorrect_cvc",
    "incorrect_number",
    "incorrect_zip",
    "invalid_cvc",
    "invalid_expiry_month",
    "invalid_expiry_year",
    "invalid_number",
    "processing_error",
];

/// The error's code for a reason to decline.
pub(super) fn error_code(reason: &str) -> &str {
    if CODES.contains(&reason) { reason } else { "card_declined" }
}

/// Stripe's sentence for the cardholder.
pub(super) fn sentence(reason: &str) -> &'static str {
    match reason {
        "authentication_required" => {
            "Your card was declined. This transaction requires authentication."
        }
        "card_not_supported" | "currency_not_supported" => {
            "Your card does not support this type of purchase."
        }
        "card_velocity_exceeded" | "withdrawal_count_limit_exceeded" => {
            "Your card was declined for making repeated attempts too frequently or exceeding its \
             amount limit."
        }
        "duplicate_transaction" => {
            "A transaction with identical amount and credit card information was submitted very \
             recently."
        }
        "expired_card" => "Your card has expired.",
        "incorrect_cvc" => "Your card's security code is incorrect.",
        "incorrect_number" => "Your card number is incorrect.",
        "incorrect_zip" => "The zip code you supplied failed validation.",
        "insufficient_funds" => "Your card has insufficient funds.",
        "invalid_cvc" => "Your card's security code is invalid.",
        "invalid_expiry_month" => "Your card's expiration month is invalid.",
        "invalid_expiry_year" => "Your card's expiration year is invalid.",
        "invalid_number" => "Your card number is invalid.",
        "processing_error" => {
            "An error occurred while processing your card. Try again in a little bit."
        }
        _ => "Your card was declined.",
    }
}

/// Stripe's advice for the merchant (<https://docs.stripe.com/declines>).
pub(super) fn advice_code(reason: &str) -> &'static str {
    match error_code(reason) {
        "card_declined" => match reason {
            "lost_card"
            | "stolen_card"
            | "pickup_card"
            | "stop_payment_order"
            | "do_not_try_again"
            | "revocation_of_authorization" => "do_not_try_again",
            _ => "try_again_later",
        },
        "authentication_required" | "processing_error" => "try_again_later",
        _ => "confirm_card_data",
    }
}
