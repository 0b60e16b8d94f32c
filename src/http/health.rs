//! `/livez`, `/readyz`, `/readyz/api` and `/metrics`: without a key, in every role.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
use crate::health::Report;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(livez)).routes(routes!(readyz)).routes(routes!(readyz_api))
}

pub(super) fn internal_routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(metrics))
}

/// The process answers.
#[derive(Serialize, ToSchema)]
struct Alive {
    /// `alive`.
    status: &'static str,
}

/// All parts at one time.
#[derive(ToSchema)]
#[schema(as = Readiness)]
#[expect(dead_code, reason = "documents what `Report` writes")]
struct ReadinessJson {
    /// `ready` if every part that counts is up, else `not_ready`.
    status: String,
    /// The parts by name.
    components: BTreeMap<String, ComponentState>,
}

/// The state of one part.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents what `State` writes")]
struct ComponentState {
    /// `up` or `down`.
    status: String,
    /// Why it is down.
    #[schema(required = false)]
    reason: String,
    /// When it got this status.
    since: DateTime<Utc>,
}

/// Answers 200 while the process runs.
#[utoipa::path(
    get, path = "/livez", tag = "Service", operation_id = "showLife",
    responses((status = 200, description = "The process runs", body = Alive)),
    extensions(("x-scopes" = json!([])))
)]
async fn livez() -> Json<Alive> {
    Json(Alive { status: "alive" })
}

/// Answers 200 if every part works, else 503, and lists every part.
#[utoipa::path(
    get, path = "/readyz", tag = "Service", operation_id = "showReadiness",
    responses(
        (status = 200, description = "Every part works", body = ReadinessJson),
        (status = 503, description = "A part does not work", body = ReadinessJson),
    ),
    extensions(("x-scopes" = json!([])))
)]
async fn readyz(State(api): State<Api>) -> Response {
    answer(api.health.report())
}

/// Answers 200 if the process can authorize calls, else 503; for load balancers. It checks Redis,
/// and Postgres until it was reached once. A role without authorizations reports those of the two
/// that it uses.
#[utoipa::path(
    get, path = "/readyz/api", tag = "Service", operation_id = "showReadinessOfApi",
    responses(
        (status = 200, description = "Authorizations can be answered", body = ReadinessJson),
        (status = 503, description = "Authorizations cannot be answered", body = ReadinessJson),
    ),
    extensions(("x-scopes" = json!([])))
)]
async fn readyz_api(State(api): State<Api>) -> Response {
    answer(api.health.report().of_authorizations())
}

fn answer(report: Report) -> Response {
    let ready = report.is_ready();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, [(header::CACHE_CONTROL, "no-store")], Json(report)).into_response()
}

/// Answers all metrics in Prometheus's text format.
#[utoipa::path(
    get, path = "/metrics", tag = "Service", operation_id = "showMetrics",
    responses((status = 200, description = "The metrics", body = String)),
    extensions(("x-scopes" = json!([])))
)]
async fn metrics(State(api): State<Api>) -> Response {
    let media_type = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, media_type)], api.recorder.render()).into_response()
}
