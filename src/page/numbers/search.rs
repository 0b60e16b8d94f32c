//! Searching numbers that Twilio sells, and what they cost.

use callmeter_core::domain::{Money, NumberPrice, NumberType};

use super::names;
use crate::numbers::{NumberError, SearchRequest};
use crate::page::Page;
use crate::page::error::PageError;
use crate::page::form::Form;
use crate::page::money::{exact, field};
use crate::page::visit::Visit;
use crate::telemetry::one_line;
use crate::twilio::{AddressRequirements, AvailableNumber, TwilioError};

/// Most numbers that are shown.
const SHOWN: usize = 20;
/// Numbers that Twilio is asked for.
const ASKED: u16 = 50;

/// The form of a search, as it is shown.
#[derive(Clone, Debug)]
pub(super) struct Search {
    pub(super) countries: Vec<Choice>,
    pub(super) kinds: Vec<Choice>,
    pub(super) begins: String,
    pub(super) contains: String,
    /// What a number of the chosen country and type costs.
    pub(super) price: Option<Price>,
    country: String,
    number_type: Option<NumberType>,
    /// True if the customer asked for a search.
    is_asked: bool,
}

/// A choice of a list.
#[derive(Clone, Debug)]
pub(super) struct Choice {
    pub(super) value: String,
    pub(super) text: String,
    pub(super) is_chosen: bool,
}

/// The price of a kind of number.
#[derive(Clone, Debug)]
pub(super) struct Price {
    pub(super) kind: String,
    pub(super) now: String,
    pub(super) monthly: String,
}

/// Numbers for sale.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) numbers: Vec<ForSale>,
}

/// A number for sale.
#[derive(Clone, Debug)]
pub(super) struct ForSale {
    pub(super) phone_number: String,
    pub(super) place: String,
    pub(super) now: String,
    pub(super) monthly: String,
    /// The address that asks before it buys.
    pub(super) address: String,
    /// What is missing, and the address of a refill.
    pub(super) missing: Option<(String, String)>,
    pub(super) needs_address: bool,
}

impl Search {
    /// Reads the form from the address; the first price of the catalog is chosen at first.
    pub(super) async fn read(page: &Page, query: &Form) -> Result<Self, PageError> {
        let prices = page.numbers.prices().await.map_err(|error| failed(&error))?;
        let given = query.one("country").map(str::to_ascii_uppercase);
        let is_asked = given.is_some();
        let country = given.or_else(|| prices.first().map(|price| price.country.to_string()));
        let country = country.unwrap_or_default();
        let of_country = |price: &&NumberPrice| *price.country == *country;
        let number_type = query.one("type").and_then(|text| NumberType::parse(text).ok());
        let number_type =
            number_type.or_else(|| prices.iter().find(of_country).map(|price| price.number_type));
        let mut countries: Vec<Choice> = Vec::new();
        let mut kinds: Vec<Choice> = Vec::new();
        let mut chosen = None;
        for price in &prices {
            if countries.iter().all(|known| *known.value != *price.country) {
                let text = names::country(&price.country).to_owned();
                let is_chosen = *price.country == *country;
                countries.push(Choice { value: price.country.to_string(), text, is_chosen });
            }
            let kind = price.number_type;
            if kinds.iter().all(|known| known.value != kind.as_str()) {
                let is_chosen = number_type == Some(kind);
                let text = names::kind(kind).to_owned();
                kinds.push(Choice { value: kind.as_str().to_owned(), text, is_chosen });
            }
            if *price.country == *country && number_type == Some(kind) {
                chosen = Some(Price {
                    kind: names::both(&country, kind),
                    now: exact(price.purchase),
                    monthly: exact(price.monthly),
                });
            }
        }
        Ok(Self {
            countries,
            kinds,
            begins: query.text("begins"),
            contains: query.text("digits"),
            price: chosen,
            country,
            number_type,
            is_asked,
        })
    }

    /// What Twilio is asked for; `None`: the customer asked for nothing yet.
    fn request(&self) -> Result<Option<SearchRequest>, &'static str> {
        let Some(number_type) = self.number_type.filter(|_| self.is_asked) else { return Ok(None) };
        let digits = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>();
        let is_odd =
            |text: &str| text.chars().any(|it| !it.is_ascii_digit() && !" +-()".contains(it));
        if is_odd(&self.begins) || is_odd(&self.contains) {
            return Err("Enter digits only, such as +1201 or 555.");
        }
        let (begins, contains) = (digits(&self.begins), digits(&self.contains));
        // Twilio wants at least two digits; both conditions are looked at again afterwards.
        let longest = if contains.len() >= begins.len() { contains } else { begins };
        if longest.len() > 15 {
            return Err("Enter at most 15 digits.");
        }
        Ok(Some(SearchRequest {
            country: self.country.clone(),
            number_type,
            contains: (longest.len() >= 2).then_some(longest),
            limit: ASKED,
        }))
    }

    fn fits(&self, number: &AvailableNumber) -> bool {
        let digits = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>();
        let own = digits(&number.phone_number);
        own.starts_with(&digits(&self.begins)) && own.contains(&digits(&self.contains))
    }
}

/// Numbers that fit the form; `None`: nothing was asked for. An inner error says why nothing could
/// be searched.
pub(super) async fn found(
    page: &Page,
    visit: &Visit,
    search: &Search,
) -> Result<Result<Option<Found>, &'static str>, PageError> {
    let request = match search.request() {
        Ok(Some(request)) => request,
        Ok(None) => return Ok(Ok(None)),
        Err(why) => return Ok(Err(why)),
    };
    let asked = page.numbers.search(Some(&visit.session.account), &request).await;
    let found = match asked {
        Ok(Ok(found)) => found,
        Ok(Err(_)) => return Err(PageError::Internal),
        Err(NumberError::Ledger(error)) => return Err(error.into()),
        Err(error) => return Ok(Err(why(&error))),
    };
    let Some(price) = found.price else {
        return Ok(Err("Numbers of this type are not sold in this country."));
    };
    let (available, _) = page.available(visit).await?;
    let fitting = found.numbers.into_iter().filter(|number| search.fits(number)).take(SHOWN);
    let numbers = fitting.map(|number| for_sale(page, &request, &price, available, number));
    Ok(Ok(Some(Found { numbers: numbers.collect() })))
}

fn for_sale(
    page: &Page,
    request: &SearchRequest,
    price: &NumberPrice,
    available: Money,
    number: AvailableNumber,
) -> ForSale {
    let address = address(page, &number.phone_number, &request.country, request.number_type);
    let missing = Money::from_micros(price.purchase.micros().saturating_sub(available.micros()));
    let missing = (missing > Money::ZERO).then(|| {
        let next: String = form_urlencoded::byte_serialize(address.as_bytes()).collect();
        let refill = field(page.refill_for(missing));
        (exact(missing), format!("{}/add-funds?amount={refill}&next={next}", page.at))
    });
    let kind = names::both(&request.country, request.number_type);
    let places = [number.locality, number.region].into_iter().flatten();
    let place = std::iter::once(kind).chain(places.filter(|text| !text.is_empty()));
    ForSale {
        place: place.collect::<Vec<_>>().join(", "),
        now: exact(price.purchase),
        monthly: exact(price.monthly),
        address,
        missing,
        needs_address: number.address_requirements != AddressRequirements::None,
        phone_number: number.phone_number,
    }
}

/// The page that asks before a number is bought.
pub(super) fn address(page: &Page, number: &str, country: &str, kind: NumberType) -> String {
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair("phone_number", number)
        .append_pair("country", country)
        .append_pair("type", kind.as_str())
        .finish();
    format!("{}/numbers/buy?{query}", page.at)
}

/// Why Twilio was not asked, or did not answer.
fn why(error: &NumberError) -> &'static str {
    tracing::warn!(error = one_line(error), "numbers cannot be searched");
    match error {
        NumberError::Twilio(TwilioError::NotConfigured) => "Numbers are not set up here.",
        _ => {
            "Twilio, where numbers come from, does not answer right now. Your numbers are not affected."
        }
    }
}

/// A fault that leaves no page to show.
pub(super) fn failed(error: &NumberError) -> PageError {
    tracing::warn!(error = one_line(error), "numbers cannot be shown");
    if error.is_transient() {
        return PageError::Unavailable("Our ledger does not answer right now. Nothing was taken.");
    }
    match error {
        NumberError::RecoveryNeeded => {
            PageError::Unavailable("Purchases wait until our ledger is checked. Nothing was taken.")
        }
        NumberError::HoldsUnknown | NumberError::Twilio(_) | NumberError::Publish(_) => {
            PageError::Unavailable("A server does not answer right now. Nothing was taken.")
        }
        NumberError::Ledger(_) | NumberError::Change(_) => PageError::Internal,
    }
}
