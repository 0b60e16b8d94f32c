//! An event of the outbox as a CloudEvent
//! (<https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md>).

use callmeter_core::domain::EventType;
use chrono::SecondsFormat;
use serde_json::{Value, json};

use super::TransactionJson;
use crate::ledger::LedgerError;
use crate::ledger::outbox::{StoredEvent, Told};

/// The CloudEvent, in its JSON format. `data` always names the account.
///
/// # Errors
/// If the data cannot be written as JSON.
pub(crate) fn cloud_event(event: StoredEvent) -> Result<Value, LedgerError> {
    let (id, account, kind, at) = (event.id, event.account.clone(), event.kind, event.at);
    let data = event_data(event)?;
    Ok(json!({
        "specversion": "1.0",
        "id": id.to_string(),
        "source": "callmeter",
        "type": event_type(kind.as_str()),
        "subject": account,
        "time": at.to_rfc3339_opts(SecondsFormat::AutoSi, true),
        "datacontenttype": "application/json",
        "data": data,
    }))
}

/// The data of an event.
///
/// # Errors
/// If the data cannot be written as JSON.
pub(crate) fn event_data(event: StoredEvent) -> Result<Value, LedgerError> {
    let StoredEvent { account, told, .. } = event;
    let mut data = match told {
        Told::Data(data) => data,
        Told::Transaction(row) => serde_json::to_value(TransactionJson::from(*row))
            .map_err(|error| LedgerError::unreadable("a transaction", error))?,
    };
    if let Some(fields) = data.as_object_mut() {
        fields.insert("account".to_owned(), json!(account));
    }
    Ok(data)
}

/// The full name of a type.
pub(crate) fn event_type(kind: &str) -> String {
    format!("{}{kind}", EventType::PREFIX)
}
