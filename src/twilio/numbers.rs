//! The `IncomingPhoneNumbers` resource: the numbers of a Twilio account.

use callmeter_core::domain::{PhoneNumberSid, TwilioAccountSid};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::calls::instant;
use super::{Credentials, TwilioClient, TwilioError};

/// Numbers on a page: Twilio's maximum.
const PAGE_SIZE: &str = "1000";
/// Most pages of one listing.
const PAGES_MAX: usize = 1_000;

/// A number of a Twilio account.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct IncomingNumber {
    /// `PN…`.
    pub sid: PhoneNumberSid,
    /// E.164.
    pub phone_number: String,
    /// The name that its buyer gave it.
    #[serde(default)]
    pub friendly_name: String,
    /// When it was bought.
    #[serde(default, deserialize_with = "instant")]
    pub date_created: Option<DateTime<Utc>>,
}

/// A number to buy, and where its calls are reported and answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NumberOrder {
    /// E.164.
    pub phone_number: String,
    /// Its name at Twilio.
    pub friendly_name: String,
    /// Where Twilio posts the statuses of its calls.
    pub status_callback: Option<String>,
    /// Where its calls are answered; `None`: left to Twilio's default.
    pub voice_url: Option<String>,
    /// The application that answers its calls.
    pub voice_application_sid: Option<String>,
    /// The trunk that its calls go to.
    pub trunk_sid: Option<String>,
    /// The address that the country asks for.
    pub address_sid: Option<String>,
    /// The bundle that the country asks for.
    pub bundle_sid: Option<String>,
}

#[derive(Deserialize)]
struct Listing {
    /// Read one by one: a fault in one row does not affect the others.
    incoming_phone_numbers: Vec<Box<RawValue>>,
    #[serde(default)]
    next_page_uri: Option<String>,
}

impl NumberOrder {
    fn form(&self) -> Vec<(&'static str, &str)> {
        let mut form = vec![
            ("PhoneNumber", self.phone_number.as_str()),
            ("FriendlyName", self.friendly_name.as_str()),
        ];
        if let Some(callback) = &self.status_callback {
            form.push(("StatusCallback", callback.as_str()));
            form.push(("StatusCallbackMethod", "POST"));
        }
        let optional = [
            ("VoiceUrl", &self.voice_url),
            ("VoiceApplicationSid", &self.voice_application_sid),
            ("TrunkSid", &self.trunk_sid),
            ("AddressSid", &self.address_sid),
            ("BundleSid", &self.bundle_sid),
        ];
        let given =
            optional.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?)));
        form.extend(given);
        form
    }
}

impl TwilioClient {
    /// Buys a number, with one request. Twilio has no idempotency keys: after an error that may hide
    /// an effect, look the number up before another request.
    ///
    /// # Errors
    /// `Refused`: nothing was bought. `Unavailable` and `Unreadable`: it may have been.
    pub async fn buy_number(
        &self,
        credentials: &Credentials,
        account_sid: &TwilioAccountSid,
        order: &NumberOrder,
    ) -> Result<IncomingNumber, TwilioError> {
        let url = self.resource(&[account_sid.as_str(), "IncomingPhoneNumbers.json"], &[]);
        self.post(credentials, &url, &order.form()).await
    }

    /// The numbers of a Twilio account that are exactly `phone_number`: one, or none.
    ///
    /// # Errors
    /// If Twilio does not answer, or refuses the request.
    pub async fn find_number(
        &self,
        credentials: &Credentials,
        account_sid: &TwilioAccountSid,
        phone_number: &str,
    ) -> Result<Option<IncomingNumber>, TwilioError> {
        let query = [("PhoneNumber", phone_number)];
        let listed = self.list_numbers(credentials, account_sid, &query).await?;
        // Twilio's filter also takes parts of numbers.
        Ok(listed.into_iter().find(|number| number.phone_number == phone_number))
    }

    /// Every number of a Twilio account.
    ///
    /// # Errors
    /// As [`Self::find_number`]; `TooManyPages` if the listing does not end.
    pub async fn numbers(
        &self,
        credentials: &Credentials,
        account_sid: &TwilioAccountSid,
    ) -> Result<Vec<IncomingNumber>, TwilioError> {
        self.list_numbers(credentials, account_sid, &[("PageSize", PAGE_SIZE)]).await
    }

    async fn list_numbers(
        &self,
        credentials: &Credentials,
        account_sid: &TwilioAccountSid,
        query: &[(&str, &str)],
    ) -> Result<Vec<IncomingNumber>, TwilioError> {
        let parts = [account_sid.as_str(), "IncomingPhoneNumbers.json"];
        let (mut url, mut numbers) = (self.resource(&parts, query), Vec::new());
        for _ in 0..PAGES_MAX {
            let listing: Listing = self.get(credentials, &url).await?;
            let rows = listing.incoming_phone_numbers.iter();
            numbers.extend(rows.filter_map(|row| serde_json::from_str(row.get()).ok()));
            match listing.next_page_uri.filter(|next| !next.is_empty()) {
                Some(next) => url = self.next_page(&next)?,
                None => return Ok(numbers),
            }
        }
        Err(TwilioError::TooManyPages { pages: PAGES_MAX })
    }

    /// Gives a number back to Twilio; one that is not there is given back already.
    ///
    /// # Errors
    /// If Twilio does not answer, or refuses the request: it may be gone, and may be asked again.
    pub async fn remove_number(
        &self,
        credentials: &Credentials,
        account_sid: &TwilioAccountSid,
        sid: &PhoneNumberSid,
    ) -> Result<(), TwilioError> {
        let name = format!("{sid}.json");
        let url = self.resource(&[account_sid.as_str(), "IncomingPhoneNumbers", &name], &[]);
        match self.delete(credentials, &url).await {
            Ok(()) | Err(TwilioError::NotFound) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_says_only_what_is_set() {
        let order = NumberOrder {
            phone_number: "+15005550100".to_owned(),
            friendly_name: "one".to_owned(),
            status_callback: Some("https://example.com/x".to_owned()),
            voice_url: None,
            voice_application_sid: Some("AP1".to_owned()),
            trunk_sid: None,
            address_sid: None,
            bundle_sid: None,
        };
        let names: Vec<&str> = order.form().into_iter().map(|(name, _)| name).collect();
        let expected = [
            "PhoneNumber",
            "FriendlyName",
            "StatusCallback",
            "StatusCallbackMethod",
            "VoiceApplicationSid",
        ];
        assert_eq!(names, expected);
    }
}
