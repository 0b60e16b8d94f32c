//! The local Twilio over HTTP: Twilio's own paths, and `/simulated/…`, which receives its calls.

use std::collections::HashMap;

use axum::Json;
use axum::Router;
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::Value;
use tokio::net::TcpListener;

use super::admission::admit;
use super::answer::{call, not_found};
use super::world::{LocalTwilio, Subscriber};
use super::{listing, number_routes, usage};

/// Most bytes of one request that reports calls.
const BODY_BYTES_MAX: usize = 64 << 20;

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
