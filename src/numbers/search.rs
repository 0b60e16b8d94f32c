//! What customers see before they buy: prices of the catalog, and numbers that Twilio sells.

use callmeter_core::domain::{AccountId, NumberPrice, NumberType};
use futures::FutureExt;

use super::{NumberError, Numbers};
use crate::ledger::accounts;
use crate::twilio::{AvailableNumber, TwilioError};

/// What a search asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SearchRequest {
    /// ISO 3166, two capital letters.
    pub(crate) country: String,
    /// The type.
    pub(crate) number_type: NumberType,
    /// Digits that the numbers have.
    pub(crate) contains: Option<String>,
    /// Most numbers.
    pub(crate) limit: u16,
}

/// Numbers for sale, and their price.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    /// The numbers.
    pub(crate) numbers: Vec<AvailableNumber>,
    /// Their price; `None`: the catalog has none, so they cannot be bought.
    pub(crate) price: Option<NumberPrice>,
}

/// Why nothing is searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UnknownAccount;

impl Numbers {
    /// The prices in force, in the catalog's order.
    ///
    /// # Errors
    /// If the ledger cannot be read.
    pub(crate) async fn prices(&self) -> Result<Vec<NumberPrice>, NumberError> {
        let now = self.clock.now();
        let catalog = self.catalog().await?;
        Ok(catalog.map_or_else(Vec::new, |history| history.at(now).catalog.numbers.clone()))
    }

    /// Numbers that are for sale, in the Twilio account of `account`, else of the settings.
    ///
    /// # Errors
    /// If Twilio does not answer, or no token is set.
    pub(crate) async fn search(
        &self,
        account: Option<&AccountId>,
        request: &SearchRequest,
    ) -> Result<Result<Found, UnknownAccount>, NumberError> {
        let sid = match account {
            Some(account) => {
                let known = accounts::find(&mut *self.store.read().await?, account).await?;
                let Some(known) = known else { return Ok(Err(UnknownAccount)) };
                known.twilio_account_sids.first().cloned()
            }
            None => self.settings.own_account.clone(),
        };
        let sid = sid.ok_or(TwilioError::NotConfigured)?;
        let now = self.clock.now();
        let price = self.catalog().await?.and_then(|history| {
            let (country, kind) = (&request.country, request.number_type.as_str());
            history.at(now).catalog.number_price(country, kind).cloned()
        });
        let found = self.ask(&sid, self.deadline(), |credentials| {
            let (twilio, sid, request) = (self.twilio.clone(), sid.clone(), request.clone());
            async move {
                let kind = (request.country.as_str(), request.number_type);
                let contains = request.contains.as_deref();
                twilio.available_numbers(credentials, &sid, kind, contains, request.limit).await
            }
            .boxed()
        });
        let numbers = match found.await {
            // A country that Twilio does not know has none.
            Err(NumberError::Twilio(TwilioError::Refused { .. })) => Vec::new(),
            found => found?,
        };
        Ok(Ok(Found { numbers, price }))
    }
}
