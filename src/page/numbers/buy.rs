//! Buying a number: a page that says what it costs, then the purchase. The same form twice is one
//! purchase.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use callmeter_core::domain::{Money, NumberStatus, NumberType, is_e164, is_twilio_sid};
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
use crate::page::visit::{Act, Owner, Visit};
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
    sids: [SidField; 2],
    /// True if a field is wrong.
    is_refused: bool,
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
    let wanted = wanted(&query).ok_or(PageError::NotFound)?;
    let request_key = format!("page-{:032x}", rand::random::<u128>());
    show_form(&page, &visit, wanted, SidField::read(&Form::default()), request_key).await
}

async fn show_form(
    page: &Page,
    visit: &Visit,
    wanted: Wanted,
    sids: [SidField; 2],
    request_key: String,
) -> Result<Response, PageError> {
    let Wanted { phone_number, country, number_type } = wanted;
    let prices = page.numbers.prices().await.map_err(|error| failed(&error))?;
    let price = prices
        .into_iter()
        .find(|price| *price.country == *country && price.number_type == number_type);
    let price = price.ok_or(PageError::NotFound)?;
    let (available, _) = page.available(visit).await?;
    let left = available.micros().saturating_sub(price.purchase.micros());
    let is_refused = sids.iter().any(|field| field.error.is_some());
    let title = format!("{}Buy {phone_number}", if is_refused { "Error: " } else { "" });
    let (shell, _) = page.shell(visit, Entry::Numbers, title).await?;
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
        request_key,
        sids,
        is_refused,
    };
    let status = if is_refused { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    Ok((status, super::super::html(&shown)).into_response())
}

/// `POST /wallet/numbers`
pub(in crate::page) async fn buy(
    State(page): State<Page>,
    Act(visit, form): Act,
) -> Result<Response, PageError> {
    let wanted = wanted(&form).ok_or(PageError::BadForm)?;
    let key = form.one("request_key").filter(|key| is_request_key(key));
    let key = key.ok_or(PageError::BadForm)?.to_owned();
    let sids = SidField::read(&form);
    if sids.iter().any(|field| field.error.is_some()) {
        return show_form(&page, &visit, wanted, sids, key).await;
    }
    let [address_sid, bundle_sid] = sids.each_ref().map(SidField::given);
    let Wanted { phone_number, country, number_type } = wanted;
    let again = address(&page, &phone_number, &country, number_type);
    let named = format!(
        "{phone_number} {country} {number_type} {} {}",
        address_sid.as_deref().unwrap_or_default(),
        bundle_sid.as_deref().unwrap_or_default()
    );
    let sha256: [u8; 32] = Sha256::digest(named).into();
    let request = PurchaseRequest {
        phone_number: phone_number.clone(),
        country,
        number_type,
        address_sid,
        bundle_sid,
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

/// An id of Twilio in a form.
#[derive(Debug)]
struct SidField {
    name: &'static str,
    label: &'static str,
    letters: &'static str,
    value: String,
    error: Option<String>,
}

impl SidField {
    /// The fields of what a country may ask for.
    fn read(form: &Form) -> [Self; 2] {
        let all = [
            ("address_sid", "Address at Twilio", "AD"),
            ("bundle_sid", "Regulatory bundle at Twilio", "BU"),
        ];
        all.map(|(name, label, letters)| {
            let value = form.text(name);
            let is_wrong = !value.is_empty() && !is_twilio_sid(&value, letters);
            let error = format!("Enter {letters} and the 32 digits and letters a to f after it.");
            Self { name, label, letters, value, error: is_wrong.then_some(error) }
        })
    }

    fn given(&self) -> Option<String> {
        (!self.value.is_empty()).then(|| self.value.clone())
    }
}
