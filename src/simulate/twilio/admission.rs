//! Whether the local Twilio answers a request: simulated trouble first, then its credentials.

use std::time::Duration;

use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::answer::{busy, complaint, unauthorized};
use super::world::{LocalTwilio, World};

/// Time between two checks whether a request still hangs.
const HANG_LOOK_EVERY: Duration = Duration::from_millis(10);

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
