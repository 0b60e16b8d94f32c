//! Buying a number: a page that says what it costs, then the purchase. The same form twice is one
//! purchase.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use callmeter_core::domain::{Money, NumberStatus, NumberType, is_e164};
use sha2::{Digest, Sha256};

use super::search::{address, failed};
use super::{Notice, find, names, show};
use crate::numbers::{NotBought, NumberError, PurchaseRequest};
use crate::page::Page;
use crate::page::error::PageError;
use crate::page::form::{Form, Query};
use crate::page::money::{cents, exact};
use crate::page::refill::is_request_key;
use crate::page::shell::{Entry, Shell};
use crate::page::visit::{Act, Owner};
use crate::twilio::TwilioError;

#[derive(Template)]
#[template(path = "number-buy.html")]
struct BuyPage {
    shell: Shell,
    phone_number: String,
    country: String,
    number_type: &'static str,
    kind: String,
    price: String,
    monthly: String,
    available: String,
    afterwards: String,
    /// True if the wallet does not have the price.
    is_short: bool,
    request_key: String,
}

/// A number that a form names.
struct Wanted {
    phone_number: String,
    country: String,
    number_type: NumberType,
}

fn wanted(form: &Form) -> Option<Wanted> {
    // In an address that somebody typed, a plus sign arrives as a space.
    let number = form.one("phone_number")?;
    let number = if number.starts_with('+') { number.to_owned() } else { format!("+{number}") };
    let country = form.one("country")?.to_ascii_uppercase();
    let is_country = country.len() == 2 && country.bytes().all(|it| it.is_ascii_uppercase());
    let number_type = NumberType::parse(form.one("type")?).ok()?;
    let is_named = is_country && is_e164(&number);
    is_named.then_some(Wanted { phone_number: number, country, number_type })
}

/// `GET /wallet/numbers/buy?phone_number=&country=&type=`: says what it costs. Nothing is taken.
pub(in crate::page) async fn ask(
    State(page): State<Page>,
    Owner(visit): Owner,
    Query(query): Query,
) -> Result<Response, PageError> {
    let Wanted { phone_number, country, number_type } =
        wanted(&query).ok_or(PageError::NotFound)?;
    let prices = page.numbers.prices().await.map_err(|error| failed(&error))?;
    let price = prices
        .into_iter()
        .find(|price| *price.country == *country && price.number_type == number_type);
    let price = price.ok_or(PageError::NotFound)?;
    let (available, _) = page.available(&visit).await?;
    let left = available.micros().saturating_sub(price.purchase.micros());
    let title = format!("Buy {phone_number}");
    let (shell, _) = page.shell(&visit, Entry::Numbers, title).await?;
    let shown = BuyPage {
        shell,
        kind: names::both(&country, number_type),
        phone_number,
        country,
        number_type: number_type.as_str(),
        price: exact(price.purchase),
        monthly: exact(price.monthly),
        available: cents(available),
        afterwards: cents(Money::from_micros(left)),
        is_short: left < 0,
        request_key: format!("page-{:032x}", rand::random::<u128>()),
    };
    Ok(super::super::html(&shown).into_response())
}

/// `POST /wallet/numbers`
pub(in crate::page) async fn buy(
    State(page): State<Page>,
    Act(visit, form): Act,
) -> Result<Response, PageError> {
    let wanted = wanted(&form).ok_or(PageError::BadForm)?;
    let key = form.one("request_key").filter(|key| is_request_key(key));
    let key = key.ok_or(PageError::BadForm)?.to_owned();
    let Wanted { phone_number, country, number_type } = wanted;
    let again = address(&page, &phone_number, &country, number_type);
    let (address_sid, bundle_sid) = (form.one("address_sid"), form.one("bundle_sid"));
    let named = format!(
        "{phone_number} {country} {number_type} {} {}",
        address_sid.unwrap_or_default(),
        bundle_sid.unwrap_or_default()
    );
    let sha256: [u8; 32] = Sha256::digest(named).into();
    let request = PurchaseRequest {
        phone_number: phone_number.clone(),
        country,
        number_type,
        address_sid: address_sid.filter(|text| is_sid(text, "AD")).map(str::to_owned),
        bundle_sid: bundle_sid.filter(|text| is_sid(text, "BU")).map(str::to_owned),
    };
    let account = visit.session.account.clone();
    let bought = page.numbers.buy(account, request, Some((key, sha256)), visit.by(&page)).await;
    let notice = match bought {
        Ok(Ok((number, _))) if number.status == NumberStatus::Failed => {
            find(&page, &visit, number.id.as_str()).await?.as_ref().map(Notice::of)
        }
        Ok(Ok((number, _))) => {
            let address = format!("{}/numbers?bought={}", page.at, number.id);
            return Ok(Redirect::to(&address).into_response());
        }
        Ok(Err(NotBought::Insufficient { shortfall })) => {
            Some(Notice::short(&page, &phone_number, shortfall, &again))
        }
        Ok(Err(refusal)) => Some(Notice::refused(&phone_number, refused(refusal)?)),
        Err(NumberError::Twilio(error)) => Some(Notice::refused(&phone_number, unanswered(&error))),
        Err(error) => return Err(failed(&error)),
    };
    show(&page, &visit, &Form::default(), notice, StatusCode::UNPROCESSABLE_ENTITY).await
}

fn refused(refusal: NotBought) -> Result<&'static str, PageError> {
    Ok(match refusal {
        NotBought::UnknownAccount | NotBought::Insufficient { .. } => {
            return Err(PageError::Internal);
        }
        NotBought::AccountClosed => "The account is closed.",
        NotBought::NoPrice => "Numbers of this type are not sold in this country.",
        NotBought::AddressRequired { field: "bundle_sid" } => {
            "Its country asks for documents. Enter the id of your regulatory bundle at Twilio, or \
             contact support."
        }
        NotBought::AddressRequired { .. } => {
            "Its country asks for an address. Enter the id of your address at Twilio, or contact \
             support."
        }
        NotBought::Unavailable => "Somebody else has it, or Twilio does not sell it any more.",
        NotBought::OtherBody => "This form was sent before with other values.",
        NotBought::InProgress => "The same purchase is still going on; look again in a moment.",
    })
}

fn unanswered(error: &TwilioError) -> &'static str {
    match error {
        TwilioError::NotConfigured => "Numbers are not set up here.",
        _ => "Twilio, where numbers come from, does not answer right now.",
    }
}

fn is_sid(text: &str, prefix: &str) -> bool {
    text.strip_prefix(prefix).is_some_and(|digits| {
        digits.len() == 32 && digits.bytes().all(|digit| digit.is_ascii_hexdigit())
    })
}
