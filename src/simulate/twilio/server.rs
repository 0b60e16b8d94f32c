//! The local Twilio over HTTP: Twilio's own paths, and `/simulated/…`, which receives its calls.

use std::collections::HashMap;
use std::time::Duration;

use axum::Json;
use axum::Router;
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use tokio::net::TcpListener;

use super::answer::{busy, call, complaint, not_found, unauthorized};
use super::world::{LocalTwilio, Subscriber, World};
use super::{listing, number_routes, usage};

/// Most bytes of one request that reports calls.
const BODY_BYTES_MAX: usize = 64 << 20;

/// Time between two checks whether a request still hangs.
const HANG_LOOK_EVERY: Duration = Duration::from_millis(10);

type Parameters = Query<HashMap<String, String>>;

/// Serves `listener` until `shutdown`.
///
/// # Errors
/// If the listener fails.
pub async fn serve(
    twilio: LocalTwilio,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let router = Router::new()
        .route("/2010-04-01/Accounts/{account}/Calls.json", get(calls))
        .route("/2010-04-01/Accounts/{account}/Calls/{name}", get(one_call))
        .route("/2010-04-01/Accounts/{account}/Usage/Records/Daily.json", get(daily_usage))
        .merge(number_routes::routes())
        .route("/simulated/calls", post(learn))
        .route("/simulated/accounts", post(subscribe))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(twilio);
    axum::serve(listener, router).with_graceful_shutdown(shutdown).await
}

async fn calls(
    State(twilio): State<LocalTwilio>,
    Path(account): Path<String>,
    Query(query): Parameters,
    headers: HeaderMap,
) -> Response {
    let now = twilio.clock.now();
    match admit(&twilio, &account, &headers).await {
        Some(refusal) => refusal,
        None => listing::page(&twilio.lock(), &account, &query, now),
    }
}

async fn one_call(
    State(twilio): State<LocalTwilio>,
    Path((account, name)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    let now = twilio.clock.now();
    if let Some(refusal) = admit(&twilio, &account, &headers).await {
        return refusal;
    }
    let world = twilio.lock();
    let sid = name.strip_suffix(".json").unwrap_or(&name).to_owned();
    match world.legs.get(&(account.clone(), sid)) {
        Some(leg) => Json(call(leg, &world, now)).into_response(),
        None => not_found(&format!("/2010-04-01/Accounts/{account}/Calls/{name}")),
    }
}

async fn daily_usage(
    State(twilio): State<LocalTwilio>,
    Path(account): Path<String>,
    Query(query): Parameters,
    headers: HeaderMap,
) -> Response {
    let now = twilio.clock.now();
    match admit(&twilio, &account, &headers).await {
        Some(refusal) => refusal,
        None => usage::daily(&twilio.lock(), &account, &query, now),
    }
}

/// Receives an array of status callbacks' parameters.
async fn learn(State(twilio): State<LocalTwilio>, Json(callbacks): Json<Vec<Value>>) -> Response {
    for callback in &callbacks {
        if let Err(problem) = twilio.learn(callback) {
            return (StatusCode::BAD_REQUEST, problem).into_response();
        }
    }
    StatusCode::NO_CONTENT.into_response()
}

async fn subscribe(
    State(twilio): State<LocalTwilio>,
    Json(subscribers): Json<Vec<Subscriber>>,
) -> Response {
    for subscriber in subscribers {
        twilio.subscribe(subscriber);
    }
    StatusCode::NO_CONTENT.into_response()
}

/// The error for a request that must not be answered: simulated trouble or wrong credentials.
pub(super) async fn admit(
    twilio: &LocalTwilio,
    account: &str,
    headers: &HeaderMap,
) -> Option<Response> {
    let number = {
        let mut world = twilio.lock();
        world.requests += 1;
        world.requests
    };
    while (1..number).contains(&twilio.lock().behaviour.hangs_after) {
        tokio::time::sleep(HANG_LOOK_EVERY).await;
    }
    let world = twilio.lock();
    let every = |some: u64| some > 0 && number.is_multiple_of(some);
    if world.behaviour.is_down {
        let message = "Service is unavailable";
        return Some(complaint(StatusCode::SERVICE_UNAVAILABLE, 20503, message));
    }
    if every(world.behaviour.busy_every) {
        return Some(busy());
    }
    if every(world.behaviour.broken_every) {
        let message = "An internal server error has occurred";
        return Some(complaint(StatusCode::INTERNAL_SERVER_ERROR, 20500, message));
    }
    if is_authorized(&world, account, headers) { None } else { Some(unauthorized()) }
}

/// True if the token is that of the account or of its parent.
fn is_authorized(world: &World, account: &str, headers: &HeaderMap) -> bool {
    let Some((user, token)) = credentials(headers) else { return false };
    let parent = match world.subscribers.get(account) {
        Some(asked) => asked.parent.as_deref(),
        // An account that no call has named yet.
        None => world.adopter.as_deref(),
    };
    let may = user == account || parent == Some(user.as_str());
    may && world.subscribers.get(&user).is_some_and(|user| user.auth_token == token)
}

/// True if the token is that of some account, for what every account may read.
pub(super) fn is_known(world: &World, headers: &HeaderMap) -> bool {
    let Some((user, token)) = credentials(headers) else { return false };
    world.subscribers.get(&user).is_some_and(|user| user.auth_token == token)
}

fn credentials(headers: &HeaderMap) -> Option<(String, String)> {
    let header = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let decoded = STANDARD.decode(header.strip_prefix("Basic ")?).ok()?;
    let text = String::from_utf8(decoded).ok()?;
    text.split_once(':').map(|(user, token)| (user.to_owned(), token.to_owned()))
}
