//! Saved cards: set up, listed, chosen, changed, removed. Stripe is the truth; the copy in Postgres
//! is renewed by every listing.

use callmeter_core::domain::{AccountId, EventType, PaymentMethodId};
use chrono::{DateTime, Utc};
use serde_json::json;
use sha2::{Digest, Sha256};
use sqlx::PgConnection;

use super::limits::has_too_many_declines;
use super::{PaymentError, Payments, auto_refill, limits, requests};
use crate::change::{self, Affected, Change};
use crate::ledger::audit::{self, Action, AuditEntry, By};
use crate::ledger::outbox::{self, Fact};
use crate::ledger::payments::card_setups;
use crate::ledger::payments::cards::{self, SavedCard};
use crate::ledger::payments::refills::CardFace;
use crate::ledger::{LedgerError, Refusable, accounts, wallets};
use crate::stripe::{Deadline, PaymentMethod, StripeError};

/// Saved cards of one account.
const CARDS_MAX: usize = 10;

/// A card's setup, which the customer's browser finishes with Stripe.
#[derive(Clone, Debug)]
pub struct CardSetup {
    /// `seti_…`
    pub setup_intent: String,
    /// Lets the browser confirm it.
    pub client_secret: String,
}

/// Why nothing was done with a card.
#[derive(Debug, thiserror::Error)]
pub enum CardsError {
    /// There is no such account.
    #[error("there is no such account")]
    UnknownAccount,
    /// The account has no such card.
    #[error("the account has no such card")]
    UnknownCard,
    /// The account has as many cards as it may have.
    #[error("the account has 10 cards")]
    TooMany,
    /// The account began too many setups in the last hour.
    #[error("too many setups of cards in an hour")]
    TooManySetups,
    /// The account's cards were declined too often in the last hour.
    #[error("too many declines in an hour")]
    TooManyDeclines,
    /// The date was refused.
    #[error("Stripe refused the new date of expiry")]
    RefusedDate,
    /// Stripe or the ledger failed.
    #[error(transparent)]
    Failed(#[from] PaymentError),
}

impl From<LedgerError> for CardsError {
    fn from(error: LedgerError) -> Self {
        Self::Failed(error.into())
    }
}

impl From<StripeError> for CardsError {
    fn from(error: StripeError) -> Self {
        Self::Failed(error.into())
    }
}

impl Payments {
    /// Begins the setup of a card. `request` names the request, so that a repeated one is answered
    /// with the same setup.
    ///
    /// # Errors
    /// `TooMany` beyond 10 cards; `TooManySetups`, `TooManyDeclines` beyond the limits of an hour.
    pub async fn set_up_card(
        &self,
        account: &AccountId,
        request: &str,
    ) -> Result<CardSetup, CardsError> {
        let deadline = self.deadline();
        let account_key = self.account_key(account).await?;
        self.check_account(deadline).await?;
        if self.cards_of(account_key).await?.len() >= CARDS_MAX {
            return Err(CardsError::TooMany);
        }
        let sha256: [u8; 32] = Sha256::digest(request).into();
        self.begin_setup(account_key, sha256).await?;
        let customer = self.customer(account.as_str(), account_key, deadline).await?;
        let ledger = self.ledger_id().await?;
        let form = requests::setup(ledger, account.as_str(), &customer);
        let key = format!("{ledger}-setup-{account}-{}", hex::encode(sha256));
        let send = async |key: String| self.stripe.create_setup_intent(&form, &key, deadline).await;
        let setup = requests::under_keys(&key, send).await?;
        let id = setup.id.clone();
        let made = self.store.transact("card_setups::made", move |connection| {
            let id = id.clone();
            Box::pin(async move { card_setups::made(connection, account_key, &sha256, &id).await })
        });
        made.await.map_err(LedgerError::from)?;
        let secret =
            setup.client_secret.map(|secret| secret.expose().to_owned()).unwrap_or_default();
        Ok(CardSetup { setup_intent: setup.id, client_secret: secret })
    }

    async fn begin_setup(&self, account_key: i32, sha256: [u8; 32]) -> Result<(), CardsError> {
        let (rules, now) = (self.settings.rules, self.clock.now());
        let begun = self.store.transact("card_setups::begin", move |connection| {
            Box::pin(async move {
                wallets::lock(connection, account_key).await?;
                if has_too_many_declines(connection, account_key, &rules, now).await? {
                    return Ok::<_, LedgerError>(Err(CardsError::TooManyDeclines));
                }
                let begun =
                    limits::begin_setup(connection, account_key, &sha256, &rules, now).await?;
                Ok(if begun { Ok(()) } else { Err(CardsError::TooManySetups) })
            })
        });
        begun.await?
    }

    /// The saved cards of an account, as Stripe lists them now, newest first.
    ///
    /// # Errors
    /// If Stripe does not answer.
    pub async fn cards(&self, account: &AccountId) -> Result<Vec<SavedCard>, CardsError> {
        let account_key = self.account_key(account).await?;
        self.renew_cards(account_key, self.deadline()).await?;
        Ok(self.cards_of(account_key).await?)
    }

    /// Makes a card the default.
    ///
    /// # Errors
    /// `UnknownCard`: nothing was changed.
    pub async fn choose_card(
        &self,
        account: &AccountId,
        card: &PaymentMethodId,
        by: By,
    ) -> Result<(), CardsError> {
        let change = ChangeCards {
            account: account.clone(),
            card: card.clone(),
            action: Action::CardChosen,
        };
        let changed = change::commit(&self.store, change, by).await?;
        changed.map_err(|UnknownCard| CardsError::UnknownCard)
    }

    /// Sets a card's date of expiry, for a renewed card of the same number.
    ///
    /// # Errors
    /// `UnknownCard`, `RefusedDate`: nothing was changed.
    pub async fn renew_card(
        &self,
        account: &AccountId,
        card: &PaymentMethodId,
        (month, year): (u32, u32),
    ) -> Result<SavedCard, CardsError> {
        let deadline = self.deadline();
        let account_key = self.account_key(account).await?;
        self.known_card(account_key, card).await?;
        self.check_account(deadline).await?;
        let key = requests::new_key(self.ledger_id().await?);
        match self.stripe.update_card(card, month, year, &key, deadline).await {
            Ok(_) => {}
            Err(StripeError::Refused(_) | StripeError::Card(_)) => {
                return Err(CardsError::RefusedDate);
            }
            Err(StripeError::NotFound { .. }) => return Err(CardsError::UnknownCard),
            Err(error) => return Err(error.into()),
        }
        self.renew_cards(account_key, deadline).await?;
        self.known_card(account_key, card).await
    }

    /// Removes a card, at Stripe and here. The newest other one becomes the default.
    ///
    /// # Errors
    /// `UnknownCard`: the account has no such card.
    pub async fn remove_card(
        &self,
        account: &AccountId,
        card: &PaymentMethodId,
        by: By,
    ) -> Result<(), CardsError> {
        let deadline = self.deadline();
        let account_key = self.account_key(account).await?;
        self.known_card(account_key, card).await?;
        self.check_account(deadline).await?;
        let key = requests::new_key(self.ledger_id().await?);
        match self.stripe.detach(card, &key, deadline).await {
            // Refused: it is detached already.
            Ok(_) | Err(StripeError::NotFound { .. } | StripeError::Refused(_)) => {}
            Err(error) => return Err(error.into()),
        }
        let change = ChangeCards {
            account: account.clone(),
            card: card.clone(),
            action: Action::CardRemoved,
        };
        let changed = change::commit(&self.store, change, by).await?;
        changed.map_err(|UnknownCard| CardsError::UnknownCard)
    }

    /// Reads the account's cards from Stripe into the ledger.
    pub(super) async fn renew_cards(
        &self,
        account_key: i32,
        deadline: Deadline,
    ) -> Result<(), PaymentError> {
        let Some(customer) = self.stored_customer(account_key).await? else { return Ok(()) };
        self.check_account(deadline).await?;
        let listed = self.stripe.payment_methods(&customer, deadline).await?;
        let found: Vec<SavedCard> = listed.iter().filter_map(saved).collect();
        let now = self.clock.now();
        let replaced = self.store.transact("cards::replace", move |connection| {
            let found = found.clone();
            Box::pin(async move { store_cards(connection, account_key, &found, now).await })
        });
        Ok(replaced.await?)
    }

    async fn account_key(&self, account: &AccountId) -> Result<i32, CardsError> {
        let mut connection = self.store.read().await.map_err(LedgerError::from)?;
        let key = accounts::key_of(&mut connection, account).await.map_err(LedgerError::from)?;
        key.ok_or(CardsError::UnknownAccount)
    }

    async fn cards_of(&self, account_key: i32) -> Result<Vec<SavedCard>, LedgerError> {
        cards::list(&mut *self.store.read().await?, account_key).await
    }

    async fn known_card(
        &self,
        account_key: i32,
        card: &PaymentMethodId,
    ) -> Result<SavedCard, CardsError> {
        let known = self.cards_of(account_key).await?;
        known.into_iter().find(|known| known.id == *card).ok_or(CardsError::UnknownCard)
    }
}

/// A card that Stripe listed; `None`: it is none that can be shown.
fn saved(method: &PaymentMethod) -> Option<SavedCard> {
    let card = method.card.as_ref()?;
    Some(SavedCard {
        id: method.id.clone(),
        face: CardFace { brand: card.brand.clone(), last4: card.last4.clone() },
        exp_month: i16::try_from(card.exp_month).ok()?,
        exp_year: i16::try_from(card.exp_year).ok()?,
        is_default: false,
        added_at: DateTime::from_timestamp(method.created, 0)?,
    })
}

/// Stores the cards of an account; tells which were added or removed. If the card of auto-refill is
/// gone, it is switched off.
async fn store_cards(
    connection: &mut PgConnection,
    account_key: i32,
    found: &[SavedCard],
    at: DateTime<Utc>,
) -> Result<(), LedgerError> {
    // The outbox is written under the wallet's lock, which comes before all others.
    wallets::lock(connection, account_key).await?;
    let before = cards::list(connection, account_key).await?;
    cards::replace(connection, account_key, found).await?;
    let missing_in = |all: &[SavedCard], card: &SavedCard| all.iter().all(|it| it.id != card.id);
    let added = found.iter().filter(|card| missing_in(&before, card));
    let removed = before.iter().filter(|card| missing_in(found, card));
    let added = added.map(|card| (EventType::PaymentMethodAdded, card));
    let removed = removed.map(|card| (EventType::PaymentMethodRemoved, card));
    let facts = added.chain(removed).map(|(kind, card)| {
        let SavedCard { id, face, .. } = card;
        let card = json!({ "id": id, "brand": face.brand, "last4": face.last4 });
        let data = Some(json!({ "payment_method": card }));
        Fact { account_key, kind, at, sequence: None, data }
    });
    outbox::add(connection, &facts.collect::<Vec<_>>()).await?;
    auto_refill::card_gone(connection, account_key, found, at).await?;
    Ok(())
}

/// The account has no such card.
#[derive(Clone, Copy, Debug)]
struct UnknownCard;

/// Chooses or forgets a card.
#[derive(Clone, Debug)]
struct ChangeCards {
    account: AccountId,
    card: PaymentMethodId,
    action: Action,
}

impl Change for ChangeCards {
    type Done = ();
    type Refusal = UnknownCard;
    const NAME: &'static str = "payments::change_cards";

    async fn apply(&self, connection: &mut PgConnection, by: &By) -> Refusable<(), UnknownCard> {
        let Some(head) = accounts::lock(connection, &self.account).await? else {
            return Ok(Err(UnknownCard));
        };
        let account_key = head.account_key;
        let before = cards::list(connection, account_key).await?;
        let is_known = before.iter().any(|card| card.id == self.card);
        if self.action == Action::CardRemoved {
            let left: Vec<_> = before.into_iter().filter(|card| card.id != self.card).collect();
            store_cards(connection, account_key, &left, by.at).await?;
            if !is_known {
                by.changed_nothing();
                return Ok(Ok(()));
            }
        } else if !cards::set_default(connection, account_key, &self.card).await? {
            return Ok(Err(UnknownCard));
        }
        let entry = AuditEntry {
            action: self.action,
            account_key: Some(account_key),
            subject: self.account.to_string(),
            before: serde_json::Value::Null,
            after: json!({ "payment_method": self.card }),
        };
        audit::note(connection, by, &entry).await?;
        Ok(Ok(()))
    }

    fn affects(&self, _: Option<&()>) -> Affected {
        // Authorizations know nothing of cards.
        Affected::nothing()
    }
}
