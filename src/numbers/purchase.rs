//! The start of a purchase: what is asked of Twilio before any debit, the row, and the money that is
//! set aside.

use callmeter_core::domain::{
    AccountId, AccountStatus, Money, NumberId, NumberType, RentalAnchor, TwilioAccountSid,
};
use chrono::TimeDelta;
use futures::FutureExt;
use serde_json::json;
use sqlx::PgConnection;
use tokio::time::Instant;

use super::{NumberError, Numbers};
use crate::balance::BalanceError;
use crate::change::{Affected, Change};
use crate::ledger::audit::{self, Action, AuditEntry, By};
use crate::ledger::numbers::{self, NewNumber, Number, Which, progress};
use crate::ledger::payments::refunds::reserve;
use crate::ledger::{LedgerError, Refusable, accounts};
use crate::twilio::{AddressRequirements, TwilioError};

/// Numbers that a search for one returns at most: the digits may be part of others.
const FOUND_MAX: u16 = 50;
/// Time between two looks at a request that works on the same number.
const LOOK_EVERY: std::time::Duration = std::time::Duration::from_millis(100);

/// What a customer asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PurchaseRequest {
    /// E.164.
    pub(crate) phone_number: String,
    /// ISO 3166, two capital letters.
    pub(crate) country: String,
    /// Its type.
    pub(crate) number_type: NumberType,
    /// The address that the country asks for, by Twilio's id.
    pub(crate) address_sid: Option<String>,
    /// The bundle that the country asks for, by Twilio's id.
    pub(crate) bundle_sid: Option<String>,
}

/// Why no number is bought. Nothing is debited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotBought {
    /// There is no such account.
    UnknownAccount,
    /// The account is closed.
    AccountClosed,
    /// The catalog has no price for this country and type.
    NoPrice,
    /// The country asks for an address or a bundle.
    AddressRequired {
        /// The field that is missing.
        field: &'static str,
    },
    /// Twilio does not sell it.
    Unavailable,
    /// The wallet does not have the money.
    Insufficient {
        /// How much is missing.
        shortfall: Money,
    },
    /// The Idempotency-Key came with another body before.
    OtherBody,
    /// Another request with the same key is not answered yet.
    InProgress,
}

/// Begins a purchase: writes its row, and sets its price aside.
#[derive(Clone, Debug)]
struct BeginPurchase {
    account: AccountId,
    id: NumberId,
    twilio_account_sid: TwilioAccountSid,
    request: PurchaseRequest,
    price: Money,
    monthly: Money,
    anchor: RentalAnchor,
    key: Option<(String, [u8; 32])>,
    claimed_for: TimeDelta,
}

impl Change for BeginPurchase {
    /// The number, and true if it is new.
    type Done = (Number, bool);
    type Refusal = NotBought;
    const NAME: &'static str = "numbers::begin_purchase";

    async fn apply(
        &self,
        connection: &mut PgConnection,
        by: &By,
    ) -> Refusable<(Number, bool), NotBought> {
        let Some(mut head) = accounts::lock(connection, &self.account).await? else {
            return Ok(Err(NotBought::UnknownAccount));
        };
        let account_key = head.account_key;
        if let Some((key, sha256)) = &self.key
            && let Some(number) =
                numbers::find(connection, Which::Request(account_key, key)).await?
        {
            by.changed_nothing();
            let is_same = number.request_sha256.as_deref() == Some(sha256.as_slice());
            return Ok(if is_same { Ok((number, false)) } else { Err(NotBought::OtherBody) });
        }
        let account = accounts::find(connection, &self.account).await?;
        if account.is_none_or(|account| account.status == AccountStatus::Closed) {
            return Ok(Err(NotBought::AccountClosed));
        }
        if numbers::find(connection, Which::Owned(&self.request.phone_number)).await?.is_some() {
            return Ok(Err(NotBought::Unavailable));
        }
        if !self.price.is_zero() {
            reserve(connection, &mut head, self.price).await?;
        }
        let new = NewNumber {
            id: &self.id,
            account_key,
            twilio_account_sid: &self.twilio_account_sid,
            phone_number: &self.request.phone_number,
            country: &self.request.country,
            number_type: self.request.number_type,
            price: self.price,
            monthly: self.monthly,
            address_sid: self.request.address_sid.as_deref(),
            bundle_sid: self.request.bundle_sid.as_deref(),
            anchor: self.anchor,
            request: self.key.as_ref().map(|(key, sha256)| (key.as_str(), *sha256)),
            created_at: by.at,
            claimed_until: by.at + self.claimed_for,
        };
        numbers::insert(connection, &new).await?;
        let entry = AuditEntry {
            action: Action::NumberRequested,
            account_key: Some(account_key),
            subject: self.id.to_string(),
            before: serde_json::Value::Null,
            after: json!({
                "country": new.country, "type": new.number_type, "price": new.price,
                "twilio_account_sid": new.twilio_account_sid,
            }),
        };
        audit::note(connection, by, &entry).await?;
        let number = numbers::find(connection, Which::Id(&self.id)).await?;
        let number = number.ok_or_else(|| LedgerError::unreadable("a number", "it vanished"))?;
        Ok(Ok((number, true)))
    }

    fn affects(&self, _: Option<&(Number, bool)>) -> Affected {
        // What is set aside cannot be granted to a call any more.
        Affected::account(&self.account)
    }
}

/// Withdraws a purchase whose price was not taken: the wallet does not have it.
#[derive(Clone, Debug)]
struct WithdrawPurchase {
    number: Number,
}

impl Change for WithdrawPurchase {
    type Done = ();
    type Refusal = ();
    const NAME: &'static str = "numbers::withdraw_purchase";

    async fn apply(&self, connection: &mut PgConnection, by: &By) -> Refusable<(), ()> {
        let number = &self.number;
        let Some(mut head) = accounts::lock(connection, &number.account).await? else {
            return Ok(Err(()));
        };
        if !progress::remove(connection, &number.id).await? {
            by.changed_nothing();
            return Ok(Ok(()));
        }
        reserve(connection, &mut head, Money::from_micros(-number.price.micros())).await?;
        let entry = AuditEntry {
            action: Action::NumberWithdrawn,
            account_key: Some(number.account_key),
            subject: number.id.to_string(),
            before: json!({ "price": number.price }),
            after: serde_json::Value::Null,
        };
        audit::note(connection, by, &entry).await?;
        Ok(Ok(()))
    }

    fn affects(&self, _: Option<&()>) -> Affected {
        Affected::account(&self.number.account)
    }
}

impl Numbers {
    /// Buys a number for an account. Once its price is debited, the number is answered whatever
    /// became of it.
    ///
    /// # Errors
    /// Nothing is debited, unless the error is of the ledger: repeat it with the same key.
    pub(crate) async fn buy(
        &self,
        account: AccountId,
        request: PurchaseRequest,
        key: Option<(String, [u8; 32])>,
        by: By,
    ) -> Result<Result<(Number, bool), NotBought>, NumberError> {
        let deadline = self.deadline();
        if let Some(repeated) = self.repeated(&account, key.as_ref(), deadline).await? {
            return Ok(repeated.map(|number| (number, false)));
        }
        self.check_recovery().await?;
        let known = accounts::find(&mut *self.store.read().await?, &account).await?;
        let Some(known) = known else { return Ok(Err(NotBought::UnknownAccount)) };
        if known.status == AccountStatus::Closed {
            return Ok(Err(NotBought::AccountClosed));
        }
        let catalog = self.catalog().await?;
        let price = catalog.as_ref().and_then(|history| {
            let catalog = &history.at(by.at).catalog;
            catalog.number_price(&request.country, request.number_type.as_str()).cloned()
        });
        let Some(price) = price else { return Ok(Err(NotBought::NoPrice)) };
        let owned = Which::Owned(&request.phone_number);
        let is_owned = numbers::find(&mut *self.store.read().await?, owned).await?.is_some();
        let sid = known.twilio_account_sids.first().cloned();
        let sid = sid.ok_or(TwilioError::NotConfigured)?;
        let checked = if is_owned {
            Err(NotBought::Unavailable)
        } else {
            self.check_for_sale(&sid, &request, deadline).await?
        };
        if let Err(refusal) = checked {
            // Perhaps another request with the same key has bought it meanwhile.
            let repeated = self.repeated(&account, key.as_ref(), deadline).await?;
            return Ok(repeated.map_or(Err(refusal), |it| it.map(|number| (number, false))));
        }
        let change = BeginPurchase {
            account: account.clone(),
            id: NumberId::from_random(rand::random()),
            twilio_account_sid: sid,
            request,
            price: price.purchase,
            monthly: price.monthly,
            anchor: self.settings.anchor,
            key: key.clone(),
            claimed_for: self.claim_time(),
        };
        let (number, is_new) = match self.changes.run(change, by).await? {
            Ok(begun) => begun,
            Err(refusal) => return Ok(Err(refusal)),
        };
        if !is_new {
            let repeated = self.repeated(&account, key.as_ref(), deadline).await?;
            return Ok(repeated.map_or(Err(NotBought::InProgress), |it| it.map(|it| (it, false))));
        }
        if let Err(refusal) = self.advance(&number.id, deadline).await? {
            return Ok(Err(refusal));
        }
        let number = numbers::find(&mut *self.store.read().await?, Which::Id(&number.id)).await?;
        let number = number.ok_or_else(|| LedgerError::unreadable("a number", "it vanished"))?;
        Ok(Ok((number, true)))
    }

    /// The number that an earlier request with the same key began, as it is now. Waits for that
    /// request until the deadline.
    async fn repeated(
        &self,
        account: &AccountId,
        key: Option<&(String, [u8; 32])>,
        deadline: Instant,
    ) -> Result<Option<Result<Number, NotBought>>, NumberError> {
        let Some((key, sha256)) = key else { return Ok(None) };
        let mut is_looked_up = false;
        loop {
            let mut connection = self.store.read().await?;
            let Some(account_key) = accounts::key_of(&mut connection, account).await? else {
                return Ok(None);
            };
            let found = numbers::find(&mut connection, Which::Request(account_key, key)).await?;
            drop(connection);
            let Some(number) = found else { return Ok(None) };
            if number.request_sha256.as_deref() != Some(sha256.as_slice()) {
                return Ok(Some(Err(NotBought::OtherBody)));
            }
            let is_pending = number.bought_at.is_none() && number.finished_at.is_none();
            if !is_pending || is_looked_up {
                return Ok(Some(Ok(number)));
            }
            if number.claimed_until <= self.clock.now() {
                is_looked_up = true;
                if let Err(refusal) = self.advance_if_free(&number.id, deadline).await? {
                    return Ok(Some(Err(refusal)));
                }
                continue;
            }
            if Instant::now() >= deadline {
                return Ok(Some(Err(NotBought::InProgress)));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Asks Twilio whether the number is for sale, and whether its country asks for more.
    async fn check_for_sale(
        &self,
        sid: &TwilioAccountSid,
        request: &PurchaseRequest,
        deadline: Instant,
    ) -> Result<Result<(), NotBought>, NumberError> {
        let digits = request.phone_number.trim_start_matches('+');
        let kind = (request.country.as_str(), request.number_type);
        let found = self.ask(sid, deadline, |credentials| {
            let (twilio, sid) = (self.twilio.clone(), sid.clone());
            let (country, digits) = (kind.0.to_owned(), digits.to_owned());
            async move {
                let kind = (country.as_str(), kind.1);
                let wanted = Some(digits.as_str());
                twilio.available_numbers(credentials, &sid, kind, wanted, FOUND_MAX).await
            }
            .boxed()
        });
        let found = match found.await {
            Err(NumberError::Twilio(TwilioError::Refused { .. })) => Vec::new(),
            found => found?,
        };
        let found = found.into_iter().find(|found| found.phone_number == request.phone_number);
        let Some(found) = found else { return Ok(Err(NotBought::Unavailable)) };
        let asks_for_address = found.address_requirements != AddressRequirements::None;
        if asks_for_address && request.address_sid.is_none() {
            return Ok(Err(NotBought::AddressRequired { field: "address_sid" }));
        }
        if request.bundle_sid.is_some() {
            return Ok(Ok(()));
        }
        let needs_bundle = self.ask(sid, deadline, |credentials| {
            let (twilio, country) = (self.twilio.clone(), kind.0.to_owned());
            async move { twilio.needs_bundle(credentials, &country, kind.1).await }.boxed()
        });
        let refusal = NotBought::AddressRequired { field: "bundle_sid" };
        Ok(if needs_bundle.await? { Err(refusal) } else { Ok(()) })
    }

    /// Makes sure that the money set aside is there. If calls hold it, the purchase is withdrawn.
    pub(super) async fn check_funds(
        &self,
        number: &Number,
    ) -> Result<Result<(), NotBought>, NumberError> {
        if number.price.is_zero() {
            progress::note_checked(&self.store, &number.id).await?;
            return Ok(Ok(()));
        }
        // Without Redis, calls are granted by a cap and not by what is available.
        let is_known = self.changes.balance().redis().probe().await.is_ok();
        let view = match self.wallets.view(&number.account, self.clock.now()).await {
            Ok(Some(view)) if is_known => view,
            Ok(None) => return Ok(Err(NotBought::UnknownAccount)),
            Err(BalanceError::Ledger(error)) => return Err(error.into()),
            Ok(Some(_)) | Err(_) => {
                self.withdraw(number).await?;
                return Err(NumberError::HoldsUnknown);
            }
        };
        if !view.available.is_negative() {
            progress::note_checked(&self.store, &number.id).await?;
            return Ok(Ok(()));
        }
        self.withdraw(number).await?;
        let shortfall = Money::from_micros(-view.available.micros());
        Ok(Err(NotBought::Insufficient { shortfall }))
    }

    async fn withdraw(&self, number: &Number) -> Result<(), NumberError> {
        let withdraw = WithdrawPurchase { number: number.clone() };
        let by = By::new("numbers:purchase", self.clock.now());
        let _: Result<(), ()> = self.changes.run(withdraw, by).await?;
        Ok(())
    }
}
