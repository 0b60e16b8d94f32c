//! The nouns of payments: ids of refills and of Stripe's objects, and the words for their states.
//!
//! Place in the flow: payments by card become refills; a completed refill credits the wallet. The
//! ledger, Stripe's client and HTTP use these types.
//!
//! A refill's id must never come from a sequence. After a restored backup a sequence gives an id
//! again, and Stripe would replay the old payment under it.

use super::ids::{IdError, id};
use super::named::named_enum;

/// The most bytes of one of Stripe's ids (<https://docs.stripe.com/upgrades>: up to 255 characters).
const STRIPE_ID_BYTES_MAX: usize = 255;
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

impl RefillStatus {
    /// True if the refill never changes again.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Failed)
    }
}

/// The form of one kind of Stripe's ids.
struct StripeForm {
    what: &'static str,
    prefixes: &'static [&'static str],
    form: &'static str,
}

impl StripeForm {
    /// Letters, digits and `_` after a prefix, so that an id is safe in a path. A client secret has
    /// the same letters (`pi_…_secret_…`), and is refused.
    fn check(&self, text: &str) -> Result<(), IdError> {
        let is_word = |rest: &str| {
            !rest.is_empty()
                && rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
                && !rest.contains("_secret")
        };
        let is_of_form = text.len() <= STRIPE_ID_BYTES_MAX
            && self.prefixes.iter().any(|prefix| text.strip_prefix(prefix).is_some_and(is_word));
        let refused = || IdError::NotOfForm { what: self.what, form: self.form };
        is_of_form.then_some(()).ok_or_else(refused)
    }
}

/// The form of a refill's id.
struct RefillForm;

impl RefillForm {
    fn check(&self, text: &str) -> Result<(), IdError> {
        let is_of_form = text.strip_prefix("rf_").is_some_and(|digits| {
            digits.len() == REFILL_DIGITS && digits.bytes().all(|digit| HEX.contains(&digit))
        });
        let form = "rf_ and 32 lower-case hexadecimal digits";
        is_of_form.then_some(()).ok_or(IdError::NotOfForm { what: "refill id", form })
    }
}

id!(
    /// A refill of ours: `rf_` and 32 lower-case hexadecimal digits.
    RefillId,
    RefillForm
);
id!(
    /// Stripe's id of a payment: `pi_…`.
    PaymentIntentId,
    StripeForm {
        what: "payment intent id",
        prefixes: &["pi_"],
        form: "pi_ and letters, digits and underscores",
    }
);
id!(
    /// Stripe's id of a card: `pm_…`, or `card_…` and `src_…` of older ones.
    PaymentMethodId,
    StripeForm {
        what: "payment method id",
        prefixes: &["pm_", "card_", "src_"],
        form: "pm_, card_ or src_ and letters, digits and underscores",
    }
);
id!(
    /// Stripe's id of a customer: `cus_…`.
    StripeCustomerId,
    StripeForm {
        what: "Stripe customer id",
        prefixes: &["cus_"],
        form: "cus_ and letters, digits and underscores",
    }
);

impl RefillId {
    /// Creates the id from 16 random bytes.
    pub fn from_random(bytes: [u8; 16]) -> Self {
        let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 0x0f]);
        let digits = digits.map(|digit| char::from(HEX[usize::from(digit)]));
        let text: String = "rf_".chars().chain(digits).collect();
        Self(text.into())
    }
}
