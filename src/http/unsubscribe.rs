//! `/mail/unsubscribe?token=`: no more mails of one kind to one address, without a key, by the token
//! in a mail (RFC 8058).
//!
//! Mail programs POST with one click. GET only shows a page with a button, because scanners of mail
//! follow every link.

use axum::extract::{RawQuery, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use serde_json::Value;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
use super::fields::{Fielded, Fields};
use super::problem::Problem;
use crate::ledger::audit::By;
use crate::ledger::mail::Unsubscription;
use crate::notify::mail::{UnknownAddress, Unsubscribe};

/// Longest token.
const TOKEN_MAX: usize = 2_000;
/// What the page may load and send: nothing but its own form.
const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'";

/// Paths without a key.
pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(page, unsubscribe))
}

struct TokenRequest(String);

impl Fielded for TokenRequest {
    fn read(fields: &mut Fields) -> Option<Self> {
        fields.required("token", token).map(Self)
    }
}

fn token(value: &Value) -> Result<String, String> {
    let text = value.as_str().filter(|text| text.len() <= TOKEN_MAX);
    text.map(str::to_owned).ok_or_else(|| "is no token of a mail".to_owned())
}

/// Shows a page with a button that unsubscribes an address from a kind of mails.
#[utoipa::path(
    get, path = "/mail/unsubscribe", tag = "Mail", operation_id = "showUnsubscription",
    params(("token" = String, Query, description = "The token in a mail")),
    responses((status = 200, description = "A page with a button", content_type = "text/html", body = String)),
    extensions(("x-scopes" = json!([])), ("x-problems" = json!(["unknown_token"])))
)]
async fn page(State(api): State<Api>, RawQuery(query): RawQuery) -> Result<Response, Problem> {
    let Unsubscription { kind, .. } = read(&api, query.as_deref())?;
    let kind = kind.replace('_', " ");
    Ok(shown(&format!(
        "<h1>No more mails of this kind?</h1>\
         <form method=\"post\"><p>Mails about: {kind}</p><button>Unsubscribe</button></form>"
    )))
}

/// Unsubscribes an address from a kind of mails: what mail programs send by one click (RFC 8058).
#[utoipa::path(
    post, path = "/mail/unsubscribe", tag = "Mail", operation_id = "unsubscribe",
    params(("token" = String, Query, description = "The token in a mail")),
    responses((status = 200, description = "It is unsubscribed", content_type = "text/html", body = String)),
    extensions(("x-scopes" = json!([])), ("x-problems" = json!(["unknown_token", "ledger_unavailable"])))
)]
async fn unsubscribe(
    State(api): State<Api>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let change = Unsubscribe(read(&api, query.as_deref())?);
    let by = By::new("mail link", api.clock.now());
    match api.changes.run(change, by).await? {
        Ok(()) => Ok(shown("<h1>Unsubscribed</h1><p>You get no more mails of this kind.</p>")),
        Err(UnknownAddress) => Err(unknown_token()),
    }
}

fn read(api: &Api, query: Option<&str>) -> Result<Unsubscription, Problem> {
    let TokenRequest(token) = Fields::read_query(query.unwrap_or_default())?;
    api.mail_tokens.open(&token).ok_or_else(unknown_token)
}

fn unknown_token() -> Problem {
    Problem::not_found("unknown_token", "The token is none of a mail of this service")
}

fn shown(content: &str) -> Response {
    let page = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>Mails</title></head>\
         <body style=\"font:16px/1.5 sans-serif;max-width:32em;margin:4em auto;padding:0 1em\">\
         {content}</body></html>\n"
    );
    let mut response = (StatusCode::OK, Html(page)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
