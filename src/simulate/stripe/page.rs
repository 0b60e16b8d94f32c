//! The bank's page for 3-D Secure: a person, or a browser that a test drives, completes or fails it.

use serde_json::Value;

use super::answer::Complaint;
use super::attempt;
use super::form::Parameters;
use super::setup_intents;
use super::world::World;

/// What the page answers.
pub(super) enum Page {
    Html(String),
    Redirect(String),
}

/// The page of an intent.
pub(super) fn show(world: &World, id: &str) -> Result<Page, Complaint> {
    let intent = world.any(id).ok_or_else(|| Complaint::missing("intent", id, "intent"));
    let intent = intent.map_err(Complaint::not_found)?;
    if intent["status"] != "requires_action" {
        return Ok(Page::Html(html("Nothing is to be confirmed any more.", "")));
    }
    let amount = intent["amount"]
        .as_i64()
        .map(|cents| format!("A payment of ${}.{:02}", cents / 100, cents % 100));
    let what = amount.unwrap_or_else(|| "Saving this card".to_owned());
    let text = format!("{what} needs your confirmation.");
    let buttons = "<form method=\"post\">\
                   <button name=\"outcome\" value=\"complete\">Complete authentication</button> \
                   <button name=\"outcome\" value=\"fail\">Fail authentication</button></form>";
    Ok(Page::Html(html(&text, buttons)))
}

/// Takes the answer of the page, and sends the browser back to `return_url`.
pub(super) fn answer(world: &mut World, id: &str, form: &Parameters) -> Result<Page, Complaint> {
    form.check(&["outcome"])?;
    form.required("outcome")?;
    let is_complete = form.word("outcome", &["complete", "fail"])? == Some("complete");
    let before = world.any(id).cloned().unwrap_or_default();
    let after = authenticate(world, id, is_complete)?;
    let Some(back) = before["next_action"]["redirect_to_url"]["return_url"].as_str() else {
        return Ok(Page::Html(html("You can close this page.", "")));
    };
    let kind = after["object"].as_str().unwrap_or_default();
    let has_failed = after["status"] == "requires_payment_method";
    let status = if has_failed { "failed" } else { "succeeded" };
    let secret = after["client_secret"].as_str().unwrap_or_default();
    let query: String = form_urlencoded::Serializer::new(String::new())
        .append_pair(kind, id)
        .append_pair(&format!("{kind}_client_secret"), secret)
        .append_pair("redirect_status", status)
        .finish();
    let joint = if back.contains('?') { '&' } else { '?' };
    Ok(Page::Redirect(format!("{back}{joint}{query}")))
}

/// Ends the authentication of a payment or setup intent.
pub(super) fn authenticate(
    world: &mut World,
    id: &str,
    is_complete: bool,
) -> Result<Value, Complaint> {
    if id.starts_with("seti_") {
        setup_intents::authenticate(world, id, is_complete)
    } else {
        attempt::authenticate(world, id, is_complete)
    }
}

fn html(text: &str, buttons: &str) -> String {
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <title>3-D Secure</title></head><body><main><h1>3-D Secure</h1><p>{text}</p>{buttons}\
         </main></body></html>"
    )
}
