//! The paths of numbers at the local Twilio, and what a test says about them.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use callmeter_core::domain::NumberType;

use super::admission::{admit, is_known};
use super::answer::{complaint, not_found, unauthorized};
use super::number_answers::row;
use super::numbers::{NumberFault, NumberRequest, Numbers, OwnedNumber};
use super::world::LocalTwilio;

/// Time between two checks whether a request still hangs.
const HANG_LOOK_EVERY: Duration = Duration::from_millis(10);

type Parameters = Query<BTreeMap<String, String>>;

/// The routes.
pub(super) fn routes() -> Router<LocalTwilio> {
    let of_account = "/2010-04-01/Accounts/{account}";
    Router::new()
        .route(&format!("{of_account}/AvailablePhoneNumbers/{{country}}/{{kind}}"), get(search))
        .route(&format!("{of_account}/IncomingPhoneNumbers.json"), get(list).post(buy))
        .route(
            &format!("{of_account}/IncomingPhoneNumbers/{{name}}"),
            get(show).post(update).delete(remove),
        )
        .route("/v1/PhoneNumbers/Countries/{country}", get(pricing))
        .route("/v2/RegulatoryCompliance/Regulations", get(regulations))
}

/// Answers a request about numbers, with its fault.
async fn answer(
    twilio: &LocalTwilio,
    (account, headers): (&str, &HeaderMap),
    request: NumberRequest,
    effect: impl FnOnce(&mut Numbers) -> Response,
) -> Response {
    if let Some(refusal) = admit(twilio, account, headers).await {
        return refusal;
    }
    let fault = twilio.lock().numbers.take_fault(request);
    let broken = || {
        let message = "An internal server error has occurred";
        complaint(StatusCode::INTERNAL_SERVER_ERROR, 20500, message)
    };
    match fault {
        Some(NumberFault::Refuse(code)) => {
            return complaint(StatusCode::BAD_REQUEST, code, "refused");
        }
        Some(NumberFault::ServerErrorBeforeEffect) => return broken(),
        Some(NumberFault::HangBeforeEffect) => {
            hang(twilio, request).await;
            return broken();
        }
        _ => {}
    }
    let answer = effect(&mut twilio.lock().numbers);
    match fault {
        Some(NumberFault::ServerErrorAfterEffect) => broken(),
        Some(NumberFault::HangAfterEffect) => {
            hang(twilio, request).await;
            broken()
        }
        _ => answer,
    }
}

/// Waits until the test takes the fault back.
async fn hang(twilio: &LocalTwilio, request: NumberRequest) {
    let hangs = || twilio.lock().numbers.faults.iter().any(|(of, _, _)| *of == request);
    while hangs() {
        tokio::time::sleep(HANG_LOOK_EVERY).await;
    }
}

async fn search(
    State(twilio): State<LocalTwilio>,
    Path((account, country, kind)): Path<(String, String, String)>,
    Query(query): Parameters,
    headers: HeaderMap,
) -> Response {
    let number_type = kind.strip_suffix(".json").and_then(NumberType::parse_loosely);
    let Some(number_type) = number_type else { return not_found(&kind) };
    answer(&twilio, (&account, &headers), NumberRequest::Search, |numbers| {
        numbers.available(&country, number_type, &query)
    })
    .await
}

async fn buy(
    State(twilio): State<LocalTwilio>,
    Path(account): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let parameters = form(&body);
    let now = twilio.clock.now();
    answer(&twilio, (&account, &headers), NumberRequest::Buy, |numbers| {
        numbers.buy(&account, parameters, now)
    })
    .await
}

async fn list(
    State(twilio): State<LocalTwilio>,
    Path(account): Path<String>,
    Query(query): Parameters,
    headers: HeaderMap,
) -> Response {
    answer(&twilio, (&account, &headers), NumberRequest::List, |numbers| {
        numbers.list(&account, &query)
    })
    .await
}

async fn show(
    State(twilio): State<LocalTwilio>,
    Path((account, name)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    answer(&twilio, (&account, &headers), NumberRequest::List, |numbers| {
        match numbers.find(&account, sid_of(&name)) {
            Some(owned) => Json(row(owned)).into_response(),
            None => not_found(&name),
        }
    })
    .await
}

async fn update(
    State(twilio): State<LocalTwilio>,
    Path((account, name)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if let Some(refusal) = admit(&twilio, &account, &headers).await {
        return refusal;
    }
    match twilio.lock().numbers.find(&account, sid_of(&name)) {
        Some(owned) => {
            owned.parameters.extend(form(&body));
            Json(row(owned)).into_response()
        }
        None => not_found(&name),
    }
}

async fn remove(
    State(twilio): State<LocalTwilio>,
    Path((account, name)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    answer(&twilio, (&account, &headers), NumberRequest::Remove, |numbers| {
        match numbers.find(&account, sid_of(&name)) {
            Some(_) => {
                numbers.owned.remove(sid_of(&name));
                StatusCode::NO_CONTENT.into_response()
            }
            None => not_found(&name),
        }
    })
    .await
}

async fn pricing(
    State(twilio): State<LocalTwilio>,
    Path(country): Path<String>,
    headers: HeaderMap,
) -> Response {
    let world = twilio.lock();
    if is_known(&world, &headers) { world.numbers.pricing(&country) } else { unauthorized() }
}

async fn regulations(
    State(twilio): State<LocalTwilio>,
    Query(query): Parameters,
    headers: HeaderMap,
) -> Response {
    let world = twilio.lock();
    let country = query.get("IsoCountry").map_or("", String::as_str);
    if is_known(&world, &headers) { world.numbers.regulations(country) } else { unauthorized() }
}

fn sid_of(name: &str) -> &str {
    name.strip_suffix(".json").unwrap_or(name)
}

fn form(body: &[u8]) -> BTreeMap<String, String> {
    form_urlencoded::parse(body).into_owned().collect()
}

impl LocalTwilio {
    /// Lets the next requests of a kind go wrong; `times` of 0: all, until [`Self::clear_faults`].
    pub fn fail_numbers(&self, request: NumberRequest, fault: NumberFault, times: u32) {
        self.lock().numbers.faults.push((request, fault, times));
    }

    /// Takes all faults of numbers back.
    pub fn clear_faults(&self) {
        self.lock().numbers.faults.clear();
    }

    /// Lets a number's country ask for an address: `any`, `local`, `foreign`.
    pub fn require_address(&self, phone_number: &str, kind: &str) {
        let mut world = self.lock();
        world.numbers.address_requirements.insert(phone_number.to_owned(), kind.to_owned());
    }

    /// Lets a country ask for a bundle.
    pub fn regulate(&self, country: &str, number_type: NumberType) {
        self.lock().numbers.regulated.push((country.to_owned(), number_type));
    }

    /// Sets what Twilio takes for a number and month.
    pub fn price_number(&self, country: &str, number_type: NumberType, dollars: &str) {
        let key = (country.to_owned(), number_type);
        self.lock().numbers.prices.insert(key, dollars.to_owned());
    }

    /// The numbers that accounts own.
    pub fn owned_numbers(&self) -> Vec<OwnedNumber> {
        self.lock().numbers.owned.values().cloned().collect()
    }

    /// Removes a number, as if somebody had done so in Twilio's console.
    pub fn forget_number(&self, sid: &str) {
        self.lock().numbers.owned.remove(sid);
    }

    /// The requests about numbers so far.
    pub fn number_requests(&self) -> Vec<NumberRequest> {
        self.lock().numbers.requests.clone()
    }
}
