//! The nouns of payments: ids of refills and of Stripe's objects, and the words for their states.
//!
//! Place in the flow: payments by card become refills; a completed refill credits the wallet. The
//! ledger, Stripe's client and HTTP use these types.
//!
//! A refill's id must never come from a sequence. After a restored backup a sequence gives an id
//! again, and Stripe would replay the old payment under it.

use super::ids::{IdError, id};
use super::named::named_enum;

/// The most bytes after the prefix of one of Stripe's ids, which have up to 255 characters
/// (<https://docs.stripe.com/upgrades>).
const STRIPE_WORD_BYTES_MAX: usize = 250;
/// The hexadecimal digits of a refill's id, after its prefix.
const REFILL_DIGITS: usize = 32;
const HEX: &[u8; 16] = b"0123456789abcdef";

named_enum! {
    /// What can be done about a declined payment.
    pub enum DeclineClass ("decline class") {
        /// Not now: too little money, or a limit is reached.
        Later = "later",
        /// The card must be updated.
        FixCard = "fix_card",
        /// A field was entered wrongly.
        FixInput = "fix_input",
        /// The customer must confirm the payment.
        OnSession = "on_session",
        /// The bank declined.
        Bank = "bank",
        /// The card cannot be used here.
        OtherCard = "other_card",
        /// A temporary fault.
        Retry = "retry",
        /// The card must not be asked again.
        Never = "never",
        /// Perhaps paid already.
        Check = "check",
        /// An unknown reason.
        Generic = "generic",
    }
}

named_enum! {
    /// How far a refill is.
    pub enum RefillStatus ("refill status") {
        /// Asked, unknown, or in progress at the bank.
        Pending = "pending",
        /// Waits for a new card.
        RequiresPaymentMethod = "requires_payment_method",
        /// Waits for the customer's confirmation (3-D Secure).
        RequiresAction = "requires_action",
        /// Paid and credited; final.
        Completed = "completed",
        /// Nothing was paid; final.
        Failed = "failed",
    }
}

named_enum! {
    /// Who began a refill.
    pub enum RefillTrigger ("refill trigger") {
        /// The customer.
        Manual = "manual",
        /// Auto-refill.
        Auto = "auto",
    }
}

named_enum! {
    /// How far a refund to a card is.
    pub enum RefundStatus ("refund status") {
        /// Asked, unknown, or in progress at the bank.
        Pending = "pending",
        /// The money is on its way to the card.
        Completed = "completed",
        /// Nothing was refunded, or the money came back.
        Failed = "failed",
    }
}

impl RefillStatus {
    /// True if the refill never changes again.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Failed)
    }
}

/// What an id looks like.
pub(super) struct Pattern {
    pub(super) what: &'static str,
    pub(super) prefixes: &'static [&'static str],
    /// True if this may follow the prefix.
    pub(super) allows: fn(&str) -> bool,
    pub(super) form: &'static str,
}

impl Pattern {
    pub(super) fn check(&self, text: &str) -> Result<(), IdError> {
        let mut rests = self.prefixes.iter().filter_map(|prefix| text.strip_prefix(prefix));
        let is_of_form = rests.any(self.allows);
        let refused = IdError::NotOfForm { what: self.what, form: self.form };
        is_of_form.then_some(()).ok_or(refused)
    }
}

/// Letters, digits and `_`, so that an id is safe in a path. A client secret has the same letters
/// (`pi_…_secret_…`), and is refused.
fn is_stripe_word(text: &str) -> bool {
    (1..=STRIPE_WORD_BYTES_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && !text.contains("_secret")
}

pub(super) fn is_digits(text: &str) -> bool {
    text.len() == REFILL_DIGITS && text.bytes().all(|digit| HEX.contains(&digit))
}

id!(
    /// A refill of ours: `rf_` and 32 lower-case hexadecimal digits.
    RefillId,
    Pattern {
        what: "refill id",
        prefixes: &["rf_"],
        allows: is_digits,
        form: "rf_ and 32 lower-case hexadecimal digits",
    }
);
id!(
    /// A refund of ours: `rr_` and 32 lower-case hexadecimal digits.
    RefundId,
    Pattern {
        what: "refund id",
        prefixes: &["rr_"],
        allows: is_digits,
        form: "rr_ and 32 lower-case hexadecimal digits",
    }
);
id!(
    /// Stripe's id of a payment: `pi_…`.
    PaymentIntentId,
    Pattern {
        what: "payment intent id",
        prefixes: &["pi_"],
        allows: is_stripe_word,
        form: "pi_ and letters, digits and underscores",
    }
);
id!(
    /// Stripe's id of a card: `pm_…`, or `card_…` and `src_…` of older ones.
    PaymentMethodId,
    Pattern {
        what: "payment method id",
        prefixes: &["pm_", "card_", "src_"],
        allows: is_stripe_word,
        form: "pm_, card_ or src_ and letters, digits and underscores",
    }
);
id!(
    /// Stripe's id of a customer: `cus_…`.
    StripeCustomerId,
    Pattern {
        what: "Stripe customer id",
        prefixes: &["cus_"],
        allows: is_stripe_word,
        form: "cus_ and letters, digits and underscores",
    }
);

impl RefillId {
    /// Creates the id from 16 random bytes.
    pub fn from_random(bytes: [u8; 16]) -> Self {
        Self(random_id("rf_", bytes).into())
    }
}

impl RefundId {
    /// Creates the id from 16 random bytes.
    pub fn from_random(bytes: [u8; 16]) -> Self {
        Self(random_id("rr_", bytes).into())
    }
}

pub(super) fn random_id(prefix: &str, bytes: [u8; 16]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 0x0f]);
    let digits = digits.map(|digit| char::from(HEX[usize::from(digit)]));
    prefix.chars().chain(digits).collect()
}
