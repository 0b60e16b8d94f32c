//! `POST /v1/accounts`: creates an account with its wallet.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use callmeter_core::domain::{AccountId, Money};
use utoipa::ToSchema;

use crate::accounts::create::CreateAccount;
use crate::http::Api;
use crate::http::access::{Admin, AuthorizedCommand};
use crate::http::command::Outcome;
use crate::http::fields::{Fielded, Fields, amount, email, issued_account, line, parsed};
use crate::http::problem::Problem;
use crate::json::AccountJson;
use crate::json::schema;
use crate::ledger::accounts::{NewAccount, NotCreated};

/// An account to create.
#[derive(ToSchema)]
#[schema(example = json!({
    "id": "acme", "name": "Acme Ltd", "opening_balance": "25.00",
    "twilio_account_sid": "AC0123456789abcdef0123456789abcdef",
}))]
#[expect(dead_code, reason = "documents what `Fields` reads")]
struct NewAccountBody {
    #[schema(value_type = schema::AccountId)]
    id: String,
    #[schema(value_type = schema::Line)]
    name: String,
    /// The first Twilio account that it pays for.
    #[schema(value_type = schema::IssuedAccountSid)]
    twilio_account_sid: String,
    /// If more than zero, it is transaction 1.
    #[schema(value_type = schema::AmountGiven, required = false)]
    opening_balance: String,
    #[schema(value_type = Option<schema::Email>)]
    email: Option<String>,
}

impl Fielded for NewAccount {
    fn read(fields: &mut Fields) -> Option<Self> {
        let id = fields.required("id", parsed::<AccountId>);
        let name = fields.required("name", line);
        let sid = fields.required("twilio_account_sid", issued_account);
        let opening_balance = fields.optional("opening_balance", amount);
        let email = fields.nullable("email", email);
        Some(Self {
            id: id?,
            name: name?,
            email: email.flatten(),
            twilio_account_sid: sid?,
            opening_balance: opening_balance.unwrap_or(Money::ZERO),
        })
    }
}

/// Creates an account with its wallet.
#[utoipa::path(
    post, path = "/v1/accounts", tag = "Accounts", operation_id = "createAccount",
    request_body = NewAccountBody,
    responses((status = 201, description = "The account", body = AccountJson)),
    extensions(("x-scopes" = json!(["admin"])), ("x-act" = json!(true)), ("x-problems" = json!(["id_taken", "twilio_account_sid_taken", "balance_out_of_range"])))
)]
pub(super) async fn create(
    State(api): State<Api>,
    AuthorizedCommand(Admin, command): AuthorizedCommand<Admin>,
) -> Result<Response, Problem> {
    let new: NewAccount = command.read()?;
    let answer = |created| match created {
        Ok(account) => Outcome::done(StatusCode::CREATED, &AccountJson::from(account)),
        Err(NotCreated::IdTaken) => {
            Outcome::Refused(Problem::taken("id_taken", "Another account has this id"))
        }
        Err(NotCreated::TwilioAccountSidTaken) => Outcome::Refused(Problem::taken(
            "twilio_account_sid_taken",
            "Another account pays for this Twilio account",
        )),
    };
    command.run(&api, CreateAccount(new), answer).await
}
