//! `/livez`, `/readyz` and `/metrics`: without a key, in every role.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;

use super::Api;

pub(super) fn routes() -> Router<Api> {
    Router::new().route("/livez", get(livez)).route("/readyz", get(readyz))
}

pub(super) fn internal_routes() -> Router<Api> {
    Router::new().route("/metrics", get(metrics))
}

/// The process answers: do not kill it.
async fn livez() -> Response {
    Json(json!({ "status": "alive" })).into_response()
}

/// 200 where every part works, else 503; tells each part either way.
async fn readyz(State(api): State<Api>) -> Response {
    let report = api.health.report();
    let ready = report.is_ready();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, [(header::CACHE_CONTROL, "no-store")], Json(report)).into_response()
}

/// Everything measured, in Prometheus's text format.
async fn metrics(State(api): State<Api>) -> Response {
    let media_type = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, media_type)], api.recorder.render()).into_response()
}
