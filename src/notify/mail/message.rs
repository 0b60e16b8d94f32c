//! A mail, from an event: its content and its headers.

use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};
use lettre::{Address, Message};
use serde_json::{Value, json};

use super::kinds::Kind;
use super::templates::Templates;
use super::token::Tokens;
use crate::json::event_data;
use crate::ledger::mail::{DueMail, Unsubscription};

/// Writes mails.
#[derive(Clone, Debug)]
pub(super) struct Writer {
    pub(super) from: Mailbox,
    pub(super) templates: Templates,
    pub(super) tokens: Tokens,
    /// Where the API is, for links.
    pub(super) public_url: Option<String>,
}

impl Writer {
    /// Writes the mail of an event.
    ///
    /// # Errors
    /// In words: it cannot be sent, now or later.
    pub(super) fn write(&self, due: &DueMail, kind: Kind, to: &str) -> Result<Message, String> {
        let address: Address = to.parse().map_err(|_| "the address is not valid".to_owned())?;
        let event = &due.event;
        let data = event_data(event.clone()).map_err(|error| error.to_string())?;
        let unsubscribe = if kind.is_optional { self.unsubscribe(due, kind, to) } else { None };
        let base = self.public_url.as_deref().map(|base| base.trim_end_matches('/'));
        let mut values = json!({
            "type": event.kind.as_str(), "at": event.at, "account": event.account,
            "name": due.name, "data": data, "unsubscribe": unsubscribe,
            "wallet": base.map(|base| format!("{base}/wallet")),
        });
        flatten(&mut values);
        let content = self.templates.render(kind.object, &values);
        let content = content.map_err(|error| format!("the template fails: {error}"))?;
        let id = format!("<{}@{}>", event.id, self.from.email.domain());
        let message = Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(None, address))
            .subject(content.subject)
            .date(event.at.into())
            .message_id(Some(id))
            .multipart(MultiPart::alternative_plain_html(content.text, content.html));
        let mut message = message.map_err(|error| error.to_string())?;
        let headers = message.headers_mut();
        headers.insert_raw(raw(AUTO_SUBMITTED, "auto-generated".to_owned()));
        if let Some(url) = unsubscribe {
            headers.insert_raw(raw(LIST_UNSUBSCRIBE, format!("<{url}>")));
            let one_click = "List-Unsubscribe=One-Click".to_owned();
            headers.insert_raw(raw(LIST_UNSUBSCRIBE_POST, one_click));
        }
        Ok(message)
    }

    /// The address that unsubscribes; `None` if there is no public address or no key.
    fn unsubscribe(&self, due: &DueMail, kind: Kind, to: &str) -> Option<String> {
        let base = self.public_url.as_deref()?.trim_end_matches('/');
        let account = due.event.account.clone();
        let (address, kind) = (to.to_owned(), kind.object.to_owned());
        let token = self.tokens.seal(&Unsubscription { account, address, kind })?;
        Some(format!("{base}/mail/unsubscribe?token={token}"))
    }
}

const AUTO_SUBMITTED: HeaderName = HeaderName::new_from_ascii_str("Auto-Submitted");
const LIST_UNSUBSCRIBE: HeaderName = HeaderName::new_from_ascii_str("List-Unsubscribe");
const LIST_UNSUBSCRIBE_POST: HeaderName = HeaderName::new_from_ascii_str("List-Unsubscribe-Post");

/// A header of our own text, which is ASCII without line breaks and must not be folded.
fn raw(name: HeaderName, value: String) -> HeaderValue {
    HeaderValue::dangerous_new_pre_encoded(name, value.clone(), value)
}

/// Makes every text one line: a name with line breaks must not look like text of ours.
fn flatten(value: &mut Value) {
    match value {
        Value::String(text) if text.chars().any(char::is_control) => {
            *text = text.replace(char::is_control, " ");
        }
        Value::Array(items) => items.iter_mut().for_each(flatten),
        Value::Object(fields) => fields.values_mut().for_each(flatten),
        _ => {}
    }
}
