//! Which events are mailed. To mail a new type, give its object a place here and its words in the
//! object's template.

use callmeter_core::domain::EventType;

/// How the events of an object are mailed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kind {
    /// The object: what the type begins with, and the name of its template.
    pub(super) object: &'static str,
    /// Whether its address can be unsubscribed: no, where money was taken or may be.
    pub(super) is_optional: bool,
}

/// Every object whose events are mailed.
pub(super) const KINDS: [Kind; 7] = [
    Kind { object: "refill", is_optional: false },
    Kind { object: "auto_refill", is_optional: false },
    Kind { object: "payment_method", is_optional: false },
    Kind { object: "alert", is_optional: true },
    Kind { object: "budget", is_optional: true },
    Kind { object: "number", is_optional: true },
    Kind { object: "webhook_endpoint", is_optional: true },
];

/// How an event is mailed; `None`: it is not.
pub(super) fn kind_of(event: EventType) -> Option<Kind> {
    let (object, _) = event.as_str().split_once('.')?;
    KINDS.into_iter().find(|kind| kind.object == object)
}

/// The types that are mailed.
pub(super) fn mailed_types() -> &'static [&'static str] {
    static TYPES: std::sync::LazyLock<Vec<&'static str>> = std::sync::LazyLock::new(|| {
        let mailed = EventType::ALL.iter().filter(|event| kind_of(**event).is_some());
        mailed.map(|event| event.as_str()).collect()
    });
    &TYPES
}
