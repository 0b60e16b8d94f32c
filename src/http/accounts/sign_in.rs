//! `POST /v1/accounts/{id}/sign-in-links` and `DELETE …/sessions`: signs customers in to the wallet
//! page, and out of it. The link's token is only in this answer.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use crate::accounts::UnknownAccount;
use crate::accounts::sign_in::{CreateSignInLink, EndSessions, page_path};
use crate::http::Api;
use crate::http::access::{AuthorizedCommand, Reader, SignIn};
use crate::http::command::Outcome;
use crate::http::fields::{Fields, Nothing, line};
use crate::http::problem::Problem;
use crate::json::schema;
use crate::keys::{Token, TokenKind};
use crate::ledger::wallet_sessions::Visitor;

/// For whom the link is.
#[derive(ToSchema)]
#[schema(example = json!({ "user": "ada@acme.example", "next": "/wallet/add-funds" }))]
#[expect(dead_code, reason = "documents what `Fields` reads")]
struct SignInBody {
    /// The customer's user, as your platform names it; it stands in the audit of each act.
    #[schema(value_type = Option<schema::Line>)]
    user: Option<String>,
    /// Instead of `user`: who of your staff looks at the page. May change nothing and sees no card;
    /// each look is in the audit.
    #[schema(value_type = Option<schema::Line>)]
    operator: Option<String>,
    /// Where the page begins: a path of this service, or an address of `http.public_url`.
    next: Option<String>,
}

/// A sign-in link.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SignInLink)]
struct SignInLinkJson {
    /// Opens the wallet page, once.
    url: String,
    /// From then on it opens nothing.
    expires_at: DateTime<Utc>,
}

/// Creates a link that signs a customer in to the wallet page. Send the browser there at once: the
/// link works once, for 60 seconds.
#[utoipa::path(
    post, path = "/v1/accounts/{account}/sign-in-links", tag = "Wallet page", operation_id = "createSignInLink",
    params(("account" = schema::AccountId, Path, description = "The account's id")),
    request_body = SignInBody,
    responses((status = 201, description = "The link", body = SignInLinkJson)),
    extensions(("x-scopes" = json!(["admin", "sign_in"])), ("x-act" = json!(true)), ("x-problems" = json!(["unknown_account"])))
)]
pub(super) async fn create_link(
    State(api): State<Api>,
    headers: HeaderMap,
    AuthorizedCommand(SignIn(account), command): AuthorizedCommand<SignIn>,
) -> Result<Response, Problem> {
    let public_url = api.public_url.as_deref();
    let (visitor, next) = command.read_by(|fields| read(fields, public_url))?;
    let base = match &api.public_url {
        Some(url) => url.trim_end_matches('/').to_owned(),
        None => format!("http://{}", host(&headers)?),
    };
    let token = Token::random(TokenKind::SignInLink).ok_or_else(Problem::internal)?;
    let change = CreateSignInLink::new(account, visitor, next, &token);
    let url = format!("{base}/wallet/sign-in?link={}", token.expose());
    let answer = move |created| match created {
        Ok(expires_at) => {
            let body = SignInLinkJson { url: url.clone(), expires_at };
            Outcome::done_in_secret(StatusCode::CREATED, &body)
        }
        Err(UnknownAccount) => Outcome::Refused(Problem::unknown_account()),
    };
    command.run(&api, change, answer).await
}

/// Ends all sessions of an account at the wallet page, and its unused links, at once.
#[utoipa::path(
    delete, path = "/v1/accounts/{account}/sessions", tag = "Wallet page", operation_id = "endSessions",
    params(("account" = schema::AccountId, Path, description = "The account's id")),
    responses((status = 204, description = "They are ended")),
    extensions(("x-scopes" = json!(["admin", "account"])), ("x-act" = json!(true)), ("x-problems" = json!(["unknown_account"])))
)]
pub(super) async fn end_sessions(
    State(api): State<Api>,
    AuthorizedCommand(Reader(account), command): AuthorizedCommand<Reader>,
) -> Result<Response, Problem> {
    command.read::<Nothing>()?;
    let answer = |ended| match ended {
        Ok(_) => Outcome::done_silently(),
        Err(UnknownAccount) => Outcome::Refused(Problem::unknown_account()),
    };
    command.run(&api, EndSessions(account), answer).await
}

fn read(fields: &mut Fields, public_url: Option<&str>) -> Option<(Visitor, Option<String>)> {
    let user = fields.nullable("user", line).flatten();
    let operator = fields.nullable("operator", line).flatten();
    let given = fields.nullable("next", line).flatten();
    let next = given.as_deref().and_then(|address| page_path(address, public_url));
    if given.is_some() && next.is_none() {
        fields.fault("next", "is no path of this service, such as /wallet/add-funds");
    }
    if user.is_some() && operator.is_some() {
        fields.fault("operator", "is given beside user; give one of them");
        return None;
    }
    Some((operator.map_or(Visitor::Customer(user), Visitor::Operator), next))
}

/// The host that a request names.
fn host(headers: &HeaderMap) -> Result<&str, Problem> {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    host.ok_or_else(|| Problem::malformed("the header Host is missing"))
}
