//! The paths of the API, with the parameters that each takes and who may ask.

use serde_json::Value;

use super::answer::{Complaint, secret_key_required, unknown_path};
use super::form::Parameters;
use super::listing::{self, CREATED, CURSORS};
use super::world::World;
use super::{
    account, balance, charges, customers, disputes, payment_intents, payment_methods, refunds,
    setup_intents, webhook_endpoints,
};

type Run = fn(&mut World, &str, &Parameters) -> Result<Value, Complaint>;

/// Who may ask, and what a request looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Door {
    /// With the secret key.
    Secret,
    /// A list, with the secret key.
    List,
    /// With the publishable key as well, by the object's `client_secret`.
    ByClientSecret,
    /// With the publishable key as well.
    Public,
}

use Door::{ByClientSecret, List, Public, Secret};

struct Route(&'static str, &'static str, Door, &'static [&'static str], Run);

/// `*` is the object's id.
const ROUTES: &[Route] = &[
    Route("POST", "/v1/customers", Secret, customers::CREATE, customers::create),
    Route("GET", "/v1/customers", List, customers::LIST, customers::list),
    Route("POST", "/v1/customers/*", Secret, customers::CREATE, customers::update),
    Route("GET", "/v1/customers/*", Secret, &[], customers::show),
    Route("DELETE", "/v1/customers/*", Secret, &[], customers::delete),
    Route(
        "GET",
        "/v1/customers/*/payment_methods",
        List,
        payment_methods::LIST,
        payment_methods::list_of_customer,
    ),
    Route("POST", "/v1/setup_intents", Secret, setup_intents::CREATE, setup_intents::create),
    Route("GET", "/v1/setup_intents", List, setup_intents::LIST, setup_intents::list),
    Route("POST", "/v1/setup_intents/*", Secret, setup_intents::UPDATE, setup_intents::update),
    Route("GET", "/v1/setup_intents/*", ByClientSecret, &[], setup_intents::show),
    Route(
        "POST",
        "/v1/setup_intents/*/confirm",
        ByClientSecret,
        setup_intents::CONFIRM,
        setup_intents::confirm,
    ),
    Route(
        "POST",
        "/v1/setup_intents/*/cancel",
        Secret,
        setup_intents::CANCEL,
        setup_intents::cancel,
    ),
    Route("POST", "/v1/payment_methods", Public, payment_methods::CREATE, payment_methods::create),
    Route("GET", "/v1/payment_methods", List, payment_methods::LIST, payment_methods::list),
    Route(
        "POST",
        "/v1/payment_methods/*",
        Secret,
        payment_methods::UPDATE,
        payment_methods::update,
    ),
    Route("GET", "/v1/payment_methods/*", Secret, &[], payment_methods::show),
    Route("POST", "/v1/payment_methods/*/attach", Secret, &["customer"], payment_methods::attach),
    Route("POST", "/v1/payment_methods/*/detach", Secret, &[], payment_methods::detach),
    Route("POST", "/v1/payment_intents", Secret, payment_intents::CREATE, payment_intents::create),
    Route("GET", "/v1/payment_intents", List, payment_intents::LIST, payment_intents::list),
    Route(
        "POST",
        "/v1/payment_intents/*",
        Secret,
        payment_intents::UPDATE,
        payment_intents::update,
    ),
    Route("GET", "/v1/payment_intents/*", ByClientSecret, &[], payment_intents::show),
    Route(
        "POST",
        "/v1/payment_intents/*/confirm",
        ByClientSecret,
        payment_intents::CONFIRM,
        payment_intents::confirm,
    ),
    Route(
        "POST",
        "/v1/payment_intents/*/cancel",
        Secret,
        payment_intents::CANCEL,
        payment_intents::cancel,
    ),
    Route("GET", "/v1/charges", List, charges::LIST, charges::list),
    Route("GET", "/v1/charges/*", Secret, &[], charges::show),
    Route("POST", "/v1/refunds", Secret, refunds::CREATE, refunds::create),
    Route("GET", "/v1/refunds", List, refunds::LIST, refunds::list),
    Route("POST", "/v1/refunds/*", Secret, refunds::UPDATE, refunds::update),
    Route("GET", "/v1/refunds/*", Secret, &[], refunds::show),
    Route("GET", "/v1/disputes", List, disputes::LIST, disputes::list),
    Route("GET", "/v1/disputes/*", Secret, &[], disputes::show),
    Route("GET", "/v1/balance_transactions", List, balance::LIST, balance::list),
    Route("GET", "/v1/balance_transactions/*", Secret, &[], balance::show),
    Route("GET", "/v1/payouts", List, balance::PAYOUT_LIST, balance::list_payouts),
    Route("GET", "/v1/payouts/*", Secret, &[], balance::show_payout),
    Route("GET", "/v1/account", Secret, &[], account::show),
    Route("GET", "/v1/events", List, webhook_endpoints::EVENT_LIST, webhook_endpoints::list_events),
    Route("GET", "/v1/events/*", Secret, &[], webhook_endpoints::show_event),
    Route(
        "POST",
        "/v1/webhook_endpoints",
        Secret,
        webhook_endpoints::CREATE,
        webhook_endpoints::create,
    ),
    Route("GET", "/v1/webhook_endpoints", List, &[], webhook_endpoints::list),
    Route(
        "POST",
        "/v1/webhook_endpoints/*",
        Secret,
        webhook_endpoints::UPDATE,
        webhook_endpoints::update,
    ),
    Route("GET", "/v1/webhook_endpoints/*", Secret, &[], webhook_endpoints::show),
    Route("DELETE", "/v1/webhook_endpoints/*", Secret, &[], webhook_endpoints::delete),
];

/// What Stripe.js adds to its requests.
const OF_THE_BROWSER: &[&str] = &[
    "key",
    "client_secret",
    "_stripe_version",
    "expected_payment_method_type",
    "client_attribution_metadata[*]",
    "radar_options[*]",
    "mandate_data[*]",
    "referrer",
    "payment_user_agent",
    "guid",
    "muid",
    "sid",
    "time_on_page",
];

/// Members that the publishable key does not see.
const HIDDEN: &[&str] = &["customer", "metadata", "latest_charge", "application", "review"];

/// Runs a request of the API.
pub(super) fn run(
    world: &mut World,
    method: &str,
    path: &str,
    form: &Parameters,
    is_secret_key: bool,
) -> Result<Value, Complaint> {
    let found = ROUTES.iter().find_map(|route| {
        let id = (route.0 == method).then(|| id_in(route.1, path))??;
        Some((route, id))
    });
    let Some((Route(_, _, door, names, run), id)) = found else {
        return Err(unknown_path(method, path));
    };
    if !is_secret_key && !matches!(door, ByClientSecret | Public) {
        return Err(secret_key_required());
    }
    let mut allowed = names.to_vec();
    allowed.push("expand[]");
    if *door == List {
        allowed.extend(CURSORS.iter().chain(CREATED));
    }
    if matches!(door, ByClientSecret | Public) {
        allowed.extend(OF_THE_BROWSER);
    }
    form.check(&allowed)?;
    let is_by_client_secret = *door == ByClientSecret && !is_secret_key;
    if is_by_client_secret {
        let secret = form.required("client_secret")?;
        let is_right = world.any(id).is_some_and(|row| row["client_secret"] == secret);
        if !is_right {
            let message = "The client_secret provided does not match any associated intent on \
                           this account.";
            return Err(Complaint::refused(message).about("client_secret"));
        }
    }
    let mut answer = run(world, id, form)?;
    listing::expand(world, &mut answer, &form.all("expand[]"))?;
    if is_by_client_secret && let Some(members) = answer.as_object_mut() {
        members.retain(|name, _| !HIDDEN.contains(&name.as_str()));
    }
    Ok(answer)
}

/// The id in a path that matches the pattern; empty if the pattern has none.
fn id_in<'a>(pattern: &str, path: &'a str) -> Option<&'a str> {
    let mut id = "";
    let (mut pattern, mut parts) = (pattern.split('/'), path.split('/'));
    loop {
        match (pattern.next(), parts.next()) {
            (None, None) => return Some(id),
            (Some("*"), Some(part)) if !part.is_empty() => id = part,
            (Some(expected), Some(part)) if expected == part => {}
            _ => return None,
        }
    }
}
